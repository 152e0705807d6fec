"""Defines the colours and the font of the web page, the report, the audit page, plots and images.

Female and male voices have one colour each everywhere. ``tests/test_palette.py`` measures that colour-blind readers
can distinguish the colours. Marks, hatches or letters repeat every distinction that a colour makes.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = [
    "ACCENT",
    "FEMALE",
    "FONT",
    "GENDERS",
    "HATCH",
    "INK",
    "LINE",
    "MALE",
    "MUSIC",
    "ON_ACCENT",
    "ON_SIGNAL",
    "OTHER",
    "PAPER",
    "QUIET",
    "RAISED",
    "SIGNAL",
    "SIGNAL_HOVER",
    "STRONG_LINE",
    "SUNK",
    "TAPE",
    "TAPE_INK",
    "TAPE_LINE",
    "TAPE_QUIET",
    "TAPE_STRONG_LINE",
    "TINT",
    "UNSURE",
    "VARIABLES",
    "WARN",
    "WARN_PAPER",
    "WASH",
    "Colour",
    "css",
]


class Colour(NamedTuple):
    """One colour of the palette, as ``#rrggbb``.

    Attributes:
        light: colour on light paper, and in image files.
        dark: colour on dark paper, and on the black tape of the web page.
    """

    light: str
    dark: str


# Voices and music
FEMALE: Final = Colour("#b26a00", "#f2a93b")
MALE: Final = Colour("#2563b8", "#6aa5f2")
UNSURE: Final = Colour("#7d766b", "#9a9287")  # also for an unknown gender
OTHER: Final = Colour("#7a2f6e", "#e3a3d6")  # self-descriptions other than female and male
MUSIC: Final = Colour("#b9ab7f", "#66603f")  # always hatched

# The page
PAPER: Final = Colour("#f4f1ea", "#1a1815")
RAISED: Final = Colour("#fffdf8", "#23201c")
SUNK: Final = Colour("#e9e4d9", "#2f2b26")
INK: Final = Colour("#191612", "#f3eee4")
QUIET: Final = Colour("#5d574d", "#b0a89b")  # secondary text
LINE: Final = Colour("#d6cfc1", "#423d36")
HATCH: Final = Colour("#c3bbab", "#565047")
STRONG_LINE: Final = Colour("#8c8474", "#8a8274")
ACCENT: Final = Colour("#c92c12", "#ff7350")
ON_ACCENT: Final = Colour("#ffffff", "#210a03")
TINT: Final = Colour("#f3c9bd", "#6a2c1b")
WASH: Final = Colour("#ece7dc", "#23201c")
WARN: Final = Colour("#8a3b00", "#ffc48a")  # text of a warning, on WARN_PAPER
WARN_PAPER: Final = Colour("#fbe6cf", "#3a2410")

# The tape, which shows spectrograms, is black in both schemes; the dark colours are readable on it
TAPE: Final = "#0a0908"
TAPE_INK: Final = "#f6f1e7"
TAPE_QUIET: Final = "#b3aa9c"
TAPE_LINE: Final = "#35312b"
TAPE_STRONG_LINE: Final = "#6d665b"
SIGNAL: Final = "#ff5c38"
SIGNAL_HOVER: Final = "#ff7a5c"
ON_SIGNAL: Final = "#1a0602"

FONT: Final = "Onest, system-ui, sans-serif"
"""Font stack in CSS. The web page, the report and the audit page include the font Onest."""

GENDERS: Final[Mapping[str, Colour]] = {"female": FEMALE, "male": MALE, "unsure": UNSURE}

VARIABLES: Final[Mapping[str, Colour | str]] = {
    "paper": PAPER,
    "raised": RAISED,
    "sunk": SUNK,
    "ink": INK,
    "quiet": QUIET,
    "line": LINE,
    "hatch": HATCH,
    "strong-line": STRONG_LINE,
    "accent": ACCENT,
    "on-accent": ON_ACCENT,
    "tint": TINT,
    "wash": WASH,
    "warn": WARN,
    "warn-paper": WARN_PAPER,
    "female": FEMALE,
    "male": MALE,
    "unsure": UNSURE,
    "other": OTHER,
    "music": MUSIC,
    "tape": TAPE,
    "tape-ink": TAPE_INK,
    "tape-quiet": TAPE_QUIET,
    "tape-line": TAPE_LINE,
    "tape-strong-line": TAPE_STRONG_LINE,
    "signal": SIGNAL,
    "signal-hover": SIGNAL_HOVER,
    "on-signal": ON_SIGNAL,
}
"""CSS variable (without the two dashes) → colour."""


def css() -> str:
    """Return the declarations of the CSS variables, one per line.

    Examples:
        >>> css().splitlines()[0]
        '--paper: light-dark(#f4f1ea, #1a1815);'
    """
    return "\n".join(
        f"--{name}: {colour};" if isinstance(colour, str) else f"--{name}: light-dark({colour.light}, {colour.dark});"
        for name, colour in VARIABLES.items()
    )
