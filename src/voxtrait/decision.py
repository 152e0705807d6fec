"""From a graph's raw outputs to calibrated answers: pure functions on arrays, used to fit a calibration and to apply
it.

Logits are divided by a temperature (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017) after a bias
per class has undone the class weights of training. Years come from a distribution that is uniform inside each age
group; the interval is cut at equal tails whose size was chosen on validation speakers so that it covers 80 % (split
conformal prediction: Romano et al., "Conformalized Quantile Regression", NeurIPS 2019, with the tail as the score).
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from voxtrait.labels import AGE_GROUPS, GENDERS, parts_of

Floats = npt.NDArray[np.float64]

DECADE: Final = 10.0  # years in an age group


def probabilities(logits: npt.ArrayLike, temperature: float = 1.0, bias: npt.ArrayLike = 0.0) -> Floats:
    """Softmax of ``(logits + bias) / temperature`` over the last axis.

    Examples:
        >>> probabilities([[0.0, 0.0]]).tolist()
        [[0.5, 0.5]]
    """
    scaled = (np.asarray(logits, dtype=np.float64) + np.asarray(bias, dtype=np.float64)) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    powers = np.exp(scaled)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def group_probabilities(classes: npt.ArrayLike, labels: Sequence[str]) -> Floats:
    """Sum probabilities of classes into age groups.

    Args:
        classes: ``(..., len(labels))``, probabilities.
        labels: joint classes (``female_fifties``) or age groups (``fifties``).

    Returns:
        ``(..., 10)`` in the order of :data:`voxtrait.labels.AGE_GROUPS`; groups that no class stands for have 0.

    Examples:
        >>> group_probabilities([0.25, 0.75], ["female_teens", "male_teens"])[1]
        np.float64(1.0)
    """
    into = np.zeros((len(labels), len(AGE_GROUPS)))
    for row, label in enumerate(labels):
        group = label if label in AGE_GROUPS else parts_of(label)[1]
        into[row, AGE_GROUPS.index(group)] = 1.0
    return np.asarray(np.asarray(classes, dtype=np.float64) @ into)


def female_probability(classes: npt.ArrayLike) -> Floats:
    """Take P(female) from gender probabilities ``(..., 2)``."""
    return np.asarray(np.asarray(classes, dtype=np.float64)[..., GENDERS.index("female")])


def years_at(groups: npt.ArrayLike, level: float) -> Floats:
    """Find the age below which a share of the probability lies: a quantile of years.

    Args:
        groups: ``(..., 10)``, probabilities of the age groups.
        level: between 0 and 1; 0.5 is the median, which has the least absolute error.

    Returns:
        ``(...)``, years.

    Examples:
        >>> float(years_at([0, 0, 0.5, 0.5, 0, 0, 0, 0, 0, 0], 0.25))
        25.0
    """
    shares = np.asarray(groups, dtype=np.float64)
    total = np.cumsum(shares, axis=-1)
    inside = np.argmax(total >= level * total[..., -1:] - 1e-12, axis=-1)
    before = np.take_along_axis(total - shares, inside[..., None], axis=-1)[..., 0]
    share = np.take_along_axis(shares, inside[..., None], axis=-1)[..., 0]
    part = np.clip((level * total[..., -1] - before) / np.maximum(share, 1e-12), 0, 1)
    return np.asarray(DECADE * (inside + part))


def expected_years(groups: npt.ArrayLike) -> Floats:
    """Average the middles of the age groups by their probabilities ``(..., 10)`` → ``(...)`` years."""
    shares = np.asarray(groups, dtype=np.float64)
    return np.asarray(shares @ (DECADE * np.arange(len(AGE_GROUPS)) + DECADE / 2) / shares.sum(axis=-1))


def describe_gender(p_female: float, unsure: Sequence[float]) -> str:
    """Name the gender of a calibrated probability, ``unsure`` inside the abstention band ``(low, high)``."""
    low, high = unsure
    if low < p_female < high:
        return "unsure"
    return "female" if p_female >= 0.5 else "male"


def age_answer(groups: Floats, tail: float) -> dict[str, Any]:
    """Give years, interval, age group and group probabilities of one distribution ``(10,)`` over age groups."""
    return {
        "age_years": float(years_at(groups, 0.5)),
        "age_low": float(years_at(groups, tail)),
        "age_high": float(years_at(groups, 1 - tail)),
        "age_group": AGE_GROUPS[int(np.argmax(groups))],
        "age_groups": dict(zip(AGE_GROUPS, (float(share) for share in groups), strict=True)),
    }
