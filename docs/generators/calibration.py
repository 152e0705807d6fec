"""Draws images/calibration.svg: the share of women over the predicted probability, for the shipped encoder bundles."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from voxtrait import bundle as bundles
from voxtrait import palette

NAMES: Final = ("voxtrait-base", "voxtrait-fast")
SIDE: Final = 270  # of a plot
LEFT: Final = 62  # left edge of the first plot
TOP: Final = 44
GAP: Final = 80  # between the plots
WIDTH: Final = LEFT + 2 * SIDE + GAP + 24
HEIGHT: Final = TOP + SIDE + 62
BARS: Final = 60  # height of the bar for all clips


def svg() -> str:
    """Return the drawing."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="title" font-family="{escape(palette.FONT)}">',
        '<title id="title">Share of women over the predicted probability of female</title>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="14" fill="{palette.PAPER.light}"/>',
    ]
    for at, name in enumerate(NAMES):
        x = LEFT + at * (SIDE + GAP)
        parts.append(f'<g transform="translate({x} {TOP})">')
        parts += _plot(name, bundles.load(name).scores["gender"]["reliability"])
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _plot(name: str, bins: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield one plot: its frame, the diagonal, a bar for the clips of each bin, and a point for each bin."""
    yield f'<rect width="{SIDE}" height="{SIDE}" fill="{palette.RAISED.light}" stroke="{palette.LINE.light}"/>'
    yield _text(SIDE / 2, -14, name, palette.INK.light, 15, 600)
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        yield _text(SIDE * tick, SIDE + 19, f"{tick:g}", palette.QUIET.light, 12)
        yield _text(-20, SIDE * (1 - tick) + 4, f"{tick:g}", palette.QUIET.light, 12)
    yield _text(SIDE / 2, SIDE + 43, "p_female", palette.INK.light, 13)
    share = _text(0, 0, "share of women", palette.INK.light, 13)
    yield f'<g transform="translate(-42 {SIDE / 2:g}) rotate(-90)">{share}</g>'
    clips = sum(row["n_clips"] for row in bins)
    for row in bins:
        height, width = BARS * row["n_clips"] / clips, SIDE * (row["high"] - row["low"]) - 2
        place = f'x="{SIDE * row["low"] + 1:.1f}" y="{SIDE - height:.1f}" width="{width:.1f}" height="{height:.1f}"'
        yield f'<rect {place} fill="{palette.SUNK.light}"/>'
        middle = SIDE * (row["low"] + row["high"]) / 2
        yield _text(middle, SIDE - height - 5, str(row["n_clips"]), palette.QUIET.light, 11)
    yield (
        f'<path d="M0 {SIDE}L{SIDE} 0" fill="none" stroke="{palette.STRONG_LINE.light}" stroke-width="1.5" '
        'stroke-dasharray="6 5"/>'
    )
    points = [(SIDE * row["p_female"], SIDE * (1 - row["share_female"])) for row in bins]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    yield f'<path d="M{line}" fill="none" stroke="{palette.ACCENT.light}" stroke-width="2"/>'
    for x, y in points:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{palette.ACCENT.light}"/>'


def _text(x: float, y: float, text: str, fill: str, size: float, weight: int = 400) -> str:
    place = f'x="{x:g}" y="{y:g}" text-anchor="middle" font-size="{size:g}" font-weight="{weight}"'
    return f'<text {place} fill="{fill}">{escape(text)}</text>'
