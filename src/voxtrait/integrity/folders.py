"""Compares derived folders, with spectrogram images or WAV files, with the manifest."""

import dataclasses
import mmap
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import soundfile

from voxtrait import batch, derived, features, storage
from voxtrait.audio.mpeg import Data
from voxtrait.derived import axes
from voxtrait.derived.folders import Rows, Sources
from voxtrait.derived.settings import CONVERT_SETTINGS, PICTURES_SETTINGS
from voxtrait.errors import DecodeError, OptionError
from voxtrait.integrity.containers import truncation
from voxtrait.integrity.report import EXAMPLES, FATAL, REPORTED, Report


def check_pictures(
    clips: Sources, folder: str, report: Report, *, jobs: batch.Jobs, label: str | None, look: bool
) -> None:
    """Compare a folder written by ``voxtrait images`` with the manifest.

    Args:
        clips: the manifest, with absolute paths.
        folder: the folder of images, as returned by :func:`voxtrait.derived.absolute`.
        report: gets the findings.
        jobs: number of worker processes, or a :class:`voxtrait.batch.Where`.
        label: shown before the progress line; ``None`` shows no progress.
        look: also decode the images.

    Raises:
        OptionError: if the folder does not exist.
    """
    settings = _settings(folder, PICTURES_SETTINGS, "voxtrait images", report)
    if settings.get("layout") == "flat":
        expected, there = _mirrored(clips, settings, ".png"), _files(folder, ".png")
        _compare(expected, there, "images", report)
        items = _present(expected, there)
    else:
        items = _check_class_folders(clips.table, folder, report)
    front_end = settings.get("front_end", {})
    size = None
    if {"columns", "n_mels"} <= front_end.keys():
        plain = front_end["columns"], front_end["n_mels"]
        size = axes.size_of(*plain) if settings.get("axes") else plain
    _examine(_Picture(folder, size, look), items, "images", report, jobs, label)


def check_wav(clips: Sources, folder: str, report: Report, *, jobs: batch.Jobs, label: str | None) -> None:
    """Compare a folder written by ``voxtrait convert`` with the manifest; only headers are read."""
    settings = _settings(folder, CONVERT_SETTINGS, "voxtrait convert", report)
    expected, there = _mirrored(clips, settings, ".wav"), _files(folder, ".wav")
    _compare(expected, there, "WAV files", report)
    _examine(_Wav(folder, settings.get("rate")), _present(expected, there), "WAV files", report, jobs, label)


def _settings(folder: str, name: str, command: str, report: Report) -> dict[str, Any]:
    if not storage.is_url(folder) and not Path(folder).is_dir():
        raise OptionError(f"No such folder: {folder}. Expected a folder written by '{command}'.")
    settings = derived.read_settings(folder, name)
    if settings is None:
        report.add(f"{name} missing: settings of the folder unknown", REPORTED, [storage.shown(folder)])
    return settings or {}


def _mirrored(clips: Sources, settings: dict[str, Any], suffix: str) -> pl.Series:
    root = settings.get("source", storage.shown(clips.root))
    return derived.mirrored_names(clips.table["path"], root, suffix)


def _files(folder: str, suffix: str) -> pl.Series:
    """List the files with an ending, relative to the folder; behind a URL, only those that are not empty."""
    if storage.is_url(folder):
        found = [name for name, entry in storage.listing(folder).items() if entry.size]
        return pl.Series("file", [name for name in found if name.lower().endswith(suffix)], dtype=pl.String)
    parts = [pl.Series("file", dtype=pl.String)]
    for here, _, names in os.walk(folder):
        at = os.path.relpath(here, folder)
        chosen = [name for name in names if name.lower().endswith(suffix) and name[0] != "."]
        parts.append(pl.Series("file", chosen if at == "." else [f"{at}/{name}" for name in chosen], dtype=pl.String))
    return pl.concat(parts)


def _compare(expected: pl.Series, there: pl.Series, what: str, report: Report) -> None:
    wanted, found = expected.alias("file").to_frame(), there.alias("file").to_frame()
    report.add(f"{what} missing", FATAL, wanted.join(found, on="file", how="anti")["file"])
    report.add(
        f"{what} without a clip in the manifest", REPORTED, found.join(wanted, on="file", how="anti")["file"].sort()
    )


def _present(expected: pl.Series, there: pl.Series) -> pl.DataFrame:
    wanted, found = expected.alias("file").to_frame(), there.alias("file").to_frame()
    return wanted.join(found, on="file", how="semi").select(first="file", second=pl.lit(None, pl.String))


def _check_class_folders(table: pl.DataFrame, folder: str, report: Report) -> pl.DataFrame:
    """Compare the class folders with the labels, and return the images to examine, each with its other name."""
    wanted = derived.class_folders(table)
    places, found = derived.places_of(wanted), derived.find_pictures(folder)
    vanished = places.select("at").unique().join(found, on="at", how="anti")["at"].sort()
    report.add("class folders missing", FATAL, vanished)
    report.add("images missing", FATAL, _joined(places.join(found, on=["at", "name"], how="anti")))
    wrong = found.join(places, on=["at", "name"], how="anti")
    misplaced = wrong.join(wanted, on="name", how="semi")
    report.add("images in the folder of another split or class", FATAL, _joined(misplaced))
    report.add("images without a clip in the manifest", REPORTED, _joined(wrong.join(wanted, on="name", how="anti")))
    present = places.join(found, on=["at", "name"], how="semi").group_by("name", maintain_order=True)
    names = present.agg(first=pl.col("at").max(), second=pl.col("at").min())
    return names.select(
        first=pl.col("first") + "/" + pl.col("name"),
        second=pl.when(pl.col("second") != pl.col("first")).then(pl.col("second") + "/" + pl.col("name")),
    )


def _joined(places: pl.DataFrame) -> pl.Series:
    return places.select(file=pl.col("at") + "/" + pl.col("name"))["file"].sort()


Finding = tuple[str, str]  # the problem, and the file with details


def _examine(
    job: Callable[[tuple[str, str | None]], list[Finding]],
    items: pl.DataFrame,
    what: str,
    report: Report,
    jobs: batch.Jobs,
    label: str | None,
) -> None:
    counts: Counter[str] = Counter()
    cases: defaultdict[str, list[str]] = defaultdict(list)
    for findings in batch.run(job, Rows(items), jobs=jobs, on_crash=_crashed, label=label):
        for problem, case in findings:
            counts[problem] += 1
            if len(cases[problem]) < EXAMPLES:
                cases[problem].append(case)
    for problem in sorted(counts):
        report.add(f"{what} {problem}", FATAL, cases[problem], counts[problem])


@dataclasses.dataclass(frozen=True)
class _Picture:
    """The job: check one image under its one or two names."""

    folder: str
    size: tuple[int, int] | None  # width, height
    look: bool

    def __call__(self, item: tuple[str, str | None]) -> list[Finding]:
        first, second = item
        if storage.is_url(self.folder):
            names = [name for name in (first, second) if name and self.look]
            return [one for name in names for one in self._decode(name, storage.read(storage.join(self.folder, name)))]
        files = [Path(self.folder, name) for name in (first, second) if name]
        if len(files) == 2 and files[0].samefile(files[1]):  # usually two names of one file: open it once
            files.pop()
        return [finding for file in files for finding in self._look_at(file)]

    def _look_at(self, file: Path) -> list[Finding]:
        name = file.relative_to(self.folder).as_posix()
        if not file.stat().st_size:
            return [("empty", name)]
        return self._decode(name, file.read_bytes()) if self.look else []

    def _decode(self, name: str, png: bytes) -> list[Finding]:
        try:
            height, width = features.decode_png(png).shape
        except DecodeError as error:
            return [("undecodable", f"{name} ({error})")]
        if self.size and (width, height) != self.size:
            return [("of the wrong size", f"{name} ({width}×{height}, expected {self.size[0]}×{self.size[1]})")]
        return []


@dataclasses.dataclass(frozen=True)
class _Wav:
    """The job: check the header of one WAV file."""

    folder: str
    rate: int | None

    def __call__(self, item: tuple[str, str | None]) -> list[Finding]:
        name = item[0]
        if storage.is_url(self.folder):
            content = storage.read(storage.join(self.folder, name))
            return self._read(name, BytesIO(content), content)
        file = Path(self.folder, name)
        if not file.stat().st_size:
            return [("empty", name)]
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return self._read(name, file, data)

    def _read(self, name: str, file: Path | BytesIO, data: Data) -> list[Finding]:
        cut = truncation(data)
        if cut:
            return [("truncated", f"{name} ({cut})")]
        try:
            info = soundfile.info(file)
        except RuntimeError as error:
            return [("undecodable", f"{name} ({error})")]
        if not info.frames:
            return [("empty", f"{name} (no samples)")]
        if self.rate and info.samplerate != self.rate:
            return [("with the wrong sampling rate", f"{name} ({info.samplerate} Hz, expected {self.rate} Hz)")]
        return []


def _crashed(item: tuple[str, str | None], reason: str) -> list[Finding]:
    return [("undecodable", f"{item[0]} ({reason})")]
