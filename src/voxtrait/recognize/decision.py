"""Converts logits to calibrated predictions: pure functions on arrays, for fitting a calibration and applying it.

A bias per class undoes the class weights of training. The logits are then divided by a temperature (Guo et al., "On
Calibration of Modern Neural Networks", ICML 2017), which may fall with the seconds of speech. Years come from a
distribution over age groups or single years, uniform inside each. The interval leaves out equal tails. Their size is
fitted on validation speakers, so that the interval covers a given share of them: 80 % with one tail, 82 % with tails by
group (split conformal prediction: Romano et al., "Conformalized Quantile Regression", NeurIPS 2019, with the tail as
the score). Tails by gender and age group make the coverage of the groups more equal (label-conditional conformal
prediction: Vovk, "Conditional validity of inductive conformal predictors", ACML 2012).
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from voxtrait.labels import AGE_GROUPS, GENDERS, YEARS, parts_of

Floats = npt.NDArray[np.float64]
Tail = float | Sequence[Sequence[float]]
"""Share of probability that an interval leaves out at each end: one number, or ``(2, 10)`` by gender and age group."""

DECADE: Final = 10.0  # years in an age group
LIFE: Final = DECADE * len(AGE_GROUPS)  # years that an age distribution covers, in 10 or 100 equal bins
USUAL_S: Final = 4.0  # seconds of speech to which a temperature applies
EVIDENCE_S: Final = (0.7, 30.0)  # less speech gives no prediction, more hardly improves it


def probabilities(logits: npt.ArrayLike, temperature: npt.ArrayLike = 1.0, bias: npt.ArrayLike = 0.0) -> Floats:
    """Return the softmax of ``(logits + bias) / temperature`` over the last axis.

    Args:
        logits: ``(..., classes)``.
        temperature: a number, or ``(..., 1)``.
        bias: a number, or ``(classes,)``.

    Examples:
        >>> probabilities([[0.0, 0.0]]).tolist()
        [[0.5, 0.5]]
    """
    scaled = (np.asarray(logits, dtype=np.float64) + np.asarray(bias, dtype=np.float64)) / np.asarray(temperature)
    scaled -= scaled.max(axis=-1, keepdims=True)
    powers = np.exp(scaled)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def temperature_at(calibration: Mapping[str, Any], seconds: npt.ArrayLike | None = None) -> Floats:
    """Return the temperature for clips with a given amount of speech: ``temperature × (seconds / 4) ** -evidence``.

    Args:
        calibration: calibration of a task in a bundle, with ``temperature`` and ``evidence``. If ``evidence`` is 0, the
            amount of speech has no effect.
        seconds: seconds of speech, ``(...)``, clipped to 0.7–30; ``None`` (unknown) counts as 4.

    Returns:
        Temperatures, with the shape of ``seconds``.

    Examples:
        >>> temperature_at({"temperature": 1.0, "evidence": 0.5}, [4.0, 16.0]).tolist()
        [1.0, 0.5]
    """
    counted = np.clip(np.asarray(USUAL_S if seconds is None else seconds, dtype=np.float64), *EVIDENCE_S)
    return np.asarray(calibration["temperature"] * (counted / USUAL_S) ** -calibration["evidence"])


def age_shares(classes: npt.ArrayLike, labels: Sequence[str]) -> Floats:
    """Convert probabilities of a bundle's age classes to an age distribution.

    Args:
        classes: probabilities, ``(..., len(labels))``.
        labels: :data:`voxtrait.labels.YEARS`, joint classes, or age groups.

    Returns:
        ``(..., 100)`` over years if the labels are years, else ``(..., 10)`` over age groups.

    Examples:
        >>> age_shares([0.25, 0.75], ["female_teens", "male_teens"]).shape
        (10,)
    """
    if tuple(labels) == YEARS:
        return np.asarray(classes, dtype=np.float64)
    return group_probabilities(classes, labels)


def group_probabilities(classes: npt.ArrayLike, labels: Sequence[str]) -> Floats:
    """Sum probabilities of classes into age groups.

    Args:
        classes: probabilities, ``(..., len(labels))``.
        labels: joint classes (``female_fifties``), age groups (``fifties``) or years (``50``).

    Returns:
        Probabilities, ``(..., 10)``, in the order of :data:`voxtrait.labels.AGE_GROUPS`; 0 for groups without a class.

    Examples:
        >>> group_probabilities([0.25, 0.75], ["female_teens", "male_teens"])[1]
        np.float64(1.0)
    """
    into = np.zeros((len(labels), len(AGE_GROUPS)))
    for row, label in enumerate(labels):
        if label in YEARS:
            into[row, int(label) // 10] = 1.0
        else:
            into[row, AGE_GROUPS.index(label if label in AGE_GROUPS else parts_of(label)[1])] = 1.0
    return np.asarray(np.asarray(classes, dtype=np.float64) @ into)


def female_probability(classes: npt.ArrayLike) -> Floats:
    """Return P(female) from gender probabilities ``(..., 2)``."""
    return np.asarray(np.asarray(classes, dtype=np.float64)[..., GENDERS.index("female")])


def without_childhood(p_female: npt.ArrayLike, ages: npt.ArrayLike, childhood: float) -> Floats:
    """Move P(female) towards 0.5 by the probability that the voice is a child's, which does not show gender.

    The formula was selected from six on held-out speakers (docs/notes/results.md). It hardly changes P(female) if
    childhood is unlikely, and few children get a wrong gender with high confidence.

    Args:
        p_female: probabilities for adult voices, ``(...)``.
        ages: probabilities of age groups, ``(..., 10)``, or of years, ``(..., 100)``.
        childhood: age in years below which a voice does not show gender; 0 changes nothing.

    Returns:
        ``1/2 + (p - 1/2) (1 - q²)⁴``, ``(...)``, with ``q`` the probability of an age below ``childhood``.

    Examples:
        >>> round(float(without_childhood(0.9, [0.5, 0, 0, 0.5, 0, 0, 0, 0, 0, 0], 10.0)), 3)
        0.627
    """
    shares = np.asarray(ages, dtype=np.float64)
    bins = shares.shape[-1]
    below = np.clip(childhood / (LIFE / bins) - np.arange(bins), 0, 1)  # share of each bin that is below ``childhood``
    child = shares @ below / shares.sum(axis=-1)
    return np.asarray(0.5 + (np.asarray(p_female, dtype=np.float64) - 0.5) * (1 - child**2) ** 4)


def years_at(ages: npt.ArrayLike, level: npt.ArrayLike) -> Floats:
    """Return a quantile of age in years.

    Args:
        ages: probabilities of age groups, ``(..., 10)``, or of years, ``(..., 100)``.
        level: quantile level between 0 and 1, or several, ``(k,)``. 0.5 is the median.

    Returns:
        Years, ``(...)``; ``(..., k)`` for several levels.

    Examples:
        >>> years_at([0, 0, 0.5, 0.5, 0, 0, 0, 0, 0, 0], [0.25, 0.5]).tolist()
        [25.0, 30.0]
    """
    shares = np.asarray(ages, dtype=np.float64)
    levels = np.asarray(level, dtype=np.float64)
    total = np.cumsum(shares, axis=-1)
    goal = levels.reshape(-1) * total[..., -1:]
    inside = np.argmax(total[..., None, :] >= goal[..., None] - 1e-12, axis=-1)
    before = np.take_along_axis(total - shares, inside, axis=-1)
    share = np.take_along_axis(shares, inside, axis=-1)
    part = np.clip((goal - before) / np.maximum(share, 1e-12), 0, 1)
    return np.asarray((LIFE / shares.shape[-1] * (inside + part)).reshape(shares.shape[:-1] + levels.shape))


def interval(ages: npt.ArrayLike, tail: Tail, p_female: npt.ArrayLike = 0.5) -> tuple[Floats, Floats]:
    """Find the ages that fit a distribution: those with no less than a tail of the probability on either side.

    Args:
        ages: ``(..., 10)`` or ``(..., 100)``, probabilities of the age groups or of years.
        tail: one share below 0.5 for all ages, which gives the quantiles ``tail`` and ``1 - tail``; or one for each
            gender and age group. These hold for the middle of the group. Between two middles, and between the genders
            by ``p_female``, the logarithm of the tail is interpolated. An age with a small tail is in the interval
            even if the voice makes it improbable.
        p_female: ``(...)``, probabilities; used where the tail depends on gender.

    Returns:
        Lowest and highest of these ages, ``(...)`` each, in years. The median is always between them.

    Examples:
        >>> [float(end) for end in interval([0, 0, 0.5, 0.5, 0, 0, 0, 0, 0, 0], 0.25)]
        [25.0, 35.0]
    """
    shares = np.asarray(ages, dtype=np.float64)
    below = np.zeros((*shares.shape[:-1], int(LIFE) + 1))  # how probable fewer years are than 0, 1, … 100
    np.cumsum(np.repeat(shares, int(LIFE) // shares.shape[-1], axis=-1), axis=-1, out=below[..., 1:])
    below /= below[..., -1:]
    tails: Floats | float
    if isinstance(tail, float | int):
        tails = tail
    else:
        female, male = log_tails(tuple(tuple(row) for row in tail))
        tails = np.exp(male + np.asarray(p_female)[..., None] * (female - male))
    spare = np.stack([below - tails, (1 - tails - below)[..., ::-1]]).reshape(-1, int(LIFE) + 1)
    row, after = np.arange(len(spare)), np.argmax(spare >= 0, axis=-1)  # the first value is always negative
    outside, inside = spare[row, after - 1], spare[row, after]
    low, high = (after - inside / (inside - outside)).reshape((2, *shares.shape[:-1]))
    return np.asarray(low), np.asarray(LIFE - high)


@functools.lru_cache(maxsize=8)  # a bundle has the same tails for every clip
def log_tails(of_groups: tuple[tuple[float, ...], ...]) -> tuple[Floats, Floats]:
    """Return the logarithm of the tail for women and for men at 0, 1, … 100 years, ``(101,)`` each."""
    middles, years = DECADE * (np.arange(len(AGE_GROUPS)) + 0.5), np.arange(LIFE + 1)
    female, male = (np.interp(years, middles, np.log(of_groups[GENDERS.index(one)])) for one in ("female", "male"))
    return female, male


def expected_years(ages: npt.ArrayLike) -> Floats:
    """Return the mean of an age distribution in years.

    Args:
        ages: probabilities of age groups, ``(..., 10)``, or of years, ``(..., 100)``.

    Returns:
        Years, ``(...)``.

    Examples:
        >>> float(expected_years([0, 0, 0, 1, 0, 0, 0, 0, 0, 0])), float(expected_years(np.eye(100)[34]))
        (35.0, 34.5)
    """
    shares = np.asarray(ages, dtype=np.float64)
    bins = shares.shape[-1]
    return np.asarray(shares @ (LIFE / bins * (np.arange(bins) + 0.5)) / shares.sum(axis=-1))


def estimated_years(ages: npt.ArrayLike) -> Floats:
    """Return the estimated age of an age distribution: halfway between its median and its mean, in years.

    The median has the least expected absolute error if the distribution is right. With the largest corpora left out of
    training, the mean has a smaller error, and its correlation is at least as high (docs/notes/results.md).

    Args:
        ages: probabilities of age groups, ``(..., 10)``, or of years, ``(..., 100)``.

    Returns:
        Years, ``(...)``.

    Examples:
        >>> float(estimated_years([0, 0, 0.75, 0, 0, 0.25, 0, 0, 0, 0]))  # the median 26.67 and the mean 32.5
        29.583333333333332
    """
    return np.asarray((years_at(ages, 0.5) + expected_years(ages)) / 2)


def describe_gender(p_female: float, unsure: Sequence[float]) -> str:
    """Return the gender for a calibrated probability; ``unsure`` inside the abstention band ``(low, high)``."""
    low, high = unsure
    if low < p_female < high:
        return "unsure"
    return "female" if p_female >= 0.5 else "male"


def age_answer(ages: Floats, tail: Tail, p_female: float = 0.5) -> dict[str, Any]:
    """Return age, interval, age group and group probabilities of one age distribution, ``(10,)`` or ``(100,)``.

    ``tail`` and ``p_female`` are those of :func:`interval`.
    """
    groups = ages.reshape(len(AGE_GROUPS), -1).sum(axis=1)
    low, high = (float(end) for end in interval(ages, tail, p_female))
    years = min(max(float(estimated_years(ages)), low), high)
    return {
        "age_years": years,
        "age_low": low,
        "age_high": high,
        # the group that contains the years, not the likeliest group: "51 years, sixties" would look like an error
        "age_group": AGE_GROUPS[min(int(years // 10), len(AGE_GROUPS) - 1)],
        "age_groups": dict(zip(AGE_GROUPS, groups.tolist(), strict=True)),
    }
