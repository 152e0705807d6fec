"""The report's pictures, as SVG that is inline in a page and takes the page's own text colour, light or dark.

Drawn with matplotlib's objects alone, never its global ``pyplot``, so that a server may draw in several threads.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any, Final

import numpy as np

from voxtrait.manifest import funnel

_INK: Final = "#010203"  # placeholder of the page's text colour until the SVG is written
_BLUE: Final = "#3b7dd8"
_ORANGE: Final = "#d9731a"


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Draw a confusion matrix: rows are true, a cell's shade is its share of the row, its text share and the count."""
    from matplotlib.patches import Rectangle

    n = len(labels)
    side = max(1.9, 0.62 * n)
    figure, axes = _axes(side + 1.9, side + 0.9)
    shares = np.asarray(counts) / np.maximum(np.sum(counts, axis=1, keepdims=True), 1)
    for row, column in itertools.product(range(n), range(n)):
        share, count = float(shares[row, column]), counts[row][column]
        axes.add_patch(Rectangle((column, row), 0.97, 0.97, facecolor=_BLUE, alpha=0.06 + 0.6 * share, linewidth=0))
        if count:
            text = f"{share:.0%}\n{count:,}" if n <= 12 else f"{share:.0%}"
            axes.text(column + 0.49, row + 0.49, text, ha="center", va="center", color=_INK, fontsize=8)
    names = [label.replace("_", " ") for label in labels]
    axes.set(xlim=(0, n), ylim=(n, 0), xlabel="answered", ylabel="true", aspect="equal")
    axes.set_xticks(np.arange(n) + 0.5, names, rotation=0 if n < 3 else 45, ha="center" if n < 3 else "right")
    axes.set_yticks(np.arange(n) + 0.5, names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return _svg(figure, f"confusion-{n}")


def recalls(rows: Mapping[str, Mapping[str, Any]], chance: float | None = None) -> str:
    """Draw the recall of each class with its interval, and the recall of guessing."""
    names = list(rows)
    figure, axes = _axes(5.0, 0.9 + 0.3 * len(names))
    for at, row in enumerate(rows.values()):
        if row["low"] is not None:
            axes.plot([row["low"], row["high"]], [at, at], color=_BLUE, linewidth=5, alpha=0.35, solid_capstyle="butt")
        axes.plot(row["value"], at, "o", color=_BLUE, markersize=6)
    if chance is not None:
        axes.axvline(chance, color=_ORANGE, linewidth=1.2, linestyle="--")
        axes.text(chance, -0.85, " guessing", color=_ORANGE, fontsize=8, va="center")
    labels = [f"{name.replace('_', ' ')}  ({_people(row)})" for name, row in rows.items()]
    axes.set(xlim=(-0.02, 1.02), ylim=(len(names) - 0.4, -1.2 if chance is not None else -0.6), xlabel="recall")
    axes.set_yticks(range(len(names)), labels)
    axes.grid(axis="x", color=_INK, alpha=0.15)
    return _svg(figure, f"recalls-{len(names)}-{names[0]}")


def clips_left(lines: Sequence[Mapping[str, Any]]) -> str:
    """Draw where the clips went: see :func:`voxtrait.manifest.funnel.draw`."""
    figure, axes = _axes(7.0, funnel.height(lines))
    funnel.draw(axes, lines, ink=_INK)
    return _svg(figure, f"funnel-{len(lines)}")


def fairness(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw the recall of female and of male voices in each age group with its interval, one below the other."""
    figure, axes = _axes(5.0, 1.2 + 0.42 * len(groups))
    for at, row in enumerate(groups.values()):
        for gender, colour, shift in (("female", _BLUE, -0.16), ("male", _ORANGE, 0.16)):
            one, y = row[gender], at + shift
            if one["low"] is not None:
                axes.plot(
                    [one["low"], one["high"]], [y, y], color=colour, linewidth=4, alpha=0.35, solid_capstyle="butt"
                )
            if one["value"] is not None:
                axes.plot(one["value"], y, "o" if gender == "female" else "s", color=colour, markersize=5)
    labels = [
        f"{name}  ({' / '.join(_people(row[gender]).split()[0] for gender in ('female', 'male'))})"
        for name, row in groups.items()
    ]
    lowest = min(
        (one["value"] if one["low"] is None else one["low"])
        for row in groups.values()
        for one in (row["female"], row["male"])
        if one["value"] is not None
    )
    left = max(0.0, np.floor(10 * lowest) / 10)
    axes.set(xlim=(left - 0.02 * (1 - left) - 0.005, 1.005 + 0.02 * (1 - left)), ylim=(len(groups) - 0.5, -1.0))
    axes.set(xlabel=f"recall, from {left:g}  (female / male speakers)" if left else "recall  (female / male speakers)")
    axes.text(left, -0.75, "● female", color=_BLUE, fontsize=9, va="center")
    axes.text(left + 0.22 * (1 - left), -0.75, "■ male", color=_ORANGE, fontsize=9, va="center")
    axes.set_yticks(range(len(groups)), labels)
    axes.grid(axis="x", color=_INK, alpha=0.15)
    return _svg(figure, "fairness")


def reliability(bins: Sequence[Mapping[str, Any]]) -> str:
    """Draw the share labelled female over predicted P(female), with the number of clips in each bin."""
    figure, axes = _axes(4.4, 4.4)
    axes.plot([0, 1], [0, 1], color=_INK, alpha=0.4, linewidth=1, linestyle="--")
    largest = max(row["n_clips"] for row in bins)
    for row in bins:
        middle, width = (row["low"] + row["high"]) / 2, row["high"] - row["low"]
        axes.bar(middle, 0.25 * row["n_clips"] / largest, 0.92 * width, color=_INK, alpha=0.15)
    full = [row for row in bins if row["n_clips"]]
    axes.plot([row["p_female"] for row in full], [row["share_female"] for row in full], "o-", color=_BLUE, markersize=6)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    axes.set(xlabel="p_female, mean of the bin", ylabel="share labelled female")
    return _svg(figure, "reliability")


def ages(truth: Sequence[float], answered: Sequence[float], by_group: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw predicted over true years: a dot a clip, and for each age group the median with the mean interval.

    Args:
        truth: years, of a sample of the clips.
        answered: predicted years, of the same clips.
        by_group: ``age_by_group`` of the report.
    """
    figure, axes = _axes(5.0, 4.6)
    axes.plot([0, 100], [0, 100], color=_INK, alpha=0.4, linewidth=1, linestyle="--")
    shift = np.random.default_rng(0).uniform(-3, 3, len(truth))  # labels are decades: without it, dots hide each other
    axes.plot(np.asarray(truth) + shift, answered, "o", color=_INK, alpha=0.15, markersize=3, markeredgewidth=0)
    for row in by_group.values():
        x = row["true_age_years"]
        axes.plot([x, x], [row["age_low"], row["age_high"]], color=_BLUE, linewidth=6, alpha=0.4, solid_capstyle="butt")
        axes.plot(x, row["age_years"], "o", color=_BLUE, markersize=7)
    top = 10 + max([*truth, *answered, *(row["age_high"] for row in by_group.values())])
    axes.set(
        xlim=(0, top), ylim=(0, top), xlabel="true years (a few years of shift in the dots)", ylabel="answered years"
    )
    axes.grid(color=_INK, alpha=0.12)
    return _svg(figure, "ages")


def age_errors(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw MAE and bias of each labelled decade with their intervals, one below the other.

    Args:
        groups: age group → ``n_clips``, ``n_speakers``, and ``mae`` and ``bias`` in years.
    """
    figure, axes = _axes(5.4, 1.3 + 0.42 * len(groups))
    for at, row in enumerate(groups.values()):
        for name, colour, mark, shift in (("mae", _BLUE, "o", -0.16), ("bias", _ORANGE, "s", 0.16)):
            one, y = row[name], at + shift
            if one["low"] is not None:
                axes.plot(
                    [one["low"], one["high"]], [y, y], color=colour, linewidth=4, alpha=0.35, solid_capstyle="butt"
                )
            axes.plot(one["value"], y, mark, color=colour, markersize=5)
    axes.axvline(0, color=_INK, alpha=0.4, linewidth=1)
    axes.plot([], [], "o", color=_BLUE, markersize=5, label="MAE")
    axes.plot([], [], "s", color=_ORANGE, markersize=5, label="bias")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9, labelcolor=_INK)
    axes.set(ylim=(len(groups) - 0.5, -0.5), xlabel="years; bias below 0: estimated too young")
    axes.set_yticks(range(len(groups)), [f"{name.replace('_', ' ')}  ({_people(row)})" for name, row in groups.items()])
    axes.grid(axis="x", color=_INK, alpha=0.15)
    return _svg(figure, "age-errors")


def _people(row: Mapping[str, Any]) -> str:
    n, what = (row["n_clips"], "clip") if row["n_speakers"] is None else (row["n_speakers"], "speaker")
    return f"{n:,} {what}{'s' if n != 1 else ''}"


def _axes(width: float, height: float) -> tuple[Any, Any]:
    """Make a figure of a size in inches with one axes in the page's colours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.spines[:].set_color(_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    return figure, axes


def _svg(figure: Any, name: str) -> str:
    """Write a figure as an ``<svg>`` element whose bytes depend on the figure alone."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out = StringIO()
    FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = text.replace(_INK, "currentColor").replace("<svg ", '<svg role="img" ', 1)
    # matplotlib's ids are random; here they must be the same each time and differ from those of another picture
    ids = dict.fromkeys(re.findall(r'\bid="([^"]+)"', text))
    new = {old: f"{re.sub(r'[^a-z0-9-]', '-', name)}-{at}" for at, old in enumerate(ids)}
    text = re.sub(r'\bid="([^"]+)"', lambda found: f'id="{new[found[1]]}"', text)
    return re.sub(r'(url\(|href=")#([^")]+)', lambda found: f"{found[1]}#{new[found[2]]}", text)
