"""Reads any audio file as a float32 signal at a given rate, whole or block by block.

:mod:`voxtrait.audio.opening` decodes, soxr resamples. A *signal* is a float32 array in [-1, 1]: ``(samples,)`` if mono,
otherwise ``(channels, samples)``.
"""

import contextlib
import os
from collections.abc import Generator, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np

from voxtrait import storage
from voxtrait.audio import opening
from voxtrait.audio.channels import Comparison, OneChannel, channel_of
from voxtrait.audio.mixing import Mixer
from voxtrait.audio.opening import Source
from voxtrait.audio.signals import SAMPLING_RATE, Signal, resample
from voxtrait.errors import AudioError, MissingExtraError

STATED_MOST_S: Final = 1e7  # maximum seconds of a recording, four months: a header that states more is wrong
GATHERED_S: Final = 1.0  # minimum seconds of the blocks after the first, if a decoder returns shorter ones


def load(source: Source, sampling_rate: int | None = SAMPLING_RATE, *, mono: bool = True) -> tuple[Signal, int]:
    """Decode an audio file of any kind.

    Args:
        source: a path, a URL, or a ``BytesIO`` with the bytes of a file.
        sampling_rate: sampling rate of the result, in Hz; ``None`` keeps the rate of the file.
        mono: whether to average the channels.

    Returns:
        The signal, float32, ``(samples,)`` if mono, otherwise ``(channels, samples)``, and its sampling rate in Hz.

    Raises:
        AudioMissingError: if the file does not exist.
        DecodeError: if the file is empty, damaged or not audio.
        StorageError: if the server of a URL cannot be reached, or refuses the request.
        MissingExtraError: if decoding needs PyAV, which is not installed.

    Examples:
        >>> from voxtrait.audio.writing import write_wav
        >>> data = BytesIO()
        >>> write_wav(data, np.zeros(8000, np.float32), 8000)
        >>> signal, rate = load(data)
        >>> signal.shape, rate
        ((16000,), 16000)
    """
    parts = []
    rate = 0
    for part, rate in blocks(source, sampling_rate, mono=mono):  # noqa: B007 - the rate is the same for every block
        parts.append(part)
    signal = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1) if parts else np.zeros(0, np.float32)
    return signal, rate


def blocks(
    source: Source,
    sampling_rate: int | None = SAMPLING_RATE,
    *,
    mono: bool = True,
    channel: int | None = None,
    compared: Comparison | None = None,
) -> Iterator[tuple[Signal, int]]:
    """Decode a file in blocks of up to a minute, so that memory does not grow with its length.

    The concatenated blocks are the result of :func:`load`; the errors are the same.

    Args:
        source: as for :func:`load`, or one channel of a file.
        sampling_rate: as for :func:`load`.
        mono: as for :func:`load`.
        channel: number of the only channel to read, from 1; ``None`` for all.
        compared: comparison to update with the channels of the file.

    Yields:
        Blocks, float32, ``(samples,)`` if mono, otherwise ``(channels, samples)``, with their rate in Hz.

    Examples:
        >>> from voxtrait.audio.writing import write_wav
        >>> data = BytesIO()
        >>> write_wav(data, np.zeros(8000, np.float32), 8000)
        >>> [(block.shape, rate) for block, rate in blocks(data)]
        [((16000,), 16000)]
    """
    if isinstance(source, OneChannel):
        channel, source = source.channel, source.source
    if storage.is_url(source):
        with storage.fetched(source) as content:
            yield from blocks(content, sampling_rate, mono=mono, channel=channel, compared=compared)
        return
    parts: Iterator[tuple[Signal, int]] = _parts(source)
    if channel is not None or compared is not None:
        parts = _of_channel(parts, channel, compared, opening.name_of(source))
    yield from at_rate(parts, sampling_rate, mono=mono)


def channel_count(source: Source) -> int:
    """Return the number of channels of a file, from its header; argument and errors are those of :func:`load`.

    Examples:
        >>> data = BytesIO()
        >>> import soundfile
        >>> soundfile.write(data, np.zeros((800, 2)), 8000, format="WAV")
        >>> channel_count(data)
        2
    """
    if storage.is_url(source):
        with storage.fetched(source) as content:
            return channel_count(content)
    with contextlib.closing(_parts(source, 1)) as parts:
        part, _ = next(parts, (np.zeros(0, np.float32), 0))
        return 1 if part.ndim == 1 else part.shape[0]


def readable_again(source: Source) -> Source:
    """Return a source that can be read several times: the content of a pipe, otherwise the source itself."""
    if isinstance(source, BytesIO) or storage.is_url(source):
        return source
    path = Path(source)
    return BytesIO(path.read_bytes()) if path.exists() and not path.is_file() and not path.is_dir() else source


def stated_s(source: Source) -> float | None:
    """Return the duration of a file in seconds without decoding it, from its header or the count of its frames.

    This is fast, but the header may be wrong; an impossible header is ignored.

    Args:
        source: a path or a ``BytesIO``.

    Returns:
        Seconds, or ``None`` if the file does not state its duration or cannot be read.

    Examples:
        >>> stated_s(BytesIO(b"no sound")) is None
        True
    """
    if not isinstance(source, BytesIO) and not Path(storage.path_of(os.fspath(source))).is_file():
        return None  # opening a pipe would consume its content
    try:
        with opening.opened(source) as file:
            seconds = file.stated_s()
    except (AudioError, MissingExtraError, OSError):
        return None
    return seconds if seconds is not None and 0 < seconds < STATED_MOST_S else None


def _parts(source: Source, samples: int | None = None) -> Generator[tuple[Signal, int], None, None]:
    """Decode a file in blocks ``(channels, samples)`` of one rate, of at most ``samples`` samples or a minute."""
    with opening.opened(source) as file:
        yield from file.blocks(samples)


def _of_channel(
    parts: Iterable[tuple[Signal, int]], channel: int | None, compared: Comparison | None, name: str
) -> Iterator[tuple[Signal, int]]:
    for part, rate in parts:
        if compared is not None:
            compared.feed(part, rate)
        yield (part if channel is None else channel_of(part, channel, name)), rate


def at_rate(
    parts: Iterable[tuple[Signal, int]], sampling_rate: int | None = SAMPLING_RATE, *, mono: bool = True
) -> Iterator[tuple[Signal, int]]:
    """Gather parts of a signal into blocks at a given rate; the lengths of the parts do not change the result.

    Args:
        parts: ``(samples,)`` or ``(channels, samples)`` each, with their rate in Hz, the same for all.
        sampling_rate: sampling rate of the result, in Hz; ``None`` keeps the rate of the parts.
        mono: whether to average the channels.

    Yields:
        Blocks with their rate. The first has a minute or the whole signal, because a clip is resampled in one call; the
        others have a second or more. Blocks with very many channels or a very high rate are shorter. The last may be
        empty.
    """
    import soxr

    waiting: list[Signal] = []
    mixer = Mixer()
    stream, rate, held, begun = None, 0, 0, False

    def block(last: bool) -> Signal:
        nonlocal stream
        signal = waiting[0] if len(waiting) == 1 else np.concatenate(waiting, axis=-1)
        waiting[:] = [signal[..., :0].copy()]  # a view would keep all of it in memory
        if mono:
            signal = mixer.mix(signal)
        if last and not begun:  # a clip: one call is slightly faster and more accurate than a stream
            return resample(signal, rate, sampling_rate or rate)
        if sampling_rate not in (None, rate):
            channels = 1 if signal.ndim == 1 else signal.shape[0]
            stream = stream or soxr.ResampleStream(rate, sampling_rate, channels, "float32")
            signal = stream.resample_chunk(np.ascontiguousarray(signal.T), last=last).T
        return np.ascontiguousarray(signal)

    for part, rate in parts:
        waiting.append(part[0] if part.ndim == 2 and part.shape[0] == 1 else part)
        held += part.shape[-1]
        values = held * (part.shape[0] if part.ndim == 2 else 1)
        least_s = min(opening.BLOCK_S, GATHERED_S if begun else opening.BLOCK_S)
        if held >= least_s * rate or values >= opening.BLOCK_VALUES:
            yield block(last=False), sampling_rate or rate
            held, begun = 0, True
    if rate:
        yield block(last=True), sampling_rate or rate
