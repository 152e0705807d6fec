"""Checks that a timeline replaces only an earlier timeline of the same recordings, and no other file."""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Final

from voxtrait import storage
from voxtrait.errors import OptionError

_REMEDY: Final = "Pass --overwrite to replace it, or use another name with --out."


def check_replaceable(target: str | os.PathLike[str], format_: str, paths: Collection[str]) -> bool:
    """Check an existing output file before any work is done.

    A file in a format that names its recordings is replaced if all of them are among the new ones. Files in the other
    formats are replaced if they have the format.

    Args:
        target: path of the output file.
        format_: one of the formats of :func:`voxtrait.timelines.formats.render`, or ``parquet``.
        paths: the recordings, as timelines name them; ``-`` for standard input.

    Returns:
        Whether an earlier timeline is replaced.

    Raises:
        OptionError: if other content would be lost.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.json").write_text('{"path": "talk.mp3", "segments": []}')
        ...     check_replaceable(f"{folder}/a.json", "json", ["talk.mp3"])
        ...     check_replaceable(f"{folder}/b.json", "json", ["talk.mp3"])
        True
        False
    """
    file = Path(target)
    if not file.is_file() or not file.stat().st_size:
        return False
    name = storage.text_of(file)
    try:
        named = set(_RECORDINGS[format_](file))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise OptionError(f"{name} exists and is not a timeline in the format {format_}. {_REMEDY}") from None
    if lost := sorted(named - {storage.text_of(path) for path in paths}):
        raise OptionError(f"{name} contains the timeline of another recording, {lost[0]}. {_REMEDY}")
    return True


def _parquet(file: Path) -> Iterable[str]:
    import polars as pl

    try:
        return pl.read_parquet(file, columns=["path", "start_s", "end_s"])["path"].drop_nulls().to_list()
    except pl.exceptions.PolarsError as error:
        raise ValueError(str(error)) from None


def _json(file: Path) -> Iterable[str]:
    found = json.loads(file.read_text("utf-8"))
    return _named(found if isinstance(found, list) else [found])


def _jsonl(file: Path) -> Iterable[str]:
    return _named(json.loads(line) for line in file.read_text("utf-8").splitlines())


def _named(values: Iterable[dict[str, object]]) -> Iterable[str]:
    return [str(value["path"] or "-") for value in values if value["segments"] is not None]


def _csv(file: Path) -> Iterable[str]:
    rows = csv.DictReader(io.StringIO(file.read_text("utf-8")))
    if not {"path", "start_s", "end_s"} <= set(rows.fieldnames or ()):
        raise ValueError("other columns")
    return [row["path"] or "-" for row in rows]


def _like(pattern: str) -> Callable[[Path], Iterable[str]]:
    """Return a check that the first line with text has a form."""

    def check(file: Path) -> Iterable[str]:
        text = file.read_text("utf-8").lstrip("\ufeff\r\n ")
        if not re.match(pattern, text):
            raise ValueError("another format")
        return ()

    return check


_RECORDINGS: Final[dict[str, Callable[[Path], Iterable[str]]]] = {
    "parquet": _parquet,
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
    "textgrid": _like(r'File type = "ooTextFile"'),
    "rttm": _like(r"(SPEAKER|SPKR-INFO|;;) "),
    "srt": _like(r"\d+\s*\n\d+:\d\d:\d\d[,.]\d+ --> "),
    "audacity": _like(r"\d+[.,]\d+\t\d+[.,]\d+"),
    "lhotse": _like(r'\{"id": ".*"recording_id": '),
    "text": _like(r".*  (\d+:\d\d(:\d\d)?  |no_speech: |too_short: |error: )"),
}
