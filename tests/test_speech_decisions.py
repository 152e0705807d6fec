"""From probabilities to decisions: what is speech, what surrounds it, and where a signal is cut into parts."""

import numpy as np
import pytest

from voxtrait import speech
from voxtrait.speech import detector, network, quick


def shares(*runs: tuple[int, float]) -> np.ndarray:
    """Probabilities from (how many frames, how probable)."""
    return np.concatenate([np.full(count, share, np.float32) for count, share in runs])


def numbered(values: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A signal whose frames have these probabilities of speech, and their own number in their second sample."""
    signal = np.repeat(values.astype(np.float32), 512)
    signal[1::512] = np.arange(len(values)) / 4096  # exact in 32 bits

    def told(signal: np.ndarray, state: network.State, gain: float) -> tuple[np.ndarray, network.State]:
        return signal.reshape(-1, 512)[:, 0], state

    monkeypatch.setattr(network, "probabilities", told)
    monkeypatch.setattr(quick, "is_clear", lambda shares: False)
    return signal


def numbers_of(samples: np.ndarray) -> list[int]:
    """Numbers of the frames of :func:`numbered` that are in some samples."""
    return (4096 * samples[1::512]).astype(int).tolist()


def test_a_stretch_reaches_as_far_as_it_is_a_little_probable_and_a_margin() -> None:
    frames = detector.decide(shares((10, 0.1), (4, 0.2), (7, 0.95), (5, 0.3), (10, 0.1)))
    assert np.flatnonzero(frames).tolist() == list(range(10 - 3, 26 + 3))


@pytest.mark.parametrize(
    ("sure", "share", "found"), [(6, 0.95, 0), (7, 0.95, 13), (30, 0.85, 0), (7, 0.9, 13), (20, 0.4, 0)]
)
def test_what_counts_needs_evidence(sure: int, share: float, found: int) -> None:
    assert detector.decide(shares((10, 0.0), (sure, share), (10, 0.0))).sum() == found


@pytest.mark.parametrize(("gap", "found"), [(9, 4 + 9 + 4 + 6), (10, 0)])
def test_a_short_gap_belongs_to_the_speech_around_it(gap: int, found: int) -> None:
    values = shares((10, 0.0), (4, 0.95), (gap, 0.0), (4, 0.95), (10, 0.0))
    assert detector.decide(values).sum() == found


def test_margins_end_with_the_signal() -> None:
    assert detector.decide(shares((8, 0.99))).tolist() == [True] * 8
    assert detector.decide([]).shape == (0,)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([(20, 21)], range(14, 27)),
        ([(20, 30)], range(14, 36)),
        ([(0, 1)], range(7)),
        ([(3, 5)], range(11)),
        ([(39, 40)], range(33, 40)),
        ([(30, 36)], range(24, 40)),
        ([(0, 40)], range(40)),
        ([(10, 12), (24, 25)], range(4, 31)),  # 12 frames between them belong to one or the other
        ([(10, 12), (25, 26)], [*range(4, 18), *range(19, 32)]),  # and of 13 one does not
        ([], []),
    ],
)
def test_six_frames_are_added_to_both_sides(runs: list[tuple[int, int]], expected: range | list[int]) -> None:
    frames = np.zeros(40, bool)
    for start, stop in runs:
        frames[start:stop] = True
    before = frames.copy()
    assert np.flatnonzero(detector.widened(frames)).tolist() == list(expected)
    np.testing.assert_array_equal(frames, before)
    assert detector.widened(np.zeros(0, bool)).shape == (0,)


@pytest.mark.parametrize(
    ("runs", "spoken", "surrounded"),
    [
        (((30, 0.0), (20, 0.95), (50, 0.0)), range(27, 53), range(21, 59)),
        (((9, 0.0), (20, 0.95), (9, 0.0)), range(6, 32), range(38)),  # just all of the signal
        (((10, 0.0), (20, 0.95), (10, 0.0)), range(7, 33), range(1, 39)),
        (((2, 0.0), (20, 0.95), (50, 0.0)), range(25), range(31)),
        (((50, 0.0), (20, 0.95), (2, 0.0)), range(47, 72), range(41, 72)),
        (((30, 0.0), (6, 0.95), (30, 0.0)), [], []),  # no speech, and so nothing around it
        # two words, and 10, 18 or 19 frames of pause between them, of which 6 count as speech
        (((20, 0.0), (8, 0.95), (10, 0.0), (8, 0.95), (20, 0.0)), [*range(17, 31), *range(35, 49)], range(11, 55)),
        (((20, 0.0), (8, 0.95), (18, 0.0), (8, 0.95), (20, 0.0)), [*range(17, 31), *range(43, 57)], range(11, 63)),
        (
            ((20, 0.0), (8, 0.95), (19, 0.0), (8, 0.95), (20, 0.0)),
            [*range(17, 31), *range(44, 58)],
            [*range(11, 37), *range(38, 64)],
        ),
    ],
)
def test_speech_and_what_surrounds_it(
    runs: tuple[tuple[int, float], ...], spoken: list[int], surrounded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    signal = numbered(shares(*runs), monkeypatch)
    heard = speech.find(np.concatenate([signal, np.ones(500, np.float32)]))  # and less than a frame
    assert np.flatnonzero(heard.frames).tolist() == numbers_of(heard.speech) == list(spoken)
    assert numbers_of(heard.surrounded) == list(surrounded)
    assert len(heard.surrounded) == 512 * len(surrounded) and heard.surrounded.dtype == np.float32


@pytest.mark.parametrize("gap", range(10, 45))
def test_what_surrounds_speech_does_not_depend_on_where_parts_end(gap: int, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shares(*[(20, 0.95), (gap, 0.0)] * 100)[:1500]  # a window, and half of another
    signal = numbered(words, monkeypatch)
    parts = list(speech.listen([signal]))
    assert len(parts) == (2 if gap >= 19 else 1)  # a shorter pause is no place to end a part
    frames = detector.decide(words)
    assert numbers_of(np.concatenate([part.speech for part in parts])) == np.flatnonzero(frames).tolist()
    surrounded = np.concatenate([part.surrounded for part in parts])
    assert numbers_of(surrounded) == np.flatnonzero(detector.widened(frames)).tolist()


@pytest.mark.parametrize("seed", range(6))
def test_a_signal_is_decided_as_if_all_of_it_were_known(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 18, 1000)  # five minutes of stretches and pauses of all lengths
    known = np.repeat(rng.choice([0.0, 0.1, 0.3, 0.6, 0.95], 1000), lengths).astype(np.float32)
    parts = list(speech.listen(np.array_split(numbered(known, monkeypatch), 50)))
    assert len(parts) > 4
    frames = np.concatenate([part.frames for part in parts])
    assert np.array_equal(frames, detector.decide(known))
    surrounded = numbers_of(np.concatenate([part.surrounded for part in parts]))
    assert surrounded == np.flatnonzero(detector.widened(frames)).tolist()
