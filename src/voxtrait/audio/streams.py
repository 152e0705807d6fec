"""Sound as it comes, block by block: from a pipe that cannot be sought and may never end, and from a microphone.

libsndfile reads WAV, raw samples, mp3, AU and, where PyAV is missing, Ogg: its reader is marked as not seekable, and
then never seeks back. PyAV (the extra ``[media]``) reads flac, webm, aac, Ogg and whatever else can be decoded without
seeking. Either decodes in a thread, so that Ctrl-C is obeyed while nothing comes.
"""

import contextlib
import importlib
import importlib.util
import os
import queue
import select
import threading
from collections.abc import Callable, Generator, Iterator
from typing import IO, Any, Final, NamedTuple, TypeVar

import numpy as np

from voxtrait.audio.signals import Signal
from voxtrait.errors import DecodeError, MissingExtraError, NothingToDoError, OptionError

BLOCK_S: Final = 0.1  # seconds of a block: what a consumer may wait for
WAITING: Final = 64  # blocks that may wait for the consumer
CHUNK: Final = 16_384  # bytes read from a pipe at most in one go
PROBED: Final = 4096  # bytes that PyAV asks for in one go
TAIL: Final = 65_536  # bytes that may follow the sound: tags, and what a writer leaves behind
ASTRAY: Final = 2**18  # bytes without sound after which a stream of nothing but sound is none any more
ASTRAY_VIDEO: Final = 2**26  # … and one with pictures in it
HEADER: Final = 2**20  # bytes before the samples of a WAV at most
LEAVE_S: Final = 1.0  # waited for a thread's end: one that reads from what is no file of the system cannot be ended

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

ALONE: Final = {"protocol_whitelist": "none"}  # a playlist in a pipe must not make ffmpeg open what it names

Item = TypeVar("Item")


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
        if raw.rate < 1 or not 1 <= raw.channels <= 1024:
            raise OptionError(f"got {raw.channels} channels at {raw.rate} Hz, expected 1 to 1024 at a positive rate")
    source = _Bytes(file)
    with contextlib.closing(_in_thread(_decoded(source, raw, name), source.end)) as blocks:
        yield from blocks


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


class _Bytes:
    """A pipe whose next bytes can be looked at, and which counts."""

    name = "pipe"  # PyAV needs one

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ahead = b""
        self._descriptor: int | None = None
        with contextlib.suppress(OSError):
            if not file.seekable():  # a read through Python's buffer holds a lock, and a thread in it stops the exit
                # one of our own: a thread may still be waiting at it when the caller has closed his
                self._descriptor = os.dup(file.fileno())
                self._over, self._end = os.pipe()  # for the thread that waits, and for whoever ends its waiting
        # held while a descriptor is closed or written to: its number may soon be another's
        self._open = threading.Lock()
        self.lent = False  # to a thread that closes it
        self.ended = False
        self.count = 0  # bytes given since the last sound
        self.most: int | None = None  # of them, before it is taken to be over

    def read(self, size: int) -> bytes:
        """Give up to so many bytes, as soon as there are some; none at the end."""
        if self._ahead:
            found, self._ahead = self._ahead[:size], self._ahead[size:]
        elif self._descriptor is not None:
            ready, _, _ = select.select([self._descriptor, self._over], [], [])
            found = b"" if self._over in ready else os.read(self._descriptor, size)
        else:
            found = getattr(self._file, "read1", self._file.read)(size)
        self.count += len(found)
        if self.most is not None and self.count > self.most:
            return b""  # PyAV prints what is raised here, and drops it
        self.ended = not found
        return found

    def look(self, size: int) -> bytes:
        """Look at the next bytes, fewer only at the end, without taking them."""
        seen, self._ahead = self._ahead, b""
        while len(seen) < size and (more := self.read(size - len(seen))):
            seen += more
        self._ahead = seen
        self.count = 0
        return seen[:size]

    def end(self) -> None:
        """Give nothing more, also to a thread that waits for the pipe at this moment."""
        with self._open:
            if self._descriptor is not None:
                os.write(self._end, b".")

    def close(self) -> None:
        """Let go of the pipe; the caller's file stays open."""
        with self._open:
            if self._descriptor is not None:
                for descriptor in (self._descriptor, self._over, self._end):
                    os.close(descriptor)
                self._descriptor = None

    def put_back(self, content: bytes) -> None:
        """Give these bytes next."""
        self._ahead = content + self._ahead


def _decoded(source: _Bytes, raw: Raw | None, name: str) -> Generator[tuple[Signal, int], None, None]:
    try:
        if not source.look(1):
            raise NothingToDoError(f"nothing came from {name}: expected sound")
        if raw is not None:
            subtype, endian = RAW[raw.encoding]
            options = {"format": "RAW", "subtype": subtype, "endian": endian}
            yield from _by_libsndfile(source, name, samplerate=raw.rate, channels=raw.channels, **options)
        elif _is_for_libsndfile(source):
            yield from _by_libsndfile(source, name)
        else:
            yield from _by_pyav(source, name)
    finally:
        if not source.lent:
            source.close()


def _is_for_libsndfile(source: _Bytes) -> bool:
    """Look at the first bytes, and make them such that libsndfile can read them from a pipe."""
    head = source.look(12)
    if head[:3] == b"ID3" and len(head) >= 10:
        _skip_tag(source, head)
        head = source.look(12)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        _state_length(source)
        return True
    is_mp3 = head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 != 0
    return is_mp3 or head[:4] == b".snd" or (head[:4] == b"OggS" and importlib.util.find_spec("av") is None)


def _skip_tag(source: _Bytes, head: bytes) -> None:
    """Pass over an ID3 tag, which libsndfile cannot do in a pipe: a cover may be in it."""
    left = 10 + sum(byte << 7 * place for place, byte in enumerate(reversed(head[6:10])))
    while left and (found := source.read(min(left, CHUNK))):
        left -= len(found)


def _state_length(source: _Bytes) -> None:
    """Make a WAV that states no length, as a recorder writes it to a pipe, state the longest one."""
    at, size = 12, 8
    while at + size < HEADER:
        header = source.look(at + size)
        if len(header) < at + size:
            return
        length = int.from_bytes(header[at + 4 : at + 8], "big" if header[:4] == b"RIFX" else "little")
        if header[at : at + 4] == b"data":
            if not length:
                taken = b""
                while len(taken) < at + size:
                    taken += source.read(at + size - len(taken))
                source.put_back(taken[:4] + b"\xff" * 4 + taken[8:-4] + b"\xff" * 4)
            return
        at += 8 + length + length % 2


def _by_libsndfile(source: _Bytes, name: str, **options: Any) -> Iterator[tuple[Signal, int]]:
    import soundfile

    end, entrance = os.pipe()
    source.lent = True
    pump = threading.Thread(target=_pump, args=(source, entrance), daemon=True)
    pump.start()
    decoded_s = 0.0
    try:
        try:
            reader = soundfile.SoundFile(end, closefd=False, **options)
        except soundfile.LibsndfileError as error:
            raise DecodeError(f"{name} is no sound that can be read ({_reason(error)}): {EXPECTED}") from None
        with reader:
            reader.seekable = lambda: False  # soundfile would ask where it is after each read
            rate = reader.samplerate
            while True:
                try:
                    block = reader.read(max(1, round(BLOCK_S * rate)), dtype="float32", always_2d=True).T
                except soundfile.LibsndfileError as error:
                    if not os.read(end, 1):  # it was only cut short
                        return
                    raise DecodeError(
                        f"{name} stopped being sound after {decoded_s:.1f} s ({_reason(error)})"
                    ) from None
                if not block.shape[1]:
                    break
                decoded_s += block.shape[1] / rate
                yield block, rate
            left = 0
            while left <= TAIL and (found := os.read(end, CHUNK)):
                left += len(found)
            if left > TAIL:
                raise DecodeError(f"{name} goes on after the end of its sound at {decoded_s:.1f} s: that was not heard")
    finally:
        os.close(end)
        source.end()
        pump.join(LEAVE_S)


def _pump(source: _Bytes, entrance: int) -> None:
    """Copy into a pipe of our own: what was looked at cannot be put back into the one that it came from."""
    try:
        with contextlib.suppress(OSError), open(entrance, "wb", buffering=0) as pipe:
            while chunk := source.read(CHUNK):
                left = memoryview(chunk)
                while left:
                    left = left[pipe.write(left) :]
    finally:
        source.close()


def _by_pyav(source: _Bytes, name: str) -> Iterator[tuple[Signal, int]]:
    try:
        import av
    except ImportError:
        raise MissingExtraError(f"{name} is not WAV, mp3, ogg or raw samples; reading it", "media") from None
    decoded_s = 0.0
    try:
        with av.open(source, buffer_size=PROBED, options=ALONE, metadata_errors="replace") as container:
            if not container.streams.audio:
                raise DecodeError(f"{name} has no sound in it: it is a container without an audio stream")
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="fltp", rate=stream.rate)
            for frame in container.decode(stream):
                if not source.ended:  # else it is one that the decoder had kept
                    source.count, source.most = 0, ASTRAY_VIDEO if container.streams.video else ASTRAY
                for out in resampler.resample(frame):
                    decoded_s += out.samples / out.sample_rate
                    yield np.asarray(out.to_ndarray(), dtype=np.float32), out.sample_rate
            if source.count > (ASTRAY_VIDEO if container.streams.video else TAIL):
                raise DecodeError(f"{name} stopped being sound after {decoded_s:.1f} s")
    except av.error.FFmpegError as error:
        if not decoded_s:
            raise DecodeError(f"{name} is no sound that can be read ({error.strerror}): {EXPECTED}") from None
        if not source.ended or source.count > TAIL:  # else it was only cut short
            raise DecodeError(f"{name} stopped being sound after {decoded_s:.1f} s ({error.strerror})") from None


EXPECTED: Final = "expected wav, mp3, ogg, flac, webm or, with --raw, samples (an m4a in a pipe must be fragmented)"


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).rstrip(".") or "damaged"


def _in_thread(items: Generator[Item, None, None], end: Callable[[], None]) -> Generator[Item, None, None]:
    """Let a thread work, and wait for it in a way that Ctrl-C ends: in a C library nothing would.

    The thread is over when this is, for one that runs while the interpreter shuts down may abort the process; ``end``
    is what ends its waiting for items.
    """
    waiting: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(WAITING)
    wanted = threading.Event()
    wanted.set()

    def put(item: Item | None, error: BaseException | None) -> None:
        while wanted.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put((item, error), timeout=0.2)
                return

    def work() -> None:
        try:
            with contextlib.closing(items):
                for item in items:
                    put(item, None)
                    if not wanted.is_set():
                        return
            put(None, None)
        except BaseException as error:  # for the thread that waits
            put(None, error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        wanted.clear()
        end()
        thread.join(LEAVE_S)
