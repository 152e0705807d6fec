"""Computes a timeline from known turns: only gender and age of each speaker are predicted."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.errors import OptionError
from voxtrait.recognize.inference import Inference
from voxtrait.timelines.diarizer import DIGITS, finished, joined
from voxtrait.timelines.records import Segment, Timeline
from voxtrait.timelines.voices import EMBEDDED_S, Voices

LONGEST_S: Final = 6.0  # maximum seconds per call of the encoder


def describe(
    recognizer: Inference, blocks: Iterable[Signal], turns: Sequence[Segment], *, path: str | None = None
) -> Timeline:
    """Compute the timeline of a recording whose turns are known, without diarisation.

    Args:
        recognizer: recogniser with an encoder bundle.
        blocks: mono at 16 kHz, ``(samples,)`` each.
        turns: turns with the names of the speakers. Overlapping parts are not used for gender and age. Parts after the
            end of the recording are cut off.
        path: name of the recording in the timeline.

    Raises:
        AudioError: if ``blocks`` raises it.
        OptionError: if all turns begin after the end of the recording.

    Examples:
        >>> from voxtrait.recognize import load
        >>> found = describe(load(), [np.zeros(32000, np.float32)], [Segment(0.5, 9.0, "Ann")])
        >>> found.speakers[0].speaker, found.segments[0].end_s
        ('Ann', 2.0)
    """
    voices = Voices(recognizer)
    turns = [Segment(round(turn.start_s, DIGITS), round(turn.end_s, DIGITS), turn.speaker) for turn in turns]
    waiting = alone(turns)
    held, start = np.zeros(0, np.float32), 0  # samples, and where they begin
    for block in blocks:
        held = np.concatenate([held, block])
        while waiting and round(waiting[0].end_s * SAMPLING_RATE) <= start + len(held):
            _add(voices, waiting.pop(0), held, start)
        kept = round(waiting[0].start_s * SAMPLING_RATE) if waiting else start + len(held)
        drop = min(max(kept - start, 0), len(held))
        held, start = held[drop:].copy(), start + drop
    duration_s = (start + len(held)) / SAMPLING_RATE
    for part in waiting:
        if part.start_s < duration_s:
            _add(voices, part, held, start)
    inside = [
        Segment(turn.start_s, min(turn.end_s, duration_s), turn.speaker) for turn in turns if turn.start_s < duration_s
    ]
    if turns and not inside:
        raise OptionError(
            f"The first turn begins at {min(turn.start_s for turn in turns):.2f} s, after the end of "
            f"{path or 'the recording'} at {duration_s:.2f} s. The turns may belong to another recording."
        )
    inside = joined(inside, within_s=0.0)
    spoken: dict[str, float] = {}
    for turn in inside:
        spoken[str(turn.speaker)] = spoken.get(str(turn.speaker), 0.0) + turn.duration_s
    speakers = [voices.describe(name, seconds) for name, seconds in spoken.items()]
    return finished(recognizer, path, duration_s, inside, speakers)


def alone(turns: Sequence[Segment]) -> list[Segment]:
    """Return the parts of turns in which one speaker speaks alone, at most 6 s each, by start.

    Examples:
        >>> alone([Segment(0, 2, "S1"), Segment(1, 4, "S2")])
        [Segment(start_s=0, end_s=1, speaker='S1', kind=None), Segment(start_s=2, end_s=4, speaker='S2', kind=None)]
    """
    starts = [(turn.start_s, 1, str(turn.speaker)) for turn in turns]
    edges = sorted([*starts, *((turn.end_s, -1, str(turn.speaker)) for turn in turns)])
    active: dict[str, int] = {}
    found: list[Segment] = []
    before = 0.0
    for at, change, name in edges:
        if len(active) == 1 and at > before:
            (speaker,) = active
            if found and found[-1].end_s == before and found[-1].speaker == speaker:
                before = found.pop().start_s
            found.append(Segment(before, at, speaker))
        before = at
        active[name] = active.get(name, 0) + change
        if not active[name]:
            del active[name]
    return [piece for part in found for piece in _pieces(part)]


def _pieces(part: Segment) -> list[Segment]:
    count = int(np.ceil(part.duration_s / LONGEST_S))
    if count <= 1:
        return [part]
    ends = np.linspace(part.start_s, part.end_s, count + 1).tolist()
    return [Segment(start, end, part.speaker) for start, end in itertools.pairwise(ends)]


def _add(voices: Voices, part: Segment, held: Signal, start: int) -> None:
    first, last = (round(at * SAMPLING_RATE) - start for at in (part.start_s, part.end_s))
    spoken = held[max(first, 0) : last]
    if len(spoken) >= EMBEDDED_S * SAMPLING_RATE:
        voices.add(str(part.speaker), voices.summary(spoken), len(spoken) / SAMPLING_RATE)
