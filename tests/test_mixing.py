"""Channels that would take the voice away, and offsets, change no level and no answer."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import voxtrait
from voxtrait import audio, synthetic
from voxtrait.audio.mixing import Mixer, to_mono
from voxtrait.audio.offset import FRAME, Offset, steady

RATE = 16_000


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    (one,) = synthetic.cohort(1, 1)
    return synthetic.speak(one, 4.0, seed=3)


@pytest.fixture(scope="module")
def model() -> voxtrait.Recognizer:
    return voxtrait.load()


def noise(like: np.ndarray, level: float) -> np.ndarray:
    out: np.ndarray = level * np.std(like) * np.random.default_rng(0).standard_normal(len(like)).astype(np.float32)
    return out


def test_channels_to_one(voice: np.ndarray) -> None:
    hum = 3 * np.std(voice) * np.sin(np.arange(len(voice)) * 2 * np.pi * 50 / RATE).astype(np.float32)
    half = len(voice) // 2
    first, second = voice.copy(), voice.copy()
    first[half:] = 0
    second[:half] = 0
    for channels, expected in (
        ([voice, voice], voice),
        ([voice, -voice], voice),
        ([-voice, voice], -voice),
        ([voice, -0.8 * voice], 0.9 * voice),
        ([voice, -voice, voice], voice),
        ([voice, 0 * voice], voice / 2),
        ([voice, noise(voice, 1.0)], voice),
        ([hum, voice], voice),
        ([first, second], voice / 2),  # two people, one a channel: nobody is left out
    ):
        mixed = to_mono(np.stack(channels).astype(np.float32))
        np.testing.assert_allclose(mixed, expected, atol=1e-4)


def test_little_or_nothing_is_mixed() -> None:
    mixer = Mixer()
    for length in (0, 1, 2, 0, 479, 481):
        assert len(mixer.mix(np.ones((2, length), np.float32))) == length


def test_music_in_stereo_is_averaged_as_it_is() -> None:
    rng = np.random.default_rng(1)
    middle, side = rng.standard_normal((2, RATE)).astype(np.float32)
    stereo = np.stack([middle + 0.7 * side, middle - 0.7 * side])
    np.testing.assert_allclose(to_mono(stereo), middle, atol=1e-5)


def test_blocks_are_mixed_as_the_whole(voice: np.ndarray) -> None:
    stereo = np.stack([voice, -0.9 * voice])
    mixer = Mixer()
    parts = [mixer.mix(part) for part in np.array_split(stereo, 37, axis=1)]
    np.testing.assert_allclose(np.concatenate(parts), to_mono(stereo), atol=1e-6)


def offsets(voice: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    times = np.arange(len(voice)) / RATE
    yield "half of full scale", voice / 2 + 0.5
    yield "nine tenths", voice / 10 + 0.9
    yield "beyond full scale", voice + 5
    yield "negative", voice / 2 - 0.5
    yield "that drifts", voice / 2 + 0.4 * times / times[-1]
    yield "that begins later", voice / 2 + 0.4 * (times > 1)
    yield "below what is heard", voice / 2 + 0.3 * np.sin(2 * np.pi * 0.5 * times)


def test_an_offset_does_not_change_the_answer(voice: np.ndarray, model: voxtrait.Recognizer) -> None:
    plain = model.predict(voice, RATE)
    assert plain.p_female is not None and plain.age_years is not None
    for name, signal in offsets(voice):
        found = model.predict(signal.astype(np.float32), RATE)
        assert found.gender == plain.gender, name
        assert found.p_female == pytest.approx(plain.p_female, abs=0.1), name
        assert found.age_years == pytest.approx(plain.age_years, abs=4), name


def test_a_signal_without_an_offset_is_not_touched(voice: np.ndarray) -> None:
    np.testing.assert_array_equal(np.concatenate(list(steady([voice]))), voice)
    quiet = 1e-4 * np.ones(5 * FRAME, np.float32)
    np.testing.assert_array_equal(np.concatenate(list(steady([quiet]))), quiet)


@pytest.mark.parametrize("length", [1, 7, FRAME - 1, FRAME, 3 * FRAME + 5, 40_000])
def test_how_the_blocks_are_cut_does_not_matter(voice: np.ndarray, length: int) -> None:
    signal = (voice / 2 + 0.3).astype(np.float32)[: 5000 if length == 1 else None]
    whole = np.concatenate(list(steady([signal])))
    assert len(whole) == len(signal)
    parts = [signal[at : at + length] for at in range(0, len(signal), length)]
    cut = np.concatenate(list(steady(parts)))
    np.testing.assert_allclose(cut, whole, atol=1e-6)
    assert (cut != whole).mean() < 1e-3  # sums of 64 bits in another order hardly ever change a float of 32 bits
    short = np.concatenate(list(steady([signal[:100]])))
    assert len(short) == 100 and abs(float(short.mean())) < 1e-6


def test_every_channel_has_an_offset_of_its_own(voice: np.ndarray) -> None:
    offset = Offset()
    stereo = np.stack([voice / 2 + 0.4, voice / 2 - 0.2]).astype(np.float32)
    out = offset.feed(stereo)
    assert out.shape == stereo.shape
    assert np.abs(out.mean(axis=1)).max() < 0.01


def test_files_and_pipes_hear_an_inverted_channel(
    voice: np.ndarray, model: voxtrait.Recognizer, tmp_path: Path
) -> None:
    for name, samples in (("inverted.wav", np.stack([voice, -voice], 1)), ("mono.wav", voice)):
        soundfile.write(tmp_path / name, samples, RATE, subtype="FLOAT")
    one, other = (model.predict(tmp_path / name) for name in ("inverted.wav", "mono.wav"))
    assert (one.p_female, one.age_years) == (
        pytest.approx(other.p_female, abs=0.02),
        pytest.approx(other.age_years, abs=0.5),
    )
    blocks = audio.blocks(str(tmp_path / "inverted.wav"), None, mono=False)
    final = list(model.listen(blocks))[-1]
    assert final.so_far.p_female == pytest.approx(one.p_female, abs=1e-3)


def test_a_stereo_recording_of_whole_minutes_has_an_end(tmp_path: Path) -> None:
    """After the block that fills the minute comes one without samples."""
    soundfile.write(tmp_path / "minute.wav", np.zeros((60 * 8000, 2), np.float32), 8000)
    assert sum(len(block) for block, _ in audio.blocks(str(tmp_path / "minute.wav"))) == 60 * RATE
    assert Mixer().mix(np.zeros((2, 0), np.float32)).shape == (0,)
