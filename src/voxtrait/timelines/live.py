"""Finds turns in live input; each is final within 10 s.

Each second, the segmentation network processes the last 10 s, and the second before the last one becomes final. Runs
are cut at 3 s and get a speaker immediately: the most similar one so far, or a new one. There is less to compare than
in ``voxtrait.timelines.diarizer``, which uses half an hour before it decides, so there are more errors.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from voxtrait.audio.signals import Signal
from voxtrait.recognize.inference import Inference
from voxtrait.recognize.merging import ANY, Limits
from voxtrait.speech import Provisional, network, segmentation
from voxtrait.timelines.clusters import Speakers
from voxtrait.timelines.diarizer import Diarizer
from voxtrait.timelines.records import Segment
from voxtrait.timelines.runs import Runs
from voxtrait.timelines.tracks import ORDERS, Stretch

Array = npt.NDArray[np.float32]

STEP_FRAMES: Final = 59  # 1.0 s from window to window
AHEAD_FRAMES: Final = 59  # 1.0 s of input after a frame, before the frame becomes final
MOST_FRAMES: Final = 178  # 3 s: longer runs are cut
SAME: Final = 0.42  # a run with a lower similarity gets a new speaker
# minimum seconds of a run that can begin a new speaker: there are no later runs yet that could confirm it
BEGIN_S: Final = 1.0


class LiveTracks:
    """Computes the final activity of speakers one to two seconds late; see ``voxtrait.timelines.tracks``.

    Examples:
        >>> tracks = LiveTracks()
        >>> parts = [*tracks.feed(np.zeros(40_000, np.float32)), *tracks.close()]
        >>> [part.start for part in parts], sum(len(part.activity) for part in parts)
        ([0, 59], 149)
    """

    def __init__(self) -> None:
        self._samples = np.zeros(0, np.float32)  # samples of the window, and those that are not final
        self._first = 0  # frame at which they begin
        self._start = 0  # first frame that is not final
        self._before: tuple[int, Array] | None = None  # the last window: its first frame, (frames, 3)
        self._detector = Provisional()
        self._speech: list[bool] = []  # speech in each 32 ms, beginning with number _speech_at
        self._speech_at = 0

    def feed(self, signal: Signal) -> Iterator[Stretch]:
        """Process the next samples, mono at 16 kHz, ``(samples,)``, and yield the stretches that are final by now."""
        self._speech += self._detector.feed(signal).frames.tolist()
        self._samples = np.concatenate([self._samples, signal])
        while (end := self._start + STEP_FRAMES + AHEAD_FRAMES) <= self._first + len(self._samples) // segmentation.HOP:
            yield self._settle(end, STEP_FRAMES)

    def close(self) -> Iterator[Stretch]:
        """End the signal, and yield the rest."""
        self._speech += self._detector.feed(np.zeros(2 * network.FRAME * STEP_FRAMES, np.float32)).frames.tolist()
        end = self._first + -(-len(self._samples) // segmentation.HOP)
        if end > self._start:
            yield self._settle(end, end - self._start)

    def _settle(self, end: int, count: int) -> Stretch:
        """Run the network on the 10 s before a frame, and return the next frames as final."""
        first = max(self._first, end - segmentation.FRAMES)
        offset = (first - self._first) * segmentation.HOP
        window = self._samples[offset : (end - self._first) * segmentation.HOP]
        speech = self._spoken(first, end)
        found = np.zeros((end - first, segmentation.SLOTS), np.float32)
        if speech.any():
            active = segmentation.activity(window[: segmentation.WINDOW])[: end - first]
            found[: len(active)] = active
            found = found[:, self._order(first, found)]
        self._before = (first, found)
        begin = self._start - first
        samples = window[begin * segmentation.HOP : (begin + count) * segmentation.HOP]
        stretch = Stretch(self._start, found[begin : begin + count], speech[begin : begin + count], samples.copy())
        self._start += count
        drop = max(0, min(self._start, end + STEP_FRAMES - segmentation.FRAMES) - self._first)
        self._samples = self._samples[drop * segmentation.HOP :].copy()
        self._first += drop
        return stretch

    def _order(self, first: int, found: Array) -> tuple[int, ...]:
        """Return the order of the slots that matches the previous window best."""
        if self._before is None:
            return ORDERS[0]
        start, before = self._before
        before = before[first - start :]
        return min(ORDERS, key=lambda order: float(((before - found[: len(before), order]) ** 2).sum()))

    def _spoken(self, first: int, end: int) -> Array:
        """Return whether there is speech at each frame, as 0 or 1."""
        at = np.arange(first, end) * segmentation.HOP + segmentation.FIELD // 2
        drop = max(0, int(at[0]) // network.FRAME - self._speech_at)
        del self._speech[:drop]
        self._speech_at += drop
        known = np.array([*self._speech, False], np.float32)
        return np.asarray(known[np.minimum(at // network.FRAME - self._speech_at, len(known) - 1)])


class LiveDiarizer(Diarizer):
    """Finds turns and speakers in live input. Each turn, or part of one, is returned at most 10 s after it begins.

    Args:
        recognizer: recogniser with an encoder bundle.
        limits: limits of the number of speakers.

    Raises:
        BundleError: if the bundle has no speaker embedding.

    Examples:
        >>> from voxtrait.recognize import load
        >>> live = LiveDiarizer(load())
        >>> live.feed(np.zeros(32000, np.float32)), live.close(), live.duration_s
        ([], [], 2.0)
    """

    def __init__(self, recognizer: Inference, *, limits: Limits = ANY) -> None:
        super().__init__(recognizer, limits=limits)
        self._tracks, self._runs = LiveTracks(), Runs(MOST_FRAMES)
        self._speakers = Speakers(limits, same=SAME, lone=SAME, begin_s=BEGIN_S)

    def _process(self, stretches: Iterable[Stretch]) -> list[Segment]:
        """Encode the runs of each stretch, and assign their speakers immediately."""
        found: list[Segment] = []
        for stretch in stretches:
            self._music.feed(stretch)
            self._waiting += self._encode(list(self._runs.feed(stretch)))
            found += self._settle(None)
        return found
