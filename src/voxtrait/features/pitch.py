"""Pitch: the fundamental frequency of a voice, frame by frame.

The method is that of P. Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise
ratio of a sampled sound", Proc. Inst. Phon. Sci. Amsterdam 17, 1993. The autocorrelation of each Hanning-windowed frame
is divided by that of the window. Its peaks between ``LOWEST_HZ`` and ``HIGHEST_HZ``, refined by a parabola, are the
candidates of the frame, in addition to "unvoiced" (steps 2 and 3). :func:`frame_pitches` selects the strongest
candidate of each frame. :func:`pitch_contour` selects the best path through the candidates of all frames (step 4),
which corrects octave errors.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from voxtrait.audio.signals import SAMPLING_RATE, Signal

Array = npt.NDArray[np.float32]

LOWEST_HZ: Final = 60.0
HIGHEST_HZ: Final = 400.0
WINDOW: Final = 3 * int(SAMPLING_RATE / LOWEST_HZ)  # samples: three periods of the lowest pitch, as in the paper
HOP: Final = SAMPLING_RATE // 100  # samples between two frames: 10 ms
VOICING: Final = 0.45  # strength of the candidate "unvoiced", as a normalised autocorrelation
SILENCE: Final = 0.03  # a frame with a lower peak, relative to the signal's, is probably silent
OCTAVE_COST: Final = 0.01  # cost of an octave towards the lowest pitch: of equal peaks, the highest pitch is selected
CANDIDATES: Final = 8  # candidates of a frame that are kept for the path
JUMP_COST: Final = 0.35  # cost of a jump of an octave between two frames, 10 ms apart
VOICING_COST: Final = 0.14  # cost of a change between voiced and unvoiced, 10 ms apart
_BLOCK: Final = 2048  # frames in memory at a time
_FFT: Final = 1080  # samples: more than a window and the longest lag, so that no lag wraps around; a fast length


class Candidates(NamedTuple):
    """The candidates of some frames, strongest first."""

    hz: Array  # (n, CANDIDATES)
    strength: Array  # (n, CANDIDATES); -inf if there are fewer
    unvoiced: Array  # (n,): strength of the candidate "unvoiced"


def pitch_contour(signal: Signal) -> Array:
    """Estimate the pitch of one voice in each frame of a signal, by the best path through the frames.

    Args:
        signal: mono signal at 16 kHz, ``(samples,)``.

    Returns:
        ``(frames,)``, Hz; NaN for unvoiced frames. Frame ``i`` is centred on sample ``i * HOP + WINDOW / 2``. All
        frames are inside the signal, so a signal shorter than ``WINDOW`` has no frames.

    Examples:
        >>> t = np.arange(16_000) / 16_000
        >>> tone = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 9))
        >>> found = pitch_contour(0.2 * tone)
        >>> found.shape, round(float(np.median(found)), 1)
        ((96,), 120.0)
        >>> bool(np.isnan(pitch_contour(np.zeros(16_000))).all())
        True
    """
    parts = list(_candidates(signal))
    if not parts:
        return np.zeros(0, np.float32)
    hz, strength, unvoiced = (np.concatenate(values) for values in zip(*parts, strict=True))
    # the last candidate is "unvoiced"
    return _path(np.pad(hz, ((0, 0), (0, 1)), constant_values=np.nan), np.column_stack([strength, unvoiced]))


def frame_pitches(signal: Signal) -> Array:
    """Estimate the pitch of each frame separately; arguments and result are those of :func:`pitch_contour`.

    Examples:
        >>> t = np.arange(16_000) / 16_000
        >>> round(float(np.median(frame_pitches(0.2 * np.sin(2 * np.pi * 200 * t)))), 1)
        200.0
    """
    parts = [
        np.where(part.strength[:, 0] > part.unvoiced, part.hz[:, 0], np.float32(np.nan)) for part in _candidates(signal)
    ]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def _candidates(signal: Signal) -> Iterator[Candidates]:
    """Yield the candidates of all frames in blocks, because an hour of frames does not fit in memory."""
    if len(signal) < WINDOW:
        return
    loudest = float(np.abs(signal - signal.mean()).max())
    every = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::HOP]
    for start in range(0, len(every), _BLOCK):
        yield _of_frames(every[start : start + _BLOCK], loudest)


def _of_frames(frames: Array, loudest: float) -> Candidates:
    """Return the candidates of frames ``(n, WINDOW)`` of a signal with the peak ``loudest``."""
    found = Candidates(
        np.full((len(frames), CANDIDATES), np.nan, np.float32),
        np.full((len(frames), CANDIDATES), -np.inf, np.float32),
        np.zeros(len(frames), np.float32),
    )
    if loudest == 0:
        return found
    shortest, longest = int(SAMPLING_RATE / HIGHEST_HZ), int(np.ceil(SAMPLING_RATE / LOWEST_HZ))
    frames = (frames - frames.mean(axis=1, keepdims=True)) / np.float32(loudest)
    peak = np.abs(frames).max(axis=1)
    found.unvoiced[:] = VOICING + np.maximum(0, 2 - peak / (SILENCE / (1 + VOICING)))
    # below, such frames would be unvoiced anyway; the quietest are too small for an autocorrelation
    audible = np.flatnonzero(peak > SILENCE / 2)
    frames = frames[audible]
    r = _autocorrelation(frames * _HANNING, longest + 2) / _autocorrelation(_HANNING[None], longest + 2)
    lags = np.arange(shortest, longest + 1)
    before, here, after = (r[:, shortest + shift : longest + 1 + shift] for shift in (-1, 0, 1))
    is_peak = (here > before) & (here >= after)
    # the parabola through a peak and its neighbours gives its position between two lags and its height
    bend = np.where(is_peak, before - 2 * here + after, -1)
    shift = 0.5 * (before - after) / bend
    height = np.minimum(here - 0.25 * (before - after) * shift, 1)
    hz = SAMPLING_RATE / (lags + np.where(is_peak, shift, 0))
    is_peak &= (hz >= LOWEST_HZ) & (hz <= HIGHEST_HZ)
    strength = np.where(is_peak, height - OCTAVE_COST * np.log2(LOWEST_HZ / SAMPLING_RATE * lags), -np.inf)
    best = np.argsort(-strength, axis=1, kind="stable")[:, :CANDIDATES]
    found.hz[audible] = np.take_along_axis(hz, best, axis=1)
    found.strength[audible] = np.take_along_axis(strength, best, axis=1)
    return found


def _path(hz: Array, strength: Array) -> Array:
    """Return the path with the highest strength minus costs: ``(n, k)``, NaN for unvoiced → indices ``(n,)``."""
    octaves = np.log2(hz)
    voiced = np.arange(hz.shape[1]) < hz.shape[1] - 1
    changes = np.where(voiced[:, None] != voiced[None], VOICING_COST, 0.0)
    total = strength[0].astype(np.float64)
    came = np.zeros(hz.shape, np.intp)  # best candidate of the previous frame
    for at in range(1, len(hz)):
        jumps = np.abs(octaves[at][None] - octaves[at - 1][:, None])  # NaN from or to unvoiced
        found = total[:, None] - np.where(np.isnan(jumps), changes, JUMP_COST * jumps)
        came[at] = found.argmax(axis=0)
        total = found.max(axis=0) + strength[at]
    place = int(total.argmax())
    path = np.empty(len(hz), np.intp)
    for at in range(len(hz) - 1, -1, -1):
        path[at] = place
        place = int(came[at, place])
    return np.asarray(hz[np.arange(len(hz)), path])


def _autocorrelation(frames: Array, n: int) -> Array:
    """Return the autocorrelation at lags 0 to ``n`` - 1, relative to lag 0: ``(frames, samples)`` → ``(frames, n)``."""
    spectrum = np.fft.rfft(frames, _FFT, axis=1)
    r = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, _FFT, axis=1)[:, :n]
    return np.asarray(r / r[:, :1])


_HANNING: Final[Array] = np.hanning(WINDOW + 2)[1:-1].astype(np.float32)
