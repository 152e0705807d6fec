"""The check as a whole: the table, then its files, then what was derived from them."""

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
    images: str | os.PathLike[str] | None = None,
    wav: str | os.PathLike[str] | None = None,
    jobs: Jobs = 1,
    label: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Report:
    """Check a manifest, its files, and folders derived from it.

    Fatal are absent, empty, truncated and undecodable files; a speaker, a file or copies of a file with both genders; a
    speaker with decades more than one apart; speakers or file contents shared between splits; in derived folders
    everything that a training on them would learn wrongly or miss. The rest is reported: neighbouring decades, shared
    sentences, classes missing from a split, silent files, files that are not in the table, files whose length is not
    the table's (swapped or replaced ones), and recordings that are there twice under other bytes (see
    :mod:`voxtrait.fingerprint`).

    Args:
        manifest_path: the manifest; it, the paths in it and the derived folders may be URLs.
        tables_only: open no audio, and no picture.
        images: a folder that ``voxtrait images`` made.
        wav: a folder that ``voxtrait convert`` made.
        jobs: processes, or a :class:`voxtrait.batch.Where`.
        label: of the progress lines on standard error; ``None`` shows none.
        cache: a folder that keeps the state of each file: a killed run goes on, a later one opens only new files.

    Raises:
        ManifestError: if the table is no manifest.
        NothingToDoError: if it has no rows.
        OptionError: if a derived folder is not there.

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
        # of millions of rows only the columns that are checked against each other
        rows = manifest.read(manifest_path, (*LOOKED_AT, "path"))
        report = _of(manifest_path, rows)
        check_table(rows, report)
        return report
    clips = derived.labelled_clips(manifest_path)
    report = _of(manifest_path, clips.table)
    check_table(clips.table, report)
    if not tables_only:
        check_recordings(clips.table, report, jobs=jobs, label=label, cache=Path(cache) if cache else None)
        check_strays(clips.table, report)
    if images is not None:
        check_pictures(
            clips,
            derived.absolute(images),
            report,
            jobs=jobs,
            label=label and f"{label} pictures",
            look=not tables_only,
        )
    if wav is not None:
        check_wav(clips, derived.absolute(wav), report, jobs=jobs, label=label and f"{label} WAV")
    return report


def _of(manifest_path: str | os.PathLike[str], table: pl.DataFrame) -> Report:
    if not table.height:
        raise NothingToDoError(f"{storage.shown(os.fspath(manifest_path))} has no rows")
    return Report(storage.text_of(storage.shown(os.fspath(manifest_path))), table.height)
