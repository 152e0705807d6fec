"""Draws a timeline as a plot: a lane for each speaker, coloured by gender, with the age beside it."""

import os
from pathlib import Path
from typing import Any, Final

from voxtrait import palette
from voxtrait.audio.writing import atomic_path, check_picture
from voxtrait.errors import require
from voxtrait.labels import whole_years
from voxtrait.palette.drawing import dress
from voxtrait.timelines.drawing import clock
from voxtrait.timelines.naming import one_line, shown_path
from voxtrait.timelines.records import UNSURE, Speaker, Timeline

COLORS: Final = {name: colour.light for name, colour in palette.GENDERS.items()}
HATCHES: Final = {"male": "//", UNSURE: ".."}  # for eyes and printers without colour; female is plain
LANE_IN: Final = 0.42  # inches
SHORTEST: Final = 0.0015  # share of the width that a turn gets at least, so that it can be seen
NAME: Final = 24  # characters of a speaker's name at most


def require_extra() -> None:
    """Check that the packages of the extra ``[timeline]`` are installed.

    Raises:
        MissingExtraError: if one of them is missing.
    """
    require("plotting a timeline", "timeline", "matplotlib")


def plot(timeline: Timeline, path: str | os.PathLike[str]) -> None:
    """Draw a timeline to a file.

    Args:
        timeline: timeline of any status. Without segments, the plot shows the reason.
        path: path of a ``.png``, ``.svg``, ``.pdf`` or ``.jpg`` file. Its folder is created.

    Raises:
        OptionError: if the suffix is not one of these.
        MissingExtraError: if the extra ``[timeline]`` is not installed.
    """
    require_extra()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    check_picture(path)
    has_music = any(one.kind == "music" for one in timeline.segments)
    lanes = len(timeline.speakers) + has_music
    figure = Figure(figsize=(12, 1.6 + LANE_IN * max(lanes, 2)), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    axes.set_title(_title(timeline), loc="left", fontsize=11, parse_math=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    length = max([timeline.duration_s or 0.0, *(one.end_s for one in timeline.segments), 1.0])
    axes.set_xlim(0, length)
    axes.set_ylim(lanes - 0.4, -0.6)
    if not lanes:
        axes.text(0.5, 0.5, timeline.message or timeline.status, ha="center", va="center", transform=axes.transAxes)
    names = []
    for lane, speaker in enumerate(timeline.speakers):
        turns = [turn for turn in timeline.turns if turn.speaker == speaker.speaker]
        bars = [(turn.start_s, max(turn.duration_s, SHORTEST * length)) for turn in turns]
        axes.broken_barh(bars, (lane - 0.36, 0.72), **_fill(speaker.gender or UNSURE))
        names.append(_name(speaker))
    if has_music:
        bars = [(one.start_s, one.duration_s) for one in timeline.segments if one.kind == "music"]
        music, paper = palette.MUSIC.light, palette.PAPER.light
        axes.broken_barh(bars, (lanes - 1.36, 0.72), facecolors=music, hatch="xxx", edgecolor=paper, linewidth=0)
        names.append("music")
    axes.set_yticks(range(lanes), names, fontsize=9, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_axisbelow(True)
    axes.grid(axis="x")
    axes.xaxis.set_major_formatter(lambda seconds, _place: clock(seconds))
    totals = {gender: part for gender, part in timeline.shares("gender").items() if part["seconds"] > 0}
    handles = [
        Patch(label=f"{gender} {clock(part['seconds'])}, {part['share']:.0%}".replace("%", " %"), **_fill(gender))
        for gender, part in totals.items()
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    dress(figure)
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as part:
        figure.savefig(part, dpi=120, format=file.suffix[1:].lower())


def _fill(gender: str) -> dict[str, Any]:
    """Return the colour and the hatch of a gender as arguments of a patch."""
    return {
        "facecolor": COLORS[gender], "hatch": HATCHES.get(gender, ""), "edgecolor": palette.PAPER.light, "linewidth": 0
    }  # fmt: skip


def _title(timeline: Timeline) -> str:
    name = one_line(Path(shown_path(timeline)).name)
    if timeline.status != "ok":
        return f"{name}: {timeline.status}"
    return f"{name}: {clock(timeline.speech_s or 0.0)} of speech in {clock(timeline.duration_s or 0.0)}"


def _name(speaker: Speaker) -> str:
    name = one_line(speaker.speaker)
    parts = [name if len(name) <= NAME else f"{name[: NAME - 1]}…"]
    if speaker.channel is not None:
        parts.append(f"channel {speaker.channel}")
    if speaker.gender is not None:
        parts.append(speaker.gender)
    if speaker.age_years is not None:
        between = "" if speaker.age_low is None else f" ({speaker.age_low:.0f}–{speaker.age_high:.0f})"
        parts.append(f"{whole_years(speaker.age_years)} years{between}")
    return ", ".join(parts)
