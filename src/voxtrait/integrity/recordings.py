"""Checks the files of a manifest: state, duplicates, durations, and audio files that are not in the manifest."""

import contextlib
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from voxtrait import audio, storage
from voxtrait.batch import Jobs
from voxtrait.corpora import finding
from voxtrait.errors import NothingToDoError
from voxtrait.fingerprint import near_duplicates
from voxtrait.integrity.examination import STATES
from voxtrait.integrity.report import EXAMPLES, FATAL, REPORTED, Report, Severity
from voxtrait.integrity.surveying import FileStates, examine_files
from voxtrait.integrity.tables import both_genders, crossing

LENGTH_S: Final = 0.3  # allowed difference: some tools count the padding of an mp3, up to 0.28 s at 8 kHz
LENGTH_SHARE: Final = 0.01  # … plus this share of the duration, for inexact clocks and durations estimated from bytes


def check_recordings(
    table: pl.DataFrame,
    report: Report,
    *,
    jobs: Jobs,
    label: str | None,
    cache: Path | None = None,
    quick: bool = False,
) -> None:
    """Open every file of a manifest with absolute paths, and add the findings to the report.

    ``quick`` takes no fingerprints, so near-duplicates are not found.
    """
    states = examine_files(table["path"], jobs=jobs, label=label, cache=cache, quick=quick)
    report.files = table.height - states.counts["absent"]
    report.seconds = sum(states.seconds)
    states.cases["absent"] = list(map(_with_other_spelling, states.cases["absent"]))
    for state, severity in STATES.items():
        if severity:
            report.add(f"files {state}", severity, states.cases[state], states.counts[state])
    rows = table.select("clip_id", "path", "split", "duration_s", "gender").with_columns(**states.columns())
    _check_lengths(rows, report)
    _check_contents(rows, report)
    if not quick:
        _check_near_duplicates(rows, states, report)


def _with_other_spelling(path: str) -> str:
    other = None if storage.is_url(path) else finding.other_spelling(path)
    return path if other is None else f"{path} (found {other})"


def check_strays(table: pl.DataFrame, report: Report) -> None:
    """Report audio files that are in the folders of the clips but not in the manifest."""
    folders = table["path"].str.extract(r"^(.*)/[^/]*$").unique().sort()
    found: list[str] = []
    count = 0
    for folder in folders:
        with contextlib.suppress(OSError, NothingToDoError):
            here = pl.Series(_audio_in(folder), dtype=pl.String)
            strays = here.filter(~here.str.contains(r"/\.[^/]*$")).to_frame("path").join(table, on="path", how="anti")
            count += strays.height
            found += strays["path"].sort().head(EXAMPLES - len(found)).to_list() if len(found) < EXAMPLES else []
    report.add("audio files that are not in the manifest", REPORTED, found, count)


def _audio_in(folder: str) -> list[str]:
    if storage.is_url(folder):
        return [str(url) for url in storage.files(folder, audio.SUFFIXES) if storage.parent(url) == folder]
    there = Path(storage.path_of(folder)).iterdir()
    return [storage.text_of(file) for file in there if file.suffix.lower() in audio.SUFFIXES]


def with_contents(rows: pl.DataFrame) -> pl.DataFrame:
    """Add ``content``, a number that identical files share; null where the file was not read.

    Examples:
        >>> rows = pl.DataFrame({"state": [0, 0, 1, 0], "first": [7, 7, 0, 7], "second": [1, 1, 0, 2]})
        >>> with_contents(rows)["content"].to_list()
        [0, 0, None, 3]
    """
    unread = [at for at, state in enumerate(STATES) if state in ("absent", "empty")]
    read = ~pl.col("state").is_in(unread) & (pl.col("first") != 0)
    numbered = rows.with_row_index("content").with_columns(pl.col("content").cast(pl.Int64))
    return numbered.select(*rows.columns, pl.when(read).then(pl.col("content").min().over("first", "second")))


def near_duplicate_groups(rows: pl.DataFrame, heard: FileStates) -> pl.DataFrame:
    """Find files with the same recording and different bytes.

    Args:
        rows: one row per file, with the column ``content`` of :func:`with_contents`.
        heard: the states of the same files.

    Returns:
        The rows of all files whose recording has at least two contents, with ``recording``, the number of the first of
        these contents.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    firsts = rows.select(pl.col("content").is_first_distinct() & pl.col("content").is_not_null())["content"].to_numpy()
    pairs = near_duplicates(heard.prints, among=firsts)
    if not pairs:
        return rows.clear().with_columns(recording=pl.lit(None, pl.Int64))
    ends = np.array([pair[:2] for pair in pairs])
    names, where = np.unique(ends, return_inverse=True)
    left, right = where.reshape(-1, 2).T
    _, group = connected_components(coo_array((np.ones(len(pairs)), (left, right)), shape=(len(names),) * 2))
    first_of = np.full(group.max() + 1, len(rows))
    np.minimum.at(first_of, group, names)
    found = pl.DataFrame({"content": names.astype(np.int64), "recording": first_of[group].astype(np.int64)})
    return rows.join(found, on="content", how="inner", maintain_order="left")


def _check_lengths(rows: pl.DataFrame, report: Report) -> None:
    """Report files whose duration differs from the manifest, as after a swap or a replacement."""
    sound = [at for at, state in enumerate(STATES) if state in ("whole", "silent")]
    stated, found = pl.col("duration_s"), pl.col("seconds")
    wrong = rows.filter(
        pl.col("state").is_in(sound) & stated.is_finite() & ((found - stated).abs() > LENGTH_S + LENGTH_SHARE * stated)
    )
    texts = pl.format("{} ({} s, manifest: {} s)", "path", found.round(2), stated.round(2))
    report.add("files whose duration differs from the manifest", REPORTED, wrong.select(texts)[:, 0])


def _check_contents(rows: pl.DataFrame, report: Report) -> None:
    """Report identical files: fatal in two splits or with both genders, otherwise only reported."""
    rows = with_contents(rows)
    groups = rows.filter(pl.col("content").is_not_null() & pl.col("content").is_duplicated())
    copies = groups.filter(pl.col("path").n_unique().over("content") > 1)  # not the same path twice
    named = copies.with_columns(group=pl.col("clip_id").sort().str.join(" = ").over("content"))
    report.add("file contents with both genders", FATAL, both_genders(named, "group"))
    _report_groups(groups, "content", "file contents shared between splits", FATAL, "file contents repeated", report)


def _check_near_duplicates(rows: pl.DataFrame, states: FileStates, report: Report) -> None:
    groups = near_duplicate_groups(with_contents(rows), states)
    names = ("near-duplicate recordings shared between splits", "near-duplicate recordings")
    _report_groups(groups, "recording", names[0], REPORTED, names[1], report)


def _report_groups(
    groups: pl.DataFrame, key: str, across: str, severity: Severity, within: str, report: Report
) -> None:
    named = groups.select("split", group=pl.col("clip_id").sort().str.join(" = ").over(key))
    shared = crossing(named, "group")
    report.add(across, severity, shared.select(pl.format("{} ({})", "group", "splits"))[:, 0])
    report.add(
        within, REPORTED, named.filter(~pl.col("group").is_in(shared["group"].implode()))["group"].unique().sort()
    )
