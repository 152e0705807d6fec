"""Reads a clip block by block, and measures its duration, speech, and signal-to-noise ratio."""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from voxtrait import speech
from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.recognize import decision

SHORTEST_S: Final = decision.EVIDENCE_S[0]  # 0.7 seconds of speech, below which there is no prediction
STRETCH_S: Final = 60.0  # seconds processed in one piece, so that memory does not grow with length
REST_S: Final = 0.2  # with fewer seconds without speech, their level is not used
QUIETEST: Final = 1e-10  # mean square of 16-bit rounding, -100 dBFS; digital silence counts as this

_STRETCH: Final = round(STRETCH_S * SAMPLING_RATE)


class Clip:
    """Measures duration, speech and levels of a clip, while :meth:`stretches` or :meth:`beginning` reads it.

    The lengths of the blocks do not change the result.

    Examples:
        >>> clip = Clip()
        >>> list(clip.stretches(np.zeros(8000, np.float32) for _ in range(4)))
        []
        >>> clip.duration_s, clip.speech_s, clip.snr_db, clip.refusal
        (2.0, 0.0, None, ('no_speech', 'no speech was found'))
    """

    def __init__(self) -> None:
        self._detector = speech.Detector()
        self._samples = 0
        self._frames = {True: 0, False: 0}  # with speech, and without
        self._sums = {True: 0.0, False: 0.0}  # of their powers

    @property
    def duration_s(self) -> float:
        """Seconds read."""
        return self._samples / SAMPLING_RATE

    @property
    def speech_s(self) -> float:
        """Seconds of speech read."""
        return self._frames[True] * speech.FRAME_S

    @property
    def snr_db(self) -> float | None:
        """Mean power of the frames with speech over that of the others, in dB; ``None`` if one of them has less than
        0.2 s."""
        if min(self._frames.values()) * speech.FRAME_S < REST_S:
            return None
        loud, quiet = (max(self._sums[kind] / self._frames[kind], QUIETEST) for kind in (True, False))
        return float(10 * np.log10(loud / quiet))

    @property
    def refusal(self) -> tuple[str, str] | None:
        """Status and message of a clip without a prediction, or ``None``."""
        return refusal(self.duration_s, self.speech_s)

    def stretches(self, blocks: Iterable[Signal]) -> Iterator[Signal]:
        """Find the speech, and yield it with 0.2 s around each stretch, without the pauses between.

        Args:
            blocks: mono at 16 kHz, ``(samples,)`` each.

        Yields:
            Speech and its surroundings, ``(samples,)``. Up to two minutes are one piece. More is cut into pieces of one
            minute and a last piece of up to two minutes.
        """
        waiting = np.zeros(0, np.float32)
        for detection in self._detections(blocks):
            part = detection.surrounded
            if not len(part):
                continue
            waiting = np.concatenate([waiting, part]) if len(waiting) else part
            while len(waiting) > 2 * _STRETCH:
                yield waiting[:_STRETCH]
                waiting = waiting[_STRETCH:].copy()
        if len(waiting):
            yield waiting

    def beginning(self, blocks: Iterable[Signal]) -> Signal:
        """Read the blocks, and return the part of the clip from which its image is drawn.

        Args:
            blocks: mono at 16 kHz, ``(samples,)`` each.

        Returns:
            The unchanged signal, ``(samples,)``, of a clip of up to a minute; the first minute of speech of a longer
            clip.
        """
        first: list[Signal] = []
        spoken: list[Signal] = []

        def kept() -> Iterator[Signal]:
            for block in blocks:
                if sum(map(len, first)) <= _STRETCH:
                    first.append(block)
                yield block

        for detection in self._detections(kept()):
            if sum(map(len, spoken)) < _STRETCH:
                spoken.append(detection.speech)
        return np.concatenate([np.zeros(0, np.float32), *(first if self._samples <= _STRETCH else spoken)])[:_STRETCH]

    def _detections(self, blocks: Iterable[Signal]) -> Iterator[speech.Detection]:
        """Pass the blocks to the detector, count frames and powers, and yield its results."""
        for block in blocks:
            self._samples += len(block)
            yield self._count(self._detector.feed(block))
        yield self._count(self._detector.close())

    def _count(self, detection: speech.Detection) -> speech.Detection:
        for kind, which in ((True, detection.frames), (False, ~detection.frames)):
            self._frames[kind] += int(np.count_nonzero(which))
            self._sums[kind] += float(detection.powers[which].sum(dtype=np.float64))
        return detection


def refusal(duration_s: float, speech_s: float) -> tuple[str, str] | None:
    """Return status and message of a clip that has too little speech for a prediction, else ``None``.

    Examples:
        >>> refusal(5.0, 0.5)
        ('too_short', '0.50 s of speech, expected at least 0.7 s')
    """
    if duration_s < SHORTEST_S or 0 < speech_s < SHORTEST_S:
        return "too_short", f"{min(speech_s, duration_s):.2f} s of speech, expected at least {SHORTEST_S} s"
    return None if speech_s else ("no_speech", "no speech was found")


def cut(signal: Signal) -> Iterator[Signal]:
    """Cut a signal, ``(samples,)`` or ``(channels, samples)``, into blocks of a minute, as a file is read."""
    for at in range(0, signal.shape[-1], _STRETCH):
        yield signal[..., at : at + _STRETCH]
