"""Builds the style sheet of the report and the audit page: palette, font and basic elements."""

import base64
import functools
from pathlib import Path
from typing import Final

from voxtrait import palette

MARK: Final = (
    '<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8"/>'
    '<path d="M6 13v6M11 8v16M16 11v10M21 5.5v21M26 13v6"/></svg>'
)
"""Logo of voxtrait, as on the web page."""

_HERE: Final = Path(__file__).parent
_FONTS: Final = _HERE.parent / "web" / "page"
_RANGES: Final = {  # as in the theme of the web page
    "latin": "U+0000-00FF, U+0131, U+0152-0153, U+02BB-02BC, U+02C6, U+02DA, U+02DC, U+2000-206F, U+20AC, U+2122, "
    "U+2191, U+2193, U+2212",
    "cyrillic": "U+0301, U+0400-045F, U+0490-0491, U+04B0-04B1, U+2116",
}


@functools.cache
def style() -> str:
    """Return the style sheet with the font included (66 kB), so that a page is one file.

    Examples:
        >>> "--female: light-dark(#b26a00, #f2a93b);" in style()
        True
    """
    fonts = "".join(
        f"@font-face {{ font-family: Onest; font-weight: 100 900; unicode-range: {letters}; "
        f'src: url("data:font/woff2;base64,{_font(name)}") format("woff2"); }}\n'
        for name, letters in _RANGES.items()
    )
    root = f":root {{ color-scheme: light dark; font-family: {palette.FONT}; }}\n:root {{\n{palette.css()}\n}}\n"
    return fonts + root + (_HERE / "page.css").read_text("utf-8")


def _font(name: str) -> str:
    return base64.b64encode((_FONTS / f"onest-{name}.woff2").read_bytes()).decode()
