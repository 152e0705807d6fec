"""Compensation of speaker embeddings: the same voice is similar in every condition, and two voices stay apart."""

import numpy as np
import pytest
import scipy.signal

import voxtrait
from voxtrait.recognize import Recognizer
from voxtrait.synthetic import draw_voice, speak
from voxtrait.timelines import compensation
from voxtrait.timelines.compensation import compensated


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return voxtrait.load()


def telephone(signal: np.ndarray) -> np.ndarray:
    sos = scipy.signal.butter(4, [300, 3400], "bandpass", fs=16_000, output="sos")
    return scipy.signal.sosfilt(sos, signal).astype(np.float32)


def test_the_file_has_a_mean_and_orthogonal_directions() -> None:
    found = np.load(compensation.FILE)
    assert found.dtype == np.float16 and found.shape == (3, 192)
    mean, directions = found[0].astype(float), found[1:].astype(float)
    assert 0.1 < np.linalg.norm(mean) < 0.5  # the mean of many unit vectors
    assert np.allclose(directions @ directions.T, np.eye(2), atol=2e-3)
    assert compensation.FILE.stat().st_size < 10_000


def test_a_shift_along_a_direction_is_removed() -> None:
    vector = np.random.default_rng(0).normal(size=192)
    vector /= np.linalg.norm(vector)
    mean, directions = (part.astype(float) for part in np.split(np.load(compensation.FILE), [1]))
    found = compensated(vector.astype(np.float32))
    assert found.dtype == np.float32 and np.linalg.norm(found) == pytest.approx(1, abs=1e-6)
    assert np.abs(directions @ found).max() < 2e-3
    shifted = vector + 0.4 * directions[0]
    assert shifted @ vector / np.linalg.norm(shifted) < 0.95
    assert compensated(shifted.astype(np.float32)) @ found > 0.9999
    assert np.isfinite(compensated(mean[0].astype(np.float32))).all()


def test_embeddings_of_other_encoders_are_left_alone() -> None:
    vector = np.array([0.6, 0.8], np.float32)
    assert compensated(vector) is vector


def test_two_voices_are_less_alike_and_one_in_a_telephone_is_not(model: Recognizer) -> None:
    voices = [speak(draw_voice(gender, 30.0, seed=5), 5.0, seed=1) for gender in ("female", "male")]
    plain = [model.embed(voice, 16_000) for voice in voices]
    heard = [model.embed(telephone(voice), 16_000) for voice in voices]
    for one, other in (plain, heard):
        assert compensated(one) @ compensated(other) < one @ other - 0.02
    for one, other in zip(plain, heard, strict=True):
        assert compensated(one) @ compensated(other) > one @ other - 0.02
