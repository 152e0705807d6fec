"""The input of a recogniser, files, URLs, bytes or arrays, as blocks of a mono signal at 16 kHz."""

import os
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO

import numpy.typing as npt

from voxtrait import audio, storage
from voxtrait.audio.channels import Comparison, OneChannel, channel_of
from voxtrait.audio.mixing import to_mono
from voxtrait.audio.offset import steady
from voxtrait.audio.opening import Source
from voxtrait.audio.signals import SAMPLING_RATE, Signal, check_signal, resample
from voxtrait.errors import DecodeError, StorageError, VoxtraitError
from voxtrait.recognize.clip import cut


def each_channel(sources: Sequence[Source]) -> list[str | BytesIO]:
    """Replace files with several channels by all of their channels; a file that cannot be opened stays as it is."""
    found: list[str | BytesIO] = []
    for item in as_items(sources):
        try:
            content = audio.readable_again(item)
            count = audio.channel_count(content)
        except StorageError:
            found.append(OneChannel(item, 1))  # it may be reached later, and is then not to be averaged
            continue
        except (VoxtraitError, OSError):
            count = 1
        if count == 1:
            found.append(item)
        else:
            found += [OneChannel(content, channel, name=_text(item)) for channel in range(1, count + 1)]
    return found


def _text(item: str | BytesIO) -> str:
    return "-" if isinstance(item, BytesIO) else item


def blocks_of(
    source: Source | npt.ArrayLike,
    sampling_rate: int | None,
    channel: int | None = None,
    compared: Comparison | None = None,
) -> Iterator[Signal]:
    """Read a file, or cut a signal: mono at 16 kHz, block by block.

    Args:
        source: a file, its URL, a ``BytesIO`` with one, or a signal.
        sampling_rate: of a signal, in Hz.
        channel: the only channel that is used, counted from 1; ``None`` averages all.
        compared: is fed with the channels.

    Raises:
        SignalError: at once, if an array is no signal.
        ValueError: at once, if an array comes without its sampling rate.
        AudioError: while reading, if a file cannot be used.
    """
    if isinstance(source, str | os.PathLike | BytesIO):
        return _decoded(source, channel, compared)
    if sampling_rate is None:
        raise ValueError("got a signal without its sampling rate, expected predict(signal, sampling_rate=16000)")
    signal = check_signal(source)
    if compared is not None:
        compared.feed(signal, sampling_rate)
    mono = to_mono(signal) if channel is None else channel_of(signal, channel, "the signal")
    return steady(cut(resample(mono, sampling_rate, SAMPLING_RATE)))


def channel_blocks_of(source: Source | npt.ArrayLike, sampling_rate: int | None) -> Iterator[Signal]:
    """Read a file, or cut a signal, with all its channels: ``(channels, samples)`` at 16 kHz, ``(samples,)`` if mono.

    Arguments and errors are those of :func:`blocks_of`.
    """
    if isinstance(source, str | os.PathLike | BytesIO):
        return steady(_checked(source, audio.blocks(source, SAMPLING_RATE, mono=False)))
    if sampling_rate is None:
        raise ValueError("got a signal without its sampling rate, expected predict(signal, sampling_rate=16000)")
    signal = resample(check_signal(source), sampling_rate, SAMPLING_RATE)
    return steady(cut(signal[0] if signal.ndim == 2 and len(signal) == 1 else signal))


def _decoded(source: Source, channel: int | None, compared: Comparison | None) -> Iterator[Signal]:
    return steady(_checked(source, audio.blocks(source, SAMPLING_RATE, channel=channel, compared=compared)))


def _checked(source: Source, blocks: Iterable[tuple[Signal, int]]) -> Iterator[Signal]:
    """Leave out empty blocks.

    Raises:
        DecodeError: while reading, if there is nothing else.
    """
    found = False
    for block, _ in blocks:
        if block.size:
            found = True
            yield check_signal(block)
    if not found:
        name = "the input" if isinstance(source, BytesIO) else storage.shown(os.fspath(source))
        raise DecodeError(f"{name} holds no samples: the file is a header without sound")


def as_items(paths: Sequence[Source]) -> list[str | BytesIO]:
    """Return paths as strings, as jobs take them."""
    return [path if isinstance(path, BytesIO) else os.fspath(path) for path in paths]
