"""The pitch contour against Praat's, frame by frame, on made-up voices."""

import numpy as np
import pytest

from voxtrait.features.pitch import HIGHEST_HZ, HOP, LOWEST_HZ, WINDOW, pitch_contour
from voxtrait.synthetic import draw_voice, speak

RATE = 16_000


def praats(signal: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Praat's pitch at these times, Hz; NaN where unvoiced."""
    parselmouth = pytest.importorskip("parselmouth")
    sound = parselmouth.Sound(signal.astype(np.float64), sampling_frequency=RATE)
    found = sound.to_pitch_ac(time_step=HOP / RATE, pitch_floor=LOWEST_HZ, pitch_ceiling=HIGHEST_HZ)
    return np.array([found.get_value_at_time(at) for at in times])


@pytest.mark.parametrize(("gender", "years"), [("male", 35), ("male", 70), ("female", 25), ("female", 60)])
def test_it_is_praats_pitch(gender: str, years: int) -> None:
    signal = 0.2 * speak(draw_voice(gender, years, seed=3), 8.0, seed=4)
    ours = pitch_contour(signal)
    theirs = praats(signal, (np.arange(len(ours)) * HOP + WINDOW / 2) / RATE)
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    assert both.mean() > 0.4
    assert np.mean(np.isnan(ours) == np.isnan(theirs)) > 0.9
    deviation = np.abs(12 * np.log2(ours[both] / theirs[both]))  # semitones
    assert np.median(deviation) < 0.01
    assert np.mean(deviation > 6) < 0.005  # octave errors


def test_noise_and_what_is_too_short_have_none() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert np.isnan(pitch_contour(noise)).mean() > 0.95
    assert pitch_contour(noise[: WINDOW - 1]).shape == (0,)
