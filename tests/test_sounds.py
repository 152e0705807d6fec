"""Sounds that nobody speaks: seeded, of the length and level that is promised, and each what its name says."""

import numpy as np
import pytest

from voxtrait.errors import OptionError
from voxtrait.synthetic import music, sounds


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_every_kind_has_a_name_of_its_own() -> None:
    own = ["silence", "dither", "tone", "sweep", "dtmf", "beeps", "siren", "ring", "clicks", "knocks", "birds"]
    assert sorted(sounds.KINDS) == sorted([*own, *sounds.NOISES, *music.PIECES])
    assert len(set(sounds.KINDS)) == len(own) + len(sounds.NOISES) + len(music.PIECES)


@pytest.mark.parametrize("kind", sounds.KINDS)
def test_a_seed_draws_a_sound_and_another_seed_another(kind: str) -> None:
    first, again, other = (sounds.sound(kind, 1.3, rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (20_800,)
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert kind == "silence" or not np.array_equal(first, other)
    assert np.isfinite(first).all() and np.abs(first).max() <= 0.99


@pytest.mark.parametrize("kind", sounds.NOISES)
def test_noises_have_one_level_unless_they_are_spiky(kind: str) -> None:
    signal = sounds.noise(kind, 3.0, rng())
    level = 10 * np.log10(np.mean(np.square(signal, dtype=np.float64)))
    assert level == pytest.approx(-20, abs=0.01) or np.abs(signal).max() == pytest.approx(0.99, abs=1e-6)
    assert np.array_equal(signal, sounds.sound(kind, 3.0, rng()))


@pytest.mark.parametrize(("kind", "per_octave_db"), [("white", 3), ("pink", 0), ("brown", -3), ("blue", 6)])
def test_the_colours_of_noise(kind: str, per_octave_db: float) -> None:
    power = np.abs(np.fft.rfft(sounds.noise(kind, 20.0, rng()).astype(np.float64))) ** 2
    hz = np.fft.rfftfreq(320_000, 1 / 16_000)
    octaves = [10 * np.log10(power[(hz >= low) & (hz < 2 * low)].sum()) for low in 62.5 * 2.0 ** np.arange(6)]
    np.testing.assert_allclose(np.diff(octaves), per_octave_db, atol=1.0)


def test_a_dialled_digit_is_two_tones() -> None:
    signal = sounds.sound("dtmf", 1.0, rng())
    spectrum = np.abs(np.fft.rfft(signal[:960] * np.hanning(960), 16_000))
    peaks = [hz for hz in range(600, 1600) if spectrum[hz] == spectrum[max(0, hz - 40) : hz + 41].max()]
    loudest = sorted(sorted(peaks, key=lambda hz: -spectrum[hz])[:2])
    assert min(abs(loudest[0] - hz) for hz in (697, 770, 852, 941)) <= 8
    assert min(abs(loudest[1] - hz) for hz in (1209, 1336, 1477)) <= 8


def test_hum_is_the_mains() -> None:
    spectrum = np.abs(np.fft.rfft(sounds.sound("hum", 2.0, rng()).astype(np.float64)))
    loud = np.flatnonzero(spectrum > 0.1 * spectrum.max()) / 2
    assert (loud % 50 == 0).all() or (loud % 60 == 0).all()


@pytest.mark.parametrize("name", ["plucked", "organ", "piano", "chip", "flute", "lead", "theremin", "strings"])
@pytest.mark.parametrize("hz", [110.0, 440.0])
def test_instruments_play_the_note_that_is_written(name: str, hz: float) -> None:
    tone = music.INSTRUMENTS[name](np.full(16_000, hz), 1.0, rng())
    assert tone.shape == (16_000,)
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(16_000), 64_000))
    # harmonics, up to vibrato and the whole samples of a string's delay; an organ's lowest pipe is an octave down
    loud = np.flatnonzero(spectrum > 0.5 * spectrum.max()) / 4 / (hz / 2)
    assert (np.abs(loud - np.round(loud)) <= 0.04 * loud).all()
    assert (loud > 0.9).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sounds.sound("trombone", 1.0, rng()), "Unknown sound 'trombone'. Expected one of silence, dither"),
        (lambda: sounds.noise("chord", 1.0, rng()), "Unknown noise 'chord'. Expected one of white, pink"),
        (lambda: sounds.noise("white", 0.05, rng()), "Got a sound of 0.05 s. Expected 0.1 to 600 s."),
        (lambda: sounds.sound("tone", 601, rng()), "Got a sound of 601 s"),
    ],
)
def test_what_is_refused(call, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        call()
