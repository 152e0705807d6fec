"""Opens an audio file by its content: finds its kind, the library that decodes it, and all its pieces.

libsndfile, the fastest decoder measured (docs/notes/results.md), decodes the formats that it supports. PyAV (the extra
``[media]``) decodes the others: AAC, videos, and other codecs in Ogg or WAV.
"""

import contextlib
import os
import stat
import tempfile
from collections.abc import Generator, Iterable, Iterator
from io import BytesIO, FileIO
from typing import IO, Any, Final, TypeAlias, cast

import numpy as np

from voxtrait import storage
from voxtrait.audio import kinds, media, mpeg, pieces
from voxtrait.audio.arrays import MOST_CHANNELS
from voxtrait.audio.kinds import Kind
from voxtrait.audio.mpeg import Data
from voxtrait.audio.pieces import Piece, PieceFile
from voxtrait.audio.signals import HIGHEST_RATE, LOWEST_RATE, Signal
from voxtrait.errors import AudioMissingError, DecodeError, MissingExtraError, NotAudioError, VoxtraitError

Source: TypeAlias = str | os.PathLike[str] | BytesIO

BLOCK_S: Final = 60.0  # seconds of a block, so that an hour at 48 kHz stereo is never in memory at once
BLOCK_VALUES: Final = 2**24  # maximum values of a block, all channels together: a header may claim a high rate
IN_MEMORY: Final = 2**26  # maximum bytes of a pipe in memory; more go to a temporary file
EMPTY_PIECES: Final = 100  # maximum consecutive pieces without samples: a hostile file has millions
EXPECTED: Final = "Expected WAV, MP3, FLAC, Ogg, Opus, M4A, WebM or another audio or video file."

Blocks: TypeAlias = Generator[tuple[Signal, int], None, None]


@contextlib.contextmanager
def opened(source: Source) -> Iterator["AudioFile"]:
    """Open an audio file of any kind.

    Raises:
        AudioMissingError: if the file does not exist.
        DecodeError: if it is empty, or a folder.
        OSError: if it cannot be opened.
    """
    name = name_of(source)
    if isinstance(source, BytesIO):
        source.seek(0)
        if not source.getbuffer().nbytes:
            raise DecodeError(f"{name} is empty. Expected the bytes of an audio file")
        yield AudioFile(source, source.getvalue(), name)
        return
    path = storage.path_of(os.fspath(source))
    try:
        file = open(path, "rb", buffering=0)  # noqa: PTH123, SIM115 - a string, a million times
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a zero byte in the name
        raise AudioMissingError(f"no such file: {name}") from None
    except IsADirectoryError:
        raise DecodeError(f"{name} is a folder. Expected an audio file") from None
    with file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode):
            if not status.st_size:
                raise DecodeError(f"{name} is empty (0 bytes)")
            yield AudioFile(file, pieces.contents(file), name)
        else:
            with gathered(file) as content:
                if not content.seek(0, os.SEEK_END):
                    raise DecodeError(f"{name} is empty (0 bytes)")
                yield AudioFile(content, pieces.contents(content), name)


def check_kind(path: str) -> None:
    """Check by its first bytes that a regular file is audio or video; no samples are decoded.

    Raises:
        AudioMissingError: if the file does not exist.
        NotAudioError: if its content is not audio.
        DecodeError: if it is empty, or not a regular file, such as a folder, a device or a pipe.
        OSError: if it cannot be opened.
    """
    name = name_of(path)
    try:
        status = os.stat(path)  # noqa: PTH116 - before it is opened, because opening a pipe waits for a writer
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise AudioMissingError(f"no such file: {name}") from None
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        raise DecodeError(f"{name} is {'empty (0 bytes)' if stat.S_ISREG(status.st_mode) else 'not a regular file'}")
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a string, a million times
        AudioFile(file, pieces.Contents(file), name).check_kind()


@contextlib.contextmanager
def gathered(file: Any) -> Iterator[Any]:
    """Read a pipe to its end, into a seekable file: in memory, or on the disk if it is large."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as content:
        while chunk := file.read(2**16):
            content.write(chunk)
        content.seek(0)
        yield content


class AudioFile:
    """An open audio file.

    Args:
        file: seekable file open for reading bytes.
        data: content of the file.
        name: name of the file in messages.
    """

    def __init__(self, file: IO[bytes] | Any, data: Data, name: str) -> None:
        self._file, self.data, self._name = file, data, name
        at = mpeg.after_tags(data)
        self._head = bytes(data[at : at + kinds.HEAD])
        self.kind: Kind | None = kinds.kind_of(self._head)
        if self.kind is None and (at := mpeg.next_frame(data, at)) >= 0 and mpeg.is_chain(data, at):
            self.kind = kinds.MP3

    def check_kind(self) -> None:
        """Check that the file is audio or video; no samples are decoded.

        Raises:
            NotAudioError: if it is neither of a known kind nor readable by libsndfile.
        """
        if self.kind is not None:
            return
        import soundfile

        try:
            self._sndfile(next(pieces.pieces_of(self.data, None))).close()
        except soundfile.LibsndfileError:
            raise self._no_audio() from None

    def blocks(self, samples: int | None = None) -> Blocks:
        """Decode all pieces in blocks ``(channels, samples)``, with the rate and channels of the first piece.

        Args:
            samples: maximum samples of a block of libsndfile; ``None`` for a minute.

        Raises:
            DecodeError: if the file is damaged or not audio.
            MissingExtraError: if decoding needs PyAV, which is not installed.
        """
        with damage(self._name):
            yield from self._blocks(samples)

    def _blocks(self, samples: int | None) -> Blocks:
        rate = channels = total = empty = 0
        for piece in pieces.pieces_of(self.data, self.kind):
            parts, before = self._decoded(piece, samples), total
            if rate:
                parts = alike(parts, rate, channels)
            for part, rate in parts:
                channels = part.shape[0]
                total += part.shape[1]
                yield part, rate
            empty = 0 if total > before else empty + 1
            if empty > EMPTY_PIECES:
                raise DecodeError(f"{self._name} is damaged: it has more than {EMPTY_PIECES} parts without samples")
        if not total:
            raise no_samples(self._name)

    def stated_s(self) -> float | None:
        """Return the duration in seconds from headers or the count of frames; ``None`` if unknown."""
        import soundfile

        total = 0.0
        for piece in pieces.pieces_of(self.data, self.kind):
            if piece.samples is not None:
                total += piece.samples / piece.rate
                continue
            try:
                reader = self._sndfile(piece)
            except soundfile.LibsndfileError:
                reader = None
            if reader is None:
                if not (stated := self._stated_by_media(piece)):
                    return None
                total += stated
                continue
            with reader:
                total += reader.frames / reader.samplerate
        return total or None

    def _decoded(self, piece: Piece, samples: int | None) -> Blocks:
        import soundfile

        try:
            reader = self._sndfile(piece)
        except soundfile.LibsndfileError as error:
            return self._media_blocks(piece, error)
        return self._media_blocks(piece, None) if reader is None else self._sndfile_blocks(reader, samples)

    def _sndfile(self, piece: Piece) -> Any:
        """Open a piece with libsndfile; ``None`` for a kind that it does not decode."""
        import soundfile

        if self.kind is None and (self._looks_like_mpeg() or kinds.described(self._head) != kinds.UNKNOWN):
            raise self._no_audio()
        if self.kind is not None and not self.kind.sndfile:
            return None
        return soundfile.SoundFile(self._target(piece), closefd=False)

    def _sndfile_blocks(self, reader: Any, samples: int | None) -> Blocks:
        """Read the blocks of a file opened by libsndfile; the last block may be shorter."""
        import soundfile

        with reader:
            check_header(reader.samplerate, reader.channels, self._name)
            size = samples or max(1, int(min(BLOCK_S * reader.samplerate, BLOCK_VALUES // reader.channels)))
            left = reader.frames
            # soundfile seeks to the current position after each read. In an mp3, libsndfile then starts with an empty
            # bit reservoir, and every block begins with wrong samples. A file without seeking avoids that.
            reader.seekable = lambda: False
            last = False
            while not last:
                try:
                    block = reader.read(min(size, left), dtype="float32", always_2d=True).T
                except soundfile.LibsndfileError as error:
                    raise DecodeError(f"{self._name} is damaged: decoding stopped with {reason(error)!r}") from None
                left -= block.shape[1]
                last = block.shape[1] < size
                yield block, reader.samplerate

    def _media_blocks(self, piece: Piece, first_error: Exception | None) -> Blocks:
        """Decode with PyAV a piece that libsndfile does not support or refuses."""
        if self.kind is None or self.kind.demuxer is None:
            raise self._no_audio(first_error)
        try:
            import av
        except ImportError:
            if self.kind.sndfile and self.kind is not kinds.OGG:
                raise self._no_audio(first_error) from None
            raise MissingExtraError(f"reading {self._name}", "media") from None
        try:
            with media.opened(self._seekable(piece), self.kind.demuxer) as container:
                stream = audio_stream(container, self._name)
                yield from planar_blocks(media.frames(container, stream), self._name)
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, DecodeError):
                raise
            said = "" if first_error is None else f" (libsndfile: {reason(first_error)!r})"
            told = getattr(error, "strerror", None) or str(error)
            raise DecodeError(f"{self._name} is damaged: {told}{said}") from None

    def _stated_by_media(self, piece: Piece) -> float:
        if self.kind is None or self.kind.demuxer is None:
            return 0.0
        try:
            import av
        except ImportError:
            return 0.0
        try:
            with media.opened(self._seekable(piece), self.kind.demuxer) as container:
                return float((container.duration or 0) / av.time_base)
        except (av.error.FFmpegError, ValueError):  # reading the file reports the error
            return 0.0

    def _target(self, piece: Piece) -> Any:
        """Return the object for libsndfile to open: the file itself, which is fastest, or a view of a piece."""
        file = self._seekable(piece)
        if not isinstance(file, FileIO):
            return file
        return file.name if os.name == "nt" else file.fileno()  # Windows: libsndfile's C library has other descriptors

    def _seekable(self, piece: Piece) -> Any:
        if isinstance(self._file, FileIO) and piece.covers(len(self.data)):
            self._file.seek(0)
            return self._file
        return PieceFile(self.data, piece)  # also for BytesIO: libsndfile seeks to -1 in some damaged files

    def _looks_like_mpeg(self) -> bool:
        """Return whether libsndfile would search it as an MP3, although it has no consecutive frames."""
        return self._head[:1] == b"\xff" and len(self._head) > 1 and self._head[1] & 0xE0 == 0xE0

    def _no_audio(self, error: Exception | None = None) -> DecodeError:
        if self.kind is not None:
            said = f" ({reason(error)})" if error is not None else ""
            return DecodeError(f"{self._name} is a damaged {self.kind.name} file{said}.")
        is_what = kinds.described(self._head)
        return NotAudioError(f"{self._name} is not a readable audio file: it is {is_what}. {EXPECTED}")


@contextlib.contextmanager
def damage(name: str) -> Iterator[None]:
    """Convert the errors of a library about one file.

    Raises:
        DecodeError: instead of an error that is not of voxtrait and not of the system.
    """
    try:
        yield
    except (VoxtraitError, OSError):
        raise
    except (ArithmeticError, LookupError, RuntimeError, ValueError) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise DecodeError(f"{name} is damaged: decoding stopped with {told!r}") from error


def alike(parts: Blocks, rate: int, channels: int) -> Blocks:
    """Convert the blocks of a piece to the rate and number of channels of the first piece."""
    import soxr

    stream: Any = None
    for part, own in parts:
        if part.shape[0] != channels:
            part = np.repeat(part.mean(axis=0, dtype=np.float32, keepdims=True), channels, axis=0)
        if own != rate:
            stream = stream or soxr.ResampleStream(own, rate, channels, "float32")
            part = stream.resample_chunk(np.ascontiguousarray(part.T)).reshape(-1, channels).T
        yield part, rate
    if stream is not None:
        yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).reshape(-1, channels).T, rate


def audio_stream(container: Any, name: str) -> Any:
    """Return the first audio stream of a container that PyAV has opened, after a check of its header.

    Raises:
        NotAudioError: if there is no audio stream.
        DecodeError: if its codec is unknown, or its header is impossible.
    """
    if not container.streams.audio:
        raise NotAudioError(f"{name} has no audio: it is a container without an audio stream")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise DecodeError(f"{name} is damaged: the codec of its audio is unknown")
    check_header(stream.rate or LOWEST_RATE, stream.channels or 1, name)
    return stream


def planar_blocks(frames: Iterable[Any], name: str) -> Blocks:
    """Convert the frames that PyAV decodes to blocks.

    Raises:
        DecodeError: if a frame is impossible, although the header of its stream was possible.
    """
    planar = media.Planar()
    for frame in frames:
        for block in planar.feed(frame):
            check_header(planar.rate, planar.channels, name)
            yield block, planar.rate
    for block in planar.close():
        yield block, planar.rate


def check_header(rate: int, channels: int, name: str) -> None:
    """Refuse an impossible header, before memory is allocated for it: a low rate makes hours of a few samples.

    Raises:
        DecodeError: if the number of channels is too high, or the rate in Hz too low or too high.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE or not 0 < channels <= MOST_CHANNELS:
        raise DecodeError(
            f"{name} is damaged: its header states {channels} channels at {rate} Hz. Expected 1 to {MOST_CHANNELS} "
            f"channels at {LOWEST_RATE} to {HIGHEST_RATE} Hz"
        )


def no_samples(name: str) -> DecodeError:
    """Return the error for a file without samples."""
    return DecodeError(f"{name} has no samples: the file is a header without sound")


def reason(error: Exception | None) -> str:
    """Return the message of a decoder, without a full stop."""
    return str(getattr(error, "error_string", error)).rstrip(".") or "damaged"


def name_of(source: Source) -> str:
    """Return the name of a source for messages."""
    if isinstance(source, storage.Held | storage.Kept):
        return source.origin
    return "the input" if isinstance(source, BytesIO) else storage.text_of(cast("str", source))
