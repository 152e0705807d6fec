"""The input of a recogniser, files, URLs, bytes or arrays, as blocks of a mono signal at 16 kHz."""

import os
from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy.typing as npt

from voxtrait import audio, storage
from voxtrait.audio.files import Source
from voxtrait.audio.signals import SAMPLING_RATE, Signal, check_signal, resample, to_mono
from voxtrait.errors import DecodeError
from voxtrait.recognize.clip import cut


def blocks_of(source: Source | npt.ArrayLike, sampling_rate: int | None) -> Iterator[Signal]:
    """Read a file, or cut a signal: mono at 16 kHz, block by block.

    Args:
        source: a file, its URL, a ``BytesIO`` with one, or a signal.
        sampling_rate: of a signal, in Hz.

    Raises:
        SignalError: at once, if an array is no signal.
        ValueError: at once, if an array comes without its sampling rate.
        AudioError: while reading, if a file cannot be used.
    """
    if isinstance(source, str | os.PathLike | BytesIO):
        return _decoded(source)
    if sampling_rate is None:
        raise ValueError("got a signal without its sampling rate, expected predict(signal, sampling_rate=16000)")
    return cut(resample(to_mono(check_signal(source)), sampling_rate, SAMPLING_RATE))


def _decoded(source: Source) -> Iterator[Signal]:
    found = False
    for block, _ in audio.blocks(source, SAMPLING_RATE):
        if len(block):
            found = True
            yield check_signal(block)
    if not found:
        name = "the input" if isinstance(source, BytesIO) else storage.shown(os.fspath(source))
        raise DecodeError(f"{name} holds no samples: the file is a header without sound")


def as_items(paths: Sequence[Source]) -> list[str | BytesIO]:
    """Return paths as strings, as jobs take them."""
    return [path if isinstance(path, BytesIO) else os.fspath(path) for path in paths]
