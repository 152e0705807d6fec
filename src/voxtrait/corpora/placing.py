"""Places clips in the folder of an export: file names, folders of splits, copies and links."""

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
from voxtrait.audio.durability import is_older
from voxtrait.audio.opening import check_kind
from voxtrait.audio.writing import atomic_path, create_folder, remove_unfinished, synced, writing
from voxtrait.errors import DecodeError, DiskFullError, OptionError
from voxtrait.labels import SPLITS

MARK: Final = ".voxtrait-export.json"  # settings of the export; hidden, so that loaders ignore it
FAILURES: Final = "failures.csv"
UNSPLIT: Final = "unsplit"  # folder of clips without a split, next to those of splits

_NO_LINKS: Final = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def with_suffix(names: pl.Series, paths: pl.Series) -> pl.Series:
    """Append the file endings of paths to names; unusual endings are omitted.

    Examples:
        >>> with_suffix(pl.Series(["a", "b"]), pl.Series(["/x/1.mp3", "/x.y/2"])).to_list()
        ['a.mp3', 'b']
    """
    return names + paths.str.extract(r"[^/](\.[A-Za-z0-9]{1,5})$").fill_null("")


def by_split(rows: pl.DataFrame, names: Mapping[str, str]) -> Iterator[tuple[str, pl.DataFrame]]:
    """Iterate over the splits of a manifest, with only one of them copied in memory.

    Args:
        rows: a manifest.
        names: split → name of its folder; the default is the name of the split.

    Yields:
        The name of the folder and its rows; a single folder ``""`` if no clip has a split.
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
    """Create the folder of an export, or check that it belongs to the same export.

    Raises:
        OptionError: if the folder contains anything else; it is then unchanged.
    """
    digest = hashlib.blake2b(table.hash_rows().to_numpy().tobytes(), digest_size=8).hexdigest()
    wanted = {**settings, "clips": table.height, "manifest": digest}
    if out.exists() and not out.is_dir():
        raise OptionError(f"The output {out} is a file. Expected a folder or a new name.")
    names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if names and MARK not in names:
        raise OptionError(
            f"{out} contains other files ({', '.join(names[:5])}{' …' if len(names) > 5 else ''}), and exports do not "
            "overwrite files. Use a new folder, or empty this one."
        )
    if names:
        _same_export(out, wanted)
        remove_unfinished(out)
        return
    create_folder(out)
    with atomic_path(out / MARK) as part:
        part.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


def _same_export(out: Path, wanted: Mapping[str, Any]) -> None:
    try:
        before = json.loads((out / MARK).read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError):
        before = None
    if before != wanted:
        old = before if isinstance(before, dict) else {}
        differ = [f"{key}: {old.get(key)} before, {wanted[key]} now" for key in wanted if old.get(key) != wanted[key]]
        raise OptionError(
            f"{out} contains another export ({'; '.join(differ) or 'unknown'}), and exports do not overwrite files. "
            "Use a new folder, or delete this one."
        )


def put_all(
    places: Iterable[tuple[str, str]], total: int, out: Path, how: str, label: str | None
) -> Iterator[tuple[int, str]]:
    """Copy or link audio files into a folder; files from an interrupted run are kept.

    Files that are not audio are refused, because a table of somebody else may name any file of this machine.

    Args:
        places: absolute path of each file, and its path relative to ``out``.
        total: number of files.
        out: a folder from :func:`claim`.
        how: ``copy`` or ``link``; links are relative, so that the folder and the clips can be moved together.
        label: shown before the progress line; ``None`` shows no progress.

    Yields:
        The index of each file that could not be copied or linked, and the reason.

    Raises:
        OptionError: if the disk does not support links.
        DiskFullError: if the disk is full.
        OutputError: if the disk is read-only.
    """
    real: dict[str, str] = {}  # folder in out → its real path
    with synced(out) as unsynced:
        for at, (source, place) in enumerate(unsynced.watch(batch.progress(places, total, label))):
            folder, _, name = place.rpartition("/")
            if folder not in real:
                create_folder(out / folder)
                real[folder] = os.path.realpath(out / folder)
            target = Path(real[folder], name)
            try:
                if how == "link":
                    _link(storage.path_of(source), target)
                else:
                    _copy(storage.path_of(source), target, unsynced.since)
            except DecodeError as error:
                yield at, str(error)
            except FileExistsError:
                yield at, f"another file exists at {place}"
            except OSError as error:
                if how == "link" and error.errno in _NO_LINKS:
                    raise OptionError(f"The disk of {out} does not support links. Use --audio copy.") from None
                if isinstance(error, DiskFullError):
                    raise
                if error.errno in _NO_ROOM:
                    with writing(target):
                        raise
                yield at, "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror or error)


def _link(source: str, target: Path) -> None:
    if not os.path.isfile(source):  # noqa: PTH113 - called once per clip
        raise FileNotFoundError(source)
    text = os.path.relpath(source, target.parent)
    if os.path.lexists(target):
        if target.is_symlink() and os.readlink(target) == text:  # noqa: PTH115
            return
        raise FileExistsError(target)
    check_kind(source)
    os.symlink(text, target)  # noqa: PTH211 - atomic


def _copy(source: str, target: Path, since: int | None) -> None:
    status = os.stat(source)  # noqa: PTH116
    if os.path.lexists(target) and is_older(target.lstat(), since):
        there = target.lstat()
        # copy2 keeps the modification time, which distinguishes a copy of this file from other files
        if (there.st_size, int(there.st_mtime)) == (status.st_size, int(status.st_mtime)):
            return
        raise FileExistsError(target)
    check_kind(source)
    with atomic_path(target, sync=False) as part:
        shutil.copy2(source, part)


def absent(paths: pl.Series) -> pl.Series:
    """Return which files are missing, bool ``(n,)``; lists each folder once, because network disks are slow."""
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
