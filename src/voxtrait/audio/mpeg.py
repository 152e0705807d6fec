"""Finds and counts frames of MPEG audio (ISO/IEC 11172-3, 13818-3) and ADTS AAC (13818-7), without decoding them.

An mp3 states its length only in a Xing, Info or VBRI header. Not every encoder writes one, and it is wrong in truncated
or concatenated files. The count of frames gives the true length.
"""

from typing import Final, NamedTuple, Protocol, overload

import numpy as np


class Data(Protocol):
    """Bytes with random access: ``bytes``, a memory map, or a file (:class:`voxtrait.audio.pieces.Contents`)."""

    def __len__(self) -> int:
        """Return the number of bytes."""
        ...

    @overload
    def __getitem__(self, at: int) -> int: ...

    @overload
    def __getitem__(self, at: slice) -> bytes: ...

    def find(self, sign: bytes, start: int, stop: int, /) -> int:
        """Return the position of some bytes in a range, or -1."""
        ...


# kbit/s by the bitrate index; 0 is "free", whose frame length is unknown
_KBITS: Final = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),  # MPEG-1, layer I
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),  # MPEG-2 and 2.5
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # Hz by version
SEARCH: Final = 65_536  # maximum bytes to search for the next frame after damage
TAGS: Final = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")
MOST_TAGS: Final = 1000  # ID3 tags that are skipped: a hostile file has millions
CHAIN: Final = 3  # consecutive frames that confirm MPEG audio, because any two bytes may look like a header


class Frame(NamedTuple):
    """The header of a frame."""

    version: int  # 3 for MPEG-1, 2 for MPEG-2, 0 for MPEG-2.5
    layer: int
    rate: int  # Hz
    length: int  # bytes
    samples: int  # samples of each channel
    side: int  # bytes of side information, before a possible Xing header

    def follows(self, other: "Frame") -> bool:
        """Return whether both frames can belong to the same stream."""
        return self[:3] == other[:3]


class Header(NamedTuple):
    """Values of a Xing, Info or VBRI header; ``None`` if not stated."""

    frames: int | None
    length: int | None  # bytes, including the frame with the header


def frame(data: Data, at: int) -> Frame | None:
    """Read the header of the frame at a position; ``None`` if no frame begins there."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    bitrate, rate = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    hertz, padding, mono = _RATES[version][rate], data[at + 2] >> 1 & 1, data[at + 3] >> 6 == 3
    bits = 1000 * _KBITS[1 if version == 3 else 2, layer][bitrate]
    if layer == 1:
        return Frame(version, 1, hertz, (12 * bits // hertz + padding) * 4, 384, 0)
    samples = 576 if layer == 3 and version != 3 else 1152
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    return Frame(version, layer, hertz, samples // 8 * bits // hertz + padding, samples, side)


def next_frame(data: Data, at: int) -> int:
    """Return the position of the next header that is directly followed by a similar one; -1 if none is near."""
    stop = at + SEARCH
    while (at := data.find(b"\xff", at + 1, stop)) >= 0:
        found = frame(data, at)
        after = frame(data, at + found.length) if found else None
        if found and after and found.follows(after):
            return at
    return -1


def is_chain(data: Data, at: int = 0, *, short: bool = False) -> bool:
    """Return whether three consecutive frames begin at a position.

    Args:
        data: bytes to search.
        at: position of the first frame.
        short: whether fewer frames are enough if the data end with them, as in the first bytes of a file.
    """
    first = here = frame(data, at)
    count = 0
    while here is not None and first is not None and here.follows(first) and count < CHAIN:
        count += 1
        at += here.length
        here = frame(data, at)
    return count >= CHAIN or (short and count > 0 and at >= len(data) - 4)


def is_adts(data: Data, at: int = 0) -> bool:
    """Return whether consecutive frames of ADTS AAC begin at a position."""
    for _ in range(CHAIN):
        if at + 7 > len(data) or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
            return False
        length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        if length < 7:
            return False
        at += length
        if at >= len(data):
            break
    return True


def after_tags(data: Data, at: int = 0) -> int:
    """Return the position after ID3 tags, which may be after the end of the file."""
    for _ in range(MOST_TAGS):
        if data[at : at + 3] != b"ID3" or at + 10 > len(data):
            break
        size = 0
        for byte in data[at + 6 : at + 10]:
            size = size << 7 | byte & 127
        at += 10 + size + (10 if data[at + 5] & 16 else 0)
    return at


def header(data: Data, at: int, first: Frame) -> Header | None:
    """Read the Xing, Info or VBRI header in the first frame; zeros of an interrupted encoder count as missing."""
    xing, vbri = at + 4 + first.side, at + 36
    if data[xing : xing + 4] in (b"Xing", b"Info") and len(data) >= xing + 16:
        flags = data[xing + 7]
        frames = int.from_bytes(data[xing + 8 : xing + 12], "big") if flags & 1 else None
        place = xing + (12 if flags & 1 else 8)
        length = int.from_bytes(data[place : place + 4], "big") if flags & 2 else None
        return Header(frames or None, length or None)
    if data[vbri : vbri + 4] == b"VBRI" and len(data) >= vbri + 18:
        length, frames = (int.from_bytes(data[vbri + start : vbri + start + 4], "big") for start in (10, 14))
        return Header(frames or None, length or None)
    return None


class Walk(NamedTuple):
    """Consecutive frames of a stream."""

    frames: int
    samples: int  # samples of each channel
    end: int  # position after the last frame
    constant: bool  # whether all frames have the same bitrate


def walk(data: Data, at: int, first: Frame) -> Walk:
    """Count the frames of a stream from its first frame to a tag or the end, skipping damage."""
    own = data[at + 2] >> 4
    frames = _equal(data, at, first)
    at += frames * first.length
    size = len(data)
    lengths: dict[bytes, int] = {}  # by the header bytes with rate and length; 0 if it is no frame of this stream
    while at + 4 <= size:
        key = data[at : at + 3]
        length = lengths.get(key)
        if length is None:
            here = frame(data, at)
            length = lengths[key] = here.length if here is not None and here.follows(first) else 0
        if not length:
            if any(data[at : at + len(tag)] == tag for tag in TAGS) or (at_next := next_frame(data, at)) < 0:
                break
            at = at_next
            continue
        if at + length > size:
            break
        frames += 1
        at += length
    constant = all(key[2] >> 4 == own for key, length in lengths.items() if length)
    return Walk(frames, frames * first.samples, at, constant)


def _equal(data: Data, at: int, first: Frame) -> int:
    """Count the complete frames from a position that equal the first one; most files have only such frames."""
    if not isinstance(data, bytes):
        return 0
    count = (len(data) - at) // first.length
    whole = np.frombuffer(data, np.uint8, count * first.length, at).reshape(count, first.length)
    other = np.flatnonzero((whole[:, :3] != whole[:1, :3]).any(axis=1))
    return int(other[0]) if other.size else count
