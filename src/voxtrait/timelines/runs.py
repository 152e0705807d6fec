"""Cuts runs out of the activity of slots: parts with one speaker, and the samples in which they speak alone."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from voxtrait.audio.signals import Signal
from voxtrait.speech import segmentation
from voxtrait.timelines.sliding import sliding_maximum
from voxtrait.timelines.tracks import Stretch

ACTIVE: Final = 0.5  # a slot with at least this probability speaks
GAP_FRAMES: Final = 12  # a pause of up to 0.2 s in a slot belongs to its run
LEAST_FRAMES: Final = 6  # 0.1 s: shorter runs are dropped
MOST_FRAMES: Final = 356  # 6 s: longer runs are cut, so that clustering can separate what the network joined …
SPARE_FRAMES: Final = 60  # … unless only this much, 1 s, would be left
PAUSE: Final = 0.3  # with a lower probability of speech, all slots are silent …
NEAR_FRAMES: Final = 9  # … unless it is higher within 70 ms
SPOKEN: Final = 0.25  # minimum mean probability of speech of a run, by Silero's network


class Run(NamedTuple):
    """A run of a slot."""

    start: int  # frames from the recording's start
    end: int
    slot: int
    alone: Signal  # the samples in which no other slot speaks: (frames * 270,)


class Runs:
    """Cuts runs out of consecutive stretches. Memory does not grow with the length of a recording.

    Args:
        most_frames: maximum length of a run in frames; longer runs are cut.

    Examples:
        >>> runs = Runs()
        >>> silent = Stretch(0, np.zeros((4, 3), np.float32), np.zeros(4, np.float32), np.zeros(1080, np.float32))
        >>> list(runs.feed(silent)), list(runs.close())
        ([], [])
    """

    def __init__(self, most_frames: int = MOST_FRAMES) -> None:
        self._most = most_frames
        self._start = 0  # first frame in memory
        self._active = np.zeros((0, segmentation.SLOTS), bool)
        self._speech = np.zeros(0, np.float32)
        self._samples = np.zeros(0, np.float32)
        self._done = [0] * segmentation.SLOTS  # frame up to which each slot is final

    def feed(self, stretch: Stretch) -> Iterator[Run]:
        """Process the next stretch, and yield the runs that have ended."""
        if not len(self._active):
            self._start = stretch.start
        spoken = sliding_maximum(stretch.speech, NEAR_FRAMES) >= PAUSE
        self._active = np.concatenate([self._active, (stretch.activity >= ACTIVE) & spoken[:, None]])
        self._speech = np.concatenate([self._speech, stretch.speech])
        self._samples = np.concatenate([self._samples, stretch.samples])
        yield from self._ended(last=False)
        self._forget()

    def close(self) -> Iterator[Run]:
        """End the recording, and yield the remaining runs."""
        yield from self._ended(last=True)

    def _ended(self, last: bool) -> Iterator[Run]:
        total = self._start + len(self._active)
        found = []
        for slot in range(segmentation.SLOTS):
            offset = max(self._done[slot] - self._start, 0)
            for start, end in filled(self._active[offset:, slot], GAP_FRAMES):
                begin, stop = start + offset + self._start, end + offset + self._start
                ended = last or stop + GAP_FRAMES < total
                while stop - begin > self._most + SPARE_FRAMES:
                    cut = begin + self._most if stop - begin > 2 * self._most else begin + (stop - begin) // 2
                    if not ended and cut == begin + (stop - begin) // 2:
                        break
                    found.append((begin, cut, slot))
                    begin = self._done[slot] = cut
                if ended:
                    found.append((begin, stop, slot))
                    self._done[slot] = stop
        for begin, stop, slot in sorted(found):
            if stop - begin >= LEAST_FRAMES and self._is_speech(begin, stop):
                yield Run(begin, stop, slot, self._alone(begin, stop, slot))

    def _is_speech(self, begin: int, stop: int) -> bool:
        return bool(self._speech[begin - self._start : stop - self._start].mean() >= SPOKEN)

    def _alone(self, begin: int, stop: int, slot: int) -> Signal:
        part = self._active[begin - self._start : stop - self._start]
        alone = part[:, slot] & (part.sum(axis=1) == 1)
        samples = self._samples[(begin - self._start) * segmentation.HOP :][: len(part) * segmentation.HOP]
        samples = np.pad(samples, (0, len(part) * segmentation.HOP - len(samples)))
        return np.asarray(samples.reshape(-1, segmentation.HOP)[alone].ravel())

    def _forget(self) -> None:
        total = self._start + len(self._active)
        keep = total - GAP_FRAMES - 1
        for slot in range(segmentation.SLOTS):
            offset = max(self._done[slot] - self._start, 0)
            for start, _ in filled(self._active[offset:, slot], GAP_FRAMES):
                keep = min(keep, start + offset + self._start)
        drop = max(0, keep - self._start)
        self._active = self._active[drop:].copy()
        self._speech = self._speech[drop:].copy()
        self._samples = self._samples[drop * segmentation.HOP :].copy()
        self._start += drop


def filled(active: npt.NDArray[np.bool_], gap: int) -> list[tuple[int, int]]:
    """Return the runs of true values, as (first, past the last); gaps of up to ``gap`` values are filled.

    Examples:
        >>> filled(np.array([0, 1, 1, 0, 1] + 30 * [0] + [1], bool), 12)
        [(1, 5), (35, 36)]
    """
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    found: list[tuple[int, int]] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if found and start - found[-1][1] <= gap:
            start = found.pop()[0]
        found.append((start, end))
    return found
