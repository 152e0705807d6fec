"""Reads the input of a recogniser (files, URLs, bytes or arrays) as blocks of a mono signal at 16 kHz."""

from collections.abc import Iterable, Iterator
from typing import Literal

from voxtrait import audio
from voxtrait.audio.channels import Comparison, OneChannel, channel_of
from voxtrait.audio.mixing import to_mono
from voxtrait.audio.offset import steady
from voxtrait.audio.signals import SAMPLING_RATE, Signal, check_signal, resample
from voxtrait.errors import DecodeError, StorageError, VoxtraitError
from voxtrait.recognize.clip import cut
from voxtrait.recognize.inputs import Sound, Taken, Unusable, name_of


def of_channel(items: Iterable[Taken | Unusable], channel: int | Literal["each"] | None) -> Iterator[Taken | Unusable]:
    """Replace each item by one of its channels, or by all of them.

    Args:
        items: audio sources.
        channel: channel counted from 1; ``each`` for every channel of each item; ``None`` for no change. A file that
            cannot be opened is not changed.

    Yields:
        The items, in order.
    """
    for item in items:
        if channel is None or isinstance(item, Unusable):
            yield item
        elif channel == "each":
            yield from _channels_of(item)
        elif isinstance(item, Sound):
            try:
                yield item.only(channel)
            except DecodeError as error:
                yield Unusable(str(error))
        else:
            yield OneChannel(item, channel, name=None if isinstance(item, str) else name_of(item))


def _channels_of(item: Taken) -> Iterator[Taken]:
    if isinstance(item, Sound):
        yield from (item,) if item.channels == 1 else (item.only(one) for one in range(1, item.channels + 1))
        return
    try:
        content = audio.readable_again(item)
        count = audio.channel_count(content)
    except StorageError:
        yield OneChannel(item, 1)  # if it can be reached later, its channels must not be averaged
        return
    except (VoxtraitError, OSError):
        count = 1
    if count == 1:
        yield item
    else:
        name = item if isinstance(item, str) else name_of(item)
        yield from (OneChannel(content, channel, name=name or "-") for channel in range(1, count + 1))


def blocks_of(item: Taken, channel: int | None = None, compared: Comparison | None = None) -> Iterator[Signal]:
    """Read a file, or cut a signal, as blocks of mono at 16 kHz.

    Args:
        item: a result of :func:`voxtrait.recognize.inputs.taken`.
        channel: channel to use, counted from 1; ``None`` averages all channels.
        compared: comparison that gets the channels.

    Raises:
        AudioError: while reading, if a file cannot be used.
    """
    if not isinstance(item, Sound):
        return steady(_checked(audio.blocks(item, SAMPLING_RATE, channel=channel, compared=compared)))
    if compared is not None:
        compared.feed(item.signal, item.rate)
    mono = to_mono(item.signal) if channel is None else channel_of(item.signal, channel, "the signal")
    return steady(cut(resample(mono, item.rate, SAMPLING_RATE)))


def channel_blocks_of(item: Taken) -> Iterator[Signal]:
    """Read a file, or cut a signal, as blocks of all channels at 16 kHz: ``(channels, samples)``, or ``(samples,)`` for
    mono. Errors are those of :func:`blocks_of`."""
    if not isinstance(item, Sound):
        return steady(_checked(audio.blocks(item, SAMPLING_RATE, mono=False)))
    signal = resample(item.signal, item.rate, SAMPLING_RATE)
    return steady(cut(signal[0] if signal.ndim == 2 and len(signal) == 1 else signal))


def _checked(blocks: Iterable[tuple[Signal, int]]) -> Iterator[Signal]:
    """Skip empty blocks, and check that samples are finite."""
    return (check_signal(block) for block, _ in blocks if block.size)
