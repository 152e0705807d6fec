"""Clusters runs by speaker.

The method is agglomerative clustering with average linkage, each run weighted by its seconds
(:mod:`voxtrait.recognize.merging`). It is the usual method of diarisation (Sell et al., "Diarization is hard",
Interspeech 2018). The similarity of two runs is the cosine of their speaker embeddings; between runs in one window of
the segmentation network, the slots of the network count too.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from voxtrait.recognize.merging import Limits, merge

Array = npt.NDArray[np.float32]

SAME: Final = 0.40  # clusters with at least this mean similarity have one speaker
SLOT_BONUS: Final = 0.1  # added between near runs of one slot, subtracted between near runs of two slots
NEAR_S: Final = 5.0  # maximum seconds between two runs that are in one window
OVERLAP_S: Final = 0.1  # two runs that overlap by more than this are simultaneous
APART: Final = 2.0  # subtracted for simultaneous runs
STAY: Final = 0.03  # a run moves to another speaker only if the similarity is higher by more than this
MOVES: Final = 3  # rounds in which runs move
ALONE: Final = 1e-6  # a sum of embeddings shorter than this is empty
SURE_S: Final = 1.0  # minimum seconds of a run that can begin a new speaker, and of a speaker's speech alone


class Item(NamedTuple):
    """The values of a run that clustering uses."""

    start_s: float
    end_s: float
    slot: int
    alone_s: float
    embedding: Array | None  # (d,), of length 1; None if there is too little speech


def similarities(items: list[Item]) -> npt.NDArray[np.float64]:
    """Return the similarities of all pairs of items, ``(n, n)``. Each item needs an embedding."""
    vectors = np.stack([np.asarray(item.embedding, np.float64) for item in items])
    found = vectors @ vectors.T
    start, end = (np.array([getattr(item, name) for item in items]) for name in ("start_s", "end_s"))
    slot = np.array([item.slot for item in items])
    gap = np.maximum(start[:, None], start[None]) - np.minimum(end[:, None], end[None])
    same = slot[:, None] == slot[None]
    near = gap < NEAR_S
    found += SLOT_BONUS * np.where(near, np.where(same, 1.0, -1.0), 0.0)
    found -= np.where((gap < -OVERLAP_S) & ~same, APART, 0.0)
    return np.asarray(found)


class Speakers:
    """Assigns runs to speakers, part by part of a recording.

    Args:
        limits: limits of the number of speakers.
        same: minimum mean similarity of clusters of one speaker.
    """

    def __init__(self, limits: Limits, *, same: float = SAME) -> None:
        self._limits = limits
        self._same = same
        self._sums: list[npt.NDArray[np.float64]] = []  # of embeddings, weighted by seconds
        self._seconds: list[float] = []

    def assign(self, items: list[Item]) -> list[int | None]:
        """Return the speaker of each run of the next part. Speakers of earlier parts keep their numbers.

        Returns:
            Numbers from 0, in the order in which the speakers were found; ``None`` if there is no speech to compare.
        """
        sure = [place for place, item in enumerate(items) if item.embedding is not None and item.alone_s >= SURE_S]
        if not sure and not self._sums:
            sure = [place for place, item in enumerate(items) if item.embedding is not None]
        labels: dict[int, int] = {}
        fixed = len(self._sums)
        if sure:
            ours = [items[place] for place in sure]
            known = [vector / np.linalg.norm(vector) for vector in self._sums]
            between = similarities(ours)
            if fixed:
                across = np.stack(known) @ np.stack([np.asarray(item.embedding, np.float64) for item in ours]).T
                between = np.block([[np.full((fixed, fixed), -np.inf), across], [across.T, between]])
            weights = np.array(self._seconds + [item.alone_s for item in ours])
            limits = Limits(max(self._limits.least, fixed), self._limits.most)
            found = merge(between, weights, limits, fixed, same=self._same)
            found = self._without_small(found, between, weights, fixed)
            numbers: dict[int, int] = {found[place]: place for place in range(fixed)}
            for place, label in zip(sure, found[fixed:], strict=True):
                labels[place] = numbers.setdefault(label, len(numbers))
        before = [vector.copy() for vector in self._sums]
        for place, number in labels.items():
            self._add(number, items[place])
        rest = [place for place in range(len(items)) if place not in labels]
        for place in rest:
            nearest = self._nearest(place, items, labels)
            if nearest is not None:
                labels[place] = nearest
        return self._moved(items, [labels.get(place) for place in range(len(items))], before)

    def _moved(
        self, items: list[Item], labels: list[int | None], before: list[npt.NDArray[np.float64]]
    ) -> list[int | None]:
        """Move each run to the speaker whose other runs are most similar to it, as k-means does.

        The moves do not change the sums with which later parts are compared, so no sum becomes empty.

        Args:
            items: runs of this part.
            labels: their speakers.
            before: sums of the speakers before this part.
        """
        places = [place for place, item in enumerate(items) if item.embedding is not None and labels[place] is not None]
        if len(places) < 2:
            return labels
        ours = [items[place] for place in places]
        vectors = np.stack([np.asarray(item.embedding, np.float64) for item in ours])
        weights = np.array([item.alone_s for item in ours])[:, None]
        start, end = (np.array([getattr(item, name) for item in ours]) for name in ("start_s", "end_s"))
        slot = np.array([item.slot for item in ours])
        found = np.array([labels[place] for place in places])
        centres = np.zeros((len(self._sums), vectors.shape[1]))
        centres[: len(before)] = np.array(before) if before else 0.0
        np.add.at(centres, found, weights * vectors)
        for _ in range(MOVES):
            moved = False
            for place, vector in enumerate(vectors):
                old, own = found[place], weights[place] * vector
                centres[old] -= own
                lengths = np.linalg.norm(centres, axis=1)
                new = old
                if lengths[old] > ALONE:  # otherwise this run is the only one, and the cluster would become empty
                    scores = np.where(lengths > ALONE, centres @ vector / np.maximum(lengths, ALONE), -1.0)
                    scores[old] += STAY
                    overlap_s = np.minimum(end, end[place]) - np.maximum(start, start[place])
                    at_once = (overlap_s > OVERLAP_S) & (slot != slot[place])
                    np.subtract.at(scores, found[at_once], APART)
                    new = int(np.argmax(scores))
                centres[new] += own
                found[place] = new
                moved |= new != old
            if not moved:
                break
        for place, number in zip(places, found.tolist(), strict=True):
            labels[place] = number
        return labels

    def _without_small(
        self, labels: list[int], between: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], fixed: int
    ) -> list[int]:
        """Dissolve clusters with too little speech into the most similar ones."""
        found = np.array(labels)
        while True:
            names = sorted(set(found.tolist()))
            if len(names) <= max(self._limits.least, 1):
                break
            mass = {name: weights[found == name].sum() for name in names}
            small = [name for name in names if mass[name] < SURE_S and not (found[:fixed] == name).any()]
            if not small:
                break
            name = min(small, key=lambda one: mass[one])
            ours = found == name
            others = [other for other in names if other != name]
            best = max(
                others,
                key=lambda other: float(
                    np.average(between[np.ix_(ours, found == other)].mean(axis=0), weights=weights[found == other])
                ),
            )
            found[ours] = best
        return [int(label) for label in found]

    def _add(self, number: int, item: Item) -> None:
        assert item.embedding is not None
        if number == len(self._sums):
            self._sums.append(np.zeros(len(item.embedding)))
            self._seconds.append(0.0)
        self._sums[number] += item.alone_s * item.embedding
        self._seconds[number] += item.alone_s

    def _nearest(self, place: int, items: list[Item], labels: dict[int, int]) -> int | None:
        """Return the most similar known speaker for a run that is too short to begin a new one."""
        item = items[place]
        if not self._sums:
            return None
        scores: npt.NDArray[Any] = np.zeros(len(self._sums))
        if item.embedding is not None:
            known = np.stack([vector / np.linalg.norm(vector) for vector in self._sums])
            scores = known @ item.embedding * min(1.0, item.alone_s / SURE_S)
        for other, number in labels.items():
            gap = max(items[other].start_s, item.start_s) - min(items[other].end_s, item.end_s)
            if gap < NEAR_S:
                bonus = SLOT_BONUS if items[other].slot == item.slot else -SLOT_BONUS
                if gap < -0.1 and items[other].slot != item.slot:
                    bonus = -APART
                scores[number] += 3 * bonus / (1 + max(gap, 0.0))
        return int(np.argmax(scores))
