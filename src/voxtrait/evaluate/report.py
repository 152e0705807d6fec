"""Computes the report of an evaluation: all figures, by group too, as a dictionary."""

import importlib.metadata
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from voxtrait.bundle import Bundle
from voxtrait.evaluate import figures, limits, metrics, slices
from voxtrait.evaluate.clips import Leakage
from voxtrait.evaluate.figures import AGE_FIGURES, GENDER_FIGURES
from voxtrait.labels import AGE_GROUPS, GENDERS
from voxtrait.manifest import funnel
from voxtrait.manifest.funnel import Step

WORST: Final = 20  # clips in each list of the worst clips
OF_ADULTS: Final = ("uar", "unsure", "ece")
"""Gender figures that the report also has for adults alone."""
FAILURES: Final = 100  # failed clips listed by name; all are counted
FIELDS: Final = {
    "model": "Name and version of the bundle.",
    "description": "Description of the bundle.",
    "licence": "Licence of the bundle.",
    "data": "Corpora that the bundle was trained on, each with its licence.",
    "pretrained": "Pretrained weights that its training started from.",
    "classes": "Labels of each task.",
    "made_with": "Versions and recipes of the training.",
    "evaluated_with": "Version of voxtrait that evaluated the bundle.",
    "split": "Evaluated split: `test`, `validation`, `train` or `all`.",
    "leakage": "Verdict: `none`, `shared: …` or `unknown: …`.",
    "leakage_checks": "Checks of `speakers`, `contents` (bytes of files) and `sentences`: what the clips were "
    "`compared_with`, the number `shared`, and the number of clips for which it is `unknown`.",
    "banners": "Warnings at the top of the report.",
    "n_clips": "Number of clips with a label of a task of the bundle.",
    "n_speakers": "Number of their speakers; null without speaker ids.",
    "funnel": "Steps from the tables of the corpus to the evaluated clips: `step`, `what` and `clips`.",
    "n_unlabelled": "Number of clips of the split without a label of a task of the bundle.",
    "statuses": "Number of clips by status.",
    "gender": "Figures of gender, with the `n_clips` and `n_speakers` behind them.",
    "age": "Figures of age, with the `n_clips` and `n_speakers` behind them; `constant` is the best constant guess in "
    "years.",
    "fairness": "Recall of female and male voices and their `difference`, by age group from the twenties on (`groups`) "
    "and over all `adults`. `largest` is the group with the largest difference, `largest_of_many` that among groups "
    "with at least `many` speakers of each gender.",
    "recall": "Recall of each class, for `gender`, `age_group` and `joint`.",
    "confusion": "Counts of clips for `gender`, `age_group` and `joint`: one row per true class, one column per "
    "predicted class.",
    "reliability": "Bins of `p_female` from `low` to `high`: `n_clips`, mean `p_female`, and `share_female`.",
    "age_by_group": "By true age group: mean of the true years, median of the predicted years, mean of both ends of "
    "the interval.",
    "slices": "Figures by group of clips.",
    "worst": "The most confident wrong genders and the largest age errors, one clip per speaker.",
    "failures": "The first clips that could not be read: `clip_id`, `path` and `message`.",
    "children": "Sentences about the figures of children and teens.",
    "limits": "Sentences about the limits that the figures show.",
    "limits_in_short": "Sentences about the most important limits, for the summary of the report.",
    "notes": "Explanations of the figures.",
}
"""Keys of ``report.json`` and their meanings."""
NOTES: Final = {
    "interval": "95 % interval: percentiles of 1,000 bootstrap draws of speakers with replacement, seed 0. A clip "
    "without a speaker id counts as its own speaker. With fewer than two speakers there is no interval",
    "weight": "every clip has the same weight, except in the figures named by_speaker, where every speaker has the "
    "same weight",
    "gender": "female where p_female >= 0.5, otherwise male, also inside the abstention band. unsure is the share of "
    "clips inside the band, uar_sure the UAR outside it, and wrong_sure the share of all clips that are outside the "
    "band and wrong",
    "ece": "expected calibration error of p_female over 10 bins of width 0.1. The calibration plot merges neighbouring "
    f"bins until each holds at least {figures.LEAST_IN_BIN} clips",
    "age": "true years are the stated years, or the middle of the stated age group; bias is predicted minus true years",
    "mae_constant": "MAE of the best constant guess, which is the median age of the evaluated clips; by group, the MAE "
    "of the same guess",
    "interval_width_constant": "width of the interval from the 10th to the 90th percentile of the evaluated ages, "
    "which would be the same for everybody",
    "group_uar": "mean recall over the age groups that occur and that the model can predict",
    "joint_uar": "mean recall over the classes of gender and age group that the model has and that occur, from the raw "
    "class of the network, before calibration restores the class frequencies. Any constant guess has the recall "
    "joint_chance; joint_majority is the accuracy of always guessing the most frequent class",
    "excluded": "clips without a prediction (no_speech, too_short, error) count in statuses and in the shares of clips "
    "without a prediction by group, and in no other figure",
    "decades": "age by labelled decade shows which ages are estimated too young or too old; age by estimated decade "
    "shows the error of an estimate in that decade, and depends on the ages of the evaluated speakers",
    "slices": "locale_group is the family of the locale's language; snr is the signal-to-noise ratio that the "
    "recogniser estimates; a teen with unknown years may be 10 to 19, and is neither in 13 to 17 nor in adults",
    "fairness": "recall of female minus recall of male voices in each age group from the twenties on",
    "worst": "the worst clip of each of the worst speakers",
}


def build(
    clips: pl.DataFrame,
    bundle: Bundle,
    *,
    split: str,
    leakage: Leakage,
    n_unlabelled: int,
    n_elsewhere: int = 0,
    steps: Sequence[Step] = (),
) -> dict[str, Any]:
    """Compute every figure.

    Args:
        clips: one row per clip: the columns of :func:`voxtrait.evaluate.clips.with_truth` and the prediction's fields.
        bundle: the bundle that made the predictions.
        split: name of the evaluated split.
        leakage: speakers and clips shared with the training set or other splits.
        n_unlabelled: number of clips of the split without a label of a task of the bundle.
        n_elsewhere: number of clips in other splits of the manifest.
        steps: the funnel stored in the manifest.

    Returns:
        ``n_clips n_speakers split leakage gender age slices`` as in the contract, beside ``fairness``, ``recall``,
        ``confusion``, ``reliability``, ``age_by_group``, ``worst``, ``statuses``, ``failures``, ``banners``,
        ``limits``, ``limits_in_short``, ``children``, ``notes``, ``funnel``, ``leakage_checks`` and the bundle's
        description. A figure is ``{"value", "low", "high"}`` or ``None``. ``leakage_checks`` lists, for ``speakers``,
        ``contents`` and ``sentences``, what they were compared with, how many are shared, and for how many clips this
        is unknown.
    """
    gender, age = figures.gender_clips(clips), figures.age_clips(clips)
    statuses = dict.fromkeys(figures.STATUSES, 0)
    statuses |= dict(clips.group_by("status").len().iter_rows())
    failed = clips.filter(pl.col("status") == "error").select("clip_id", "path", "message")
    constant = figures.median_age(age)
    sliced = slices.build(clips, bundle, constant)
    found: dict[str, Any] = {
        "model": bundle.title,
        "description": bundle.description,
        "licence": bundle.licence,
        "data": [dict(entry) for entry in bundle.data],
        "pretrained": [dict(entry) for entry in bundle.pretrained],
        "classes": {task: list(labels) for task, labels in bundle.outputs.items()},
        "made_with": dict(bundle.made_with),
        "evaluated_with": f"voxtrait {importlib.metadata.version('voxtrait')}",
        "split": split,
        "leakage": leakage.verdict,
        "leakage_checks": leakage.checks,
        "banners": list(leakage.banners),
    }
    dropped = {"in another split": n_elsewhere, "no label that the model predicts": n_unlabelled}
    dropped |= {status.replace("_", " "): n for status, n in statuses.items() if status != "ok"}
    measured = Step("evaluate", clips.height + n_unlabelled + n_elsewhere, dropped)
    found |= figures.counts(clips) | {
        "funnel": funnel.rows([*steps, measured]),
        "n_unlabelled": n_unlabelled,
        "statuses": statuses,
        "gender": figures.counts(gender)
        | figures.intervals(gender, figures.gender_figures(gender), GENDER_FIGURES)
        | _of_adults(sliced),
        "age": figures.counts(age)
        | {"constant": constant, "joint_chance": _joint_chance(age, bundle)}
        | figures.intervals(age, figures.age_figures(age, bundle), AGE_FIGURES),
        "fairness": slices.fairness(clips),
        "recall": _recalls(gender, age, bundle),
        "confusion": _confusions(gender, age, bundle),
        "reliability": _reliability(gender),
        "age_by_group": _age_by_group(age),
        "slices": sliced,
        "worst": _worst(gender, age),
        "failures": failed.head(FAILURES).to_dicts(),
    }
    return found | {
        "children": limits.of_children(found),
        "limits": limits.sentences(found),
        "limits_in_short": limits.in_short(found),
        "notes": NOTES,
    }


def _of_adults(sliced: dict[str, dict[str, Any]]) -> dict[str, figures.Interval]:
    """Return the gender figures of adults from their slice; ``None`` without adults."""
    adults = sliced["children"].get(slices.ADULTS)
    return {f"{name}_adults": adults["gender"][name] if adults else None for name in OF_ADULTS}


def _recalls(gender: pl.DataFrame, age: pl.DataFrame, bundle: Bundle) -> dict[str, dict[str, Any]]:
    joint = figures.joint_labels(bundle)
    true_group, group = (figures.index(age[name], AGE_GROUPS) for name in ("true_age_group", "age_group"))
    true_joint, joint_class = figures.true_joint(age, joint), figures.index(age["joint_class"], joint)
    return {
        "gender": _recall(gender, figures.index(gender["true_gender"], GENDERS), figures.decided(gender), GENDERS),
        "age_group": _recall(age, true_group, group, AGE_GROUPS),
        "joint": _recall(age, true_joint, joint_class, joint),
    }


def _recall(
    clips: pl.DataFrame, truth: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], labels: Sequence[str]
) -> dict[str, Any]:
    """Return the recall of each class that occurs, with its numbers of clips and speakers."""
    recalls = dict(zip(labels, metrics.per_class_recall(truth, predicted, len(labels)), strict=True))
    found = figures.intervals(clips, recalls, labels)
    return {
        name: figures.counts(clips.filter(pl.Series(truth == at))) | interval
        for at, (name, interval) in enumerate(found.items())
        if interval is not None
    }


def _confusions(gender: pl.DataFrame, age: pl.DataFrame, bundle: Bundle) -> dict[str, Any]:
    index, joint = figures.index, figures.joint_labels(bundle)
    seen = {*age["true_age_group"].drop_nulls(), *age["age_group"].drop_nulls()}
    groups = [group for group in AGE_GROUPS if group in seen]
    pairs = {
        "gender": (GENDERS, index(gender["true_gender"], GENDERS), figures.decided(gender)),
        "age_group": (groups, index(age["true_age_group"], groups), index(age["age_group"], groups)),
        "joint": (joint, figures.true_joint(age, joint), index(age["joint_class"], joint)),
    }
    tables = {}
    for name, (labels, truth, predicted) in pairs.items():
        inside = (truth >= 0) & (predicted >= 0)
        cells = metrics.confusion(truth[inside], predicted[inside], len(labels)).tolist()
        tables[name] = {"labels": list(labels), "counts": cells} if inside.any() else None
    return tables


def _reliability(gender: pl.DataFrame) -> list[dict[str, Any]]:
    female = (gender["true_gender"] == "female").to_numpy()
    bins = metrics.calibration_bins(female, gender["p_female"].to_numpy()).T
    width = 1 / len(bins)
    return [
        {
            "low": round(at * width, 6),
            "high": round((at + 1) * width, 6),
            "n_clips": int(n),
            "p_female": round(p / n, 6) if n else None,
            "share_female": round(true / n, 6) if n else None,
        }
        for at, (n, p, true) in enumerate(bins)
    ]


def _age_by_group(age: pl.DataFrame) -> dict[str, Any]:
    """Return the median prediction and the mean interval of each labelled age group."""
    table = age.group_by("true_age_group").agg(
        pl.len().alias("n_clips"),
        pl.col("true_age_years").mean(),
        pl.col("age_years").median(),
        pl.col("age_low", "age_high").mean(),
    )
    rows = {row.pop("true_age_group"): row for row in table.with_columns(pl.col(pl.Float64).round(3)).to_dicts()}
    return {group: rows[group] for group in AGE_GROUPS if group in rows}


def _worst(gender: pl.DataFrame, age: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """List the most confident wrong genders and the largest age errors, one clip per speaker."""
    about = ("clip_id", "path")
    female = pl.col("true_gender") == "female"
    wrong = gender.filter(female != (pl.col("p_female") >= 0.5)).with_columns(by=(pl.col("p_female") - 0.5).abs())
    far = age.with_columns(by=(pl.col("age_years") - pl.col("true_age_years")).abs())
    columns = {
        "gender": (wrong, ("true_gender", "p_female")),
        "age": (far, ("true_age_years", "age_years", "age_low", "age_high")),
    }
    return {
        task: clips.sort("by", "clip_id", descending=[True, False])
        .unique("speaker", keep="first", maintain_order=True)
        .head(WORST)
        .select(*about, *shown)
        .to_dicts()
        for task, (clips, shown) in columns.items()
    }


def _joint_chance(age: pl.DataFrame, bundle: Bundle) -> float | None:
    found = {at for at in figures.true_joint(age, figures.joint_labels(bundle)).tolist() if at >= 0}
    return round(1 / len(found), 6) if found else None
