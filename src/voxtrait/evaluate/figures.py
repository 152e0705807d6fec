"""Computes the figures of gender and age over a table of clips with predictions."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from voxtrait.bundle import Bundle
from voxtrait.evaluate import metrics
from voxtrait.evaluate.metrics import Figure, Floats
from voxtrait.labels import AGE_GROUPS, GENDERS, JOINT_CLASSES, UNSURE, YEARS, parts_of

Interval = dict[str, float | None] | None
"""A figure in a report: ``{"value", "low", "high"}``, or ``None`` if it is undefined."""

GENDER_FIGURES: Final = ("uar", "accuracy", "ece", "unsure", "uar_sure", "wrong_sure", "uar_by_speaker")
AGE_FIGURES: Final = (
    *("mae", "mae_constant", "coverage80", "group_uar", "pearson", "bias"),
    *("interval_width", "interval_width_constant", "mae_by_speaker", "mae_female", "mae_male"),
    *("joint_uar", "joint_accuracy", "joint_majority"),
)
LEAST_IN_BIN: Final = 20  # clips of a bin in the calibration plot
STATUSES: Final = ("ok", "no_speech", "too_short", "error")
FEW: Final = 10  # speakers below which figures are unreliable: reports mark them, and no sentence uses them


def gender_figures(clips: pl.DataFrame) -> dict[str, Figure]:
    """Compute the figures of gender over clips with ``true_gender``, ``p_female`` and ``gender``."""
    truth, predicted = index(clips["true_gender"], GENDERS), decided(clips)
    unsure = (clips["gender"] == UNSURE).to_numpy()
    uar = metrics.uar(truth, predicted)
    return {
        "uar": uar,
        "accuracy": metrics.accuracy(truth, predicted),
        "ece": metrics.ece(truth == GENDERS.index("female"), clips["p_female"].to_numpy()),
        "unsure": metrics.mean(unsure),
        "uar_sure": uar.weighted(~unsure),
        "wrong_sure": metrics.mean(~unsure & (truth != predicted)),
        "uar_by_speaker": uar.weighted(_shares(clips)),
    }


def age_figures(clips: pl.DataFrame, bundle: Bundle, constant: float | None = None) -> dict[str, Figure]:
    """Compute the figures of age over clips with ``true_age_years`` and ``age_years``.

    Args:
        clips: one row per clip, with its prediction.
        bundle: the bundle that made the predictions.
        constant: years of the constant guess; ``None`` for the median of these clips.
    """
    truth, predicted = clips["true_age_years"].to_numpy(), clips["age_years"].to_numpy()
    low, high = clips["age_low"].to_numpy(), clips["age_high"].to_numpy()
    error = metrics.mae(truth, predicted)
    guess = median_age(clips) if constant is None else constant
    groups = index(clips["true_age_group"], groups_of(bundle))
    figures = {
        "mae": error,
        "mae_constant": metrics.mae(truth, np.full(len(truth), guess or 0.0)),
        "coverage80": metrics.interval_coverage(truth, low, high),
        "group_uar": metrics.uar(groups, index(clips["age_group"], groups_of(bundle))),
        "pearson": metrics.pearson(truth, predicted),
        "bias": metrics.mean(predicted - truth),
        "interval_width": metrics.mean(high - low),
        "interval_width_constant": metrics.quantile_range(truth, 0.1, 0.9),
        "mae_by_speaker": error.weighted(_shares(clips)),
    }
    for gender in GENDERS:
        figures[f"mae_{gender}"] = error.weighted((clips["true_gender"] == gender).fill_null(False).to_numpy())
    if joint := joint_labels(bundle):
        truths, predictions = true_joint(clips, joint), index(clips["joint_class"], joint)
        counted = truths >= 0
        usual = np.bincount(truths[counted], minlength=1).argmax()
        figures["joint_uar"] = metrics.uar(truths, predictions)
        figures["joint_accuracy"] = metrics.accuracy(truths, predictions).weighted(counted)
        figures["joint_majority"] = metrics.mean(truths == usual).weighted(counted)
    return figures


def status_figures(clips: pl.DataFrame) -> dict[str, Figure]:
    """Compute the share of clips without a prediction, by status."""
    return {status: metrics.mean((clips["status"] == status).to_numpy()) for status in STATUSES if status != "ok"}


def intervals(clips: pl.DataFrame, figures: Mapping[str, Figure], names: Sequence[str]) -> dict[str, Interval]:
    """Compute the intervals of the named figures; missing and undefined figures are ``None``."""
    wanted = {name: figures[name] for name in names if name in figures}
    found = metrics.bootstrap(wanted, clips["speaker"].to_numpy())
    return {name: _rounded(found[name]) if name in found else None for name in names}


def gender_clips(clips: pl.DataFrame) -> pl.DataFrame:
    """Return the clips with a gender label and a predicted gender."""
    return clips.filter(pl.col("status") == "ok").drop_nulls(["true_gender", "p_female"])


def age_clips(clips: pl.DataFrame) -> pl.DataFrame:
    """Return the clips with an age label and a predicted age."""
    return clips.filter(pl.col("status") == "ok").drop_nulls(["true_age_years", "age_years"])


def counts(clips: pl.DataFrame) -> dict[str, int | None]:
    """Count clips and speakers; ``None`` speakers if no clip has a speaker id."""
    known = clips["speaker_id"].drop_nulls()
    n_speakers = known.n_unique() if known.len() or not clips.height else None
    return {"n_clips": clips.height, "n_speakers": n_speakers}


def median_age(clips: pl.DataFrame) -> float | None:
    """Return the median age: the constant guess with the lowest MAE."""
    median = clips["true_age_years"].median()
    return None if median is None else float(str(median))


def merged_bins(bins: Sequence[Mapping[str, Any]], least: int = LEAST_IN_BIN) -> list[dict[str, Any]]:
    """Merge neighbouring bins of a calibration plot until each holds enough clips.

    Bins are merged from left to right. If the last ones hold too few, they join the bin to their left.

    Args:
        bins: ``reliability`` of a report.
        least: clips of a bin at least; there is one bin where all of them hold fewer.

    Returns:
        Bins with the same keys, each with clips. ``p_female`` and ``share_female`` are means over the clips.

    Examples:
        >>> edges = [(0.0, 0.1, 15, 0.04, 0.2), (0.1, 0.2, 5, 0.12, 0.0), (0.2, 0.3, 4, 0.25, 0.5)]
        >>> names = ("low", "high", "n_clips", "p_female", "share_female")
        >>> merged_bins([dict(zip(names, row, strict=True)) for row in edges])
        [{'low': 0.0, 'high': 0.3, 'n_clips': 24, 'p_female': 0.091667, 'share_female': 0.208333}]
    """
    groups: list[list[Mapping[str, Any]]] = [[]]
    for row in bins:
        if sum(one["n_clips"] for one in groups[-1]) >= least:
            groups.append([])
        groups[-1].append(row)
    if len(groups) > 1 and sum(one["n_clips"] for one in groups[-1]) < least:
        groups[-2:] = [groups[-2] + groups[-1]]
    merged = []
    for group in groups:
        full = [one for one in group if one["n_clips"]]
        n = sum(one["n_clips"] for one in full)
        means = {
            name: round(sum(one["n_clips"] * one[name] for one in full) / n, 6) for name in ("p_female", "share_female")
        }
        merged.append({"low": group[0]["low"], "high": group[-1]["high"], "n_clips": n, **means})
    return merged


def decided(clips: pl.DataFrame) -> npt.NDArray[np.int64]:
    """Return the index of the more probable gender, also inside the abstention band."""
    female, male = GENDERS.index("female"), GENDERS.index("male")
    return np.where(clips["p_female"].to_numpy() >= 0.5, female, male)


def index(values: pl.Series, labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the index of each value in the labels; -1 for other values."""
    at = values.replace_strict(list(labels), range(len(labels)), default=-1, return_dtype=pl.Int64)
    return at.fill_null(-1).to_numpy()


def groups_of(bundle: Bundle) -> list[str]:
    """List the age groups that a bundle can predict: all of them if it predicts years."""
    labels = bundle.outputs.get("age", ())
    if tuple(labels) == YEARS:
        return list(AGE_GROUPS)
    have = {label if label in AGE_GROUPS else parts_of(label)[1] for label in labels}
    return [group for group in AGE_GROUPS if group in have]


def joint_labels(bundle: Bundle) -> list[str]:
    """List the joint classes of gender and age group of a bundle; most bundles have none."""
    return [label for label in bundle.outputs.get("age", ()) if label in JOINT_CLASSES]


def true_joint(clips: pl.DataFrame, labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the index of each clip's gender and age group in the labels; -1 for other classes."""
    return index(clips.select(pl.concat_str("true_gender", pl.lit("_"), "true_age_group")).to_series(), labels)


def _rounded(interval: metrics.Interval) -> Interval:
    if interval.value is None:
        return None
    return {key: None if number is None else round(number, 6) for key, number in interval._asdict().items()}


def _shares(clips: pl.DataFrame) -> Floats:
    """Return clip weights that sum to 1 for each speaker."""
    return clips.select(1 / pl.len().over("speaker")).to_series().to_numpy()
