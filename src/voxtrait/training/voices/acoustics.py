"""Augments speech with rooms, microphones, noise, telephones and codecs, from a seed.

It never shifts pitch or formants, because that would change the label. Each function maps a mono signal at 16 kHz,
``(samples,)`` float32, to one of the same length. :func:`disturb` applies a random chain of them.
"""

import dataclasses
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from voxtrait.audio.signals import SAMPLING_RATE, Signal, resample
from voxtrait.synthetic.sounds import NOISES, noise

TELEPHONE_RATE: Final = 8000  # Hz
LOUDEST: Final = 0.9  # peak of the input of a codec
THRIFTIEST: Final = 0.999  # maximum compression level: libsndfile refuses mp3 from 0.99995
CODECS: Final[dict[str, dict[str, Any]]] = {
    "mp3": {"format": "MP3", "bitrate_mode": "CONSTANT"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "gsm": {"format": "WAV", "subtype": "GSM610"},
    "ulaw": {"format": "WAV", "subtype": "ULAW"},
}
"""Codecs of libsndfile as arguments of ``soundfile.write``; the last two are telephone codecs and need 8 kHz."""


@dataclasses.dataclass(frozen=True)
class Chances:
    """Probability of each kind of augmentation."""

    room: float = 0.3
    colour: float = 0.5
    noise: float = 0.45
    babble: float = 0.15
    telephone: float = 0.2
    codec: float = 0.35
    clip: float = 0.05


def disturb(signal: Signal, others: Sequence[Signal], rng: np.random.Generator, chances: Chances) -> Signal:
    """Augment a signal with a random chain of room, microphone, noise, babble, overload, telephone and codec.

    Args:
        signal: ``(samples,)`` float32 at 16 kHz, not all zero.
        others: recordings of other people, for babble.
        rng: the only source of randomness.
        chances: probability of each step of the chain.
    """
    if rng.random() < chances.room:
        signal = room(signal, rng.uniform(0.1, 0.8), rng.uniform(-3.0, 15.0), rng)
    if rng.random() < chances.colour:
        signal = colour(signal, rng.uniform(1.0, 6.0), rng)
    if rng.random() < chances.noise:
        kind = tuple(NOISES)[rng.integers(len(NOISES))]
        signal = mix(signal, _fit(noise(kind, len(signal) / SAMPLING_RATE + 0.1, rng), len(signal)), rng.uniform(3, 35))
    if others and rng.random() < chances.babble:
        signal = mix(signal, babble(others, len(signal), rng), rng.uniform(5.0, 25.0))
    if rng.random() < chances.clip:
        signal = overload(signal, rng.uniform(2.0, 12.0))
    if rng.random() < chances.telephone:
        return telephone(signal, ("none", "gsm", "ulaw")[rng.integers(3)])
    if rng.random() < chances.codec:
        return codec(signal, "opus" if rng.random() < 0.25 else "mp3", rng.uniform(0.3, 1.0))
    return signal


def room(signal: Signal, rt60_s: float, direct_db: float, rng: np.random.Generator) -> Signal:
    """Add reverberation: the room response is Gaussian noise with exponential decay.

    The late part of real responses is similar (Polack, "La transmission de l'énergie sonore dans les salles", 1988).

    Args:
        signal: ``(samples,)``.
        rt60_s: seconds in which the sound decays by 60 dB.
        direct_db: level of the direct sound over the reverberation, in dB.
        rng: random generator of the response.
    """
    n = max(2, int(rt60_s * SAMPLING_RATE))
    tail = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    # air and walls absorb high frequencies first
    tail = scipy.signal.lfilter([1.0], [1.0, -rng.uniform(0.0, 0.7)], tail)
    tail[: int(rng.uniform(0.001, 0.02) * SAMPLING_RATE)] = 0.0
    tail *= 10 ** (-direct_db / 20) / max(float(np.sqrt(np.sum(tail**2))), 1e-9)
    tail[0] = 1.0
    return np.asarray(scipy.signal.fftconvolve(signal, tail)[: len(signal)], dtype=np.float32)


def colour(signal: Signal, depth_db: float, rng: np.random.Generator) -> Signal:
    """Simulate another microphone: a smooth random gain over log frequency, and sometimes a high-pass.

    Args:
        signal: ``(samples,)``.
        depth_db: standard deviation of the gain at six frequencies (60 Hz to 8 kHz), in dB.
        rng: random generator of the gain.
    """
    points = np.geomspace(60.0, SAMPLING_RATE / 2, 6)
    gains = rng.normal(0.0, depth_db, len(points)) * 0.7
    size = scipy.fft.next_fast_len(len(signal), real=True)
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLING_RATE)
    decibels = np.interp(np.log(np.maximum(frequencies, 20.0)), np.log(points), gains)
    if rng.random() < 0.3:  # small loudspeakers and wind filters
        decibels -= 12.0 * np.maximum(0.0, np.log2(rng.uniform(60.0, 250.0) / np.maximum(frequencies, 20.0)))
    if rng.random() < 0.3:  # old recorders and lossy copies
        decibels -= 48.0 * np.maximum(0.0, np.log2(np.maximum(frequencies, 20.0) / rng.uniform(3000.0, 7500.0)))
    spectrum = scipy.fft.rfft(signal, size) * 10 ** (decibels / 20)
    return np.asarray(scipy.fft.irfft(spectrum, size)[: len(signal)], dtype=np.float32)


def babble(others: Sequence[Signal], n: int, rng: np.random.Generator) -> Signal:
    """Mix three to six other voices, each from a random position, to ``(n,)``."""
    mixed = np.zeros(n, dtype=np.float32)
    for at in rng.choice(len(others), size=min(len(others), int(rng.integers(3, 7))), replace=False):
        other = others[int(at)]
        if len(other):
            mixed += np.resize(np.roll(other, int(rng.integers(len(other)))), n)
    return mixed


def mix(signal: Signal, other: Signal, snr_db: float) -> Signal:
    """Add another signal at a signal-to-noise ratio.

    Args:
        signal: ``(samples,)``.
        other: ``(samples,)``, the signal to add.
        snr_db: level of ``signal`` relative to ``other``, in dB.

    Examples:
        >>> ones = np.ones(4, np.float32)
        >>> [round(value, 3) for value in mix(ones, 5 * ones, 20.0).tolist()]
        [1.1, 1.1, 1.1, 1.1]
    """
    own, theirs = (float(np.mean(np.square(one, dtype=np.float64))) for one in (signal, other))
    if theirs <= 0:
        return signal
    return np.asarray(signal + other * np.float32(np.sqrt(own / theirs) * 10 ** (-snr_db / 20)), dtype=np.float32)


def overload(signal: Signal, over_db: float) -> Signal:
    """Clip at a level ``over_db`` dB below the peak, like an overloaded microphone."""
    limit = float(np.abs(signal).max()) * 10 ** (-over_db / 20)
    return np.clip(signal, -limit, limit)


def telephone(signal: Signal, kind: str) -> Signal:
    """Simulate a telephone: 8 kHz, 300 to 3400 Hz, and the codec ``kind``: ``gsm``, ``ulaw`` or ``none``."""
    narrow = resample(signal, SAMPLING_RATE, TELEPHONE_RATE)
    sections = scipy.signal.butter(2, (250.0, 3500.0), "bandpass", fs=TELEPHONE_RATE, output="sos")
    narrow = np.asarray(scipy.signal.sosfilt(sections, narrow), dtype=np.float32)
    if kind != "none":
        narrow = _coded(narrow, TELEPHONE_RATE, kind, None)
    return _fit(resample(narrow, TELEPHONE_RATE, SAMPLING_RATE), len(signal))


def codec(signal: Signal, kind: str, thrift: float) -> Signal:
    """Encode and decode with ``mp3`` or ``opus``; ``thrift`` from 0 (best) to 1 (fewest bits)."""
    return _fit(_coded(signal, SAMPLING_RATE, kind, min(thrift, THRIFTIEST)), len(signal))


def _coded(signal: Signal, rate: int, kind: str, thrift: float | None) -> Signal:
    import soundfile

    peak = max(float(np.abs(signal).max()), 1e-9)
    buffer = BytesIO()
    more = {} if thrift is None else {"compression_level": thrift}
    soundfile.write(buffer, signal * (LOUDEST / peak), rate, **CODECS[kind], **more)
    buffer.seek(0)
    decoded, got = soundfile.read(buffer, dtype="float32")
    back: npt.NDArray[np.float32] = decoded * np.float32(peak / LOUDEST)
    return resample(back, got, rate)


def _fit(signal: Signal, n: int) -> Signal:
    """Cut or zero-pad to ``(n,)``, because codecs change the length to whole blocks."""
    return np.pad(signal[:n], (0, max(0, n - len(signal))))
