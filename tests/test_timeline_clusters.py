"""Clusters of runs: which runs are the same speaker's, and how many speakers there are."""

import numpy as np

from voxtrait.recognize.merging import Limits, merge
from voxtrait.timelines.clusters import SAME, Item, Speakers, similarities


def item(start: float, end: float, slot: int, angle: float) -> Item:
    return Item(start, end, slot, end - start, np.array([np.cos(angle), np.sin(angle)], np.float32))


def test_simultaneous_runs_are_never_one_speaker() -> None:
    both = [item(0, 4, 0, 0.0), item(2, 6, 1, 0.0)]
    assert similarities(both)[0, 1] < 0
    assert Speakers(Limits()).assign(both) == [0, 1]
    apart = [item(0, 4, 0, 0.0), item(60, 64, 1, 0.0)]
    assert Speakers(Limits()).assign(apart) == [0, 0]


def test_the_number_of_speakers_can_be_given() -> None:
    items = [item(20.0 * place, 20.0 * place + 3, 0, angle) for place, angle in enumerate((0.0, 0.5, 1.4, 1.6))]
    assert len(set(Speakers(Limits(3, 3)).assign(items))) == 3
    assert len(set(Speakers(Limits(1, 1)).assign(items))) == 1
    assert len(set(Speakers(Limits(4)).assign(items))) == 4
    assert merge(np.eye(3), np.ones(3), Limits(1, 2), same=SAME) in ([0, 0, 1], [0, 1, 0], [0, 1, 1])


def test_later_parts_keep_the_speakers_of_parts_before() -> None:
    speakers = Speakers(Limits())
    assert speakers.assign([item(0, 5, 0, 0.0), item(10, 15, 1, 1.5)]) == [0, 1]
    assert speakers.assign([item(100, 105, 0, 1.5), item(120, 125, 1, 3.0), item(140, 145, 2, 0.1)]) == [1, 2, 0]
    assert speakers.assign([]) == []


def test_a_run_moves_to_the_speaker_that_is_most_similar() -> None:
    ours = [item(20.0 * place, 20.0 * place + 5, 0, angle) for place, angle in enumerate((0.0, 0.1, 0.2))]
    theirs = [item(100 + 20.0 * place, 105 + 20.0 * place, 0, angle) for place, angle in enumerate((1.5, 1.6))]
    speakers = Speakers(Limits())
    speakers.assign([*ours, *theirs])
    moved = speakers._moved([*ours, *theirs], [0, 0, 1, 1, 1], [])
    assert moved == [0, 0, 0, 1, 1]
    both = [*ours[:2], item(21, 24, 1, 0.1), *theirs]  # who speaks at the same time stays somebody else
    assert speakers._moved(both, [0, 0, 1, 1, 1], []) == [0, 0, 1, 1, 1]


def test_moves_leave_every_speaker_that_was_asked_for() -> None:
    cosines = np.full((10, 10), 0.39)
    cosines[:8, :8], cosines[8:, 8:] = 0.50, 0.45
    np.fill_diagonal(cosines, 1.0)
    vectors = np.linalg.cholesky(cosines)
    items = [
        Item(20.0 * place, 20.0 * place + 3, 0, 3.0, (vector / np.linalg.norm(vector)).astype(np.float32))
        for place, vector in enumerate(vectors)
    ]
    for limits in (Limits(2, 2), Limits(2), Limits(3, 3)):
        assert len(set(Speakers(limits).assign(items))) >= limits.least


def test_a_short_run_gets_the_speaker_next_to_it() -> None:
    items = [item(0, 5, 0, 0.0), item(30, 35, 1, 1.5), Item(5.2, 5.4, 0, 0.2, None), Item(35.2, 35.4, 1, 0.2, None)]
    assert Speakers(Limits()).assign(items) == [0, 1, 0, 1]
    assert Speakers(Limits()).assign([Item(0, 0.2, 0, 0.2, None)]) == [None]
