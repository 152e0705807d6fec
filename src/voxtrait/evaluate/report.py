"""Labelled clips with their predictions become the report: a dictionary of figures, which all else only shows."""

import importlib.metadata
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from voxtrait import metrics
from voxtrait.bundle import Bundle
from voxtrait.evaluate.clips import Leakage
from voxtrait.labels import AGE_GROUPS, GENDERS, JOINT_CLASSES, parts_of
from voxtrait.metrics import Figure, Floats

Interval = dict[str, float | None] | None

GENDER_FIGURES: Final = ("uar", "accuracy", "ece", "unsure", "uar_sure", "uar_by_speaker")
AGE_FIGURES: Final = (
    *("mae", "mae_constant", "coverage80", "group_uar", "pearson", "bias", "interval_width", "mae_by_speaker"),
    *("mae_female", "mae_male", "joint_uar", "joint_accuracy", "joint_majority"),
)
SLICE_FIGURES: Final = {
    "gender": ("accuracy", "uar", "unsure", "uar_by_speaker"),
    "age": ("mae", "bias", "coverage80", "mae_by_speaker"),
}
DURATIONS: Final = (2.0, 4.0, 6.0, 10.0)  # seconds that divide the slices by duration
LARGEST: Final = 20  # slices of a kind, the largest first
WORST: Final = 20  # clips in a list of the worst
FAILURES: Final = 100  # failures listed by name; all are counted
NOTES: Final = {
    "interval": "95 % interval: percentiles of 1000 draws of speakers with replacement, seed 0; a clip without a "
    "speaker id is taken for a speaker of its own; no interval where there are fewer than two speakers",
    "weight": "every clip counts the same, except in the figures named by_speaker, where every speaker does",
    "gender": "female where p_female >= 0.5 and else male, inside the band of abstention too; unsure is the share "
    "inside that band, uar_sure the UAR outside it",
    "ece": "expected calibration error of p_female over 10 bins of 0.1",
    "age": "true years where they are known and else the middle of the age group; bias is predicted minus true years",
    "mae_constant": "error of the best constant guess, the median age of the evaluated clips",
    "group_uar": "mean recall over the age groups that occur and that the model has a class for",
    "joint_uar": "mean recall over the classes of gender and age group together that the model has and that occur, by "
    "the network's own answer, before calibration puts back how frequent the classes are; any "
    "constant guess has joint_chance, and joint_majority is the accuracy of always guessing the most frequent class",
    "excluded": "clips without an answer (no_speech, too_short, error) are in statuses and in no figure",
    "worst": "the worst clip of each of the worst speakers",
}


def build(clips: pl.DataFrame, bundle: Bundle, *, split: str, leakage: Leakage, n_unlabelled: int) -> dict[str, Any]:
    """Work out every figure.

    Args:
        clips: a row a clip: the columns of :func:`voxtrait.evaluate.clips.with_truth` and the fields of its prediction.
        bundle: what answered.
        split: name of the clips in their manifest.
        leakage: what is known about shared speakers.
        n_unlabelled: clips of the split without a label that the bundle answers.

    Returns:
        ``n_clips n_speakers split leakage gender age slices`` as in the contract, beside ``recall``, ``confusion``,
        ``reliability``, ``age_by_group``, ``worst``, ``statuses``, ``failures``, ``banners``, ``notes`` and what the
        bundle says of itself. A figure is ``{"value", "low", "high"}`` or ``None``.
    """
    answered = clips.filter(pl.col("status") == "ok")
    gender, age = _gender_clips(answered), _age_clips(answered)
    statuses = dict.fromkeys(("ok", "no_speech", "too_short", "error"), 0)
    statuses |= dict(clips.group_by("status").len().iter_rows())
    failed = clips.filter(pl.col("status") == "error").select("clip_id", "path", "message")
    return {
        "model": bundle.title,
        "description": bundle.description,
        "licence": bundle.licence,
        "data": [dict(entry) for entry in bundle.data],
        "classes": {task: list(labels) for task, labels in bundle.outputs.items()},
        "made_with": dict(bundle.made_with),
        "evaluated_with": f"voxtrait {importlib.metadata.version('voxtrait')}",
        "split": split,
        "leakage": leakage.verdict,
        "banners": list(leakage.banners),
        "n_clips": clips.height,
        "n_speakers": _n_speakers(clips),
        "n_unlabelled": n_unlabelled,
        "statuses": statuses,
        "gender": _counts(gender) | _intervals(gender, gender_figures(gender), GENDER_FIGURES),
        "age": _counts(age)
        | {"constant": _constant(age), "joint_chance": _joint_chance(age, bundle)}
        | _intervals(age, age_figures(age, bundle), AGE_FIGURES),
        "recall": _recalls(gender, age, bundle),
        "confusion": _confusions(gender, age, bundle),
        "reliability": _reliability(gender),
        "age_by_group": _age_by_group(age),
        "slices": _slices(answered, bundle),
        "worst": _worst(gender, age),
        "failures": failed.head(FAILURES).to_dicts(),
        "notes": NOTES,
    }


def gender_figures(clips: pl.DataFrame) -> dict[str, Figure]:
    """Give the figures of gender over clips with ``true_gender`` and ``p_female``: see :data:`NOTES`."""
    truth, predicted = _index(clips["true_gender"], GENDERS), _decided(clips)
    unsure = (clips["gender"] == "unsure").to_numpy()
    uar = metrics.uar(truth, predicted)
    return {
        "uar": uar,
        "accuracy": metrics.accuracy(truth, predicted),
        "ece": metrics.ece(truth == GENDERS.index("female"), clips["p_female"].to_numpy()),
        "unsure": metrics.mean(unsure),
        "uar_sure": uar.weighted(~unsure),
        "uar_by_speaker": uar.weighted(_shares(clips)),
    }


def age_figures(clips: pl.DataFrame, bundle: Bundle) -> dict[str, Figure]:
    """Give the figures of age over clips with ``true_age_years`` and ``age_years``: see :data:`NOTES`."""
    truth, predicted = clips["true_age_years"].to_numpy(), clips["age_years"].to_numpy()
    low, high = clips["age_low"].to_numpy(), clips["age_high"].to_numpy()
    error = metrics.mae(truth, predicted)
    groups = _index(clips["true_age_group"], _groups_of(bundle))
    figures = {
        "mae": error,
        "mae_constant": metrics.mae(truth, np.full(len(truth), _constant(clips) or 0.0)),
        "coverage80": metrics.interval_coverage(truth, low, high),
        "group_uar": metrics.uar(groups, _index(clips["age_group"], _groups_of(bundle))),
        "pearson": metrics.pearson(truth, predicted),
        "bias": metrics.mean(predicted - truth),
        "interval_width": metrics.mean(high - low),
        "mae_by_speaker": error.weighted(_shares(clips)),
    }
    for gender in GENDERS:
        figures[f"mae_{gender}"] = error.weighted((clips["true_gender"] == gender).fill_null(False).to_numpy())
    if joint := _joint_labels(bundle):
        truths, answers = _true_joint(clips, joint), _index(clips["joint_class"], joint)
        counted = truths >= 0
        usual = np.bincount(truths[counted], minlength=1).argmax()
        figures["joint_uar"] = metrics.uar(truths, answers)
        figures["joint_accuracy"] = metrics.accuracy(truths, answers).weighted(counted)
        figures["joint_majority"] = metrics.mean(truths == usual).weighted(counted)
    return figures


def _intervals(clips: pl.DataFrame, figures: Mapping[str, Figure], names: Sequence[str]) -> dict[str, Interval]:
    """Give the named figures their intervals; what is not there or not defined is ``None``."""
    wanted = {name: figures[name] for name in names if name in figures}
    found = metrics.bootstrap(wanted, clips["speaker"].to_numpy())
    return {name: _rounded(found[name]) if name in found else None for name in names}


def _rounded(interval: metrics.Interval) -> Interval:
    if interval.value is None:
        return None
    return {key: None if number is None else round(number, 6) for key, number in interval._asdict().items()}


def _recalls(gender: pl.DataFrame, age: pl.DataFrame, bundle: Bundle) -> dict[str, dict[str, Any]]:
    joint = _joint_labels(bundle)
    return {
        "gender": _recall(gender, _index(gender["true_gender"], GENDERS), _decided(gender), GENDERS),
        "age_group": _recall(
            age, _index(age["true_age_group"], AGE_GROUPS), _index(age["age_group"], AGE_GROUPS), AGE_GROUPS
        ),
        "joint": _recall(age, _true_joint(age, joint), _index(age["joint_class"], joint), joint),
    }


def _recall(
    clips: pl.DataFrame, truth: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], labels: Sequence[str]
) -> dict[str, Any]:
    """Give the recall of each class that occurs, with the number of its clips and speakers."""
    recalls = dict(zip(labels, metrics.per_class_recall(truth, predicted, len(labels)), strict=True))
    intervals = _intervals(clips, recalls, labels)
    return {
        name: _counts(clips.filter(pl.Series(truth == at))) | interval
        for at, (name, interval) in enumerate(intervals.items())
        if interval is not None
    }


def _confusions(gender: pl.DataFrame, age: pl.DataFrame, bundle: Bundle) -> dict[str, Any]:
    joint = _joint_labels(bundle)
    seen = {*age["true_age_group"].drop_nulls(), *age["age_group"].drop_nulls()}
    groups = [group for group in AGE_GROUPS if group in seen]
    pairs = {
        "gender": (GENDERS, _index(gender["true_gender"], GENDERS), _decided(gender)),
        "age_group": (groups, _index(age["true_age_group"], groups), _index(age["age_group"], groups)),
        "joint": (joint, _true_joint(age, joint), _index(age["joint_class"], joint)),
    }
    tables = {}
    for name, (labels, truth, predicted) in pairs.items():
        inside = (truth >= 0) & (predicted >= 0)
        counts = metrics.confusion(truth[inside], predicted[inside], len(labels)).tolist()
        tables[name] = {"labels": list(labels), "counts": counts} if inside.any() else None
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
    """Say what is predicted for the people of each age group: the middle prediction, and the mean interval."""
    table = age.group_by("true_age_group").agg(
        pl.len().alias("n_clips"),
        pl.col("true_age_years").mean(),
        pl.col("age_years").median(),
        pl.col("age_low", "age_high").mean(),
    )
    rows = {row.pop("true_age_group"): row for row in table.with_columns(pl.col(pl.Float64).round(3)).to_dicts()}
    return {group: rows[group] for group in AGE_GROUPS if group in rows}


def _slices(answered: pl.DataFrame, bundle: Bundle) -> dict[str, dict[str, Any]]:
    joint = pl.concat_str("true_gender", pl.lit("_"), "true_age_group")
    edges = [f"{edge:g}" for edge in DURATIONS]
    names = [
        f"under {edges[0]} s",
        *(f"{a} to {b} s" for a, b in itertools.pairwise(edges)),
        f"{edges[-1]} s and over",
    ]
    keys: dict[str, tuple[pl.Expr, Sequence[str] | None]] = {
        "gender": (pl.col("true_gender"), GENDERS),
        "age_group": (pl.col("true_age_group"), AGE_GROUPS),
        "gender_age_group": (joint, JOINT_CLASSES),
        "locale": (pl.col("locale"), None),
        "release": (pl.col("release"), None),
        "corpus": (pl.col("corpus"), None),
        "duration": (_duration(names), names),
    }
    slices = {}
    for kind, (key, order) in keys.items():
        parts = answered.with_columns(key.alias("slice")).drop_nulls("slice").partition_by("slice", as_dict=True)
        found = {str(name): rows for (name,), rows in parts.items()}
        by_size = sorted(found, key=lambda name: (-found[name].height, name))[:LARGEST]
        slices[kind] = {name: _slice(found[name], bundle) for name in order or by_size if name in found}
    return slices


def _duration(names: Sequence[str]) -> pl.Expr:
    """Name the stretch of :data:`DURATIONS` that a clip lies in; null where its duration is not known."""
    over = pl.sum_horizontal((pl.col("duration_s") >= edge).cast(pl.Int64) for edge in DURATIONS)
    named = over.replace_strict(range(len(names)), list(names), return_dtype=pl.String)
    return pl.when(pl.col("duration_s").is_not_null()).then(named)


def _slice(clips: pl.DataFrame, bundle: Bundle) -> dict[str, Any]:
    gender, age = _gender_clips(clips), _age_clips(clips)
    of_gender = gender_figures(gender)
    if gender["true_gender"].n_unique() < 2:  # a mean over one class is no UAR
        of_gender = {name: figure for name, figure in of_gender.items() if not name.startswith("uar")}
    return _counts(clips) | {
        "gender": _intervals(gender, of_gender, SLICE_FIGURES["gender"]),
        "age": _intervals(age, age_figures(age, bundle), SLICE_FIGURES["age"]),
    }


def _worst(gender: pl.DataFrame, age: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """List the most confident wrong genders and the largest errors of age, one clip a speaker."""
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


def _gender_clips(answered: pl.DataFrame) -> pl.DataFrame:
    return answered.drop_nulls(["true_gender", "p_female"])


def _age_clips(answered: pl.DataFrame) -> pl.DataFrame:
    return answered.drop_nulls(["true_age_years", "age_years"])


def _counts(clips: pl.DataFrame) -> dict[str, int | None]:
    return {"n_clips": clips.height, "n_speakers": _n_speakers(clips)}


def _n_speakers(clips: pl.DataFrame) -> int | None:
    """Count people; ``None`` where nobody has an id."""
    known = clips["speaker_id"].drop_nulls()
    return known.n_unique() if known.len() or not clips.height else None


def _shares(clips: pl.DataFrame) -> Floats:
    """Weigh clips so that each speaker counts as one."""
    return clips.select(1 / pl.len().over("speaker")).to_series().to_numpy()


def _constant(age: pl.DataFrame) -> float | None:
    median = age["true_age_years"].median()
    return None if median is None else float(str(median))


def _decided(gender: pl.DataFrame) -> npt.NDArray[np.int64]:
    female, male = GENDERS.index("female"), GENDERS.index("male")
    return np.where(gender["p_female"].to_numpy() >= 0.5, female, male)


def _index(values: pl.Series, labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Give the index of each value among the labels, -1 for what is not among them."""
    at = values.replace_strict(list(labels), range(len(labels)), default=-1, return_dtype=pl.Int64)
    return at.fill_null(-1).to_numpy()


def _groups_of(bundle: Bundle) -> list[str]:
    labels = bundle.outputs.get("age", ())
    have = {label if label in AGE_GROUPS else parts_of(label)[1] for label in labels}
    return [group for group in AGE_GROUPS if group in have]


def _joint_labels(bundle: Bundle) -> list[str]:
    return [label for label in bundle.outputs.get("age", ()) if label in JOINT_CLASSES]


def _true_joint(clips: pl.DataFrame, labels: Sequence[str]) -> npt.NDArray[np.int64]:
    return _index(clips.select(pl.concat_str("true_gender", pl.lit("_"), "true_age_group")).to_series(), labels)


def _joint_chance(age: pl.DataFrame, bundle: Bundle) -> float | None:
    joint = _joint_labels(bundle)
    n = len({index for index in _true_joint(age, joint).tolist() if index >= 0})
    return round(1 / n, 6) if n else None
