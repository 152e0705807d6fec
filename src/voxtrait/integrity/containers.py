"""Detects truncated audio files from their containers; most decoders play the rest and report no error.

* mp3: the frames are walked (ISO/IEC 11172-3 and 13818-3, layer III). The last frame must be complete, and there must
  be at least as many frames as a Xing, Info or VBRI header declares. Tags, and data after the last frame, do not count.
* wav: the ``data`` chunk must be within the file (RIFF, RF64).
* ogg: the last page of each stream must be complete and have the end-of-stream flag (RFC 3533).
* mp4: the top-level boxes must be within the file (ISO/IEC 14496-12).
* flac: the first block declares the number of samples (RFC 9639): see :func:`flac_samples`.
"""

from typing import Final

from voxtrait.audio import mpeg
from voxtrait.audio.mpeg import Data

_UNKNOWN_SIZE: Final = 0xFFFFFFFF  # of a WAV that was written to a pipe


def truncation(data: Data) -> str | None:
    """Describe how a file is truncated, according to its container.

    Args:
        data: the whole file: bytes, a memory map, or a view that reads on demand.

    Returns:
        The reason; ``None`` if the file is complete, or if its format does not show truncation.

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
    """Return the number of samples that a FLAC file declares; ``None`` for other files, or if it declares none."""
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
    return "the file ends before the data chunk"


def _ogg(data: Data) -> str | None:
    open_streams: set[bytes] = set()
    at = 0
    while at >= 0 and at + 4 <= len(data):
        if data[at : at + 4] != b"OggS":
            at = data.find(b"OggS", at, len(data))
            continue
        segments = data[at + 26] if at + 27 <= len(data) else 0
        end = at + 27 + segments
        end += sum(data[at + 27 : end]) if end <= len(data) else 0
        if end > len(data):
            return "the last page is incomplete"
        serial = bytes(data[at + 14 : at + 18])
        if data[at + 5] & 4:
            open_streams.discard(serial)
        else:
            open_streams.add(serial)
        at = end
    return "the end-of-stream page is missing" if open_streams else None


def _mp4(data: Data) -> str | None:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:  # up to the end of the file
            return None
        if size < 8:
            return None  # not a box: ignored after the last one
        if at + size > len(data):
            return f"the box {bytes(data[at + 4 : at + 8])!r} has {len(data) - at} of {size} bytes"
        at += size
    return None


def _mp3(data: Data) -> str | None:
    at = mpeg.after_tags(data)
    if at and at >= len(data):
        return "the file ends within its ID3 tag"
    first = mpeg.frame(data, at)
    if first is None:
        at = mpeg.next_frame(data, at)
        first = mpeg.frame(data, at) if at >= 0 else None
    if first is None:
        return None  # not an mp3, or one of free bitrate
    header = mpeg.header(data, at, first)
    walk = mpeg.walk(data, at, first)
    cut = mpeg.frame(data, walk.end)
    if cut is not None and cut.follows(first):
        return f"the last frame has {len(data) - walk.end} of {cut.length} bytes"
    if 0 < len(data) - walk.end < 4 and data[walk.end] == 0xFF:
        rest = len(data) - walk.end
        return f"the last frame has {rest} byte{'s' if rest > 1 else ''}"
    # most headers do not count their own frame, so one missing frame is not detected
    declared = header.frames if header is not None else None
    return f"the file has {walk.frames} of {declared} frames" if declared and walk.frames < declared else None
