"""The figures of the report, as SVG inside its page, in the colours of the page's scheme, light or dark.

They are drawn with matplotlib's objects, never its global ``pyplot``: several threads may draw.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any, Final

import numpy as np

from voxtrait import palette
from voxtrait.errors import counted
from voxtrait.manifest import funnel
from voxtrait.palette.drawing import dress, with_variables

_INK: Final = palette.INK.light
_QUIET: Final = palette.QUIET.light
_ACCENT: Final = palette.ACCENT.light
_LINE: Final = palette.LINE.light
_GENDERS: Final = {"female": (palette.FEMALE.light, "o", -0.16), "male": (palette.MALE.light, "s", 0.16)}
"""Colour, mark and shift of each gender."""
_ERRORS: Final = {"mae": (_ACCENT, "o", -0.16), "bias": (_QUIET, "s", 0.16)}


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Draw a confusion matrix: rows are true classes; a cell has its share of the row and its number of clips."""
    from matplotlib.patches import Rectangle

    n = len(labels)
    side = max(1.9, 0.62 * n)
    figure, axes = _axes(side + 1.9, side + 0.9)
    shares = np.asarray(counts) / np.maximum(np.sum(counts, axis=1, keepdims=True), 1)
    for row, column in itertools.product(range(n), range(n)):
        share, count = float(shares[row, column]), counts[row][column]
        axes.add_patch(Rectangle((column, row), 0.97, 0.97, facecolor=_ACCENT, alpha=0.05 + 0.5 * share, linewidth=0))
        if count:
            text = f"{100 * share:.0f} %" + (f"\n{count:,}" if n <= 12 else "")
            axes.text(column + 0.49, row + 0.49, text, ha="center", va="center", fontsize=8)
    names = [_words(label) for label in labels]
    axes.set(xlim=(0, n), ylim=(n, 0), xlabel="predicted", ylabel="true", aspect="equal")
    axes.set_xticks(np.arange(n) + 0.5, names, rotation=0 if n < 3 else 45, ha="center" if n < 3 else "right")
    axes.set_yticks(np.arange(n) + 0.5, names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return _svg(figure, f"confusion-{n}", f"Confusion matrix of {', '.join(names)}")


def recalls(rows: Mapping[str, Mapping[str, Any]], chance: float | None = None) -> str:
    """Draw the recall of each class with its interval, and the recall of guessing."""
    names = list(rows)
    figure, axes = _axes(5.0, 0.9 + 0.3 * len(names))
    for at, (name, row) in enumerate(rows.items()):
        colour, mark, _ = _GENDERS.get(name.split("_")[0], (_ACCENT, "o", 0))
        _interval(axes, row, at, colour, mark)
    if chance is not None:
        axes.axvline(chance, color=_QUIET, linewidth=1.2, linestyle="--")
        axes.text(chance, -0.85, " guessing", color=_QUIET, fontsize=8, va="center")
    labels = [f"{_words(name)}  ({_people(row)})" for name, row in rows.items()]
    axes.set(xlim=(-0.02, 1.02), ylim=(len(names) - 0.4, -1.2 if chance is not None else -0.6), xlabel="recall")
    axes.set_yticks(range(len(names)), labels)
    axes.grid(axis="x")
    return _svg(figure, f"recalls-{len(names)}-{names[0]}", f"Recall of {', '.join(map(_words, names))}")


def clips_left(lines: Sequence[Mapping[str, Any]]) -> str:
    """Draw the clips kept and dropped by each step: see :func:`voxtrait.manifest.funnel.draw`."""
    figure, axes = _axes(7.0, funnel.height(lines))
    funnel.draw(axes, lines)
    return _svg(figure, f"funnel-{len(lines)}", "Clips kept and dropped, by step")


def fairness(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw the recall of female and of male voices in each age group with its interval, one below the other."""
    from matplotlib.lines import Line2D

    figure, axes = _axes(5.0, 1.2 + 0.42 * len(groups))
    for at, row in enumerate(groups.values()):
        for gender, (colour, mark, shift) in _GENDERS.items():
            if row[gender]["value"] is not None:
                _interval(axes, row[gender], at + shift, colour, mark, width=4)
    labels = [
        f"{_words(name)}  ({' / '.join(_people(row[gender]).split()[0] for gender in _GENDERS)})"
        for name, row in groups.items()
    ]
    lowest = min(
        (one["value"] if one["low"] is None else one["low"])
        for row in groups.values()
        for one in (row["female"], row["male"])
        if one["value"] is not None
    )
    left = max(0.0, np.floor(10 * lowest) / 10)
    axes.set(xlim=(left - 0.02 * (1 - left) - 0.005, 1.005 + 0.02 * (1 - left)), ylim=(len(groups) - 0.5, -0.5))
    axes.set(xlabel=f"recall, from {left:g}  (female / male speakers)" if left else "recall  (female / male speakers)")
    marks = [
        Line2D([], [], linestyle="", marker=mark, color=colour, markersize=5, label=gender)
        for gender, (colour, mark, _) in _GENDERS.items()
    ]
    _legend(axes, handles=marks)
    axes.set_yticks(range(len(groups)), labels)
    axes.grid(axis="x")
    return _svg(figure, "fairness", "Recall of female and of male voices by age group")


def reliability(bins: Sequence[Mapping[str, Any]]) -> str:
    """Draw the share labelled female over predicted P(female), with the number of clips in each bin.

    Args:
        bins: as :func:`voxtrait.evaluate.figures.merged_bins` returns them, each with clips.
    """
    figure, axes = _axes(4.4, 4.4)
    axes.plot([0, 1], [0, 1], color=_QUIET, linewidth=1, linestyle="--")
    largest = max(row["n_clips"] for row in bins)
    for row in bins:
        middle, width = (row["low"] + row["high"]) / 2, row["high"] - row["low"]
        height = 0.2 * row["n_clips"] / largest
        axes.bar(middle, height, width - 0.01, color=_LINE, zorder=0)
        axes.text(middle, height + 0.01, f"{row['n_clips']:,}", ha="center", fontsize=7, color=_QUIET)
    axes.plot([row["p_female"] for row in bins], [row["share_female"] for row in bins], "o-", color=_ACCENT)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    axes.set(xlabel="mean predicted P(female)", ylabel="share labelled female")
    return _svg(figure, "reliability", "Share labelled female over predicted P(female)")


def ages(truth: Sequence[float], predicted: Sequence[float], by_group: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw predicted over true years: a dot a clip, and for each age group the median with the mean interval.

    Args:
        truth: years, of a sample of the clips.
        predicted: predicted years, of the same clips.
        by_group: ``age_by_group`` of the report.
    """
    figure, axes = _axes(5.0, 4.6)
    axes.plot([0, 100], [0, 100], color=_QUIET, linewidth=1, linestyle="--")
    shift = np.random.default_rng(0).uniform(-3, 3, len(truth))  # labels are decades: without it, dots hide each other
    axes.plot(np.asarray(truth) + shift, predicted, "o", color=_INK, alpha=0.18, markersize=3, markeredgewidth=0)
    for row in by_group.values():
        x = row["true_age_years"]
        axes.plot([x, x], [row["age_low"], row["age_high"]], color=_ACCENT, linewidth=6, alpha=0.4)
        axes.plot(x, row["age_years"], "o", color=_ACCENT, markersize=7)
    top = 10 + max([*truth, *predicted, *(row["age_high"] for row in by_group.values())])
    axes.set(xlim=(0, top), ylim=(0, top), xlabel="true years (dots shifted at random by up to 3)")
    axes.set(ylabel="predicted years")
    axes.grid()
    return _svg(figure, "ages", "Predicted over true years")


def age_errors(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw MAE and bias of each labelled decade with their intervals, one below the other.

    Args:
        groups: age group → ``n_clips``, ``n_speakers``, and ``mae`` and ``bias`` in years.
    """
    figure, axes = _axes(5.4, 1.3 + 0.42 * len(groups))
    axes.axvline(0, color=_QUIET, linewidth=1)
    for at, row in enumerate(groups.values()):
        for name, (colour, mark, shift) in _ERRORS.items():
            _interval(axes, row[name], at + shift, colour, mark, width=4)
    for name, (colour, mark, _) in _ERRORS.items():
        axes.plot([], [], mark, color=colour, markersize=5, label={"mae": "MAE"}.get(name, name))
    _legend(axes)
    axes.set(ylim=(len(groups) - 0.5, -0.5), xlabel="years; bias below 0: estimated too young")
    axes.set_yticks(range(len(groups)), [f"{_words(name)}  ({_people(row)})" for name, row in groups.items()])
    axes.grid(axis="x")
    return _svg(figure, "age-errors", "MAE and bias of the age by labelled decade")


def _interval(axes: Any, row: Mapping[str, Any], y: float, colour: str, mark: str, width: float = 5) -> None:
    """Draw a figure as a mark, and its interval, where there is one, as a bar behind it."""
    if row["low"] is not None:
        axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=width, alpha=0.35, solid_capstyle="butt")
    axes.plot(row["value"], y, mark, color=colour, markersize=5)


def _legend(axes: Any, **options: Any) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9, **options)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _people(row: Mapping[str, Any]) -> str:
    return counted(row["n_clips"], "clip") if row["n_speakers"] is None else counted(row["n_speakers"], "speaker")


def _axes(width: float, height: float) -> tuple[Any, Any]:
    """Make a figure of a size in inches with one axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Any, name: str, label: str) -> str:
    """Write a figure as an ``<svg>`` element whose bytes depend on the figure alone.

    Args:
        figure: of matplotlib.
        name: prefix of the ids in it.
        label: its text for screen readers.
    """
    from html import escape

    from matplotlib.backends.backend_svg import FigureCanvasSVG

    dress(figure, paper=False)
    out = StringIO()
    FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = with_variables(text).replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)
    # matplotlib's ids are random; here they must be the same each time and differ from those of another figure
    ids = dict.fromkeys(re.findall(r'\bid="([^"]+)"', text))
    new = {old: f"{re.sub(r'[^a-z0-9-]', '-', name)}-{at}" for at, old in enumerate(ids)}
    text = re.sub(r'\bid="([^"]+)"', lambda found: f'id="{new[found[1]]}"', text)
    return re.sub(r'(url\(|href=")#([^")]+)', lambda found: f"{found[1]}#{new[found[2]]}", text)
