"""Runs all checks: the manifest, then its files, then the folders derived from them."""

import os
from pathlib import Path

import polars as pl

from voxtrait import derived, manifest, storage
from voxtrait.batch import Jobs
from voxtrait.errors import NothingToDoError
from voxtrait.integrity.folders import check_pictures, check_wav
from voxtrait.integrity.recordings import check_recordings, check_strays
from voxtrait.integrity.report import Report
from voxtrait.integrity.tables import check_table
from voxtrait.manifest.splitting import LOOKED_AT


def check(
    manifest_path: str | os.PathLike[str],
    *,
    tables_only: bool = False,
    quick: bool = False,
    images: str | os.PathLike[str] | None = None,
    wav: str | os.PathLike[str] | None = None,
    jobs: Jobs = 1,
    label: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Report:
    """Check a manifest, its files, and folders derived from it.

    Fatal findings:

    - absent, empty, truncated and undecodable files;
    - a speaker, a file, or identical files with both genders;
    - a speaker with decades more than one apart;
    - speakers or file contents shared between splits;
    - missing, misplaced and damaged files in derived folders.

    The other findings are only reported: neighbouring decades, shared sentences, classes missing from a split, silent
    files, files that are not in the manifest, files whose duration differs from the manifest (swapped or replaced
    files), and copies of a recording with different bytes (see ``voxtrait.fingerprint``).

    Args:
        manifest_path: the manifest. The manifest, the paths in it and the derived folders may be URLs.
        tables_only: open no audio and no image.
        quick: do not search for copies of a recording with different bytes, which takes about half of the time.
        images: a folder written by ``voxtrait images``.
        wav: a folder written by ``voxtrait convert``.
        jobs: number of worker processes, or a :class:`voxtrait.batch.Where`.
        label: shown before the progress lines on standard error; ``None`` shows no progress.
        cache: a folder that stores the result of each file, so that an interrupted run is resumed and a later run opens
            only new files.

    Returns:
        The findings.

    Raises:
        ManifestError: if the file is not a manifest.
        NothingToDoError: if the manifest has no rows.
        OptionError: if a derived folder does not exist.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "all.csv").write_text("path,gender,speaker_id\\na.mp3,male,x\\nb.mp3,female,x\\n")
        ...     report = check(f"{folder}/all.csv")
        >>> for row in report.rows():
        ...     print(row["severity"], row["count"], row["problem"])
        fatal 1 speakers with both genders
        fatal 2 files absent
    """
    if tables_only and images is None and wav is None:
        # read only the columns that are checked: there may be millions of rows
        rows = manifest.read(manifest_path, (*LOOKED_AT, "sentence", "path"))
        report = _of(manifest_path, rows)
        check_table(rows, report)
        return report
    clips = derived.labelled_clips(manifest_path)
    report = _of(manifest_path, clips.table)
    check_table(clips.table, report)
    if not tables_only:
        kept = Path(cache) if cache else None
        check_recordings(clips.table, report, jobs=jobs, label=label, cache=kept, quick=quick)
        check_strays(clips.table, report)
    if images is not None:
        check_pictures(
            clips,
            derived.absolute(images),
            report,
            jobs=jobs,
            label=label and f"{label} images",
            look=not tables_only,
        )
    if wav is not None:
        check_wav(clips, derived.absolute(wav), report, jobs=jobs, label=label and f"{label} WAV")
    return report


def _of(manifest_path: str | os.PathLike[str], table: pl.DataFrame) -> Report:
    if not table.height:
        raise NothingToDoError(f"{storage.shown(os.fspath(manifest_path))} has no rows.")
    return Report(storage.text_of(storage.shown(os.fspath(manifest_path))), table.height)
