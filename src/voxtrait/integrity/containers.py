"""Is a file cut off? Detected from its container, for most decoders play what is there and report nothing.

* mp3: the frames are walked (ISO/IEC 11172-3 and 13818-3, layer III). The last one must be whole, and there must be as
  many as a Xing, Info or VBRI header declares. ID3 tags are passed over, and what follows the last frame is tolerated.
* wav: the ``data`` chunk must be within the file (RIFF, RF64).
* ogg: the last page of each stream must be whole and carry the end-of-stream flag (RFC 3533).
* mp4: the top boxes must be within the file (ISO/IEC 14496-12).
* flac states how many samples it has in its first block (RFC 9639): see :func:`flac_samples`.
"""

import mmap
from typing import Final, NamedTuple, TypeAlias

Data: TypeAlias = bytes | mmap.mmap

# kbit/s by the bitrate index, for MPEG-1 and for MPEG-2 and 2.5; 0 is "free", whose frames cannot be walked
_KBITS_1: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # Hz by version
_SEARCH: Final = 65_536  # bytes within which a lost frame is looked for
_TAGS: Final = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")
_UNKNOWN_SIZE: Final = 0xFFFFFFFF  # of a WAV that was written to a pipe


class _Frame(NamedTuple):
    version: int
    rate: int
    length: int  # bytes
    side: int  # bytes of side information, after which a Xing header may follow


def truncation(data: Data) -> str | None:
    """Describe how a file is cut off, according to its container.

    Args:
        data: the whole file: bytes, or a memory map.

    Returns:
        The reason, or ``None`` where the file is whole, or of a kind that does not show it.

    Examples:
        >>> truncation(b"RIFF" + bytes(4) + b"WAVEdata" + (100).to_bytes(4, "little") + bytes(40))
        'the data chunk has 40 of 100 bytes'
    """
    head = bytes(data[:12])
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return _wav(data)
    if head[:4] == b"OggS":
        return _ogg(data)
    if head[4:8] == b"ftyp":
        return _mp4(data)
    if head[:4] == b"fLaC":
        return None
    return _mp3(data)


def flac_samples(data: Data) -> int | None:
    """Read how many samples a FLAC file declares; ``None`` for another kind of file, or where it declares none."""
    if len(data) < 26 or data[:4] != b"fLaC":
        return None
    return int.from_bytes(data[21:26], "big") & (1 << 36) - 1 or None


def _wav(data: Data) -> str | None:
    at, long_size = 12, 0
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"ds64":
            long_size = int.from_bytes(data[at + 16 : at + 24], "little")
        if name == b"data":
            if size == _UNKNOWN_SIZE:
                size = long_size
            there = len(data) - at - 8
            return f"the data chunk has {there} of {size} bytes" if there < size else None
        at += 8 + size + size % 2
    return "it ends before the data chunk"


def _ogg(data: Data) -> str | None:
    open_streams: set[bytes] = set()
    at = 0
    while at >= 0 and at + 4 <= len(data):
        if data[at : at + 4] != b"OggS":
            at = data.find(b"OggS", at)
            continue
        segments = data[at + 26] if at + 27 <= len(data) else 0
        end = at + 27 + segments
        end += sum(data[at + 27 : end]) if end <= len(data) else 0
        if end > len(data):
            return "its last page is not whole"
        serial = bytes(data[at + 14 : at + 18])
        if data[at + 5] & 4:
            open_streams.discard(serial)
        else:
            open_streams.add(serial)
        at = end
    return "it has no end-of-stream page" if open_streams else None


def _mp4(data: Data) -> str | None:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:  # up to the end of the file
            return None
        if size < 8:
            return None  # no box: tolerated behind the last one
        if at + size > len(data):
            return f"the box {bytes(data[at + 4 : at + 8])!r} has {len(data) - at} of {size} bytes"
        at += size
    return None


def _mp3(data: Data) -> str | None:
    at = 0
    while data[at : at + 3] == b"ID3":
        size = 0
        for byte in data[at + 6 : at + 10]:
            size = size << 7 | byte & 127
        at += 10 + size + (10 if data[at + 5 : at + 6] and data[at + 5] & 16 else 0)
        if at >= len(data):
            return "it ends within its ID3 tag"
    first = _frame(data, at)
    if first is None:
        at = _next_frame(data, at)
        first = _frame(data, at) if at >= 0 else None
    if first is None:
        return None  # no mp3, or one of free bitrate
    declared = _declared_frames(data, at, first)
    frames = 0
    while at + 4 <= len(data):
        frame = _frame(data, at)
        if frame is None or frame[:2] != first[:2]:
            if any(data[at : at + len(tag)] == tag for tag in _TAGS) or (at := _next_frame(data, at)) < 0:
                break
            continue
        if at + frame.length > len(data):
            return f"its last frame has {len(data) - at} of {frame.length} bytes"
        frames += 1
        at += frame.length
    if 0 < len(data) - at < 4 and data[at] == 0xFF:
        return f"its last frame has {len(data) - at} bytes"
    # a declared count usually leaves the frame out that it is in; one too few is therefore not seen
    return f"it has {frames} of {declared} frames" if declared and frames < declared else None


def _frame(data: Data, at: int) -> _Frame | None:
    """Read a frame's header; ``None`` where there is none."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE6 != 0xE2:  # sync and layer III
        return None
    version, bitrate, rate = data[at + 1] >> 3 & 3, data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return None
    hertz, padding, mono = _RATES[version][rate], data[at + 2] >> 1 & 1, data[at + 3] >> 6 == 3
    kbits, factor = (_KBITS_1, 144) if version == 3 else (_KBITS_2, 72)
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    return _Frame(version, hertz, factor * 1000 * kbits[bitrate] // hertz + padding, side)


def _next_frame(data: Data, at: int) -> int:
    """Find the next header with another one of its kind right behind it; -1 where there is none nearby."""
    stop = at + _SEARCH
    while (at := data.find(b"\xff", at + 1, stop)) >= 0:
        frame = _frame(data, at)
        after = _frame(data, at + frame.length) if frame else None
        if frame and after and frame[:2] == after[:2]:
            return at
    return -1


def _declared_frames(data: Data, at: int, frame: _Frame) -> int | None:
    xing, vbri = at + 4 + frame.side, at + 36
    if data[xing : xing + 4] in (b"Xing", b"Info") and len(data) >= xing + 12 and data[xing + 7] & 1:
        return int.from_bytes(data[xing + 8 : xing + 12], "big")
    if data[vbri : vbri + 4] == b"VBRI" and len(data) >= vbri + 18:
        return int.from_bytes(data[vbri + 14 : vbri + 18], "big")
    return None
