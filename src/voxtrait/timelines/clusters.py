"""Clusters runs by speaker.

The method is agglomerative clustering with average linkage, each run weighted by its seconds
(:mod:`voxtrait.recognize.merging`). It is the usual method of diarisation (Sell et al., "Diarization is hard",
Interspeech 2018). The similarity of two runs is the cosine of their speaker embeddings, divided by the reliability of
each: the correction for attenuation (Spearman, "The proof and measurement of association between two things", American
Journal of Psychology 15, 1904). Without it, short runs of one voice are too different, above all in noise. Between runs
in one window of the segmentation network, the slots of the network count too.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from voxtrait.recognize.merging import Limits, merge

Array = npt.NDArray[np.float32]

SAME: Final = 0.48  # clusters with at least this mean similarity have one speaker
LONE: Final = 0.38  # … or with at least this, if one of them is a single run
NOISE_S: Final = 1.2  # seconds of speech in which the variance of an embedding's noise is that of the voice
SLOT_BONUS: Final = 0.1  # added between near runs of one slot, subtracted between near runs of two slots
NEAR_S: Final = 5.0  # maximum seconds between two runs that are in one window
OVERLAP_S: Final = 0.1  # two runs that overlap by more than this are simultaneous
APART: Final = 2.0  # subtracted for simultaneous runs
STAY: Final = 0.03  # a run moves to another speaker only if the similarity is higher by more than this
MOVES: Final = 3  # rounds in which runs move
ALONE: Final = 1e-6  # a sum of embeddings shorter than this is empty
BEGIN_S: Final = 0.7  # minimum seconds of a run that can begin a new speaker
SURE_S: Final = 1.0  # minimum seconds of speech alone of a speaker


class Item(NamedTuple):
    """The values of a run that clustering uses."""

    start_s: float
    end_s: float
    slot: int
    alone_s: float
    embedding: Array | None  # (d,), of length 1; None if there is too little speech


def reliabilities(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the reliabilities of embeddings of this much speech in seconds, ``(n,)`` → ``(n,)``, from 0 to 1.

    A reliability is the expected cosine of an embedding with that of very much speech of the same speaker.
    """
    return np.asarray(1 / np.sqrt(1 + NOISE_S / seconds))


def similarities(items: list[Item]) -> npt.NDArray[np.float64]:
    """Return the similarities of all pairs of items, ``(n, n)``. Each item needs an embedding."""
    vectors = np.stack([np.asarray(item.embedding, np.float64) for item in items])
    vectors /= reliabilities(np.array([item.alone_s for item in items]))[:, None]
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
        lone: the same if one of the clusters is a single run.
        begin_s: minimum seconds of a run that can begin a new speaker.
    """

    def __init__(self, limits: Limits, *, same: float = SAME, lone: float = LONE, begin_s: float = BEGIN_S) -> None:
        self._limits = limits
        self._same, self._lone, self._begin_s = same, lone, begin_s
        self._sums: list[npt.NDArray[np.float64]] = []  # of embeddings, weighted by seconds
        self._seconds: list[float] = []

    def assign(self, items: list[Item]) -> list[int | None]:
        """Return the speaker of each run of the next part. Speakers of earlier parts keep their numbers.

        Returns:
            Numbers from 0, in the order in which the speakers were found; ``None`` if there is no speech to compare.
        """
        sure = [
            place for place, item in enumerate(items) if item.embedding is not None and item.alone_s >= self._begin_s
        ]
        if not sure and not self._sums:
            sure = [place for place, item in enumerate(items) if item.embedding is not None]
        labels: dict[int, int] = {}
        fixed = len(self._sums)
        if sure:
            ours = [items[place] for place in sure]
            between = similarities(ours)
            if fixed:
                across = self._across(ours)
                between = np.block([[np.full((fixed, fixed), -np.inf), across], [across.T, between]])
            weights = np.array(self._seconds + [item.alone_s for item in ours])
            limits = Limits(max(self._limits.least, fixed), self._limits.most)
            found = merge(between, weights, limits, fixed, same=self._same)
            found = self._without_doubtful(found, between, weights, fixed)
            numbers: dict[int, int] = {found[place]: place for place in range(fixed)}
            for place, label in zip(sure, found[fixed:], strict=True):
                labels[place] = numbers.setdefault(label, len(numbers))
        before = [vector.copy() for vector in self._sums]
        for place, number in labels.items():
            self._add(number, items[place])
        for place, item in enumerate(items):
            if item.embedding is not None and place not in labels and self._sums:
                labels[place] = self._nearest(place, items, labels)
        self._move(items, labels, before)
        self._forget({*range(fixed), *labels.values()}, labels)
        for place in range(len(items)):
            if place not in labels and self._sums:
                labels[place] = self._nearest(place, items, labels)
        return [labels.get(place) for place in range(len(items))]

    def _across(self, items: list[Item]) -> npt.NDArray[np.float64]:
        """Return the similarities of the speakers of earlier parts to items, ``(speakers, n)``."""
        sums = np.stack(self._sums)
        known = sums / np.linalg.norm(sums, axis=1)[:, None] / reliabilities(np.array(self._seconds))[:, None]
        vectors = np.stack([np.asarray(item.embedding, np.float64) for item in items])
        return np.asarray(known @ (vectors / reliabilities(np.array([item.alone_s for item in items]))[:, None]).T)

    def _move(self, items: list[Item], labels: dict[int, int], before: list[npt.NDArray[np.float64]]) -> None:
        """Move each run to the speaker whose other runs are most similar to it, as k-means does.

        New speakers with too little speech after the moves are dissolved. The moves do not change the sums with which
        later parts are compared, so no sum becomes empty.

        Args:
            items: runs of this part.
            labels: place → speaker of each run with an embedding; changed in place.
            before: sums of the speakers before this part.
        """
        places = sorted(labels)
        if len(places) < 2:
            return
        moves = Moves([items[place] for place in places], [labels[place] for place in places], self._sums, before)
        for _ in range(MOVES):
            if not any([moves.move(place) for place in range(len(places))]):
                break
        few = [number for number in moves.below(SURE_S) if number >= len(before)]
        spare = len({*range(len(before)), *moves.found}) - max(self._limits.least, 1)
        for number in few[: max(spare, 0)]:
            moves.dissolve(number)
        labels.update(zip(places, moves.found, strict=True))

    def _without_doubtful(
        self, labels: list[int], between: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], fixed: int
    ) -> list[int]:
        """Dissolve clusters with too little speech, and those of one run that is not very different from the others.

        A run in which two people speak is similar to neither of them, and noise in one run is not averaged out.
        """
        names, found = np.unique(labels, return_inverse=True)
        member = np.eye(len(names))[found]  # (n, clusters)
        mass, runs = weights @ member, member.sum(axis=0)
        new: npt.NDArray[np.bool_] = np.logical_not(member[:fixed].any(axis=0))
        share = member * weights[:, None] / mass
        mean = np.full((len(names), len(names)), -np.inf)  # similarities of new clusters to all
        mean[new] = share[fixed:, new].T @ between[fixed:] @ share
        np.fill_diagonal(mean, -np.inf)
        for _ in range(len(names) - max(self._limits.least, 1)):
            best = mean.max(axis=1)
            small, lone = new & (mass < SURE_S), new & (runs == 1) & (best >= self._lone)
            if small.any():
                old = int(np.argmin(np.where(small, mass, np.inf)))
            elif lone.any():
                old = int(np.argmax(np.where(lone, best, -np.inf)))
            else:
                break
            to = int(np.argmax(mean[old]))
            part = mass[old] / (mass[old] + mass[to])
            mean[to] = part * mean[old] + (1 - part) * mean[to]
            mean[:, to] = part * mean[:, old] + (1 - part) * mean[:, to]
            mean[old], mean[:, old], mean[to, to], new[old] = -np.inf, -np.inf, -np.inf, False
            mass[to], runs[to] = mass[to] + mass[old], runs[to] + runs[old]
            found[found == old] = to
        return [int(label) for label in found]

    def _add(self, number: int, item: Item) -> None:
        assert item.embedding is not None
        if number == len(self._sums):
            self._sums.append(np.zeros(len(item.embedding)))
            self._seconds.append(0.0)
        self._sums[number] += item.alone_s * item.embedding
        self._seconds[number] += item.alone_s

    def _forget(self, kept: set[int], labels: dict[int, int]) -> None:
        """Forget new speakers without runs, so that later parts are not compared with them."""
        numbers = {old: new for new, old in enumerate(sorted(kept))}
        self._sums = [self._sums[number] for number in numbers]
        self._seconds = [self._seconds[number] for number in numbers]
        labels.update({place: numbers[number] for place, number in labels.items()})

    def _nearest(self, place: int, items: list[Item], labels: dict[int, int]) -> int:
        """Return the most similar known speaker for a run that is too short to begin a new one."""
        item = items[place]
        scores: npt.NDArray[Any] = np.zeros(len(self._sums))
        if item.embedding is not None:
            known = np.stack([vector / np.linalg.norm(vector) for vector in self._sums])
            scores = known @ item.embedding * min(1.0, item.alone_s / SURE_S)
        for other, number in labels.items():
            gap = max(items[other].start_s, item.start_s) - min(items[other].end_s, item.end_s)
            if gap < NEAR_S:
                bonus = SLOT_BONUS if items[other].slot == item.slot else -SLOT_BONUS
                if gap < -OVERLAP_S and items[other].slot != item.slot:
                    bonus = -APART
                scores[number] += 3 * bonus / (1 + max(gap, 0.0))
        return int(np.argmax(scores))


class Moves:
    """Moves runs, one after the other, between the speakers of a part.

    Args:
        items: runs with an embedding.
        found: their speakers; :attr:`found` has them after the moves.
        sums: sum of the embeddings of each speaker, weighted by seconds.
        before: the same without the runs of this part.
    """

    def __init__(
        self,
        items: list[Item],
        found: list[int],
        sums: list[npt.NDArray[np.float64]],
        before: list[npt.NDArray[np.float64]],
    ) -> None:
        self.found = found
        self._vectors = np.stack([np.asarray(item.embedding, np.float64) for item in items])
        self._seconds = np.array([item.alone_s for item in items])
        self._start, self._end = (np.array([getattr(item, name) for item in items]) for name in ("start_s", "end_s"))
        self._slot = np.array([item.slot for item in items])
        self._centres = np.zeros((len(sums), self._vectors.shape[1]))
        if before:
            self._centres[: len(before)] = np.array(before)
        np.add.at(self._centres, found, self._seconds[:, None] * self._vectors)

    def move(self, place: int, *, leave: bool = False) -> bool:
        """Move a run to the most similar speaker, and return whether it moved. With ``leave``, it cannot stay."""
        old, own = self.found[place], self._seconds[place] * self._vectors[place]
        self._centres[old] -= own
        lengths = np.linalg.norm(self._centres, axis=1)
        new = old
        if leave or lengths[old] > ALONE:  # otherwise this run is the only one, and the cluster would become empty
            cosines = self._centres @ self._vectors[place] / np.maximum(lengths, ALONE)
            scores = np.where(lengths > ALONE, cosines, -np.inf)
            scores[old] += -np.inf if leave else STAY
            overlap_s = np.minimum(self._end, self._end[place]) - np.maximum(self._start, self._start[place])
            at_once = (overlap_s > OVERLAP_S) & (self._slot != self._slot[place])
            np.subtract.at(scores, np.array(self.found)[at_once], APART)
            new = int(np.argmax(scores))
        self._centres[new] += own
        self.found[place] = new
        return new != old

    def below(self, seconds: float) -> list[int]:
        """Return the speakers with runs of less than this in total, the shortest first."""
        total = np.bincount(self.found, weights=self._seconds, minlength=len(self._centres))
        return [number for number in np.argsort(total).tolist() if 0 < total[number] < seconds]

    def dissolve(self, number: int) -> None:
        """Move all runs of a speaker to others."""
        for place in [place for place, one in enumerate(self.found) if one == number]:
            self.move(place, leave=True)
