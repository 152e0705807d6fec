"""Calibration on validation speakers: temperature, abstention band, and the tails of the age interval.

Of the diary's recipes every clip weighs one over the number of its speaker's clips, so that no talkative speaker
decides; of ``base`` all weigh the same.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.optimize

from voxtrait import decision
from voxtrait.decision import Floats
from voxtrait.labels import AGE_GROUPS, YEARS

COVERAGE: Final = 0.80  # share of true ages inside the interval
COVERAGE_ABROAD: Final = 0.82  # … where the people asked about are of other corpora than those of the calibration
UNSURE_SHARE: Final = 0.05  # share of validation clips inside the abstention band, at most
LARGEST_TAIL: Final = 0.22  # of the tails by age: every interval holds the middle of the probability, 56 %
SMALLEST_TAIL: Final = 0.0005
FEWEST_SPEAKERS: Final = 20  # of an age group that gets a tail of its own
SURE_ENOUGH: Final = 0.98  # share of right answers outside the band, where the band above allows it

ROUNDS: Final = 4
HALVINGS: Final = 12

UNSURE_ADULTS: Final = 0.028  # share of adults' clips inside the band of a bundle that also estimates age
ADULT_YEARS: Final = 18.0
WIDEST: Final = 0.4  # half of the widest band: nine in ten is sure


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
    """Choose one tail for all ages: the largest at which 80 % of the validation clips' ages lie inside the interval.

    Args:
        groups: ``(n, 10)`` or ``(n, 100)``, calibrated probabilities of the age groups or of years.
        years: ``(n,)``, true ages, or the middle of the age group where only that is known.
        weights: ``(n,)``.
    """
    for tail in np.arange(0.25, 0.0, -0.0025):
        inside = (decision.years_at(groups, tail) <= years) & (years <= decision.years_at(groups, 1 - tail))
        if (weights * inside).sum() / weights.sum() >= COVERAGE:
            return float(tail)
    return 0.0025


def tails_of(
    shares: Floats, years: Floats, speaker: npt.NDArray[np.int64], coverage: float = COVERAGE_ABROAD
) -> list[float]:
    """Choose a tail for each age group, so that the interval covers as many old people as young ones.

    One tail for all ages covers nearly everybody in their twenties and hardly anybody over seventy, because the
    estimates of old people are too low. Here the tail of a group is the largest at which the wanted share of its own
    clips lie inside (label-conditional conformal prediction; see :mod:`voxtrait.decision`). A tail also has an effect
    on the intervals of neighbouring groups, so the tails are chosen in turn, :data:`ROUNDS` times.

    Args:
        shares: ``(n, 100)``, calibrated probabilities of years.
        years: ``(n,)``, true ages, or the middle of the age group where only that is known.
        speaker: ``(n,)``, numbers of the speakers. A group of fewer than 20 speakers shares the tail of the next
            younger one, and the youngest that of the next older one.
        coverage: the wanted share.

    Returns:
        One tail for each of :data:`voxtrait.labels.AGE_GROUPS`.
    """
    group = np.minimum(years // decision.DECADE, len(AGE_GROUPS) - 1).astype(np.int64)
    part = _joined(group, speaker)
    tails = np.full(part[-1] + 1, LARGEST_TAIL)
    for _, one in itertools.product(range(ROUNDS), range(len(tails))):
        rows = part[group] == one
        low, high = math.log(SMALLEST_TAIL), math.log(LARGEST_TAIL)
        tried = high
        for _ in range(HALVINGS):
            tails[one] = math.exp(tried)
            least, most = decision.interval(shares[rows], tails[part].tolist())
            if ((least <= years[rows]) & (years[rows] <= most)).mean() >= coverage:
                low = tried
            else:
                high = tried
            tried = (low + high) / 2
        tails[one] = math.exp(low)
    return [float(tail) for tail in tails[part]]


def _joined(group: npt.NDArray[np.int64], speaker: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Number the sets of age groups that share a tail, ``(10,)``: each has enough speakers, if all together have."""
    count = [len(np.unique(speaker[group == one])) for one in range(len(AGE_GROUPS))]
    sets, speakers = [0], count[0]
    for more in count[1:]:
        own = speakers >= FEWEST_SPEAKERS and more >= FEWEST_SPEAKERS
        sets.append(sets[-1] + own)
        speakers = more if own else speakers + more
    return np.array(sets)


def calibrate_gender(logits: Floats, truth: npt.NDArray[np.int64], weights: Floats) -> dict[str, Any]:
    """Fit the calibration of gender logits ``(n, 2)``: the keys that a bundle holds."""
    temperature = temperature_of(logits, truth, weights)
    p_female = decision.female_probability(decision.probabilities(logits, temperature))
    band = unsure_band(p_female, truth == 0, weights)
    return {"temperature": temperature, "evidence": 0.0, "bias": [0.0, 0.0], "unsure": band, "childhood": 0.0}


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
    tail = tail_of(groups, years, weights)
    return {"temperature": temperature, "evidence": 0.0, "bias": [float(b) for b in bias], "tail": tail}


@dataclasses.dataclass(frozen=True)
class Heard:
    """Answers of members about speakers they never heard, for as long as the speech was: one row a clip."""

    female_logit: Floats  # (n,)
    year_logits: Floats  # (n, 100)
    seconds: Floats  # (n,), of speech
    female: Floats  # (n,), 1, 0 or NaN
    years: Floats  # (n,), NaN unknown
    weight: Floats  # (n,)
    speaker: npt.NDArray[np.int64]  # (n,), numbers


def calibrate_years(heard: Sequence[Heard]) -> dict[str, Any]:
    """Fit the calibration of a distribution over years.

    Temperature and evidence are those under which the true age groups are most probable, over stretches of speech of
    all lengths; the tails are chosen on the first set, whole clips.

    Args:
        heard: whole clips first, then other lengths.
    """
    known = [_only(one, ~np.isnan(one.years)) for one in heard]
    groups = [np.minimum(one.years // 10, 9).astype(np.int64) for one in known]

    def loss(at: Floats) -> float:
        total = 0.0
        for one, group in zip(known, groups, strict=True):
            shares = decision.group_probabilities(_years(one, _setting(at)), YEARS)
            chance = shares[np.arange(len(group)), group]
            total -= float((one.weight * np.log(chance + 1e-9)).sum() / one.weight.sum())
        return total

    setting = _setting(_minimum(loss))
    tails = tails_of(_years(known[0], setting), known[0].years, known[0].speaker)
    return {**setting, "bias": [0.0] * len(YEARS), "tail": tails}


def calibrate_presented_gender(heard: Sequence[Heard], age: dict[str, Any], childhood: float) -> dict[str, Any]:
    """Fit the calibration of gender where the age is told too: a child's voice presents none, and says so.

    Temperature and evidence make the true genders most probable, children and contradicted labels included. The band
    of ``unsure`` is the widest symmetric one that holds at most :data:`UNSURE_ADULTS` of the adults' whole clips.

    Args:
        heard: whole clips first, then other lengths.
        age: what :func:`calibrate_years` gave.
        childhood: years below which a voice does not tell the gender.
    """
    known = [_only(one, ~np.isnan(one.female)) for one in heard]
    shares = [_years(one, age) for one in known]

    def answer(one: Heard, years: Floats, setting: dict[str, float]) -> Floats:
        temperature = decision.temperature_at(setting, one.seconds)
        p_female = 1 / (1 + np.exp(-one.female_logit / temperature))
        return decision.without_childhood(p_female, years, childhood)

    def loss(at: Floats) -> float:
        total = 0.0
        for one, years in zip(known, shares, strict=True):
            p_female = answer(one, years, _setting(at))
            chance = np.where(one.female == 1, p_female, 1 - p_female)
            total -= float((one.weight * np.log(chance + 1e-6)).sum() / one.weight.sum())
        return total

    setting = _setting(_minimum(loss))
    whole = known[0]
    distance = np.abs(answer(whole, shares[0], setting) - 0.5)
    adult = ~(whole.years < ADULT_YEARS)
    order = np.argsort(distance[adult])
    share = np.cumsum(whole.weight[adult][order]) / whole.weight[adult].sum()
    inside = distance[adult][order][share <= UNSURE_ADULTS]
    width = min(float(inside[-1]) if len(inside) else 0.0, WIDEST)
    return {**setting, "bias": [0.0, 0.0], "unsure": [0.5 - width, 0.5 + width], "childhood": childhood}


def _years(one: Heard, setting: dict[str, Any]) -> Floats:
    return decision.probabilities(one.year_logits / decision.temperature_at(setting, one.seconds)[:, None])


def _only(one: Heard, rows: npt.NDArray[np.bool_]) -> Heard:
    return Heard(**{field.name: getattr(one, field.name)[rows] for field in dataclasses.fields(Heard)})


def _setting(at: Floats) -> dict[str, float]:
    return {"temperature": float(np.exp(at[0])), "evidence": float(at[1])}


def _minimum(loss: Callable[[Floats], float]) -> Floats:
    """Minimise over the logarithm of the temperature (0.25 to 10) and the evidence (0 to 1)."""
    bounds = [(np.log(0.25), np.log(10.0)), (0.0, 1.0)]
    found = scipy.optimize.minimize(loss, np.array([0.0, 0.1]), method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x)
