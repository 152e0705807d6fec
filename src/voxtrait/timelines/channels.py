"""Computes the timeline of a recording with one speaker per channel, such as a telephone call.

The speech detector processes each channel. Speech that reaches a channel only from another channel (cross-talk, echo)
is removed. Its level follows that of the other channel, with a difference that is measured over the whole recording.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from voxtrait.audio.channels import Comparison
from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.errors import DecodeError
from voxtrait.recognize.inference import Inference
from voxtrait.speech import FRAME_S, Detection, Detector
from voxtrait.timelines.diarizer import DIGITS, finished
from voxtrait.timelines.given import describe as describe_turns
from voxtrait.timelines.records import Segment, Speaker, Timeline
from voxtrait.timelines.runs import filled
from voxtrait.timelines.sliding import sliding_maximum, sliding_mean

Frames = npt.NDArray[np.bool_]
Levels = npt.NDArray[np.float32]

SMOOTHED_FRAMES: Final = 7  # levels are averaged over 0.2 s
ECHO_FRAMES: Final = 19  # the sound of the other channel may arrive 0.3 s before or after
LOUD_DB: Final = 12.0  # frames up to this far below the loud ones (90th percentile of speech) show who speaks
APART_DB: Final = 8.0  # minimum distance of the level differences of two speakers; if smaller, only one speaks
LEAK_DB: Final = (
    8.0  # the speaker of a channel exceeds cross-talk by this, but by at most a third of the distance above
)
OUTER: Final = 75.0  # percentile
ROUNDS: Final = 10  # of k-means, which rarely needs more than three
LEAST_FRAMES: Final = 15  # a channel with less speech than this, 0.5 s, is not compared with others
WITHIN_FRAMES: Final = 19  # 0.6 s; shorter gaps that the removal leaves in speech are filled
GAP_FRAMES: Final = 9  # 0.3 s; shorter pauses belong to a turn
MARGIN_FRAMES: Final = 3  # frames that the speech detector adds to both sides, and that turns leave out
SHORTEST_FRAMES: Final = 6  # 0.2 s; shorter turns are dropped
QUIETEST: Final = 1e-10  # mean square of -100 dBFS


def describe(
    recognizer: Inference,
    together: Iterable[Signal],
    alone: Callable[[int], Iterable[Signal]],
    *,
    path: str | None = None,
) -> Timeline:
    """Compute the timeline of a recording in which each channel belongs to one speaker.

    Args:
        recognizer: recogniser with an encoder bundle.
        together: blocks of all channels at 16 kHz, ``(channels, samples)`` each.
        alone: function that opens the blocks of one channel, counted from 1: ``(samples,)`` each.
        path: name of the recording in the timeline.

    Raises:
        AudioError: if the blocks raise it.
        DecodeError: if there is only one channel, or if all channels are identical.

    Examples:
        >>> from voxtrait.recognize import load
        >>> describe(load(), [np.zeros((2, 32000), np.float32)], lambda channel: []).status
        'no_speech'
    """
    detectors: list[Detector] = []
    parts: list[list[Detection]] = []
    compared = Comparison()
    samples = 0
    for block in together:
        if block.ndim == 1:
            raise DecodeError(
                f"{path or 'The signal'} has one channel. Expected at least two channels, one for each speaker. Run "
                "without --channels."
            )
        if not detectors:
            detectors = [Detector() for _ in block]
            parts = [[] for _ in block]
        compared.feed(block, SAMPLING_RATE)
        samples += block.shape[1]
        for signal, detector, found in zip(block, detectors, parts, strict=True):
            found.append(_without_sound(detector.feed(signal)))
    for detector, found in zip(detectors, parts, strict=True):
        found.append(_without_sound(detector.close()))
    if compared.same and any(part.frames.any() for part in parts[0]):
        raise DecodeError(
            f"The {len(parts)} channels of {path or 'the signal'} are identical. Expected one speaker per channel. Run "
            "without --channels."
        )
    frames = np.stack([np.concatenate([part.frames for part in found]) for found in parts])
    powers = np.stack([np.concatenate([part.powers for part in found]) for found in parts])
    spoken = own_speech(frames, powers)
    by_channel = {channel + 1: _turns(row) for channel, row in enumerate(spoken)}
    order = sorted((channel for channel, turns in by_channel.items() if turns), key=lambda one: by_channel[one][0])
    turns: list[Segment] = []
    speakers: list[Speaker] = []
    for number, channel in enumerate(order, 1):
        ours = [Segment(start_s, end_s, f"S{number}") for start_s, end_s in by_channel[channel]]
        (speaker,) = describe_turns(recognizer, alone(channel), ours, path=path).speakers
        speakers.append(dataclasses.replace(speaker, channel=channel))
        turns += ours
    turns.sort(key=lambda turn: (turn.start_s, turn.end_s))
    return finished(recognizer, path, samples / SAMPLING_RATE, turns, speakers)


def own_speech(frames: Frames, powers: Levels) -> Frames:
    """Remove cross-talk from the speech of each channel.

    The difference between the levels of two channels has one value while the first speaker speaks, and another while
    the second does. Both values are measured. Frames near the value of one speaker have no speech of the other.

    Args:
        frames: whether there is speech in each 32 ms, ``(channels, n)``.
        powers: mean power of each 32 ms, ``(channels, n)``.

    Returns:
        Whether there is speech that does not come from another channel, ``(channels, n)``.

    Examples:
        >>> frames = np.ones((2, 100), bool)
        >>> powers = np.ones((2, 100), np.float32)
        >>> powers[1, :50] = powers[0, 50:] = 0.001  # the other one is 30 dB quieter
        >>> own_speech(frames, powers).sum(axis=1).tolist()  # levels are averaged over 0.2 s
        [53, 53]
    """
    levels = 10 * np.log10(np.maximum(sliding_mean(powers, SMOOTHED_FRAMES), QUIETEST))
    spread = sliding_maximum(levels, ECHO_FRAMES)
    speaking = [channel for channel, row in enumerate(frames) if np.count_nonzero(row) >= LEAST_FRAMES]
    found = frames.copy()
    for one, other in itertools.combinations(speaking, 2):
        low, high = _differences(levels[one], levels[other], frames[one], frames[other])
        if high - low < APART_DB:
            found[other if low + high > 0 else one] = False
            continue
        margin = min(LEAK_DB, (high - low) / 3)
        found[other] &= levels[other] > spread[one] - high + margin
        found[one] &= levels[one] > spread[other] + low + margin
    for row, speech in zip(found, frames, strict=True):
        for start, end in filled(row, WITHIN_FRAMES):  # a soft syllable between two loud ones is of the same speaker
            row[start:end] = speech[start:end]
    return found


def _differences(one: Levels, other: Levels, ours: Frames, theirs: Frames) -> tuple[float, float]:
    """Return the level of one channel over another in dB while the other's speaker speaks, and while its own does."""
    clear = np.zeros(len(one), bool)
    for level, frames in ((one, ours), (other, theirs)):
        clear |= frames & (level > np.percentile(level[frames], 90) - LOUD_DB)
    differences = (one - other)[clear].astype(np.float64)
    low, high = np.percentile(differences, [2.0, 98.0])
    if high - low < APART_DB:  # one value, so only one of them speaks
        return float(low), float(high)
    for _ in range(ROUNDS):  # k-means with two clusters; none of them becomes empty, as the middle is between means
        upper = differences > (low + high) / 2
        low, high = differences[~upper].mean(), differences[upper].mean()
    middle = (low + high) / 2
    # while both speak, the difference is between the two values, so only the outer part of each half counts
    low, high = (
        np.percentile(half, at) if len(half) else middle
        for half, at in ((differences[differences < middle], 100 - OUTER), (differences[differences >= middle], OUTER))
    )
    return float(low), float(high)


def _without_sound(detection: Detection) -> Detection:
    """Keep only the decisions and the powers, 5 bytes per 32 ms."""
    nothing = np.zeros(0, np.float32)
    return Detection(detection.frames, nothing, detection.powers, nothing)


def _turns(spoken: Frames) -> list[tuple[float, float]]:
    """Return start and end in seconds of the turns of one channel."""
    return [
        (round((start + MARGIN_FRAMES) * FRAME_S, DIGITS), round((end - MARGIN_FRAMES) * FRAME_S, DIGITS))
        for start, end in filled(spoken, GAP_FRAMES)
        if end - start >= SHORTEST_FRAMES + 2 * MARGIN_FRAMES
    ]
