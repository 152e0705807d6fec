"""Removes the DC offset of a signal: the constant or slowly changing voltage that cheap sound cards and converters add.

No voice is below 60 Hz, but an offset raises every measured level, and speech detection uses levels.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from voxtrait.audio.signals import Signal

FRAME: Final = 512  # samples of a frame: 32 ms
FOLLOWS: Final = 0.2  # share of the difference to a frame's mean by which the offset moves: below 1 Hz
SHARE: Final = 0.05  # minimum share of the power over a second for removing an offset; a deep voice has 0.02
LEAST: Final = 1e-6  # minimum mean square for removing an offset, -60 dBFS
SMOOTHED: Final = 0.03  # weight of a frame in the running mean over a second


class Offset:
    """Removes the offset of a signal at 16 kHz block by block; a signal without an offset is unchanged.

    The block lengths do not change the result. The delay is at most the first 32 ms.

    Examples:
        >>> offset = Offset()
        >>> out = np.concatenate([offset.feed(np.full(16_000, 0.25, np.float32)), offset.close()])
        >>> len(out), float(np.abs(out).max())
        (16000, 0.0)
    """

    def __init__(self) -> None:
        self._first: Signal | None = None  # samples of the first frame, the only delay
        self._ramp: tuple[list[float], list[float]] = ([], [])  # the offset at both ends of this frame, by channel
        self._filled = 0  # samples of this frame so far
        self._sum: npt.NDArray[np.float64] | float = 0.0  # their sum, for each channel
        self._squares = 0.0
        self._offset: list[float] | None = None  # offset of each channel, from the previous frames
        self._low = self._all = 0.0  # mean squares of the offset and of the signal
        self._active = False

    def feed(self, block: Signal) -> Signal:
        """Return the next block, ``(samples,)`` or ``(channels, samples)``, without its offset."""
        if not block.shape[-1]:
            return block
        if self._offset is None:
            if self._first is not None:
                block = np.concatenate([self._first, block], axis=-1)
            if block.shape[-1] < FRAME:
                self._first = block.copy()
                return block[..., :0]
            self._begin(block[..., :FRAME])
        rows = block.reshape(-1, block.shape[-1])
        parts, at = [], 0
        while at < rows.shape[1]:
            if self._filled or rows.shape[1] - at < FRAME:
                part = rows[:, at : at + FRAME - self._filled]
                parts.append(self._part(part))
            else:
                part = rows[:, at : at + (rows.shape[1] - at) // FRAME * FRAME]
                parts.append(self._frames(part))
            at += part.shape[1]
        if not self._active:  # most signals have no offset and are unchanged
            return block
        return np.concatenate(parts, axis=1).reshape(block.shape)

    def close(self) -> Signal:
        """End the signal, and return the remaining samples: those of a signal shorter than a frame."""
        if self._offset is not None or self._first is None:
            return np.zeros(0, np.float32)
        self._begin(self._first)
        return self._part(self._first.reshape(-1, self._first.shape[-1])).reshape(self._first.shape)

    def _begin(self, signal: Signal) -> None:
        """Estimate the offset of the first frame from itself."""
        rows = signal.reshape(-1, signal.shape[-1])
        offset = rows.mean(axis=1, dtype=np.float64).tolist()
        self._offset, self._ramp = offset, (offset, offset)
        self._low = sum(one * one for one in offset) / len(offset)
        self._all = float(np.mean(rows**2, dtype=np.float64))
        self._active = self._low > max(LEAST, SHARE * self._all)

    def _part(self, rows: Signal) -> Signal:
        """Process samples up to the end of a frame at most."""
        begin, end = (np.asarray(one)[:, None] for one in self._ramp)
        steps = (np.arange(rows.shape[1]) + self._filled + 1) / FRAME
        out = np.asarray(rows - (begin + (end - begin) * steps), np.float32) if self._active else rows
        self._sum = self._sum + rows.sum(axis=1, dtype=np.float64)
        self._squares += float(np.sum(rows**2, dtype=np.float64))
        self._filled += rows.shape[1]
        if self._filled == FRAME:
            self._follow([(np.asarray(self._sum) / FRAME).tolist()], [self._squares / (FRAME * len(rows))])
            self._filled, self._sum, self._squares = 0, 0.0, 0.0
        return out

    def _frames(self, rows: Signal) -> Signal:
        """Process whole frames, ``(channels, n * FRAME)``."""
        frames = rows.reshape(len(rows), -1, FRAME)
        means = (np.add.reduce(frames, axis=2, dtype=np.float64) / FRAME).T.tolist()
        powers = (np.einsum("cfs,cfs->f", frames, frames) / (FRAME * len(rows))).tolist()
        ramps = self._follow(means, powers)
        if not self._active:
            return rows
        steps = (np.arange(FRAME) + 1) / FRAME
        begin, end = np.asarray(ramps).transpose(1, 2, 0)[..., None]
        return np.asarray(frames - (begin + (end - begin) * steps), np.float32).reshape(rows.shape)

    def _follow(self, means: list[list[float]], powers: list[float]) -> list[tuple[list[float], list[float]]]:
        """Move the offset towards the means of complete frames; return the offset at the start and end of each frame.

        Both are 0 until an offset is detected.
        """
        offset, low, power_of_all, ramp = self._offset, self._low, self._all, self._ramp
        assert offset is not None
        nothing = [0.0] * len(offset)
        ramps = []
        for mean, power in zip(means, powers, strict=True):  # plain numbers: small arrays are ten times slower
            ramps.append(ramp if self._active else (nothing, nothing))
            before, offset, square = offset, [], 0.0
            for one, new in zip(before, mean, strict=True):
                one += FOLLOWS * (new - one)
                square += one * one
                offset.append(one)
            low += SMOOTHED * (square / len(offset) - low)
            power_of_all += SMOOTHED * (power - power_of_all)
            begins = not self._active and low > LEAST and low > SHARE * power_of_all
            self._active |= begins
            ramp = (offset if begins else before, offset)
        self._offset, self._low, self._all, self._ramp = offset, low, power_of_all, ramp
        return ramps


def steady(blocks: Iterable[Signal]) -> Iterator[Signal]:
    """Remove the offset from the blocks of a signal at 16 kHz; the total length stays the same.

    Examples:
        >>> [len(block) for block in steady([np.zeros(700, np.float32), np.zeros(9, np.float32)])]
        [700, 9]
    """
    offset = Offset()
    for block in blocks:
        found = offset.feed(block)
        if found.shape[-1]:
            yield found
    last = offset.close()
    if last.shape[-1]:
        yield last
