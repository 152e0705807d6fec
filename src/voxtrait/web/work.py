"""The work of a worker process on an upload: predict or draw it, within limits of duration and memory."""

import base64
import contextlib
import dataclasses
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from voxtrait import audio, features
from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.errors import AudioError, DecodeError, MissingExtraError, NotAudioError
from voxtrait.recognize import Recognizer

SHOWN_S: Final = 60.0  # seconds of a clip that are drawn
STROKES: Final = 600  # of a waveform


class Task(NamedTuple):
    """One upload, and the kind of work on it."""

    kind: str  # predict, show, or warm: load everything and limit the memory
    place: str = ""  # where its bytes are
    name: str | None = None  # the file name that the client sent


class Outcome(NamedTuple):
    """The result of a task: a value, or the code and the message of a problem."""

    value: Any
    seconds: float = 0.0  # of sound that were decoded
    code: str | None = None
    message: str = ""
    trace: str = ""  # of an unexpected exception


class TooLongError(Exception):
    """A sound has more seconds than the server takes."""


@dataclasses.dataclass
class Work:
    """The job of a worker; it is pickled once, and sent to the worker.

    Args:
        recognizer: with one thread.
        max_seconds: of sound.
        memory_bytes: limit of the memory for decoding, beyond that of the loaded model.

    Examples:
        >>> import voxtrait
        >>> work = Work(voxtrait.load(), max_seconds=60, memory_bytes=2**30)
        >>> work(Task("predict", "/dev/null")).code
        'not_audio'
    """

    recognizer: Recognizer
    max_seconds: float
    memory_bytes: int

    def __call__(self, task: Task) -> Outcome:
        """Process one upload. Problems of the upload are in the outcome."""
        if task.kind == "warm":
            self.warm()
            return Outcome(None)
        sound = Sound(task.place, self.max_seconds)
        try:
            if task.kind == "predict":
                return Outcome(self.recognizer.answer(task.name, sound).to_dict(), sound.seconds)
            return Outcome(show(sound), sound.seconds)
        except TooLongError:
            message = f"the sound is longer than {self.max_seconds:g} s, which is all that is taken: cut it into pieces"
            return Outcome(None, sound.seconds, "too_long", message)
        except (NotAudioError, MissingExtraError) as error:
            return Outcome(None, sound.seconds, "not_audio", str(error).replace(task.place, "the upload"))
        except AudioError as error:
            return Outcome(None, sound.seconds, "unusable", str(error).replace(task.place, "the upload"))
        except MemoryError:
            message = "decoding takes more memory than there is for one upload: convert it to mono at 16 kHz"
            return Outcome(None, sound.seconds, "too_big", message)
        except Exception as error:  # an unexpected failure of a decoder ends only this request, and is logged
            trace = " ".join(
                f"{Path(at.filename).name}:{at.lineno}" for at in traceback.extract_tb(error.__traceback__)
            )
            message = "the upload cannot be decoded: it is damaged in an unusual way"
            return Outcome(None, sound.seconds, "unusable", message, f"{type(error).__name__} at {trace}")

    def warm(self) -> None:
        """Load libraries and graphs, so that the first request is as fast as the next; then limit the memory."""
        import soxr  # noqa: F401

        silence = np.zeros(SAMPLING_RATE, np.float32)
        self.recognizer.predict(silence, SAMPLING_RATE)
        self.recognizer.run(np.zeros((1, *self.recognizer.bundle.front_end.input_shape), np.float32))
        features.picture(silence)
        with contextlib.suppress(ImportError):
            import av  # noqa: F401
        limit_memory(self.memory_bytes)


class Sound:
    """The blocks of a file, mono at 16 kHz, ``(samples,)`` each, counted.

    Raises:
        TooLongError: while it is read, as soon as it is clear.
        AudioError: while it is read.
    """

    def __init__(self, place: str, max_seconds: float) -> None:
        self._place = place
        self._max_seconds = max_seconds
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Signal]:
        """Read it."""
        for block, rate in audio.blocks(self._place, SAMPLING_RATE):
            self.seconds += len(block) / rate
            if self.seconds > self._max_seconds:
                raise TooLongError
            if len(block):
                yield audio.check_signal(block)
        if not self.seconds:
            raise DecodeError("the upload holds no samples: the file is a header without sound")


def show(sound: Sound) -> dict[str, Any]:
    """Draw a sound: its waveform and its spectrogram, of the first minute where it is longer.

    Returns:
        ``duration_s`` of all of it; ``shown_s``, which both pictures span; ``waveform``, up to 600 pairs of the lowest
        and the highest sample; ``spectrogram``, a PNG as a data URL.
    """
    kept: list[Signal] = []
    for block in sound:
        if sum(map(len, kept)) < SHOWN_S * SAMPLING_RATE:
            kept.append(block)
    signal = np.concatenate(kept)[: round(SHOWN_S * SAMPLING_RATE)]
    png = features.encode_png(features.picture(signal, SAMPLING_RATE, fit="stretch"))
    return {
        "duration_s": round(sound.seconds, 3),
        "shown_s": round(len(signal) / SAMPLING_RATE, 3),
        "waveform": waveform(signal),
        "spectrogram": "data:image/png;base64," + base64.b64encode(png).decode(),
    }


def waveform(signal: Signal, strokes: int = STROKES) -> list[list[float]]:
    """Return the lowest and the highest sample of up to ``strokes`` equal stretches.

    Examples:
        >>> waveform(np.array([0.0, 0.5, -0.25, 0.0], np.float32), 2)
        [[0.0, 0.5], [-0.25, 0.0]]
    """
    inside = np.clip(signal, -1, 1)
    starts = np.linspace(0, len(inside), min(strokes, len(inside)), endpoint=False).astype(int)
    pairs = np.stack([np.minimum.reduceat(inside, starts), np.maximum.reduceat(inside, starts)], axis=1)
    return [[round(float(low), 4) + 0.0, round(float(high), 4) + 0.0] for low, high in pairs]  # no -0.0


def limit_memory(more_bytes: int) -> None:
    """Limit the address space of this process to its current size plus ``more_bytes``, if /proc reports that size."""
    import resource

    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    limit = pages * resource.getpagesize() + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
