"""Short sounds as files of more than four megabytes, which the site decodes in pieces."""

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

import soundfile

import formats
from voxtrait.audio.signals import Signal

MORE = 4_000_000  # bytes that are no sound


def covered(content: bytes) -> bytes:
    """Put a tag of four megabytes before an MP3, as large as some pictures are, and two small tags after it."""
    size = bytes([MORE >> shift & 127 for shift in (21, 14, 7, 0)])
    ape = b"APETAGEX" + struct.pack("<4I", 2000, 32, 0, 0xA0000000) + bytes(8)
    return b"ID3\x04\0\0" + size + bytes(MORE) + content + ape + bytes(32) + b"TAG" + bytes(125)


def padded(content: bytes) -> bytes:
    """Add a part without meaning to a WAV, FLAC, MP4, WebM or Matroska file."""
    if content.startswith(b"RIFF"):
        changed = bytearray(content)
        formats.with_chunk(b"JUNK", bytes(MORE))(changed)
        return bytes(changed)
    if content.startswith(b"fLaC"):
        return content[:42] + b"\1" + struct.pack(">I", MORE)[1:] + bytes(MORE) + content[42:]
    if content[4:8] == b"ftyp":
        return content + struct.pack(">I", MORE + 8) + b"free" + bytes(MORE)
    return content + b"\xec\1" + struct.pack(">Q", MORE)[1:] + bytes(MORE)


def opus(signal: Signal, comment: str = MORE * "x") -> bytes:
    """An Ogg file with Opus, and with a comment of four megabytes."""
    import av

    out = BytesIO()
    with av.open(out, "w", format="ogg") as container:
        container.metadata["comment"] = comment
        stream: Any = container.add_stream("libopus", rate=48_000, layout="mono")
        stream.codec_context.open()
        formats.encode(container, stream, signal, 48_000)
    return out.getvalue()


def music(signal: Signal) -> bytes:
    """A FLAC of 44.1 kHz with the blocks of libsndfile: 41 s are the shortest whole number of samples at 16 kHz."""
    samples, rate = soundfile.read(BytesIO(formats.media("wav", "pcm_s16le", 44_100)(signal)))
    out = BytesIO()
    soundfile.write(out, samples, rate, format="FLAC")
    return padded(out.getvalue())


def edited(last: int, seconds: float, before: int) -> Callable[[bytes], bytes]:
    """Change how much of an M4A is played: samples of the last frame, seconds in all, and samples that come before."""

    def change(content: bytes) -> bytes:
        changed = bytearray(content)
        times, edits = changed.index(b"stts"), changed.index(b"elst")
        changed[times + 24 : times + 28] = struct.pack(">I", last)
        changed[edits + 12 : edits + 20] = struct.pack(">2I", round(1000 * seconds), before)
        return bytes(changed)

    return change
