"""The timeline of an upload, as messages that are sent during processing.

::

    blocks ─► pieces of 30 s ─┬─► diarize ───────────────────────────────────► timeline, formats
                              └─► pictures, one message each ─► progress        │
              the blocks again, if there is one voice or none ─► Course ────────┘
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import numpy as np

from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.recognize import Recognizer
from voxtrait.timelines import formats
from voxtrait.timelines.diarizer import diarize
from voxtrait.timelines.records import Timeline
from voxtrait.web.course import course
from voxtrait.web.pictures import drawn
from voxtrait.web.sound import Sound

PIECE_S: Final = 30.0
PICTURE: Final = (432, 96)  # pixels of a piece's spectrogram: a third of a clip's bytes
STROKES: Final = 300  # of a piece's waveform
FORMATS: Final = ("json", "csv", "rttm", "textgrid", "srt", "audacity")

Send = Callable[[Any], None]


def send_lines(recognizer: Recognizer, sound: Sound, name: str | None, send: Send) -> None:
    """Make the timeline of an upload and send it as messages: ``piece``, ``course``, ``timeline`` and ``formats``.

    Args:
        recognizer: its bundle processes windows of speech.
        sound: audio of the upload; read twice if it has at most one voice.
        name: file name in the timeline.
        send: called with each message.
    """
    stated = sound.stated_s()

    def read() -> Iterator[Signal]:
        start_s = 0.0
        for piece in pieces(sound):
            end_s = start_s + len(piece) / SAMPLING_RATE
            yield piece
            send(
                {
                    "type": "piece",
                    "start_s": round(start_s, 3),
                    "end_s": round(end_s, 3),
                    "at_s": round(end_s, 3),
                    "duration_s": None if stated is None else round(max(stated, end_s), 3),
                    **drawn(piece, PICTURE, STROKES),
                }
            )
            start_s = end_s

    found = diarize(recognizer, read(), path=name, compared=sound.compared)
    if len(found.speakers) <= 1:
        along = course(recognizer, pieces(sound), found.duration_s or 0.0)
        if along is not None:
            send({"type": "course", **along})
    send({"type": "timeline", "timeline": found.to_dict()})
    if found.status == "ok":
        send({"type": "formats", "formats": list(_files(found))})


def pieces(blocks: Iterable[Signal], seconds: float = PIECE_S) -> Iterator[Signal]:
    """Cut a signal given in blocks into pieces of equal length; the last one may be shorter.

    Examples:
        >>> [len(piece) for piece in pieces([np.zeros(50_000, np.float32), np.zeros(30_000, np.float32)], 2.0)]
        [32000, 32000, 16000]
    """
    size = round(seconds * SAMPLING_RATE)
    waiting: list[Signal] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= size:
            signal = np.concatenate(waiting)
            whole = len(signal) - len(signal) % size
            yield from signal[:whole].reshape(-1, size)
            waiting = [signal[whole:].copy()]
    rest = np.concatenate([np.zeros(0, np.float32), *waiting])
    if len(rest):
        yield rest


def _files(timeline: Timeline) -> Iterator[dict[str, str]]:
    for name in FORMATS:
        content = formats.render([timeline], name)
        yield {"format": name, "ending": formats.ENDINGS[name], "content": content}
