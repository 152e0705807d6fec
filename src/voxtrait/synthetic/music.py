"""Short synthetic pieces of music: instruments, melodies, chords and drums.

:mod:`voxtrait.synthetic.sounds` gives them names and sets their level.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from voxtrait.errors import require

require("a synthetic sound", "corpus", "scipy")

import scipy.signal

Array = npt.NDArray[np.float64]
Generator = np.random.Generator
Instrument = Callable[[Array, float, Generator], Array]  # pitch in Hz per sample, seconds of decay, random generator

RATE: Final = 16_000  # Hz
SCALES: Final = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10))
CHORDS: Final = ((0, 4, 7), (0, 3, 7), (0, 4, 7, 11), (0, 3, 7, 10), (0, 5, 7), (0, 3, 6))


class Note(NamedTuple):
    """One note: start and duration in seconds, and pitch as a MIDI number (69 is 440 Hz)."""

    start: float
    seconds: float
    pitch: float
    loud: float = 1.0


def _hz(pitch: float) -> float:
    return float(440.0 * 2.0 ** ((pitch - 69) / 12))


def _phase(hz: Array) -> Array:
    return 2 * np.pi * np.cumsum(hz) / RATE


def _fade(n: int, attack: float, release: float) -> Array:
    """Return an envelope ``(n,)`` that rises for ``attack`` seconds, holds, and falls for ``release`` seconds."""
    time = np.arange(n) / RATE
    return np.minimum(1.0, time / max(attack, 1e-3)) * np.minimum(1.0, (n / RATE - time) / max(release, 1e-3))


def plucked(hz: Array, ring: float, rng: Generator) -> Array:
    """Synthesise a plucked string: a noise burst in a delay line with a two-sample mean (Karplus & Strong 1983)."""
    n = len(hz)
    period = max(2, round(RATE / hz[0] - 0.5))
    burst = np.zeros(n)
    pluck = rng.uniform(-1, 1, period)[:n]
    burst[:period] = pluck - pluck.mean()  # the loop would never reduce the mean
    burst = scipy.signal.lfilter([1 - (soft := rng.uniform(0.0, 0.8))], [1, -soft], burst)
    gain = 0.001 ** (1 / (hz[0] * max(ring, 0.05) * 2))
    loop = np.zeros(period + 2)
    loop[0], loop[period], loop[period + 1] = 1.0, -gain / 2, -gain / 2
    return np.asarray(scipy.signal.lfilter([1.0], loop, burst)) * _fade(n, 0.001, 0.01)


def modulated(hz: Array, ring: float, rng: Generator) -> Array:
    """Synthesise bells, brass or electric pianos by frequency modulation, random ratio and index (Chowning 1973)."""
    n = len(hz)
    time = np.arange(n) / RATE
    ratio = rng.choice([1.0, 1.0, 2.0, 3.0, 1.414, 3.5, 7.0])
    brassy = rng.random() < 0.4
    envelope = _fade(n, 0.06, 0.08) if brassy else np.exp(-time / max(ring, 0.05) * 2)
    index = rng.uniform(0.5, 5.0) * envelope
    phase = _phase(hz)
    return np.asarray(np.sin(phase + index * np.sin(ratio * phase)) * envelope * _fade(n, 0.003, 0.01))


def organ(hz: Array, ring: float, rng: Generator) -> Array:
    """Synthesise a sustained organ tone with drawbars at octaves and fifths."""
    phase = _phase(hz)
    total = sum(rng.random() * np.sin(foot * phase) for foot in (0.5, 1, 1.5, 2, 3, 4, 5, 6, 8) if foot * hz[0] < 7500)
    return np.asarray(total) * _fade(len(hz), 0.01, 0.03)


def bars(hz: Array, ring: float, rng: Generator) -> Array:
    """Synthesise struck bars: partials of a free bar (1, 2.76, 5.40, 8.93); higher ones decay faster."""
    time = np.arange(len(hz)) / RATE
    out = np.zeros(len(hz))
    for order, ratio in enumerate((1.0, 2.76, 5.40, 8.93)):
        if ratio * hz[0] < 7500:
            out += np.exp(-time * (1 + 2 * order) / max(ring, 0.05)) * np.sin(_phase(hz * ratio)) / (1 + order)
    return out * _fade(len(hz), 0.002, 0.01)


def piano(hz: Array, ring: float, rng: Generator) -> Array:
    """Synthesise a struck string: slightly stretched partials; high ones decay faster."""
    time = np.arange(len(hz)) / RATE
    out = np.zeros(len(hz))
    for partial in range(1, max(2, min(16, int(7000 / hz[0])))):
        decay = np.exp(-time / max(ring, 0.05) * (0.6 + 0.25 * partial))
        stretch = partial * np.sqrt(1 + 4e-4 * partial**2)
        out += partial**-1.2 * decay * np.sin(_phase(hz * stretch) + rng.uniform(0, 6))
    return out * _fade(len(hz), 0.002, 0.02)


def _vibrato(hz: Array, rng: Generator) -> Array:
    time = np.arange(len(hz)) / RATE
    depth = rng.uniform(0.1, 0.6) * np.minimum(1.0, time / 0.3)  # semitones
    return hz * 2.0 ** (depth * np.sin(2 * np.pi * rng.uniform(4, 7) * time + rng.uniform(0, 6)) / 12)


def _sawtooth(hz: Array) -> Array:
    """Return a sawtooth wave of harmonics up to 7.5 kHz, with amplitudes of 1 over their number."""
    phase = _phase(hz)
    total = sum(np.sin(k * phase) / k for k in range(1, max(2, min(60, int(7500 / hz.max())))))
    return np.asarray(total)


def lead(hz: Array, ring: float, rng: Generator) -> Array:
    """Synthesise a lead synthesiser: a low-passed sawtooth with vibrato."""
    cut = min(7000.0, hz[0] * rng.uniform(3, 20))
    wave = scipy.signal.sosfilt(scipy.signal.butter(2, cut, fs=RATE, output="sos"), _sawtooth(_vibrato(hz, rng)))
    return np.asarray(wave) * _fade(len(hz), rng.uniform(0.005, 0.08), 0.05)


def strings(hz: Array, ring: float, rng: Generator) -> Array:
    """Synthesise a string ensemble: three detuned sawtooth waves with a slow attack."""
    waves = (_sawtooth(_vibrato(hz * 2 ** (rng.normal(0, 0.08) / 12), rng)) for _ in range(3))
    return np.asarray(sum(waves)) * _fade(len(hz), rng.uniform(0.05, 0.3), 0.1)


def chip(hz: Array, ring: float, rng: Generator) -> Array:
    """Synthesise the square wave of an old games console."""
    phase = _phase(hz)
    total = sum(np.sin(k * phase) / k for k in range(1, max(2, min(40, int(7500 / hz.max()))), 2))
    return np.asarray(total) * _fade(len(hz), 0.002, 0.01)


def flute(hz: Array, ring: float, rng: Generator) -> Array:
    """Synthesise a flute: a few harmonics with vibrato, and breath noise around the pitch."""
    phase = _phase(_vibrato(hz, rng))
    tone = np.sin(phase) + 0.3 * np.sin(2 * phase) + 0.1 * np.sin(3 * phase)
    band = scipy.signal.butter(1, [hz[0] * 0.8, min(hz[0] * 3, 7500.0)], "bandpass", fs=RATE, output="sos")
    breath = scipy.signal.sosfilt(band, rng.standard_normal(len(hz)))
    return np.asarray(tone + rng.uniform(0.05, 0.4) * breath) * _fade(len(hz), 0.05, 0.06)


def theremin(hz: Array, ring: float, rng: Generator) -> Array:
    """Synthesise a theremin: a sine with vibrato."""
    return np.sin(_phase(_vibrato(hz, rng))) * _fade(len(hz), 0.05, 0.05)


INSTRUMENTS: Final[dict[str, Instrument]] = {
    "plucked": plucked,
    "fm": modulated,
    "organ": organ,
    "bars": bars,
    "piano": piano,
    "lead": lead,
    "strings": strings,
    "chip": chip,
    "flute": flute,
    "theremin": theremin,
}


def melody(seconds: float, rng: Generator, low: float = 50, high: float = 80) -> list[Note]:
    """Draw a melody: a random walk on a scale, in crotchets, quavers and minims, with some rests."""
    scale = SCALES[rng.integers(len(SCALES))]
    tonic = rng.uniform(low, high - 12)
    beat = 60 / rng.uniform(60, 180)
    notes, now, step = [], 0.0, int(rng.integers(0, 2 * len(scale)))
    while now < seconds:
        held = beat * rng.choice([0.25, 0.5, 0.5, 1.0, 1.0, 2.0])
        if rng.random() > 0.12:
            pitch = tonic + 12 * (step // len(scale)) + scale[step % len(scale)]
            notes.append(Note(now, held * rng.uniform(0.7, 1.0), pitch, rng.uniform(0.6, 1.0)))
        step = int(np.clip(step + rng.integers(-3, 4), 0, 2 * len(scale)))
        now += held
    return notes


def arpeggio(seconds: float, rng: Generator) -> list[Note]:
    """Draw arpeggios: broken chords in short notes of equal length."""
    step = rng.uniform(0.08, 0.35)
    notes: list[Note] = []
    root = rng.uniform(45, 65)
    while len(notes) * step < seconds:
        chord = CHORDS[rng.integers(len(CHORDS))]
        for offset in (*chord, 12, *chord[::-1]):
            notes.append(Note(len(notes) * step, step * rng.uniform(0.8, 2.0), root + offset, rng.uniform(0.7, 1.0)))
        root += rng.choice([-5, -2, 2, 3, 5]) if 43 < root < 67 else (55 - root) / 2
    return notes


def chords(seconds: float, rng: Generator) -> list[Note]:
    """Draw a sequence of chords, each held for a bar or half a bar."""
    held = rng.uniform(0.4, 2.0)
    notes = []
    root = rng.uniform(43, 62)
    for now in np.arange(0.0, seconds, held):
        inversion = rng.integers(0, 3)
        for place, offset in enumerate(CHORDS[rng.integers(len(CHORDS))]):
            pitch = root + offset + (12 if place < inversion else 0)
            notes.append(Note(float(now), held * 0.95, pitch, 0.6))
        root += rng.choice([-5, -2, 0, 2, 3, 5]) if 41 < root < 64 else (53 - root) / 2
    return notes


def play(notes: list[Note], instrument: Instrument, n: int, rng: Generator) -> Array:
    """Synthesise notes on an instrument, ``(n,)``; the timbre is drawn once for all notes."""
    timbre = int(rng.integers(2**32))
    glide = 0.06 if instrument in (theremin,) else 0.0
    out = np.zeros(n)
    before = notes[0].pitch if notes else 0.0
    for number, note in enumerate(notes):
        start = int(note.start * RATE)
        length = min(int((note.seconds + 0.02) * RATE), n - start)
        if length < 32:
            continue
        pitch = np.full(length, _hz(note.pitch))
        if glide:
            bend = np.exp(-np.arange(length) / RATE / glide)
            pitch = pitch * 2.0 ** ((before - note.pitch) * bend / 12)
        before = note.pitch
        own = np.random.default_rng([timbre, 0 if instrument in (modulated, organ) else number])
        out[start : start + length] += note.loud * instrument(pitch, note.seconds, own)
    return out


def drums(n: int, rng: Generator) -> Array:
    """Synthesise a repeated bar of bass drum, snare and hi-hat in sixteenths, with small changes."""
    step = int(RATE * 60 / rng.uniform(70, 170) / 4)
    time = np.arange(int(0.3 * RATE)) / RATE
    kick = np.sin(_phase(45 + 110 * np.exp(-time * 35))) * np.exp(-time * rng.uniform(10, 25))
    snare = (rng.standard_normal(len(time)) + np.sin(2 * np.pi * 190 * time)) * np.exp(-time * rng.uniform(15, 35))
    hat = np.diff(rng.standard_normal(len(time)), prepend=0.0) * np.exp(-time * rng.uniform(40, 120))
    kicks = rng.random(16) < np.where(np.arange(16) % 4 == 0, 0.8, 0.15)
    snares = rng.random(16) < np.where(np.arange(16) % 8 == 4, 0.9, 0.06)
    hats = rng.random(16) < rng.uniform(0.3, 0.95)
    kicks[0] = True
    out = np.zeros(n + len(time))
    for number, at in enumerate(range(0, n, step)):
        place = number % 16
        hit = kicks[place] * kick + 0.6 * snares[place] * snare + 0.25 * hats[place] * hat
        out[at : at + len(time)] += hit * rng.uniform(0.8, 1.0)
    return out[:n]


def ensemble(n: int, rng: Generator) -> Array:
    """Synthesise bass, chords, a melody and drums together."""
    seconds = n / RATE
    bass = [note._replace(pitch=note.pitch - 24) for note in arpeggio(seconds, rng)]
    names = list(INSTRUMENTS)
    parts = [
        play(bass, plucked if rng.random() < 0.5 else lead, n, rng),
        play(chords(seconds, rng), INSTRUMENTS[rng.choice(["organ", "strings", "piano", "plucked", "fm"])], n, rng),
        play(melody(seconds, rng, 60, 84), INSTRUMENTS[names[rng.integers(len(names))]], n, rng),
        drums(n, rng),
    ]
    weights = rng.uniform(0.3, 1.0, len(parts))
    return np.asarray(sum(w * part / (np.std(part) + 1e-9) for w, part in zip(weights, parts, strict=True)))


def chord(n: int, rng: Generator) -> Array:
    """Synthesise a sustained chord of sines or of a few harmonics."""
    notes = [Note(0.0, n / RATE, rng.uniform(48, 72) + offset) for offset in CHORDS[rng.integers(len(CHORDS))]]
    time = np.arange(n) / RATE
    total = np.zeros(n)
    for harmonic in range(1, int(rng.integers(2, 8))):
        for note in notes:
            total += np.sin(2 * np.pi * _hz(note.pitch) * harmonic * time) / harmonic**1.5
    return total


def _piece(pattern: Callable[[float, Generator], list[Note]], name: str) -> Callable[[int, Generator], Array]:
    return lambda n, rng: play(pattern(n / RATE, rng), INSTRUMENTS[name], n, rng)


PIECES: Final[dict[str, Callable[[int, Generator], Array]]] = {
    "chord": chord,
    "drums": drums,
    **{f"{name} melody": _piece(melody, name) for name in INSTRUMENTS},
    **{f"{name} arpeggio": _piece(arpeggio, name) for name in ("plucked", "fm", "piano", "chip", "lead")},
    **{f"{name} chords": _piece(chords, name) for name in ("plucked", "organ", "piano", "strings", "fm")},
    "ensemble": ensemble,
}
"""Pieces of music: name → function that returns ``(n,)`` samples of any level."""
