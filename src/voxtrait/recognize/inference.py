"""The three steps of a prediction: front end, graph, decision."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
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

WINDOWS: Final = 4  # per call of the encoder: more are no faster, and need more memory
LONGEST: Final = 10**6  # frames: longer than any stretch


class Inference:
    """Runs a model bundle on signals; :class:`~voxtrait.recognize.Recognizer` reads files for it.

    Args:
        bundle: what to use.
        threads: of the graphs' runtime; with several processes one each is fastest.

    Raises:
        BundleError: by the first prediction, if a graph does not fit its description in the bundle.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        self.bundle = bundle
        self.threads = threads
        classes = {task: len(labels) for task, labels in bundle.outputs.items()}
        self._head: Graph | None = None
        if bundle.head is None:
            self._model = Graph(bundle.model, bundle.front_end.input_shape, classes, threads=threads)
        else:
            shape = [None, bundle.front_end.n_mels]  # windows of any number of frames
            self._model = Graph(
                bundle.model,
                shape,
                {"summary": None},
                name="windows",
                threads=threads,
                optimised=False,
                reuse_memory=not bundle.front_end.chosen_from,  # chosen windows are short
            )
            heads = classes | {"embedding": None}
            self._head = Graph(bundle.head, [None], heads, name="summary", threads=threads)

    @property
    def embedding_size(self) -> int | None:
        """Number of values of the speaker embedding; ``None`` if the bundle has none."""
        return None if self._head is None else self._head.size("embedding")

    def inputs(self, signal: npt.ArrayLike, sampling_rate: int = SAMPLING_RATE) -> Array:
        """First step, front end: signal → input of the graph, float32.

        Args:
            signal: ``(samples,)`` or ``(channels, samples)``.
            sampling_rate: of it, in Hz.

        Returns:
            ``(1, *front_end.input_shape)``, the picture of the clip, or of the first minute of speech where the clip is
            longer than a minute; for a bundle of windows ``(n, frames, n_mels)``, those of all its speech, or those
            chosen from it. If there are more than two minutes of speech, a few frames that ``predict`` uses are
            left out, so that all windows have the same length.

        Raises:
            SignalError: if the array is no signal, or windows are wanted and there is no speech.
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
        """Second step, graph: pictures ``(n, *front_end.input_shape)`` → logits ``(n, classes)`` a task; windows of
        one clip → logits ``(1, classes)`` a task."""
        if self._head is None:
            return self._model(inputs)
        return self.heads(self._summary([(np.zeros(0, np.float32), inputs)]))

    def windows(self, spoken: Signal) -> Array:
        """Cut speech at 16 kHz, ``(samples,)``, into windows for the encoder, ``(n, frames, n_mels)``; only for a
        bundle of windows."""
        front_end = self.bundle.front_end
        return features.windows(resample(spoken, SAMPLING_RATE, front_end.sampling_rate), front_end)

    def frames(self, spoken: Signal) -> Array:
        """Compute the frames of speech at 16 kHz, ``(samples,)``, not cut into windows: ``(frames, n_mels)``; only for
        a bundle whose windows follow one another."""
        front_end = dataclasses.replace(self.bundle.front_end, columns=LONGEST)  # one window
        (frames,) = features.windows(resample(spoken, SAMPLING_RATE, front_end.sampling_rate), front_end)
        return np.asarray(frames)

    def summaries(self, windows: Array) -> Array:
        """Run the encoder: windows ``(n, frames, n_mels)`` → the summary of each, ``(n, f)``."""
        return self._model(windows)["summary"]

    def heads(self, summary: Array) -> dict[str, Array]:
        """Run the heads of a bundle of windows: the mean of summaries, ``(1, f)`` → logits ``(1, classes)`` a task."""
        assert self._head is not None
        found = self._head(summary)
        return {task: found[task] for task in self.bundle.outputs}

    def embed_summary(self, summary: Array) -> Array:
        """Compute the speaker embedding of the mean of summaries, ``(1, f)``: ``(d,)``, of length 1. Only for a bundle
        of windows."""
        assert self._head is not None
        return np.asarray(self._head(summary)["embedding"][0])

    def decide(self, logits: Mapping[str, npt.ArrayLike], seconds: float | None = None) -> list[dict[str, Any]]:
        """Third step, decision.

        Args:
            logits: ``(n, classes)`` a task.
            seconds: of speech in each clip, if it is known: with more, the calibration may be sharper.

        Returns:
            The predicted values of each row, ``gender`` to ``age_groups``, and ``joint_class``.
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
                # as the network was trained, with rare classes weighing more: before the prior is put back
                likeliest = self.bundle.outputs["age"][int(np.argmax(np.asarray(logits["age"])[row]))]
                values["joint_class"] = likeliest if likeliest in JOINT_CLASSES else None
        return rows

    def answer(self, path: str | None, blocks: Iterable[Signal], compared: Comparison | None = None) -> Prediction:
        """Predict what a voice presents as, in a sound that the caller reads.

        Args:
            path: of the sound, as the prediction names it.
            blocks: mono at 16 kHz, ``(samples,)`` each, none of them empty.
            compared: the channels that were averaged, if there are several; complete when ``blocks`` are read.

        Raises:
            AudioError: whatever ``blocks`` raises.
        """
        return self.answer_and_embed(path, blocks, compared)[0]

    def answer_and_embed(
        self, path: str | None, blocks: Iterable[Signal], compared: Comparison | None = None
    ) -> tuple[Prediction, Array | None]:
        """Return what :meth:`answer` returns, and the speaker embedding, ``(d,)``; ``None`` where the bundle has none,
        or the prediction is not ``ok``."""
        clip = Clip()
        found: dict[str, Array] = {}
        count = None
        if self._head is None:
            signal = clip.beginning(blocks)
            if not clip.refusal:
                found = self._model(self._drawn(signal))
        else:
            # windows that are chosen say little about the speech between them
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
        """Compute the speaker embedding of a sound that the caller reads, ``(d,)``, of length 1.

        Args:
            blocks: as for :meth:`answer`.

        Raises:
            BundleError: if the bundle has none.
            SignalError: if there is no speech, or less than 0.7 s.
        """
        if self._head is None:
            raise BundleError(
                f"{self.bundle.title} has no speaker embedding: its graph puts out {', '.join(self.bundle.outputs)}"
            )
        clip = Clip()
        summary = self._summary(self._speech_windows(clip, blocks))
        if clip.refusal:
            raise SignalError(f"no embedding: {clip.refusal[1]}")
        return np.asarray(self._head(summary)["embedding"][0])

    def refuse(self, path: str | None, status: str, message: str, clip: Clip | None = None) -> Prediction:
        """Return a prediction without predicted values: its status, and the reason."""
        duration, spoken, snr_db = (clip.duration_s, clip.speech_s, clip.snr_db) if clip else (None, None, None)
        nothing: dict[str, Any] = dict.fromkeys(ANSWERS)
        return Prediction(path, status, message, duration, spoken, model=self.bundle.title, snr_db=snr_db, **nothing)

    def _probabilities(self, task: str, logits: npt.ArrayLike, seconds: float | None) -> decision.Floats:
        calibration = self.bundle.calibration[task]
        return decision.probabilities(logits, decision.temperature_at(calibration, seconds), calibration["bias"])

    def _drawn(self, signal: Signal) -> Array:
        """The picture of a signal at 16 kHz, ``(1, *front_end.input_shape)``."""
        front_end = self.bundle.front_end
        return features.network_input(features.picture(signal, SAMPLING_RATE, front_end=front_end), front_end)[None]

    def _speech_windows(self, clip: Clip, blocks: Iterable[Signal]) -> Iterator[tuple[Signal, Array]]:
        """The speech of a clip with enough of it, stretch by stretch, and its windows."""
        for stretch in clip.stretches(blocks):
            if clip.speech_s >= SHORTEST_S:
                yield stretch, self.windows(stretch)

    def _summary(self, stretches: Iterable[tuple[Signal, Array]], count: VoiceCount | None = None) -> Array:
        """Run the encoder over speech and its windows ``(n, frames, n_mels)``: the mean of their summaries, ``(1, f)``.
        The voices in the speech are counted by ``count``."""
        total, number = np.zeros(1), 0
        for spoken, windows in stretches:
            parts = [self.summaries(windows[at : at + WINDOWS]) for at in range(0, len(windows), WINDOWS)]
            for part in parts:
                total = total + part.sum(axis=0, dtype=np.float64)
            number += len(windows)
            if count is not None:
                count.feed(spoken, np.concatenate(parts))
        return np.asarray(total / max(number, 1), dtype=np.float32)[None]
