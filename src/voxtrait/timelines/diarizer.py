"""Computes a timeline from blocks of audio: tracks, runs, clusters, and a prediction for each speaker.

::

    blocks ─► Tracks ─ stretches ─► Runs ─ runs ─► encoder ─ summaries, embeddings ─► Speakers ─ numbers ─► Timeline

The encoder for gender and age also computes the embeddings, so it processes each run once. Runs are clustered in parts
of half an hour. Then the part is final: later speech does not change its turns, and its runs leave memory.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np

from voxtrait.audio.channels import Comparison
from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.features import Array
from voxtrait.recognize import SHORTEST_S
from voxtrait.recognize.inference import Inference
from voxtrait.recognize.merging import ANY, Limits
from voxtrait.recognize.notes import note_on
from voxtrait.speech import segmentation
from voxtrait.timelines.clusters import Item, Speakers
from voxtrait.timelines.compensation import compensated
from voxtrait.timelines.music import Music
from voxtrait.timelines.records import Segment, Speaker, Timeline, union_s
from voxtrait.timelines.runs import MOST_FRAMES, Run, Runs
from voxtrait.timelines.tracks import Stretch, Tracks
from voxtrait.timelines.voices import EMBEDDED_S, Voices

PART_S: Final = 1800.0  # seconds of a recording that are clustered together
DIGITS: Final = 2  # decimals of a turn's seconds, the same in all formats
JOIN_S: Final = 0.3  # two runs of one speaker with at most this pause are one turn
OFFSET_S: Final = segmentation.FIELD / 2 / SAMPLING_RATE  # middle of frame 0
LATE_FRAMES: Final = 4 * MOST_FRAMES  # after this, all runs that began in a part have ended or were cut

Result = TypeVar("Result")


class EncodedRun(NamedTuple):
    """A run that has passed the encoder."""

    run: Run
    summary: Array | None  # (f,), the mean over its windows
    item: Item


class _Settling(Protocol):
    """The interface of tracks: for files and for live input."""

    def feed(self, signal: Signal) -> Iterator[Stretch]:
        """Process the next samples, and yield the stretches that are final by now."""

    def close(self) -> Iterator[Stretch]:
        """End the signal, and yield the remaining stretches."""


class Diarizer:
    """Finds turns and speakers in a recording that arrives in blocks.

    Args:
        recognizer: recogniser with an encoder bundle.
        limits: limits of the number of speakers.
        part_s: seconds of a part; its turns are final after that.
        threads: number of threads that run the networks.

    Raises:
        BundleError: if the bundle has no speaker embedding.
    """

    def __init__(
        self, recognizer: Inference, *, limits: Limits = ANY, part_s: float = PART_S, threads: int = 1
    ) -> None:
        self._recognizer = recognizer
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)
        self._tracks: _Settling = Tracks(self._map)
        self._runs, self._music = Runs(), Music()
        self._speakers = Speakers(limits)
        self._part = round(part_s / segmentation.FRAME_S)
        self._waiting: list[EncodedRun] = []
        self._parts = 1
        self._voices = Voices(recognizer)
        self._names: dict[int, str] = {}  # of the speakers' numbers, by who speaks first
        self.duration_s = 0.0
        self.turns: list[Segment] = []  # settled

    def feed(self, signal: Signal) -> list[Segment]:
        """Process the next block, mono at 16 kHz, ``(samples,)``, and return the turns that are final by now."""
        self.duration_s += len(signal) / SAMPLING_RATE
        return self._process(self._tracks.feed(signal))

    def close(self) -> list[Segment]:
        """End the recording, and return the remaining turns."""
        found = self._process(self._tracks.close())
        self._waiting += self._encode(list(self._runs.close()))
        found += self._settle(None)
        self._pool.shutdown()
        return found

    def speakers(self) -> tuple[Speaker, ...]:
        """Predict gender and age of each speaker from all of their final turns."""
        spoken: dict[str, float] = {}
        for turn in self.turns:
            spoken[str(turn.speaker)] = spoken.get(str(turn.speaker), 0.0) + turn.duration_s
        return tuple(self._voices.describe(name, spoken[name]) for name in self._names.values())

    def music(self) -> list[Segment]:
        """Return the music outside the final turns, by start."""
        return self._music.segments(self.turns, self.duration_s)

    def timeline(self, path: str | None = None) -> Timeline:
        """Return the timeline of all final turns; ``path`` is the name of the recording in it."""
        segments = [*joined(self.turns), *self.music()]
        return finished(self._recognizer, path, self.duration_s, segments, self.speakers())

    def _process(self, stretches: Iterable[Stretch]) -> list[Segment]:
        """Encode the runs of stretches in parallel, and finish the parts that end in them."""
        runs = []
        for stretch in stretches:
            self._music.feed(stretch)
            runs.append((stretch.start, list(self._runs.feed(stretch))))
        encoded = iter(self._encode([run for _, some in runs for run in some]))
        found: list[Segment] = []
        for start, some in runs:
            self._waiting += [next(encoded) for _ in some]
            # a run that began before the end of the part may arrive late; block lengths must not change the result
            if start >= self._parts * self._part + LATE_FRAMES:
                found += self._settle(self._parts * self._part)
                self._parts += 1
        return found

    def _encode(self, runs: list[Run]) -> list[EncodedRun]:
        return list(self._map(self._encoded, runs))

    def _map(self, job: Callable[..., Result], *items: Iterable[Any]) -> Iterator[Result]:
        return map(job, *items) if self._threads == 1 else self._pool.map(job, *items)

    def _encoded(self, run: Run) -> EncodedRun:
        alone_s = len(run.alone) / SAMPLING_RATE
        summary = embedding = None
        if alone_s >= EMBEDDED_S:
            summary = self._voices.summary(run.alone)
            embedding = compensated(self._recognizer.embed_summary(summary[None]))
        start_s, end_s = (OFFSET_S + frame * segmentation.FRAME_S for frame in (run.start - 0.5, run.end - 0.5))
        item = Item(max(0.0, start_s), min(end_s, self.duration_s), run.slot, alone_s, embedding)
        spent = np.zeros(0, np.float32)  # an empty slice would keep all samples in memory
        return EncodedRun(run._replace(alone=spent), summary, item)

    def _settle(self, before: int | None) -> list[Segment]:
        now = [one for one in self._waiting if before is None or one.run.start < before]
        now.sort(
            key=lambda one: one.run[:3]
        )  # a long run is waiting until it has ended; speakers are numbered by start
        self._waiting = [one for one in self._waiting if before is not None and one.run.start >= before]
        if not now:
            return []
        turns: list[Segment] = []
        for one, number in zip(now, self._speakers.assign([one.item for one in now]), strict=True):
            if number is None:
                continue
            name = self._names.setdefault(number, f"S{len(self._names) + 1}")
            if one.summary is not None:
                self._voices.add(name, one.summary, one.item.alone_s)
            turns.append(Segment(round(one.item.start_s, DIGITS), round(one.item.end_s, DIGITS), name))
        turns = joined(turns)
        self.turns += turns
        return turns


def joined(turns: list[Segment], within_s: float = JOIN_S) -> list[Segment]:
    """Join turns of one speaker that overlap or have a pause of at most ``within_s`` seconds. Return them by start.

    Examples:
        >>> joined([Segment(0, 1, "S1"), Segment(0.5, 2, "S2"), Segment(1.1, 3, "S1")])
        [Segment(start_s=0, end_s=3, speaker='S1', kind=None), Segment(start_s=0.5, end_s=2, speaker='S2', kind=None)]
    """
    last: dict[str | None, int] = {}
    found: list[Segment] = []
    for turn in sorted(turns, key=lambda one: (one.start_s, one.end_s)):
        place = last.get(turn.speaker)
        if place is not None and turn.start_s - found[place].end_s <= within_s:
            found[place] = dataclasses.replace(found[place], end_s=max(found[place].end_s, turn.end_s))
        else:
            last[turn.speaker] = len(found)
            found.append(turn)
    return found


def diarize(
    recognizer: Inference,
    blocks: Iterable[Signal],
    *,
    path: str | None = None,
    compared: Comparison | None = None,
    limits: Limits = ANY,
    part_s: float = PART_S,
    threads: int = 1,
) -> Timeline:
    """Compute a timeline from blocks of audio that the caller reads.

    Args:
        recognizer: recogniser with an encoder bundle.
        blocks: mono at 16 kHz, ``(samples,)`` each.
        path: name of the recording in the timeline.
        compared: comparison of the averaged channels; complete when all blocks are read.
        limits: limits of the number of speakers.
        part_s: seconds that are clustered together. The turns of a part do not depend on later parts.
        threads: number of threads that run the encoder.

    Raises:
        AudioError: if ``blocks`` raises it.
        BundleError: if the bundle has no speaker embedding.

    Examples:
        >>> import numpy as np
        >>> from voxtrait.recognize import load
        >>> diarize(load(), [np.zeros(32000, np.float32)]).status
        'no_speech'
    """
    diarizer = Diarizer(recognizer, limits=limits, part_s=part_s, threads=threads)
    for block in blocks:
        diarizer.feed(block)
    diarizer.close()
    return noted(diarizer.timeline(path), compared)


def noted(timeline: Timeline, compared: Comparison | None) -> Timeline:
    """Add the note on averaged channels, if they contain different people."""
    note = note_on(compared)
    return dataclasses.replace(timeline, message=note) if note and timeline.status == "ok" else timeline


def finished(
    recognizer: Inference, path: str | None, duration_s: float, segments: Iterable[Segment], speakers: Iterable[Speaker]
) -> Timeline:
    """Return the timeline of a complete recording. Without turns, its status is ``no_speech`` or ``too_short``."""
    segments = tuple(sorted(segments, key=lambda one: (one.start_s, one.end_s)))
    model = recognizer.bundle.title
    if any(one.speaker is not None for one in segments):
        return Timeline(path, "ok", None, duration_s, union_s(segments), tuple(speakers), segments, model)
    status, message = "no_speech", "no speech was found"
    if duration_s < SHORTEST_S:
        status, message = "too_short", f"{duration_s:.2f} s of audio, expected at least {SHORTEST_S} s"
    return Timeline(path, status, message, duration_s, 0.0, (), segments, model)
