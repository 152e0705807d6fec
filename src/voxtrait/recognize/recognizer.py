"""Predicts gender and age for files, signals and streams: the public :class:`~voxtrait.Recognizer`."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Literal

from voxtrait import batch, features, storage
from voxtrait.audio.channels import Comparison, OneChannel
from voxtrait.audio.signals import Signal
from voxtrait.bundle import current_name
from voxtrait.bundle import load as load_bundle
from voxtrait.errors import (
    AudioMissingError,
    BundleError,
    DecodeError,
    NotAudioError,
    OptionError,
    OptionTypeError,
    SourceError,
    VoxtraitError,
)
from voxtrait.features import Array
from voxtrait.recognize.inference import Inference
from voxtrait.recognize.inputs import Input, Sound, Taken, Unusable, each, is_single, name_of, taken
from voxtrait.recognize.listening import EVERY_S, WINDOW_S, Estimate, Listening
from voxtrait.recognize.prediction import Prediction
from voxtrait.recognize.sources import blocks_of, of_channel
from voxtrait.recognize.table import table_row, table_schema

PICTURE_SUFFIXES: Final = (".png", ".jpg", ".jpeg")


class Recognizer(Inference):
    """Predicts gender and age for files, signals and streams with one bundle.

    :func:`voxtrait.load` makes a recogniser. Several threads may use it at the same time.

    Args:
        bundle: bundle to use.
        threads: number of threads of ONNX Runtime. With several processes, one thread each is fastest.

    Raises:
        BundleError: at the first prediction, if a graph does not match its description in the bundle.

    Examples:
        >>> import voxtrait
        >>> voxtrait.load("voxtrait-diary").bundle.name
        'voxtrait-diary'
    """

    def predict(self, source: Input, sampling_rate: int | None = None, *, channel: int | None = None) -> Prediction:
        """Predict gender and age of the voice in one clip.

        Args:
            source: one of

                - an audio file: its path or URL, its bytes, or the file opened in binary mode;
                - a signal: an array, list or tensor, ``(samples,)``, ``(channels, samples)``, or ``(samples,
                  channels)`` with at most 8 channels; floats in [-1, 1] or integers;
                - a signal with its rate: ``(rate, samples)`` as in Gradio, ``(samples, rate)`` as in librosa, a dict
                  ``{"array", "sampling_rate"}`` or a decoder as in Hugging Face ``datasets``;
                - for a spectrogram CNN, an image that ``voxtrait images`` drew.
            sampling_rate: sampling rate of a signal in Hz, if the source does not contain it.
            channel: channel to use, counted from 1; ``None`` averages all channels.

        Returns:
            The prediction. A file that cannot be used gets status ``error``, and no exception.

        Raises:
            SourceError: (a ``TypeError``) if the source is not audio, or is a list of files.
            SignalError: (a ``ValueError``) if an array is not a signal.
            OptionError: (a ``ValueError``) if the sampling rate of a signal is missing or wrong.

        Examples:
            >>> import numpy as np
            >>> print(load().predict(np.zeros(32000), sampling_rate=16000))
            -  no_speech: no speech was found
            >>> print(load().predict((16000, [0] * 32000)))
            -  no_speech: no speech was found
        """
        return self.hear(source, sampling_rate, channel=channel)[0]

    def hear(
        self, source: Input, sampling_rate: int | None = None, *, channel: int | None = None
    ) -> tuple[Prediction, Array | None]:
        """Predict gender and age, and compute the speaker embedding, in one pass over the audio.

        Args:
            source: as for :meth:`predict`.
            sampling_rate: as for :meth:`predict`.
            channel: as for :meth:`predict`.

        Returns:
            The prediction of :meth:`predict`, and the embedding of :meth:`embed`, ``(d,)`` float32. The embedding is
            ``None`` if the bundle has none, or if the prediction is not ``ok``.

        Raises:
            SourceError, SignalError, OptionError: as :meth:`predict` does.

        Examples:
            >>> import numpy as np
            >>> prediction, embedding = load().hear(np.zeros(32000), sampling_rate=16000)
            >>> prediction.status, embedding is None
            ('no_speech', True)
        """
        try:
            item = taken(source, sampling_rate)
        except DecodeError as error:  # from a decoder: the file is damaged, the caller made no mistake
            return self.refuse(None, "error", str(error)), None
        compared = None if channel or isinstance(item, OneChannel) else Comparison()
        path = name_of(item)
        if isinstance(item, Sound):
            return self.answer_and_embed(path, blocks_of(item, channel, compared), compared)
        try:
            if isinstance(item, str) and item.lower().endswith(PICTURE_SUFFIXES):
                return self._predict_picture(item), None
            return self.answer_and_embed(path, blocks_of(item, channel, compared), compared)
        except BundleError:  # the bundle is at fault, and every other file would fail too
            raise
        except (VoxtraitError, OSError, UnicodeError, MemoryError) as error:
            # UnicodeError: a name that a library cannot encode; MemoryError: one file must not end a run of many.
            # Bytes with a sampling rate are raw samples, such as those of a microphone or socket
            raw = isinstance(error, NotAudioError) and path is None and sampling_rate is not None
            hint = ". For raw samples, give an array: np.frombuffer(data, np.int16)" if raw else ""
            reason = str(error) or "not enough memory"
            return self.refuse(path, "error", f"{reason.rstrip('.')}{hint}" if hint else reason), None

    def listen(
        self,
        blocks: Iterable[tuple[Signal, int]],
        *,
        every_s: float = EVERY_S,
        window_s: float = WINDOW_S,
        path: str | None = None,
    ) -> Iterator[Estimate]:
        """Predict gender and age of a voice while it speaks. Memory does not grow with the length.

        Args:
            blocks: blocks of audio, ``(samples,)`` or ``(channels, samples)`` each, with their rate in Hz: from a
                microphone, from a pipe (:func:`voxtrait.audio.streams.incoming`), or from ``voxtrait.audio.blocks(file,
                None)``.
            every_s: seconds of audio between two estimates.
            window_s: seconds of audio that :attr:`~voxtrait.recognize.Estimate.recent` covers.
            path: name of the audio in the predictions.

        Yields:
            An estimate every ``every_s`` seconds, and a final one at the end.
            :attr:`~voxtrait.recognize.Estimate.so_far` of the final estimate equals the prediction of :meth:`predict`
            for a file with the same audio.

        Raises:
            BundleError: if the bundle is a spectrogram CNN, which needs whole clips.
            OptionError: if a number of seconds is out of range.
            AudioError: if ``blocks`` raises it. :class:`~voxtrait.recognize.Listening` can still give a final
                estimate then.

        Examples:
            >>> import numpy as np
            >>> silence = ((np.zeros(8000, np.float32), 16000) for _ in range(4))
            >>> [(one.at_s, one.so_far.status, one.final) for one in load().listen(silence)]
            [(1.0, 'no_speech', False), (2.0, 'no_speech', False), (2.0, 'no_speech', True)]
        """
        with Listening(self, every_s=every_s, window_s=window_s, path=path) as listening:
            for block, rate in blocks:
                yield from listening.feed(block, rate)
            yield listening.close()

    def predict_many(
        self,
        paths: Iterable[Input] | Input,
        *,
        jobs: batch.Jobs = 1,
        label: str | None = None,
        channel: int | Literal["each"] | None = None,
        sampling_rate: int | None = None,
    ) -> Iterator[Prediction]:
        """Predict gender and age for many clips, in order, in several processes.

        Memory does not grow with the number of clips.

        Args:
            paths: an iterable of whatever :meth:`predict` accepts, also a generator. It is read only as far as
                predictions are taken. An array of two or more dimensions is a batch of signals. A single file or
                signal is accepted too.
            jobs: number of processes, or a :class:`voxtrait.batch.Where`.
            label: label of a progress line on standard error; ``None`` shows no line.
            channel: channel to use, counted from 1; ``None`` averages all channels; ``each`` gives one prediction per
                channel, whose path ends in ``#`` and the channel's number.
            sampling_rate: sampling rate in Hz of signals that do not contain it.

        Returns:
            An iterator over the predictions. An item that cannot be used gets status ``error``, and no exception.

        Raises:
            SourceError: (a ``TypeError``) if ``paths`` is not iterable, or is a table.
            OptionError: (a ``ValueError``) if the sampling rate of a signal is missing or wrong.

        Examples:
            >>> import numpy as np
            >>> signals = np.zeros((3, 32000))
            >>> [one.status for one in load().predict_many(signals, sampling_rate=16000)]
            ['no_speech', 'no_speech', 'no_speech']
        """
        items = of_channel(each(paths, sampling_rate), channel)
        total = len(paths) if isinstance(paths, Sized) and channel != "each" and not is_single(paths) else None
        return batch.run(self._predict_item, items, total=total, jobs=jobs, on_crash=self._crashed, label=label)

    def predict_shards(
        self,
        paths: Sequence[Input],
        folder: str | os.PathLike[str],
        *,
        jobs: batch.Jobs = 1,
        label: str | None = None,
        seen: Callable[[Prediction], None] = lambda prediction: None,
        channel: int | Literal["each"] | None = None,
    ) -> list[Path]:
        """Predict like :meth:`predict_many`, and write Parquet shards, so that an interrupted run can be resumed.

        Args:
            paths: files, URLs, or bytes of files.
            folder: folder or URL for the shards only. Remove it when their content is stored elsewhere.
            jobs: number of processes, or a :class:`voxtrait.batch.Where`. The shards do not depend on it.
            label: label of a progress line on standard error; ``None`` shows no line.
            seen: function that is called with every prediction of this run, not with those of an earlier run.
            channel: as for :meth:`predict_many`.

        Returns:
            Paths of the shards, in order. A shard has one row per file, with all fields of a prediction.

        Raises:
            SourceError: (a ``TypeError``) if an item is not a file.

        Examples:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     [shard.suffix for shard in load().predict_shards(["missing.mp3"], folder)]
            ['.parquet']
        """
        items = list(of_channel(each(paths), channel))
        files = [item for item in items if isinstance(item, str | BytesIO)]
        if len(files) < len(items):
            why = next((item.why for item in items if isinstance(item, Unusable)), "Got signals.")
            raise SourceError(f"{why} To resume a run, predict_shards needs files. For signals, call predict_many.")

        from importlib.metadata import version

        def row(prediction: Prediction) -> dict[str, Any]:
            seen(prediction)
            return table_row(prediction)

        return batch.run_sharded(
            self.predict,
            files,
            folder,
            row=row,
            schema=table_schema(),
            settings=f"voxtrait {version('voxtrait')} {self.bundle.fingerprint}",
            jobs=jobs,
            on_crash=self._crashed,
            label=label,
        )

    def embed(self, source: Input, sampling_rate: int | None = None) -> Array:
        """Compute the speaker embedding of a clip. Clips of one speaker have similar embeddings.

        Args:
            source: as for :meth:`predict`.
            sampling_rate: as for :meth:`predict`.

        Returns:
            The embedding, ``(d,)`` float32, of length 1. The scalar product of two embeddings is their cosine. ``d`` is
            192 for the shipped bundles with an embedding.

        Raises:
            BundleError: if the bundle has no speaker embedding.
            SignalError: if there is less than 0.7 s of speech.
            AudioError: if a file cannot be used.
            SourceError, OptionError: as :meth:`predict` does.

        Examples:
            >>> from voxtrait import synthetic
            >>> voice = synthetic.cohort(1, seed=1)[0]
            >>> load().embed(synthetic.speak(voice, 3.0, seed=1), sampling_rate=16000).shape
            (192,)
        """
        return self.embedding(blocks_of(taken(source, sampling_rate)))

    def _predict_picture(self, place: str) -> Prediction:
        path = storage.shown(place)
        if not storage.is_url(place) and not Path(place).is_file():
            raise AudioMissingError(f"no such file: {path}")
        if self.embedding_size is not None:
            raise OptionError(f"{path} is an image, but {self.bundle.title} needs audio. Pass the recording.")
        drawn = features.decode_png(storage.read(place) if storage.is_url(place) else Path(place).read_bytes())
        (values,) = self.decide(self.run(features.network_input(drawn, self.bundle.front_end)[None]))
        return Prediction(path, "ok", None, None, None, model=self.bundle.title, **values)

    def _predict_item(self, item: Taken | Unusable) -> Prediction:
        return self.refuse(None, "error", item.why) if isinstance(item, Unusable) else self.predict(item)

    def _crashed(self, item: Taken | Unusable, why: str) -> Prediction:
        return self.refuse(None if isinstance(item, Unusable) else name_of(item), "error", why)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.bundle.title}>"


def load(which: str | os.PathLike[str] | None = None, *, threads: int = 1) -> Recognizer:
    """Load a bundle and return its recogniser.

    Args:
        which: folder of a bundle, name of a shipped bundle, or ``None`` for the default bundle.
        threads: number of threads of ONNX Runtime.

    Returns:
        The recogniser. Its graphs are opened at the first prediction.

    Raises:
        BundleError: if there is no such bundle, or if its content is not valid.
        OptionTypeError: (a ``TypeError``) if ``which`` is neither text nor a path.

    Examples:
        >>> import numpy as np
        >>> load("voxtrait-diary").predict(np.zeros(32000), sampling_rate=16000).status
        'no_speech'
    """
    if which is not None and not isinstance(which, str | os.PathLike):
        raise OptionTypeError(
            f"Got the bundle {which!r}. Expected its folder, a name such as 'voxtrait-base', or None."
        )
    return Recognizer(load_bundle(current_name(which)), threads=threads)
