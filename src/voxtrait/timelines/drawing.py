"""Draws a timeline as text for a terminal: bars of speech, speakers, speaking time and turns."""

import math
from collections.abc import Mapping, Sequence

from voxtrait.errors import counted
from voxtrait.labels import whole_years
from voxtrait.timelines.naming import one_line, shown_path
from voxtrait.timelines.records import UNSURE, Segment, Speaker, Timeline

WIDTH = 60  # columns of a bar
_LEVELS = "▁▂▃▄▅▆▇█"
_NAME = 20  # columns of a speaker's name at most


def text(timeline: Timeline, width: int = WIDTH) -> str:
    """Return a timeline as text: a bar for each speaker, then speakers, speaking time and turns.

    Args:
        timeline: timeline of one recording. A status other than ``ok`` gives one line.
        width: width of a bar, which spans the whole recording, in columns.

    Examples:
        >>> talk = Timeline("talk.mp3", "ok", None, 10.0, 5.0, (Speaker("S1", 5.0, "female", 0.99, 41.2, 33, 50),),
        ...     (Segment(0.0, 5.0, "S1"),), "voxtrait-base 2.2")
        >>> print(text(talk, 10))
        talk.mp3  0:10  1 speaker, 1 turn, 0:05 of speech
        <BLANKLINE>
        S1  █████▁▁▁▁▁
            0:00  0:10
        <BLANKLINE>
        S1  0:05  female 0.99  41 years (33–50)
        <BLANKLINE>
        Speaking time (share, 95 % interval)
        female  0:05  100 % (100–100 %)
        <BLANKLINE>
        0:00.0–0:05.0  S1
        >>> print(text(Timeline("a.mp3", "error", "No such file", None, None, (), (), "voxtrait-base 2.2")))
        a.mp3  error: No such file
    """
    path = _clean(shown_path(timeline))
    if timeline.status != "ok":
        return f"{path}  {timeline.status}: {_clean(timeline.message or 'no details')}"
    length = max([timeline.duration_s or 0.0, *(one.end_s for one in timeline.segments)])
    counts = f"{counted(len(timeline.speakers), 'speaker')}, {counted(len(timeline.turns), 'turn')}"
    head = [f"{path}  {clock(length)}  {counts}, {clock(timeline.speech_s or 0.0)} of speech"]
    if timeline.message:
        head.append(_clean(timeline.message))
    parts = [
        head,
        _bars(timeline, length, max(width, 1)),
        _columns([about(one) for one in timeline.speakers]),
        _speaking(timeline),
        _columns([[f"{tenths(one.start_s)}–{tenths(one.end_s)}", _name(one.speaker)] for one in timeline.turns]),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def bar(segments: Sequence[Segment], length_s: float, width: int) -> str:
    """Return a bar over a recording. The height of each column is the share of its time that segments cover.

    Examples:
        >>> bar([Segment(0.0, 5.0, "S1"), Segment(7.0, 7.5, "S1")], 8.0, 8)
        '█████▁▁▅'
    """
    if length_s <= 0:
        return _LEVELS[0] * width
    covered = [0.0] * width
    column, reached = length_s / width, 0.0
    for one in sorted(segments, key=lambda one: one.start_s):
        start, end = max(one.start_s, reached), min(one.end_s, length_s)
        place = min(int(start / column), width - 1)
        while start < end and place < width:
            stop = min(end, (place + 1) * column)
            covered[place] += max(stop - start, 0.0)
            start, place = max(start, stop), place + 1
        reached = max(reached, end)
    return "".join(_LEVELS[min(math.ceil(part / column * 7 - 1e-6), 7)] for part in covered)


def _bars(timeline: Timeline, length: float, width: int) -> list[str]:
    rows = [
        (_name(one.speaker), [turn for turn in timeline.segments if turn.speaker == one.speaker])
        for one in timeline.speakers
    ]
    music = [one for one in timeline.segments if one.kind == "music"]
    rows += [("music", music)] if music else []
    if not rows:
        return []
    indent = max(len(name) for name, _ in rows)
    scale = f"{'0:00'}{clock(length):>{max(width - 4, 1)}}"
    return [f"{name:<{indent}}  {bar(found, length, width)}" for name, found in rows] + [f"{'':<{indent}}  {scale}"]


def about(one: Speaker) -> list[str]:
    """Return name, seconds, gender and age of a speaker, as far as they are known."""
    name = _name(one.speaker) + (f" (channel {one.channel})" if one.channel else "")
    spoken = [name, clock(one.speech_s)]
    if one.gender is None:
        return [*spoken, "no prediction"]
    certain = "" if one.p_female is None else f" {1 - one.p_female if one.gender == 'male' else one.p_female:.2f}"
    gender = f"{one.gender}{' (female' + certain + ')' if one.gender == UNSURE and certain else certain}"
    if one.age_years is None:
        return [*spoken, gender]
    range_ = "" if one.age_low is None or one.age_high is None else f" ({one.age_low:.0f}–{one.age_high:.0f})"
    return [*spoken, gender, f"{whole_years(one.age_years)} years{range_}"]


def _speaking(timeline: Timeline) -> list[str]:
    rows = [
        [gender, clock(part["seconds"]), _share(part)]
        for gender, part in timeline.shares("gender").items()
        if part["seconds"] > 0
    ]
    if not rows:
        return []
    lines = ["Speaking time (share, 95 % interval)", *_columns(rows)]
    found = timeline.female_share()
    if found is not None and any(one.gender == UNSURE for one in timeline.speakers):
        lines.append(f"Share of female voices, unsure ones counted by probability: {_share(found)}")
    return lines


def _share(part: Mapping[str, float]) -> str:
    return f"{part['share']:.0%} ({part['low']:.0%}–{part['high']:.0%})".replace("%–", "–").replace("%", " %")


def _columns(rows: list[list[str]]) -> list[str]:
    """Align the cells of rows; a row may have fewer cells than others."""
    wide = max((len(row) for row in rows), default=0)
    widths = [max(len(row[place]) for row in rows if place < len(row)) for place in range(wide)]
    return ["  ".join(f"{cell:<{size}}" for cell, size in zip(row, widths, strict=False)).rstrip() for row in rows]


def clock(time_s: float) -> str:
    """Return a time as minutes and seconds, with hours if it is at least one hour.

    Examples:
        >>> clock(62.34), clock(3700)
        ('1:02', '1:01:40')
    """
    minutes, rest = divmod(round(time_s), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def tenths(time_s: float) -> str:
    """Return a time as minutes, seconds and tenths.

    Examples:
        >>> tenths(62.34)
        '1:02.3'
    """
    whole, tenth = divmod(round(time_s * 10), 10)
    return f"{clock(whole)}.{tenth}"


def _name(speaker: str | None) -> str:
    shown = _clean(one_line(speaker or "-"))
    return shown if len(shown) <= _NAME else shown[: _NAME - 1] + "…"


def _clean(shown: str) -> str:
    """Replace characters that control a terminal."""
    return "".join(one if one.isprintable() else "\ufffd" for one in shown)
