"""Joins the windows of the segmentation network to the activity of three slots over a whole recording.

The windows overlap by half. The slots of a window are reordered to match the overlapping half of the previous window
best (as in Kinoshita et al., "Integrating end-to-end neural and clustering-based diarization", ICASSP 2021). So a slot
that stays active is one speaker. After a pause, the same slot may be another speaker; clustering decides.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from voxtrait.audio.signals import Signal
from voxtrait.speech import detector, network, segmentation

Array = npt.NDArray[np.float32]

STEP_FRAMES: Final = 296  # 5 s from window to window
STEP: Final = STEP_FRAMES * segmentation.HOP
SHARED: Final = segmentation.POSITIONS - STEP // segmentation.POSITION  # positions that two windows share
TOGETHER: Final = 4  # windows whose first layers, of 1.7 MB, are in memory at once if map_ has threads
ORDERS: Final = tuple(itertools.permutations(range(segmentation.SLOTS)))
SPEECH: Final = 0.3  # the segmentation network skips windows whose probabilities of speech stay below this
TARGET_DBFS: Final = -16.0  # level of the loud frames
LEVELLED: Final = 312 * network.FRAME  # samples, 10 s, that are brought to one level


class Stretch(NamedTuple):
    """A part of a recording with its final activity."""

    start: int  # first frame from the start of the recording, in steps of segmentation.HOP samples
    activity: Array  # (frames, 3): probability that each slot speaks
    speech: Array  # (frames,): probability of speech by Silero's network
    samples: Signal  # (frames * HOP,)


class Tracks:
    """Joins windows into stretches. Memory does not grow with the length of a recording.

    Args:
        map_: function that calls another for several windows, such as the built-in ``map`` or that of a pool.

    Examples:
        >>> tracks = Tracks()
        >>> parts = [*tracks.feed(np.zeros(400_000, np.float32)), *tracks.close()]
        >>> sum(len(part.activity) for part in parts)
        1482
    """

    def __init__(self, map_: Callable[..., Iterable[Array]] = map) -> None:
        self._map = map_
        self._samples = np.zeros(0, np.float32)  # samples from the first frame that is not final
        self._start = 0  # this frame
        self._tail: Array | None = None  # second half of the last window: (STEP_FRAMES, 3)
        self._shared: Array | None = None  # first layer at the last positions, if known: (160, SHARED)
        self._state = network.start()
        self._shares = np.zeros(0, np.float32)  # Silero's probabilities, one per 512 samples, beginning with _shares_at
        self._shares_at = 0
        self._undetected = np.zeros(0, np.float32)  # samples that Silero's network has not processed

    def feed(self, signal: Signal) -> Iterator[Stretch]:
        """Process the next samples, mono at 16 kHz, ``(samples,)``, and yield the stretches that are final by now."""
        self._detect(signal)
        self._samples = np.concatenate([self._samples, signal])
        count = max(0, (len(self._samples) - segmentation.WINDOW) // STEP + 1)
        windows = [self._samples[place * STEP :][: segmentation.WINDOW] for place in range(count)]
        spoken = self._spoken(count)
        for at in range(0, count, TOGETHER):
            group, group_spoken = windows[at : at + TOGETHER], spoken[at : at + TOGETHER]
            for found in self._map(self._activity, group, group_spoken, self._first_layers(group, group_spoken)):
                yield self._next(found, STEP_FRAMES)

    def close(self) -> Iterator[Stretch]:
        """End the signal, and yield the rest."""
        self._detect(np.zeros(-len(self._undetected) % network.FRAME, np.float32))
        frames = -(-len(self._samples) // segmentation.HOP)
        while frames > 0:
            take = min(frames, STEP_FRAMES)
            window = self._samples[: segmentation.WINDOW]
            yield self._next(self._activity(window, self._spoken(1)[0]), take)
            frames -= take

    def _detect(self, signal: Signal) -> None:
        waiting = np.concatenate([self._undetected, signal])
        count = len(waiting) // network.FRAME * network.FRAME
        self._undetected = waiting[count:].copy()
        for at in range(0, count, LEVELLED):
            piece = waiting[at : min(at + LEVELLED, count)]
            level = detector.loud_dbfs(detector.powers(piece))
            if level < detector.QUIETEST_DBFS:
                self._state = network.start()
                shares = np.zeros(len(piece) // network.FRAME, np.float32)
            else:
                shares, self._state = network.probabilities(piece, self._state, 10 ** ((TARGET_DBFS - level) / 20))
            self._shares = np.concatenate([self._shares, shares])

    def _shares_of(self, frames: int) -> Array:
        """Return Silero's probabilities at the next frames."""
        at = np.arange(frames) * segmentation.HOP + segmentation.FIELD // 2 + self._start * segmentation.HOP
        place = np.clip(at // network.FRAME - self._shares_at, 0, max(len(self._shares) - 1, 0))
        return self._shares[place] if len(self._shares) else np.zeros(frames, np.float32)

    def _spoken(self, count: int) -> list[bool]:
        """Return whether each of the next windows may contain speech."""
        shares = self._shares_of((count - 1) * STEP_FRAMES + segmentation.FRAMES)
        parts = (shares[place * STEP_FRAMES :][: segmentation.FRAMES] for place in range(count))
        return [bool(part.max(initial=0.0) >= SPEECH) for part in parts]

    def _first_layers(self, windows: list[Signal], spoken: list[bool]) -> Iterator[list[Array]]:
        """Yield the parts of the first layer for each window; without speech, the window does not need them.

        After a window with speech, the first part is the end of that window's layer.
        """
        known = [self._shared is not None, *spoken][: len(spoken)]
        own = [
            window[SHARED * segmentation.POSITION if shares else 0 :]
            for window, is_spoken, shares in zip(windows, spoken, known, strict=True)
            if is_spoken
        ]
        found = iter(self._map(segmentation.first_layer, own))
        for is_spoken in spoken:
            parts = [] if self._shared is None else [self._shared]
            if is_spoken:
                parts.append(next(found))
            self._shared = parts[-1][:, -SHARED:] if is_spoken else None
            yield parts

    @staticmethod
    def _activity(window: Signal, spoken: bool, first: Sequence[Array] = ()) -> Array:
        """Return the activity in a window, ``(2 * STEP_FRAMES, 3)``; the last frame is repeated."""
        if not spoken:
            return np.zeros((2 * STEP_FRAMES, segmentation.SLOTS), np.float32)
        found = segmentation.activity(window, np.concatenate(first, axis=1) if first else None)
        return np.concatenate([found, found[-1:].repeat(2 * STEP_FRAMES - len(found), axis=0)])

    def _next(self, found: Array, take: int) -> Stretch:
        """Join a window with the previous one, and return the next ``take`` frames as final."""
        shares = self._shares_of(segmentation.FRAMES)
        head = found[:STEP_FRAMES]
        if self._tail is not None:
            tail = self._tail
            order = min(ORDERS, key=lambda order: float(((tail - head[:, order]) ** 2).sum()))
            found = found[:, order]
            ramp = np.linspace(1, 0, STEP_FRAMES, dtype=np.float32)[:, None]
            head = ramp * tail + (1 - ramp) * found[:STEP_FRAMES]
        self._tail = found[STEP_FRAMES:].copy()
        samples = take * segmentation.HOP
        stretch = Stretch(self._start, head[:take].copy(), shares[:take].copy(), self._samples[:samples].copy())
        self._samples = self._samples[samples:].copy()
        self._start += take
        drop = max(0, self._start * segmentation.HOP // network.FRAME - self._shares_at - 2)
        self._shares = self._shares[drop:].copy()
        self._shares_at += drop
        return stretch
