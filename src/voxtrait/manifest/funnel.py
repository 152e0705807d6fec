"""Where the clips went: from the rows of a corpus's tables to the clips a model was trained on, each drop with its
reason.

A funnel is a list of steps. A manifest in Parquet carries its own (:func:`voxtrait.manifest.history`), and each command
that leaves clips out adds a step.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from voxtrait.audio.writing import atomic_path
from voxtrait.errors import OptionError

PICTURES: Final = (".png", ".svg", ".pdf", ".jpg")
_KEPT, _DROPPED = "#2f8f83", "#d98c3f"


@dataclass(frozen=True)
class Step:
    """One command that looked at clips and left some out.

    Attributes:
        name: of it, such as ``import``.
        rows: clips that came in.
        dropped: reason → clips that did not go on.
    """

    name: str
    rows: int
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Clips that went on."""
        return self.rows - sum(self.dropped.values())


def rows(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Give a funnel as a table for reading: ``step``, ``what`` and ``clips``, drops below zero.

    Examples:
        >>> for row in rows([Step("import", 10, {"repeated clip": 1}), Step("train", 9, {"no speech": 2})]):
        ...     print(row["step"], "|", row["what"], "|", row["clips"])
        import | rows | 10
        import | repeated clip | -1
        import | kept | 9
        train | no speech | -2
        train | kept | 7
    """
    out: list[dict[str, Any]] = []
    before: int | None = None
    for step in steps:
        if step.rows != before:  # another program may have cut the manifest between two steps
            out.append({"step": step.name, "what": "rows", "clips": step.rows})
        out += [{"step": step.name, "what": reason, "clips": -n} for reason, n in step.dropped.items() if n]
        out.append({"step": step.name, "what": "kept", "clips": step.kept})
        before = step.kept
    return out


def encode(steps: Sequence[Step]) -> str:
    """Give a funnel as JSON text."""
    return json.dumps([asdict(step) for step in steps], ensure_ascii=False)


def decode(text: str | None) -> list[Step]:
    """Read what :func:`encode` gave; anything else is an empty funnel.

    Examples:
        >>> decode(encode([Step("import", 3, {"unreadable row": 1})]))[0].kept
        2
        >>> decode("something else"), decode(None)
        ([], [])
    """
    try:
        return [
            Step(str(one["name"]), int(one["rows"]), {str(k): int(v) for k, v in one["dropped"].items()})
            for one in json.loads(text or "[]")
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []


def check_picture(path: str | os.PathLike[str]) -> None:
    """Refuse a name that ends in no kind of picture, before any work is done.

    Raises:
        OptionError: if it does.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in PICTURES:
        raise OptionError(f"got a picture's name ending in {suffix!r}, expected one of {', '.join(PICTURES)}")


def picture(steps: Sequence[Step], path: str | os.PathLike[str]) -> None:
    """Draw a funnel into a file.

    Args:
        steps: at least one.
        path: of a ``.png``, ``.svg``, ``.pdf`` or ``.jpg``.

    Raises:
        OptionError: if the name has another ending.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_picture(path)
    lines = rows(steps)
    figure = Figure(figsize=(9, height(lines)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw(axes, lines)
    axes.set_title("clips, and why others were left out", loc="left", fontsize=11)
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as part:
        figure.savefig(part, dpi=120, format=file.suffix[1:].lower())


def height(lines: Sequence[Mapping[str, Any]]) -> float:
    """Give the height in inches that a drawing of these lines needs."""
    return 1.0 + 0.36 * len(lines)


def draw(axes: Any, lines: Sequence[Mapping[str, Any]], ink: str = "black") -> None:
    """Draw a funnel from top to bottom: what is kept as bars, each drop as the piece that goes, with its number.

    Args:
        axes: of matplotlib.
        lines: as :func:`rows` gives them.
        ink: colour of the text.
    """
    most = max((line["clips"] for line in lines), default=1) or 1
    level = 0
    for at, line in enumerate(lines):
        is_drop = line["clips"] < 0
        level = level + line["clips"] if is_drop else line["clips"]
        share = "" if is_drop else f"  {level / most:.0%}"
        left = level if is_drop else 0
        axes.barh(at, abs(line["clips"]), left=left, color=_DROPPED if is_drop else _KEPT, height=0.7)
        text = f"{line['clips']:,}{share}".replace("-", "−")
        axes.text(left + abs(line["clips"]) + most * 0.01, at, text, va="center", fontsize=9, color=ink)
    names = [line["what"] if line["clips"] < 0 else f"{line['step']}: {line['what']}" for line in lines]
    axes.set_yticks(range(len(lines)), names, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, most * 1.18)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
