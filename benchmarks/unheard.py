"""A second generator of sounds, held out from fitting the thresholds of the speech detector.

It shares no code with ``voxtrait.synthetic``. It is one random synthesiser: a wave table of random harmonics,
inharmonic partials, a ring modulator or filtered noise; a filter that may sweep or wobble; an envelope; random pitches
in any tuning, one to five at a time, in any rhythm; an echo. It does not imitate instruments. A resonance that wobbles
at the rate of syllables (a wah-wah) resembles a moving vowel, and is drawn only with ``wobbling``.
"""

import numpy as np
import scipy.signal

RATE = 16_000
SOURCES = ("wave table", "partials", "ring modulation", "noise bursts", "pulses", "glide", "loop", "texture")


def _tone(source, hz, n, rng):
    time = np.arange(n) / RATE
    phase = 2 * np.pi * hz * time
    if source == "glide":
        phase = 2 * np.pi * hz * np.cumsum(2 ** np.linspace(0, rng.uniform(-1, 1), n)) / RATE
    if source in ("wave table", "glide", "loop"):
        own = np.random.default_rng(int(rng.bit_generator.seed_seq.entropy[0]) + 1)  # one timbre per piece
        top = max(1, min(30, int(7000 / hz)))
        weights = own.random(top) * np.arange(1, top + 1) ** -own.uniform(0.3, 2.0)
        return sum(w * np.sin(k * phase + k) for k, w in enumerate(weights, 1))
    if source == "partials":
        ratios = np.cumsum(rng.uniform(0.4, 1.8, 7))
        return sum(np.exp(-time * rng.uniform(0.5, 15)) * np.sin(r * phase) for r in ratios if r * hz < 7500)
    if source == "ring modulation":
        return np.sin(phase) * np.sign(np.sin(phase * rng.uniform(0.2, 3)))
    if source == "pulses":
        return (np.sin(phase) > rng.uniform(0, 0.95)).astype(float) - 0.3
    low = np.clip(hz, 60, 3000)
    band = scipy.signal.butter(2, [low, min(low * rng.uniform(1.2, 3), 7800)], "bandpass", fs=RATE, output="sos")
    return scipy.signal.sosfilt(band, rng.standard_normal(n)) * 4


def _filtered(signal, rng, wobbling):
    """Filter by a resonance that sweeps or wobbles (eight cross-faded ones); without wobbling, in half of the calls."""
    if not wobbling and rng.random() < 0.5:
        return signal
    time = np.arange(len(signal)) / RATE
    wobble = 3.5 + 3.5 * np.sin(2 * np.pi * rng.uniform(0.2, 6) * time)
    place = wobble if wobbling else np.linspace(0, 7, len(signal))
    out = np.zeros(len(signal))
    for step, cut in enumerate(np.geomspace(rng.uniform(150, 600), rng.uniform(1500, 7000), 8)):
        b, a = scipy.signal.iirpeak(cut, rng.uniform(1, 6), fs=RATE)
        out += np.clip(1 - np.abs(place - step), 0, 1) * scipy.signal.lfilter(b, a, signal)
    return out


def draw(source, seconds, seed, *, wobbling=False):
    """Draw a sound of one of ``SOURCES``, ``(samples,)`` float32 at 16 kHz, -45 to -12 dBFS; seed: integers."""
    rng = np.random.default_rng(list(seed))
    n = int(seconds * RATE)
    out = np.zeros(n + 4 * RATE)
    voices, step = int(rng.integers(1, 6)), rng.uniform(0.08, 1.2)
    octaves = rng.uniform(0.3, 2.5)
    centre = np.exp(rng.uniform(np.log(80), np.log(1200)))
    if source == "loop":
        riff = [rng.uniform(-octaves, octaves) / 2 for _ in range(int(rng.integers(3, 9)))]
    for voice in range(voices if source != "texture" else 12):
        now, number = rng.uniform(0, step), 0
        while now < seconds:
            shift = riff[number % len(riff)] if source == "loop" else rng.uniform(-octaves, octaves) / 2
            length = int(step * rng.uniform(0.3, 2.5) * RATE)
            shape = np.exp(-np.arange(length) / length * rng.uniform(0, 6))
            shape *= np.minimum(1, np.arange(length) / (rng.uniform(0.002, 0.2) * RATE))
            shape *= np.minimum(1, np.arange(length)[::-1] / (0.02 * RATE))
            kind = rng.choice(SOURCES[:5]) if source == "texture" else source
            tone = _tone(kind, centre * 2**shift, length, rng) * shape
            at = int(now * RATE)
            out[at : at + length] += tone[: len(out) - at] / (1 + voice)
            now += step * (rng.choice([0.5, 1, 1, 2]) if rng.random() < 0.8 else rng.uniform(0.2, 4))
            number += 1
    out = _filtered(out[:n], rng, wobbling)
    if rng.random() < 0.5:
        echo = np.zeros(int(rng.uniform(0.1, 0.6) * RATE))
        echo[0], echo[-1] = 1.0, rng.uniform(0.2, 0.7)
        out = np.convolve(out, echo)[:n] if len(echo) < 200 else scipy.signal.oaconvolve(out, echo)[:n]
    out += np.std(out) * 10 ** (-rng.uniform(25, 70) / 20) * rng.standard_normal(n)
    out *= 10 ** (rng.uniform(-45, -12) / 20) / (np.sqrt(np.mean(out**2)) + 1e-9)
    return (out / max(1.0, np.abs(out).max())).astype(np.float32)
