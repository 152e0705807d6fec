"""Gender, age and pitch of one voice over time, and its speech segments."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from voxtrait import speech
from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.features import pitch
from voxtrait.recognize import SHORTEST_S, Recognizer

WINDOW_S: Final = 3.0  # seconds of speech for one estimate
STEP_S: Final = 1.0  # seconds of speech between two estimates
MOST_ESTIMATES: Final = 240  # per recording; longer recordings have longer steps
PITCH_S: Final = 60.0  # longest recording with a pitch each 10 ms; longer recordings have longer steps
FRAME: Final = round(speech.FRAME_S * SAMPLING_RATE)
ESTIMATES: Final = ("p_female", "age_years", "age_low", "age_high")


def course(recognizer: Recognizer, blocks: Iterable[Signal], duration_s: float) -> dict[str, Any] | None:
    """Estimate gender, age and pitch of one voice over time.

    Args:
        recognizer: its bundle processes windows of speech.
        blocks: mono at 16 kHz, ``(samples,)`` each.
        duration_s: duration of all blocks.

    Returns:
        ``at_s`` and, for each of these times, ``p_female``, ``age_years``, ``age_low`` and ``age_high``; ``pitch``
        with ``start_s``, ``step_s`` and ``hz``, ``None`` where there is no speech or no pitch; ``speech``, the
        start and end of each speech segment in seconds. ``None`` if there is less than 0.7 s of speech.

    Examples:
        >>> import voxtrait
        >>> course(voxtrait.load(), [np.zeros(48_000, np.float32)], 3.0) is None
        True
    """
    contour, held = [np.zeros(0, np.float32)], np.zeros(0, np.float32)
    frames: list[npt.NDArray[np.bool_]] = []
    estimates = _Estimates(recognizer, max(STEP_S, duration_s / MOST_ESTIMATES))
    rows: list[dict[str, Any]] = []

    def read() -> Iterator[Signal]:
        nonlocal held
        for block in blocks:
            held = np.concatenate([held, block])
            contour.append(pitch.pitch_contour(held))
            held = held[len(contour[-1]) * pitch.HOP :].copy()
            yield block

    for detection in speech.listen(read()):
        frames.append(detection.frames)
        rows += estimates.feed(detection)
    rows += estimates.close()
    if not rows:
        return None
    spoken = np.concatenate(frames)
    return {
        "at_s": [round(row["at_s"], 2) for row in rows],
        **{name: _rounded([row[name] for row in rows], 4 if name == "p_female" else 1) for name in ESTIMATES},
        "pitch": _pitch(np.concatenate(contour), max(1, math.ceil(duration_s / PITCH_S)), spoken),
        "speech": _stretches(spoken),
    }


class _Estimates:
    """Makes estimates from the last seconds of speech, at even steps of speech."""

    def __init__(self, recognizer: Recognizer, step_s: float) -> None:
        self._recognizer = recognizer
        self._window, self._step = round(WINDOW_S / speech.FRAME_S), round(step_s / speech.FRAME_S)
        self._count = self._made = 0  # frames fed, estimates made
        self._samples = np.zeros((0, FRAME), np.float32)  # of the frames with speech
        self._numbers = np.zeros(0, np.intp)  # of those frames

    def feed(self, detection: speech.Detection) -> Iterator[dict[str, Any]]:
        """Process the next part of the signal; yield the estimates that are due."""
        self._samples = np.concatenate([self._samples, detection.speech.reshape(-1, FRAME)])
        self._numbers = np.concatenate([self._numbers, np.flatnonzero(detection.frames) + self._count])
        self._count += len(detection.frames)
        while len(self._numbers) >= max(self._window, self._step):
            yield self._estimate(self._window)
            self._samples, self._numbers = self._samples[self._step :].copy(), self._numbers[self._step :].copy()

    def close(self) -> Iterator[dict[str, Any]]:
        """Yield one estimate if the signal has less speech than a window."""
        if not self._made and len(self._numbers) * speech.FRAME_S >= SHORTEST_S:
            yield self._estimate(len(self._numbers))

    def _estimate(self, count: int) -> dict[str, Any]:
        self._made += 1
        windows = self._recognizer.windows(self._samples[:count].ravel())
        summary = np.asarray(self._recognizer.summaries(windows).mean(axis=0, keepdims=True))
        (values,) = self._recognizer.decide(self._recognizer.heads(summary), count * speech.FRAME_S)
        return {"at_s": (float(np.median(self._numbers[:count])) + 0.5) * speech.FRAME_S} | values


def _pitch(contour: npt.NDArray[np.float32], every: int, spoken: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Keep every ``every``-th frame of a contour, with ``None`` where there is no speech."""
    contour, hop = contour[::every], every * pitch.HOP
    centres = np.arange(len(contour)) * hop + pitch.WINDOW // 2
    inside = spoken[np.minimum(centres // FRAME, len(spoken) - 1)]
    return {
        "start_s": pitch.WINDOW / 2 / SAMPLING_RATE,
        "step_s": hop / SAMPLING_RATE,
        "hz": [
            round(float(hz), 1) if known else None
            for hz, known in zip(contour, inside & ~np.isnan(contour), strict=True)
        ],
    }


def _stretches(spoken: npt.NDArray[np.bool_]) -> list[list[float]]:
    edges = np.flatnonzero(np.diff(spoken.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    return [[round(float(edge) * speech.FRAME_S, 2) for edge in pair] for pair in edges]


def _rounded(values: list[float | None], digits: int) -> list[float | None]:
    return [None if value is None else round(value, digits) for value in values]
