"""Selects the size of the age interval on held-out speakers: one tail, or one for each gender and age group.

Both are split conformal prediction (Vovk, Gammerman & Shafer, "Algorithmic learning in a random world", 2005) with the
tail as the score; see :mod:`voxtrait.recognize.decision`.
"""

import itertools
import math
from typing import Final

import numpy as np
import numpy.typing as npt

from voxtrait.labels import AGE_GROUPS
from voxtrait.recognize import decision
from voxtrait.recognize.decision import Floats

COVERAGE: Final = 0.80  # share of true ages inside the interval
COVERAGE_BY_GROUP: Final = 0.82  # the same with tails by group: unseen people differ more from the training speakers
LARGEST_TAIL: Final = 0.25  # largest tail by group: every interval contains at least the middle 50 % of the probability
SMALLEST_TAIL: Final = 0.0005
FEWEST_SPEAKERS: Final = 20  # minimum speakers of a group with its own tail
ROUNDS: Final = 4
HALVINGS: Final = 12

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def tail_of(groups: Floats, years: Floats, weights: Floats) -> float:
    """Select one tail for all ages: the largest at which the interval contains 80 % of the validation clips' ages.

    Args:
        groups: ``(n, 10)`` or ``(n, 100)``, calibrated probabilities of the age groups or of years.
        years: ``(n,)``, true ages, or the middle of the age group if only that is known.
        weights: ``(n,)``.
    """
    for tail in np.arange(0.25, 0.0, -0.0025):
        inside = (decision.years_at(groups, tail) <= years) & (years <= decision.years_at(groups, 1 - tail))
        if (weights * inside).sum() / weights.sum() >= COVERAGE:
            return float(tail)
    return 0.0025


def tails_of(
    shares: Floats, p_female: Floats, years: Floats, female: Bools, speaker: Ints, coverage: float = COVERAGE_BY_GROUP
) -> list[list[float]]:
    """Select a tail for each gender and age group, so that the interval covers all of them equally often.

    A single tail covers nearly everybody in their twenties and hardly anybody over seventy, because the estimates for
    old people are too low. Here the tail of a group is the largest at which the interval contains the wanted share of
    its own clips. A tail also changes the intervals of neighbouring groups, so the tails are selected one after the
    other, in several rounds (``ROUNDS``).

    Args:
        shares: ``(n, 100)``, calibrated probabilities of years.
        p_female: ``(n,)``, calibrated probabilities.
        years: ``(n,)``, true ages, or the middle of the age group if only that is known.
        female: ``(n,)``, true genders.
        speaker: ``(n,)``, numbers of the speakers. A group of fewer than 20 speakers shares the tail of the next
            younger one, and the youngest that of the next older one. If there are fewer than 20 women or men, women
            and men share tails.
        coverage: target share of true ages inside the interval.

    Returns:
        ``(2, 10)``, in the order of :data:`voxtrait.labels.GENDERS` and :data:`voxtrait.labels.AGE_GROUPS`.
    """
    group = np.minimum(years // decision.DECADE, len(AGE_GROUPS) - 1).astype(np.int64)
    genders = (female, ~female)
    if min(len(np.unique(speaker[rows])) for rows in genders) < FEWEST_SPEAKERS:
        everyone = _joined(group, speaker)
        sets = np.stack([everyone, everyone])
    else:
        women, men = (_joined(group[rows], speaker[rows]) for rows in genders)
        sets = np.stack([women, women[-1] + 1 + men])
    of_clip = np.where(female, sets[0][group], sets[1][group])
    tails = np.full(sets.max() + 1, LARGEST_TAIL)
    for _, one in itertools.product(range(ROUNDS), range(len(tails))):
        rows = of_clip == one
        low, high = math.log(SMALLEST_TAIL), math.log(LARGEST_TAIL)
        tried = high
        for _ in range(HALVINGS):
            tails[one] = math.exp(tried)
            least, most = decision.interval(shares[rows], tails[sets].tolist(), p_female[rows])
            if ((least <= years[rows]) & (years[rows] <= most)).mean() >= coverage:
                low = tried
            else:
                high = tried
            tried = (low + high) / 2
        tails[one] = math.exp(low)
    return [[float(tail) for tail in row] for row in tails[sets]]


def _joined(group: Ints, speaker: Ints) -> Ints:
    """Return the set number of each age group, ``(10,)``; a set shares a tail and, if possible, has enough speakers."""
    count = [len(np.unique(speaker[group == one])) for one in range(len(AGE_GROUPS))]
    sets, speakers = [0], count[0]
    for more in count[1:]:
        own = speakers >= FEWEST_SPEAKERS and more >= FEWEST_SPEAKERS
        sets.append(sets[-1] + own)
        speakers = more if own else speakers + more
    return np.array(sets)
