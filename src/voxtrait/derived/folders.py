"""Finds the clips of a source, names the files derived from them, and counts outcomes.

A derived folder contains WAV files or spectrogram images, their settings (``convert.json``, ``pictures.json``), so that
files with different settings are never mixed, and ``failures.csv`` with a row for every clip that failed in the last
run.
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
LIST: Final = ".txt"  # a list of files: one path or URL per line
UNSPLIT: Final = "unsplit"  # folder of clips without a split
HARMLESS: Final = (VoxtraitError, OSError, RuntimeError, MemoryError, UnicodeError)
"""Errors that fail only one clip, not the run; libsndfile raises ``RuntimeError``."""
_CLASS_FOLDER: Final = re.compile(rf"({'|'.join([*SPLITS, UNSPLIT])})/(gender|age)/[^/]+")


class Outcome(NamedTuple):
    """Outcome for one clip."""

    status: str  # done, kept, moved, failed
    path: str
    seconds: float = 0.0  # duration of the audio processed
    reason: str = ""


@dataclasses.dataclass
class Summary:
    """Result of a run: numbers of clips done, kept and failed, and the time taken."""

    out_dir: str
    done: int = 0  # files made in this run
    kept: int = 0  # complete files from earlier runs
    failed: int = 0
    audio_s: float = 0.0  # duration of the audio processed in this run, in seconds
    elapsed_s: float = 0.0  # time taken, in seconds
    only: dict[str, str] | None = None  # the failure of a run that makes one file; such runs write no failures.csv

    @property
    def speed(self) -> float:
        """Seconds of audio processed per second."""
        return self.audio_s / self.elapsed_s if self.elapsed_s else 0.0

    def count(self, outcome: Outcome) -> None:
        """Add the outcome of a clip."""
        setattr(self, outcome.status, getattr(self, outcome.status) + 1)
        self.audio_s += outcome.seconds

    def failures(self) -> Iterator[dict[str, str]]:
        """Iterate over the clips that failed: ``path`` and ``reason``."""
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
        """Return the figures as JSON-ready values."""
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
    """The rows of a table as tuples, created on access, so that millions of rows need no Python objects."""

    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table

    def __len__(self) -> int:
        return self.table.height

    @overload
    def __getitem__(self, at: int) -> tuple[Any, ...]: ...
    @overload
    def __getitem__(self, at: slice) -> list[tuple[Any, ...]]: ...
    def __getitem__(self, at: int | slice) -> tuple[Any, ...] | list[tuple[Any, ...]]:
        """Return one row, or a list of rows."""
        if isinstance(at, slice):
            return self.table[at].rows()
        if at >= self.table.height:
            raise IndexError(at)
        return self.table.row(at)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Iterate over the rows, a few hundred at a time."""
        return self.table.iter_rows(buffer_size=512)


class Sources(NamedTuple):
    """The clips of a source."""

    table: pl.DataFrame  # ``path``, absolute or a URL, and the other columns of a manifest
    root: str  # folder that the names of derived files are relative to
    labelled: bool  # whether the source is a manifest


def sources(source: str | os.PathLike[str], out_dir: str | os.PathLike[str]) -> Sources:
    """Find the clips of a folder, a manifest, a list of files (``.txt``) or a single file.

    Args:
        source: a folder (searched recursively), a manifest, a list of files, or an audio file; a path or a URL.
        out_dir: the derived folder; files in it are ignored.

    Raises:
        NothingToDoError: if the source does not exist or has no clips.
        OptionError: if the derived folder is the source itself, or a file.
        ManifestError: if the source is a table but not a manifest.
    """
    if storage.is_url(out_dir):
        storage.check_writable(out_dir)
    if storage.is_url(source):
        return _behind_url(source, absolute(out_dir))
    place, out = Path(source), Path(out_dir)
    if out.exists() and not out.is_dir():
        raise OptionError(f"The output {out} is a file. Expected a folder or a new name.")
    if place.is_dir():
        if out.resolve() == place.resolve():
            raise OptionError(f"{out} is both source and output. Expected two folders.")
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
            f"Got {place}. Expected a folder, a manifest ({', '.join(MANIFESTS)}), a list ({LIST}) or an audio file."
        )
    else:
        raise NothingToDoError(f"No such file or folder: {place}")
    if not found.table.height:
        raise NothingToDoError(f"No clips in {place}: the table has no rows, or all files are in {out}.")
    return found


def _behind_url(source: str, out: str) -> Sources:
    """Find the clips of a source behind a URL; ``out`` is a result of :func:`absolute`."""
    suffix, place = storage.suffix_of(source), source.rstrip("/")
    if suffix in MANIFESTS:
        found = labelled_clips(source)
    elif suffix == LIST:
        found = _listed(storage.names_in(source), storage.parent(source))
    elif suffix in SUFFIXES:
        found = Sources(pl.DataFrame({"path": [source]}), storage.parent(source), False)
    else:
        if out == place:
            raise OptionError(f"{storage.shown(out)} is both source and output. Expected two folders.")
        paths = pl.Series("path", storage.files(source, SUFFIXES), dtype=pl.String)
        table = pl.DataFrame([paths]).filter(~pl.col("path").str.starts_with(f"{out}/"))
        found = Sources(table, storage.parent(source) if paths.to_list() == [place] else place, False)
    if not found.table.height:
        raise NothingToDoError(
            f"No clips in {storage.shown(source)}: the table has no rows, or all files are in {storage.shown(out)}."
        )
    return found


def _files_in(place: Path) -> list[str]:
    names = storage.names_in(place)
    if not any(storage.is_url(name) or Path(name).exists() for name in names):
        raise NothingToDoError(f"No file of the list {place} exists. Expected one path or URL per line.")
    return names


def _listed(names: Sequence[str], home: str) -> Sources:
    paths = pl.Series("path", [storage.text_of(name) for name in names], dtype=pl.String).unique(maintain_order=True)
    table = _normalized(manifest.with_absolute_paths(pl.DataFrame([paths]), home))
    return Sources(table, _root(table, home), False)


def absolute(folder: str | os.PathLike[str]) -> str:
    """Return the absolute path of a folder, or its URL without a final slash."""
    return folder.rstrip("/") if storage.is_url(folder) else str(Path(folder).resolve())


def labelled_clips(source: str | os.PathLike[str]) -> Sources:
    """Read the clips of a manifest, with absolute paths.

    Raises:
        ManifestError: if the file is not a manifest.
    """
    home = storage.parent(source) if storage.is_url(source) else storage.text_of(Path(source).resolve().parent)
    table = _normalized(manifest.with_absolute_paths(manifest.read(source), home))
    return Sources(table, _root(table, home), True)


def _normalized(table: pl.DataFrame) -> pl.DataFrame:
    """Resolve ``..`` in paths, once per folder: there are far fewer folders than files."""
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
    return f"{start}{mark}{posixpath.normpath(rest)}" if "/." in rest else folder  # a store may have a folder named ""


def _root(table: pl.DataFrame, home: str) -> str:
    """Return the manifest's folder if it contains all clips, otherwise the deepest folder that contains them all.

    The result is empty if there is no such folder, because the clips are behind different URLs.
    """
    folders = table["path"].str.extract(r"^(.*)/[^/]*$").unique().to_list()
    if any("://" in folder for folder in folders):
        ends = zip(min(folders).split("/"), max(folders).split("/"), strict=False)
        parts = [one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], ends)]
        shared = "/".join(parts) if len(parts) > 2 else ""
    else:
        shared = os.path.commonpath(folders) if folders else home
    return home if f"{shared}/".startswith(f"{home}/") else shared


def mirrored_names(paths: pl.Series, root: str, suffix: str) -> pl.Series:
    """Return the relative names of derived files, in the folders of their sources: ``a/b.mp3`` → ``a/b.wav``.

    Where two sources would get the same name (``b.mp3`` and ``b.ogg``, or ``B.mp3`` on a disk that ignores case), the
    names keep the endings of the sources: ``b.mp3.wav``, ``b.ogg.wav``.

    Args:
        paths: absolute paths of the sources.
        root: folder that the names are relative to.
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
    """Remove secrets from the URLs among paths: see :func:`voxtrait.storage.shown`."""
    if not paths.str.contains(r"://.*[@?]").any():
        return paths
    return paths.map_elements(storage.shown, return_dtype=pl.String)


def class_folders(table: pl.DataFrame) -> pl.DataFrame:
    """Return the class folders of the spectrogram images of a manifest's clips.

    Returns:
        One row per clip, in the order of the manifest, with ``clip_id``; ``name``, the file name; ``gender_at``, such
        as ``train/gender/female``; and ``age_at``, such as ``train/age/female_fifties``. The last two are null if the
        label is missing or the gender is neither ``female`` nor ``male``.
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
    """Return one row per file for a table of :func:`class_folders`: ``name`` and ``at``, its folder."""
    return pl.concat(wanted.select("name", at=column).drop_nulls() for column in ("gender_at", "age_at"))


def find_pictures(out_dir: str | os.PathLike[str]) -> pl.DataFrame:
    """List the files in the class folders of ``out_dir``: ``at``, such as ``train/gender/female``, and ``name``."""
    parts = [
        pl.DataFrame({"name": pl.Series(names, dtype=pl.String)}).select(at=pl.lit(at), name="name")
        for at, names in walk_class_folders(out_dir)
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema={"at": pl.String, "name": pl.String})


def walk_class_folders(out_dir: str | os.PathLike[str]) -> Iterator[tuple[str, list[str]]]:
    """Iterate over the class folders of ``out_dir`` and the names of the files in each.

    Behind a URL, empty files are ignored; the others are complete.
    """
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
    """Return the path or URL of a derived file. A name that is not UTF-8 keeps the bytes of its source.

    Args:
        out_dir: the derived folder, or its URL.
        name: relative name of the file, from :func:`mirrored_names`.
        source: path of the clip, as text: see :func:`voxtrait.storage.text_of`.
    """
    keeps = not storage.is_url(out_dir) and sys.platform != "darwin" and storage.path_of(source) != source
    return storage.join(out_dir, storage.unspelled(name) if keeps else name)


def reason_of(error: BaseException) -> str:
    """Return the reason of a failure, without Python's error number."""
    if isinstance(error, OSError) and error.strerror and not isinstance(error, VoxtraitError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def gather(outcomes: Iterable[Outcome], summary: Summary) -> None:
    """Add outcomes to a summary, and write ``failures.csv``, or remove it if nothing failed."""
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
            part.unlink()  # then nothing is uploaded
    if not summary.failed:
        storage.remove([file]) if storage.is_url(file) else Path(file).unlink()
