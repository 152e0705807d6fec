"""Where the clips of a manifest go when they leave: names of files, folders of splits, and the files themselves."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from voxtrait import batch, storage
from voxtrait.audio.writing import atomic_path, remove_unfinished
from voxtrait.errors import OptionError
from voxtrait.labels import SPLITS

MARK: Final = ".voxtrait-export.json"  # what a folder is an export of; hidden, so that no loader takes it for data
FAILURES: Final = "failures.csv"
UNSPLIT: Final = "unsplit"  # folder of clips without a split, beside those of clips with one

_NO_LINKS: Final = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def with_suffix(names: pl.Series, paths: pl.Series) -> pl.Series:
    """Give names the endings of files; an odd ending is left off.

    Examples:
        >>> with_suffix(pl.Series(["a", "b"]), pl.Series(["/x/1.mp3", "/x.y/2"])).to_list()
        ['a.mp3', 'b']
    """
    return names + paths.str.extract(r"[^/](\.[A-Za-z0-9]{1,5})$").fill_null("")


def by_split(rows: pl.DataFrame, names: Mapping[str, str]) -> Iterator[tuple[str, pl.DataFrame]]:
    """Cut a manifest by its splits, one after another: never are all parts in memory.

    Args:
        rows: with a column ``split``.
        names: split → name of its folder; one that is missing here is called as in the manifest.

    Yields:
        Name of the folder and its rows; one with the name ``""`` where no clip has a split.
    """
    if not rows["split"].count():
        if rows.height:
            yield "", rows
        return
    for split in (*SPLITS, None):
        part = rows.filter(pl.col("split").eq_missing(pl.lit(split, pl.String)))
        if part.height:
            yield (UNSPLIT if split is None else names.get(split, split)), part


def claim(out: Path, settings: Mapping[str, Any], table: pl.DataFrame) -> None:
    """Make a folder, or accept one that the same export began.

    Raises:
        OptionError: if it holds anything else; nothing in it is touched then.
    """
    digest = hashlib.blake2b(table.hash_rows().to_numpy().tobytes(), digest_size=8).hexdigest()
    wanted = {**settings, "clips": table.height, "manifest": digest}
    if out.exists() and not out.is_dir():
        raise OptionError(f"got {out} as the folder to write to, but it is a file: choose a new name")
    names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if names and MARK not in names:
        raise OptionError(
            f"{out} holds other things ({', '.join(names[:5])}{' …' if len(names) > 5 else ''}), and nothing is ever "
            "overwritten: choose a new folder, or empty this one"
        )
    if names:
        _same_export(out, wanted)
        remove_unfinished(out)
        return
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(out / MARK) as part:
        part.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


def _same_export(out: Path, wanted: Mapping[str, Any]) -> None:
    try:
        before = json.loads((out / MARK).read_text(encoding="utf-8"))
    except (ValueError, OSError):
        before = None
    if before != wanted:
        old = before if isinstance(before, dict) else {}
        differ = [f"{key}: {old.get(key)} there, {wanted[key]} now" for key in wanted if old.get(key) != wanted[key]]
        raise OptionError(
            f"{out} holds another export ({'; '.join(differ) or 'unknown'}), and nothing is ever overwritten: "
            "choose a new folder, or delete that one"
        )


def put_all(
    places: Iterable[tuple[str, str]], total: int, out: Path, how: str, label: str | None
) -> Iterator[tuple[int, str]]:
    """Copy or link files into a folder; those that are there from before stay.

    Args:
        places: absolute path of a file, and its place below ``out``.
        total: how many.
        out: a folder that :func:`claim` gave.
        how: ``copy`` or ``link``; links are relative, so that folder and clips can move together.
        label: of the progress line, or ``None``.

    Yields:
        Number and reason of each file that could not be put there.

    Raises:
        OptionError: if the disk takes no links, or is full.
    """
    real: dict[str, str] = {}  # folder below out → where it really is
    for at, (source, place) in enumerate(batch.progress(places, total, label)):
        folder, _, name = place.rpartition("/")
        if folder not in real:
            (out / folder).mkdir(parents=True, exist_ok=True)
            real[folder] = os.path.realpath(out / folder)
        source = storage.path_of(source)
        try:
            (_link if how == "link" else _copy)(source, Path(real[folder], name))
        except FileExistsError:
            yield at, f"another file stands in its place, {place}"
        except OSError as error:
            if how == "link" and error.errno in _NO_LINKS:
                raise OptionError(f"the disk of {out} takes no links: use --audio copy") from None
            if error.errno in _NO_ROOM:
                raise OptionError(f"{out} takes no more files: {error.strerror}") from None
            yield at, "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror or error)


def _link(source: str, target: Path) -> None:
    if not os.path.isfile(source):  # noqa: PTH113 - called once a clip
        raise FileNotFoundError(source)
    text = os.path.relpath(source, target.parent)
    if os.path.lexists(target):
        if target.is_symlink() and os.readlink(target) == text:  # noqa: PTH115
            return
        raise FileExistsError(target)
    os.symlink(text, target)  # noqa: PTH211 - appears whole or not at all


def _copy(source: str, target: Path) -> None:
    status = os.stat(source)  # noqa: PTH116
    if os.path.lexists(target):
        there = target.lstat()
        # copy2 keeps the time, so that a copy of this file can be distinguished from another file
        if (there.st_size, int(there.st_mtime)) == (status.st_size, int(status.st_mtime)):
            return
        raise FileExistsError(target)
    with atomic_path(target) as part:
        shutil.copy2(source, part)


def absent(paths: pl.Series) -> pl.Series:
    """Return which files are missing, listing each folder once: one check a file takes minutes on a network disk."""
    folder = paths.str.extract(r"^(.*)/[^/]*$").fill_null("")
    parts = [pl.select(path=pl.lit(f"{one}/") + pl.Series(_files_in(one), dtype=pl.String)) for one in folder.unique()]
    there = pl.concat(parts)["path"] if parts else pl.Series(dtype=pl.String)
    return ~paths.is_in(there.implode())


def _files_in(folder: str) -> list[str]:
    try:
        with os.scandir(storage.path_of(folder) or "/") as entries:
            return [storage.text_of(one.name) for one in entries if not one.name.isascii() or one.is_file()]
    except OSError:
        return []
