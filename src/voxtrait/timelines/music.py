"""Detects music between turns: stretches without speech whose spectrum has lines that last and change.

The measure is the continuous frequency activation of Seyerlehner, Pohle, Schedl and Widmer, "Automatic music detection
in television productions" (DAFx 2007). Notes are lines in the spectrogram that last for a while; noise has no such
lines. Lines that never change are a hum or a tone, and do not count.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.speech import segmentation
from voxtrait.timelines.records import Segment
from voxtrait.timelines.sliding import sliding_mean
from voxtrait.timelines.tracks import Stretch

Array = npt.NDArray[np.float32]

STEP: Final = 78 * segmentation.HOP  # samples from block to block, 1.3 s
BLOCK: Final = 2 * STEP
STEP_S: Final = STEP / SAMPLING_RATE
LEAST_S: Final = 3.0  # seconds; shorter music is dropped
FFT: Final = 1024  # samples of a frame, 64 ms
HOP: Final = 400  # samples, 25 ms
LOWEST_BIN: Final = 8  # 125 Hz; mains hum is below
AROUND: Final = 21  # a line exceeds the mean of this number of bins, 330 Hz, …
ABOVE_DB: Final = 3.0  # … by this
LINES: Final = 5  # number of strongest lines that count
ACTIVATION: Final = 2.3  # minimum sum of their strengths in music; noise stays below 1.4
PARTS: Final = 4  # number of parts of a block that are compared …
ALIKE: Final = 0.85  # … and in music, at least two have a cosine of at most this; the parts of a hum are more similar
SPOKEN: Final = 0.5  # a block with a higher mean probability of speech is not examined
QUIETEST: Final = 1e-6  # mean square of -60 dBFS; quieter blocks are not music

_HANN: Final = np.hanning(FFT).astype(np.float32)


class Music:
    """Finds music in consecutive stretches. Keeps one flag for each 1.3 s.

    Examples:
        >>> from voxtrait.synthetic.sounds import sound
        >>> music = Music()
        >>> for place, kind in enumerate(["piano chords", "fan"]):
        ...     signal = sound(kind, 10.0, np.random.default_rng(0))[: 592 * 270]
        ...     silent = np.zeros((592, 3), np.float32)
        ...     music.feed(Stretch(592 * place, silent, silent[:, 0], signal))
        >>> [(round(one.start_s), round(one.end_s), one.kind) for one in music.segments([], 20.0)]
        [(0, 12, 'music')]
    """

    def __init__(self) -> None:
        self._samples = np.zeros(0, np.float32)  # samples from the first block that is not examined
        self._speech = np.zeros(0, np.float32)
        self._found: list[bool] = []  # for each block

    def feed(self, stretch: Stretch) -> None:
        """Process the next stretch."""
        self._samples = np.concatenate([self._samples, stretch.samples])
        self._speech = np.concatenate([self._speech, stretch.speech])
        while len(self._samples) >= BLOCK:
            frames = BLOCK // segmentation.HOP
            spoken = float(self._speech[:frames].mean())
            self._found.append(spoken < SPOKEN and is_music(self._samples[:BLOCK]))
            self._samples = self._samples[STEP:].copy()
            self._speech = self._speech[STEP // segmentation.HOP :].copy()

    def segments(self, turns: Sequence[Segment], duration_s: float) -> list[Segment]:
        """Return the music outside the turns of a recording, in segments of at least 3 s, by start."""
        edges = np.flatnonzero(np.diff(np.array(self._found, np.int8), prepend=0, append=0)).tolist()
        found: list[Segment] = []
        for first, past in zip(edges[::2], edges[1::2], strict=True):
            start_s = first * STEP_S
            end_s = duration_s if past == len(self._found) else (past + 1) * STEP_S  # the rest is less than a block
            for turn in sorted(turns, key=lambda one: one.start_s):
                if turn.end_s <= start_s or turn.start_s >= end_s:
                    continue
                if turn.start_s - start_s >= LEAST_S:
                    found.append(_music(start_s, turn.start_s))
                start_s = max(start_s, turn.end_s)
            if end_s - start_s >= LEAST_S:
                found.append(_music(start_s, end_s))
        return found


def is_music(block: Signal) -> bool:
    """Return whether a block of 2.6 s at 16 kHz, ``(samples,)``, is music.

    Examples:
        >>> at = np.arange(BLOCK) / SAMPLING_RATE
        >>> is_music(0.1 * np.sin(2 * np.pi * 1000 * at).astype(np.float32))  # a tone
        False
    """
    if float(np.mean(np.square(block))) < QUIETEST:
        return False
    frames = np.lib.stride_tricks.sliding_window_view(block, FFT)[::HOP]
    spectrum = np.fft.rfft(frames * _HANN, axis=1)[:, LOWEST_BIN:]
    levels = 10 * np.log10(spectrum.real**2 + spectrum.imag**2 + 1e-9)
    lines = (levels > sliding_mean(levels, AROUND) + ABOVE_DB).astype(np.float32)
    if _activation(lines.mean(axis=0)) < ACTIVATION:
        return False
    size = len(lines) // PARTS
    parts = np.stack([lines[place * size :][:size].mean(axis=0) for place in range(PARTS)])
    parts /= np.linalg.norm(parts, axis=1, keepdims=True) + 1e-9
    return bool((parts @ parts.T).min() <= ALIKE)


def _activation(share: Array) -> float:
    """Return the sum of the strengths of the strongest lines: how much longer each lasts than its surroundings."""
    inner = share[1:-1]
    peaks = np.flatnonzero((inner >= share[:-2]) & (inner > share[2:])) + 1
    strengths = []
    for peak in peaks.tolist():
        left, right = peak, peak
        while left > 0 and share[left - 1] <= share[left]:
            left -= 1
        while right < len(share) - 1 and share[right + 1] <= share[right]:
            right += 1
        strengths.append(float(share[peak] - min(share[left], share[right])))
    return sum(sorted(strengths)[-LINES:])


def _music(start_s: float, end_s: float) -> Segment:
    return Segment(round(start_s, 2), round(end_s, 2), None, "music")
