"""Trains heads on the embeddings, with the labels under audit. No head scores the speakers it was trained on.

A recogniser may have been trained on the labels under audit, so its own probabilities cannot check them. Small heads
are therefore trained on the manifest's labels, in folds of speakers; a label is doubted if the labels of other
speakers contradict it (confident learning: C. G. Northcutt, L. Jiang, I. L. Chuang, "Confident Learning: Estimating
Uncertainty in Dataset Labels", J. Artif. Intell. Res. 70, 2021). The embedding was trained to distinguish speakers,
without these labels. Training again without the doubted labels found no more on Common Voice, so there is one round.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from voxtrait.audit.embeddings import ClipEmbeddings
from voxtrait.errors import require

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FOLDS: Final = 5
SPEAKER_POWER: Final = -0.7  # weight of a clip: (clips of its speaker)^-0.7, because clips of one speaker are similar
CLIPS: Final = 20  # clips of a speaker in the training set at most
MOST: Final = 60_000  # clips in the training set at most: more do not help, and 2 million would not fit in memory
STRENGTH: Final = 3.0  # C of the logistic regression, for embeddings of length 1: lowest error on Common Voice
RIDGE: Final = 3.0  # alpha of the ridge regression on years: likewise
_CHUNK: Final = 65_536  # clips scored at a time


def check_extra() -> None:
    """Check for scikit-learn before hours are spent on embeddings.

    Raises:
        MissingExtraError: if scikit-learn is not installed.
    """
    require("the audit", "audit", "sklearn")


def folds_of(speakers: pl.Series, seed: int = 0) -> Whole:
    """Return the fold of each speaker from a hash of the id: ``(speakers,)``, 0 to 4, the same in every manifest.

    Examples:
        >>> folds_of(pl.Series(["ann", "eve", "ann"])).tolist()
        [3, 2, 3]
    """
    names = speakers.unique()
    digests = [hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest() for name in names]
    fold = [int.from_bytes(digest, "big") % FOLDS for digest in digests]
    return speakers.replace_strict(names, fold, return_dtype=pl.Int64).to_numpy()


def female_logits(embedded: ClipEmbeddings, female: Floats, speaker: Whole, fold: Whole, seed: int = 0) -> Floats:
    """Score every clip with a logistic regression that was not trained on its speaker.

    Args:
        embedded: the embeddings.
        female: ``(clips,)``, 1 or 0, NaN for a clip without a label.
        speaker: ``(clips,)``, number of the speaker.
        fold: ``(clips,)``, fold of the speaker.
        seed: random seed of the draw from more clips than needed.

    Returns:
        ``(clips,)``, calibrated logit of female; NaN for a clip without an embedding.
    """
    from sklearn.linear_model import LogisticRegression

    def fit(x: Any, y: Floats, weights: Floats) -> tuple[Floats, float]:
        balanced = weights.copy()
        for gender in (0.0, 1.0):
            balanced[y == gender] /= max(float(balanced[y == gender].sum()), 1e-12)
        head = LogisticRegression(C=STRENGTH, max_iter=1000).fit(x, y, balanced * len(y) / balanced.sum())
        return np.asarray(head.coef_[0], dtype=np.float64), float(head.intercept_[0])

    found = _out_of_fold(embedded, female, speaker, fold, seed, fit)
    known = np.isfinite(found) & np.isfinite(female)
    return found * _sharpness(np.where(female == 1, found, -found)[known], weights_of(speaker[known]))


def years(embedded: ClipEmbeddings, truth: Floats, speaker: Whole, fold: Whole, seed: int = 0) -> Floats:
    """Estimate the years of every clip with a ridge regression that was not trained on its speaker.

    Args:
        embedded: the embeddings.
        truth: ``(clips,)``, years, NaN for a clip without an age.
        speaker: ``(clips,)``, number of the speaker.
        fold: ``(clips,)``, fold of the speaker.
        seed: random seed of the draw from more clips than needed.

    Returns:
        ``(clips,)``, expected years; NaN for a clip without an embedding.
    """
    from sklearn.linear_model import Ridge

    def fit(x: Any, y: Floats, weights: Floats) -> tuple[Floats, float]:
        head = Ridge(alpha=RIDGE).fit(x, y, weights / weights.mean())
        return np.asarray(head.coef_, dtype=np.float64), float(head.intercept_)

    found = _out_of_fold(embedded, truth, speaker, fold, seed, fit)
    known = np.isfinite(found) & np.isfinite(truth)
    slope, shift = np.polyfit(found[known], truth[known], 1, w=np.sqrt(weights_of(speaker[known])))
    return np.asarray(slope * found + shift)


def weights_of(speaker: Whole) -> Floats:
    """Return the weight of each clip, which falls with the number of clips of its speaker: ``(clips,)``.

    Examples:
        >>> weights_of(np.array([0, 1, 1])).round(3).tolist()
        [1.0, 0.616, 0.616]
    """
    _, at, counts = np.unique(speaker, return_inverse=True, return_counts=True)
    return np.asarray(counts[at].astype(np.float64) ** SPEAKER_POWER)


def chosen(rows: Whole, speaker: Whole, seed: int) -> Whole:
    """Draw the training set: up to 20 clips per speaker and 60,000 in all, first one clip of every speaker.

    Args:
        rows: clips to draw from.
        speaker: ``(clips,)``, speakers of all clips.
        seed: random seed of the draw.

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
    """Yield ``n`` rows in chunks that fit in memory."""
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
    """Return the factor that calibrates logits: it minimises the cross-entropy of the held-out labels (C. Guo et al.,
    "On Calibration of Modern Neural Networks", ICML 2017)."""
    from scipy.optimize import minimize_scalar

    def loss(log_scale: float) -> float:
        return float(np.logaddexp(0, -margins * np.exp(log_scale)) @ weights)

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x))
