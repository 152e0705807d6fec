"""Reads and corrects the headers of files in a pipe, before they are decoded."""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from voxtrait.audio import kinds, mpeg, pieces
from voxtrait.audio.kinds import Kind
from voxtrait.audio.pipes import Pipe

# codecs of a WAV and encodings of an AU that libsndfile decodes without seeking. It makes as many samples of ADPCM as
# the header states, so a WAV that was written to a pipe would never end
PIPED: Final = frozenset([0x1, 0x3, 0x6, 0x7, 0x55])
PIPED_AU: Final = frozenset([1, 2, 3, 4, 5, 6, 7, 27])
EXTENSIBLE: Final = 0xFFFE  # codec of a WAV whose actual codec begins 24 bytes after


class Layout(NamedTuple):
    """How a stream can be decoded by libsndfile."""

    streams: bool = True  # decodable while it arrives
    length: int | None = None  # bytes of a piece, if stated


def layout_of(source: Pipe, kind: Kind) -> Layout:
    """Read the header of a WAV, mp3 or AU, and correct it where libsndfile would misread it in a pipe."""
    if kind is kinds.MP3:
        first = mpeg.frame(source.look(4), 0)
        header = mpeg.header(source.look(first.length), 0, first) if first else None
        if first and header and None in header:  # otherwise libsndfile would guess the number of frames, or stop there
            _replace(source, first.side + 8, lambda head: head[:-4] + bytes(4))
        return Layout(length=header.length if header else None)
    return _wav_layout(source) if kind is kinds.WAV else _au_layout(source)


def _au_layout(source: Pipe) -> Layout:
    head = source.look(16)
    order: Literal["big", "little"] = "big" if head[:4] == b".snd" else "little"
    if int.from_bytes(head[12:], order) not in PIPED_AU:
        return Layout(streams=False)
    if head[8:12] == bytes(4):
        _replace(source, 12, lambda head: head[:8] + b"\xff" * 4)
    return Layout()


def _wav_layout(source: Pipe) -> Layout:
    """Read the header of a WAV; a missing length, as recorders write to pipes, is replaced by the maximum."""
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
            if coding == EXTENSIBLE:
                coding = int.from_bytes(source.look(at + 34)[at + 32 : at + 34], order)
        if header[at : at + 4] == b"data":
            if coding not in PIPED:
                return Layout(streams=False)
            if length:
                riff_length = int.from_bytes(riff[4:], order)
                known = pieces.UNKNOWN not in (length, riff_length)
                return Layout(length=max(riff_length + 8, at + size + length) if known else None)
            _replace(source, at + size, lambda head: head[:4] + b"\xff" * 4 + head[8:-4] + b"\xff" * 4)
            break
        at += 8 + length + length % 2
    return Layout()


def _replace(source: Pipe, size: int, change: Callable[[bytes], bytes]) -> None:
    """Change the next bytes."""
    taken = b""
    while len(taken) < size:
        taken += source.read(size - len(taken))
    source.put_back(change(taken))


def arrives_decodable(source: Pipe, kind: Kind) -> bool:
    """Return whether FFmpeg can decode a stream while it arrives: an MP4 only if its index precedes its audio."""
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
