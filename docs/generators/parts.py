"""Fills the generated parts of written pages: tables from the bundles and the imports, between two comments."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from generators import layers, scores

PARTS: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "figures": scores.figures,
    "calibration": scores.calibration,
    "genders": scores.genders,
    "labelled-decades": scores.labelled_decades,
    "estimated-decades": scores.estimated_decades,
    "training-data": scores.training_data,
    "layers": layers.drawing,
    "modules": layers.table,
}
"""Name of each part, and the function that yields its lines."""
PAGES: Final = (
    "explanation/architecture.md",
    "explanation/bias-and-limits.md",
    "explanation/data-statement.md",
    "explanation/ethics.md",
    "explanation/evidence.md",
    "explanation/unsure-and-intervals.md",
)
"""Pages with generated parts, below docs."""
_PART: Final = re.compile(r"(<!-- part ([a-z-]+), made by docs/generate\.py -->\n).*?(<!-- end of \2 -->)", re.DOTALL)


def filled(page: Path) -> str:
    """Return the text of a page with its parts made anew.

    Args:
        page: with ``<!-- part NAME, made by docs/generate.py -->`` and ``<!-- end of NAME -->`` around each part.

    Raises:
        KeyError: if a part has an unknown name.
    """

    def made(part: re.Match[str]) -> str:
        return part[1] + "\n" + "\n".join(PARTS[part[2]]()) + "\n\n" + part[3]

    return _PART.sub(made, page.read_text("utf-8"))
