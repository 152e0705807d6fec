"""Copies are found whatever was done to them, and nothing else: made-up voices, and real ones where they are."""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from factories import tone
from voxtrait import audio
from voxtrait.audio.signals import Signal
from voxtrait.fingerprint import Fingerprint, Prints, fingerprint, near_duplicates
from voxtrait.fingerprint.search import NEIGHBOURS
from voxtrait.synthetic import cohort, speak

RATE = 48_000
Change = Callable[[Signal], tuple[Signal, int]]


def encoded(signal: Signal, rate: int, kind: str, **how: object) -> tuple[Signal, int]:
    data = io.BytesIO()
    soundfile.write(data, signal, rate, format=kind, **how)
    data.seek(0)
    return audio.load(data, None)


def noisy(signal: Signal, snr_db: float) -> Signal:
    noise = np.random.default_rng(1).standard_normal(signal.size).astype(np.float32)
    return signal + noise * np.sqrt(np.mean(signal**2)) * np.float32(10 ** (-snr_db / 20))


def silence(seconds: float) -> Signal:
    return np.zeros(round(seconds * RATE), np.float32)


CHANGES: dict[str, Change] = {
    "mp3": lambda signal: encoded(signal, RATE, "MP3", compression_level=0.9),
    "opus": lambda signal: encoded(signal, RATE, "OGG", subtype="OPUS"),
    "a telephone's rate": lambda signal: (audio.resample(signal, RATE, 8_000), 8_000),
    "an odd rate": lambda signal: (audio.resample(signal, RATE, 22_050), 22_050),
    "softer": lambda signal: (signal * np.float32(0.05), RATE),
    "stereo": lambda signal: (np.stack([signal, signal]), RATE),
    "0.31 s off the start": lambda signal: (signal[round(0.31 * RATE) :], RATE),
    "1 s off the start and 0.5 off the end": lambda signal: (signal[RATE : -RATE // 2], RATE),
    "padded": lambda signal: (np.concatenate([silence(0.83), signal, silence(1)]), RATE),
    "noise at 20 dB": lambda signal: (noisy(signal, 20), RATE),
    "a click at the start": lambda signal: (np.concatenate([np.ones(20, np.float32), signal]), RATE),
    "all of it": lambda signal: encoded(noisy(audio.resample(signal[RATE // 3 :], RATE, 8_000), 25), 8_000, "MP3"),
}


@pytest.fixture(scope="module")
def voices() -> list[Signal]:
    """Eight voices, 5 s each, half of them saying the same thing."""
    return [speak(voice, 5.0, seed // 2, RATE) for seed, voice in enumerate(cohort(8, seed=3))]


def gathered(*taken: Fingerprint) -> Prints:
    prints = Prints()
    for one in taken:
        prints.add(one)
    return prints


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_found_and_nobody_else(voices: list[Signal], change: str) -> None:
    prints = gathered(*(fingerprint(voice, RATE) for voice in voices))
    for voice in voices:
        prints.add(fingerprint(*CHANGES[change](voice)))
    assert [pair[:2] for pair in near_duplicates(prints)] == [(at, at + 8) for at in range(8)]


def test_where_the_copy_begins_is_told(voices: list[Signal]) -> None:
    (pair,) = near_duplicates(gathered(fingerprint(voices[0], RATE), fingerprint(voices[0][RATE:], RATE)))
    assert pair.later_s == pytest.approx(1.0, abs=0.035)
    assert pair.errors < 0.1
    assert 3.0 < pair.shared_s <= 4.0
    (turned,) = near_duplicates(gathered(fingerprint(voices[0][RATE:], RATE), fingerprint(voices[0], RATE)))
    assert turned.later_s == pytest.approx(-1.0, abs=0.035)


def test_a_voice_that_says_other_things_is_no_copy_of_itself() -> None:
    voice = cohort(1, seed=5)[0]
    said = [fingerprint(speak(voice, 5.0, seed, 16_000), 16_000) for seed in range(20)]
    assert near_duplicates(gathered(*said)) == []


def test_the_same_words_at_another_pace_are_no_copy() -> None:
    voice = cohort(1, seed=5)[0]
    paces = [dataclasses.replace(voice, syllables_per_s=voice.syllables_per_s * pace) for pace in (1.0, 1.15, 1.3)]
    said = [fingerprint(speak(paced, 5.0, 7, 16_000), 16_000) for paced in paces]
    assert near_duplicates(gathered(*said)) == []


@pytest.mark.parametrize("longest", [0, 10, 511, 512, 2_000, 6_000])
def test_what_is_too_short_has_a_fingerprint_like_no_other(longest: int) -> None:
    short = [fingerprint(tone(1.0, 200.0, 8_000)[:longest], 8_000) for _ in range(2)]
    assert short[0].keys.size == 0
    assert near_duplicates(gathered(*short)) == []


def test_silence_hum_and_tones_are_like_nothing() -> None:
    at = np.arange(5 * 16_000) / 16_000
    hums = [sum(0.1 / k * np.sin(2 * np.pi * hz * k * at) for k in range(1, 20)) for hz in (50, 60, 117)]
    noise = [1e-5 * np.random.default_rng(seed).standard_normal(at.size) for seed in range(2)]
    sounds = [np.zeros(at.size), np.zeros(at.size), *hums, tone(5.0), tone(5.0, 441.0), *noise]
    taken = [fingerprint(np.asarray(sound, np.float32), 16_000) for sound in sounds]
    assert [one.keys.size for one in taken] == [0] * len(taken)


def test_only_the_first_minute_is_looked_at(voices: list[Signal]) -> None:
    minute = np.concatenate([audio.resample(voice, RATE, 8_000) for voice in voices] * 2)[: 60 * 8_000]
    longer = np.concatenate([minute, np.zeros(8_000, np.float32)])
    for one, other in zip(fingerprint(minute, 8_000), fingerprint(longer, 8_000), strict=True):
        np.testing.assert_array_equal(one, other)
    assert fingerprint(minute, 8_000).words.size == 60 * 8_000 // 256 - 1


def test_an_excerpt_of_a_long_recording_is_found_and_a_common_jingle_is_not_enough(voices: list[Signal]) -> None:
    long = np.concatenate(voices)
    excerpt = long[12 * RATE : 17 * RATE]
    assert len(near_duplicates(gathered(fingerprint(long, RATE), fingerprint(excerpt, RATE)))) == 1
    begun = [np.concatenate([voices[0][: 2 * RATE], voice]) for voice in (voices[1], voices[4])]
    assert near_duplicates(gathered(*(fingerprint(signal, RATE) for signal in begun))) == []


def test_what_one_ends_with_and_the_other_begins_with_is_not_enough(voices: list[Signal]) -> None:
    bridge = voices[6][: 2 * RATE]
    ends = [np.concatenate([voices[0], bridge]), np.concatenate([bridge, voices[1]])]
    assert near_duplicates(gathered(*(fingerprint(signal, RATE) for signal in ends))) == []
    assert len(near_duplicates(gathered(fingerprint(ends[0], RATE), fingerprint(bridge, RATE)))) == 1


@pytest.mark.parametrize(("between", "found"), [(NEIGHBOURS - 1, True), (NEIGHBOURS, False)])
def test_a_key_that_all_share_costs_no_more_than_a_few_comparisons(
    voices: list[Signal], between: int, found: bool
) -> None:
    one = fingerprint(voices[0], RATE)
    rng = np.random.default_rng(0)
    others = [one._replace(words=rng.integers(1, 1 << 16, one.words.size, np.uint16)) for _ in range(between)]
    pairs = near_duplicates(gathered(one, *others, one))
    assert [pair[:2] for pair in pairs] == ([(0, between + 1)] if found else [])


def test_a_recording_that_is_there_very_often_is_one_group(voices: list[Signal]) -> None:
    n = 3 * NEIGHBOURS
    rng = np.random.default_rng(0)
    copies = [voices[0] * np.float32(level) for level in rng.uniform(0.1, 1.0, n)]
    pairs = near_duplicates(gathered(*(fingerprint(copy, RATE) for copy in copies)))
    reached = {0}
    for pair in pairs:  # sorted by the first: one pass is enough
        if pair.first in reached:
            reached.add(pair.second)
    assert reached == set(range(n))
    assert len(pairs) < n * (n - 1) / 2


def test_some_may_be_left_out(voices: list[Signal]) -> None:
    prints = gathered(*[fingerprint(voices[0], RATE)] * 3)
    among = np.array([True, False, True])
    assert [pair[:2] for pair in near_duplicates(prints, among=among)] == [(0, 2)]


def test_real_speech_is_found_and_not_confused(speech_clips: list[tuple[Path, np.ndarray]]) -> None:
    signals = [signal for _, signal in speech_clips]
    prints = gathered(*(fingerprint(signal, 16_000) for signal in signals))
    assert near_duplicates(prints) == []
    for signal in signals:
        prints.add(fingerprint(*encoded(audio.resample(signal[3_000:], 16_000, 8_000), 8_000, "MP3")))
    pairs = [pair[:2] for pair in near_duplicates(prints)]
    assert all(second == first + len(signals) for first, second in pairs)
    assert len(pairs) >= 0.95 * len(signals)
