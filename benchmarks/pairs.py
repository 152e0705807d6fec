"""Pairs of clips for speaker verification, their weights, and the interval of the equal error rate over speakers.

Pure functions on arrays. Clips of a speaker are similar, so each speaker has the same total weight in the same-speaker
pairs, and each pair of speakers the same total weight in the different-speaker pairs.
"""

import itertools
from typing import NamedTuple

import numpy as np
import scipy.sparse

from voxtrait.evaluate.metrics import CONFIDENCE, DRAWS, equal_error_rate

BINS = 500  # bins of the scores in the bootstrap; the DET curve is a straight line within a bin


class Pairs(NamedTuple):
    """Pairs of clips, one pair per index."""

    scores: np.ndarray  # (pairs,) float32, cosines
    first: np.ndarray  # (pairs,) int32, index of the first clip's speaker
    second: np.ndarray  # (pairs,) int32, index of the second clip's speaker
    weights: np.ndarray  # (pairs,) float64, sum to 1 over each speaker or pair of speakers


def cosines(embeddings: np.ndarray) -> np.ndarray:
    """Compute the cosines of all pairs of clips: ``(clips, width)`` → ``(clips, clips)`` float32."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = (embeddings / lengths).astype(np.float32)
    return unit @ unit.T


def same_speaker(scores: np.ndarray, speakers: np.ndarray) -> Pairs:
    """Select all pairs of two clips of one speaker.

    Args:
        scores: ``(clips, clips)``, symmetric.
        speakers: ``(clips,)``, indices from 0.
    """
    return _selected(scores, speakers, speakers[:, None] == speakers)


def different_speakers(scores: np.ndarray, speakers: np.ndarray, groups: np.ndarray | None = None) -> Pairs:
    """Select all pairs of clips of two different speakers.

    Args:
        scores: ``(clips, clips)``, symmetric.
        speakers: ``(clips,)``, indices from 0.
        groups: ``(clips,)``, integers; only pairs within a group are selected, and no clip of a negative group.
            ``None`` selects all pairs.
    """
    wanted = speakers[:, None] != speakers
    if groups is not None:
        wanted &= (groups[:, None] == groups) & (groups >= 0)
    return _selected(scores, speakers, wanted)


def _selected(scores: np.ndarray, speakers: np.ndarray, wanted: np.ndarray) -> Pairs:
    wanted = np.triu(wanted, k=1)  # each pair once, and no clip with itself
    of = speakers.astype(np.int32)
    first, second = (np.broadcast_to(side, wanted.shape)[wanted] for side in (of[:, None], of))
    first, second = np.minimum(first, second), np.maximum(first, second)
    both = first.astype(np.int64) * (int(speakers.max(initial=0)) + 1) + second
    return Pairs(scores[wanted], first, second, 1.0 / np.bincount(both)[both])


def draw(speakers: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Draw all speakers with replacement, and return the count of each, ``(draws, speakers)``."""
    return np.random.default_rng(seed).multinomial(speakers, np.full(speakers, 1 / speakers), size=draws)


def interval(
    same: Pairs, different: Pairs, drawn: np.ndarray, *, bins: int = BINS, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the bootstrap percentile interval of the equal error rate over speakers.

    In a draw, the weight of a same-speaker pair is multiplied by the count of its speaker, and that of a
    different-speaker pair by the product of both counts. Two copies of one speaker are not a different-speaker pair.
    Scores are binned first: the rate then needs one sum of weights per bin and draw, seconds for millions of pairs.

    Args:
        same: same-speaker pairs.
        different: different-speaker pairs.
        drawn: ``(draws, speakers)``, the result of :func:`draw`.
        bins: number of bins between the lowest and the highest score.
        confidence: confidence level of the interval.

    Returns:
        Lower and upper bound.
    """
    low = min(same.scores.min(), different.scores.min())
    high = max(same.scores.max(), different.scores.max())
    times = drawn.T.astype(np.float64)  # (speakers, draws)
    sums = [_binned(pairs, times, low, max(high - low, 1e-9) / bins, bins) for pairs in (same, different)]
    at = np.arange(bins)
    rates = [equal_error_rate(at, at, one, other).rate for one, other in zip(*sums, strict=True) if other.any()]
    lower, upper = np.quantile(rates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(lower), float(upper)


def _binned(pairs: Pairs, times: np.ndarray, low: float, width: float, bins: int) -> np.ndarray:
    """Return the sums of the drawn weights per draw and bin, ``(draws, bins)``."""
    speakers, draws = times.shape
    at = np.minimum((pairs.scores - low) / width, bins - 1).astype(np.int16)
    order = np.argsort(at, kind="stable")
    sums = np.zeros((draws, bins))
    edges = np.searchsorted(at[order], np.arange(bins + 1))
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        some = order[start:stop]
        one, other, weights = pairs.first[some], pairs.second[some], pairs.weights[some]
        if (one == other).all():  # same-speaker pairs: all pairs of a speaker have the count of the speaker
            sums[:, number] = np.bincount(one, weights, minlength=speakers) @ times
        else:
            between = scipy.sparse.coo_array((weights, (one, other)), shape=(speakers, speakers)).tocsr()
            sums[:, number] = ((between @ times) * times).sum(axis=0)
    return sums
