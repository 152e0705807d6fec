"""Heads on the embeddings, fitted to the labels under audit. No clip is scored by a head fitted to its speaker.

A recogniser may have been trained on the very labels in question, and then its own probability proves nothing. So the
manifest's own labels train small heads in folds of speakers, and what is doubted is what the others' labels
contradict: confident learning (C. G. Northcutt, L. Jiang, I. L. Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", J. Artif. Intell. Res. 70, 2021). The embedding below them was trained to distinguish speakers, on none
of these labels. Throwing out the doubted labels and fitting again found no more on Common Voice, so it is not done.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from voxtrait.audit.embeddings import ClipEmbeddings
from voxtrait.errors import MissingExtraError

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FOLDS: Final = 5
SPEAKER_POWER: Final = -0.7  # a speaker's clips weigh count^-0.7 each: more clips inform more, but not in proportion
CLIPS: Final = 20  # a speaker's at most, to fit to
MOST: Final = 60_000  # clips to fit to: more make the heads no better, and 2 million would not fit in memory
STRENGTH: Final = 3.0  # of the logistic regression (C), for embeddings of length 1: the least error on Common Voice
RIDGE: Final = 3.0  # of the regression on years: likewise
_CHUNK: Final = 65_536  # clips scored at a time


def check_extra() -> None:
    """Refuse to begin without scikit-learn, before hours are spent on embedding.

    Raises:
        MissingExtraError: if it is not installed.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise MissingExtraError("auditing", "audit") from None


def folds_of(speakers: pl.Series, seed: int = 0) -> Whole:
    """Give the fold that each speaker is in, by a hash of the id: ``(speakers,)``, 0 to 4, the same in every manifest.

    Examples:
        >>> folds_of(pl.Series(["ann", "eve", "ann"])).tolist()
        [3, 2, 3]
    """
    names = speakers.unique()
    digests = [hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest() for name in names]
    fold = [int.from_bytes(digest, "big") % FOLDS for digest in digests]
    return speakers.replace_strict(names, fold, return_dtype=pl.Int64).to_numpy()


def female_logits(heard: ClipEmbeddings, female: Floats, speaker: Whole, fold: Whole, seed: int = 0) -> Floats:
    """Score every clip by a logistic regression that was not fitted to its speaker.

    Args:
        heard: the embeddings.
        female: ``(clips,)``, 1 or 0, NaN for a clip without a label.
        speaker: ``(clips,)``, a number a person.
        fold: ``(clips,)``, the same for all clips of a person.
        seed: of the draw where there are more clips than are needed.

    Returns:
        ``(clips,)``, the logit of female, scaled to be as sure as it is right; NaN for a clip without an embedding.
    """
    from sklearn.linear_model import LogisticRegression

    def fit(x: Any, y: Floats, weights: Floats) -> tuple[Floats, float]:
        balanced = weights.copy()
        for gender in (0.0, 1.0):
            balanced[y == gender] /= max(float(balanced[y == gender].sum()), 1e-12)
        head = LogisticRegression(C=STRENGTH, max_iter=1000).fit(x, y, balanced * len(y) / balanced.sum())
        return np.asarray(head.coef_[0], dtype=np.float64), float(head.intercept_[0])

    found = _out_of_fold(heard, female, speaker, fold, seed, fit)
    known = np.isfinite(found) & np.isfinite(female)
    return found * _sharpness(np.where(female == 1, found, -found)[known], weights_of(speaker[known]))


def years(heard: ClipEmbeddings, truth: Floats, speaker: Whole, fold: Whole, seed: int = 0) -> Floats:
    """Estimate the years of every clip by a ridge regression that was not fitted to its speaker.

    Args:
        heard: the embeddings.
        truth: ``(clips,)``, years, NaN for a clip without an age.
        speaker: ``(clips,)``, a number a person.
        fold: ``(clips,)``, the same for all clips of a person.
        seed: of the draw where there are more clips than are needed.

    Returns:
        ``(clips,)``, the years to expect, NaN for a clip without an embedding.
    """
    from sklearn.linear_model import Ridge

    def fit(x: Any, y: Floats, weights: Floats) -> tuple[Floats, float]:
        head = Ridge(alpha=RIDGE).fit(x, y, weights / weights.mean())
        return np.asarray(head.coef_, dtype=np.float64), float(head.intercept_)

    found = _out_of_fold(heard, truth, speaker, fold, seed, fit)
    known = np.isfinite(found) & np.isfinite(truth)
    slope, shift = np.polyfit(found[known], truth[known], 1, w=np.sqrt(weights_of(speaker[known])))
    return np.asarray(slope * found + shift)


def weights_of(speaker: Whole) -> Floats:
    """Give each clip the weight that its speaker's number of clips leaves it, ``(clips,)``.

    Examples:
        >>> weights_of(np.array([0, 1, 1])).round(3).tolist()
        [1.0, 0.616, 0.616]
    """
    _, at, counts = np.unique(speaker, return_inverse=True, return_counts=True)
    return np.asarray(counts[at].astype(np.float64) ** SPEAKER_POWER)


def chosen(rows: Whole, speaker: Whole, seed: int) -> Whole:
    """Draw what to fit to: up to 20 clips a speaker, and first one of everybody, then a second, up to 60,000.

    Args:
        rows: clips to choose among.
        speaker: ``(clips,)`` of all clips.
        seed: of the draw.

    Examples:
        >>> chosen(np.arange(25), np.zeros(25, np.int64), seed=0).size
        20
    """
    mixed = np.random.default_rng(seed).permutation(rows)
    mixed = mixed[np.argsort(speaker[mixed], kind="stable")]
    _, first, counts = np.unique(speaker[mixed], return_index=True, return_counts=True)
    turn = np.arange(len(mixed)) - np.repeat(first, counts)
    some, turn = mixed[turn < CLIPS], turn[turn < CLIPS]
    order = np.lexsort((np.random.default_rng(seed).random(len(some)), turn))
    return np.sort(some[order][:MOST])


def chunks(n: int) -> Iterator[Whole]:
    """Cut ``n`` rows into pieces that fit in memory."""
    for at in range(0, n, _CHUNK):
        yield np.arange(at, min(at + _CHUNK, n))


def _out_of_fold(
    embedded: ClipEmbeddings,
    truth: Floats,
    speaker: Whole,
    fold: Whole,
    seed: int,
    fit: Callable[[Any, Floats, Floats], tuple[Floats, float]],
) -> Floats:
    rows = chosen(np.flatnonzero(embedded.has & np.isfinite(truth)), speaker, seed)
    x = embedded.rows(rows)
    heads = []
    for one in range(FOLDS):
        other = fold[rows] != one
        heads.append(fit(x[other], truth[rows][other], weights_of(speaker[rows][other])))
    slopes, shifts = np.array([slope for slope, _ in heads]), np.array([shift for _, shift in heads])
    found = np.full(len(truth), np.nan)
    for some in chunks(len(truth)):
        estimates = embedded.rows(some) @ slopes.T + shifts
        found[some] = estimates[np.arange(len(some)), fold[some]]
    found[~embedded.has] = np.nan
    return found


def _sharpness(margins: Floats, weights: Floats) -> float:
    """What to multiply logits with so that they are as sure as they are right: the least cross-entropy of the labels,
    which the heads have not seen (C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017)."""
    from scipy.optimize import minimize_scalar

    def loss(log_scale: float) -> float:
        return float(np.logaddexp(0, -margins * np.exp(log_scale)) @ weights)

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x))
