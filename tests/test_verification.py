"""The arithmetic of benchmarks/verification.py: which pairs there are, what they weigh, and the bootstrap."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from voxtrait.evaluate.metrics import equal_error_rate


@pytest.fixture(scope="module")
def pairs() -> ModuleType:
    # by its path: benchmarks/ has modules with the names of others here, such as hostile
    file = Path(__file__).resolve().parents[1] / "benchmarks" / "pairs.py"
    spec = importlib.util.spec_from_file_location("pairs", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SPEAKERS = np.array([0, 0, 0, 1, 1, 2, 2])
SCORES = np.arange(49, dtype=np.float32).reshape(7, 7)  # row × 7 + column: a score says which pair it is


def of(first: int, second: int) -> float:
    return 7.0 * first + second


def test_same_speaker_pairs_weigh_one_for_each_speaker(pairs: ModuleType) -> None:
    same = pairs.same_speaker(SCORES, SPEAKERS)
    assert same.scores.tolist() == [of(0, 1), of(0, 2), of(1, 2), of(3, 4), of(5, 6)]
    assert same.first.tolist() == same.second.tolist() == [0, 0, 0, 1, 2]
    assert same.weights == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1, 1])


def test_different_speaker_pairs_weigh_one_for_each_pair_of_speakers(pairs: ModuleType) -> None:
    other = pairs.different_speakers(SCORES, SPEAKERS)
    assert len(other.scores) == 3 * 2 + 3 * 2 + 2 * 2
    assert {of(0, 3), of(2, 6), of(4, 5)} <= set(other.scores.tolist())
    for first, second, count in ((0, 1, 6), (0, 2, 6), (1, 2, 4)):
        weights = other.weights[(other.first == first) & (other.second == second)]
        assert weights == pytest.approx([1 / count] * count)


def test_different_speaker_pairs_within_groups(pairs: ModuleType) -> None:
    groups = np.array([4, 4, 9, 4, -1, 9, -1])  # a negative group has no pairs, not even with itself
    other = pairs.different_speakers(SCORES, SPEAKERS, groups)
    assert other.scores.tolist() == [of(0, 3), of(1, 3), of(2, 5)]
    assert other.weights == pytest.approx([1 / 2, 1 / 2, 1])
    assert not len(pairs.different_speakers(SCORES, SPEAKERS, np.full(7, -1)).scores)


def test_speakers_in_any_order_are_the_same_pairs(pairs: ModuleType) -> None:
    mixed = np.array([1, 0, 1, 0])
    other = pairs.different_speakers(np.zeros((4, 4), np.float32), mixed)
    assert other.first.tolist() == [0] * 4 and other.second.tolist() == [1] * 4
    assert other.weights == pytest.approx([1 / 4] * 4)


def test_cosines_of_any_width_and_length(pairs: ModuleType) -> None:
    for width in (2, 192, 512):
        vectors = np.zeros((3, width))
        vectors[0, 0], vectors[1, 1], vectors[2, :2] = 5.0, 0.1, 1.0
        half = 0.5**0.5
        found = pairs.cosines(vectors)
        assert found.dtype == np.float32
        assert found == pytest.approx(np.array([[1, 0, half], [0, 1, half], [half, half, 1]]), abs=1e-6)


def test_a_draw_has_as_many_speakers_as_there_are(pairs: ModuleType) -> None:
    drawn = pairs.draw(50, 200)
    assert drawn.shape == (200, 50) and (drawn.sum(axis=1) == 50).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(50), abs=0.35)
    assert (drawn == pairs.draw(50, 200)).all() and (drawn != pairs.draw(50, 200, seed=1)).any()


def voices(speakers: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of 2 to 6 clips a speaker, and whose they are."""
    rng = np.random.default_rng(seed)
    of_clip = np.repeat(np.arange(speakers), rng.integers(2, 7, speakers))
    return rng.normal(size=(speakers, 8))[of_clip] + rng.normal(size=(len(of_clip), 8)), of_clip


def test_the_interval_is_that_of_pairs_weighed_by_draws(pairs: ModuleType) -> None:
    embeddings, speakers = voices(40)
    scores = pairs.cosines(embeddings)
    same, other = pairs.same_speaker(scores, speakers), pairs.different_speakers(scores, speakers)
    drawn = pairs.draw(40, 200)
    rates = [
        equal_error_rate(
            same.scores,
            other.scores,
            same.weights * times[same.first],
            other.weights * times[other.first] * times[other.second],
        ).rate
        for times in drawn
    ]
    low, high = pairs.interval(same, other, drawn)
    assert (low, high) == pytest.approx(np.quantile(rates, [0.025, 0.975]), abs=0.002)
    assert low < equal_error_rate(same.scores, other.scores, same.weights, other.weights).rate < high
    assert pairs.interval(same, other, drawn, bins=50) == pytest.approx((low, high), abs=0.01)


def test_the_interval_is_narrower_with_more_speakers(pairs: ModuleType) -> None:
    widths = []
    for count in (20, 160):
        embeddings, speakers = voices(count)
        scores = pairs.cosines(embeddings)
        same, other = pairs.same_speaker(scores, speakers), pairs.different_speakers(scores, speakers)
        low, high = pairs.interval(same, other, pairs.draw(count, 300))
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(8**0.5, rel=0.4)


def test_draws_without_pairs_of_different_speakers_do_not_count(pairs: ModuleType) -> None:
    # a draw of one speaker twice has no such pairs; with both, the scores are separated
    scores = np.array([[1, 0.9, 0, 0], [0.9, 1, 0, 0], [0, 0, 1, 0.9], [0, 0, 0.9, 1]], np.float32)
    speakers = np.array([0, 0, 1, 1])
    same, other = pairs.same_speaker(scores, speakers), pairs.different_speakers(scores, speakers)
    assert pairs.interval(same, other, np.array([[2, 0], [1, 1], [0, 2]])) == (0.0, 0.0)
