"""Any audio file to a float32 signal, at the rate asked for.

libsndfile decodes wav, mp3, flac, ogg and opus faster than anything else measured (docs/results.md) and soxr
resamples; PyAV (the extra ``[media]``) opens only what libsndfile cannot: m4a, webm and the sound of videos.

A *signal* is a float32 array in [-1, 1]: ``(samples,)`` when mono, ``(channels, samples)`` otherwise.
"""

import contextlib
import os
from collections.abc import Generator, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from voxtrait import storage
from voxtrait.audio.channels import Comparison, OneChannel, channel_of
from voxtrait.audio.signals import (
    HIGHEST_RATE,
    MOST_CHANNELS,
    SAMPLING_RATE,
    Signal,
    resample,
    to_mono,
)
from voxtrait.errors import (
    AudioMissingError,
    DecodeError,
    MissingExtraError,
    NotAudioError,
    NothingToDoError,
)

Source: TypeAlias = str | os.PathLike[str] | BytesIO

BLOCK_S: Final = 60.0  # seconds decoded at a time, so that an hour at 48 kHz stereo is never in memory at once
STATED_MOST_S: Final = 1e7  # seconds of a recording, four months: a header that states more is wrong
GATHERED_S: Final = 1.0  # … and after the first block, where a decoder gives less at a time
BLOCK_VALUES: Final = 2**24  # … of all channels together, at most: a header may claim any rate, and 1024 channels
SUFFIXES: Final = frozenset(
    [
        ".wav",
        ".mp3",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".m4a",
        ".mp4",
        ".webm",
        ".aac",
        ".aif",
        ".aiff",
        ".au",
        ".caf",
        ".wma",
        ".mka",
        ".mkv",
        ".mov",
        ".amr",
    ]
)
"""File endings that are taken for audio when a folder is searched."""

_MEDIA_MAGIC: Final = (
    (4, b"ftyp"),
    (0, b"\x1aE\xdf\xa3"),
    (0, b"#!AMR"),
    (0, b"0&\xb2u"),
)  # mp4, Matroska/webm, AMR, ASF


_SOUND_MAGIC: Final = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS", b"ID3", b"FORM", b".snd", b"caff")
"""How kinds of file begin that libsndfile reads: where it does not, they are damaged."""

# Else a file that looks like an mp4 could be a playlist to ffmpeg, and name other files or addresses to read.
CONTAINED: Final = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,amr,amrnb,amrwb,asf",
    "protocol_whitelist": "file",
}


def audio_files(folder: str | os.PathLike[str]) -> list[Path]:
    """List the audio files of a folder and its subfolders, sorted by path; hidden ones are left out.

    Raises:
        NothingToDoError: if there is none.
    """
    root = Path(folder)
    found = []
    for here, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(here, name) for name in names if Path(name).suffix.lower() in SUFFIXES and name[0] != "."]
    if not found:
        raise NothingToDoError(
            f"no audio in {root}: expected files ending in .mp3, .wav, .flac, .ogg, .opus, .m4a or .webm"
        )
    return sorted(found)


def load(source: Source, sampling_rate: int | None = SAMPLING_RATE, *, mono: bool = True) -> tuple[Signal, int]:
    """Decode a file of any kind.

    Args:
        source: a path, a URL (see :mod:`voxtrait.storage`), or a ``BytesIO`` with the bytes of a file.
        sampling_rate: the rate wanted in Hz; ``None`` keeps the file's own.
        mono: average the channels.

    Returns:
        The signal, ``(samples,)`` when mono, else ``(channels, samples)``, and its sampling rate in Hz.

    Raises:
        AudioMissingError: if there is no such file.
        DecodeError: if it is empty, damaged or no audio.
        StorageError: if the place behind a URL cannot be reached, or refuses.
        MissingExtraError: if only PyAV could open it and PyAV is not installed.

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
    if signal.shape[-1] == 0:
        raise DecodeError(f"{_name(source)} holds no samples: the file is a header without sound")
    return signal, rate


def blocks(
    source: Source,
    sampling_rate: int | None = SAMPLING_RATE,
    *,
    mono: bool = True,
    channel: int | None = None,
    compared: Comparison | None = None,
) -> Iterator[tuple[Signal, int]]:
    """Decode a file block by block, each up to a minute long, so that memory does not grow with length.

    The blocks laid end to end are what :func:`load` returns; arguments and errors are the same, and there are two more.

    Args:
        source: as for :func:`load`, or one channel of a file.
        sampling_rate: as for :func:`load`.
        mono: as for :func:`load`.
        channel: the only channel that is read, counted from 1; ``None`` for all.
        compared: is fed with the channels as they are in the file.
    """
    if isinstance(source, OneChannel):
        channel, source = source.channel, source.source
    if storage.is_url(source):
        with storage.fetched(source) as content:
            yield from blocks(content, sampling_rate, mono=mono, channel=channel, compared=compared)
        return
    parts: Iterator[tuple[Signal, int]] = _parts(source)
    if channel is not None or compared is not None:
        parts = _of_channel(parts, channel, compared, _name(source))
    yield from at_rate(parts, sampling_rate, mono=mono)


def channel_count(source: Source) -> int:
    """Return how many channels a file has, from its header; argument and errors are those of :func:`load`.

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
    _check_source(source)
    import soundfile

    try:
        with soundfile.SoundFile(_open(source)) as file:
            return int(file.channels)
    except soundfile.LibsndfileError as error:
        with contextlib.closing(_av_blocks(source, error)) as parts:
            part, _ = next(parts, (np.zeros(0, np.float32), 0))
            return 1 if part.ndim == 1 else part.shape[0]


def readable_again(source: str | BytesIO) -> str | BytesIO:
    """Return a source that can be read several times: the content of a pipe, or else the source itself."""
    if isinstance(source, BytesIO) or storage.is_url(source):
        return source
    path = Path(source)
    return BytesIO(path.read_bytes()) if path.exists() and not path.is_file() and not path.is_dir() else source


def stated_s(source: Source) -> float | None:
    """Return the duration that a file states in its header, in seconds; ``None`` if it states none. It may be wrong.

    Args:
        source: a path or a ``BytesIO``.

    Examples:
        >>> stated_s(BytesIO(b"no sound")) is None
        True
    """
    if not isinstance(source, BytesIO) and not Path(source).is_file():
        return None  # opening a pipe would take its content away
    import soundfile

    try:
        with soundfile.SoundFile(_open(source)) as file:
            seconds = file.frames / file.samplerate
    except (soundfile.LibsndfileError, OSError):
        try:
            import av

            with av.open(_open(source), options=CONTAINED, metadata_errors="replace") as container:
                seconds = (container.duration or 0) / av.time_base
        except (ImportError, OSError, ValueError):  # no such container, or no PyAV: reading it says so
            return None
    return seconds if 0 < seconds < STATED_MOST_S else None


def _parts(source: Source) -> Generator[tuple[Signal, int], None, None]:
    """Decode a file with the library that can open it."""
    _check_source(source)
    import soundfile

    try:
        reader = soundfile.SoundFile(_open(source))
    except soundfile.LibsndfileError as error:
        return _av_blocks(source, error)
    return _sndfile_blocks(source, reader)


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
    """Gather parts of a signal into blocks, at the rate asked for; how it is cut changes nothing.

    Args:
        parts: ``(samples,)`` or ``(channels, samples)`` each, with their rate in Hz, the same for all.
        sampling_rate: the rate wanted in Hz; ``None`` keeps theirs.
        mono: average the channels.

    Yields:
        Blocks with their rate: the first of a minute or all there is, for a clip is resampled in one go, then of a
        second and more; the last may be empty.
    """
    import soxr

    waiting: list[Signal] = []
    stream, rate, held, begun = None, 0, 0, False

    def block(last: bool) -> Signal:
        nonlocal stream
        signal = waiting[0] if len(waiting) == 1 else np.concatenate(waiting, axis=-1)
        waiting[:] = [signal[..., :0].copy()]  # a view would keep all of it in memory
        if last and not begun:  # a clip: one call is a little faster and a little better than a stream
            return resample(signal, rate, sampling_rate or rate)
        if sampling_rate not in (None, rate):
            channels = 1 if signal.ndim == 1 else signal.shape[0]
            stream = stream or soxr.ResampleStream(rate, sampling_rate, channels, "float32")
            signal = stream.resample_chunk(np.ascontiguousarray(signal.T), last=last).T
        return np.ascontiguousarray(signal)

    for part, rate in parts:
        waiting.append(to_mono(part) if mono or (part.ndim == 2 and part.shape[0] == 1) else part)
        held += part.shape[-1]
        if held >= min(BLOCK_S, GATHERED_S if begun else BLOCK_S) * rate:
            yield block(last=False), sampling_rate or rate
            held, begun = 0, True
    if rate:
        yield block(last=True), sampling_rate or rate


def _sndfile_blocks(source: Source, reader: Any) -> Generator[tuple[Signal, int], None, None]:
    """Read a file that libsndfile has opened, ``(channels, samples)`` each, the last one shorter than a minute."""
    import soundfile

    with reader:
        _check_header(source, reader.samplerate, reader.channels)
        size = max(1, int(min(BLOCK_S * reader.samplerate, BLOCK_VALUES // reader.channels)))
        left = reader.frames
        # soundfile seeks after each read to where it is anyway; in an mp3 libsndfile then starts with an empty bit
        # reservoir, and every block begins with a moment of garbage: a file that cannot be sought is spared that
        reader.seekable = lambda: False
        last = False
        while not last:
            try:
                block = reader.read(min(size, left), dtype="float32", always_2d=True).T
            except soundfile.LibsndfileError as error:
                raise DecodeError(f"{_name(source)} is damaged: decoding stopped with {_reason(error)!r}") from None
            left -= block.shape[1]
            last = block.shape[1] < size
            yield block, reader.samplerate


def _av_blocks(source: Source, first_error: Exception) -> Generator[tuple[Signal, int], None, None]:
    """Decode with PyAV what libsndfile refused, if it looks like a container that PyAV knows."""
    head = _head(source)
    if not any(head[at : at + len(magic)] == magic for at, magic in _MEDIA_MAGIC):
        kind = DecodeError if head.startswith(_SOUND_MAGIC) else NotAudioError
        raise kind(
            f"{_name(source)} is not audio that can be read ({_describe(head)}): "
            "expected wav, mp3, flac, ogg, opus, m4a or webm"
        )
    try:
        import av
    except ImportError:
        raise MissingExtraError(f"reading {_name(source)}", "media") from None
    try:
        with av.open(_open(source), options=CONTAINED, metadata_errors="replace") as container:
            if not container.streams.audio:
                raise NotAudioError(f"{_name(source)} has no sound in it: it is a container without an audio stream")
            stream = container.streams.audio[0]
            _check_header(source, stream.rate, stream.channels)
            resampler = av.AudioResampler(format="fltp", rate=stream.rate)
            for frame in container.decode(stream):
                for out in resampler.resample(frame):
                    yield out.to_ndarray().astype(np.float32, copy=False), out.sample_rate
            for out in resampler.resample(None):
                yield out.to_ndarray().astype(np.float32, copy=False), out.sample_rate
    except av.error.FFmpegError as error:
        raise DecodeError(
            f"{_name(source)} is damaged: {error.strerror} (libsndfile said {_reason(first_error)!r})"
        ) from None


def _check_header(source: Source, rate: int, channels: int) -> None:
    if not 0 < rate <= HIGHEST_RATE or not 0 < channels <= MOST_CHANNELS:
        raise DecodeError(
            f"{_name(source)} says that it has {channels} channels at {rate} Hz, expected 1 to {MOST_CHANNELS} at up "
            f"to {HIGHEST_RATE} Hz: the file is damaged"
        )


def _check_source(source: Source) -> None:
    if isinstance(source, BytesIO):
        if not source.getbuffer().nbytes:
            raise DecodeError(f"{_name(source)} is empty: expected the bytes of an audio file")
        return
    path = Path(source)
    if not path.exists():
        raise AudioMissingError(f"no such file: {path}")
    if path.is_dir():
        raise DecodeError(f"{path} is a folder, expected an audio file")
    if path.is_file() and path.stat().st_size == 0:
        raise DecodeError(f"{path} is empty (0 bytes)")


def _open(source: Source) -> Any:
    if isinstance(source, BytesIO):
        source.seek(0)
        return source
    return os.fspath(source)


def _head(source: Source) -> bytes:
    if isinstance(source, BytesIO):
        return bytes(source.getbuffer()[:64])
    with Path(source).open("rb") as file:
        return file.read(64)


def _describe(head: bytes) -> str:
    try:
        return "it is a text file" if head.decode("ascii").isprintable() or b"\n" in head else "unknown format"
    except UnicodeDecodeError:
        return "unknown format or damaged"


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).rstrip(".")


def _name(source: Source) -> str:
    if isinstance(source, storage.Held | storage.Kept):
        return source.origin
    return "the input" if isinstance(source, BytesIO) else os.fspath(source)
