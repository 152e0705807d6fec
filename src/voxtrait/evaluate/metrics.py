"""Figures of merit as pure functions on arrays, with bootstrap intervals over speakers.

Every figure is a function of sums over clips: UAR of hits and counts per class, MAE of absolute errors and a count.
A :class:`Figure` stores what each clip adds to those sums; ``.value`` is the figure itself. :func:`bootstrap` sums over
clips once per speaker, not once per draw: 1,000 draws over a million clips take seconds.

Clips of one speaker are similar, so the bootstrap draws speakers, with all of their clips (cluster bootstrap:
Field & Welsh, J. R. Statist. Soc. B 69, 2007). Intervals are percentiles.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from voxtrait.errors import OptionError

Floats = npt.NDArray[np.float64]

DRAWS: Final = 1000
CONFIDENCE: Final = 0.95
CALIBRATION_BINS: Final = 10  # of P(female), each 0.1 wide
_CHUNK: Final = 4_000_000  # speakers × draws in memory at a time
_SAME_SHARE: Final = 1e-12  # shares that differ by less count as equal (rounding errors)


class Interval(NamedTuple):
    """A figure with its confidence interval. All are ``None`` if undefined; bounds are ``None`` below two speakers."""

    value: float | None
    low: float | None
    high: float | None


class EqualError(NamedTuple):
    """An equal error rate and its threshold."""

    rate: float  # share of pairs, 0 to 1
    threshold: float  # in the unit of the scores


@dataclasses.dataclass(frozen=True, eq=False)
class Figure:
    """A figure of merit as a function of sums over clips."""

    parts: Floats  # (sums, clips): what each clip adds to each sum
    of: Callable[[Floats], Any]  # sums (sums, …) → the figure (…)

    @property
    def value(self) -> float:
        """The figure over all clips; NaN if undefined."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(self.of(self.parts.sum(axis=1)))

    def weighted(self, weights: npt.ArrayLike) -> "Figure":
        """Weight each clip by ``weights``, ``(clips,)``.

        Examples:
            >>> mean([1.0, 4.0]).weighted([2, 1]).value
            2.0
        """
        return Figure(self.parts * np.asarray(weights, dtype=np.float64), self.of)


def mean(values: npt.ArrayLike) -> Figure:
    """Average: Σ values / n, for values ``(clips,)``.

    Examples:
        >>> mean([True, False]).value
        0.5
    """
    column = np.asarray(values, dtype=np.float64)
    return Figure(np.stack([column, np.ones_like(column)]), _ratio)


def accuracy(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Figure:
    """Share of correct predictions: #(predicted = truth) / n, for class indices ``(clips,)``.

    Examples:
        >>> accuracy([0, 1, 1, 1], [0, 1, 0, 0]).value
        0.5
    """
    return mean(np.asarray(truth) == np.asarray(predicted))


def per_class_recall(truth: npt.ArrayLike, predicted: npt.ArrayLike, n_classes: int) -> list[Figure]:
    """Recall of each class ``k``: #(truth = predicted = k) / #(truth = k); NaN for a class that does not occur.

    Args:
        truth: ``(clips,)``, class indices; negative for clips that do not count.
        predicted: ``(clips,)``, class indices; negative for predictions outside the classes.
        n_classes: number of classes.

    Examples:
        >>> [recall.value for recall in per_class_recall([0, 1, 1, 1], [0, 1, 0, 0], 2)]
        [1.0, 0.3333333333333333]
    """
    return [_recall(truth, predicted, k) for k in range(n_classes)]


def uar(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Figure:
    """Unweighted average recall (balanced accuracy): the mean of the recalls of the classes that occur in ``truth``.

    The figure of the paralinguistic challenges (Schuller et al., Interspeech 2009). Always guessing one of K classes
    gives 1/K, whatever the class sizes. Bootstrap draws without one of the classes are ignored.

    Args:
        truth: ``(clips,)``, class indices; negative for clips that do not count.
        predicted: ``(clips,)``, class indices; negative for predictions outside the classes.

    Examples:
        >>> uar([0, 1, 1, 1], [0, 1, 0, 0]).value
        0.6666666666666666
    """
    true = np.asarray(truth)
    recalls = [_recall(true, predicted, k) for k in np.unique(true[true >= 0])]
    parts = np.concatenate([recall.parts for recall in recalls] or [np.zeros((2, len(true)))])
    return Figure(parts, lambda sums: (sums[0::2] / sums[1::2]).mean(axis=0))


def confusion(truth: npt.ArrayLike, predicted: npt.ArrayLike, n_classes: int) -> npt.NDArray[np.int64]:
    """Count clips by true class (rows) and predicted class (columns): ``(n_classes, n_classes)``.

    Examples:
        >>> confusion([0, 1, 1, 1], [0, 1, 0, 0], 2).tolist()
        [[1, 0], [2, 1]]
    """
    cells = np.asarray(truth, dtype=np.int64) * n_classes + np.asarray(predicted, dtype=np.int64)
    return np.asarray(np.bincount(cells, minlength=n_classes**2)).reshape(n_classes, n_classes)


def mae(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Figure:
    """Mean absolute error: Σ |predicted - truth| / n, in the unit of its input (years).

    Examples:
        >>> mae([20.0, 40.0], [25.0, 30.0]).value
        7.5
    """
    return mean(np.abs(np.asarray(predicted, dtype=np.float64) - np.asarray(truth, dtype=np.float64)))


def pearson(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Figure:
    """Pearson correlation r = cov(truth, predicted) / (sd(truth) sd(predicted)); NaN if one of them is constant.

    Examples:
        >>> round(pearson([1, 2, 3], [2, 4, 7]).value, 4)
        0.9934
    """
    x, y = (np.asarray(values, dtype=np.float64) for values in (truth, predicted))
    x, y = (v - v.mean() if v.size else v for v in (x, y))  # r does not change, and the squares stay exact
    return Figure(np.stack([np.ones_like(x), x, y, x * x, y * y, x * y]), _correlation)


def calibration_bins(is_female: npt.ArrayLike, p_female: npt.ArrayLike, bins: int = CALIBRATION_BINS) -> Floats:
    """Sum clips by predicted probability, for a reliability diagram.

    Args:
        is_female: ``(clips,)``, bool.
        p_female: ``(clips,)``, in [0, 1].
        bins: of equal width; bin ``b`` is ``[b / bins, (b + 1) / bins)``, the last one closed.

    Returns:
        ``(3, bins)``: clips, sum of ``p_female``, sum of ``is_female``.
    """
    return np.asarray(ece(is_female, p_female, bins).parts.sum(axis=1).reshape(3, bins))


def ece(is_female: npt.ArrayLike, p_female: npt.ArrayLike, bins: int = CALIBRATION_BINS) -> Figure:
    """Expected calibration error: Σ_b (n_b / n) |mean p_female in b - share of female in b|.

    The bins b have equal width. With few clips the ECE is above 0 even for perfect probabilities, and it is larger in
    bootstrap samples than in the sample.

    Args:
        is_female: ``(clips,)``, bool.
        p_female: ``(clips,)``, in [0, 1].
        bins: of equal width in [0, 1].

    Examples:
        >>> round(ece([True, True, False, True], [0.9, 0.9, 0.2, 0.2]).value, 2)
        0.2
    """
    p = np.asarray(p_female, dtype=np.float64)
    at = np.minimum((p * bins).astype(np.int64), bins - 1)
    inside = (at == np.arange(bins)[:, None]).astype(np.float64)
    parts = np.concatenate([inside, inside * p, inside * np.asarray(is_female, dtype=np.float64)])

    def error(sums: Floats) -> Any:
        n, predicted, true = sums.reshape(3, bins, *sums.shape[1:])
        return np.abs(predicted - true).sum(axis=0) / n.sum(axis=0)

    return Figure(parts, error)


def interval_coverage(truth: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> Figure:
    """Share of intervals that contain the truth: #(low ≤ truth ≤ high) / n.

    Examples:
        >>> interval_coverage([30.0, 50.0], [25.0, 20.0], [35.0, 45.0]).value
        0.5
    """
    value = np.asarray(truth, dtype=np.float64)
    return mean((np.asarray(low) <= value) & (value <= np.asarray(high)))


def quantile_range(values: npt.ArrayLike, low: float, high: float) -> Figure:
    """Distance between two quantiles, Q(high) - Q(low).

    Q(q) is the smallest of the values with a share of at least q at or below it (definition 1 of Hyndman & Fan, Am.
    Stat. 50, 1996). There is one sum per distinct value: use it for ages in years or decades, not for continuous
    numbers.

    Args:
        values: ``(clips,)``.
        low: share between 0 and 1.
        high: share between ``low`` and 1.

    Examples:
        >>> quantile_range([15, 25, 25, 25, 25, 25, 25, 25, 35, 65], 0.1, 0.9).value
        20.0
    """
    column = np.asarray(values, dtype=np.float64)
    points = np.unique(column)
    if not points.size:
        return mean(column)

    def width(sums: Floats) -> Any:
        below = np.cumsum(sums, axis=0)
        first, last = (points[np.argmax(below >= level * below[-1] * (1 - 1e-9), axis=0)] for level in (low, high))
        return np.where(below[-1] > 0, last - first, np.nan)

    return Figure((column == points[:, None]).astype(np.float64), width)


def difference(first: Figure, second: Figure) -> Figure:
    """Difference of two figures over the same clips, ``first`` - ``second``; the bootstrap draws both together.

    Examples:
        >>> difference(mean([1.0, 0.0]), mean([0.0, 0.5])).value
        0.25
    """
    n = len(first.parts)
    return Figure(np.concatenate([first.parts, second.parts]), lambda sums: first.of(sums[:n]) - second.of(sums[n:]))


def equal_error_rate(
    same: npt.ArrayLike,
    different: npt.ArrayLike,
    same_weights: npt.ArrayLike | None = None,
    different_weights: npt.ArrayLike | None = None,
) -> EqualError:
    """Compute the equal error rate (EER) of a speaker verification: the rate at which both kinds of error are equal.

    A pair is accepted if its score is at least the threshold t. In the terms of ISO/IEC 19795-1, the false non-match
    rate FNMR(t) is the share of same-speaker pairs below t, and the false match rate FMR(t) the share of
    different-speaker pairs at t or above. The points (FMR(t), FNMR(t)) of all observed scores t, joined by straight
    lines, are the DET curve. The EER is where that curve meets FMR = FNMR.

    Args:
        same: ``(pairs,)``, scores of same-speaker pairs; a higher score means more similar.
        different: ``(other pairs,)``, scores of different-speaker pairs.
        same_weights: ``(pairs,)``, 0 or more; ``None`` for equal weights.
        different_weights: ``(other pairs,)``, likewise.

    Returns:
        The EER, and the threshold at which the errors cross: an observed score, or the middle of the range in which
        both errors are equal.

    Raises:
        OptionError: if there are no pairs of one kind, a score or a weight is not finite, a weight is negative, all
            weights are 0, or the shapes do not match.

    Examples:
        >>> equal_error_rate([0.9, 0.8, 0.4], [0.1, 0.2, 0.5])
        EqualError(rate=0.3333333333333333, threshold=0.45)
    """
    scores, weights = zip(
        _weighted_scores("same-speaker", same, same_weights),
        _weighted_scores("different-speaker", different, different_weights),
        strict=True,
    )
    points, at = np.unique(np.concatenate(scores), return_inverse=True)
    matched, other = (
        np.bincount(index, weights=weight, minlength=len(points))
        for index, weight in zip(np.split(at, [len(scores[0])]), weights, strict=True)
    )
    # at each point as the threshold, and at one above all of them
    fnmr = np.concatenate([[0.0], np.cumsum(matched)])
    fmr = np.concatenate([[0.0], np.cumsum(other[::-1])])[::-1]
    fnmr, fmr = fnmr / fnmr[-1], fmr / fmr[0]
    gap = fmr - fnmr  # from 1 down to -1
    gap[np.abs(gap) < _SAME_SHARE] = 0.0
    after = int(np.argmax(gap <= 0))
    if gap[after] == 0:
        last = int(np.flatnonzero(gap == 0)[-1])
        return EqualError(float(fmr[after]), float(points[after - 1] + points[last]) / 2)
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return EqualError(float(fmr[after - 1] + share * (fmr[after] - fmr[after - 1])), float(points[after - 1]))


def bootstrap(
    figures: Mapping[str, Figure],
    speakers: npt.ArrayLike,
    *,
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> dict[str, Interval]:
    """Compute confidence intervals by drawing speakers with replacement; all figures use the same draws.

    Args:
        figures: figures by name, all over the same clips.
        speakers: ``(clips,)``, integers or strings, the speaker of each clip.
        draws: number of draws, each of as many speakers as there are.
        confidence: level of the interval.
        seed: random seed of the draws.

    Returns:
        The intervals by name. If the value is outside its interval, as it may be for :func:`ece`, the nearer bound is
        moved to the value.

    Examples:
        >>> bootstrap({"mae": mean([1.0, 1.0, 3.0])}, [0, 0, 1])["mae"]
        Interval(value=1.6666666666666667, low=1.0, high=3.0)
    """
    names, index = np.unique(np.asarray(speakers), return_inverse=True)
    n = len(names)
    if n < 2 or not figures:
        return {name: Interval(_finite(figure.value), None, None) for name, figure in figures.items()}
    rows = [row for figure in figures.values() for row in figure.parts]
    sums = np.stack([np.bincount(index, weights=row, minlength=n) for row in rows], axis=1)  # (speakers, all sums)
    drawn = np.concatenate([times @ sums for times in _draws(n, draws, seed)])  # (draws, all sums)
    intervals, at = {}, 0
    for name, figure in figures.items():
        part, at = drawn[:, at : at + len(figure.parts)], at + len(figure.parts)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = figure.of(part.T)
        intervals[name] = _interval(figure.value, values[np.isfinite(values)], confidence)
    return intervals


def _draws(n: int, draws: int, seed: int) -> Iterator[Floats]:
    """Yield how often each of n speakers is drawn, ``(some draws, n)``, in chunks of draws."""
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // n)
    for start in range(0, draws, step):
        some = min(step, draws - start)
        cells = rng.integers(0, n, (some, n)) + n * np.arange(some)[:, None]
        yield np.bincount(cells.ravel(), minlength=some * n).reshape(some, n).astype(np.float64)


def _interval(value: float, values: Floats, confidence: float) -> Interval:
    if not np.isfinite(value) or not values.size:
        return Interval(_finite(value), None, None)
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, min(float(low), value), max(float(high), value))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _recall(truth: npt.ArrayLike, predicted: npt.ArrayLike, k: int) -> Figure:
    inside = np.asarray(truth) == k
    return Figure(np.stack([inside & (np.asarray(predicted) == k), inside]).astype(np.float64), _ratio)


def _weighted_scores(kind: str, scores: npt.ArrayLike, weights: npt.ArrayLike | None) -> tuple[Floats, Floats]:
    values = np.asarray(scores, dtype=np.float64)
    shares = np.ones_like(values) if weights is None else np.asarray(weights, dtype=np.float64)
    if values.ndim != 1 or not values.size or values.shape != shares.shape:
        raise OptionError(
            f"got {kind} scores of shape {values.shape} and weights of shape {shares.shape}, "
            "expected (pairs,) for both, with at least one pair"
        )
    if not np.isfinite(values).all():
        n = int((~np.isfinite(values)).sum())
        raise OptionError(f"got {n} {kind} scores that are not finite, expected finite scores")
    if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.any()):
        raise OptionError(f"got {kind} weights that are negative, not finite or all 0, expected weights of 0 or more")
    return values, shares


def _ratio(sums: Floats) -> Any:
    return sums[0] / sums[1]


def _correlation(sums: Floats) -> Any:
    n, x, y, xx, yy, xy = sums
    return (n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y))
