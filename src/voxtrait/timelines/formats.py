"""Writes timelines as text, JSON, CSV, TextGrid, RTTM, SRT, Audacity labels or Lhotse supervisions."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from voxtrait.audio.writing import atomic_path
from voxtrait.errors import OptionError, require
from voxtrait.timelines import praat, subtitles
from voxtrait.timelines.drawing import text
from voxtrait.timelines.naming import file_ids, label, one_line, shown_path, token
from voxtrait.timelines.records import COLUMNS, UNSURE, Timeline

__all__ = ["FORMATS", "SINGLE", "SUFFIXES", "check", "render", "text"]

FORMATS: Final = (
    "text",  # For people: a bar for each speaker, totals, turns.
    "json",  # For programs: one object, or a list for several recordings.
    "jsonl",  # For programs: one object per line.
    "csv",  # Tables: one row per segment.
    "textgrid",  # Praat: one tier per speaker.
    "rttm",  # Diarisation tools.
    "srt",  # Subtitles.
    "audacity",  # Label tracks of Audacity.
    "lhotse",  # Supervisions of Lhotse.
)
"""The formats of :func:`render`."""

SINGLE: Final = ("textgrid", "srt", "audacity")
"""The formats for a single recording."""

SUFFIXES: Final = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".csv": "csv",
    ".textgrid": "textgrid",
    ".rttm": "rttm",
    ".srt": "srt",
    ".txt": "audacity",
}
"""The format for each suffix of a file name, in lower case."""

ENDINGS: Final = {
    "text": ".txt",
    "json": ".json",
    "jsonl": ".jsonl",
    "csv": ".csv",
    "textgrid": ".TextGrid",
    "rttm": ".rttm",
    "srt": ".srt",
    "audacity": ".txt",
    "lhotse": ".jsonl",
}
"""The usual suffix of a file name for each format."""


def check(format_: str, many: bool) -> None:
    """Check that a format is known and can hold the recordings.

    Args:
        format_: one of ``FORMATS``.
        many: whether there are several recordings.

    Raises:
        OptionError: if the format is unknown, or if it is for one recording and there are several.

    Examples:
        >>> check("rttm", many=True)
        >>> check("srt", many=True)
        Traceback (most recent call last):
        voxtrait.errors.OptionError: The format srt is for one recording. Pass --out FOLDER or one recording.
    """
    if format_ not in FORMATS:
        raise OptionError(f"Unknown format {format_}. Expected one of: {', '.join(FORMATS)}.")
    if many and format_ in SINGLE:
        raise OptionError(f"The format {format_} is for one recording. Pass --out FOLDER or one recording.")


def render(timelines: Iterable[Timeline], format_: str, many: bool = False) -> str:
    """Return timelines as text in a format. Text that is not empty ends with a line break.

    Recordings without segments (status ``no_speech``, ``too_short`` or ``error``) appear only in ``text``, ``json`` and
    ``jsonl``, and in ``textgrid`` with an empty tier if their duration is known.

    Args:
        timelines: timelines of one or more recordings.
        format_: one of ``FORMATS``.
        many: whether there are several recordings; JSON is then a list.

    Raises:
        OptionError: if the format is unknown, or cannot hold several recordings.

    Examples:
        >>> from voxtrait.timelines.records import Segment, Speaker
        >>> talk = Timeline("talk.mp3", "ok", None, 9.0, 4.0, (Speaker("S1", 4.0, "female", 0.99, 41.2),),
        ...     (Segment(1.0, 5.25, "S1"),), "voxtrait-base 2.2")
        >>> print(render([talk], "rttm"), end="")
        SPEAKER talk 1 1.000 4.250 <NA> <NA> S1 <NA> <NA>
        >>> print(render([talk], "csv"), end="")
        path,start_s,end_s,speaker,kind,gender,p_female,age_years,age_low,age_high,age_group,channel
        talk.mp3,1.0,5.25,S1,,female,0.99,41.2,,,,
    """
    held = list(timelines)
    check(format_, many or len(held) > 1)
    return _WRITERS[format_](held, many or len(held) > 1)


def write_table(timelines: Sequence[Timeline], target: str | os.PathLike[str]) -> None:
    """Write timelines as a Parquet table with one row per segment and the columns of the format ``csv``.

    Args:
        timelines: timelines of any number of recordings. A recording without segments has no row.
        target: path of the file, in an existing folder. The file appears only when it is complete.

    Examples:
        >>> import tempfile, polars as pl
        >>> from voxtrait.timelines.records import Segment, Speaker
        >>> talk = Timeline("talk.mp3", "ok", None, 9.0, 4.0, (Speaker("S1", 4.0, "female", 0.99, 41.2),),
        ...     (Segment(1.0, 5.25, "S1"),), "voxtrait-base 2.2")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_table([talk], f"{folder}/all.parquet")
        ...     pl.read_parquet(f"{folder}/all.parquet").row(0)[:4]
        ('talk.mp3', 1.0, 5.25, 'S1')
    """
    require("a table", "corpus", "polars")
    import polars as pl

    tables = [
        one.to_polars().select(pl.lit(shown_path(one)).alias("path"), pl.all())
        for one in timelines or [Timeline(None, "error", None, None, None, (), (), "")]
    ]
    with atomic_path(target) as part:
        pl.concat(tables).write_parquet(part)


def _texts(timelines: Sequence[Timeline], _many: bool) -> str:
    between = "\n\n" if any(one.status == "ok" for one in timelines) else "\n"
    return between.join(text(one) for one in timelines) + "\n" if timelines else ""


def _json(timelines: Sequence[Timeline], many: bool) -> str:
    values = [one.to_dict() for one in timelines]
    return json.dumps(values if many or len(values) != 1 else values[0], ensure_ascii=False, indent=2) + "\n"


def _jsonl(timelines: Sequence[Timeline], _many: bool) -> str:
    return "".join(_line(one.to_dict()) for one in timelines)


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _csv(timelines: Sequence[Timeline], _many: bool) -> str:
    held = io.StringIO(newline="")
    writer = csv.DictWriter(held, ("path", *COLUMNS), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for timeline in timelines:
        speakers = {one.speaker: one.to_dict() for one in timeline.speakers}
        for one in timeline.segments:
            writer.writerow(
                {"path": shown_path(timeline)} | speakers.get(one.speaker or "", {}) | one.to_dict(),
            )
    return held.getvalue()


def _rttm(timelines: Sequence[Timeline], _many: bool) -> str:
    lines = []
    for name, timeline in zip(file_ids(timelines), timelines, strict=True):
        channels = {one.speaker: one.channel or 1 for one in timeline.speakers}
        for turn in timeline.turns:
            start, end = round(turn.start_s, 3), round(turn.end_s, 3)
            who, channel = token(str(turn.speaker)), channels.get(str(turn.speaker), 1)
            times = f"{start:.3f} {end - start:.3f}"
            lines.append(f"SPEAKER {name} {channel} {times} <NA> <NA> {who} <NA> <NA>\n")
    return "".join(lines)


def _audacity(timelines: Sequence[Timeline], _many: bool) -> str:
    lines = []
    for timeline in timelines:
        labels = {one.speaker: label(one) for one in timeline.speakers}
        for one in timeline.segments:
            name = labels.get(one.speaker or "", one.speaker or one.kind or "")
            lines.append(f"{one.start_s:.6f}\t{one.end_s:.6f}\t{one_line(name)}\n")
    return "".join(lines)


def _lhotse(timelines: Sequence[Timeline], _many: bool) -> str:
    lines = []
    for recording, timeline in zip(file_ids(timelines), timelines, strict=True):
        speakers = {one.speaker: one.to_dict() for one in timeline.speakers}
        for number, turn in enumerate(timeline.turns):
            known = speakers.get(str(turn.speaker), {})
            start, end = round(turn.start_s, 3), round(turn.end_s, 3)
            supervision: dict[str, Any] = {
                "id": f"{recording}-{number:05d}",
                "recording_id": recording,
                "start": start,
                "duration": round(end - start, 3),
                "channel": known.get("channel", 1) - 1,
                "speaker": turn.speaker,
            }
            if known.get("gender") not in (None, UNSURE):
                supervision["gender"] = known["gender"]
            custom = {name: known.get(name) for name in ("age_years", "age_low", "age_high", "p_female")}
            lines.append(_line(supervision | {"custom": custom}))
    return "".join(lines)


_WRITERS: Final[dict[str, Callable[[Sequence[Timeline], bool], str]]] = {
    "text": _texts,
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
    "textgrid": lambda timelines, _many: "".join(praat.write(one) for one in timelines),
    "rttm": _rttm,
    "srt": lambda timelines, _many: "".join(subtitles.write(one) for one in timelines),
    "audacity": _audacity,
    "lhotse": _lhotse,
}
