"""Checks that all readers of turns share: numbers, times, and selecting one recording among several."""

import math
import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Final, NamedTuple

from voxtrait.errors import OptionError, clipped
from voxtrait.timelines.naming import token
from voxtrait.timelines.records import Segment

_CLOCK: Final = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
LONGEST_S: Final = 1e7  # seconds: 115 days; later times are refused, because the work on a turn grows with its length
_NAMED = 5  # recordings that an error message lists


class Turn(NamedTuple):
    """A turn in a file, and the name of its recording, if the file contains it."""

    segment: Segment
    recording: str | None = None


def problem(file: str, where: str, got: str, expected: str) -> OptionError:
    """Return the error for a part of a file that cannot be read.

    Examples:
        >>> str(problem("a.rttm", "line 3", "4 fields", "at least 8"))
        'a.rttm, line 3: got 4 fields, expected at least 8.'
    """
    return OptionError(f"{file}, {where}: got {got}, expected {expected}.")


def seconds(file: str, where: str, value: object, what: str) -> float:
    """Return a time in seconds, from a number, its text, or a clock such as ``1:02:03.5``.

    Raises:
        OptionError: if it is not a number, negative, or not finite.

    Examples:
        >>> seconds("a.csv", "line 2", "1:02.5", "start"), seconds("a.csv", "line 2", 3, "start")
        (62.5, 3.0)
    """
    number = math.nan
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text):
            number = float(text.replace(",", "."))
        elif (clock := _CLOCK.fullmatch(text)) is not None:
            hours, minutes, rest = clock.groups()
            number = 3600.0 * float(hours or 0) + 60.0 * float(minutes) + float(rest.replace(",", "."))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    if not 0 <= number <= LONGEST_S * 1000:  # the largest number in milliseconds; also refuses NaN
        raise problem(file, where, f"{what} {clipped(value)}", "a finite, non-negative number of seconds")
    return number


def segment(file: str, where: str, start_s: float, end_s: float, speaker: str) -> Segment | None:
    """Return the turn of a speaker; ``None`` for a turn of zero length.

    Raises:
        OptionError: if the turn ends before it starts.

    Examples:
        >>> segment("a.rttm", "line 1", 0.5, 2.0, "S1")
        Segment(start_s=0.5, end_s=2.0, speaker='S1', kind=None)
    """
    if not end_s <= LONGEST_S:
        raise problem(file, where, f"end {end_s:g} s", f"a time of at most {LONGEST_S:,.0f} s")
    if end_s < start_s:
        raise problem(file, where, f"end {end_s:g} s before start {start_s:g} s", "an end after the start")
    return None if end_s == start_s else Segment(start_s, end_s, speaker)


def chosen(file: str, turns: Iterable[Turn], recording: str | None) -> list[Segment]:
    """Return the turns of one recording, by start, without duplicates.

    Args:
        file: name of the file, for the error message.
        turns: turns of one or more recordings.
        recording: path or name of the recording, with or without suffix; compared only if there are several.

    Raises:
        OptionError: if the turns are of several recordings, and none of them is ``recording``.

    Examples:
        >>> turns = [Turn(Segment(0.0, 1.0, "S1"), "talk"), Turn(Segment(0.0, 2.0, "S1"), "news")]
        >>> chosen("a.rttm", turns, "news.mp3")
        [Segment(start_s=0.0, end_s=2.0, speaker='S1', kind=None)]
    """
    found = list(turns)
    names = list(dict.fromkeys(one.recording for one in found if one.recording is not None))
    if len(names) > 1:
        wanted = None if recording is None else _match(names, recording)
        if wanted is None:
            listed = ", ".join(
                name if name.isprintable() and len(name) < 100 else clipped(name) for name in names[:_NAMED]
            ) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
            asked = "no recording was named" if recording is None else f"{recording} is not among them"
            raise OptionError(f"{file} has {len(names)} recordings, and {asked}. Expected one of: {listed}.")
        found = [one for one in found if one.recording == wanted]
    segments = dict.fromkeys(one.segment for one in found)
    return sorted(segments, key=lambda one: (one.start_s, one.end_s, one.speaker or ""))


def _match(names: list[str], recording: str) -> str | None:
    """Return the only name that equals a recording: as written, without the folder, or without the suffix."""
    whole, base, stem = recording, PurePath(recording).name, PurePath(recording).stem
    without = str(PurePath(recording).with_suffix("")) if base else recording
    for wanted in (whole, without, base, stem):
        same = [name for name in names if token(name) == token(wanted)]
        if len(same) == 1:
            return same[0]
    same = [name for name in names if token(PurePath(name).stem) in (token(stem), token(base))]
    return same[0] if len(same) == 1 else None
