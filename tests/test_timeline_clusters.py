"""Clusters of runs: which runs are the same speaker's, and how many speakers there are."""

import numpy as np

from voxtrait.recognize.merging import Limits, merge
from voxtrait.timelines.clusters import NOISE_S, SAME, Item, Speakers, reliabilities, similarities


def item(start: float, end: float, slot: int, angle: float) -> Item:
    return Item(start, end, slot, end - start, np.array([np.cos(angle), np.sin(angle)], np.float32))


def moved(speakers: Speakers, items: list[Item], labels: list[int]) -> list[int]:
    found = dict(enumerate(labels))
    speakers._move(items, found, [])
    return [found[place] for place in range(len(items))]


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
    assert moved(speakers, [*ours, *theirs], [0, 0, 1, 1, 1]) == [0, 0, 0, 1, 1]
    both = [*ours[:2], item(21, 24, 1, 0.1), *theirs]  # who speaks at the same time stays somebody else
    assert moved(speakers, both, [0, 0, 1, 1, 1]) == [0, 0, 1, 1, 1]


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


def test_less_similarity_is_expected_of_little_speech() -> None:
    long = [item(20.0 * place, 20.0 * place + 5, 0, 0.0) for place in range(4)]
    angle = float(np.arccos(0.3))
    assert Speakers(Limits()).assign([*long, item(100, 101, 0, angle)]) == [0, 0, 0, 0, 0]
    assert Speakers(Limits()).assign([*long, item(100, 105, 0, angle)]) == [0, 0, 0, 0, 1]
    for end, number in ((101, 0), (105, 1)):  # the same if the speaker is known from an earlier part
        later = Speakers(Limits())
        assert later.assign(long) == [0, 0, 0, 0]
        assert later.assign([item(100, end, 0, angle)]) == [number]


def test_one_run_is_less_evidence_of_a_new_speaker_than_two() -> None:
    ours = [item(20.0 * place, 20.0 * place + 5, 0, 0.0) for place in range(4)]
    theirs = [item(100 + 20.0 * place, 105 + 20.0 * place, 0, float(np.arccos(0.35))) for place in range(2)]
    assert Speakers(Limits()).assign([*ours, *theirs]) == [0, 0, 0, 0, 1, 1]
    assert Speakers(Limits()).assign([*ours, theirs[0]]) == [0, 0, 0, 0, 0]
    assert Speakers(Limits(2)).assign([*ours, theirs[0]]) == [0, 0, 0, 0, 1]
    assert Speakers(Limits(), lone=SAME).assign([*ours, item(100, 105, 0, float(np.arccos(0.3)))]) == [0, 0, 0, 0, 1]


def test_short_runs_of_a_new_voice_begin_a_speaker_together() -> None:
    ours = [item(20.0 * place, 20.0 * place + 5, 0, 0.0) for place in range(2)]
    theirs = [item(100 + 20.0 * place, 100.8 + 20.0 * place, 0, 1.5) for place in range(2)]
    assert Speakers(Limits()).assign([*ours, *theirs]) == [0, 0, 1, 1]
    assert Speakers(Limits()).assign([*ours, theirs[0]]) == [0, 0, 0]  # 0.8 s are too little


def test_a_speaker_without_runs_is_forgotten() -> None:
    speakers = Speakers(Limits())
    speakers.assign([item(0, 5, 0, 0.0), item(20, 25, 0, 1.5), item(40, 45, 0, 3.0)])
    labels = {0: 0, 1: 2}
    speakers._forget({0, 2}, labels)
    assert labels == {0: 0, 1: 1}
    assert speakers.assign([item(100, 105, 0, 3.0), item(120, 125, 0, 1.5)]) == [1, 2]


def test_reliabilities_rise_with_speech() -> None:
    assert reliabilities(np.array([NOISE_S, 1e9])).round(6).tolist() == [0.707107, 1.0]


def test_a_speaker_to_whom_too_little_is_left_is_dissolved() -> None:
    ours = [item(20.0 * place, 20.0 * place + 5, 0, 0.0) for place in range(3)]
    theirs = [item(100, 103, 0, 0.1), item(140, 140.6, 0, 1.5)]  # the first is ours, and the second too short
    speakers = Speakers(Limits())
    speakers.assign([item(0, 5, 0, 0.0), item(20, 25, 0, 1.5)])  # two known sums
    assert moved(speakers, [*ours, *theirs], [0, 0, 0, 1, 1]) == [0, 0, 0, 0, 0]
    asked = Speakers(Limits(2))
    asked.assign([item(0, 5, 0, 0.0), item(20, 25, 0, 1.5)])
    assert moved(asked, [*ours, *theirs], [0, 0, 0, 1, 1]) == [0, 0, 0, 0, 1]


def test_a_short_run_gets_the_speaker_next_to_it() -> None:
    items = [item(0, 5, 0, 0.0), item(30, 35, 1, 1.5), Item(5.2, 5.4, 0, 0.2, None), Item(35.2, 35.4, 1, 0.2, None)]
    assert Speakers(Limits()).assign(items) == [0, 1, 0, 1]
    assert Speakers(Limits()).assign([Item(0, 0.2, 0, 0.2, None)]) == [None]
