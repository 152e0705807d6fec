"""Decodes live audio block by block: from a pipe without seeking and without a known end, and from a microphone.

libsndfile reads WAV, raw samples, mp3 and AU: its reader is marked as not seekable, so it never seeks back. PyAV (the
extra ``[media]``) reads FLAC, WebM, AAC, Ogg and other formats that can be decoded without seeking. Any other format is
read to its end and then decoded as a file. A thread does all of this, so that Ctrl-C works while no data arrives.
"""

import contextlib
import importlib
import importlib.util
import os
import queue
import threading
from collections.abc import Generator, Iterator
from typing import IO, Any, Final, NamedTuple

from voxtrait.audio import kinds, media, mpeg, opening, pages, pieces
from voxtrait.audio.arrays import MOST_CHANNELS
from voxtrait.audio.headers import Layout, arrives_decodable, layout_of
from voxtrait.audio.kinds import Kind
from voxtrait.audio.pipes import LEAVE_S, WAITING, Pipe, in_thread
from voxtrait.audio.signals import HIGHEST_RATE, LOWEST_RATE, Signal
from voxtrait.errors import DecodeError, MissingExtraError, NothingToDoError, OptionError

BLOCK_S: Final = 0.1  # seconds of a block: maximum delay for a consumer
CHUNK: Final = 16_384  # maximum bytes of one read from a pipe
PROBED: Final = 4096  # bytes of one read by PyAV
TAIL: Final = 65_536  # bytes that may follow the audio: tags and other data
ASTRAY: Final = 2**18  # bytes without audio after which an audio stream counts as damaged
ASTRAY_VIDEO: Final = 2**26  # … and a video stream

RAW: Final = {
    "s16le": ("PCM_16", "LITTLE"),
    "s16be": ("PCM_16", "BIG"),
    "s24le": ("PCM_24", "LITTLE"),
    "s32le": ("PCM_32", "LITTLE"),
    "f32le": ("FLOAT", "LITTLE"),
    "f64le": ("DOUBLE", "LITTLE"),
    "u8": ("PCM_U8", "FILE"),
    "s8": ("PCM_S8", "FILE"),
    "mulaw": ("ULAW", "FILE"),
    "alaw": ("ALAW", "FILE"),
}
"""Encodings of raw samples: ffmpeg's name → libsndfile's name."""

MARK: Final = 64  # bytes that identify most kinds
UNKNOWN_MOST: Final = 2**24  # maximum bytes to wait for if the kind is unknown
GATHERED_SAMPLES: Final = 4800  # samples of a block of audio that is decoded only at its end


class Raw(NamedTuple):
    """Format of raw samples, which have no header.

    Examples:
        >>> Raw(rate=48_000, channels=2)
        Raw(encoding='s16le', rate=48000, channels=2)
    """

    #: Encoding of a sample, with the names of ffmpeg, such as ``s16le`` and ``f32le``.
    encoding: str = "s16le"
    #: Sampling rate in Hz.
    rate: int = 16_000
    #: Number of channels, whose samples are interleaved.
    channels: int = 1


def incoming(file: IO[bytes], raw: Raw | None = None, *, name: str = "the input") -> Iterator[tuple[Signal, int]]:
    """Decode audio from a pipe as soon as it arrives, without seeking.

    Args:
        file: file open for reading bytes, at its start. It does not have to be seekable. It is not closed.
        raw: format of raw samples without a header; ``None`` for a WAV with or without a stated length, mp3, Ogg, FLAC,
            WebM and others.
        name: name of the input in messages.

    Yields:
        Blocks of up to a tenth of a second, ``(channels, samples)`` float32, with their rate in Hz.

    Raises:
        NothingToDoError: if the input is empty.
        DecodeError: if the input is not audio, or is damaged after some blocks; those blocks are correct.
        MissingExtraError: if reading needs PyAV, which is not installed.
        OptionError: if ``raw`` has an unknown encoding, or an impossible rate or number of channels.

    Examples:
        >>> from io import BytesIO
        >>> blocks = list(incoming(BytesIO(bytes(8000)), Raw("s16le", 16000, 1)))
        >>> sum(block.shape[1] for block, rate in blocks), blocks[0][1]
        (4000, 16000)
    """
    if raw is not None:
        if raw.encoding not in RAW:
            raise OptionError(f"Got raw samples of {raw.encoding!r}. Expected one of {', '.join(RAW)}.")
        if not LOWEST_RATE <= raw.rate <= HIGHEST_RATE or not 1 <= raw.channels <= MOST_CHANNELS:
            raise OptionError(
                f"Got {raw.channels} channel{'' if raw.channels == 1 else 's'} at {raw.rate} Hz. "
                f"Expected 1 to {MOST_CHANNELS} channels at {LOWEST_RATE} to {HIGHEST_RATE} Hz."
            )
    source = Pipe(file)
    found = False
    with contextlib.closing(in_thread(_decoded(source, raw, name), source.end)) as blocks:
        for block, rate in blocks:
            found = found or block.size > 0
            yield block, rate
    if not found:
        raise opening.no_samples(name)


def microphone(device: str | None = None) -> Iterator[tuple[Signal, int]]:
    """Record from a microphone until the caller stops.

    Args:
        device: number or part of the name of the device, as ``python -m sounddevice`` lists them; ``None`` for the
            default.

    Yields:
        Blocks of the device, ``(samples,)`` float32, with their rate in Hz. If the consumer is seconds late, some are
        dropped.

    Raises:
        MissingExtraError: if sounddevice is not installed.
        OptionError: if the microphone does not exist or cannot be opened.

    Examples:
        >>> for block, rate in microphone("USB"):  # doctest: +SKIP
        ...     print(len(block) / rate)
    """
    try:
        sounddevice = importlib.import_module("sounddevice")
    except ImportError:
        raise MissingExtraError("a microphone", "microphone") from None
    except OSError as error:  # the package is installed, but not the library that it wraps
        raise OptionError(f"Cannot open a microphone: {error}. On Debian: apt-get install libportaudio2.") from None
    recorded: queue.SimpleQueue[Signal] = queue.SimpleQueue()

    def on_block(samples: Signal, frames: int, time: Any, status: Any) -> None:
        if recorded.qsize() < 100 * WAITING:
            recorded.put(samples[:, 0].copy())

    which = int(device) if device is not None and device.isdigit() else device
    try:
        stream = sounddevice.InputStream(device=which, channels=1, dtype="float32", callback=on_block)
    except (sounddevice.PortAudioError, ValueError) as error:
        name = "the default microphone" if device is None else f"the microphone {device!r}"
        raise OptionError(f"Cannot open {name}: {error}. List the devices with python -m sounddevice.") from None
    with stream:
        while True:
            yield recorded.get(), round(stream.samplerate)


def _decoded(source: Pipe, raw: Raw | None, name: str) -> Generator[tuple[Signal, int], None, None]:
    try:
        with opening.damage(name):
            yield from _by_kind(source, raw, name)
    finally:
        if not source.lent:
            source.close()


def _by_kind(source: Pipe, raw: Raw | None, name: str) -> Iterator[tuple[Signal, int]]:
    if not source.look(1):
        raise NothingToDoError(f"No data from {name}. Expected audio.")
    if raw is not None:
        subtype, endian = RAW[raw.encoding]
        options: dict[str, Any] = {"format": "RAW", "subtype": subtype, "endian": endian}
        yield from _by_libsndfile(source, name, samplerate=raw.rate, channels=raw.channels, **options)
        return
    _skip_tags(source)
    kind = kinds.kind_of(source.look(MARK)) or kinds.kind_of(source.look(kinds.HEAD))
    has_media = importlib.util.find_spec("av") is not None
    if kind is None and kinds.described(source.look(kinds.HEAD)) != kinds.UNKNOWN:
        is_what = kinds.described(source.look(kinds.HEAD))
        raise DecodeError(f"{name} is not a readable audio file: it is {is_what}. {opening.EXPECTED}")
    if kind in (kinds.WAV, kinds.MP3, kinds.AU) and (layout := layout_of(source, kind)).streams:
        yield from _pieces(source, name, kind, layout)
    elif kind is None or not arrives_decodable(source, kind) or (kind.sndfile and not has_media):
        yield from _gathered(source, kind, name)
    elif kind is kinds.OGG:
        yield from _links(source, name, kind)
    else:
        yield from _by_pyav(source, name, kind)


def _skip_tags(source: Pipe) -> None:
    """Skip ID3 tags, because libsndfile cannot skip them in a pipe; they may contain a cover image."""
    while (head := source.look(10))[:3] == b"ID3" and len(head) == 10:
        left = mpeg.after_tags(head)
        while left and (found := source.read(min(left, CHUNK))):
            left -= len(found)


def _gathered(source: Pipe, kind: Kind | None, name: str) -> Iterator[tuple[Signal, int]]:
    """Read a stream to its end and decode it as a file, because it cannot be decoded earlier."""
    if kind is None:
        source.most = UNKNOWN_MOST  # do not wait for the end of data that is not audio
    with opening.gathered(source) as content:
        file = opening.AudioFile(content, pieces.contents(content), name)
        yield from file.blocks(GATHERED_SAMPLES)


def _pieces(source: Pipe, name: str, kind: Kind, layout: Layout) -> Iterator[tuple[Signal, int]]:
    """Decode a file, and the files appended to it."""
    rate, channels, heard_s = 0, 0, 0.0
    while True:
        parts = _by_libsndfile(source, name, layout.length)
        for part, own in opening.alike(parts, rate, channels) if rate else parts:
            rate, channels = own, part.shape[0]
            heard_s += part.shape[1] / rate
            yield part, rate
        if layout.length is None:
            return
        _skip_tags(source)
        if kinds.kind_of(source.look(kinds.HEAD)) is not kind:
            break
        layout = layout_of(source, kind)
    source.count = 0
    while source.count <= TAIL and source.read(CHUNK):
        pass
    if source.count > TAIL:
        raise DecodeError(
            f"{name} has more data after the end of its audio at {heard_s:.1f} s. That data was not decoded"
        )


def _by_libsndfile(
    source: Pipe, name: str, length: int | None = None, **options: Any
) -> Generator[tuple[Signal, int], None, None]:
    """Decode a number of bytes, or all."""
    import soundfile

    end, entrance = os.pipe()
    source.lent = length is None
    pump = threading.Thread(target=_pump, args=(source, entrance, length), daemon=True)
    pump.start()
    decoded_s, whole = 0.0, False
    try:
        try:
            reader = soundfile.SoundFile(end, closefd=False, **options)
        except soundfile.LibsndfileError as error:
            raise DecodeError(
                f"{name} is not a readable audio file ({opening.reason(error)}). {opening.EXPECTED}"
            ) from None
        with reader:
            reader.seekable = lambda: False  # soundfile would seek after each read
            rate = reader.samplerate
            opening.check_header(rate, reader.channels, name)
            while True:
                try:
                    block = reader.read(max(1, round(BLOCK_S * rate)), dtype="float32", always_2d=True).T
                except soundfile.LibsndfileError as error:
                    if not os.read(end, 1):  # the end is missing, which is no error
                        whole = True
                        return
                    raise DecodeError(f"{name} is damaged after {decoded_s:.1f} s ({opening.reason(error)})") from None
                if not block.shape[1]:
                    break
                decoded_s += block.shape[1] / rate
                yield block, rate
            left = 0
            while left <= TAIL and (found := os.read(end, CHUNK)):
                left += len(found)
            if left > TAIL:
                raise DecodeError(f"{name} is damaged after {decoded_s:.1f} s")
            whole = True
    finally:
        os.close(end)
        if length is None or not whole:
            source.end()
        pump.join(LEAVE_S)


def _pump(source: Pipe, entrance: int, length: int | None) -> None:
    """Copy into another pipe, because bytes already read cannot be put back into the original one."""
    given = 0
    try:
        with contextlib.suppress(OSError), open(entrance, "wb", buffering=0) as pipe:
            while chunk := source.read(CHUNK if length is None else min(CHUNK, length - given)):
                given += len(chunk)
                left = memoryview(chunk)
                while left:
                    left = left[pipe.write(left) :]
    finally:
        if length is None:
            source.close()


def _links(source: Pipe, name: str, kind: Kind) -> Iterator[tuple[Signal, int]]:
    """Decode an Ogg stream, and the streams chained to it."""
    rate = channels = 0
    while source.look(len(pages.MARK)) == pages.MARK:
        parts = _by_pyav(source, name, kind, pages.Link(source))
        for part, own in opening.alike(parts, rate, channels) if rate else parts:
            rate, channels = own, part.shape[0]
            yield part, rate


def _by_pyav(
    source: Pipe, name: str, kind: Kind, part: pages.Link | None = None
) -> Generator[tuple[Signal, int], None, None]:
    """Decode a pipe, or a part of it."""
    try:
        import av
    except ImportError:
        raise MissingExtraError(f"reading {name}, which is {kind.name},", "media") from None
    decoded_s = 0.0
    try:
        with media.opened(part or source, kind.demuxer, buffer_size=PROBED) as container:
            stream = opening.audio_stream(container, name)
            for block, rate in opening.planar_blocks(_frames(source, container, stream), name):
                decoded_s += block.shape[1] / rate
                yield block, rate
            most = ASTRAY_VIDEO if container.streams.video else TAIL
            while part is None and source.count <= most and source.read(CHUNK):
                pass  # FFmpeg leaves what follows the end that a header states
            if source.count > most:
                raise DecodeError(f"{name} is damaged after {decoded_s:.1f} s")
    except av.error.FFmpegError as error:
        if not decoded_s:
            raise DecodeError(f"{name} is not a readable audio file ({error.strerror}). {opening.EXPECTED}") from None
        if not source.ended or source.count > TAIL:  # otherwise only the end is missing
            raise DecodeError(f"{name} is damaged after {decoded_s:.1f} s ({error.strerror})") from None


def _frames(source: Pipe, container: Any, stream: Any) -> Iterator[Any]:
    """Decode a stream; many bytes without a frame end the pipe."""
    for frame in container.decode(stream):
        if not source.ended:  # otherwise the decoder had kept this frame
            source.count, source.most = 0, ASTRAY_VIDEO if container.streams.video else ASTRAY
        yield frame
