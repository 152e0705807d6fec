"""Predicts live audio of any length: an estimate every second, and at the end the prediction for a file.

::

    block ─┬─ queue ─► a thread: minutes ─ Recognizer.answer ──────────────────────► the final prediction
           └─ 16 kHz ─ speech.Provisional ─ windows ─► sums, of all and of the last seconds ─► estimates

The final prediction comes from the same code as for a file, in its own thread. That code decides up to 66 s late and
processes pieces of a minute or more. The estimates come from a second, faster pass: it finds speech within a second,
and summarises one window per 6 s of speech. The memory of both passes is bounded, however long the audio is.
"""

import dataclasses
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from voxtrait import audio, speech
from voxtrait.audio.channels import Comparison
from voxtrait.audio.mixing import Mixer
from voxtrait.audio.offset import Offset, steady
from voxtrait.audio.pipes import LOOK_S
from voxtrait.audio.signals import SAMPLING_RATE, Signal, check_signal
from voxtrait.errors import BundleError, OptionError, SignalError
from voxtrait.features import Array
from voxtrait.recognize.clip import refusal
from voxtrait.recognize.inference import Inference
from voxtrait.recognize.prediction import ANSWERS, Prediction

EVERY_S: Final = 1.0  # seconds of audio between two estimates
WINDOW_S: Final = 30.0  # more speech than this does not improve the prediction of any bundle
SHORTEST_EVERY_S: Final = 0.1
LONGEST_WINDOW_S: Final = 3600.0  # one summary per window of it is kept
CONTEXT_S: Final = 12.0  # seconds of speech for level and mean spectrum of a new window, unless windows are selected
SHORTEST_WINDOW_S: Final = 1.0  # an unfinished window starts earlier if it would be shorter
PIECE_S: Final = 1.0  # seconds put into the queue in one piece, …
PIECES: Final = 8  # … and how many pieces it holds


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The predictions at one moment of live audio.

    Examples:
        >>> import voxtrait
        >>> blocks = [(np.zeros(16000, np.float32), 16000)]
        >>> for estimate in voxtrait.load().listen(blocks):
        ...     print(estimate.at_s, estimate.so_far.status, estimate.final)
        1.0 no_speech False
        1.0 no_speech True
    """

    #: Seconds processed.
    at_s: float
    #: Prediction from all audio so far.
    so_far: Prediction
    #: Prediction from the last seconds.
    recent: Prediction
    #: Length of the window for ``recent``, in seconds.
    window_s: float
    #: Whether ``so_far`` is the prediction for a file with the same audio.
    final: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of ``so_far``, then ``at_s``, ``final``, and ``window`` with the fields of ``recent``."""
        recent = {name: value for name, value in self.recent.to_dict().items() if name not in ("path", "model")}
        moment = {"at_s": round(self.at_s, 2), "final": self.final, "window": {"window_s": self.window_s, **recent}}
        return self.so_far.to_dict() | moment


class Listening:
    """Predicts live audio that arrives in blocks.

    The lengths of the blocks do not change the predictions.

    Args:
        recognizer: recogniser with an encoder bundle.
        every_s: seconds of audio between two estimates.
        window_s: seconds of audio that :attr:`~voxtrait.recognize.Estimate.recent` covers.
        path: name of the audio in the predictions.

    Raises:
        BundleError: if the bundle is a spectrogram CNN, which needs whole clips.
        OptionError: if a number of seconds is out of range.

    Examples:
        >>> import voxtrait
        >>> with Listening(voxtrait.load(), every_s=0.5) as listening:
        ...     for estimate in listening.feed(np.zeros(16000, np.float32), 16000):
        ...         print(estimate.at_s, estimate.so_far.status)
        ...     final = listening.close()
        0.5 too_short
        1.0 no_speech
        >>> final.at_s, final.so_far.message, final.final
        (1.0, 'no speech was found', True)
    """

    def __init__(
        self,
        recognizer: Inference,
        *,
        every_s: float = EVERY_S,
        window_s: float = WINDOW_S,
        path: str | None = None,
    ) -> None:
        if recognizer.bundle.head is None:
            raise BundleError(
                f"{recognizer.bundle.title} needs whole clips. For live audio, use an encoder bundle such as "
                "voxtrait-base."
            )
        if not SHORTEST_EVERY_S <= every_s < float("inf"):
            raise OptionError(f"Got an estimate every {every_s} s. Expected at least {SHORTEST_EVERY_S} s.")
        if not 1 <= window_s <= LONGEST_WINDOW_S:
            raise OptionError(f"Got a window of {window_s} s. Expected 1 to {LONGEST_WINDOW_S:.0f} s.")
        self._recognizer = recognizer
        self._path = path
        self._window_s = window_s
        self._every = round(every_s * SAMPLING_RATE)
        self._rate = 0
        self._resampler: Any = None
        self._mixer, self._offset = Mixer(), Offset()
        self._detector = speech.Provisional()
        self._summaries = _RunningSummaries(recognizer, window_s)
        self._samples = 0  # at 16 kHz
        self._last: Estimate | None = None
        self._closed = False
        self._compared = Comparison()
        self._final = _FinalPrediction(recognizer, path, self._compared)

    def __enter__(self) -> Self:
        """Return this object."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """End the thread without its prediction."""
        self._final.cancel()

    def feed(self, block: Signal, rate: int) -> list[Estimate]:
        """Process the next block, and return the estimates that are due within it.

        Args:
            block: ``(samples,)`` or ``(channels, samples)``, of any length.
            rate: sampling rate in Hz, the same for all blocks.

        Returns:
            The estimates, in order; often none.

        Raises:
            SignalError: if the block is not a signal, or if its rate differs from that of earlier blocks.
            ValueError: if :meth:`close` was called before.
        """
        if self._closed:
            raise ValueError("Got a block after close(). Use another Listening.")
        if not block.shape[-1]:
            return []
        checked = check_signal(block)
        self._compared.feed(checked, rate)
        if self._rate not in (0, rate):
            raise SignalError(f"Got a block at {rate} Hz after blocks at {self._rate} Hz. Expected one rate.")
        self._rate = rate
        found: list[Estimate] = []
        size = round(PIECE_S * rate)
        for at in range(0, checked.shape[-1], size):
            piece = checked[..., at : at + size].copy()
            self._final.put((piece, rate))  # with all channels, as a file is read
            found += self._estimates(self._offset.feed(self._at_16_khz(self._mixer.mix(piece))))
        return found

    def close(self) -> Estimate:
        """End the audio and return the final estimate, which equals the prediction for a file with the same audio."""
        self._closed = True
        prediction = self._final.result()
        recent = self._last.recent if self._last else prediction
        return Estimate(prediction.duration_s or 0.0, prediction, recent, self._window_s, final=True)

    def fail(self, message: str) -> Estimate:
        """End audio that could not be read, and return an estimate with status ``error`` and the message."""
        nothing = Prediction(
            self._path, "error", message, None, None, model=self._recognizer.bundle.title, **dict.fromkeys(ANSWERS)
        )
        return Estimate(0.0, nothing, nothing, self._window_s, final=True)

    def _at_16_khz(self, piece: Signal) -> Signal:
        if self._rate == SAMPLING_RATE:
            return piece
        import soxr

        if self._resampler is None:
            self._resampler = soxr.ResampleStream(self._rate, SAMPLING_RATE, 1, "float32")
        return np.asarray(self._resampler.resample_chunk(np.ascontiguousarray(piece)), dtype=np.float32)

    def _estimates(self, signal: Signal) -> Iterator[Estimate]:
        while len(signal):
            left = self._every - self._samples % self._every
            part, signal = np.split(signal, [left])
            self._summaries.add(self._detector.feed(part), (self._samples + left) / SAMPLING_RATE)
            self._samples += len(part)
            if self._samples % self._every == 0:
                at_s = self._samples / SAMPLING_RATE
                so_far, recent = self._summaries.predictions(self._path, at_s)
                self._last = Estimate(at_s, so_far, recent, self._window_s)
                yield self._last


class _RunningSummaries:
    """Keeps the sum of the summaries of all speech so far, and each summary of the last seconds."""

    def __init__(self, recognizer: Inference, window_s: float) -> None:
        self._recognizer = recognizer
        self._window_s = window_s
        front_end = recognizer.bundle.front_end
        frames = front_end.chosen_from or front_end.columns
        self._window = round(frames * front_end.hop_length / front_end.sampling_rate * SAMPLING_RATE)
        self._context = np.zeros(0, np.float32)  # the last seconds of speech
        self._fresh = 0  # samples of them that are in no whole window yet
        self._partly: Array | None = None  # the summary of a window that ends with them
        self._speech = 0  # samples
        self._pieces: deque[tuple[float, int]] = deque()  # when, and how many samples of speech
        self._sum: Any = 0.0
        self._count = 0
        self._summaries: deque[tuple[float, Array]] = deque()  # when, and (1, f)

    def add(self, detection: speech.Detection, at_s: float) -> None:
        """Add speech that the estimate at ``at_s`` will include."""
        spoken = detection.surrounded
        if not len(spoken):
            return
        self._speech += len(detection.speech)
        self._pieces.append((at_s, len(detection.speech)))
        self._partly = None
        while len(spoken):
            part, spoken = np.split(spoken, [self._window - self._fresh])
            self._context = np.concatenate([self._context, part])[-round(CONTEXT_S * SAMPLING_RATE) :]
            self._fresh += len(part)
            if self._fresh == self._window:
                summary = self._summary()
                self._sum = self._sum + summary.astype(np.float64)
                self._count += 1
                self._summaries.append((at_s, summary))
                self._fresh = 0
                self._partly = None

    def predictions(self, path: str | None, at_s: float) -> tuple[Prediction, Prediction]:
        """Predict from all speech so far, and from that of the last seconds."""
        for kept in (self._pieces, self._summaries):
            while kept and kept[0][0] <= at_s - self._window_s:
                kept.popleft()
        recent_s = sum(length for _, length in self._pieces) / SAMPLING_RATE
        share = self._fresh / self._window  # of a window that is unfinished
        partly = [share * self._partial()] if self._fresh else []
        so_far = self._predict(path, at_s, self._speech / SAMPLING_RATE, sum(partly, self._sum), self._count + share)
        partly, share = (partly, share) if self._pieces else ([], 0.0)
        parts = [*(one for _, one in self._summaries), *partly]
        count = len(self._summaries) + share
        recent = self._predict(path, min(at_s, self._window_s), recent_s, sum(parts), count)
        return so_far, recent

    def _partial(self) -> Array:
        if self._partly is None:
            self._partly = self._summary()
        return self._partly

    def _summary(self) -> Array:
        """Return the summary, ``(1, f)``, of the window that ends with the last speech, or, with ``chosen_from``, of
        the loudest part of the speech since the last whole window."""
        front_end = self._recognizer.bundle.front_end
        seconds = max(self._fresh / SAMPLING_RATE, SHORTEST_WINDOW_S)
        if front_end.chosen_from:
            recent = self._context[-round(seconds * SAMPLING_RATE) :]
            return self._recognizer.summaries(self._recognizer.windows(recent))
        frames = self._recognizer.frames(self._context)
        count = round(seconds * front_end.sampling_rate / front_end.hop_length)
        return self._recognizer.summaries(frames[-count:][None])

    def _predict(self, path: str | None, duration_s: float, speech_s: float, total: Any, count: float) -> Prediction:
        model = self._recognizer.bundle.title
        refused = refusal(duration_s, speech_s)
        if refused or not count:
            status, message = refused or ("no_speech", "no speech was found")
            return Prediction(path, status, message, duration_s, speech_s, model=model, **dict.fromkeys(ANSWERS))
        (values,) = self._recognizer.decide(
            self._recognizer.heads(np.asarray(total / count, dtype=np.float32)), speech_s
        )
        return Prediction(path, "ok", None, duration_s, speech_s, model=model, **values)


class _FinalPrediction:
    """Computes the prediction for a file with the same audio, in its own thread."""

    def __init__(self, recognizer: Inference, path: str | None, compared: Comparison) -> None:
        # no queue.Queue, is_alive() or join(): Ctrl-C within their locks can leave a thread waiting for ever
        self._blocks: queue.SimpleQueue[tuple[Signal, int] | None] = queue.SimpleQueue()
        self._found: Prediction | BaseException | None = None
        self._cancelled = self._finished = False
        threading.Thread(target=self._work, args=(recognizer, path, compared), daemon=True).start()

    def put(self, block: tuple[Signal, int] | None) -> None:
        """Put the next block into the queue when it has room; ``None`` ends the audio."""
        while self._blocks.qsize() >= PIECES and not self._finished:
            time.sleep(LOOK_S)
        self._blocks.put(block)

    def result(self) -> Prediction:
        """End the audio and wait for the prediction, which takes a fraction of a second."""
        self._end()
        if isinstance(self._found, Prediction):
            return self._found
        assert self._found is not None
        raise self._found

    def cancel(self) -> None:
        """End the audio and the thread without a prediction. The thread must end here: if ONNX Runtime still runs in a
        thread while the interpreter shuts down, it aborts the process."""
        self._cancelled = True
        self._end()

    def _end(self) -> None:
        """End the audio and wait until the thread has finished."""
        self.put(None)
        while not self._finished:
            time.sleep(LOOK_S)

    def _work(self, recognizer: Inference, path: str | None, compared: Comparison) -> None:
        ended = False

        def queued() -> Iterator[tuple[Signal, int]]:
            nonlocal ended
            while (block := self._blocks.get()) is not None:
                yield block
            ended = True
            if self._cancelled:
                raise SignalError("Cancelled before the end of the audio.")

        try:
            minutes = steady(block for block, _ in audio.at_rate(queued()) if len(block))
            self._found = recognizer.answer(path, minutes, compared)
        except BaseException as error:  # raised again in the thread that calls result()
            self._found = error
            while not ended and self._blocks.get() is not None:  # empty the queue, so that put() does not wait for room
                pass
        finally:
            self._finished = True
