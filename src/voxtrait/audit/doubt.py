"""Ranks the labels of clips and speakers by how strongly the labels of other speakers contradict them.

The two tasks have separate rankings. The doubt of a gender is the probability of the other label. The doubt of an age
is a rank: the share of other speakers whose label fits their voice better. Age errors often exceed a decade and are
largest for the oldest speakers, who would otherwise always rank first.
"""

import dataclasses
from typing import Any, Final

import numpy as np
import polars as pl

from voxtrait.audit import heads
from voxtrait.audit.embeddings import ClipEmbeddings
from voxtrait.audit.heads import Bools, Floats, Whole
from voxtrait.bundle import Bundle, hash_speaker
from voxtrait.labels import AGE_GROUPS, AGE_MIDDLES, GENDERS

TASKS: Final = ("gender", "age")
FEWEST: Final = 20  # labelled speakers (of each gender) below which no heads are trained
CHILD: Final = 14.0  # years below which a voice carries no reliable information about gender: see voxtrait.labels
LINE: Final = {"gender": 0.5, "age": 0.95}  # doubt from which a clip counts as doubted


@dataclasses.dataclass(frozen=True)
class People:
    """Speakers and labels of a manifest, ``(clips,)`` each. A clip without a speaker id counts as its own speaker."""

    name: pl.Series  # speaker id, or "\\0" and the clip id
    number: Whole  # number of the speaker
    female: Floats  # 1, 0, or NaN
    years: Floats  # stated years, or the middle of the stated age group, or NaN
    child: Bools  # known to be under 14


def people(table: pl.DataFrame) -> People:
    """Read the speakers and labels of a manifest.

    Examples:
        >>> from voxtrait.manifest import conform
        >>> rows = {"path": ["a", "b"], "gender": ["female", "other"], "age_group": ["under_ten", "forties"]}
        >>> found = people(conform(pl.DataFrame(rows)))
        >>> found.female.tolist(), found.years.tolist(), found.child.tolist()
        ([1.0, nan], [5.0, 45.0], [True, False])
    """
    stated = pl.col("age_years").is_between(0, 130, closed="left")
    middle = pl.col("age_group").replace_strict(AGE_GROUPS, AGE_MIDDLES, default=None, return_dtype=pl.Float64)
    gender = pl.col("gender").replace_strict(GENDERS, (1.0, 0.0), default=None, return_dtype=pl.Float64)
    found = table.select(
        pl.coalesce("speaker_id", pl.lit("\0") + pl.col("clip_id")).alias("name"),
        gender.fill_null(np.nan).alias("female"),
        pl.when(stated).then("age_years").otherwise(middle).fill_null(np.nan).alias("years"),
    )
    number = found["name"].rank("dense").cast(pl.Int64).to_numpy() - 1
    years = found["years"].to_numpy()
    return People(found["name"], number, found["female"].to_numpy(), years, years < CHILD)


@dataclasses.dataclass(frozen=True)
class Judged:
    """Ranked doubts of one task."""

    clips: pl.DataFrame  # row (in the manifest), label, answer, years, doubt, child, n_clips
    speakers: pl.DataFrame  # speaker (a number), rows, label, answer, years, doubt, child, n_clips
    how: dict[str, Any]  # method and excluded speakers, for audit.json


def judge(task: str, who: People, embedded: ClipEmbeddings, bundle: Bundle, seed: int = 0) -> Judged:
    """Rank the labels of a task by doubt.

    Args:
        task: ``gender`` or ``age``.
        who: speakers and labels.
        embedded: predictions and embeddings of the recogniser.
        bundle: bundle of the recogniser.
        seed: random seed of the folds.

    Returns:
        The labelled clips and speakers, the most doubted first. Genders of children under 14 come last, because their
        voices carry no reliable information about gender.
    """
    truth = who.female if task == "gender" else who.years
    labelled = np.isfinite(truth)
    n = _labelled_speakers(task, truth, who.number, embedded.has)
    if min(n.values()) >= FEWEST:
        fold = heads.folds_of(who.name, seed)
        head = heads.female_logits if task == "gender" else heads.years
        estimates = head(embedded, truth, who.number, fold, seed)
        how: dict[str, Any] = {"judge": "heads out of fold", "folds": heads.FOLDS, "speakers": n, "not_judged": 0}
    else:
        estimates = _by_bundle(task, embedded)
        known = _known(who.name, bundle) & labelled
        estimates[known] = np.nan
        few = ", ".join(f"{count} {name}" for name, count in n.items())
        how = {
            "judge": bundle.title,
            "folds": 0,
            "speakers": n,
            "why": f"too few labelled speakers with an embedding to train heads ({few}; expected {FEWEST} or more)",
            "not_judged": int(np.unique(who.number[known]).size),  # speakers used for the training of the bundle
        }
    rows = np.flatnonzero(labelled & np.isfinite(estimates))
    rank = _rank_gender if task == "gender" else _rank_age
    return Judged(*rank(rows, estimates[rows], truth[rows], who), how)


def _labelled_speakers(task: str, truth: Floats, number: Whole, has: Bools) -> dict[str, int]:
    def count(which: Bools) -> int:
        return int(np.unique(number[which & has]).size)

    if task == "gender":
        return {name: count(truth == value) for name, value in zip(GENDERS, (1, 0), strict=True)}
    spread = np.unique(truth[np.isfinite(truth) & has]).size
    return {"with an age": count(np.isfinite(truth)) if spread > 1 else 0}


def _by_bundle(task: str, embedded: ClipEmbeddings) -> Floats:
    """Return the predictions of the bundle: logits of female, or years; NaN without a prediction."""
    if task == "age":
        return embedded.table["age_years"].fill_null(np.nan).to_numpy().copy()
    p = embedded.table["p_female"].fill_null(np.nan).clip(1e-6, 1 - 1e-6).to_numpy()
    return np.asarray(np.log(p / (1 - p)))


def _known(names: pl.Series, bundle: Bundle) -> Bools:
    """Return which clips are from speakers used for the training or model selection of the bundle."""
    hashes, every = bundle.speakers(), names.unique()
    used = every.filter(pl.Series([hash_speaker(name) in hashes for name in every], dtype=pl.Boolean))
    return names.is_in(used.implode()).to_numpy()


def _rank_gender(rows: Whole, logits: Floats, female: Floats, who: People) -> tuple[pl.DataFrame, pl.DataFrame]:
    margin = np.where(female == 1, logits, -logits)  # logit of the stated label
    clips = _frame(rows, who, pl.Series(np.where(female == 1, *GENDERS)), margin=margin)
    speakers = clips.group_by("speaker", "label", maintain_order=True).agg(
        pl.col("row").alias("rows"), pl.col("margin").mean(), pl.col("child").any(), pl.len().alias("n_clips")
    )
    other = pl.col("label").replace_strict(GENDERS, GENDERS[::-1])

    def finish(table: pl.DataFrame) -> pl.DataFrame:
        return table.with_columns(
            answer=pl.when(pl.col("margin") < 0).then(other).otherwise("label"),
            years=pl.lit(None, pl.Float64),
            doubt=1 / (1 + pl.col("margin").exp()),
        ).sort("child", "margin", maintain_order=True)

    return _finished(finish(clips), finish(speakers))


def _rank_age(rows: Whole, estimates: Floats, years: Floats, who: People) -> tuple[pl.DataFrame, pl.DataFrame]:
    label = pl.Series(AGE_GROUPS).gather(_decade(years))
    if not len(rows):
        off = years
    else:
        # the usual distance between label and estimate, which increases with the estimate
        size, weights = np.abs(years - estimates), heads.weights_of(who.number[rows])
        slope, shift = (
            np.polyfit(estimates, size, 1, w=np.sqrt(weights)) if np.ptp(estimates) > 1 else (0.0, size.mean())
        )
        usual = np.maximum(slope * estimates + shift, max(float(size.mean()) / 2, 1e-6))
        off = (years - estimates) / usual
    clips = _frame(rows, who, label, off=off, years=estimates)
    speakers = clips.group_by("speaker", "label", maintain_order=True).agg(
        pl.col("row").alias("rows"), pl.col("off", "years").mean(), pl.col("child").any(), pl.len().alias("n_clips")
    )

    def finish(table: pl.DataFrame) -> pl.DataFrame:
        size = table["off"].abs().to_numpy()
        each = 1 / table["n_clips"].to_numpy() if "row" in table.columns else np.ones(table.height)
        order = np.argsort(size, kind="stable")
        below = np.zeros(len(size))
        below[order] = (each[order].cumsum() - each[order] / 2) / max(float(each.sum()), 1e-12)
        decade = pl.Series(AGE_GROUPS).gather(_decade(table["years"].to_numpy()))
        return table.with_columns(answer=decade, doubt=pl.Series(below), size=pl.Series(size)).sort(
            "size", descending=True, maintain_order=True
        )

    return _finished(finish(clips), finish(speakers))


def _decade(years: Floats) -> Whole:
    return np.asarray(np.clip(years // 10, 0, len(AGE_GROUPS) - 1), dtype=np.int64)


def _frame(rows: Whole, who: People, label: pl.Series, **more: Floats) -> pl.DataFrame:
    table = pl.DataFrame(
        {"row": rows, "speaker": who.number[rows], "label": label, "child": who.child[rows], **more},
        schema_overrides={"label": pl.String},
    )
    return table.with_columns(n_clips=pl.len().over("speaker", "label"))


def _finished(clips: pl.DataFrame, speakers: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    shared = ("label", "answer", "years", "doubt", "child", "n_clips")
    clips, speakers = (table.with_columns(pl.col("n_clips").cast(pl.Int64)) for table in (clips, speakers))
    return clips.select("row", "speaker", *shared), speakers.select("speaker", "rows", *shared)
