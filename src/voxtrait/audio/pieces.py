"""Divides concatenated files, and corrects headers with a wrong length, so that decoders read all of the audio.

Decoders trust the header. Without an error they lose audio of an mp3 with variable bitrate and no frame count, of a WAV
from a recorder that crashed before it wrote the size, and of concatenated mp3, Ogg or WAV files.
"""

import io
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Final, Literal, NamedTuple, overload

from voxtrait.audio import kinds, mpeg
from voxtrait.audio.kinds import Kind
from voxtrait.audio.mpeg import Data

HEADER: Final = 2**20  # maximum bytes before the samples of a WAV
BLOCK: Final = 65_536  # bytes of a file that are cached
SMALL: Final = 2**20  # maximum bytes of a file that is read whole
SLACK: Final = 1024  # bytes after the audio that every decoder ignores
UNKNOWN: Final = 2**32 - 1  # size stated by a WAV that was written to a pipe; decoders read to the end


class Piece(NamedTuple):
    """A part of a file that a decoder reads as a complete file."""

    start: int
    end: int
    before: bytes = b""  # header to use instead of the original one
    samples: int | None = None  # samples of each channel at ``rate``, if they were counted
    rate: int = 0  # Hz

    def covers(self, size: int) -> bool:
        """Return whether the piece is the whole file of ``size`` bytes, unchanged."""
        return self.start == 0 and self.end == size and not self.before


class Contents:
    """The bytes of a file, read on demand: unlike a memory map, safe if the file becomes shorter."""

    def __init__(self, file: IO[bytes] | io.FileIO) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        self._start, self._block = 0, b""

    def __len__(self) -> int:
        """Return the size of the file."""
        return self._size

    @overload
    def __getitem__(self, at: int) -> int: ...

    @overload
    def __getitem__(self, at: slice) -> bytes: ...

    def __getitem__(self, at: int | slice) -> int | bytes:
        """Return one byte (0 after the end), or several (fewer at the end)."""
        if isinstance(at, int):
            if not self._start <= at < self._start + len(self._block):
                self._load(at)
            return self._block[at - self._start] if self._block else 0
        start, stop, _ = at.indices(self._size)
        if stop - start > BLOCK:
            self._file.seek(start)
            return self._file.read(stop - start)
        if not self._start <= start <= stop <= self._start + len(self._block):
            self._load(start)
        return self._block[start - self._start : max(start, stop) - self._start]

    def find(self, sign: bytes, start: int, stop: int, /) -> int:
        """Return the position of some bytes in a range, or -1."""
        stop = min(stop, self._size)
        while start < stop:  # block by block, so that a large file is never in memory at once
            if not self._start <= start < self._start + len(self._block) - len(sign):
                self._load(start)
            end = self._start + len(self._block)
            found = self._block.find(sign, start - self._start, stop - self._start)
            if found >= 0:
                return self._start + found
            if end >= stop or len(self._block) < len(sign):
                break
            start = end - len(sign) + 1
        return -1

    def _load(self, start: int) -> None:
        self._file.seek(start)
        self._start, self._block = start, self._file.read(BLOCK)


class PieceFile(io.RawIOBase):
    """A piece as a readable and seekable file."""

    def __init__(self, data: Data, piece: Piece) -> None:
        self._data, self._piece, self._at = data, piece, 0
        self._size = len(piece.before) + piece.end - piece.start

    def readable(self) -> bool:
        """Return ``True``."""
        return True

    def seekable(self) -> bool:
        """Return ``True``."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, relative to the start, the current position or the end; one before the start is ignored.

        libsndfile seeks there in some damaged files, and a file on a disk then keeps its position.
        """
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset >= 0:
            self._at = base + offset
        return self._at

    def readinto(self, buffer: "io.BufferedWriter | memoryview") -> int:  # type: ignore[override]
        """Read bytes until the buffer is full or the piece ends."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        before = self._piece.before
        if self._at < len(before):
            found = before[self._at : self._at + len(view)]
        else:
            start = self._piece.start + self._at - len(before)
            found = bytes(self._data[start : min(start + len(view), self._piece.end)])
        view[: len(found)] = found
        self._at += len(found)
        return len(found)


def contents(file: IO[bytes] | io.FileIO) -> Data:
    """Return the bytes of an open file: all of a small file, which is fastest, or a view that reads on demand."""
    found = Contents(file)
    if len(found) > SMALL:
        return found
    file.seek(0)
    return file.read()


def pieces_of(data: Data, kind: Kind | None) -> Iterator[Piece]:
    """Divide a file into pieces that are decoded separately; most files have one piece.

    Each piece is searched for on demand, because hostile files have millions.

    Args:
        data: the whole file.
        kind: kind of the file; ``None`` if unknown.

    Examples:
        >>> list(pieces_of(b"RIFF\\0\\0\\0\\0WAVE", kinds.WAV))
        [Piece(start=0, end=12, before=b'', samples=None, rate=0)]
    """
    # decoders of mp3 skip ID3 tags; libsndfile subtracts their length from that of a WAV
    start = 0 if kind in (None, kinds.MP3) else mpeg.after_tags(data)
    divide = _DIVIDED.get(kind)
    found = False
    for piece in divide(data, start) if divide else ():
        yield piece
        found = True
    if not found:
        yield Piece(start, len(data))


def _of_mpeg(data: Data, start: int) -> Iterator[Piece]:
    size = len(data)
    while (found := _first_frame(data, start, short=not start)) is not None:
        at, first = found
        header = mpeg.header(data, at, first)
        before, skipped, samples = b"", start, None
        if header is None or header.frames is None or header.length is None or at + header.length > size:
            walk = mpeg.walk(data, at, first)
            end, samples = walk.end, walk.samples
            if walk.frames and (header is not None or not walk.constant):
                before, skipped = _counted(data, at, first, walk, header is not None) or (b"", start)
        else:
            end = at + header.length
            while (more := mpeg.frame(data, end)) and more.follows(first) and not mpeg.header(data, end, more):
                end += more.length  # some encoders do not count the frame with the header
        # a short tag is harmless, and a file is read faster than a piece of it; after more bytes, libmpg123 gives up
        if end <= at or (size - end <= SLACK and not before):
            end = size
        yield Piece(skipped, end, before, samples, first.rate)
        start = end


def _first_frame(data: Data, start: int, *, short: bool = False) -> tuple[int, mpeg.Frame] | None:
    at = mpeg.after_tags(data, start)
    if not mpeg.is_chain(data, at, short=short) and (at := mpeg.next_frame(data, at)) < 0:
        return None
    first = mpeg.frame(data, at)
    return None if first is None or not mpeg.is_chain(data, at, short=short) else (at, first)


def _counted(data: Data, at: int, first: mpeg.Frame, walk: mpeg.Walk, has_header: bool) -> tuple[bytes, int] | None:
    """Make a first frame that states the number of frames, and return it with the position of the next frame.

    ``None`` for a VBRI header, which decoders do not use.
    """
    length = walk.end - at
    if has_header:  # a truncated file keeps its header, which also states the encoder's delay
        made = bytearray(data[at : at + first.length])
        place = 4 + first.side
        if bytes(made[place : place + 4]) not in (b"Xing", b"Info"):  # VBRI
            return None
        at += first.length
    else:
        made = bytearray(bytes(data[at : at + 4]) + bytes(first.length - 4))
        made[1] |= 1  # no checksum
        place = 4 + first.side
        made[place : place + 8] = b"Xing" + struct.pack(">I", 3)
        length += len(made)
    frames = walk.frames - has_header
    flags = made[place + 7]
    if flags & 1:
        made[place + 8 : place + 12] = struct.pack(">I", frames)
    if flags & 2:
        bytes_at = place + (12 if flags & 1 else 8)
        made[bytes_at : bytes_at + 4] = struct.pack(">I", min(length, UNKNOWN))
    return bytes(made), at


def _of_ogg(data: Data, start: int) -> Iterator[Piece]:
    """Divide chained streams (RFC 3533, section 4): a stream begins when those before have ended."""
    size, at, inside = len(data), start, False
    while at + 27 <= size and data[at : at + 4] == b"OggS":
        begins = bool(data[at + 5] & 2)
        if begins and inside:
            yield Piece(start, at)
            start = at
        inside = not begins
        segments = at + 27 + data[at + 26]
        at = segments + sum(data[at + 27 : segments])
        if (behind := _behind(data, at, (b"OggS",))) not in (None, at):
            yield Piece(start, at)
            at = start = behind
            inside = False
    yield Piece(start, size)


def _of_au(data: Data, start: int) -> Iterator[Piece]:
    size = len(data)
    while start < size:
        order: Literal["big", "little"] = "big" if data[start : start + 4] == b".snd" else "little"
        offset, length = (int.from_bytes(data[start + at : start + at + 4], order) for at in (4, 8))
        if not length:
            yield Piece(start + 12, size, data[start : start + 8] + b"\xff" * 4)
            return
        end = start + offset + length
        behind = _behind(data, end, (b".snd", b"dns."))
        yield Piece(start, size if behind is None else end)
        start = size if behind is None else behind


def _of_aiff(data: Data, start: int) -> Iterator[Piece]:
    size = len(data)
    while start < size:
        length = int.from_bytes(data[start + 4 : start + 8], "big")
        end = start + 8 + length + length % 2
        behind = _behind(data, end, (b"FORM",))
        yield Piece(start, size if behind is None else end)
        start = size if behind is None else behind


def _behind(data: Data, end: int, marks: Sequence[bytes]) -> int | None:
    """Return the position of another file after the end of one and its tags, or ``None``."""
    at = mpeg.after_tags(data, end)
    return at if data[at : at + 4] in marks else None


def _of_boxes(data: Data, start: int) -> Iterator[Piece]:
    """Divide concatenated MP4 files (ISO/IEC 14496-12): each begins with a box ``ftyp``."""
    size, at = len(data), start
    while at + 8 <= size:
        length = int.from_bytes(data[at : at + 4], "big")
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        if at > start and data[at + 4 : at + 8] == b"ftyp":
            yield Piece(start, at)
            start = at
        if length < 8:
            break
        at += length
    yield Piece(start, size)


def _of_marks(mark: bytes) -> Callable[[Data, int], Iterator[Piece]]:
    """Divide concatenated files whose mark cannot occur in their audio."""

    def divide(data: Data, start: int) -> Iterator[Piece]:
        size = len(data)
        while (found := data.find(mark, start + 1, size)) >= 0:
            yield Piece(start, found)
            start = found
        yield Piece(start, size)

    return divide


def _of_matroska(data: Data, start: int) -> Iterator[Piece]:
    """Divide concatenated Matroska and WebM files (RFC 9559): each begins with a header that names its kind."""
    size, at = len(data), start
    while (at := data.find(kinds.EBML, at + 1, size)) >= 0:
        head = data[at : at + 64]
        if b"webm" in head or b"matroska" in head:
            yield Piece(start, at)
            start = at
    yield Piece(start, size)


def _of_wav(data: Data, start: int) -> Iterator[Piece]:
    size = len(data)
    while start < size:
        riff = int.from_bytes(data[start + 4 : start + 8], order_of(data[start : start + 4]))
        end = start + 8 + riff + riff % 2
        behind = None if riff in (0, UNKNOWN) else _behind(data, end, (b"RIFF", b"RIFX", b"RF64"))
        if behind is None:
            end = behind = size
        header = wav_header(data, start, end)
        if header is not None:
            before, skipped = header
            yield Piece(skipped, end, before)
        else:
            yield Piece(start, end)
        start = behind


def order_of(mark: bytes) -> Literal["big", "little"]:
    """Return the byte order of a WAV, from its first four bytes."""
    return "big" if mark == b"RIFX" else "little"


def wav_header(data: Data, start: int, end: int) -> tuple[bytes, int] | None:
    """Correct the header of a WAV that lacks the size of its samples or states too small a size.

    Returns:
        The header with the actual sizes, and the position of the samples; ``None`` if the header is correct.
    """
    mark = data[start : start + 4]
    order = order_of(mark)
    at, long_size = start + 12, 0
    while at + 8 <= min(end, start + HEADER):
        size = int.from_bytes(data[at + 4 : at + 8], order)
        if data[at : at + 4] == b"ds64":
            long_size = int.from_bytes(data[at + 16 : at + 24], "little")
        if data[at : at + 4] == b"data":
            samples = end - at - 8
            if size == UNKNOWN and mark in (b"RF64", b"BW64"):
                size = long_size
            behind = at + 8 + size + size % 2
            if size >= samples - SLACK or _is_chunk(data, behind, end, order):
                return None
            head = bytearray(data[start : at + 8])
            head[:8] = (b"RIFX" if order == "big" else b"RIFF") + min(len(head) + samples - 8, UNKNOWN).to_bytes(
                4, order
            )
            head[-4:] = min(samples, UNKNOWN).to_bytes(4, order)
            return bytes(head), at + 8
        at += 8 + size + size % 2
    return None


def _is_chunk(data: Data, at: int, end: int, order: Literal["big", "little"]) -> bool:
    """Return whether a chunk, named by four letters, follows: then the audio has ended."""
    name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], order)
    return len(name) == 4 and all(32 <= sign < 127 for sign in name) and size <= end - at - 7


_DIVIDED: Final[dict[Kind | None, Callable[[Data, int], Iterator[Piece]]]] = {
    kinds.MP3: _of_mpeg,
    kinds.OGG: _of_ogg,
    kinds.WAV: _of_wav,
    kinds.AU: _of_au,
    kinds.AIFF: _of_aiff,
    kinds.MP4: _of_boxes,
    kinds.FLAC: _of_marks(b"fLaC\0\0\0\x22"),
    kinds.AMR: _of_marks(b"#!AMR"),
    kinds.MATROSKA: _of_matroska,
}
