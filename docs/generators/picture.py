"""Draws images/how-it-works.svg: from a file to a prediction, with the numbers of the default bundle."""

import itertools
import json
import math
from collections.abc import Iterator
from html import escape
from typing import Final

from voxtrait import bundle as bundles
from voxtrait import palette
from voxtrait.recognize.decision import EVIDENCE_S

WIDTH: Final = 760
ROW: Final = 92  # height of a stage
TOP: Final = 16
BOX: Final = 70  # height of its box
TEXT: Final = 196  # left edge of the texts
EXIT: Final = 566  # left edge of what leaves a stage
EXAMPLE: Final = (34, 24, 47)  # years of the drawn prediction, and its interval


def svg() -> str:
    """Return the drawing."""
    rows = list(_stages())
    height = TOP + ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-labelledby="title" font-family="{escape(palette.FONT)}">',
        '<title id="title">From a file to a prediction</title>',
        f'<rect width="{WIDTH}" height="{height}" rx="14" fill="{palette.PAPER.light}"/>',
    ]
    for at, (title, text, exits, sketch) in enumerate(rows):
        y = TOP + at * ROW
        if at:
            x, tip = 92, y - 4
            parts.append(
                _path(f"M{x} {y - ROW + BOX}V{tip}M{x - 5} {tip - 6}L{x} {tip}L{x + 5} {tip - 6}", "STRONG_LINE")
            )
        parts.append(_box(16, y, EXIT - 40, BOX, palette.RAISED.light))
        parts.append(f'<g transform="translate(28 {y + 9})">{sketch}</g>')
        parts.append(_text(TEXT, y + 29, title, palette.INK.light, 17, 600))
        parts.append(_text(TEXT, y + 51, text, palette.QUIET.light, 14))
        for line, (name, detail) in enumerate(exits):
            middle = y + BOX / 2 + (line - (len(exits) - 1) / 2) * 38
            x, tip = EXIT - 24, EXIT - 5
            arrow = f"M{x} {middle:g}H{tip}M{tip - 6} {middle - 5:g}L{tip} {middle:g}L{tip - 6} {middle + 5:g}"
            parts.append(_path(arrow, "STRONG_LINE"))
            parts.append(_text(EXIT + 2, middle - 1, name, palette.ACCENT.light, 14, 600))
            parts.append(_text(EXIT + 2, middle + 15, detail, palette.QUIET.light, 12.5))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _stages() -> Iterator[tuple[str, str, list[tuple[str, str]], str]]:
    """Yield each stage: its name, one line, what leaves it, and a sketch of 140 × 52."""
    bundle = bundles.load(bundles.DEFAULT)
    front, recipe = bundle.front_end, json.loads(bundle.made_with["recipe"])
    low, high = bundle.calibration["gender"]["unsure"]
    frames = front.sampling_rate // front.hop_length
    yield (
        "File, folder or stream",
        f"decoded to one channel at {front.sampling_rate // 1000} kHz",
        [],
        _wave(speech=False),
    )
    exits = [("no_speech", "no speech was found"), ("too_short", f"less than {EVIDENCE_S[0]:g} s of speech")]
    yield "Speech", "Silero's network finds where somebody speaks", exits, _wave(speech=True)
    text = f"{front.n_mels} bands, windows of up to {front.columns // frames} s"
    yield "Filter bank", text, [], _bands()
    yield "Encoder, frozen", "CAM++ in 8 bits: mean and spread over time", [("embedding", "192 values")], _vector()
    yield "Heads", f"{recipe['members'] * recipe['networks']} small networks, trained on labelled clips", [], _network()
    exits = [("unsure", f"p_female from {low:.2f} to {high:.2f}")]
    yield "Calibration", "fitted on held-out speakers", exits, _gauge(low, high)
    years, first, last = EXAMPLE
    yield "Prediction", f"female, p 0.97 · {years} years, 80 % interval {first}–{last}", [], _ages()


def _path(line: str, colour: str, width: float = 1.5, fill: str = "none") -> str:
    return f'<path d="{line}" fill="{fill}" stroke="{getattr(palette, colour).light}" stroke-width="{width:g}"/>'


def _box(x: float, y: float, width: float, height: float, fill: str) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="9" fill="{fill}" '
        f'stroke="{palette.LINE.light}"/>'
    )


def _bar(x: float, y: float, width: float, height: float, fill: str, opacity: float = 1.0) -> str:
    shown = "" if opacity == 1 else f' fill-opacity="{opacity:.2f}"'
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{fill}"{shown}/>'


def _text(x: float, y: float, text: str, fill: str, size: float, weight: int = 400) -> str:
    return f'<text x="{x:g}" y="{y:g}" fill="{fill}" font-size="{size:g}" font-weight="{weight}">{escape(text)}</text>'


def _loudness(at: float) -> float:
    """Return how loud the sketched clip is, 0 to 1, at a place from 0 to 1: three words between pauses."""
    words = ((0.20, 0.07), (0.45, 0.10), (0.76, 0.09))
    return max(math.exp(-(((at - middle) / width) ** 2)) for middle, width in words)


def _wave(speech: bool) -> str:
    """Sketch a waveform, with the speech marked or not."""
    parts = []
    for at in range(70):
        level = _loudness(at / 70)
        size = round(1.5 + 23 * level * (0.55 + 0.45 * abs(math.sin(2.1 * at))), 1)
        spoken = speech and level > 0.15
        colour = palette.ACCENT if spoken else palette.UNSURE if speech else palette.INK
        parts.append(_bar(2 * at, 26 - size, 1.3, 2 * size, colour.light))
    return "".join(parts)


def _bands() -> str:
    """Sketch a spectrogram."""
    parts = [_bar(0, 0, 140, 52, palette.TAPE)]
    for column in range(28):
        for band in range(8):
            harmonic = 0.5 + 0.5 * math.cos(1.9 * band + 2.5 * math.sin(column / 6))
            level = round(_loudness(column / 28) * harmonic * (1 - band / 12), 2)
            if level > 0.05:
                parts.append(_bar(5 * column, 45.5 - 6.5 * band, 5, 6.5, palette.SIGNAL, level))
    return "".join(parts)


def _vector() -> str:
    """Sketch a vector of numbers."""
    parts = []
    for at in range(28):
        value = round(18 * math.sin(1.7 * at) * math.cos(0.6 * at * at), 1)
        parts.append(_bar(5 * at, 26 - max(value, 0), 3.4, max(abs(value), 1), palette.INK.light))
    return "".join(parts)


def _network() -> str:
    """Sketch layers of nodes."""
    layers = ((14, 5), (70, 4), (126, 2))
    nodes = [[(x, 26 + 11 * (at - (n - 1) / 2)) for at in range(n)] for x, n in layers]
    lines = [
        f"M{a[0]} {a[1]:g}L{b[0]} {b[1]:g}" for left, right in itertools.pairwise(nodes) for a in left for b in right
    ]
    dots = [f'<circle cx="{x}" cy="{y:g}" r="3.5" fill="{palette.INK.light}"/>' for layer in nodes for x, y in layer]
    return _path("".join(lines), "STRONG_LINE", 0.5) + "".join(dots)


def _gauge(low: float, high: float) -> str:
    """Sketch the probability from male to female, with the abstention band."""
    parts = [
        _bar(0, 18, 140 * low, 10, palette.MALE.light),
        _bar(140 * low, 18, 140 * (high - low), 10, palette.UNSURE.light, 0.55),
        _bar(140 * high, 18, 140 * (1 - high), 10, palette.FEMALE.light),
        _path("M135.8 12V34", "INK", 2.5),
    ]
    for x, anchor, text in ((0, "start", "male"), (70, "middle", "unsure"), (140, "end", "female")):
        parts.append(_text(x, 48, text, palette.QUIET.light, 11).replace("<text", f'<text text-anchor="{anchor}"'))
    return "".join(parts)


def _ages() -> str:
    """Sketch the distribution over years, with the interval."""
    years, low, high = EXAMPLE

    def height(year: float) -> float:
        return round(38 * math.exp(-(((year - years + 2) / (10 if year < years - 2 else 15)) ** 2)), 1)

    def line(first: int, last: int) -> str:
        points = "L".join(f"{1.6 * year:.1f} {42 - height(year):.1f}" for year in range(first, last + 1))
        return f"M{1.6 * first:.1f} 42L{points}L{1.6 * last:.1f} 42Z"

    parts = [
        f'<path d="{line(4, 86)}" fill="{palette.FEMALE.light}" fill-opacity="0.25"/>',
        f'<path d="{line(low, high)}" fill="{palette.FEMALE.light}" fill-opacity="0.75"/>',
        _path("M0 42.5H140", "STRONG_LINE", 1),
        _path(f"M{1.6 * low:.1f} 47H{1.6 * high:.1f}", "INK", 2.5),
    ]
    return "".join(parts)
