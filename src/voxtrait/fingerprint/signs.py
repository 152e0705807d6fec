"""Computes the fingerprint of a recording: words to compare, keys to search. The package describes the method."""

from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from voxtrait.audio.mixing import to_mono
from voxtrait.audio.signals import Signal

Words: TypeAlias = npt.NDArray[np.uint16]
Floats: TypeAlias = npt.NDArray[np.float32]

RATE: Final = 8_000  # Hz: that of a telephone, so that telephone copies lose nothing that is used
WINDOW: Final = 512  # samples: 64 ms
HOP: Final = 128  # samples: 16 ms between frames
FRAMES: Final = 48  # frames of a Fourier transform at a time: its arrays fit into the cache
STEP: Final = 2  # frames per word: 32 ms
LONGEST_S: Final = 60.0  # seconds of a recording that are used
F_MIN, F_MAX = 300.0, 3000.0  # Hz: the band that telephones and poor codecs keep
BANDS: Final = 17
SMOOTH: Final = 10  # frames: two running means of this length make a triangle of 0.3 s
LAG: Final = 10  # frames: each sign compares 160 ms before with 160 ms after
MOMENTS: Final = (-18, -6, 6, 18)  # frames of the four bytes of a key, relative to its own
FLOOR: Final = 3e-3  # of a loud frame's strongest band, so that noise at 10 dB changes few signs
QUIET: Final = 10**-2.5  # of a loud frame's power: frames below are silence
INAUDIBLE: Final = 10**-7.5  # power below which there is no speech: -75 dBFS
STEADY: Final = 0.05  # mean change of log energy below which a frame is hum; its signs are random, as in silence
APART: Final = 3  # minimum frames between two keys
KEYS: Final = 32  # maximum keys of a clip up to 8 s; longer clips have 4 per second


class Fingerprint(NamedTuple):
    """The fingerprint of one recording.

    Attributes:
        words: uint16 ``(frames,)``, one every 32 ms, one bit per pair of neighbouring bands; 0 in silence.
        keys: uint32 ``(k,)``.
        at: uint16 ``(k,)``, the frames (16 ms each) of the keys, ascending.
    """

    words: Words
    keys: npt.NDArray[np.uint32]
    at: Words


def fingerprint(signal: Signal, rate: float) -> Fingerprint:
    """Compute the fingerprint of the first minute of a recording.

    Args:
        signal: ``(samples,)`` or ``(channels, samples)``, float32 in [-1, 1].
        rate: sampling rate, in Hz.

    Returns:
        The fingerprint; empty for silence, hum, and recordings shorter than 0.384 s. Without keys, it matches no other.

    Examples:
        >>> from voxtrait.synthetic import cohort, speak
        >>> speech = speak(cohort(1, seed=1)[0], 4.0, 1, 16_000)
        >>> taken = fingerprint(speech, 16_000)
        >>> taken.words.size, taken.keys.size > 5
        (124, True)
        >>> fingerprint(np.zeros(16_000, np.float32), 16_000).keys.size
        0
    """
    energies = _energies(_narrow(signal, rate))
    if len(energies) < 2 * LAG + 1:
        return _EMPTY
    loudest = _loud(energies.max(axis=1))
    power = _running_mean(energies.sum(axis=1, keepdims=True))[:, 0]
    active = power > max(QUIET * _loud(power), INAUDIBLE)
    if not active.any():
        return _EMPTY
    logs = _running_mean(_running_mean(np.log(energies + np.float32(FLOOR * loudest + 1e-20))))
    changes = _changes(logs)
    active &= np.abs(changes).mean(axis=1) >= STEADY
    words = np.packbits(changes > 0, axis=1, bitorder="little").view(np.uint16)[:, 0]
    words = np.where(active, np.maximum(words, 1), 0).astype(np.uint16)
    keys, at = _keys(_changes(logs @ _wide_bands()), active)
    return Fingerprint(words[::STEP], keys, at)


_EMPTY: Final = Fingerprint(np.zeros(0, np.uint16), np.zeros(0, np.uint32), np.zeros(0, np.uint16))


def _narrow(signal: Signal, rate: float) -> Signal:
    """Resample the first minute to :data:`RATE`, twice as fast as a high-quality resampler."""
    part = to_mono(signal[..., : round(LONGEST_S * rate)])
    if (fold := int(rate) // (2 * RATE)) > 1:  # means: only what is above 13 kHz aliases into the bands
        whole = part[: part.size // fold * fold]
        part = whole[::fold] + whole[1::fold]  # no other large array: new memory takes longer than the sums
        for at in range(2, fold):
            part += whole[at::fold]
        part *= np.float32(1 / fold)
        rate /= fold
    if rate == 2 * RATE:
        return _halved(part)
    if rate == RATE:
        return part
    import soxr

    return np.asarray(soxr.resample(part, rate, RATE, quality="MQ"), np.float32)


def _halved(signal: Signal) -> Signal:
    """Keep every second sample after a half-band filter of 23 taps, which attenuates aliases in the bands by 50 dB."""
    reach = np.arange(1, 12, 2)
    taps = np.sin(np.pi / 2 * reach) / (np.pi * reach) * (0.54 + 0.46 * np.cos(np.pi / 11 * reach))
    n = -(-signal.size // 2)
    padded = np.concatenate([np.zeros(12, np.float32), signal, np.zeros(13, np.float32)])
    even, odd = padded[::2], np.ascontiguousarray(padded[1::2])
    out = np.float32(0.5) * even[6 : 6 + n]
    pair = np.empty_like(out)
    for at, tap in enumerate(taps.astype(np.float32)):
        np.add(odd[5 - at : 5 - at + n], odd[6 + at : 6 + at + n], out=pair)
        pair *= tap
        out += pair
    return out


def _energies(signal: Signal) -> Floats:
    """Return the power in each band, ``(frames, BANDS)``; that of a full-scale sine is about 1 in total."""
    if signal.size < WINDOW:
        return np.zeros((0, BANDS), np.float32)
    window, bank = _window_and_bank()
    frames = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::HOP]
    energies = np.empty((len(frames), BANDS), np.float32)
    for at in range(0, len(frames), FRAMES):  # all frames at once take twice as long, most of it for new memory
        spectrum = np.fft.rfft(frames[at : at + FRAMES] * window)[:, : len(bank)]
        np.matmul(spectrum.real**2 + spectrum.imag**2, bank, out=energies[at : at + FRAMES])
    return energies


@lru_cache(maxsize=1)
def _window_and_bank() -> tuple[Floats, Floats]:
    window = np.hanning(WINDOW)
    centres = F_MIN * (F_MAX / F_MIN) ** (np.arange(-0.5, BANDS + 1) / BANDS)
    low, middle, high = centres[:-2], centres[1:-1], centres[2:]
    hertz = np.arange(int(high[-1] * WINDOW / RATE) + 2)[:, None] * RATE / WINDOW
    bank = np.clip(np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)), 0, None)
    return (window * 2 / window.sum()).astype(np.float32), bank.astype(np.float32)


@lru_cache(maxsize=1)
def _wide_bands() -> Floats:
    """Return the weights ``(BANDS, 9)`` of wide, overlapping bands around every second band."""
    away = np.abs(np.arange(BANDS)[:, None] - np.arange(0, BANDS, 2))
    weights = np.clip(2.0 - away, 0, None)
    return np.asarray(weights / weights.sum(axis=0), np.float32)


def _loud(values: Floats) -> float:
    """Return the 95th percentile, not the peak, which may be a click that a copy lacks."""
    at = int(0.95 * (values.size - 1))
    return float(np.partition(values, at)[at])


def _running_mean(values: Floats) -> Floats:
    """Smooth over time, with shorter windows at the ends."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    middle = np.arange(len(values))
    low, high = np.maximum(middle - SMOOTH // 2, 0), np.minimum(middle + SMOOTH - SMOOTH // 2, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low)[:, None], np.float32)


def _changes(logs: Floats) -> Floats:
    """Return the change of the spectrum's slope over time, ``(frames, bands - 1)``; 0 where it is undefined."""
    slopes = logs[:, :-1] - logs[:, 1:]
    changes = np.zeros_like(slopes)
    changes[LAG:-LAG] = slopes[2 * LAG :] - slopes[: -2 * LAG]
    return changes


def _keys(changes: Floats, active: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.uint32], Words]:
    edge = LAG + MOMENTS[-1]
    middle = np.arange(edge, len(changes) - edge)
    if not middle.size:
        return _EMPTY.keys, _EMPTY.at
    sizes = np.abs(changes)
    level = sizes.mean(axis=1)
    taps = middle[:, None] + np.array(MOMENTS)
    # score by the eight least clear of the 32 signs: where they are clear, every copy has a key
    clear = (sizes / (level + 1e-9)[:, None])[taps].reshape(len(middle), -1)
    score = np.partition(clear, 8, axis=1)[:, :8].mean(axis=1)
    score[~active[middle] | (level[taps].min(axis=1) < 2 * STEADY)] = 0
    near = np.lib.stride_tricks.sliding_window_view(np.pad(score, APART), 2 * APART + 1)
    chosen = np.flatnonzero((score == near.max(axis=1)) & (score > 0))
    most = max(KEYS, len(changes) * HOP // (2 * RATE) * 8)
    at = np.sort(chosen[np.argsort(-score[chosen], kind="stable")][:most])
    signs = np.packbits(changes > 0, axis=1, bitorder="little")[:, 0]
    return np.ascontiguousarray(signs[taps[at]]).view("<u4")[:, 0].astype(np.uint32), middle[at].astype(np.uint16)
