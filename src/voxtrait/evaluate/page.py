"""Writes a report as one HTML page with its figures inside, and as a model card in Markdown."""

import functools
import textwrap
from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from voxtrait.errors import counted
from voxtrait.evaluate import plots, wording
from voxtrait.evaluate.figures import FEW, LEAST_IN_BIN, merged_bins
from voxtrait.evaluate.slices import LARGEST
from voxtrait.evaluate.wording import NAMES, SLICES, number
from voxtrait.palette import pages

WIDTH: Final = 100  # characters of a line of the model card
DOTS: Final = 800  # clips at most that the plot of ages shows as dots


def html(report: Mapping[str, Any], clips: pl.DataFrame) -> str:
    """Write a report as one HTML page that needs no other file.

    Args:
        report: the result of :func:`voxtrait.evaluate.report.build`.
        clips: the evaluated clips, for the plot of ages.
    """
    from markupsafe import Markup

    pictures = _pictures(report, clips)
    look = {"style": Markup(pages.style()), "mark": Markup(pages.MARK)}
    return str(_environment().get_template("report.html").render(r=report, pictures=pictures, **look))


def card(report: Mapping[str, Any]) -> str:
    """Write the model card of a report, in Markdown with lines of at most 100 characters outside tables."""
    text = str(_environment().get_template("model-card.md").render(r=report))
    return "".join(f"{_wrapped(line)}\n" for line in text.splitlines())


def summary(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the figures as text rows ``figure value low high``, for a terminal."""
    return [
        {"figure": f"{task}.{name}", **{key: number(row[key], name) for key in ("value", "low", "high")}}
        for task, names in NAMES.items()
        for name in names
        if (row := report[task][name]) is not None
    ]


def _pictures(report: Mapping[str, Any], clips: pl.DataFrame) -> dict[str, str]:
    from markupsafe import Markup

    pictures = {"funnel": plots.clips_left(report["funnel"])} | {
        f"confusion_{name}": plots.confusion(table["labels"], table["counts"])
        for name, table in report["confusion"].items()
        if table is not None
    }
    for name, rows in report["recall"].items():
        if rows:
            pictures[f"recall_{name}"] = plots.recalls(rows, 1 / len(rows))
    if report["fairness"]["groups"]:
        pictures["fairness"] = plots.fairness(report["fairness"]["groups"])
    if report["gender"]["n_clips"]:
        pictures["reliability"] = plots.reliability(merged_bins(report["reliability"]))
    if report["age"]["n_clips"]:
        known = clips.filter(pl.col("status") == "ok").drop_nulls(["true_age_years", "age_years"])
        some = known.sample(min(known.height, DOTS), seed=0)
        pictures["ages"] = plots.ages(
            some["true_age_years"].to_list(), some["age_years"].to_list(), report["age_by_group"]
        )
        pictures["age_errors"] = plots.age_errors(
            {name: row["age"] for name, row in report["slices"]["age_group"].items() if row["age"]["mae"]}
        )
    return {name: Markup(text) for name, text in pictures.items()}


@functools.cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("voxtrait.evaluate"),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"NAMES": NAMES, "SLICES": SLICES, "columns": wording.columns}
    environment.globals |= {"FEW": FEW, "LARGEST": LARGEST, "LEAST_IN_BIN": LEAST_IN_BIN}
    environment.globals |= {"DECADES": wording.DECADES, "DECADE_COLUMNS": wording.DECADE_COLUMNS}
    environment.globals |= {"USES": wording.USES, "MISUSES": wording.MISUSES, "LIMITS": wording.LIMITS}
    shown = {
        one.__name__: one
        for one in (
            *(wording.bare, wording.bounds, wording.classes, counted),
            wording.interval,
            wording.plain,
            number,
        )
    }
    environment.filters |= shown | {"cell": _cell}
    return environment


def _wrapped(line: str) -> str:
    """Break a line of Markdown that is not part of a table."""
    if line.startswith(("|", "#")):
        return line
    hanging = {"- ": "  ", "> ": "> "}.get(line[:2], "")
    return textwrap.fill(line, WIDTH, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)


def _cell(value: Any) -> str:
    """Format a value as a cell of a Markdown table."""
    return "–" if value is None else str(value).replace("|", "\\|").replace("\n", " ")
