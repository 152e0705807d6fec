"""A sound in every kind of pipe, for the tests of listening."""

import os
import struct
import threading
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import soundfile

import models
from voxtrait import audio
from voxtrait.audio import streams
from voxtrait.audio.streams import Raw

RATE = 48_000
SOUND = np.concatenate([models.voice(4, RATE)[:, 0], np.zeros(RATE, np.float32), models.voice(2, RATE)[:, 0]])
TEXT = b"this is no sound at all\n" * 20_000


def encoded(suffix: str) -> bytes:
    """The sound as a file of a kind."""
    content = BytesIO()
    content.name = f"a.{suffix}"
    kind = {"opus": {"format": "OGG", "subtype": "OPUS"}}.get(suffix, {"format": suffix.upper()})
    soundfile.write(content, SOUND, RATE, **kind)
    return content.getvalue()


def with_length(wav: bytes, length: int) -> bytes:
    """A WAV whose header states that its samples take so many bytes."""
    at = wav.index(b"data") + 4
    return wav[:4] + struct.pack("<I", length) + wav[8:at] + struct.pack("<I", length) + wav[at + 4 :]


def piped(content: bytes, raw: Raw | None = None, chunk: int = 4000) -> Iterator[tuple[np.ndarray, int]]:
    """What comes out of a real pipe that the content is written to."""
    end, entrance = os.pipe()

    def write() -> None:
        with os.fdopen(entrance, "wb", buffering=0) as file:
            try:
                for at in range(0, len(content), chunk):
                    file.write(content[at : at + chunk])
            except BrokenPipeError:
                pass

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(end, "rb", buffering=0) as file:
        yield from streams.incoming(file, raw)
    thread.join()


def whole(parts: Iterator[tuple[np.ndarray, int]]) -> np.ndarray:
    return np.concatenate([audio.to_mono(part) for part, _ in parts])
