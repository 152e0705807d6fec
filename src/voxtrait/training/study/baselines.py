"""Baselines for a recogniser: gender by a threshold on median pitch, and age by a constant estimate.

Only :func:`fit_threshold` and :func:`constant_years` use the training speakers. The predictions for a test speaker are
``median_pitch(signal) >= threshold`` and the constant. The pitch of adult men and women overlaps little (on
average 107 to 146 and 199 to 224 Hz by decade: Hollien & Shipp 1972, Stoicheff 1981), so this is a strong baseline on
clean speech of adults, and a weak one on children, noise and telephones. NumPy and SciPy only; torch is not needed.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import scipy.fft

from voxtrait.audio.signals import SAMPLING_RATE, check_signal, to_mono
from voxtrait.errors import OptionError

Floats = npt.NDArray[np.float64]
Reals = npt.NDArray[np.float32]

LOWEST_HZ: Final = 60.0
HIGHEST_HZ: Final = 400.0
WINDOW: Final = 3 * int(SAMPLING_RATE / LOWEST_HZ)  # samples: three periods of the lowest pitch, as in Boersma's text
HOP: Final = SAMPLING_RATE // 100  # samples between two frames: 10 ms
VOICING: Final = 0.45  # normalised autocorrelation that a frame without a pitch is taken to have
SILENCE: Final = 0.03  # peak, as a share of the signal's, below which a frame is probably silent
OCTAVE_COST: Final = 0.01  # what an octave towards the lowest pitch costs: of equal peaks the highest pitch is taken
LEAST_VOICED: Final = 10  # frames, 0.1 s, below which a median is not reliable
_BLOCK: Final = 2048  # frames in memory at a time


def median_pitch(signal: npt.ArrayLike) -> float | None:
    """Find the median fundamental frequency of the voiced frames of a signal.

    The autocorrelation of each Hanning-windowed frame is divided by that of the window; its highest peak between
    :data:`LOWEST_HZ` and :data:`HIGHEST_HZ`, refined by a parabola, is the period, and frames whose peak is no higher
    than their strength of being unvoiced have none (P. Boersma, "Accurate short-term analysis of the fundamental
    frequency and the harmonics-to-noise ratio of a sampled sound", Proc. Inst. Phon. Sci. Amsterdam 17, 1993,
    steps 2 and 3). Boersma's path through the candidates of all frames is left out: it corrects octave errors of single
    frames, which hardly change a median.

    Args:
        signal: ``(samples,)`` or ``(channels, samples)`` at 16 kHz, of one voice, best with its pauses cut out.

    Returns:
        Hz, or ``None`` where fewer than :data:`LEAST_VOICED` frames are voiced.

    Raises:
        SignalError: if the array is no signal.

    Examples:
        >>> t = np.arange(16_000) / 16_000
        >>> tone = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 9))
        >>> round(median_pitch(0.2 * tone), 1)
        120.0
        >>> median_pitch(np.zeros(16_000)) is None
        True
    """
    mono = to_mono(check_signal(signal))
    loudest = float(np.abs(mono - mono.mean()).max())
    if len(mono) < WINDOW or loudest == 0:
        return None
    found = np.concatenate([_pitches(frames, loudest) for frames in _frames(mono)])
    return float(np.median(found)) if len(found) >= LEAST_VOICED else None


def fit_threshold(
    pitches: Sequence[float | None] | npt.ArrayLike, is_female: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> float:
    """Find the pitch from which on a voice is best called female: the one with the largest weighted UAR.

    Args:
        pitches: ``(clips,)``, Hz; ``None`` or NaN for a clip without a pitch, which is left out.
        is_female: ``(clips,)``, bool.
        weights: ``(clips,)``, how much each clip counts, 0 or more; ``None`` for all the same. With 1 / clips of its
            speaker, every speaker counts the same.

    Returns:
        Hz: ``pitch >= threshold`` is female. It is the middle between two pitches; where several places are as
        good, the middle one of them is taken.

    Raises:
        OptionError: if the lengths differ, a weight is negative, or one of the genders has no weight.

    Examples:
        >>> fit_threshold([110.0, 130.0, 190.0, None, 220.0], [False, False, True, True, True])
        160.0
    """
    pitch = np.asarray(pitches, dtype=np.float64)
    female = np.asarray(is_female, dtype=bool)
    weight = np.ones(len(pitch)) if weights is None else np.asarray(weights, dtype=np.float64)
    _check_lengths(len(pitch), female=len(female), weights=len(weight))
    _check_weights(weight)
    known = np.isfinite(pitch)
    points, at = np.unique(pitch[known], return_inverse=True)
    mass = {
        sex: np.bincount(at, weights=weight[known] * (female[known] == sex), minlength=len(points))
        for sex in (True, False)
    }
    if any(not one.sum() > 0 for one in mass.values()):
        raise OptionError("got pitches of one gender only, expected weights over 0 for female and for male voices")
    below = {sex: one.cumsum()[:-1] / one.sum() for sex, one in mass.items()}  # share below each place between points
    if len(points) < 2:
        return float(points[0])
    uar = (1 - below[True] + below[False]) / 2
    best = np.flatnonzero(uar >= uar.max() - 1e-12)
    place = best[len(best) // 2]
    return float((points[place] + points[place + 1]) / 2)


def constant_years(years: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Find the best constant estimate of age: the weighted median, which has the least absolute error.

    Args:
        years: ``(clips,)``; NaN for a clip without an age, which is left out.
        weights: ``(clips,)``, how much each clip counts, 0 or more; ``None`` for all the same.

    Returns:
        Years; the middle between two ages where just half of the weight is on either side.

    Raises:
        OptionError: if the lengths differ, a weight is negative, or all of them are 0.

    Examples:
        >>> constant_years([25, 35, 45, 75]), constant_years([25, 35, 45, 75], [5, 1, 1, 1])
        (40.0, 25.0)
    """
    ages = np.asarray(years, dtype=np.float64)
    weight = np.ones(len(ages)) if weights is None else np.asarray(weights, dtype=np.float64)
    _check_lengths(len(ages), weights=len(weight))
    _check_weights(weight)
    counted = np.isfinite(ages) & (weight > 0)
    if not counted.any():
        raise OptionError("got no age with a weight over 0, expected at least one")
    order = np.argsort(ages[counted], kind="stable")
    ages, total = ages[counted][order], weight[counted][order].cumsum()
    half, slack = total[-1] / 2, 1e-12 * total[-1]
    low = ages[np.searchsorted(total, half - slack)]
    high = ages[np.searchsorted(total, half + slack)]
    return float((low + high) / 2)


def _frames(mono: Reals) -> Iterator[Reals]:
    """Cut a signal into frames ``(some, WINDOW)``, a block at a time: an hour of them does not fit in memory."""
    every = np.lib.stride_tricks.sliding_window_view(mono, WINDOW)[::HOP]
    for start in range(0, len(every), _BLOCK):
        yield every[start : start + _BLOCK]


def _pitches(frames: Reals, loudest: float) -> Reals:
    """Give the pitch of the voiced ones of some frames ``(n, WINDOW)``, in Hz, ``(voiced,)``."""
    shortest, longest = int(SAMPLING_RATE / HIGHEST_HZ), int(np.ceil(SAMPLING_RATE / LOWEST_HZ))
    frames = (frames - frames.mean(axis=1, keepdims=True)) / np.float32(loudest)
    peak = np.abs(frames).max(axis=1)
    # such frames would be unvoiced below whatever their autocorrelation, which the least of them are too small to have
    audible = peak > SILENCE / 2
    frames, peak = frames[audible], peak[audible]
    r = _autocorrelation(frames * _HANNING, longest + 2) / _autocorrelation(_HANNING[None], longest + 2)
    lags = np.arange(shortest, longest + 1)
    before, here, after = (r[:, shortest + shift : longest + 1 + shift] for shift in (-1, 0, 1))
    is_peak = (here > before) & (here >= after)
    # the parabola through a peak and its neighbours gives its position between two lags, and its height
    bend = np.where(is_peak, before - 2 * here + after, -1)
    shift = 0.5 * (before - after) / bend
    height = np.minimum(here - 0.25 * (before - after) * shift, 1)
    strength = np.where(is_peak, height - OCTAVE_COST * np.log2(LOWEST_HZ / SAMPLING_RATE * lags), -np.inf)
    best = np.argmax(strength, axis=1)
    rows = np.arange(len(best))
    unvoiced = VOICING + np.maximum(0, 2 - peak / (SILENCE / (1 + VOICING)))
    hz = SAMPLING_RATE / (lags[best] + shift[rows, best])
    voiced = (strength[rows, best] > unvoiced) & (hz >= LOWEST_HZ) & (hz <= HIGHEST_HZ)
    return np.asarray(hz[voiced], dtype=np.float32)


def _autocorrelation(frames: Reals, n: int) -> Reals:
    """Autocorrelation at the lags 0 to ``n`` - 1 divided by that at 0: ``(frames, samples)`` → ``(frames, n)``."""
    size = scipy.fft.next_fast_len(frames.shape[1] + n, real=True)  # long enough that no lag wraps around
    spectrum = scipy.fft.rfft(frames, size, axis=1)
    r = scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2, size, axis=1)[:, :n]
    return np.asarray(r / r[:, :1])


_HANNING: Final[Reals] = np.hanning(WINDOW + 2)[1:-1].astype(np.float32)


def _check_lengths(expected: int, **lengths: int) -> None:
    for name, length in lengths.items():
        if length != expected:
            raise OptionError(f"got {length} {name} for {expected} clips, expected one a clip")


def _check_weights(weights: Floats) -> None:
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise OptionError(f"got the weight {weights.min()}, expected finite weights of 0 or more")
