"""Calibrates gender and age on held-out speakers: temperature, abstention band and, with
:mod:`voxtrait.training.intervals`, the age interval.

For the spectrogram CNNs (recipes ``diary-gender`` and ``diary-age``), the weight of a clip is one over the number of
its speaker's clips, so that speakers with many clips do not dominate. For ``base``, all clips have the same weight.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.optimize

from voxtrait.labels import YEARS
from voxtrait.recognize import decision
from voxtrait.recognize.decision import Floats
from voxtrait.training.intervals import tail_of, tails_of

UNSURE_SHARE: Final = 0.05  # share of validation clips inside the abstention band, at most
SURE_ENOUGH: Final = 0.98  # share of correct predictions outside the band, if UNSURE_SHARE allows it
UNSURE_ADULTS: Final = 0.028  # share of adults' clips inside the band of a bundle that also estimates age
ADULT_YEARS: Final = 18.0
WIDEST: Final = 0.4  # half-width of the widest band: a probability of 0.9 or 0.1 is never inside


def temperature_of(logits: Floats, truth: npt.NDArray[np.int64], weights: Floats) -> float:
    """Return the temperature with the lowest weighted negative log-likelihood, between 0.25 and 10.

    Temperature scaling: Guo, Pleiss, Sun & Weinberger, "On calibration of modern neural networks" (ICML 2017).

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
    """Select the abstention band: the narrowest symmetric one with 98 % correct predictions outside it.

    The band contains at most 5 % of the clips, even if fewer than 98 % are then correct.

    Args:
        p_female: ``(n,)``, calibrated probabilities.
        truth_female: ``(n,)``, whether each label is female.
        weights: ``(n,)``.

    Returns:
        Lower and upper probability of the band.
    """
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


def calibrate_gender(logits: Floats, truth: npt.NDArray[np.int64], weights: Floats) -> dict[str, Any]:
    """Fit the calibration of gender logits ``(n, 2)``, as the keys that a bundle stores."""
    temperature = temperature_of(logits, truth, weights)
    p_female = decision.female_probability(decision.probabilities(logits, temperature))
    band = unsure_band(p_female, truth == 0, weights)
    return {"temperature": temperature, "evidence": 0.0, "bias": [0.0, 0.0], "unsure": band, "childhood": 0.0}


def calibrate_age(
    logits: Floats, truth: npt.NDArray[np.int64], weights: Floats, labels: Sequence[str], prior: Floats, years: Floats
) -> dict[str, Any]:
    """Fit the calibration of age logits.

    Class weights make all classes equally likely in training. Calibration adds back a share of the log prior of the
    classes among training speakers: the share that maximises the likelihood on the validation speakers.

    Args:
        logits: ``(n, classes)``.
        truth: ``(n,)``, class indices.
        weights: ``(n,)``.
        labels: ``(classes,)``, names of the classes.
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
    tail = tail_of(groups, years, weights)
    return {"temperature": temperature, "evidence": 0.0, "bias": [float(b) for b in bias], "tail": tail}


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Predictions of each member for its held-out speakers, with the seconds of speech: one row per clip."""

    female_logit: Floats  # (n,)
    year_logits: Floats  # (n, 100)
    seconds: Floats  # (n,), seconds of speech
    female: Floats  # (n,), 1 female, 0 male, NaN unknown
    years: Floats  # (n,), NaN unknown
    weight: Floats  # (n,)
    speaker: npt.NDArray[np.int64]  # (n,), numbers of the speakers


def calibrate_voices(held_out: Sequence[HeldOut], childhood: float) -> dict[str, dict[str, Any]]:
    """Fit the calibration of gender and age together.

    The tails of the interval are selected on whole clips with known gender and age.

    Args:
        held_out: whole clips first, then other lengths.
        childhood: age in years below which a voice does not indicate gender.

    Returns:
        Task → the keys that a bundle stores.
    """
    age = calibrate_years(held_out)
    gender = calibrate_presented_gender(held_out, age, childhood)
    whole = _only(held_out[0], ~np.isnan(held_out[0].years) & ~np.isnan(held_out[0].female))
    shares = _years(whole, age)
    p_female = _presented(whole, shares, gender, childhood)
    tails = tails_of(shares, p_female, whole.years, whole.female == 1, whole.speaker)
    return {"gender": gender, "age": {**age, "tail": tails}}


def calibrate_years(held_out: Sequence[HeldOut]) -> dict[str, Any]:
    """Fit the calibration of a distribution over years, without its tails.

    Temperature and evidence maximise the likelihood of the true age groups over speech of all lengths.

    Args:
        held_out: whole clips first, then other lengths.
    """
    known = [_only(one, ~np.isnan(one.years)) for one in held_out]
    groups = [np.minimum(one.years // 10, 9).astype(np.int64) for one in known]

    def loss(at: Floats) -> float:
        total = 0.0
        for one, group in zip(known, groups, strict=True):
            shares = decision.group_probabilities(_years(one, _setting(at)), YEARS)
            chance = shares[np.arange(len(group)), group]
            total -= float((one.weight * np.log(chance + 1e-9)).sum() / one.weight.sum())
        return total

    return {**_setting(_minimum(loss)), "bias": [0.0] * len(YEARS)}


def calibrate_presented_gender(held_out: Sequence[HeldOut], age: dict[str, Any], childhood: float) -> dict[str, Any]:
    """Fit the calibration of gender for a bundle that also estimates age: children get probabilities near one half.

    Temperature and evidence maximise the likelihood of the true genders; children and contradicted labels are included.
    The abstention band is the widest symmetric one with at most 2.8 % (``UNSURE_ADULTS``) of the adults' whole clips.

    Args:
        held_out: whole clips first, then other lengths.
        age: the result of :func:`calibrate_years`.
        childhood: age in years below which a voice does not indicate gender.
    """
    known = [_only(one, ~np.isnan(one.female)) for one in held_out]
    shares = [_years(one, age) for one in known]

    def loss(at: Floats) -> float:
        total = 0.0
        for one, years in zip(known, shares, strict=True):
            p_female = _presented(one, years, _setting(at), childhood)
            chance = np.where(one.female == 1, p_female, 1 - p_female)
            total -= float((one.weight * np.log(chance + 1e-6)).sum() / one.weight.sum())
        return total

    setting = _setting(_minimum(loss))
    whole = known[0]
    distance = np.abs(_presented(whole, shares[0], setting, childhood) - 0.5)
    adult = ~(whole.years < ADULT_YEARS)
    order = np.argsort(distance[adult])
    share = np.cumsum(whole.weight[adult][order]) / whole.weight[adult].sum()
    inside = distance[adult][order][share <= UNSURE_ADULTS]
    width = min(float(inside[-1]) if len(inside) else 0.0, WIDEST)
    return {**setting, "bias": [0.0, 0.0], "unsure": [0.5 - width, 0.5 + width], "childhood": childhood}


def _years(one: HeldOut, setting: dict[str, Any]) -> Floats:
    return decision.probabilities(one.year_logits / decision.temperature_at(setting, one.seconds)[:, None])


def _presented(one: HeldOut, years: Floats, setting: dict[str, Any], childhood: float) -> Floats:
    p_female = 1 / (1 + np.exp(-one.female_logit / decision.temperature_at(setting, one.seconds)))
    return decision.without_childhood(p_female, years, childhood)


def _only(one: HeldOut, rows: npt.NDArray[np.bool_]) -> HeldOut:
    return HeldOut(**{field.name: getattr(one, field.name)[rows] for field in dataclasses.fields(HeldOut)})


def _setting(at: Floats) -> dict[str, float]:
    return {"temperature": float(np.exp(at[0])), "evidence": float(at[1])}


def _minimum(loss: Callable[[Floats], float]) -> Floats:
    """Minimise over the logarithm of the temperature (0.25 to 10) and the evidence (0 to 1)."""
    bounds = [(np.log(0.25), np.log(10.0)), (0.0, 1.0)]
    found = scipy.optimize.minimize(loss, np.array([0.0, 0.1]), method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x)
