"""Exports a manifest to the formats of other tools, and counts what failed and what a format cannot store."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from voxtrait import batch, manifest
from voxtrait.audio.writing import atomic_path
from voxtrait.corpora import placing
from voxtrait.corpora.layouts import audformat, audio_folder, class_folders, kaldi_export, lhotse
from voxtrait.errors import NothingToDoError, OptionError
from voxtrait.labels import SPLITS
from voxtrait.manifest import naming

AUDIO: Final = ("copy", "link", "reference")
TARGETS: Final = {
    "audiofolder": "link",
    "kaldi": "reference",
    "lhotse": "reference",
    "audformat": "link",
    "csv": "reference",
    "class-folders": "link",
}
"""The formats, and how each exports audio by default."""

_FAILURE: Final = ("clip_id", "path", "reason")


@dataclass
class Export:
    """Result of :func:`export`: ``clips`` is the sum of ``written``, ``left_out``, and failures without a row.

    Attributes:
        to: the format.
        out: the folder or table written.
        audio: ``copy``, ``link`` or ``reference``.
        clips: number of rows of the manifest, in the splits exported.
        written: number of clips in the export.
        left_out: reason why the format cannot store a clip → number of clips.
        tables: the tables written, relative to ``out``.
        failures: ``clip_id``, ``path`` and ``reason`` of the clips whose file could not be used.
        notes: notes for the user.
        elapsed_s: time taken, in seconds.
    """

    to: str
    out: str
    audio: str
    clips: int = 0
    written: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    failures: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict.fromkeys(_FAILURE, pl.String)))
    notes: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0

    @property
    def failed(self) -> int:
        """Number of clips whose file could not be used."""
        return self.failures.height

    def to_dict(self) -> dict[str, Any]:
        """Return the figures and the failures as JSON-ready values."""
        plain = {name: getattr(self, name) for name in ("to", "out", "audio", "clips", "written")}
        rest = {"left_out": self.left_out, "tables": self.tables, "notes": self.notes}
        return {
            **plain, "failed": self.failed, **rest, "elapsed_s": round(self.elapsed_s, 2),
            "failures": self.failures.to_dicts(),
        }  # fmt: skip

    def fail(self, rows: pl.DataFrame) -> None:
        """Add rows to the failures, each with its ``reason``."""
        if rows.height:
            self.failures = pl.concat([self.failures, rows.select(_FAILURE)])


def export(
    table: pl.DataFrame,
    out: str | os.PathLike[str],
    *,
    to: str,
    audio: str | None = None,
    splits: Sequence[str] = (),
    tables_only: bool = False,
    jobs: batch.Jobs = 1,
    label: str | None = None,
) -> Export:
    """Write a manifest in the format of another tool.

    Importing an export restores what its format can store: see ``docs/how-to/export.md``.

    Args:
        table: a manifest with absolute paths (:func:`voxtrait.manifest.with_absolute_paths`).
        out: a new folder, or the folder of the same export after an interruption, which is then resumed. For ``csv``,
            it may be the name of a table, ``.csv`` or ``.tsv``.
        to: one of ``TARGETS``.
        audio: ``copy`` or ``link`` the files into ``out``, or ``reference`` them where they are; ``None`` takes the
            default of the format. Links are relative.
        splits: export only the clips of these splits; empty exports all clips.
        tables_only: open no audio; neither the existence nor the headers of files are checked.
        jobs: number of worker processes that read headers, for Lhotse.
        label: shown before the progress line on standard error; ``None`` shows no progress.

    Returns:
        The figures of the export. Missing files are failures. Their clips have no row if audio is copied or linked, and
        keep their row if it is referenced.

    Raises:
        OptionError: if an argument is not one of the values above, or ``out`` contains other files. Existing files are
            never overwritten.
        NothingToDoError: if no clip is in the splits.
        ManifestError: if the table is not a manifest.
        MissingExtraError: if the format is audformat and its package is not installed.

    Examples:
        >>> import tempfile
        >>> table = pl.DataFrame({"clip_id": ["c/-/en/1"], "path": ["/clips/1.wav"], "gender": ["female"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export(table, f"{folder}/data", to="kaldi", tables_only=True).written
        1
    """
    started = time.perf_counter()
    how = _checked(to, audio, splits, tables_only)
    place = Path(out)
    rows = manifest.conform(table).drop("place", strict=False)
    rows = rows.filter(pl.col("split").is_in(list(splits))) if splits else rows
    if not rows.height:
        raise NothingToDoError(
            f"No clips to export: the manifest has no {'clip in ' + ', '.join(splits) if splits else 'rows'}."
        )
    if to == "audformat":
        audformat.require()
    result = Export(to, str(place), how, clips=rows.height)
    rows = rows if rows["clip_id"].is_sorted() else rows.sort("clip_id")
    if to == "csv" and place.suffix.lower() in (".csv", ".tsv"):
        _write_table(rows, place, result, how, tables_only)
    else:
        placing.claim(place, {"to": to, "audio": how, "splits": sorted(splits)}, rows)
        _write(rows, place, result, tables_only=tables_only, jobs=jobs, label=label)
        _write_failures(result, place)
    result.elapsed_s = time.perf_counter() - started
    return result


def _checked(to: str, audio: str | None, splits: Sequence[str], tables_only: bool) -> str:
    if to not in TARGETS:
        raise OptionError(f"Got the format {to!r}. Expected one of {', '.join(TARGETS)}.")
    how = audio or TARGETS[to]
    if how not in AUDIO:
        raise OptionError(f"Got {how!r} for the audio. Expected one of {', '.join(AUDIO)}.")
    if to in ("class-folders", "audiofolder") and how == "reference":
        raise OptionError(f"{to} can only store files in its own folder. Use --audio link or --audio copy.")
    if tables_only and how != "reference":
        raise OptionError(
            f"--tables-only opens no audio, but --audio {how} needs it. Use --audio reference, or omit --tables-only."
        )
    if unknown := [split for split in splits if split not in SPLITS]:
        raise OptionError(f"Got the split {unknown[0]!r}. Expected one of {', '.join(SPLITS)}.")
    return how


def _write_table(rows: pl.DataFrame, out: Path, result: Export, how: str, tables_only: bool) -> None:
    if how != "reference":
        raise OptionError(f"Cannot {how} audio to the table {out}. Give a folder, which gets manifest.csv and audio/.")
    if out.exists():
        raise OptionError(f"{out} exists, and exports do not overwrite files. Use another name, or delete it.")
    _find_absent(rows, result, tables_only)
    manifest.write(manifest.with_relative_paths(rows, out.parent), out)
    result.written, result.tables = rows.height, [out.name]


def _find_absent(rows: pl.DataFrame, result: Export, tables_only: bool) -> pl.DataFrame:
    """Add missing files to the failures, and keep their rows."""
    if tables_only:
        return rows
    missing = placing.absent(rows["path"])
    result.fail(rows.filter(missing).with_columns(reason=pl.lit("no such file")))
    return rows


def _write(
    rows: pl.DataFrame, out: Path, result: Export, *, tables_only: bool, jobs: batch.Jobs, label: str | None
) -> None:
    if result.to == "class-folders":
        _write_class_folders(rows, out, result, label)
        return
    if result.to == "kaldi":
        rows = _for_kaldi(rows, result)
    if result.audio == "reference":
        rows = _find_absent(rows, result, tables_only).with_columns(place=pl.lit(None, pl.String))
    else:
        rows = _with_files(rows.with_columns(_places(rows, result.to)), out, result, label)
    match result.to:
        case "audiofolder":
            result.tables = audio_folder.write(rows, out)
        case "audformat":
            result.tables = audformat.write(rows, out, out.resolve().name)
        case "kaldi":
            result.tables = kaldi_export.write(_moved(rows, out), out)
        case "lhotse":
            rows = _for_lhotse(_moved(rows, out), result, tables_only, jobs, label)
            result.tables = lhotse.write(rows, out)
        case _:
            manifest.write(rows.with_columns(path=pl.coalesce("place", "path")).drop("place"), out / "manifest.csv")
            result.tables = ["manifest.csv"]
    result.written = rows.height


def _places(rows: pl.DataFrame, to: str) -> pl.Expr:
    """Return the relative paths of copied and linked clips: in ``audio/``, or in that of their split."""
    names = placing.with_suffix(naming.file_names(rows["clip_id"], any_disk=True), rows["path"])
    folder = pl.lit("audio/")
    if to == "audiofolder" and rows["split"].count():
        folder = pl.col("split").fill_null(placing.UNSPLIT) + "/audio/"
    return (folder + pl.lit(names)).alias("place")


def _with_files(rows: pl.DataFrame, out: Path, result: Export, label: str | None) -> pl.DataFrame:
    """Copy or link the files, and drop the rows of those that fail."""
    pairs = rows.select("path", "place").iter_rows(buffer_size=512)
    failed = list(placing.put_all(pairs, rows.height, out, result.audio, label))
    at = pl.Series([at for at, _ in failed], dtype=pl.UInt32)
    lost = rows[at] if failed else rows.clear()
    result.fail(lost.with_columns(reason=pl.Series([why for _, why in failed], dtype=pl.String)))
    return rows.with_row_index("_at").filter(~pl.col("_at").is_in(at.implode())).drop("_at") if failed else rows


def _moved(rows: pl.DataFrame, out: Path) -> pl.DataFrame:
    """Set ``path`` to the absolute path of the copy or link, because these tools may run in any folder."""
    base = f"{Path(os.path.abspath(out)).as_posix()}/"  # noqa: PTH100 - links stay as they are
    return rows.with_columns(path=pl.coalesce(base + pl.col("place"), "path")).drop("place")


def _for_kaldi(rows: pl.DataFrame, result: Export) -> pl.DataFrame:
    if result.audio != "reference":
        return rows
    exportable = rows.filter(kaldi_export.holds("path"))
    if lost := rows.height - exportable.height:
        result.left_out["path not valid in wav.scp (use --audio link)"] = lost
    return exportable


def _for_lhotse(
    rows: pl.DataFrame, result: Export, tables_only: bool, jobs: batch.Jobs, label: str | None
) -> pl.DataFrame:
    if tables_only and "sampling_rate" not in rows.columns:
        result.notes.append(
            "the sampling rate of all clips is assumed to be 16000 Hz. Without --tables-only it is read from the files"
        )
    if result.failed:
        rows = rows.join(result.failures.select("clip_id"), on="clip_id", how="anti", maintain_order="left")
    return lhotse.with_headers(
        rows,
        tables_only=tables_only, jobs=jobs, label=label, fail=result.fail,
    )  # fmt: skip


def _write_class_folders(rows: pl.DataFrame, out: Path, result: Export, label: str | None) -> None:
    names = placing.with_suffix(naming.file_names(rows["clip_id"], any_disk=True), rows["path"])
    named = rows.with_columns(names.alias("name"))
    places = class_folders.places(named)
    if unlabelled := rows.height - places["at"].n_unique():
        result.left_out["neither female nor male, and no age group"] = unlabelled
    both = named.with_row_index("at").join(places, on="at", how="inner", maintain_order="right")
    done = _with_files(both, out, result, label)
    result.failures = result.failures.unique(maintain_order=True)
    result.written = done["at"].n_unique()


def _write_failures(result: Export, out: Path) -> None:
    file = out / placing.FAILURES
    if not result.failed:
        file.unlink(missing_ok=True)
        return
    with atomic_path(file) as part:
        result.failures.write_csv(part)
