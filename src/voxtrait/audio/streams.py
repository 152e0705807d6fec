"""Sound as it comes, block by block: from a pipe that cannot be sought and may never end, and from a microphone.

libsndfile reads WAV, raw samples, mp3 and AU: its reader is marked as not seekable, and then never seeks back. PyAV
(the extra ``[media]``) reads FLAC, WebM, AAC, Ogg and whatever else can be decoded without seeking. What cannot is
gathered and decoded at its end, as a file. A thread does all of it, so that Ctrl-C is obeyed while nothing comes.
"""

import contextlib
import importlib
import importlib.util
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import IO, Any, Final, NamedTuple

from voxtrait.audio import kinds, media, mpeg, opening, pieces
from voxtrait.audio.arrays import MOST_CHANNELS
from voxtrait.audio.kinds import Kind
from voxtrait.audio.pipes import LEAVE_S, WAITING, Pipe, in_thread
from voxtrait.audio.signals import Signal
from voxtrait.errors import DecodeError, MissingExtraError, NothingToDoError, OptionError

BLOCK_S: Final = 0.1  # seconds of a block: what a consumer may wait for
CHUNK: Final = 16_384  # bytes read from a pipe at most in one go
PROBED: Final = 4096  # bytes that PyAV asks for in one go
TAIL: Final = 65_536  # bytes that may follow the sound: tags, and what a writer leaves behind
ASTRAY: Final = 2**18  # bytes without sound after which a stream of nothing but sound is none any more
ASTRAY_VIDEO: Final = 2**26  # … and one with pictures in it

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
"""How raw samples may be written, by ffmpeg's names, and what libsndfile calls that."""

PIPED: Final = frozenset([0x1, 0x2, 0x3, 0x6, 0x7, 0x11, 0x55, 0xFFFE])  # codecs of a WAV that need no seeking
MARK: Final = 64  # bytes that tell most kinds
UNKNOWN_MOST: Final = 2**24  # bytes of an unknown kind that are waited for
GATHERED_SAMPLES: Final = 4800  # in a block, of what had to be waited for


class Raw(NamedTuple):
    """What raw samples do not state themselves."""

    encoding: str = "s16le"  # one of RAW
    rate: int = 16_000  # Hz
    channels: int = 1


def incoming(file: IO[bytes], raw: Raw | None = None, *, name: str = "the input") -> Iterator[tuple[Signal, int]]:
    """Decode what comes through a pipe, as soon as it is there, and never seek back.

    Args:
        file: open for reading bytes, of which none were read; it needs not be seekable. It is not closed.
        raw: how the samples are written, where there is no header; ``None`` for a WAV of any or no stated length, mp3,
            ogg, flac, webm and others.
        name: of the input in messages.

    Yields:
        Blocks of up to a tenth of a second, ``(channels, samples)``, with their rate in Hz.

    Raises:
        NothingToDoError: if not one byte came.
        DecodeError: if it is no audio, or stops being audio; the blocks before are good.
        MissingExtraError: if only PyAV could read it and PyAV is not installed.
        OptionError: if ``raw`` names no encoding, or a rate or number of channels that cannot be.

    Examples:
        >>> from io import BytesIO
        >>> blocks = list(incoming(BytesIO(bytes(8000)), Raw("s16le", 16000, 1)))
        >>> sum(block.shape[1] for block, rate in blocks), blocks[0][1]
        (4000, 16000)
    """
    if raw is not None:
        if raw.encoding not in RAW:
            raise OptionError(f"got raw samples of {raw.encoding!r}, expected one of {', '.join(RAW)}")
        if raw.rate < 1 or not 1 <= raw.channels <= MOST_CHANNELS:
            raise OptionError(
                f"got {raw.channels} channels at {raw.rate} Hz, expected 1 to {MOST_CHANNELS} at a positive rate"
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
        device: its number or a part of its name, as ``python -m sounddevice`` lists them; ``None`` for the default.

    Yields:
        Blocks as the device gives them, ``(samples,)``, with their rate in Hz. A consumer that is seconds late misses
        some.

    Raises:
        MissingExtraError: if sounddevice is not installed.
        OptionError: if there is no such microphone, or it cannot be opened.
    """
    try:
        sounddevice = importlib.import_module("sounddevice")
    except ImportError:
        raise MissingExtraError("a microphone", "microphone") from None
    except OSError as error:  # the package is there, and the library that it wraps is not
        raise OptionError(f"no microphone can be opened: {error} (Debian: apt-get install libportaudio2)") from None
    recorded: queue.Queue[Signal] = queue.Queue(100 * WAITING)

    def on_block(samples: Signal, frames: int, time: Any, status: Any) -> None:
        with contextlib.suppress(queue.Full):
            recorded.put_nowait(samples[:, 0].copy())

    which = int(device) if device is not None and device.isdigit() else device
    try:
        stream = sounddevice.InputStream(device=which, channels=1, dtype="float32", callback=on_block)
    except (sounddevice.PortAudioError, ValueError) as error:
        name = "the default microphone" if device is None else f"the microphone {device!r}"
        raise OptionError(f"{name} cannot be opened: {error}; python -m sounddevice lists what there is") from None
    with stream:
        while True:
            yield recorded.get(), round(stream.samplerate)


def _decoded(source: Pipe, raw: Raw | None, name: str) -> Generator[tuple[Signal, int], None, None]:
    try:
        if not source.look(1):
            raise NothingToDoError(f"nothing came from {name}: expected sound")
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
            raise DecodeError(f"{name} is not audio that can be read: it is {is_what}. {opening.EXPECTED}")
        if kind in (kinds.WAV, kinds.MP3, kinds.AU) and (layout := _layout(source, kind)).streams:
            yield from _pieces(source, name, kind, layout)
        elif kind is None or not _streams(source, kind) or (kind.sndfile and not has_media):
            yield from _gathered(source, kind, name)
        else:
            yield from _by_pyav(source, name, kind)
    finally:
        if not source.lent:
            source.close()


def _skip_tags(source: Pipe) -> None:
    """Skip ID3 tags, which libsndfile cannot do in a pipe: they may contain a cover picture."""
    while (head := source.look(10))[:3] == b"ID3" and len(head) == 10:
        left = mpeg.after_tags(head)
        while left and (found := source.read(min(left, CHUNK))):
            left -= len(found)


class _Layout(NamedTuple):
    """How a stream can be decoded."""

    streams: bool = True  # while it comes
    length: int | None = None  # bytes of a piece, where it states them


def _layout(source: Pipe, kind: Kind) -> _Layout:
    if kind is kinds.MP3:
        first = mpeg.frame(source.look(4), 0)
        header = mpeg.header(source.look(first.length), 0, first) if first else None
        if first and header and None in header:  # else libsndfile would guess how many there are, or stop there
            _replace(source, first.side + 8, lambda head: head[:-4] + bytes(4))
        return _Layout(length=header.length if header else None)
    if kind is kinds.AU and source.look(12)[8:] == bytes(4):
        _replace(source, 12, lambda head: head[:8] + b"\xff" * 4)
    return _wav_layout(source) if kind is kinds.WAV else _Layout()


def _wav_layout(source: Pipe) -> _Layout:
    """Read the header of a WAV. One that states no length, as a recorder writes it to a pipe, is made to state the
    longest."""
    riff = source.look(8)
    order = pieces.order_of(riff[:4])
    at, size, coding = 12, 8, 1
    while at + size < pieces.HEADER:
        header = source.look(at + size + 8)
        if len(header) < at + size:
            break
        length = int.from_bytes(header[at + 4 : at + 8], order)
        if header[at : at + 4] == b"fmt ":
            coding = int.from_bytes(header[at + 8 : at + 10], order)
        if header[at : at + 4] == b"data":
            if coding not in PIPED:
                return _Layout(streams=False)
            if length:
                riff_length = int.from_bytes(riff[4:], order)
                known = pieces.UNKNOWN not in (length, riff_length)
                return _Layout(length=max(riff_length + 8, at + size + length) if known else None)
            _replace(source, at + size, lambda head: head[:4] + b"\xff" * 4 + head[8:-4] + b"\xff" * 4)
            break
        at += 8 + length + length % 2
    return _Layout()


def _replace(source: Pipe, size: int, change: Callable[[bytes], bytes]) -> None:
    """Change the next bytes."""
    taken = b""
    while len(taken) < size:
        taken += source.read(size - len(taken))
    source.put_back(change(taken))


def _streams(source: Pipe, kind: Kind) -> bool:
    """Return whether FFmpeg can decode it while it comes: an MP4 only if its index is before its sound."""
    at = 0
    while kind is kinds.MP4 and at < pieces.HEADER:
        box = source.look(at + 16)[at:]
        size = int.from_bytes(box[:4], "big")
        if box[4:8] == b"moov":
            return True
        if box[4:8] == b"mdat" or size < 8:
            return False
        at += size
    return kind.streams and kind is not kinds.MP4


def _gathered(source: Pipe, kind: Kind | None, name: str) -> Iterator[tuple[Signal, int]]:
    """Read a stream to its end and decode it as a file, because it cannot be decoded before."""
    if kind is None:
        source.most = UNKNOWN_MOST  # what is no sound at all must not be waited for
    with opening.gathered(source) as content:
        file = opening.AudioFile(content, pieces.contents(content), name)
        yield from file.blocks(GATHERED_SAMPLES)


def _pieces(source: Pipe, name: str, kind: Kind, layout: _Layout) -> Iterator[tuple[Signal, int]]:
    """Decode a file, and the files laid end to end after it."""
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
        layout = _layout(source, kind)
    source.count = 0
    while source.count <= TAIL and source.read(CHUNK):
        pass
    if source.count > TAIL:
        raise DecodeError(
            f"{name} has more data after the end of its sound at {heard_s:.1f} s. That data was not decoded"
        )


def _by_libsndfile(
    source: Pipe, name: str, length: int | None = None, **options: Any
) -> Generator[tuple[Signal, int], None, None]:
    """Decode this number of bytes, or all."""
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
                f"{name} is not audio that can be read ({opening.reason(error)}). {opening.EXPECTED}"
            ) from None
        with reader:
            reader.seekable = lambda: False  # soundfile would ask where it is after each read
            rate = reader.samplerate
            opening.check_header(rate, reader.channels, name)
            while True:
                try:
                    block = reader.read(max(1, round(BLOCK_S * rate)), dtype="float32", always_2d=True).T
                except soundfile.LibsndfileError as error:
                    if not os.read(end, 1):  # it was only cut short
                        whole = True
                        return
                    raise DecodeError(
                        f"{name} stopped being sound after {decoded_s:.1f} s ({opening.reason(error)})"
                    ) from None
                if not block.shape[1]:
                    break
                decoded_s += block.shape[1] / rate
                yield block, rate
            left = 0
            while left <= TAIL and (found := os.read(end, CHUNK)):
                left += len(found)
            if left > TAIL:
                raise DecodeError(f"{name} stopped being sound after {decoded_s:.1f} s")
            whole = True
    finally:
        os.close(end)
        if length is None or not whole:
            source.end()
        pump.join(LEAVE_S)


def _pump(source: Pipe, entrance: int, length: int | None) -> None:
    """Copy into a pipe of our own: what was looked at cannot be put back into the one that it came from."""
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


def _by_pyav(source: Pipe, name: str, kind: Kind) -> Iterator[tuple[Signal, int]]:
    try:
        import av
    except ImportError:
        raise MissingExtraError(f"reading {name}, which is {kind.name},", "media") from None
    decoded_s = 0.0
    planar = media.Planar()
    try:
        with media.opened(source, kind.demuxer, buffer_size=PROBED) as container:
            if not container.streams.audio:
                raise DecodeError(f"{name} has no sound in it: it is a container without an audio stream")
            stream = container.streams.audio[0]
            opening.check_header(stream.rate or 1, stream.channels or 1, name)
            for frame in container.decode(stream):
                if not source.ended:  # else it is one that the decoder had kept
                    source.count, source.most = 0, ASTRAY_VIDEO if container.streams.video else ASTRAY
                for block in planar.feed(frame):
                    decoded_s += block.shape[1] / planar.rate
                    yield block, planar.rate
            for block in planar.close():
                yield block, planar.rate
            if source.count > (ASTRAY_VIDEO if container.streams.video else TAIL):
                raise DecodeError(f"{name} stopped being sound after {decoded_s:.1f} s")
    except av.error.FFmpegError as error:
        if not decoded_s:
            raise DecodeError(f"{name} is not audio that can be read ({error.strerror}). {opening.EXPECTED}") from None
        if not source.ended or source.count > TAIL:  # else it was only cut short
            raise DecodeError(f"{name} stopped being sound after {decoded_s:.1f} s ({error.strerror})") from None
