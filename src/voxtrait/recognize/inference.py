"""Runs the three steps of a prediction on signals: front end, graph, decision."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from voxtrait import features
from voxtrait.audio.channels import Comparison
from voxtrait.audio.mixing import to_mono
from voxtrait.audio.signals import SAMPLING_RATE, Signal, check_signal, resample
from voxtrait.bundle import Bundle
from voxtrait.errors import BundleError, SignalError
from voxtrait.features import Array
from voxtrait.labels import JOINT_CLASSES
from voxtrait.recognize import decision
from voxtrait.recognize.clip import SHORTEST_S, STRETCH_S, Clip, cut
from voxtrait.recognize.graph import Graph
from voxtrait.recognize.notes import SEVERAL_NOTE, note_on
from voxtrait.recognize.prediction import ANSWERS, Prediction
from voxtrait.recognize.several import VoiceCount

LONGEST: Final = 10**6  # frames: longer than any stretch


class Inference:
    """Runs a model bundle on signals. :class:`~voxtrait.Recognizer` adds reading files.

    Args:
        bundle: bundle to use.
        threads: number of threads of ONNX Runtime. With several processes, one thread each is fastest.

    Raises:
        BundleError: at the first prediction, if a graph does not match its description in the bundle.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        self.bundle = bundle
        self.threads = threads
        classes = {task: len(labels) for task, labels in bundle.outputs.items()}
        self._head: Graph | None = None
        model, head = (functools.partial(bundle.verify, name) for name in ("model.onnx", "head.onnx"))
        if bundle.head is None:
            shape: Sequence[int | None] = bundle.front_end.input_shape
            self._model = Graph(bundle.model, shape, classes, threads=threads, verify=model)
        else:
            shape = [None, bundle.front_end.n_mels]  # windows of any number of frames
            self._model = Graph(
                bundle.model,
                shape,
                {"summary": None},
                name="windows",
                threads=threads,
                optimised=False,
                reuse_memory=False,
                verify=model,
            )
            heads = classes | {"embedding": None}
            self._head = Graph(bundle.head, [None], heads, name="summary", threads=threads, verify=head)

    @property
    def embedding_size(self) -> int | None:
        """Number of values of the speaker embedding; ``None`` if the bundle has none."""
        return None if self._head is None else self._head.size("embedding")

    def inputs(self, signal: npt.ArrayLike, sampling_rate: int = SAMPLING_RATE) -> Array:
        """Compute the input of the graph from a signal: the first of the three steps, the front end.

        Args:
            signal: ``(samples,)`` or ``(channels, samples)``.
            sampling_rate: sampling rate in Hz.

        Returns:
            Float32. For a spectrogram CNN, the image of the clip, ``(1, *front_end.input_shape)``; a clip of over a
            minute gives the image of its first minute of speech. For an encoder, windows of the speech, ``(n, frames,
            n_mels)``. From more than two minutes of speech, a few frames that ``predict`` uses are dropped, so that all
            windows have the same length.

        Raises:
            SignalError: if the array is not a signal, or if an encoder needs speech and there is none.
        """
        mono = resample(to_mono(check_signal(signal, whole=True)), sampling_rate, SAMPLING_RATE)
        if self._head is None:
            return self._drawn(mono if len(mono) <= STRETCH_S * SAMPLING_RATE else Clip().beginning(cut(mono)))
        found = [self.windows(stretch) for stretch in Clip().stretches(cut(mono))]
        if not found:
            raise SignalError("no speech was found, expected some to cut windows from")
        size = min(part.shape[1] for part in found)
        return np.concatenate([part[:, :size] for part in found])

    def run(self, inputs: Array) -> dict[str, Array]:
        """Compute the logits from the input of the graph: the second of the three steps.

        Args:
            inputs: images, ``(n, *front_end.input_shape)``, or the windows of one clip, ``(n, frames, n_mels)``.

        Returns:
            Task → logits, ``(n, classes)`` for images and ``(1, classes)`` for windows.
        """
        if self._head is None:
            return self._model(inputs)
        return self.heads(self._summary([(np.zeros(0, np.float32), inputs)]))

    def windows(self, spoken: Signal) -> Array:
        """Cut speech at 16 kHz, ``(samples,)``, into windows, ``(n, frames, n_mels)``. For encoder bundles only."""
        front_end = self.bundle.front_end
        return features.windows(resample(spoken, SAMPLING_RATE, front_end.sampling_rate), front_end)

    def frames(self, spoken: Signal) -> Array:
        """Compute the frames of speech at 16 kHz, ``(samples,)``, without cutting windows: ``(frames, n_mels)``.

        For encoder bundles whose windows follow one another only.
        """
        front_end = dataclasses.replace(self.bundle.front_end, columns=LONGEST)  # one window
        (frames,) = features.windows(resample(spoken, SAMPLING_RATE, front_end.sampling_rate), front_end)
        return np.asarray(frames)

    def summaries(self, windows: Array) -> Array:
        """Run the encoder on windows, ``(n, frames, n_mels)``. Return the summary of each, ``(n, f)``."""
        return self._model(windows)["summary"]

    def heads(self, summary: Array) -> dict[str, Array]:
        """Run the heads on a mean of summaries, ``(1, f)``. Return the logits of each task, ``(1, classes)``."""
        assert self._head is not None
        found = self._head(summary)
        return {task: found[task] for task in self.bundle.outputs}

    def embed_summary(self, summary: Array) -> Array:
        """Return the speaker embedding, ``(d,)`` of length 1, of a mean of summaries, ``(1, f)``. For encoder bundles
        only."""
        assert self._head is not None
        return np.asarray(self._head(summary)["embedding"][0])

    def decide(self, logits: Mapping[str, npt.ArrayLike], seconds: float | None = None) -> list[dict[str, Any]]:
        """Convert logits to calibrated values: the last of the three steps.

        Args:
            logits: task → logits, ``(n, classes)``.
            seconds: seconds of speech in each clip, if known; the calibration may depend on them.

        Returns:
            For each row the fields from ``gender`` to ``age_groups``, and ``joint_class``.
        """
        n = len(np.asarray(next(iter(logits.values()))))
        rows: list[dict[str, Any]] = [dict.fromkeys(ANSWERS) for _ in range(n)]
        shares = {task: self._probabilities(task, logits[task], seconds) for task in self.bundle.outputs}
        for row, values in enumerate(rows):
            ages = decision.age_shares(shares["age"][row], self.bundle.outputs["age"]) if "age" in shares else None
            if "gender" in shares:
                calibration = self.bundle.calibration["gender"]
                p_female = decision.female_probability(shares["gender"][row])
                if ages is not None:
                    p_female = decision.without_childhood(p_female, ages, calibration["childhood"])
                values["p_female"] = float(p_female)
                values["gender"] = decision.describe_gender(float(p_female), calibration["unsure"])
            if ages is not None:
                likely = 0.5 if values["p_female"] is None else values["p_female"]
                values |= decision.age_answer(ages, self.bundle.calibration["age"]["tail"], likely)
                # before the bias undoes the class weights of training, which give rare classes more weight
                likeliest = self.bundle.outputs["age"][int(np.argmax(np.asarray(logits["age"])[row]))]
                values["joint_class"] = likeliest if likeliest in JOINT_CLASSES else None
        return rows

    def answer(self, path: str | None, blocks: Iterable[Signal], compared: Comparison | None = None) -> Prediction:
        """Predict from blocks of audio that the caller reads.

        Args:
            path: name of the audio in the prediction.
            blocks: mono at 16 kHz, ``(samples,)`` each, none of them empty.
            compared: comparison of the averaged channels; complete when all blocks are read.

        Raises:
            AudioError: if ``blocks`` raises it.
        """
        return self.answer_and_embed(path, blocks, compared)[0]

    def answer_and_embed(
        self, path: str | None, blocks: Iterable[Signal], compared: Comparison | None = None
    ) -> tuple[Prediction, Array | None]:
        """Return the prediction of :meth:`answer` and the speaker embedding, ``(d,)``. The embedding is ``None`` if the
        bundle has none, or if the prediction is not ``ok``."""
        clip = Clip()
        found: dict[str, Array] = {}
        count = None
        if self._head is None:
            signal = clip.beginning(blocks)
            if not clip.refusal:
                found = self._model(self._drawn(signal))
        else:
            # selected windows do not represent the speech between them
            count = None if self.bundle.front_end.chosen_from else VoiceCount(self)
            summary = self._summary(self._speech_windows(clip, blocks), count)
            if not clip.refusal:
                found = self._head(summary)
        if clip.refusal:
            return self.refuse(path, *clip.refusal, clip), None
        (values,) = self.decide(found, clip.speech_s)
        voices = None if count is None else count.voices
        note = note_on(compared) or (SEVERAL_NOTE if voices == "several" else None)
        prediction = Prediction(
            path,
            "ok",
            note,
            clip.duration_s,
            clip.speech_s,
            model=self.bundle.title,
            voices=voices,
            snr_db=clip.snr_db,
            **values,
        )
        return prediction, found["embedding"][0] if self._head is not None else None

    def embedding(self, blocks: Iterable[Signal]) -> Array:
        """Compute the speaker embedding, ``(d,)`` of length 1, from blocks of audio that the caller reads.

        Args:
            blocks: as for :meth:`answer`.

        Raises:
            BundleError: if the bundle has no speaker embedding.
            SignalError: if there is less than 0.7 s of speech.
        """
        if self._head is None:
            raise BundleError(
                f"{self.bundle.title} has no speaker embedding, only {', '.join(self.bundle.outputs)}. Use a bundle "
                "such as voxtrait-base."
            )
        clip = Clip()
        summary = self._summary(self._speech_windows(clip, blocks))
        if clip.refusal:
            raise SignalError(f"No speaker embedding: {clip.refusal[1]}")
        return np.asarray(self._head(summary)["embedding"][0])

    def refuse(self, path: str | None, status: str, message: str, clip: Clip | None = None) -> Prediction:
        """Return a prediction without values: its status and the reason."""
        duration, spoken, snr_db = (clip.duration_s, clip.speech_s, clip.snr_db) if clip else (None, None, None)
        nothing: dict[str, Any] = dict.fromkeys(ANSWERS)
        return Prediction(path, status, message, duration, spoken, model=self.bundle.title, snr_db=snr_db, **nothing)

    def _probabilities(self, task: str, logits: npt.ArrayLike, seconds: float | None) -> decision.Floats:
        calibration = self.bundle.calibration[task]
        return decision.probabilities(logits, decision.temperature_at(calibration, seconds), calibration["bias"])

    def _drawn(self, signal: Signal) -> Array:
        """Return the image of a signal at 16 kHz, ``(1, *front_end.input_shape)``."""
        front_end = self.bundle.front_end
        return features.network_input(features.picture(signal, SAMPLING_RATE, front_end=front_end), front_end)[None]

    def _speech_windows(self, clip: Clip, blocks: Iterable[Signal]) -> Iterator[tuple[Signal, Array]]:
        """Yield each stretch of speech and its windows, if the clip has at least 0.7 s of speech."""
        for stretch in clip.stretches(blocks):
            if clip.speech_s >= SHORTEST_S:
                yield stretch, self.windows(stretch)

    def _summary(self, stretches: Iterable[tuple[Signal, Array]], count: VoiceCount | None = None) -> Array:
        """Run the encoder on the windows of each stretch, ``(n, frames, n_mels)``. Return the mean of the summaries,
        ``(1, f)``. ``count`` counts the voices."""
        total, number = np.zeros(1), 0
        for spoken, windows in stretches:
            # one by one: several at a time are not faster, and need more memory
            parts = [self.summaries(window[None]) for window in windows]
            for part in parts:
                total = total + part.sum(axis=0, dtype=np.float64)
            number += len(windows)
            if count is not None:
                count.feed(spoken, np.concatenate(parts))
        return np.asarray(total / max(number, 1), dtype=np.float32)[None]
