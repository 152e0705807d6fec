"""Detects speech in live audio within a second; the result is provisional.

:class:`~voxtrait.speech.detector.Detector` waits for 33 s of audio and for a pause, because its result is final. A live
display cannot wait. Here, the same network and the same rules decide on each part half a second after it, from the
signal so far.
"""

from typing import Final

import numpy as np

from voxtrait.audio.signals import Signal
from voxtrait.speech import network
from voxtrait.speech.detector import (
    BRIDGE_FRAMES,
    MARGIN_FRAMES,
    QUIETEST_DBFS,
    TARGET_DBFS,
    WINDOW_FRAMES,
    Detection,
    decide,
    joined,
    loud_dbfs,
    powers,
    widened,
)

STEP_FRAMES: Final = 8  # 0.26 s per call of the network
LAG_FRAMES: Final = BRIDGE_FRAMES + MARGIN_FRAMES  # 0.38 s, after which most decisions no longer change
CONTEXT_FRAMES: Final = 320  # 10 s, within which a stretch needs its SURE_FRAMES


class Provisional:
    """Detects speech in a signal that arrives in blocks, with little delay.

    The lengths of the blocks do not change the result. A part is returned at most 0.64 s late; the last 0.64 s of a
    signal are never returned.

    Examples:
        >>> soon = Provisional()
        >>> [len(soon.feed(np.zeros(8000, np.float32)).frames) for _ in range(4)]
        [0, 12, 16, 16]
    """

    def __init__(self) -> None:
        self._state = network.start()
        self._rest = np.zeros(0, np.float32)  # less than a step, which the network has not processed
        self._powers = np.zeros(0, np.float32)  # of the frames it has processed, up to a window
        self._shares = np.zeros(0, np.float32)  # its probabilities, for a context and the undecided frames
        self._undecided = np.zeros(0, np.float32)  # samples

    def feed(self, signal: Signal) -> Detection:
        """Process the next block, and return the part of the signal that is decided by now.

        Args:
            signal: mono at 16 kHz, ``(samples,)``, of any length.

        Returns:
            The next part of the signal, often empty.
        """
        signal = np.concatenate([self._rest, signal])
        step = STEP_FRAMES * network.FRAME
        end = len(signal) - len(signal) % step
        parts = [self._step(signal[at : at + step]) for at in range(0, end, step)]
        self._rest = signal[end:].copy()
        return joined(parts)

    def _step(self, signal: Signal) -> Detection:
        self._powers = np.concatenate([self._powers, powers(signal)])[-WINDOW_FRAMES:]
        level = loud_dbfs(self._powers)
        if level < QUIETEST_DBFS:
            shares, self._state = np.zeros(STEP_FRAMES, np.float32), network.start()
        else:
            shares, self._state = network.probabilities(signal, self._state, 10 ** ((TARGET_DBFS - level) / 20))
        self._shares = np.concatenate([self._shares, shares])[-CONTEXT_FRAMES:]
        samples = np.concatenate([self._undecided, signal])
        waiting = len(samples) // network.FRAME
        count = max(0, waiting - LAG_FRAMES)
        first = len(self._shares) - waiting
        decided = decide(self._shares)
        frames, wide = (some[first : first + count] for some in (decided, widened(decided)))
        part, self._undecided = np.split(samples, [count * network.FRAME])
        part_powers = self._powers[len(self._powers) - waiting :][:count]
        cut = part.reshape(-1, network.FRAME)
        return Detection(frames, cut[frames].ravel(), part_powers, cut[wide].ravel())
