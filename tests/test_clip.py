"""Listening block by block: what is known of a clip, in memory that does not grow with its length."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

import models
from voxtrait import speech
from voxtrait.recognize import Clip, clip


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """Nine seconds: two voices, with noise before, between and after."""
    hiss = np.random.default_rng(0).normal(0, 1e-3, 48_000).astype(np.float32)
    first, second = models.voice(2.3)[:, 0], models.voice(2.7, seed=3)[:, 0]
    return np.concatenate([hiss[:16_000], first, hiss[:32_000], second, hiss[:16_000]])


def pieces(signal: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (signal[at : at + size] for at in range(0, len(signal), size))


@pytest.mark.parametrize("size", [511, 512, 10_000, 16_001, 10**9])
def test_how_a_signal_is_cut_changes_nothing(sound: np.ndarray, size: int) -> None:
    whole, cut = Clip(), Clip()
    (expected,) = whole.stretches([sound])
    (found,) = cut.stretches(pieces(sound, size))
    np.testing.assert_array_equal(found, expected)
    heard = speech.find(sound)
    np.testing.assert_array_equal(found, heard.surrounded)
    # what surrounds speech does not count as speech
    assert len(found) > len(heard.speech) == round(16_000 * cut.speech_s)
    assert (cut.duration_s, cut.speech_s, cut.refusal) == (whole.duration_s, whole.speech_s, None)
    assert cut.duration_s == len(sound) / 16_000
    assert cut.speech_s == pytest.approx(speech.speech_seconds(sound), abs=1e-9)
    assert cut.snr_db == pytest.approx(whole.snr_db, abs=1e-9)


def test_a_long_clip_comes_in_stretches_of_a_minute(sound: np.ndarray) -> None:
    long = np.tile(sound, 40)  # six minutes
    listening = Clip()
    found = list(listening.stretches(clip.cut(long)))
    heard = speech.find(long)
    assert [len(one) for one in found[:-1]] == [60 * 16_000] * (len(found) - 1)
    assert 60 * 16_000 < len(found[-1]) <= 120 * 16_000
    np.testing.assert_array_equal(np.concatenate(found), heard.surrounded)
    assert len(heard.surrounded) / 16_000 > 1.1 * listening.speech_s
    assert listening.speech_s == len(heard.speech) / 16_000 > 180


def test_memory_does_not_grow_with_length(sound: np.ndarray) -> None:
    block = np.tile(sound, 6)[: 50 * 16_000]
    for _ in Clip().stretches([block]):  # loads the network
        pass
    tracemalloc.start()
    found = sum(len(one) for one in Clip().stretches(block for _ in range(25)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found > 10 * 60 * 16_000
    assert peak < 40e6 == 25 * block.nbytes / 2  # half of what the signal takes


def test_speech_is_compared_with_the_rest(sound: np.ndarray) -> None:
    listening = Clip()
    list(listening.stretches([sound]))
    power = (sound[: len(sound) // 512 * 512].reshape(-1, 512).astype(np.float64) ** 2).mean(axis=1)
    frames = speech.speech_frames(sound)
    assert listening.snr_db == pytest.approx(10 * np.log10(power[frames].mean() / power[~frames].mean()), abs=1e-6)
    assert listening.snr_db > 15  # the voices are at -35 dBFS or more, most of the rest is at -60


def test_louder_noise_is_told_in_decibels() -> None:
    voice = speech.spoken(models.voice(3)[:, 0])
    noise = np.random.default_rng(0).normal(0, 1, 480_000).astype(np.float32)
    levels = []
    for scale in (1e-2, 1e-3):
        listening = Clip()
        list(listening.stretches([np.concatenate([voice, scale * noise])]))
        levels.append(listening.snr_db)
    assert levels[0] is not None and levels[1] is not None
    assert levels[1] - levels[0] == pytest.approx(20, abs=1)


def test_silence_made_by_a_machine_is_a_level_too() -> None:
    voice = speech.spoken(models.voice(3)[:, 0])
    listening = Clip()
    list(listening.stretches([np.concatenate([voice, np.zeros(160_000, np.float32)])]))
    assert listening.snr_db is not None and 40 < listening.snr_db < 100


def test_with_nothing_to_compare_there_is_no_comparison() -> None:
    for signal in (speech.spoken(models.voice(3)[:, 0]), np.zeros(32_000, np.float32)):
        listening = Clip()
        list(listening.stretches([signal]))
        assert listening.snr_db is None


def test_what_stands_for_a_clip_in_a_picture(sound: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_array_equal(Clip().beginning(pieces(sound, 10_000)), sound)
    assert Clip().beginning([]).shape == (0,)
    monkeypatch.setattr(clip, "_STRETCH", 48_000)
    np.testing.assert_array_equal(Clip().beginning(pieces(sound[:48_000], 10_000)), sound[:48_000])
    for size in (10_000, 10**9):
        np.testing.assert_array_equal(Clip().beginning(pieces(sound, size)), speech.spoken(sound)[:48_000])


@pytest.mark.parametrize(
    ("seconds", "status"), [(0.0, "too_short"), (0.69, "too_short"), (0.71, "no_speech"), (5.0, "no_speech")]
)
def test_without_speech_there_is_no_answer(seconds: float, status: str) -> None:
    listening = Clip()
    assert list(listening.stretches([np.zeros(round(seconds * 16_000), np.float32)])) == []
    assert listening.refusal is not None and listening.refusal[0] == status
