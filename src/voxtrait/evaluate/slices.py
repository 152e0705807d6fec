"""Computes the figures of a report by group: age, gender, language, corpus, duration and signal-to-noise ratio."""

import itertools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from voxtrait.bundle import Bundle
from voxtrait.evaluate import figures, languages, metrics
from voxtrait.evaluate.groups import CHILDREN
from voxtrait.labels import AGE_GROUPS, GENDERS, JOINT_CLASSES

SLICE_FIGURES: Final = {
    "gender": ("accuracy", "uar", "wrong_sure", "unsure", "ece", "uar_by_speaker"),
    "age": ("mae", "mae_constant", "bias", "coverage80", "interval_width", "mae_by_speaker"),
}
DURATIONS: Final = (2.0, 4.0, 6.0, 10.0)  # seconds: edges of the slices by duration
SNRS: Final = (10.0, 20.0, 30.0)  # dB: edges of the slices by signal-to-noise ratio
UNKNOWN: Final = "unknown"
ADULTS: Final = CHILDREN[-1]
ADULT_GROUPS: Final = AGE_GROUPS[AGE_GROUPS.index("twenties") :]
LARGEST: Final = 20  # slices of a kind at most; the largest are kept
MANY: Final = 20  # speakers of each gender from which a difference of recalls is reported as reliable


def build(clips: pl.DataFrame, bundle: Bundle, constant: float | None) -> dict[str, dict[str, Any]]:
    """Compute the figures of each slice.

    Args:
        clips: the ``clips`` of :func:`voxtrait.evaluate.report.build`.
        bundle: the bundle that made the predictions.
        constant: years of the constant guess, which is the same for all slices.

    Returns:
        kind → name → ``n_clips`` and ``n_speakers`` of the clips with status ``ok``, ``gender`` and ``age`` with
        :data:`SLICE_FIGURES` and their ``n_clips`` and ``n_speakers``, ``unanswered`` with ``n_clips`` of all clips and
        the share of each status except ``ok``. ``age_group`` groups clips by their label, ``estimated_age_group`` by
        the estimated decade.
    """
    durations, snrs = _bands(DURATIONS, "s"), _bands(SNRS, "dB")
    keys: dict[str, tuple[pl.Expr, Sequence[str] | None]] = {
        "gender": (pl.col("true_gender"), GENDERS),
        "age_group": (pl.col("true_age_group"), AGE_GROUPS),
        "estimated_age_group": (pl.col("age_group"), AGE_GROUPS),
        "gender_age_group": (pl.concat_str("true_gender", pl.lit("_"), "true_age_group"), JOINT_CLASSES),
        "children": (_child(), CHILDREN),
        "locale_group": (_family(clips), None),
        "locale": (pl.col("locale"), None),
        "corpus": (pl.col("corpus"), None),
        "release": (pl.col("release"), None),
        "duration": (_band("duration_s", DURATIONS, durations), durations),
        "snr": (_band("snr_db", SNRS, snrs).fill_null(UNKNOWN), (*snrs, UNKNOWN)),
    }
    slices = {}
    for kind, (key, order) in keys.items():
        parts = clips.with_columns(key.alias("slice")).drop_nulls("slice").partition_by("slice", as_dict=True)
        found = {str(name): rows for (name,), rows in parts.items()}
        if set(found) == {UNKNOWN}:  # one row, without information
            found = {}
        by_size = sorted(found, key=lambda name: (-found[name].height, name))[:LARGEST]
        slices[kind] = {name: _slice(found[name], bundle, constant) for name in order or by_size if name in found}
    return slices


def fairness(clips: pl.DataFrame) -> dict[str, Any]:
    """Compare the recalls of female and male voices, in each adult age group and over all adults.

    Args:
        clips: the ``clips`` of :func:`build`.

    Returns:
        ``groups``: age group → ``female`` and ``male`` (clips, speakers, recall) and ``difference``, female minus
        male; ``adults``: the same for all adults; ``largest``: the group with the largest absolute difference;
        ``largest_of_many``: the same among groups with :data:`MANY` speakers of each gender; ``many``: that number.
    """
    known = figures.gender_clips(clips).filter(pl.col("true_age_group").is_in(ADULT_GROUPS))
    truth, predicted = figures.index(known["true_gender"], GENDERS), figures.decided(known)
    rows: dict[str, Any] = {}
    for group in (*ADULT_GROUPS, None):
        inside = np.ones(known.height, bool) if group is None else (known["true_age_group"] == group).to_numpy()
        if not inside.any():
            continue
        recalls = dict(zip(GENDERS, metrics.per_class_recall(np.where(inside, truth, -1), predicted, 2), strict=True))
        found = figures.intervals(
            known, recalls | {"difference": metrics.difference(recalls["female"], recalls["male"])}, _COMPARED
        )
        people = {
            gender: figures.counts(known.filter(pl.Series(inside & (truth == at)))) for at, gender in enumerate(GENDERS)
        }
        rows[group or "adults"] = {gender: people[gender] | (found[gender] or _NO_FIGURE) for gender in GENDERS} | {
            "difference": found["difference"]
        }
    adults = rows.pop("adults", None)
    many = [group for group, row in rows.items() if all((row[gender]["n_speakers"] or 0) >= MANY for gender in GENDERS)]
    return {
        "groups": rows,
        "adults": adults,
        "many": MANY,
        "largest": _largest(rows, list(rows)),
        "largest_of_many": _largest(rows, many),
    }


_COMPARED: Final = (*GENDERS, "difference")
_NO_FIGURE: Final = {"value": None, "low": None, "high": None}


def _largest(rows: dict[str, Any], groups: Sequence[str]) -> dict[str, Any] | None:
    sizes = {group: abs(rows[group]["difference"]["value"]) for group in groups if rows[group]["difference"]}
    if not sizes:
        return None
    group = max(sizes, key=lambda name: sizes[name])
    return {"group": group, **rows[group]["difference"]}


def _bands(edges: Sequence[float], unit: str) -> list[str]:
    """Return the names of the ranges between edges."""
    texts = [f"{edge:g}" for edge in edges]
    between = [f"{a} to {b} {unit}" for a, b in itertools.pairwise(texts)]
    return [f"under {texts[0]} {unit}", *between, f"{texts[-1]} {unit} and over"]


def _band(column: str, edges: Sequence[float], names: Sequence[str]) -> pl.Expr:
    """Return the name of a clip's range; null where the number is unknown."""
    over = pl.sum_horizontal((pl.col(column) >= edge).cast(pl.Int64) for edge in edges)
    named = over.replace_strict(range(len(names)), list(names), return_dtype=pl.String)
    return pl.when(pl.col(column).is_not_null()).then(named)


def _child() -> pl.Expr:
    under_13, under_18, teens, adults = (pl.lit(name) for name in CHILDREN)
    years, known = pl.col("true_age_years"), pl.col("years_known")
    return (
        pl.when(years.is_null())
        .then(None)
        .when(~known & (pl.col("true_age_group") == "teens"))
        .then(teens)
        .when(years < 13)
        .then(under_13)
        .when(years < 18)
        .then(under_18)
        .otherwise(adults)
    )


def _family(clips: pl.DataFrame) -> pl.Expr:
    locales = clips["locale"].drop_nulls().unique().to_list()
    families = [languages.family_of(locale) for locale in locales]
    return pl.col("locale").replace_strict(locales, families, default=None, return_dtype=pl.String)


def _slice(clips: pl.DataFrame, bundle: Bundle, constant: float | None) -> dict[str, Any]:
    gender, age = figures.gender_clips(clips), figures.age_clips(clips)
    of_gender = figures.gender_figures(gender)
    if gender["true_gender"].n_unique() < 2:  # UAR needs two classes
        of_gender = {name: figure for name, figure in of_gender.items() if not name.startswith("uar")}
    of_status = figures.status_figures(clips)
    return figures.counts(clips.filter(pl.col("status") == "ok")) | {
        "gender": figures.counts(gender) | figures.intervals(gender, of_gender, SLICE_FIGURES["gender"]),
        "age": figures.counts(age)
        | figures.intervals(age, figures.age_figures(age, bundle, constant), SLICE_FIGURES["age"]),
        "unanswered": {"n_clips": clips.height} | figures.intervals(clips, of_status, tuple(of_status)),
    }
