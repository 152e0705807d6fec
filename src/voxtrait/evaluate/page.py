"""The report as people read it: one HTML page with its pictures inside, and the model card in Markdown."""

import functools
from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from voxtrait.evaluate import plots

DOTS: Final = 800  # clips drawn one by one in the picture of ages
FEW: Final = 10  # speakers below which a row is marked: its figures say little
NAMES: Final = {
    "gender": {
        "uar": "UAR (mean recall of female and male)",
        "accuracy": "accuracy",
        "uar_sure": "UAR of the voices that get an answer",
        "unsure": "share answered “unsure”",
        "ece": "calibration error of p_female",
        "uar_by_speaker": "UAR, every speaker counting the same",
    },
    "age": {
        "mae": "mean absolute error",
        "mae_constant": "… of the best constant guess",
        "mae_by_speaker": "… every speaker counting the same",
        "mae_female": "… of female voices",
        "mae_male": "… of male voices",
        "bias": "mean of answered minus true years",
        "pearson": "correlation of answered and true years",
        "coverage80": "share of true ages inside the 80 % interval",
        "interval_width": "mean width of the interval",
        "group_uar": "mean recall of the age groups",
        "joint_uar": "mean recall of the classes of gender and age group",
        "joint_accuracy": "accuracy over these classes",
        "joint_majority": "… of always answering the most frequent one",
    },
}
SLICES: Final = {
    "gender": "Gender",
    "age_group": "Age group",
    "gender_age_group": "Gender and age group",
    "locale": "Locale (the largest)",
    "release": "Release (the largest)",
    "corpus": "Corpus (the largest)",
    "duration": "Duration of the clip",
}
_YEARS: Final = frozenset(name for name in NAMES["age"] if name.startswith("mae") or name in ("bias", "interval_width"))
_PLAIN: Final = frozenset({"pearson", "ece"})


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


def number(value: float | None, name: str) -> str:
    """Print one number as its figure is read: years, a plain number, or per cent.

    Examples:
        >>> number(11.25, "mae"), number(0.9036, "uar"), number(None, "uar")
        ('11.2 years', '90.4 %', '–')
    """
    if value is None:
        return "–"
    if name in _YEARS:
        return f"{value:+.1f} years" if name == "bias" else f"{value:.1f} years"
    return f"{value:.3f}" if name in _PLAIN else f"{100 * value:.1f} %"


def interval(row: Mapping[str, float | None] | None, name: str = "") -> str:
    """Print a figure with its interval.

    Examples:
        >>> interval({"value": 0.9036, "low": 0.871, "high": 0.93}, "uar")
        '90.4 % (87.1 – 93.0)'
    """
    if row is None or row["value"] is None:
        return "–"
    text = number(row["value"], name)
    if row["low"] is None:
        return text
    low, high = (number(row[key], name).removesuffix(" %").removesuffix(" years") for key in ("low", "high"))
    return f"{text} ({low} – {high})"


def _pictures(report: Mapping[str, Any], clips: pl.DataFrame) -> dict[str, str]:
    from markupsafe import Markup

    pictures = {
        f"confusion_{name}": plots.confusion(table["labels"], table["counts"])
        for name, table in report["confusion"].items()
        if table is not None
    }
    for name, rows in report["recall"].items():
        if rows:
            pictures[f"recall_{name}"] = plots.recalls(rows, 1 / len(rows))
    if report["gender"]["n_clips"]:
        pictures["reliability"] = plots.reliability(report["reliability"])
    if report["age"]["n_clips"]:
        known = clips.filter(pl.col("status") == "ok").drop_nulls(["true_age_years", "age_years"])
        some = known.sample(min(known.height, DOTS), seed=0)
        pictures["ages"] = plots.ages(
            some["true_age_years"].to_list(), some["age_years"].to_list(), report["age_by_group"]
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
    environment.globals |= {"NAMES": NAMES, "SLICES": SLICES, "FEW": FEW}
    environment.filters |= {"interval": interval, "number": number, "cell": _cell}
    return environment


def _cell(value: Any) -> str:
    """Print a value in a cell of a Markdown table."""
    return "–" if value is None else str(value).replace("|", "\\|").replace("\n", " ")
