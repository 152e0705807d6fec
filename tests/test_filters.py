"""The filters of synthetic speech, which need NumPy only, equal SciPy's recursive filters."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from voxtrait.errors import OptionError
from voxtrait.synthetic import draw_voice, speak, synthesis
from voxtrait.synthetic.filters import Section, bell, filtered, high_pass, low_pass

RATE = 16_000


def noise(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n)


def sos(*sections: Section) -> np.ndarray:
    """SciPy's matrix of second-order sections."""
    return np.array([[*np.pad(b, (0, 3 - len(b))), *np.pad(a, (0, 3 - len(a)))] for b, a in sections])


# 20 to 4,681 samples of decay: one block, many blocks, and lengths around the edges of blocks
@pytest.mark.parametrize("n", [1, 7, 159, 160, 161, 1000, 16_000, 100_003])
@pytest.mark.parametrize("pole", [0.0, 0.1, 0.9, -0.9, 0.99])
def test_one_pole_equals_the_recursion(n: int, pole: float) -> None:
    signal = noise(n)
    expected = scipy.signal.lfilter([1.0 - pole], [1.0, -pole], signal)
    assert np.max(np.abs(filtered(signal, ([1.0 - pole], [1.0, -pole])) - expected)) < 1e-12


@pytest.mark.parametrize(("low", "high", "presence"), [(30, 7900, 0), (60, 3400, 6), (130, 4000, -6), (20, 7000, 12)])
def test_a_microphone_equals_the_recursion(low: float, high: float, presence: float) -> None:
    sections = high_pass(low, RATE), low_pass(high, RATE), bell(3000, presence, RATE)
    signal = noise(80_000)
    assert np.max(np.abs(filtered(signal, *sections) - scipy.signal.sosfilt(sos(*sections), signal))) < 1e-9


def test_a_long_response_equals_the_convolution() -> None:
    signal, echo = noise(30_000), noise(7_001, seed=2)
    assert np.max(np.abs(filtered(signal, (echo, [1.0])) - np.convolve(signal, echo)[:30_000])) < 1e-9


@pytest.mark.parametrize("hz", [1.0, 80.0, 3000.0, 7999.0])
def test_sections_are_butterworth_s(hz: float) -> None:
    for section, order, kind in ((high_pass(hz, RATE), 1, "highpass"), (low_pass(hz, RATE), 2, "lowpass")):
        assert np.allclose(sos(section), scipy.signal.butter(order, hz, kind, fs=RATE, output="sos"), rtol=1e-9)


@pytest.mark.parametrize(("gain_db", "hz"), [(6.0, 3000), (-9.0, 1000)])
def test_a_bell_has_its_gain_at_its_centre_and_half_of_it_on_both_sides(gain_db: float, hz: float) -> None:
    golden = np.array([(np.sqrt(5) - 1) / 2, (np.sqrt(5) + 1) / 2])  # where a quality of 1 halves the gain
    sides = np.arctan(golden * np.tan(np.pi * hz / RATE)) / np.pi * RATE
    _, response = scipy.signal.freqz(*bell(hz, gain_db, RATE), worN=[0.0, sides[0], hz, sides[1], RATE / 2], fs=RATE)
    expected = [0, gain_db / 2, gain_db, gain_db / 2, 0]
    assert 20 * np.log10(np.abs(response)) == pytest.approx(expected, abs=1e-9)


def test_no_samples_stay_none() -> None:
    assert filtered(np.zeros(0), ([1.0], [1.0, -0.5])).shape == (0,)


@pytest.mark.parametrize("n", [1, 3, 200])
@pytest.mark.parametrize("width", [1, 2, 5, 12, 18])
def test_averages_equal_those_of_scipy(n: int, width: int) -> None:
    track, window = noise(n), np.linspace(1.0, 2.0, width)
    found = synthesis._averaged(track, window, (width - 1) // 2)
    assert found == pytest.approx(scipy.ndimage.convolve1d(track, window, mode="nearest"), abs=1e-12)
    found = synthesis._averaged(track, np.full(width, 1 / width), width // 2)
    assert found == pytest.approx(scipy.ndimage.uniform_filter1d(track, width, mode="nearest"), abs=1e-12)


@pytest.mark.parametrize("denominator", [[1.0, -1.0], [1.0, 1.5], [1.0, 0.0, 1.0]])
def test_an_unstable_filter_is_refused(denominator: list[float]) -> None:
    with pytest.raises(OptionError, match=r"Got a filter with a pole of size 1.*Expected a stable filter"):
        filtered(np.zeros(10), ([1.0], denominator))


@pytest.mark.parametrize("limits", [{"low_hz": 0.0}, {"high_hz": 8000.0}, {"high_hz": 9000.0}, {"low_hz": -3.0}])
def test_a_microphone_without_such_a_limit_is_refused(limits: dict[str, float]) -> None:
    voice = dataclasses.replace(draw_voice("male", 30, seed=1), **limits)
    with pytest.raises(OptionError, match=r"Expected more than 0 and less than 8000 Hz\."):
        speak(voice, 0.2, seed=1)
