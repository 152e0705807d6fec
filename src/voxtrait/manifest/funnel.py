"""The funnel: how many clips each step kept and dropped, and why, from the rows of a corpus to the training set.

A funnel is a list of steps. A Parquet manifest stores its own funnel (:func:`voxtrait.manifest.history`). Each command
that drops clips adds a step.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from voxtrait.audio.writing import atomic_path, check_picture
from voxtrait.palette import ACCENT, INK, QUIET
from voxtrait.palette.drawing import dress


@dataclass(frozen=True)
class Step:
    """One step of a funnel: the clips that a command received, and those that it dropped.

    Attributes:
        name: name of the command, such as ``import``.
        rows: number of clips received.
        dropped: reason → number of clips dropped.
    """

    name: str
    rows: int
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Number of clips kept."""
        return self.rows - sum(self.dropped.values())


def rows(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return a funnel as table rows: ``step``, ``what`` and ``clips``; drops are negative.

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
    """Return a funnel as JSON text."""
    return json.dumps([asdict(step) for step in steps], ensure_ascii=False)


def decode(text: str | None) -> list[Step]:
    """Return the funnel in a text from :func:`encode`; any other text gives an empty funnel.

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
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return []


def picture(steps: Sequence[Step], path: str | os.PathLike[str]) -> None:
    """Draw a funnel to a file.

    Args:
        steps: the funnel, with at least one step.
        path: a ``.png``, ``.svg``, ``.pdf`` or ``.jpg`` file.

    Raises:
        OptionError: if the file has another ending.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_picture(path)
    lines = rows(steps)
    figure = Figure(figsize=(9, height(lines)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw(axes, lines)
    axes.set_title("Clips kept and dropped, by step", loc="left", fontsize=11)
    dress(figure)
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as part:
        figure.savefig(part, dpi=120, format=file.suffix[1:].lower())


def height(lines: Sequence[Mapping[str, Any]]) -> float:
    """Return the figure height for a number of lines, in inches."""
    return 1.0 + 0.36 * len(lines)


def draw(axes: Any, lines: Sequence[Mapping[str, Any]], ink: str = INK.light) -> None:
    """Draw a funnel from top to bottom: one bar per count of clips kept and one per drop, with its number.

    Args:
        axes: matplotlib axes.
        lines: the result of :func:`rows`.
        ink: colour of the text.
    """
    most = max((line["clips"] for line in lines), default=1) or 1
    level = 0
    for at, line in enumerate(lines):
        is_drop = line["clips"] < 0
        level = level + line["clips"] if is_drop else line["clips"]
        share = "" if is_drop else f"  {100 * level / most:.0f} %"
        left = level if is_drop else 0
        axes.barh(at, abs(line["clips"]), left=left, color=ACCENT.light if is_drop else QUIET.light, height=0.7)
        text = f"{line['clips']:,}{share}".replace("-", "−")
        axes.text(left + abs(line["clips"]) + most * 0.01, at, text, va="center", fontsize=9, color=ink)
    names = [line["what"] if line["clips"] < 0 else f"{line['step']}: {line['what']}" for line in lines]
    axes.set_yticks(range(len(lines)), names, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, most * 1.18)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
