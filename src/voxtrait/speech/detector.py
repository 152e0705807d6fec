"""Decides which frames of a signal are speech, for clips and for recordings of any length.

::

    blocks ─► windows of 33 s, each brought to one level ─► quick network ──────┬► probabilities ─► stretches ─► frames
                                                               └ doubt ► Silero ┘

The quick network is a student of Silero's network (:mod:`~voxtrait.speech.quick`). Silero's network runs only on the
windows where the result of the student is not clear. A stretch of speech begins where the probability exceeds ``ON``
and ends where it stays below ``OFF``; pauses shorter than ``BRIDGE_FRAMES`` belong to it. It counts only with evidence:
``SURE_FRAMES`` frames with the probability ``SURE``, which music and knocking rarely reach. The values were tuned on
some sounds and half of the real clips; ``docs/explanation/speech.md`` tests them on others.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.errors import SignalError
from voxtrait.speech import network, quick

Frames = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float32]

FRAME_S: Final = network.FRAME / SAMPLING_RATE  # 0.032

ON: Final = 0.5  # a stretch needs frames with this probability
OFF: Final = 0.15  # … and extends to both sides as long as frames have this probability
SURE: Final = 0.9
SURE_FRAMES: Final = 7  # a stretch with less than 0.2 s above SURE is not speech
BRIDGE_FRAMES: Final = 9  # a gap of up to 0.3 s inside speech counts as speech
MARGIN_FRAMES: Final = 3  # 0.1 s before and after, because the network detects a soft beginning late
SURROUNDING_FRAMES: Final = 6  # 0.2 s more before and after for the speaker encoder; they do not count as speech

QUIETEST_DBFS: Final = -80.0  # a window without a frame above this is silence: dither, or the noise of a converter
TARGET_DBFS: Final = -16.0  # level of a window's loud frames; 20 dB more or less do not change the predictions
SILENT_DB: Final = 60.0  # frames this far below the loud ones do not use the quick network's result
LOUD_FRAMES: Final = 16  # the loud level is reached by half a second, which excludes a knock on the microphone …
BRIEF_FRAMES: Final = 4  # … or is 20 dB below the loudest eighth of a second, which includes a brief word
BRIEF_DB: Final = 20.0

WINDOW_FRAMES: Final = 1024  # 33 s brought to one level and processed in one call
PAUSE_FRAMES: Final = max(BRIDGE_FRAMES, 2 * (MARGIN_FRAMES + SURROUNDING_FRAMES)) + 1
"""All frames before a pause of this length can be decided, because the surroundings of its two sides do not overlap."""


class Detection(NamedTuple):
    """A part of a signal with the decision for each frame of 32 ms."""

    frames: Frames  # (n,): whether the frame is speech
    speech: Signal  # (512 * frames.sum(),): samples of the speech frames
    powers: Array  # (n,): mean power of each frame, as recorded
    # samples of the speech frames and of the frames within 0.2 s of them: with silence around the speech, the age error
    # is 0.1 years lower (docs/notes/results.md)
    surrounded: Signal


class Detector:
    """Detects speech in a signal that arrives in blocks. Memory does not grow with its length.

    The lengths of the blocks do not change the result. Parts are returned at pauses, at most 66 s late, and the rest at
    the end of the signal. The level is adjusted window by window, so that a loud minute does not hide a quiet one.

    Examples:
        >>> detector = Detector()
        >>> parts = [detector.feed(np.zeros(8000, np.float32)) for _ in range(3)] + [detector.close()]
        >>> sum(len(part.frames) for part in parts), sum(len(part.speech) for part in parts)
        (46, 0)
    """

    def __init__(self) -> None:
        self._state = network.start()
        self._waiting: list[Signal] = []  # samples that the network has not processed
        self._samples = np.zeros(0, np.float32)  # samples that it has processed, and that are not decided
        self._shares = np.zeros(0, np.float32)  # probabilities of their frames
        self._powers = np.zeros(0, np.float32)  # powers of their frames

    def feed(self, signal: Signal) -> Detection:
        """Process the next block, and return the part of the signal that can be decided by now.

        Args:
            signal: mono at 16 kHz, ``(samples,)``, of any length.

        Returns:
            The next part of the signal, often empty. All parts together have ``samples // 512`` frames.

        Raises:
            SignalError: if the block is not mono.
        """
        if signal.ndim != 1:
            raise SignalError(f"Got a block of shape {signal.shape}. Expected (samples,). Average the channels first.")
        self._waiting.append(signal)
        window = WINDOW_FRAMES * network.FRAME
        if sum(map(len, self._waiting)) < window:
            return joined([])
        signal = _end_to_end(self._waiting)
        parts = []
        end = len(signal) - len(signal) % window
        for at in range(0, end, window):
            self._process(signal[at : at + window])
            parts.append(self._decide(self._decidable()))
        self._waiting = [signal[end:].copy()]
        return joined(parts)

    def close(self) -> Detection:
        """End the signal, and return the rest. Less than 32 ms at the end are dropped."""
        left = _end_to_end(self._waiting)
        self._waiting = []
        frames = len(left) // network.FRAME
        if frames:
            self._process(left[: frames * network.FRAME])
        return self._decide(len(self._shares))

    def _process(self, signal: Signal) -> None:
        """Run the networks on a window, ``(n * 512,)``."""
        power = powers(signal)
        level = loud_dbfs(power)
        if level < QUIETEST_DBFS:
            shares = np.zeros(len(signal) // network.FRAME, np.float32)
            self._state = network.start()
        else:
            gain = 10 ** ((TARGET_DBFS - level) / 20)
            shares = quick.probabilities(signal, gain)
            if quick.is_clear(shares):
                shares[power < 10 ** ((level - SILENT_DB) / 10)] = (
                    0  # the quick network looks ahead, so its speech may begin too early
                )
                self._state = network.start()  # Silero's network has not processed this window
            else:
                shares, self._state = network.probabilities(signal, self._state, gain)
        self._shares = _end_to_end([self._shares, shares])
        self._powers = _end_to_end([self._powers, power])
        self._samples = _end_to_end([self._samples, signal])

    def _decidable(self) -> int:
        """Return the number of frames that later frames cannot change: those before the last pause. Without a pause in
        two windows, return all frames, because memory must not grow; this loses at most one word a minute."""
        for start, stop in reversed(_runs(self._shares < OFF)):
            if stop - start >= PAUSE_FRAMES:
                return stop - MARGIN_FRAMES - SURROUNDING_FRAMES
        return len(self._shares) if len(self._shares) >= 2 * WINDOW_FRAMES else 0

    def _decide(self, count: int) -> Detection:
        frames = decide(self._shares[:count])
        samples = count * network.FRAME
        cut = self._samples[:samples].reshape(-1, network.FRAME)
        detection = Detection(frames, cut[frames].ravel(), self._powers[:count], cut[widened(frames)].ravel())
        self._shares = self._shares[count:].copy()  # a view would keep all of it in memory
        self._powers = self._powers[count:].copy()
        self._samples = self._samples[samples:].copy()
        return detection


def decide(shares: npt.ArrayLike) -> Frames:
    """Decide which frames are speech from the network's probabilities.

    Args:
        shares: ``(n,)``, in [0, 1].

    Returns:
        ``(n,)`` bool.

    Examples:
        >>> decide([0.0] * 10 + [0.99] * 7 + [0.2] + [0.0] * 10).nonzero()[0].tolist()
        [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
        >>> bool(decide([0.0] * 10 + [0.8] * 20 + [0.0] * 10).any())  # never sure
        False
    """
    values = np.asarray(shares, np.float32)
    stretches: list[tuple[int, int]] = []
    for start, stop in _runs(values >= OFF):
        if values[start:stop].max() < ON:
            continue
        if stretches and start - stretches[-1][1] <= BRIDGE_FRAMES:
            start = stretches.pop()[0]
        stretches.append((start, stop))
    frames = np.zeros(len(values), bool)
    for start, stop in stretches:
        if (values[start:stop] >= SURE).sum() >= SURE_FRAMES:
            frames[max(0, start - MARGIN_FRAMES) : stop + MARGIN_FRAMES] = True
    return frames


def widened(frames: Frames) -> Frames:
    """Add :data:`SURROUNDING_FRAMES` to both sides of every run of frames, ``(n,)`` bool.

    Examples:
        >>> widened(np.arange(20) == 8).nonzero()[0].tolist()
        [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    """
    wide = np.zeros(len(frames), bool)
    for start, stop in _runs(frames):
        wide[max(0, start - SURROUNDING_FRAMES) : stop + SURROUNDING_FRAMES] = True
    return wide


def listen(blocks: Iterable[Signal]) -> Iterator[Detection]:
    """Find the speech in a signal that comes in blocks, as ``audio.blocks`` decodes a file.

    Args:
        blocks: mono at 16 kHz, ``(samples,)`` each.

    Yields:
        The parts of the signal in order, none of them empty.

    Examples:
        >>> [len(part.frames) for part in listen(np.zeros(16000, np.float32) for _ in range(40))]
        [1015, 235]
    """
    detector = Detector()
    for block in blocks:
        part = detector.feed(block)
        if len(part.frames):
            yield part
    part = detector.close()
    if len(part.frames):
        yield part


def speech_frames(signal: Signal) -> Frames:
    """Return whether there is speech in each 32 ms.

    Args:
        signal: mono at 16 kHz, ``(samples,)``, at any level.

    Returns:
        ``(samples // 512,)``, bool.

    Raises:
        SignalError: if it is not mono.

    Examples:
        >>> int(speech_frames(np.zeros(16000, np.float32)).sum())
        0
    """
    return find(signal).frames


def speech_seconds(signal: Signal) -> float:
    """Return the seconds of speech in a mono signal at 16 kHz; pauses of up to 0.3 s count as speech."""
    return float(find(signal).frames.sum() * FRAME_S)


def spoken(signal: Signal) -> Signal:
    """Return only the speech of a mono signal at 16 kHz.

    Args:
        signal: ``(samples,)``.

    Returns:
        Samples of the speech frames, joined, ``(512 * frames,)`` float32, at the original level.

    Examples:
        >>> spoken(np.zeros(16000, np.float32)).shape
        (0,)
    """
    return find(signal).speech


def find(signal: Signal) -> Detection:
    """Find the speech in a mono signal at 16 kHz, ``(samples,)``.

    Examples:
        >>> find(np.zeros(16000, np.float32)).speech.shape
        (0,)
    """
    detector = Detector()
    return joined([detector.feed(signal), detector.close()])


def joined(parts: list[Detection]) -> Detection:
    """Join the parts of a signal."""
    full = [part for part in parts if len(part.frames)]
    if len(full) == 1:
        return full[0]
    if not full:
        nothing = np.zeros(0, np.float32)
        return Detection(nothing.astype(bool), nothing, nothing, nothing)
    return Detection(*(np.concatenate(values) for values in zip(*full, strict=True)))


def _end_to_end(parts: list[Array]) -> Array:
    """Join arrays. If all but one are empty, that one is not copied, because most clips are one block."""
    full = [part for part in parts if len(part)]
    return full[0] if len(full) == 1 else np.concatenate(full) if full else np.zeros(0, np.float32)


def powers(signal: Signal) -> Array:
    """Return the mean power of each frame, ``(n * 512,)`` → ``(n,)``."""
    frames = signal.reshape(-1, network.FRAME)
    return np.asarray(np.einsum("ij,ij->i", frames, frames) / network.FRAME)  # 512 squares: 32 bits hold them to 1e-6


def loud_dbfs(powers: Array) -> float:
    """Return the level of the loud frames in dBFS from the powers of all frames, ``(n,)``."""
    levels = np.sort(10 * np.log10(powers.astype(np.float64) + 1e-12))[::-1]
    loud = levels[min(LOUD_FRAMES, len(levels)) - 1]
    brief = levels[min(BRIEF_FRAMES, len(levels)) - 1]
    return float(max(loud, brief - BRIEF_DB)) if brief >= QUIETEST_DBFS else float(brief)


def _runs(values: Frames) -> list[tuple[int, int]]:
    """Return the runs of true values, as (first, past the last)."""
    edges = np.flatnonzero(np.diff(values.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
