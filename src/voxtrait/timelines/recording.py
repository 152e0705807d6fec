"""Computes the timeline of a file, URL, bytes or signal: the public :func:`voxtrait.timeline`."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence

from voxtrait import audio, storage
from voxtrait.audio.channels import Comparison
from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.errors import BundleError, DecodeError, OptionError, VoxtraitError
from voxtrait.recognize import Recognizer, load
from voxtrait.recognize.inputs import Input, Sound, Taken, name_of, taken
from voxtrait.recognize.merging import ANY, Limits
from voxtrait.recognize.sources import blocks_of, channel_blocks_of
from voxtrait.timelines import given
from voxtrait.timelines.channels import describe
from voxtrait.timelines.diarizer import diarize, noted
from voxtrait.timelines.records import Segment, Timeline
from voxtrait.timelines.turns import read_turns


def timeline(
    source: Input,
    sampling_rate: int | None = None,
    *,
    model: Recognizer | str | os.PathLike[str] | None = None,
    speakers: int | None = None,
    min_speakers: int | None = None,
    max_speakers: int | None = None,
    turns: str | os.PathLike[str] | Sequence[Segment] | None = None,
    channels: bool = False,
    channel: int | None = None,
    threads: int = 1,
    progress: Callable[[float], None] | None = None,
) -> Timeline:
    """Find who speaks when in a recording, and estimate gender and age of each speaker.

    Args:
        source: a file of audio, its URL or bytes, an open binary file, a signal ``(samples,)`` or ``(channels,
            samples)``, or whatever else :meth:`voxtrait.Recognizer.predict` accepts.
        sampling_rate: sampling rate of a signal in Hz, if the source does not contain it.
        model: recogniser, or folder or name of a bundle; ``None`` for the shipped bundle.
        speakers: number of speakers, if known.
        min_speakers: minimum number of speakers.
        max_speakers: maximum number of speakers.
        turns: turns that are already known, or a file with them (:func:`~voxtrait.timelines.read_turns`). The
            recording is then not diarised.
        channels: whether each channel belongs to one speaker, as in telephone calls; cross-talk is removed.
        channel: channel to use, counted from 1; ``None`` averages all channels.
        threads: number of threads that run the encoder.
        progress: function that is called with the seconds of each processed block; not with ``channels``.

    Returns:
        The timeline. A file that cannot be used gets status ``error``, and no exception.

    Raises:
        OptionError: if the numbers of speakers contradict each other, if the turns cannot be used, if ``channels`` is
            combined with them, or if the sampling rate of a signal is missing.
        SourceError: (a ``TypeError``) if the source is not audio.
        SignalError: (a ``ValueError``) if an array is not a signal.
        BundleError: if the bundle has no speaker embedding.

    Examples:
        >>> import numpy as np
        >>> timeline(np.zeros(32000), sampling_rate=16000).status
        'no_speech'
    """
    limits = limits_of(speakers, min_speakers, max_speakers)
    check_channels(channels, channel, limits != ANY or turns is not None)
    recognizer = model if isinstance(model, Recognizer) else load(model)
    try:
        item = taken(source, sampling_rate)
    except DecodeError as error:  # from a decoder
        return failed(recognizer, None, str(error))
    path = name_of(item)
    if isinstance(turns, str | os.PathLike):
        turns = read_turns(turns, recording=path)
    try:
        if channels:
            with _at_hand(item) as held:
                together = channel_blocks_of(held)
                return describe(recognizer, together, lambda one: blocks_of(held, one), path=path)
        compared = Comparison() if channel is None else None
        blocks = _followed(blocks_of(item, channel, compared), progress)
        if turns is not None:
            found = noted(given.describe(recognizer, blocks, turns, path=path), compared)
        else:
            found = diarize(recognizer, blocks, path=path, compared=compared, limits=limits, threads=threads)
        if channel is None:
            return found
        return dataclasses.replace(
            found, speakers=tuple(dataclasses.replace(one, channel=channel) for one in found.speakers)
        )
    except (BundleError, OptionError):
        raise
    except (VoxtraitError, OSError, UnicodeError) as error:  # UnicodeError: a name that a library cannot encode
        if isinstance(item, Sound):
            raise
        return failed(recognizer, path, str(error))


def _followed(blocks: Iterator[Signal], progress: Callable[[float], None] | None) -> Iterator[Signal]:
    for block in blocks:
        yield block
        if progress is not None:
            progress(len(block) / SAMPLING_RATE)


@contextlib.contextmanager
def _at_hand(source: Taken) -> Iterator[Taken]:
    """Yield a source that can be read several times. The content of a URL is fetched once."""
    if isinstance(source, str) and storage.is_url(source):
        with storage.fetched(source) as content:
            yield content
    else:
        yield source if isinstance(source, Sound) else taken(audio.readable_again(source))


def failed(recognizer: Recognizer, path: str | None, why: str) -> Timeline:
    """Return the timeline of a recording that cannot be used: status ``error``, and the reason."""
    return Timeline(path, "error", storage.text_of(why), None, None, (), (), recognizer.bundle.title)


def check_channels(channels: bool, channel: int | None, others: bool) -> None:
    """Check the options about channels.

    Args:
        channels: whether each channel belongs to one speaker.
        channel: channel to use.
        others: whether turns or a number of speakers are given.

    Raises:
        OptionError: if the options contradict each other.

    Examples:
        >>> check_channels(True, None, False)
    """
    if channels and (channel is not None or others):
        raise OptionError(
            "--channels cannot be combined with --channel, --turns or a number of speakers, because each channel is "
            "one speaker. Remove the other options."
        )
    if channel is not None and channel < 1:
        raise OptionError(f"Got channel {channel}. Expected a number from 1.")


def limits_of(speakers: int | None, least: int | None, most: int | None) -> Limits:
    """Check the options about the number of speakers, and return its limits.

    Raises:
        OptionError: if a number is less than 1, or if the numbers contradict each other.

    Examples:
        >>> limits_of(None, 2, None)
        Limits(least=2, most=None)
    """
    if speakers is not None and (least is not None or most is not None):
        raise OptionError("Got a number of speakers, and also a minimum or maximum. Expected one or the other.")
    for number in (speakers, least, most):
        if number is not None and number < 1:
            raise OptionError(f"Got {number} speakers. Expected at least 1.")
    if least is not None and most is not None and least > most:
        raise OptionError(f"Got a minimum of {least} and a maximum of {most} speakers. Expected minimum <= maximum.")
    return Limits(speakers or least or 1, speakers or most)
