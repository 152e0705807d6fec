"""Calibration on validation speakers: temperature, abstention band, and the tails of the age interval.

Every clip weighs one over the number of its speaker's clips, so that no talkative speaker decides.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.optimize

from voxtrait import decision
from voxtrait.decision import Floats

COVERAGE: Final = 0.80  # share of true ages inside the interval
UNSURE_SHARE: Final = 0.05  # share of validation clips inside the abstention band, at most
SURE_ENOUGH: Final = 0.98  # share of right answers outside the band, where the band above allows it


def temperature_of(logits: Floats, truth: npt.NDArray[np.int64], weights: Floats) -> float:
    """Find the temperature of least weighted negative log-likelihood, between 0.25 and 10.

    Args:
        logits: ``(n, classes)``.
        truth: ``(n,)``, class indices.
        weights: ``(n,)``.
    """

    def loss(log_temperature: float) -> float:
        shares = decision.probabilities(logits, float(np.exp(log_temperature)))
        return float(-(weights * np.log(shares[np.arange(len(truth)), truth] + 1e-12)).sum() / weights.sum())

    found = scipy.optimize.minimize_scalar(loss, bounds=(np.log(0.25), np.log(10.0)), method="bounded")
    return float(np.exp(found.x))


def unsure_band(p_female: Floats, truth_female: npt.NDArray[np.bool_], weights: Floats) -> tuple[float, float]:
    """Choose the abstention band: the narrowest symmetric one outside which 98 % are right, holding at most 5 % of
    clips."""
    distance = np.abs(p_female - 0.5)
    right = (p_female >= 0.5) == truth_female
    order = np.argsort(distance)
    share = np.cumsum(weights[order]) / weights.sum()
    width = 0.0
    for place in range(-1, len(order)):
        width = 0.0 if place < 0 else float(distance[order[place]])
        outside = distance > width
        if outside.any() and (weights * right)[outside].sum() / weights[outside].sum() >= SURE_ENOUGH:
            break
        if place + 1 < len(order) and share[place + 1] > UNSURE_SHARE:
            break
    return 0.5 - width, 0.5 + width


def tail_of(groups: Floats, years: Floats, weights: Floats) -> float:
    """Choose the interval's tail: the largest at which 80 % of the validation clips' ages lie inside.

    Args:
        groups: ``(n, 10)``, calibrated probabilities of the age groups.
        years: ``(n,)``, true ages, or the middle of the age group where only that is known.
        weights: ``(n,)``.
    """
    for tail in np.arange(0.25, 0.0, -0.0025):
        inside = (decision.years_at(groups, tail) <= years) & (years <= decision.years_at(groups, 1 - tail))
        if (weights * inside).sum() / weights.sum() >= COVERAGE:
            return float(tail)
    return 0.0025


def calibrate_gender(logits: Floats, truth: npt.NDArray[np.int64], weights: Floats) -> dict[str, Any]:
    """Fit the calibration of gender logits ``(n, 2)``: the keys that a bundle holds."""
    temperature = temperature_of(logits, truth, weights)
    p_female = decision.female_probability(decision.probabilities(logits, temperature))
    return {"temperature": temperature, "bias": [0.0, 0.0], "unsure": unsure_band(p_female, truth == 0, weights)}


def calibrate_age(
    logits: Floats, truth: npt.NDArray[np.int64], weights: Floats, labels: Sequence[str], prior: Floats, years: Floats
) -> dict[str, Any]:
    """Fit the calibration of age logits.

    Class weights made every class look equally likely in training; a share of the logarithm of how likely the
    classes are among training speakers is put back, as much as makes the validation speakers most probable.

    Args:
        logits: ``(n, classes)``.
        truth: ``(n,)``, class indices.
        weights: ``(n,)``.
        labels: names of the classes.
        prior: ``(classes,)``, shares of the classes among training speakers.
        years: ``(n,)``, true ages.
    """
    best: tuple[float, float, Floats] | None = None
    for share in np.linspace(0, 1, 11):
        bias = share * np.log(prior)
        temperature = temperature_of(logits + bias, truth, weights)
        chances = decision.probabilities(logits, temperature, bias)[np.arange(len(truth)), truth]
        loss = float(-(weights * np.log(chances + 1e-12)).sum() / weights.sum())
        if best is None or loss < best[0]:
            best = loss, temperature, bias
    assert best is not None
    _, temperature, bias = best
    groups = decision.group_probabilities(decision.probabilities(logits, temperature, bias), labels)
    return {"temperature": temperature, "bias": [float(b) for b in bias], "tail": tail_of(groups, years, weights)}
