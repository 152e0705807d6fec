"""Synthetic sounds without speech: noises, machines, tones, percussion and short pieces of music, all seeded.

They measure the speech detector, and training adds the noises to real voices. Every call draws a new sound of its kind,
with another pitch, tempo, scale, timbre and envelope. Instruments use textbook methods: plucked strings by K. Karplus &
A. Strong, Computer Music Journal 7 (1983); bells, brass and electric piano by J. Chowning's frequency modulation, J.
Audio Eng. Soc. 21 (1973); organ pipes and bars by additive synthesis; strings, lead and square wave by band-limited
waves. Telephone tones follow ITU-T Q.23.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from voxtrait.errors import OptionError, require

require("a synthetic sound", "corpus", "scipy")

import scipy.signal

from voxtrait.synthetic import music

Array = npt.NDArray[np.float64]
Generator = np.random.Generator

RATE: Final = music.RATE  # Hz
LEVEL_DBFS: Final = -20.0  # level of the mean power; a sound with high peaks is quieter, so that it does not clip
PEAK: Final = 0.99
LONGEST_S: Final = 600.0


def noise(kind: str, seconds: float, rng: Generator) -> npt.NDArray[np.float32]:
    """Synthesise a noise, without pitch, rhythm or silence, that can be added to a voice.

    Args:
        kind: a key of ``NOISES``.
        seconds: duration in s, 0.1 to 600.
        rng: the only source of randomness.

    Returns:
        ``(samples,)`` float32 at 16 kHz, -20 dBFS, peaks within [-0.99, 0.99].

    Raises:
        OptionError: if the kind is unknown, or the duration is out of range.

    Examples:
        >>> signal = noise("pink", 2.0, np.random.default_rng(1))
        >>> signal.shape, round(10 * np.log10(np.mean(np.square(signal)))) + 0
        ((32000,), -20)
    """
    if kind not in NOISES:
        raise OptionError(f"Unknown noise {kind!r}. Expected one of {', '.join(NOISES)}.")
    return _drawn(NOISES[kind], seconds, rng)


def sound(kind: str, seconds: float, rng: Generator) -> npt.NDArray[np.float32]:
    """Synthesise a sound without speech: a noise, silence, a signal tone, percussion or music.

    Args:
        kind: a key of ``KINDS``.
        seconds: duration in s, 0.1 to 600.
        rng: the only source of randomness.

    Returns:
        ``(samples,)`` float32 at 16 kHz, -20 dBFS or quieter, peaks within [-0.99, 0.99]; ``silence`` and ``dither``
        keep their own levels: zero, and the last of 16 bits.

    Raises:
        OptionError: if the kind is unknown, or the duration is out of range.

    Examples:
        >>> one, two = (sound("chord", 1.0, np.random.default_rng(7)) for _ in range(2))
        >>> bool((one == two).all())
        True
    """
    if kind not in KINDS:
        raise OptionError(f"Unknown sound {kind!r}. Expected one of {', '.join(KINDS)}.")
    return _drawn(_SOUNDS[kind], seconds, rng, keep_level=kind in ("silence", "dither"))


def _drawn(
    draw: Callable[[int, Generator], Array], seconds: float, rng: Generator, keep_level: bool = False
) -> npt.NDArray[np.float32]:
    if not 0.1 <= seconds <= LONGEST_S:
        raise OptionError(f"Got a sound of {seconds} s. Expected 0.1 to {LONGEST_S:.0f} s.")
    signal = draw(round(seconds * RATE), rng)
    if not keep_level:
        signal = signal - signal.mean()
        signal *= 10 ** (LEVEL_DBFS / 20) / (np.sqrt(np.mean(np.square(signal))) + 1e-12)
        signal /= max(1.0, float(np.abs(signal).max()) / PEAK)
    return signal.astype(np.float32)


def _coloured(n: int, rng: Generator, slope: float, low_hz: float = 20.0) -> Array:
    """Return noise whose power falls with frequency as ``f ** -slope``, without frequencies below ``low_hz``."""
    size = max(n, 1600)
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequency = np.fft.rfftfreq(size, 1 / RATE)
    shape = np.where(frequency < low_hz, 0.0, np.maximum(frequency, low_hz) ** (-slope / 2))
    return np.fft.irfft(spectrum * shape, size)[:n]


def _band(n: int, rng: Generator) -> Array:
    """Return noise between two frequencies, as behind a wall or from a radio."""
    low = np.exp(rng.uniform(np.log(80), np.log(3000)))
    high = min(low * rng.uniform(1.5, 8), 7500.0)
    return np.asarray(scipy.signal.sosfilt(_bandpass(low, high), rng.standard_normal(n)))


def _bandpass(low_hz: float, high_hz: float) -> Array:
    return np.asarray(scipy.signal.butter(2, [low_hz, high_hz], "bandpass", fs=RATE, output="sos"))


def _wandering(n: int, rng: Generator, hz: float) -> Array:
    """Return a slow, smooth random curve of about unit size, with one random point every ``1 / hz`` seconds."""
    supports = rng.standard_normal(max(4, int(n / RATE * hz) + 4))
    at = np.linspace(0, len(supports) - 1.001, n)
    return np.asarray(np.interp(at, np.arange(len(supports)), supports))


def _modulated(n: int, rng: Generator) -> Array:
    """Return noise whose level changes 1 to 12 times a second, like syllables."""
    time = np.arange(n) / RATE
    swing = np.sin(2 * np.pi * rng.uniform(1, 12) * time + rng.uniform(0, 6))
    depth = rng.uniform(0.5, 1.0)
    shape = np.maximum(1 + depth * swing, 0) ** rng.uniform(1, 3)
    return _coloured(n, rng, rng.uniform(0, 1.5)) * shape


def _wind(n: int, rng: Generator) -> Array:
    return _coloured(n, rng, 2.0) * np.exp(0.8 * _wandering(n, rng, 1.5))


def _rain(n: int, rng: Generator) -> Array:
    drops = (rng.random(n) < rng.uniform(0.002, 0.02)) * rng.standard_normal(n)
    ring = np.exp(-np.arange(160) / rng.uniform(8, 40)) * rng.standard_normal(160)
    return np.asarray(scipy.signal.oaconvolve(drops, ring)[:n]) + 0.1 * _coloured(n, rng, 0.0)


def _hum(n: int, rng: Generator) -> Array:
    """Return mains hum, 50 or 60 Hz, with decreasing harmonics."""
    base = rng.choice([50.0, 60.0])
    time = np.arange(n) / RATE
    total = np.zeros(n)
    fall = rng.uniform(0.4, 2.0)
    for harmonic in range(1, int(rng.integers(2, 30))):
        total += rng.random() * harmonic**-fall * np.sin(2 * np.pi * base * harmonic * time + rng.uniform(0, 6))
    return total + 0.001 * rng.standard_normal(n)


def _engine(n: int, rng: Generator) -> Array:
    """Return the noise of an engine: combustion pulses at a varying rate, filtered by a few resonances."""
    rate_hz = rng.uniform(15, 90) * np.exp(0.15 * _wandering(n, rng, 0.7))
    phase = np.cumsum(rate_hz / RATE)
    pulses = np.diff(np.floor(phase), prepend=0.0) * (1 + 0.3 * rng.standard_normal(n))
    out = 0.02 * rng.standard_normal(n)
    for _ in range(4):
        centre = rng.uniform(60, 1500)
        out = out + scipy.signal.sosfilt(_bandpass(centre * 0.8, centre * 1.25), pulses)
    return np.asarray(out)


def _fan(n: int, rng: Generator) -> Array:
    blades = 1 + 0.3 * np.sin(2 * np.pi * rng.uniform(10, 120) * np.arange(n) / RATE)
    return _coloured(n, rng, 1.2) * blades + 0.01 * _hum(n, rng)


NOISES: Final[dict[str, Callable[[int, Generator], Array]]] = {
    "white": lambda n, rng: rng.standard_normal(n),
    "pink": lambda n, rng: _coloured(n, rng, 1.0),
    "brown": lambda n, rng: _coloured(n, rng, 2.0),
    "blue": lambda n, rng: _coloured(n, rng, -1.0),
    "narrow": _band,
    "modulated": _modulated,
    "wind": _wind,
    "rain": _rain,
    "hum": _hum,
    "engine": _engine,
    "fan": _fan,
}
"""Kinds of :func:`noise`: name → function."""


def _dither(n: int, rng: Generator) -> Array:
    return rng.integers(-1, 2, n) / 32768.0


def _tone(n: int, rng: Generator) -> Array:
    return np.asarray(np.sin(2 * np.pi * np.exp(rng.uniform(np.log(60), np.log(6000))) * np.arange(n) / RATE))


def _sweep(n: int, rng: Generator) -> Array:
    start, stop = np.exp(rng.uniform(np.log(60), np.log(7000), 2))
    method = rng.choice(["linear", "logarithmic"])
    return np.asarray(scipy.signal.chirp(np.arange(n) / RATE, start, n / RATE, stop, method=method))


def _dtmf(n: int, rng: Generator) -> Array:
    """Return the tones of a dialled telephone number (ITU-T Q.23)."""
    rows, columns = (697, 770, 852, 941), (1209, 1336, 1477)
    length, gap = int(rng.uniform(0.06, 0.25) * RATE), int(rng.uniform(0.05, 0.2) * RATE)
    time = np.arange(length) / RATE
    out = np.zeros(n)
    for start in range(0, n - length, length + gap):
        pair = rng.choice(rows), rng.choice(columns)
        out[start : start + length] = sum(np.sin(2 * np.pi * hz * time) for hz in pair)
    return out


def _beeps(n: int, rng: Generator) -> Array:
    """Return beeps of an alarm clock, a reversing lorry or a busy line: one or two pitches, on and off."""
    time = np.arange(n) / RATE
    pitches = np.exp(rng.uniform(np.log(300), np.log(3500), 2))
    turn = np.floor(time * rng.uniform(1, 8)).astype(int)
    hz = pitches[turn % 2] if rng.random() < 0.5 else np.full(n, pitches[0])
    wave = np.sin(2 * np.pi * np.cumsum(hz) / RATE)
    wave = np.sign(wave) if rng.random() < 0.3 else wave
    return wave * (turn % 2 == 0) if rng.random() < 0.7 else wave


def _siren(n: int, rng: Generator) -> Array:
    time = np.arange(n) / RATE
    low = rng.uniform(300, 900)
    swing = np.sin(2 * np.pi * rng.uniform(0.15, 4.0) * time + rng.uniform(0, 6))
    swing = np.sign(swing) if rng.random() < 0.3 else swing
    phase = 2 * np.pi * np.cumsum(low * rng.uniform(1.3, 2.5) ** ((1 + swing) / 2)) / RATE
    return np.sin(phase) + rng.uniform(0, 0.5) * np.sin(2 * phase) + rng.uniform(0, 0.3) * np.sin(3 * phase)


def _ring(n: int, rng: Generator) -> Array:
    """Return the bell of an old telephone, struck 20 times a second, two seconds on and four off."""
    time = np.arange(n) / RATE
    wave = sum(np.sin(2 * np.pi * hz * time) for hz in rng.uniform(1000, 4000, 3))
    strikes = np.exp(-((time * rng.uniform(15, 25)) % 1.0) * rng.uniform(0.5, 3))
    return np.asarray(wave * strikes * ((time + rng.uniform(0, 1)) % 3.0 < 2.0))


def _clicks(n: int, rng: Generator) -> Array:
    """Return single-sample clicks, random or regular."""
    if rng.random() < 0.5:
        out: Array = (rng.random(n) < rng.uniform(5e-5, 1e-3)) * rng.choice([-1.0, 1.0], n)
        out[rng.integers(n)] = 1.0
        return out
    out = np.zeros(n)
    out[:: int(RATE / rng.uniform(1, 30))] = 1.0
    return out


def _knocks(n: int, rng: Generator) -> Array:
    """Return knocks, typing or steps: short bursts of resonant noise."""
    out = np.zeros(n + RATE)
    at = int(rng.uniform(0, 0.3) * RATE)
    while at < n:
        length = int(rng.uniform(0.01, 0.08) * RATE)
        centre = np.exp(rng.uniform(np.log(150), np.log(4000)))
        burst = rng.standard_normal(4 * length) * np.exp(-np.arange(4 * length) / length * 2)
        out[at : at + 4 * length] += scipy.signal.sosfilt(_bandpass(centre * 0.6, min(centre * 1.5, 7800)), burst)
        at += int(rng.uniform(0.08, 0.7) * RATE)
    return out[:n]


def _birds(n: int, rng: Generator) -> Array:
    """Return bird calls: short sweeps between 2 and 7 kHz."""
    out = np.zeros(n + RATE)
    at = 0
    while at < n:
        length = int(rng.uniform(0.03, 0.25) * RATE)
        start, stop = rng.uniform(2000, 7000, 2)
        hz = np.linspace(start, stop, length) + 300 * np.sin(np.linspace(0, rng.uniform(0, 60), length))
        out[at : at + length] += np.sin(2 * np.pi * np.cumsum(hz) / RATE) * np.hanning(length)
        at += length + int(rng.uniform(0.01, 0.5) * RATE)
    return out[:n] + 1e-3 * _coloured(n, rng, 1.0)


_SOUNDS: Final[dict[str, Callable[[int, Generator], Array]]] = {
    "silence": lambda n, rng: np.zeros(n),
    "dither": _dither,
    **NOISES,
    "tone": _tone,
    "sweep": _sweep,
    "dtmf": _dtmf,
    "beeps": _beeps,
    "siren": _siren,
    "ring": _ring,
    "clicks": _clicks,
    "knocks": _knocks,
    "birds": _birds,
    **music.PIECES,
}

KINDS: Final = tuple(_SOUNDS)
"""Kinds of :func:`sound`: noises, ``silence``, ``dither``, signal tones, percussion and music."""
