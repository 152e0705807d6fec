"""A bundle at work."""

import dataclasses
import importlib.metadata
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from voxtrait import audio, batch, features, storage
from voxtrait.audio.files import SAMPLING_RATE, Signal, Source, check_signal, resample, to_mono
from voxtrait.bundle import Bundle, current_name
from voxtrait.bundle import load as load_bundle
from voxtrait.errors import AudioMissingError, BundleError, DecodeError, OptionError, SignalError, VoxtraitError
from voxtrait.features import Array
from voxtrait.labels import JOINT_CLASSES
from voxtrait.recognize import decision
from voxtrait.recognize.clip import SHORTEST_S, STRETCH_S, Clip, cut
from voxtrait.recognize.graph import Graph
from voxtrait.recognize.listening import EVERY_S, WINDOW_S, Estimate, Listening
from voxtrait.recognize.prediction import ANSWERS, Prediction
from voxtrait.recognize.table import table_row, table_schema

PICTURE_SUFFIX: Final = ".png"
WINDOWS: Final = 4  # per call of the encoder: more are no faster, and need more memory
LONGEST: Final = 10**6  # frames: longer than any stretch


class Recognizer:
    """A bundle at work.

    Args:
        bundle: what to use.
        threads: of the graphs' runtime; with several processes one each is fastest.

    Raises:
        BundleError: by the first answer, if a graph does not fit what the bundle says of it.
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
        """First step, front end: signal → what the graph sees, float32.

        Args:
            signal: ``(samples,)`` or ``(channels, samples)``.
            sampling_rate: of it, in Hz.

        Returns:
            ``(1, *front_end.input_shape)``, the picture of the clip, or of the first minute of speech where the clip is
            longer than a minute; for a bundle of windows ``(n, frames, n_mels)``, those of all its speech, or those
            chosen from it. If there are more than two minutes of speech, a few frames that :meth:`predict` uses are
            left out, so that all windows have the same length.

        Raises:
            SignalError: if the array is no signal, or windows are wanted and there is no speech.
        """
        mono = resample(to_mono(check_signal(signal)), sampling_rate, SAMPLING_RATE)
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
        return self.heads(self._summary([inputs]))

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

    def decide(self, logits: Mapping[str, npt.ArrayLike], seconds: float | None = None) -> list[dict[str, Any]]:
        """Third step, decision.

        Args:
            logits: ``(n, classes)`` a task.
            seconds: of speech in each clip, if it is known: from more, a bundle may be surer.

        Returns:
            The answers of each row, ``gender`` to ``age_groups``, and ``joint_class``.
        """
        n = len(np.asarray(next(iter(logits.values()))))
        answers: list[dict[str, Any]] = [dict.fromkeys(ANSWERS) for _ in range(n)]
        shares = {task: self._probabilities(task, logits[task], seconds) for task in self.bundle.outputs}
        for row, answer in enumerate(answers):
            ages = decision.age_shares(shares["age"][row], self.bundle.outputs["age"]) if "age" in shares else None
            if "gender" in shares:
                calibration = self.bundle.calibration["gender"]
                p_female = decision.female_probability(shares["gender"][row])
                if ages is not None:
                    p_female = decision.without_childhood(p_female, ages, calibration["childhood"])
                answer["p_female"] = float(p_female)
                answer["gender"] = decision.describe_gender(float(p_female), calibration["unsure"])
            if ages is not None:
                likely = 0.5 if answer["p_female"] is None else answer["p_female"]
                answer |= decision.age_answer(ages, self.bundle.calibration["age"]["tail"], likely)
                # as the network was trained, with rare classes weighing more: before the prior is put back
                likeliest = self.bundle.outputs["age"][int(np.argmax(np.asarray(logits["age"])[row]))]
                answer["joint_class"] = likeliest if likeliest in JOINT_CLASSES else None
        return answers

    def predict(self, source: Source | npt.ArrayLike, sampling_rate: int | None = None) -> Prediction:
        """Say what a voice presents as.

        Args:
            source: a file of audio (or, for a bundle of pictures, a picture that ``voxtrait images`` drew), its URL, a
                ``BytesIO`` with one, or a signal ``(samples,)`` or ``(channels, samples)``.
            sampling_rate: of a signal, in Hz; needed there and only there.

        Returns:
            The prediction; files that cannot be used have status ``error`` rather than raise.

        Raises:
            SignalError: if an array is no signal.
            ValueError: if an array comes without its sampling rate.
        """
        return self.hear(source, sampling_rate)[0]

    def hear(self, source: Source | npt.ArrayLike, sampling_rate: int | None = None) -> tuple[Prediction, Array | None]:
        """Say what a voice presents as and give its embedding, in one go through the sound.

        Args:
            source: as for :meth:`predict`.
            sampling_rate: of a signal, in Hz; needed there and only there.

        Returns:
            What :meth:`predict` gives, and what :meth:`embed` gives, ``(d,)``; ``None`` where the bundle has no
            embedding, or the prediction is not ``ok``.

        Raises:
            SignalError: if an array is no signal.
            ValueError: if an array comes without its sampling rate.

        Examples:
            >>> answer, embedding = load().hear(np.zeros(32000), sampling_rate=16000)
            >>> answer.status, embedding is None
            ('no_speech', True)
        """
        if not isinstance(source, str | os.PathLike | BytesIO):
            return self._hear_blocks(None, _blocks(source, sampling_rate))
        path = None if isinstance(source, BytesIO) else storage.shown(os.fspath(source))
        try:
            if path is not None and path.lower().endswith(PICTURE_SUFFIX):
                return self._predict_picture(source if storage.is_url(source) else path), None
            return self._hear_blocks(path, _blocks(source, sampling_rate))
        except BundleError:  # no fault of the file, and the same for the next one
            raise
        except (VoxtraitError, OSError) as error:
            return self._without_answer(path, "error", str(error)), None

    def answer(self, path: str | None, blocks: Iterable[Signal]) -> Prediction:
        """Say what a voice presents as in a sound that is read elsewhere.

        Args:
            path: what the prediction calls it.
            blocks: mono at 16 kHz, ``(samples,)`` each, none of them empty.

        Raises:
            AudioError: whatever ``blocks`` raises.
        """
        return self._hear_blocks(path, blocks)[0]

    def listen(
        self,
        blocks: Iterable[tuple[Signal, int]],
        *,
        every_s: float = EVERY_S,
        window_s: float = WINDOW_S,
        path: str | None = None,
    ) -> Iterator[Estimate]:
        """Say what a voice presents as while it speaks, however long the sound goes on, in bounded memory.

        Args:
            blocks: ``(samples,)`` or ``(channels, samples)`` each, with their rate in Hz: a microphone's, a pipe's
                (:func:`voxtrait.audio.streams.incoming`), or those of ``audio.blocks(file, None)``.
            every_s: seconds of sound between two estimates.
            window_s: how many of the last seconds :attr:`Estimate.recent` is about.
            path: what the predictions call the sound.

        Yields:
            An estimate each ``every_s``, and when the sound is over the final one, whose ``so_far`` is what
            :meth:`predict` says of a file of it.

        Raises:
            BundleError: if the bundle is one of pictures, which show a whole clip.
            OptionError: if a number of seconds is out of its range.
            AudioError: whatever ``blocks`` raises; :class:`Listening` keeps what was heard until then.

        Examples:
            >>> silence = ((np.zeros(8000, np.float32), 16000) for _ in range(4))
            >>> [(said.at_s, said.so_far.status, said.final) for said in load().listen(silence)]
            [(1.0, 'no_speech', False), (2.0, 'no_speech', False), (2.0, 'no_speech', True)]
        """
        with Listening(self, every_s=every_s, window_s=window_s, path=path) as listening:
            for block, rate in blocks:
                yield from listening.feed(block, rate)
            yield listening.close()

    def predict_many(
        self, paths: Sequence[Source], *, jobs: batch.Jobs = 1, label: str | None = None
    ) -> Iterator[Prediction]:
        """Predict files in order, in processes, with memory that does not grow with their number.

        Args:
            paths: audio files, URLs of some, or ``BytesIO`` with one.
            jobs: processes, or a :class:`voxtrait.batch.Where`.
            label: of a progress line on standard error; ``None`` for none.
        """
        return batch.run(self.predict, _as_items(paths), jobs=jobs, on_crash=self._crashed, label=label)

    def predict_shards(
        self,
        paths: Sequence[Source],
        folder: str | os.PathLike[str],
        *,
        jobs: batch.Jobs = 1,
        label: str | None = None,
        seen: Callable[[Prediction], None] = lambda prediction: None,
    ) -> list[Path]:
        """Predict files as :func:`predict_many` does, into Parquet shards; a killed run goes on where it was.

        Args:
            paths: as for :func:`predict_many`.
            folder: where the shards lie, and nothing else, or the URL of such a place; remove it when their content
                is elsewhere.
            jobs: processes, or a :class:`voxtrait.batch.Where`; the shards do not depend on it.
            label: of a progress line on standard error; ``None`` for none.
            seen: told of every prediction that this run makes, and not of those that were there.

        Returns:
            The shards in order: one row a file, all fields of a prediction.
        """

        def row(prediction: Prediction) -> dict[str, Any]:
            seen(prediction)
            return table_row(prediction)

        return batch.run_sharded(
            self.predict,
            _as_items(paths),
            folder,
            row=row,
            schema=table_schema(),
            settings=f"voxtrait {importlib.metadata.version('voxtrait')} {self.bundle.fingerprint}",
            jobs=jobs,
            on_crash=self._crashed,
            label=label,
        )

    def embed(self, source: Source | npt.ArrayLike, sampling_rate: int | None = None) -> Array:
        """Give the speaker embedding, where the bundle has one: near to that of the same speaker in another clip.

        Args:
            source: as for :meth:`predict`.
            sampling_rate: of a signal, in Hz.

        Returns:
            ``(d,)``, float32, of length 1: the cosine of two is their scalar product. ``d`` is 192 for the shipped
            bundles.

        Raises:
            BundleError: if the bundle has none.
            SignalError: if there is no speech, or less than 0.7 s.
            AudioError: if a file cannot be used.
        """
        if self._head is None:
            raise BundleError(
                f"{self.bundle.title} has no speaker embedding: its graph puts out {', '.join(self.bundle.outputs)}"
            )
        clip = Clip()
        summary = self._summary(self._heard(clip, _blocks(source, sampling_rate)))
        if clip.refusal:
            raise SignalError(f"no embedding: {clip.refusal[1]}")
        return np.asarray(self._head(summary)["embedding"][0])

    def _hear_blocks(self, path: str | None, blocks: Iterable[Signal]) -> tuple[Prediction, Array | None]:
        clip = Clip()
        found: dict[str, Array] = {}
        if self._head is None:
            signal = clip.beginning(blocks)
            if not clip.refusal:
                found = self._model(self._drawn(signal))
        else:
            summary = self._summary(self._heard(clip, blocks))
            if not clip.refusal:
                found = self._head(summary)
        if clip.refusal:
            return self._without_answer(path, *clip.refusal, clip), None
        (answer,) = self.decide(found, clip.speech_s)
        said = Prediction(
            path, "ok", None, clip.duration_s, clip.speech_s, model=self.bundle.title, snr_db=clip.snr_db, **answer
        )
        return said, found["embedding"][0] if self._head is not None else None

    def _predict_picture(self, place: str) -> Prediction:
        path = storage.shown(place)
        if not storage.is_url(place) and not Path(place).is_file():
            raise AudioMissingError(f"no such file: {path}")
        if self._head is not None:
            raise OptionError(f"{path} is a picture, and {self.bundle.title} listens to sound: give it the recording")
        drawn = features.decode_png(storage.read(place) if storage.is_url(place) else Path(place).read_bytes())
        (answer,) = self.decide(self.run(features.network_input(drawn, self.bundle.front_end)[None]))
        return Prediction(path, "ok", None, None, None, model=self.bundle.title, **answer)

    def _crashed(self, item: str | BytesIO, why: str) -> Prediction:
        return self._without_answer(None if isinstance(item, BytesIO) else storage.shown(item), "error", why)

    def _without_answer(self, path: str | None, status: str, message: str, clip: Clip | None = None) -> Prediction:
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

    def _heard(self, clip: Clip, blocks: Iterable[Signal]) -> Iterator[Array]:
        """The windows of a clip with enough speech, stretch by stretch."""
        for stretch in clip.stretches(blocks):
            if clip.speech_s >= SHORTEST_S:
                yield self.windows(stretch)

    def _summary(self, stretches: Iterable[Array]) -> Array:
        """Run the encoder over windows ``(n, frames, n_mels)``: the mean of their summaries, ``(1, f)``."""
        total, count = np.zeros(1), 0
        for windows in stretches:
            for at in range(0, len(windows), WINDOWS):
                total = total + self.summaries(windows[at : at + WINDOWS]).sum(axis=0, dtype=np.float64)
            count += len(windows)
        return np.asarray(total / max(count, 1), dtype=np.float32)[None]


def _blocks(source: Source | npt.ArrayLike, sampling_rate: int | None) -> Iterator[Signal]:
    """Read a file, or cut a signal: mono at 16 kHz, block by block. What is no signal is refused at once."""
    if isinstance(source, str | os.PathLike | BytesIO):
        return _decoded(source)
    if sampling_rate is None:
        raise ValueError("got a signal without its sampling rate, expected predict(signal, sampling_rate=16000)")
    return cut(resample(to_mono(check_signal(source)), sampling_rate, SAMPLING_RATE))


def _decoded(source: Source) -> Iterator[Signal]:
    found = False
    for block, _ in audio.blocks(source, SAMPLING_RATE):
        if len(block):
            found = True
            yield check_signal(block)
    if not found:
        name = "the input" if isinstance(source, BytesIO) else storage.shown(os.fspath(source))
        raise DecodeError(f"{name} holds no samples: the file is a header without sound")


def _as_items(paths: Sequence[Source]) -> list[str | BytesIO]:
    return [path if isinstance(path, BytesIO) else os.fspath(path) for path in paths]


def load(which: str | os.PathLike[str] | None = None, *, threads: int = 1) -> Recognizer:
    """Open a bundle for work.

    Args:
        which: a folder, the name of a shipped bundle, or ``None`` for the default one.
        threads: of the graphs' runtime.

    Raises:
        BundleError: if there is no such bundle, or it cannot be trusted.

    Examples:
        >>> load("voxtrait-diary").predict(np.zeros(32000), sampling_rate=16000).status
        'no_speech'
    """
    return Recognizer(load_bundle(current_name(which)), threads=threads)
