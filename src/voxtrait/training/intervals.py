"""Size of the age interval, chosen on validation speakers: one tail, or one for each gender and age group.

Both are conformal prediction with the tail as the score; see :mod:`voxtrait.recognize.decision`.
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
COVERAGE_BY_GROUP: Final = 0.82  # the same with tails by group: other people differ more from the training speakers
LARGEST_TAIL: Final = 0.22  # of the tails by group: every interval holds the middle of the probability, 56 %
SMALLEST_TAIL: Final = 0.0005
FEWEST_SPEAKERS: Final = 20  # of a group that gets a tail of its own
ROUNDS: Final = 4
HALVINGS: Final = 12

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


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
    shares: Floats, p_female: Floats, years: Floats, female: Bools, speaker: Ints, coverage: float = COVERAGE_BY_GROUP
) -> list[list[float]]:
    """Choose a tail for each gender and age group, so that the interval covers all of them equally often.

    One tail for all covers nearly everybody in their twenties and hardly anybody over seventy, because the estimates
    of old people are too low. Here the tail of a group is the largest at which the wanted share of its own clips lie
    inside. A tail also has an effect on the intervals of neighbouring groups, so the tails are chosen in turn,
    :data:`ROUNDS` times.

    Args:
        shares: ``(n, 100)``, calibrated probabilities of years.
        p_female: ``(n,)``, calibrated probabilities.
        years: ``(n,)``, true ages, or the middle of the age group where only that is known.
        female: ``(n,)``, true genders.
        speaker: ``(n,)``, numbers of the speakers. A group of fewer than 20 speakers shares the tail of the next
            younger one, and the youngest that of the next older one. If there are fewer than 20 women or men, women
            and men share tails.
        coverage: the wanted share.

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
    """Number the sets of age groups that share a tail, ``(10,)``: each has enough speakers, if all together have."""
    count = [len(np.unique(speaker[group == one])) for one in range(len(AGE_GROUPS))]
    sets, speakers = [0], count[0]
    for more in count[1:]:
        own = speakers >= FEWEST_SPEAKERS and more >= FEWEST_SPEAKERS
        sets.append(sets[-1] + own)
        speakers = more if own else speakers + more
    return np.array(sets)
