"""The report for readers: one HTML page with its pictures inside, and the model card in Markdown."""

import functools
from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from voxtrait.evaluate import plots, wording
from voxtrait.evaluate.figures import FEW, merged_bins
from voxtrait.evaluate.wording import NAMES, SLICES, number

DOTS: Final = 800  # clips drawn one by one in the picture of ages


def html(report: Mapping[str, Any], clips: pl.DataFrame) -> str:
    """Write the page.

    Args:
        report: as :func:`voxtrait.evaluate.report.build` gives it.
        clips: the clips it was made of, for the picture of ages.
    """
    return str(_environment().get_template("report.html").render(r=report, pictures=_pictures(report, clips)))


def card(report: Mapping[str, Any]) -> str:
    """Write the model card, from the same figures."""
    return str(_environment().get_template("model-card.md").render(r=report))


def summary(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the figures as rows ``figure value low high`` of text, for a terminal."""
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
    environment.globals |= {"NAMES": NAMES, "SLICES": SLICES, "FEW": FEW, "columns": wording.columns}
    environment.globals |= {"DECADES": wording.DECADES, "DECADE_COLUMNS": wording.DECADE_COLUMNS}
    environment.globals |= {"USES": wording.USES, "MISUSES": wording.MISUSES, "LIMITS": wording.LIMITS}
    shown = {
        one.__name__: one
        for one in (wording.bare, wording.bounds, wording.classes, wording.interval, wording.plain, number)
    }
    environment.filters |= shown | {"cell": _cell}
    return environment


def _cell(value: Any) -> str:
    """Print a value in a cell of a Markdown table."""
    return "–" if value is None else str(value).replace("|", "\\|").replace("\n", " ")
