"""Training data of the heads from labels and summaries of clips: folds, weights, contradicted labels."""

import dataclasses
import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from voxtrait.labels import AGE_GROUPS, AGE_MIDDLES
from voxtrait.training.recipe import EncoderRecipe
from voxtrait.training.voices.heads import Examples

# voices change before this age; from this age on, a voice that contradicts its gender label indicates a wrong label
SETTLED_YEARS: Final = 20.0
Bools = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Clips:
    """Labelled clips with their summaries, in the same order."""

    table: pl.DataFrame  # clip_id, speaker_id, corpus, …, speech_s
    summaries: npt.NDArray[np.float32]  # (views, n, d)
    female: npt.NDArray[np.float32]  # (n,), 1, 0 or NaN
    years: npt.NDArray[np.float32]  # (n,), the middle of the age group if only that is known; NaN unknown
    exact: Bools  # (n,), whether the age is known in years
    speaker: npt.NDArray[np.int64]  # (n,), numbers; each clip without a speaker id counts as its own speaker
    fold: npt.NDArray[np.int64]  # (n,), number of the speaker fold

    def take(self, rows: Bools) -> "Clips":
        """Return the clips of some rows."""
        cut = {field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)[2:]}
        return Clips(self.table.filter(pl.Series(rows)), self.summaries[:, rows], **cut)


def clips_of(table: pl.DataFrame, recipe: EncoderRecipe) -> Clips:
    """Read labels and summaries from the result of :func:`voxtrait.training.voices.summaries.summarise`.

    Clips without a summary are left out, and clips with neither an age nor the gender female or male.
    """
    middle = pl.col("age_group").replace_strict(AGE_GROUPS, AGE_MIDDLES, default=None, return_dtype=pl.Float64)
    known = pl.col("age_years").is_between(0, 99)
    rows = table.with_columns(
        female=pl.col("gender").replace_strict(["female", "male"], [1.0, 0.0], default=None, return_dtype=pl.Float64),
        years=pl.when(known).then("age_years").otherwise(middle),
        exact=known.fill_null(False),
        who=pl.coalesce("speaker_id", pl.lit("\0") + pl.col("clip_id")),
    ).filter(pl.col("summaries").is_not_null(), pl.any_horizontal(pl.col("female", "years").is_not_null()))
    values = rows["summaries"].explode().to_numpy().reshape(rows.height, recipe.views, -1)
    return Clips(
        rows.drop("summaries", "female", "years", "exact", "who"),
        np.ascontiguousarray(values.transpose(1, 0, 2), dtype=np.float32),
        rows["female"].cast(pl.Float32).fill_null(float("nan")).to_numpy(writable=True),
        rows["years"].cast(pl.Float32).fill_null(float("nan")).to_numpy(writable=True),
        rows["exact"].to_numpy(writable=True),
        rows["who"].rank("dense").cast(pl.Int64).to_numpy() - 1,
        np.array([fold_of(who, recipe) for who in rows["who"]], dtype=np.int64),
    )


def fold_of(speaker: str, recipe: EncoderRecipe) -> int:
    """Return the fold of a speaker, by a hash, so that it does not depend on the other speakers.

    Examples:
        >>> fold_of("speaker-1", EncoderRecipe("base"))
        3
    """
    digest = hashlib.blake2b(f"{recipe.seed} {speaker}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % recipe.members


def examples_of(clips: Clips, recipe: EncoderRecipe, contradicted: Bools | None = None) -> Examples:
    """Return training data with clip weights: no speaker dominates, and both genders have the same total weight.

    Args:
        clips: clips for training.
        recipe: settings with the exponents of the weights.
        contradicted: ``(n,)``, mask of the clips whose gender label is not used for training.
    """
    n = len(clips.speaker)
    female = clips.female if contradicted is None else np.where(contradicted, np.float32("nan"), clips.female)
    weight = np.bincount(clips.speaker)[clips.speaker] ** -recipe.speaker_balance
    by_gender = np.zeros(n)
    for value in (0.0, 1.0):
        own = female == value
        if own.any():
            by_gender[own] = weight[own] / weight[own].sum()
    by_age = np.where(np.isnan(clips.years), 0.0, weight)
    group = (np.nan_to_num(clips.years) // 10).astype(np.int64)
    total = np.bincount(group, by_age)[group]
    by_age = by_age / np.maximum(total, 1e-9) ** recipe.group_balance
    return Examples(
        clips.summaries, female, clips.years, clips.exact, _to_mean_one(by_gender), _to_mean_one(by_age), clips.fold
    )


def contradictions(clips: Clips, female_logit: npt.NDArray[np.float64], recipe: EncoderRecipe) -> Bools:
    """Find clips of adult speakers whose voice strongly contradicts the gender label.

    Confident learning (Northcutt, Jiang & Chuang, "Confident learning: estimating uncertainty in dataset labels",
    JAIR 2021), by speaker: a label is contradicted if the mean logit of the member that the speaker is held out from
    gives the other gender a probability of at least ``recipe.contradiction``. Such labels are left out of the gender
    loss only. The clips still count in the age loss and in every figure.

    Args:
        clips: all clips.
        female_logit: ``(n,)``, logit of the member that the clip's speaker is held out from.
        recipe: settings with the minimum probability.

    Returns:
        ``(n,)``, whether each clip's label is contradicted.
    """
    count = np.bincount(clips.speaker)
    mean = np.bincount(clips.speaker, female_logit) / np.maximum(count, 1)
    p_female = 1 / (1 + np.exp(-mean[clips.speaker]))
    other = np.where(clips.female == 1, 1 - p_female, p_female)
    settled = ~(clips.years < SETTLED_YEARS)  # includes unknown ages
    return np.asarray((other >= recipe.contradiction) & settled & ~np.isnan(clips.female))


def _to_mean_one(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    mean = weights.mean()
    return np.asarray(weights / mean if mean > 0 else weights, dtype=np.float32)
