"""The job of a worker process: predict, draw or make a timeline of one upload, within duration and memory limits."""

import contextlib
import dataclasses
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from voxtrait import features
from voxtrait.audio.signals import SAMPLING_RATE
from voxtrait.batch.worker import UnwantedError
from voxtrait.errors import AudioError, MissingExtraError, NotAudioError
from voxtrait.recognize import Recognizer
from voxtrait.speech import segmentation
from voxtrait.timelines.diarizer import diarize
from voxtrait.web import memory, timeline
from voxtrait.web.pictures import show
from voxtrait.web.sound import Sound, TooLongError


class Task(NamedTuple):
    """One upload and the kind of work on it."""

    kind: str  # predict, show, timeline, lines, or warm: load the model and limit the memory
    place: str = ""  # path of the upload
    name: str | None = None  # file name as the client sent it


class Outcome(NamedTuple):
    """The result of a task: a value, or the code and the message of an error."""

    value: Any
    seconds: float = 0.0  # of decoded audio
    code: str | None = None
    message: str = ""
    trace: str = ""  # traceback of an unexpected exception


def _ignore(part: Any) -> None:
    pass


@dataclasses.dataclass
class Work:
    """The job of a worker; it is pickled and sent to each worker.

    Args:
        recognizer: recognizer with one thread.
        max_seconds: maximum duration of an upload.
        memory_bytes: maximum memory for decoding, in addition to the loaded model.

    Examples:
        >>> import voxtrait
        >>> work = Work(voxtrait.load(), max_seconds=60, memory_bytes=2**30)
        >>> work(Task("predict", "/dev/null")).code
        'unusable'
    """

    recognizer: Recognizer
    max_seconds: float
    memory_bytes: int

    def __call__(self, task: Task, send: Callable[[Any], None] = _ignore) -> Outcome:
        """Process one upload. ``send`` takes the messages of ``lines``, and ``None`` as a sign of progress. Errors in
        the upload are returned in the outcome."""
        if task.kind == "warm":
            self.warm()
            return Outcome(None)
        try:
            return self._process(task, send)
        finally:
            memory.trim()

    def _process(self, task: Task, send: Callable[[Any], None]) -> Outcome:
        sound = Sound(task.place, self.max_seconds, lambda: send(None))
        try:
            value: Any = None
            match task.kind:
                case "predict":
                    prediction = self.recognizer.answer(task.name, sound, sound.compared)
                    value = prediction.to_dict()
                case "show":
                    value = show(sound)
                case "timeline":
                    value = diarize(self.recognizer, sound, path=task.name, compared=sound.compared).to_dict()
                case _:
                    timeline.send_lines(self.recognizer, sound, task.name, send)
            return Outcome(value, sound.seconds)
        except UnwantedError:
            return Outcome(None, sound.seconds)
        except TooLongError:
            message = f"the audio exceeds the limit of {self.max_seconds:g} s: split it into shorter files"
            return Outcome(None, sound.seconds, "too_long", message)
        except (NotAudioError, MissingExtraError) as error:
            return Outcome(None, sound.seconds, "not_audio", str(error).replace(task.place, "the upload"))
        except AudioError as error:
            return Outcome(None, sound.seconds, "unusable", str(error).replace(task.place, "the upload"))
        except MemoryError:
            message = "decoding needs more memory than is available for one upload: convert the file to mono at 16 kHz"
            return Outcome(None, sound.seconds, "too_big", message)
        except Exception as error:  # an unexpected error of a decoder fails only this request, and is logged
            trace = " ".join(
                f"{Path(at.filename).name}:{at.lineno}" for at in traceback.extract_tb(error.__traceback__)
            )
            message = "the upload cannot be decoded: it is damaged"
            return Outcome(None, sound.seconds, "unusable", message, f"{type(error).__name__} at {trace}")

    def warm(self) -> None:
        """Load libraries and the model, so that the first request is as fast as the next; then limit the memory."""
        import soxr  # noqa: F401

        silence = np.zeros(SAMPLING_RATE, np.float32)
        self.recognizer.predict(silence, SAMPLING_RATE)
        self.recognizer.run(np.zeros((1, *self.recognizer.bundle.front_end.input_shape), np.float32))
        features.picture(silence)
        if self.recognizer.bundle.head is not None:  # the bundle supports timelines
            segmentation.activity(np.zeros(segmentation.WINDOW, np.float32))
        with contextlib.suppress(ImportError):
            import av  # noqa: F401
        limit_memory(self.memory_bytes)


def limit_memory(more_bytes: int) -> None:
    """Limit the address space of this process to its current size plus ``more_bytes``. Does nothing without /proc."""
    import resource

    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    limit = pages * resource.getpagesize() + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
