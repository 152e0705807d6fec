"""Converts audio objects of other libraries to a file, the bytes of a file, or a signal with its rate.

The libraries are not imported: their objects are recognised by their attributes. Supported are the dict of Hugging Face
``datasets`` before version 4 and the decoder of ``torchcodec`` since
(https://huggingface.co/docs/datasets/audio_load); the pairs of Gradio, librosa, soundfile, SciPy and torchaudio;
uploads of web frameworks; and tensors.
"""

import dataclasses
import inspect
import io
import numbers
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any, BinaryIO, Final, Protocol, TypeAlias

import numpy.typing as npt

from voxtrait import storage
from voxtrait.audio.channels import channel_of
from voxtrait.audio.signals import Signal, check_signal
from voxtrait.errors import DecodeError, OptionError, SignalError, SourceError
from voxtrait.recognize.arguments import checked_rate, described

_SIGNALS: Final = ("array", "raw")  # keys of a dict with samples
_RATES: Final = ("sampling_rate", "sample_rate")
_EXPECTED: Final = (
    "Expected a file, its URL or bytes, an open binary file, an array with sampling_rate, (sampling_rate, samples), "
    'or {"array": …, "sampling_rate": …}.'
)


class Samples(Protocol):
    """Decoded audio, as torchcodec returns it."""

    data: Any  # (channels, samples)
    sample_rate: Any  # Hz


class Decoder(Protocol):
    """A decoder of one file, such as ``torchcodec.decoders.AudioDecoder``."""

    def get_all_samples(self) -> Samples:
        """Decode the file."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sound:
    """A signal with its sampling rate, and the name of its file, if there is one."""

    signal: Signal  # (samples,) or (channels, samples)
    rate: int  # Hz
    path: str | None = None

    @property
    def channels(self) -> int:
        """Number of channels."""
        return 1 if self.signal.ndim == 1 else len(self.signal)

    def only(self, channel: int) -> "Sound":
        """Return one channel, counted from 1.

        Raises:
            DecodeError: if there are fewer channels.

        Examples:
            >>> Sound(check_signal([[0.0, 0.1], [0.2, 0.3]]), 16000, "call.wav").only(2).path
            'call.wav#2'
        """
        name = self.path or "-"
        return Sound(channel_of(self.signal, channel, self.path or "the signal"), self.rate, f"{name}#{channel}")


Input: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | BinaryIO
    | Mapping[str, Any]
    | tuple[Any, Any]
    | Samples
    | Decoder
    | Sound
    | npt.ArrayLike
)
"""What :meth:`voxtrait.Recognizer.predict` accepts."""


@dataclasses.dataclass(frozen=True)
class Unusable:
    """An item that is not audio, and the reason."""

    why: str


File: TypeAlias = str | storage.Kept | BytesIO
Taken: TypeAlias = File | Sound


def taken(source: Any, sampling_rate: Any = None) -> Taken:
    """Convert an audio source to a path, the content of a file, or a signal.

    Args:
        source: any :data:`Input`, or a result of this function.
        sampling_rate: sampling rate of a signal in Hz, if the source does not contain it.

    Returns:
        A path or URL, the content of a file, or a signal.

    Raises:
        SourceError: if the source is not audio, or is several sources.
        SignalError: if an array is not a signal.
        DecodeError: if the file of a decoder is damaged.
        OptionError: if the sampling rate is missing, is wrong, or differs from that of the source.

    Examples:
        >>> taken("clip.mp3"), taken(b"RIFF").getvalue()
        ('clip.mp3', b'RIFF')
        >>> taken((8000, [0, 1200, -800])).rate
        8000
        >>> taken(None)
        Traceback (most recent call last):
        voxtrait.errors.SourceError: Got None. Expected a file, its URL or bytes, an open binary file, an array with
        sampling_rate, (sampling_rate, samples), or {"array": …, "sampling_rate": …}.
    """
    rate = None if sampling_rate is None else checked_rate(sampling_rate)
    if isinstance(source, str | storage.Kept | BytesIO | Sound):
        return source
    if isinstance(source, os.PathLike):
        return os.fsdecode(source)
    if _is_bytes(source):
        return BytesIO(bytes(source))
    if isinstance(source, Mapping):
        return _of_mapping(source, rate)
    if callable(getattr(source, "get_all_samples", None)):
        return _decoded(source, rate)
    if _is_decoded(source):
        return _sound(source.data, source.sample_rate, rate)
    if callable(getattr(source, "read", None)):
        return _of_file(source)
    if (pair := _pair(source)) is not None:
        return _sound(*pair, rate)
    _check_array_like(source)
    return _sound(source, None, rate)


def each(sources: Any, sampling_rate: Any = None) -> Iterator[Taken | Unusable]:
    """Convert the items of an iterable one by one, as :func:`taken` does. A single source counts as one item.

    An array of two or more dimensions is a batch of signals. An item that is not audio becomes :class:`Unusable`.

    Raises:
        SourceError: if ``sources`` is not iterable, or is a table, or a dict without audio.
        OptionError: as for :func:`taken`.

    Examples:
        >>> list(each("clip.mp3")), list(each(["a.mp3", None]))[1].why[:9]
        (['clip.mp3'], 'Got None.')
    """
    if sampling_rate is not None:
        checked_rate(sampling_rate)
    items = (sources,) if is_single(sources) else sources
    return (_usable(item, sampling_rate) for item in items)


def is_single(sources: Any) -> bool:
    """Return whether ``sources`` is one source, and not an iterable of sources.

    Raises:
        SourceError: if it is neither, or is a table.

    Examples:
        >>> is_single("clip.mp3"), is_single(["clip.mp3"]), is_single((16000, [0, 1])), is_single([0, 1])
        (True, False, True, True)
    """
    if isinstance(sources, str | os.PathLike | Sound) or _is_bytes(sources) or _pair(sources) is not None:
        return True
    if isinstance(sources, Mapping):
        _check_mapping(sources)
        return True
    if any(callable(getattr(sources, name, None)) for name in ("read", "get_all_samples")) or _is_decoded(sources):
        return True
    if hasattr(sources, "columns"):
        raise SourceError(f"Got {described(sources)}. Pass the column with the audio, such as table['path'].")
    if not isinstance(sources, Iterable):
        raise SourceError(f"Got {described(sources)}. Expected an iterable of files or signals, or one of them.")
    if not isinstance(sources, Sequence) and not hasattr(sources, "__array__"):
        return False  # reading the first item could consume it, or start a loader
    dimensions = getattr(sources, "ndim", 1)
    return dimensions == 0 or (dimensions == 1 and _is_number(_first(sources, None)))


def name_of(item: Taken) -> str | None:
    """Return the name of a source for its prediction; ``None`` if it has no name."""
    if isinstance(item, Sound):
        return item.path
    if isinstance(item, BytesIO):
        return item.origin if isinstance(item, storage.Held) else None
    return item.origin if isinstance(item, storage.Kept) else storage.shown(item)


def _usable(item: Any, sampling_rate: Any) -> Taken | Unusable:
    try:
        return taken(item, sampling_rate)
    except (SourceError, SignalError, DecodeError) as error:  # one unusable item does not stop the others
        return Unusable(str(error))


def _sound(array: Any, stated: Any, given: int | None, path: str | None = None) -> Sound:
    """Return a signal with the rate of its source, or else with the given rate."""
    rate = given if stated is None else checked_rate(stated)
    if rate is None:
        raise OptionError("Got a signal without its sampling rate. Expected predict(signal, sampling_rate=16000).")
    if given not in (None, rate):
        raise OptionError(f"Got sampling_rate {given} for a signal that has {rate} Hz. Leave sampling_rate out.")
    return Sound(check_signal(array, whole=True), rate, path)


def _of_mapping(source: Mapping[str, Any], rate: int | None) -> Taken:
    """Convert a dict of Hugging Face: samples and rate, or bytes and path of a file. One of the two may be ``None``."""
    _check_mapping(source)
    path = source.get("path")
    name = None if path is None else os.fsdecode(path)
    for key in _SIGNALS:
        if source.get(key) is not None:
            stated = next((source[key] for key in _RATES if source.get(key) is not None), None)
            return _sound(source[key], stated, rate, name)
    if source.get("bytes") is not None:
        return _named(bytes(source["bytes"]), name)
    assert name is not None
    return name


def _check_mapping(source: Mapping[str, Any]) -> None:
    """Check that a dict contains audio.

    Raises:
        SourceError: if it does not; with a hint at the value that is probably meant.
    """
    if all(source.get(key) is None for key in (*_SIGNALS, "bytes", "path")):
        hint = "Pass its value 'audio'." if "audio" in source else _EXPECTED
        raise SourceError(f"Got {described(source)}. {hint}")
    for key, fits in (("bytes", _is_bytes), ("path", lambda value: isinstance(value, str | os.PathLike))):
        if source.get(key) is not None and not fits(source[key]):
            raise SourceError(f"Got a {type(source).__name__} whose {key} is {described(source[key])}. {_EXPECTED}")


def _decoded(decoder: Any, rate: int | None) -> Sound:
    path = getattr(getattr(decoder, "metadata", None), "path", None)  # set by datasets
    try:
        samples = decoder.get_all_samples()
    except RuntimeError as error:  # torchcodec raises it for every kind of damage
        raise DecodeError(f"{path or 'The input'} is damaged: {str(error).splitlines()[0]}") from None
    return _sound(samples.data, samples.sample_rate, rate, path if isinstance(path, str) else None)


def _of_file(source: Any) -> Taken:
    """Return the path of an open file on a disk, so that a long recording is not read into memory. Return the bytes of
    any other file, from its beginning."""
    # an upload has a file name besides the name of its field; the file name of a GzipFile is deprecated
    attributes = ("name",) if isinstance(source, io.IOBase) else ("filename", "name")
    names = (getattr(source, attribute, None) for attribute in attributes)
    name = next((one for one in names if isinstance(one, str) and one and one[0] != "<"), None)
    # read() of an upload in FastAPI is asynchronous; read() of the file inside is not
    file = getattr(source, "file", None) if inspect.iscoroutinefunction(source.read) else source
    if file is None:
        raise SourceError(f"Got {described(source)} with an asynchronous read(). Pass its bytes: await file.read().")
    if isinstance(file, io.TextIOBase):
        raise SourceError(f"Got the file {name or ''} opened as text. Open it with mode 'rb'.".replace("  ", " "))
    if getattr(file, "closed", False) is True:
        raise SourceError(f"Got the file {name or ''} closed. Call predict before it is closed.".replace("  ", " "))
    if type(file) in (io.BufferedReader, io.FileIO) and _on_disk(file):
        return os.fsdecode(file.name)
    if getattr(file, "seekable", lambda: False)():
        file.seek(0)
    data = file.read()
    if not isinstance(data, bytes | bytearray | memoryview):
        raise SourceError(f"Got a file whose read() returns {type(data).__name__}. Open it with mode 'rb'.")
    return _named(bytes(data), name)


def _on_disk(file: Any) -> bool:
    """Return whether an open file is a regular file that its name still refers to."""
    try:
        opened = os.fstat(file.fileno())
        return stat.S_ISREG(opened.st_mode) and os.path.samestat(opened, os.stat(file.name))  # noqa: PTH116 - fd or path
    except (OSError, TypeError, ValueError):
        return False


def _named(data: bytes, name: str | None) -> BytesIO:
    if name is None:
        return BytesIO(data)
    held = storage.Held(data)
    held.origin = storage.shown(name)
    return held


def _pair(source: Any) -> tuple[Any, Any] | None:
    """Return samples and rate if ``source`` is a pair of them, in either order; else ``None``."""
    if not isinstance(source, tuple | list) or len(source) != 2:
        return None
    one, other = source
    if _is_number(one) == _is_number(other):
        return None
    rate, samples = (one, other) if _is_number(one) else (other, one)
    return None if _is_source(samples) or samples is None else (samples, rate)


def _check_array_like(source: Any) -> None:
    """Check that an object can be converted to an array of samples.

    Raises:
        SourceError: if it cannot; for several sources, with a hint at ``predict_many``.
    """
    several = "predict takes one clip. For several clips, call predict_many."
    if isinstance(source, Sequence) or hasattr(source, "__array__") or hasattr(source, "__array_interface__"):
        first = _first(source, 0)
        if _is_source(first) or _pair(first) is not None:
            raise SourceError(f"Got {described(source)}. {several}")
        if isinstance(source, list | tuple) and hasattr(first, "__len__"):
            if len({len(one) if hasattr(one, "__len__") else None for one in source}) > 1:
                raise SourceError(f"Got {described(source)} of different lengths. {several}")
        elif not _is_number(first) and not hasattr(first, "__array__"):
            raise SourceError(f"Got {described(source)}. {_EXPECTED}")
        return
    try:
        memoryview(source)
    except TypeError:
        hint = several if isinstance(source, Iterable) else _EXPECTED
        raise SourceError(f"Got {described(source)}. {hint}") from None


def _first(source: Any, default: Any) -> Any:
    try:
        return next(iter(source), default)
    except TypeError:  # an array without dimensions
        return default


def _is_source(thing: Any) -> bool:
    """Return whether an object is an audio source by itself."""
    return (
        isinstance(thing, str | os.PathLike | Mapping | Sound)
        or _is_bytes(thing)
        or any(callable(getattr(thing, name, None)) for name in ("read", "get_all_samples"))
    )


def _is_bytes(thing: Any) -> bool:
    return isinstance(thing, bytes | bytearray) or (isinstance(thing, memoryview) and thing.format in "Bbc")


def _is_decoded(thing: Any) -> bool:
    return hasattr(thing, "data") and hasattr(thing, "sample_rate")


def _is_number(thing: Any) -> bool:
    if isinstance(thing, str | bytes):  # NumPy's strings have a shape too
        return False
    return isinstance(thing, numbers.Number) or getattr(thing, "shape", None) == ()
