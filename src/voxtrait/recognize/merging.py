"""Merges similar items into clusters: agglomerative clustering with average linkage and weights.

Day and Edelsbrunner, "Efficient algorithms for agglomerative hierarchical clustering methods", 1984. It is implemented
here, because scikit-learn and SciPy weight all items equally and cannot keep known clusters apart.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt


class Limits(NamedTuple):
    """Minimum and maximum number of clusters."""

    least: int = 1
    most: int | None = None


ANY: Final = Limits()


def merge(
    similarity: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    limits: Limits,
    fixed: int = 0,
    *,
    same: float,
) -> list[int]:
    """Merge the most similar clusters until no two are similar enough.

    Args:
        similarity: similarities between items, ``(n, n)``.
        weights: weights of the items, ``(n,)``, more than 0.
        limits: limits of the number of clusters.
        fixed: number of items, at the beginning, that are known speakers; they are never merged with each other.
        same: similarity at which merging stops.

    Returns:
        The cluster of each item, numbered from 0.

    Examples:
        >>> merge(np.array([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1.0]]), np.ones(3), ANY, same=0.4)
        [0, 0, 1]
        >>> merge(np.array([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1.0]]), np.ones(3), Limits(1, 1), same=0.4)
        [0, 0, 0]
    """
    count = len(similarity)
    mean = similarity.copy()
    mean[:fixed, :fixed] = -np.inf
    np.fill_diagonal(mean, -np.inf)
    mass = weights.astype(np.float64).copy()
    members = [[place] for place in range(count)]
    alive = count
    while alive > limits.least:
        place = int(np.argmax(mean))
        one, two = sorted(divmod(place, count))
        best = mean[one, two]
        if best == -np.inf or (best < same and (limits.most is None or alive <= limits.most)):
            break
        share = mass[one] / (mass[one] + mass[two])
        joined = share * mean[one] + (1 - share) * mean[two]
        mean[one], mean[:, one] = joined, joined
        mean[one, one] = -np.inf
        mean[two], mean[:, two] = -np.inf, -np.inf
        mass[one] += mass[two]
        members[one] += members[two]
        members[two] = []
        alive -= 1
    labels = [0] * count
    for number, group in enumerate(group for group in members if group):
        for place in group:
            labels[place] = number
    return labels
