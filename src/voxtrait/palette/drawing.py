"""Applies the palette and the font to matplotlib figures, without global settings, so that several threads may draw."""

import functools
import re
import warnings
from pathlib import Path
from typing import Any, Final

from voxtrait.palette import INK, LINE, PAPER, STRONG_LINE, VARIABLES, Colour

FAMILIES: Final = ("Onest", "DejaVu Sans")
"""Fonts of figures. The second font, which is part of matplotlib, draws characters that Onest lacks."""

_FONT_FILE: Final = Path(__file__).parent / "onest.ttf"  # regular weight of web/page/onest-*.woff2, same licence


def dress(figure: Any, *, paper: bool = True) -> None:
    """Apply the colours and the font of the palette to a finished figure. Colours of data stay unchanged.

    Args:
        figure: a matplotlib figure, with all axes, titles and legends.
        paper: fill the background; otherwise it is transparent.
    """
    from matplotlib.text import Text

    _load_font()
    # characters that no font has are drawn as boxes; a warning about each would only fill standard error
    warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
    figure.patch.set_visible(paper)
    figure.patch.set_facecolor(PAPER.light)
    for axes in figure.axes:
        axes.patch.set_visible(False)
        axes.tick_params(which="both", color=STRONG_LINE.light, labelcolor=INK.light, labelfontfamily=list(FAMILIES))
        axes.spines[:].set_color(STRONG_LINE.light)
        for line in (*axes.xaxis.get_gridlines(), *axes.yaxis.get_gridlines()):
            line.set_color(LINE.light)
    for text in figure.findobj(Text):
        text.set_family(list(FAMILIES))
        if text.get_color() == "black":
            text.set_color(INK.light)


def with_variables(svg: str) -> str:
    """Replace the light colours of an SVG with CSS variables, so that it follows the colour scheme of its page.

    Examples:
        >>> with_variables('<path style="fill: #b26a00"/>')
        '<path style="fill: var(--female)"/>'
    """
    names = {colour.light: name for name, colour in VARIABLES.items() if isinstance(colour, Colour)}
    return re.sub(r"#[0-9a-f]{6}\b", lambda found: f"var(--{names[found[0]]})" if found[0] in names else found[0], svg)


@functools.cache
def _load_font() -> None:
    from matplotlib.font_manager import fontManager

    fontManager.addfont(_FONT_FILE)
