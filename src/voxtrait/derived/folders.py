"""Folders derived from clips, of WAV files or of pictures: names, settings, and what failed.

A derived folder holds, beside its files, the settings it was made with (``convert.json``, ``pictures.json``), so that
nothing made in another way is mixed in, and ``failures.csv`` with a row for every clip that failed in the last run.
"""

import csv
import dataclasses
import io
import itertools
import os
import posixpath
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, overload

import polars as pl

from voxtrait import manifest, storage
from voxtrait.audio import SUFFIXES, audio_files
from voxtrait.audio.writing import atomic_path
from voxtrait.errors import NothingToDoError, OptionError, VoxtraitError
from voxtrait.labels import AGE_GROUPS, GENDERS, SPLITS
from voxtrait.manifest import naming

FAILURES: Final = "failures.csv"
MANIFESTS: Final = (".parquet", ".csv", ".tsv")
LIST: Final = ".txt"  # a list of files: a path or a URL a line
UNSPLIT: Final = "unsplit"  # folder of clips without a split
HARMLESS: Final = (VoxtraitError, OSError, RuntimeError, MemoryError, UnicodeError)
"""Errors that fail a clip, not the run; those of libsndfile are ``RuntimeError``."""
_CLASS_FOLDER: Final = re.compile(rf"({'|'.join([*SPLITS, UNSPLIT])})/(gender|age)/[^/]+")


class Outcome(NamedTuple):
    """What became of one clip."""

    status: str  # done, kept, moved, failed
    path: str
    seconds: float = 0.0  # of audio that was worked through
    reason: str = ""


@dataclasses.dataclass
class Summary:
    """What a run over a derived folder did."""

    out_dir: str
    done: int = 0  # made in this run
    kept: int = 0  # whole from before
    failed: int = 0
    audio_s: float = 0.0  # seconds of audio worked through in this run
    elapsed_s: float = 0.0
    only: dict[str, str] | None = None  # the failure of a run that made one file, for which there is no table

    @property
    def speed(self) -> float:
        """Seconds of audio in a second of time."""
        return self.audio_s / self.elapsed_s if self.elapsed_s else 0.0

    def count(self, outcome: Outcome) -> None:
        """Add what became of a clip."""
        setattr(self, outcome.status, getattr(self, outcome.status) + 1)
        self.audio_s += outcome.seconds

    def failures(self) -> Iterator[dict[str, str]]:
        """Read the clips that failed and why: ``path`` and ``reason``."""
        if self.only is not None:
            yield self.only
            return
        if self.failed and storage.is_url(self.out_dir):
            yield from csv.DictReader(io.StringIO(storage.read(storage.join(self.out_dir, FAILURES)).decode()))
            return
        file = Path(self.out_dir, FAILURES)
        if self.failed and file.is_file():
            with file.open(encoding="utf-8", newline="") as lines:
                yield from csv.DictReader(lines)

    def to_dict(self) -> dict[str, Any]:
        """Give the figures as JSON-ready values."""
        figures = dataclasses.asdict(self)
        del figures["only"]
        return {
            **figures,
            "out_dir": storage.text_of(storage.shown(self.out_dir)),
            "audio_s": round(self.audio_s, 3),
            "elapsed_s": round(self.elapsed_s, 3),
            "speed": round(self.speed, 1),
        }


class Rows(Sequence[tuple[Any, ...]]):
    """The rows of a table as tuples, made only when they are asked for: millions of them cost no Python object."""

    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table

    def __len__(self) -> int:
        return self.table.height

    @overload
    def __getitem__(self, at: int) -> tuple[Any, ...]: ...
    @overload
    def __getitem__(self, at: slice) -> list[tuple[Any, ...]]: ...
    def __getitem__(self, at: int | slice) -> tuple[Any, ...] | list[tuple[Any, ...]]:
        """Make one row, or a list of them."""
        if isinstance(at, slice):
            return self.table[at].rows()
        if at >= self.table.height:
            raise IndexError(at)
        return self.table.row(at)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Make the rows a few hundred at a time."""
        return self.table.iter_rows(buffer_size=512)


class Sources(NamedTuple):
    """The clips that something is derived from."""

    table: pl.DataFrame  # ``path`` absolute, or a URL; with the manifest's other columns, if it came from one
    root: str  # the folder that names are relative to
    labelled: bool  # it came from a manifest


def sources(source: str | os.PathLike[str], out_dir: str | os.PathLike[str]) -> Sources:
    """Find the clips of a folder, of a manifest, of a list (``.txt``), or a single file; all of them may be URLs.

    Args:
        source: a folder, which is searched with its subfolders, a manifest, a list of files, or an audio file.
        out_dir: the derived folder; what is in it is no source.

    Raises:
        NothingToDoError: if there is no such source, or no clip in it.
        OptionError: if the derived folder is the source itself, or a file.
        ManifestError: if the table is no manifest.
    """
    if storage.is_url(out_dir):
        storage.check_writable(out_dir)
    if storage.is_url(source):
        return _behind_url(source, absolute(out_dir))
    place, out = Path(source), Path(out_dir)
    if out.exists() and not out.is_dir():
        raise OptionError(f"got {out} as the folder to write to, but it is a file: expected a folder or a new name")
    if place.is_dir():
        if out.resolve() == place.resolve():
            raise OptionError(f"got {out} as source and as the folder to write to, expected two folders")
        inner = f"{storage.text_of(out.resolve())}{os.sep}"
        paths = pl.Series("path", [storage.text_of(file) for file in audio_files(place.resolve())], dtype=pl.String)
        table = pl.DataFrame([paths]).filter(~pl.col("path").str.starts_with(inner))
        found = Sources(table, storage.text_of(place.resolve()), False)
    elif place.suffix.lower() in MANIFESTS and place.is_file():
        found = labelled_clips(place)
    elif place.suffix.lower() == LIST and place.is_file():
        found = _listed(_files_in(place), storage.text_of(Path.cwd()))
    elif place.is_file() and place.suffix.lower() in SUFFIXES:
        whole = place.resolve()
        found = Sources(pl.DataFrame({"path": [storage.text_of(whole)]}), storage.text_of(whole.parent), False)
    elif place.is_file():
        raise NothingToDoError(
            f"got {place}, expected a folder, a manifest ({', '.join(MANIFESTS)}), a list ({LIST}) or an audio file"
        )
    else:
        raise NothingToDoError(f"no such file or folder: {place}")
    if not found.table.height:
        raise NothingToDoError(f"no clip in {place}: the table has no rows, or all files are in {out}")
    return found


def _behind_url(source: str, out: str) -> Sources:
    """Find the clips of a source behind a URL; ``out`` is as :func:`absolute` gives it."""
    suffix, place = storage.suffix_of(source), source.rstrip("/")
    if suffix in MANIFESTS:
        found = labelled_clips(source)
    elif suffix == LIST:
        found = _listed(storage.names_in(source), storage.parent(source))
    elif suffix in SUFFIXES:
        found = Sources(pl.DataFrame({"path": [source]}), storage.parent(source), False)
    else:
        if out == place:
            raise OptionError(f"got {storage.shown(out)} as source and as the folder to write to, expected two folders")
        paths = pl.Series("path", storage.files(source, SUFFIXES), dtype=pl.String)
        table = pl.DataFrame([paths]).filter(~pl.col("path").str.starts_with(f"{out}/"))
        found = Sources(table, storage.parent(source) if paths.to_list() == [place] else place, False)
    if not found.table.height:
        raise NothingToDoError(
            f"no clip in {storage.shown(source)}: the table has no rows, or all files are in {storage.shown(out)}"
        )
    return found


def _files_in(place: Path) -> list[str]:
    names = storage.names_in(place)
    if not any(storage.is_url(name) or Path(name).exists() for name in names):
        raise NothingToDoError(f"{place} names no file that is there: expected a list, with a path or a URL a line")
    return names


def _listed(names: Sequence[str], home: str) -> Sources:
    paths = pl.Series("path", [storage.text_of(name) for name in names], dtype=pl.String).unique(maintain_order=True)
    table = _normalized(manifest.with_absolute_paths(pl.DataFrame([paths]), home))
    return Sources(table, _root(table, home), False)


def absolute(folder: str | os.PathLike[str]) -> str:
    """Give a folder's full name; a URL stays, without a slash at its end."""
    return folder.rstrip("/") if storage.is_url(folder) else str(Path(folder).resolve())


def labelled_clips(source: str | os.PathLike[str]) -> Sources:
    """Read the clips of a manifest, with absolute paths.

    Raises:
        ManifestError: if the table is no manifest.
    """
    home = storage.parent(source) if storage.is_url(source) else storage.text_of(Path(source).resolve().parent)
    table = _normalized(manifest.with_absolute_paths(manifest.read(source), home))
    return Sources(table, _root(table, home), True)


def _normalized(table: pl.DataFrame) -> pl.DataFrame:
    """Resolve ``..`` in paths, folder by folder, for there are far fewer folders than files."""
    if not table["path"].str.contains(r"(^|[^:])//|/\.\.?(/|$)").any():
        return table
    folder = table["path"].str.extract(r"^(.*)/[^/]*$").fill_null("")
    unique = folder.unique()
    clean = pl.Series([_without_dots(name) for name in unique], dtype=pl.String)
    return table.with_columns(
        path=folder.replace_strict(unique, clean, return_dtype=pl.String)
        + "/"
        + table["path"].str.extract(r"([^/]*)$").fill_null("")
    )


def _without_dots(folder: str) -> str:
    start, mark, rest = folder.rpartition("://")
    if not mark:
        return os.path.normpath(folder)
    return f"{start}{mark}{posixpath.normpath(rest)}" if "/." in rest else folder  # a store may name a folder ""


def _root(table: pl.DataFrame, home: str) -> str:
    """The manifest's own folder if all clips are in it, else the deepest folder that holds them all; empty where there
    is none, for some are behind another URL."""
    folders = table["path"].str.extract(r"^(.*)/[^/]*$").unique().to_list()
    if any("://" in folder for folder in folders):
        ends = zip(min(folders).split("/"), max(folders).split("/"), strict=False)
        parts = [one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], ends)]
        shared = "/".join(parts) if len(parts) > 2 else ""
    else:
        shared = os.path.commonpath(folders) if folders else home
    return home if f"{shared}/".startswith(f"{home}/") else shared


def mirrored_names(paths: pl.Series, root: str, suffix: str) -> pl.Series:
    """Name derived files after their sources, in the same folders: ``a/b.mp3`` → ``a/b.wav``.

    Where two sources would meet under one name (``b.mp3`` and ``b.ogg``, or ``B.mp3`` on a disk that ignores
    case), each of them keeps its ending: ``b.mp3.wav``, ``b.ogg.wav``.

    Args:
        paths: absolute paths of the sources.
        root: the folder that names are relative to.
        suffix: the new ending, such as ``.wav``.

    Examples:
        >>> mirrored_names(pl.Series(["/c/a.mp3", "/c/a.ogg", "/c/x/d.mp3"]), "/c", ".wav").to_list()
        ['a.mp3.wav', 'a.ogg.wav', 'x/d.wav']
    """
    full = shown(paths).str.strip_prefix(root.rstrip("/") + "/").str.strip_prefix("/").str.replace("://", "/")
    names = full.str.replace(r"(.)\.[^./]+$", "${1}") + suffix
    while (meeting := names.str.to_lowercase().is_duplicated() & (names != full + suffix)).any():
        names = names.zip_with(~meeting, full + suffix)
    return names


def shown(paths: pl.Series) -> pl.Series:
    """Give URLs among paths as they may be kept: see :func:`voxtrait.storage.shown`."""
    if not paths.str.contains(r"://.*[@?]").any():
        return paths
    return paths.map_elements(storage.shown, return_dtype=pl.String)


def class_folders(table: pl.DataFrame) -> pl.DataFrame:
    """Give the places of the pictures of a manifest's clips.

    Returns:
        One row a clip, in the table's order: ``clip_id``; ``name``, of the file; ``gender_at``, such as
        ``train/gender/female``, and ``age_at``, such as ``train/age/female_fifties``: null where the label is missing
        or the gender is neither ``female`` nor ``male``.
    """
    split = pl.col("split").fill_null(UNSPLIT)
    gendered = pl.col("gender").is_in(GENDERS)
    aged = gendered & pl.col("age_group").is_in(AGE_GROUPS)
    return table.select(
        "clip_id",
        naming.file_names(table["clip_id"]) + ".png",
        pl.when(gendered).then(split + "/gender/" + pl.col("gender")).alias("gender_at"),
        pl.when(aged).then(split + "/age/" + pl.col("gender") + "_" + pl.col("age_group")).alias("age_at"),
    )


def places_of(wanted: pl.DataFrame) -> pl.DataFrame:
    """Turn the table of :func:`class_folders` into one row a place: ``name`` and ``at``."""
    return pl.concat(wanted.select("name", at=column).drop_nulls() for column in ("gender_at", "age_at"))


def find_pictures(out_dir: str | os.PathLike[str]) -> pl.DataFrame:
    """List the files in the class folders of ``out_dir``: ``at``, such as ``train/gender/female``, and ``name``."""
    parts = [
        pl.DataFrame({"name": pl.Series(names, dtype=pl.String)}).select(at=pl.lit(at), name="name")
        for at, names in walk_class_folders(out_dir)
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema={"at": pl.String, "name": pl.String})


def walk_class_folders(out_dir: str | os.PathLike[str]) -> Iterator[tuple[str, list[str]]]:
    """Walk the class folders of ``out_dir`` with the names of the files in each; behind a URL, of those with content,
    for there they are whole."""
    if storage.is_url(out_dir):
        found: dict[str, list[str]] = {}
        for path, entry in storage.listing(out_dir).items():
            at, _, name = path.rpartition("/")
            if entry.size and _CLASS_FOLDER.fullmatch(at):
                found.setdefault(at, []).append(name)
        yield from sorted(found.items())
        return
    for split in (*SPLITS, UNSPLIT):
        for kind in ("gender", "age"):
            folder = Path(out_dir, split, kind)
            if folder.is_dir():
                for place in sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()):
                    with os.scandir(folder / place) as entries:
                        names = [storage.text_of(entry.name) for entry in entries if entry.is_file()]
                    yield f"{split}/{kind}/{storage.text_of(place)}", names


def target_of(out_dir: str, name: str, source: str) -> str:
    """Return the place of a derived file. A name that is not UTF-8 keeps its bytes, as its source has them.

    Args:
        out_dir: the derived folder, or its URL.
        name: of the file in it, as :func:`mirrored_names` gives it.
        source: the clip, as tables spell it: see :func:`voxtrait.storage.text_of`.
    """
    keeps = not storage.is_url(out_dir) and sys.platform != "darwin" and storage.path_of(source) != source
    return storage.join(out_dir, storage.unspelled(name) if keeps else name)


def reason_of(error: BaseException) -> str:
    """Return why a clip failed, without the number that Python puts before the system's reason."""
    if isinstance(error, OSError) and error.strerror and not isinstance(error, VoxtraitError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def gather(outcomes: Iterable[Outcome], summary: Summary) -> None:
    """Count outcomes into a summary as they come, and write ``failures.csv``, or remove it where nothing failed."""
    file = storage.join(summary.out_dir, FAILURES)
    start = time.perf_counter()
    with atomic_path(file) as part:
        with part.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.writer(lines, lineterminator="\n")
            writer.writerow(("path", "reason"))
            for outcome in outcomes:
                summary.count(outcome)
                if outcome.status == "failed":
                    writer.writerow((storage.shown(outcome.path), storage.text_of(outcome.reason)))
        summary.elapsed_s += time.perf_counter() - start
        if not summary.failed and storage.is_url(file):
            part.unlink()  # what is not there is not sent
    if not summary.failed:
        storage.remove([file]) if storage.is_url(file) else Path(file).unlink()
