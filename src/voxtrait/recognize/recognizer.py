"""Runs a model bundle on files, signals and streams."""

import importlib.metadata
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Literal

import numpy.typing as npt

from voxtrait import batch, features, storage
from voxtrait.audio.channels import Comparison, OneChannel
from voxtrait.audio.opening import Source
from voxtrait.audio.signals import Signal
from voxtrait.bundle import current_name
from voxtrait.bundle import load as load_bundle
from voxtrait.errors import AudioMissingError, BundleError, OptionError, VoxtraitError
from voxtrait.features import Array
from voxtrait.recognize.inference import Inference
from voxtrait.recognize.listening import EVERY_S, WINDOW_S, Estimate, Listening
from voxtrait.recognize.prediction import Prediction
from voxtrait.recognize.sources import as_items, blocks_of, each_channel
from voxtrait.recognize.table import table_row, table_schema

PICTURE_SUFFIX: Final = ".png"


class Recognizer(Inference):
    """Runs a model bundle on files, signals and streams.

    Args:
        bundle: what to use.
        threads: of the graphs' runtime; with several processes one each is fastest.

    Raises:
        BundleError: by the first prediction, if a graph does not fit its description in the bundle.
    """

    def predict(
        self, source: Source | npt.ArrayLike, sampling_rate: int | None = None, *, channel: int | None = None
    ) -> Prediction:
        """Predict what a voice presents as.

        Args:
            source: a file of audio (or, for a bundle of pictures, a picture that ``voxtrait images`` drew), its URL, a
                ``BytesIO`` with one, or a signal ``(samples,)`` or ``(channels, samples)``.
            sampling_rate: of a signal, in Hz; needed there and only there.
            channel: the only channel that is used, counted from 1; ``None`` averages all.

        Returns:
            The prediction; files that cannot be used have status ``error`` rather than raise.

        Raises:
            SignalError: if an array is no signal.
            ValueError: if an array comes without its sampling rate.
        """
        return self.hear(source, sampling_rate, channel=channel)[0]

    def hear(
        self, source: Source | npt.ArrayLike, sampling_rate: int | None = None, *, channel: int | None = None
    ) -> tuple[Prediction, Array | None]:
        """Predict what a voice presents as and compute its embedding, in one pass over the sound.

        Args:
            source: as for :meth:`predict`.
            sampling_rate: as for :meth:`predict`.
            channel: as for :meth:`predict`.

        Returns:
            What :meth:`predict` returns, and what :meth:`embed` returns, ``(d,)``; ``None`` where the bundle has no
            embedding, or the prediction is not ``ok``.

        Raises:
            SignalError: if an array is no signal.
            ValueError: if an array comes without its sampling rate.

        Examples:
            >>> import numpy as np
            >>> prediction, embedding = load().hear(np.zeros(32000), sampling_rate=16000)
            >>> prediction.status, embedding is None
            ('no_speech', True)
        """
        compared = None if channel or isinstance(source, OneChannel) else Comparison()
        if not isinstance(source, str | os.PathLike | BytesIO):
            return self.answer_and_embed(None, blocks_of(source, sampling_rate, channel, compared), compared)
        path = None if isinstance(source, BytesIO) else storage.shown(os.fspath(source))
        try:
            if path is not None and path.lower().endswith(PICTURE_SUFFIX):
                return self._predict_picture(source if storage.is_url(source) else path), None
            return self.answer_and_embed(path, blocks_of(source, sampling_rate, channel, compared), compared)
        except BundleError:  # no fault of the file, and the same for the next one
            raise
        except (VoxtraitError, OSError) as error:
            return self.refuse(path, "error", str(error)), None

    def listen(
        self,
        blocks: Iterable[tuple[Signal, int]],
        *,
        every_s: float = EVERY_S,
        window_s: float = WINDOW_S,
        path: str | None = None,
    ) -> Iterator[Estimate]:
        """Predict what a voice presents as while it speaks, however long the sound goes on, in bounded memory.

        Args:
            blocks: ``(samples,)`` or ``(channels, samples)`` each, with their rate in Hz: a microphone's, a pipe's
                (:func:`voxtrait.audio.streams.incoming`), or those of ``audio.blocks(file, None)``.
            every_s: seconds of sound between two estimates.
            window_s: how many of the last seconds :attr:`Estimate.recent` is about.
            path: of the sound, as the predictions name it.

        Yields:
            An estimate each ``every_s``, and when the sound is over the final one, whose ``so_far`` is what
            :meth:`predict` returns for a file of it.

        Raises:
            BundleError: if the bundle is one of pictures, which show a whole clip.
            OptionError: if a number of seconds is out of its range.
            AudioError: whatever ``blocks`` raises; a :class:`Listening` can still be closed, with the sound until then.

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
        paths: Sequence[Source],
        *,
        jobs: batch.Jobs = 1,
        label: str | None = None,
        channel: int | Literal["each"] | None = None,
    ) -> Iterator[Prediction]:
        """Predict files in order, in processes, with memory that does not grow with their number.

        Args:
            paths: audio files, URLs of some, or ``BytesIO`` with one.
            jobs: processes, or a :class:`voxtrait.batch.Where`.
            label: of a progress line on standard error; ``None`` for none.
            channel: the only channel that is used, counted from 1; ``None`` averages all, ``each`` makes a prediction
                for each one, whose path ends in ``#`` and its number.
        """
        return batch.run(self.predict, _of_channel(paths, channel), jobs=jobs, on_crash=self._crashed, label=label)

    def predict_shards(
        self,
        paths: Sequence[Source],
        folder: str | os.PathLike[str],
        *,
        jobs: batch.Jobs = 1,
        label: str | None = None,
        seen: Callable[[Prediction], None] = lambda prediction: None,
        channel: int | Literal["each"] | None = None,
    ) -> list[Path]:
        """Predict files as :func:`predict_many` does, into Parquet shards; a killed run can be resumed.

        Args:
            paths: as for :func:`predict_many`.
            folder: for the shards and nothing else, or its URL; remove it when their content is stored elsewhere.
            jobs: processes, or a :class:`voxtrait.batch.Where`; the shards do not depend on it.
            label: of a progress line on standard error; ``None`` for none.
            seen: called with every prediction that this run makes, and not with those of an earlier run.
            channel: as for :func:`predict_many`.

        Returns:
            The shards in order: one row a file, all fields of a prediction.
        """

        def row(prediction: Prediction) -> dict[str, Any]:
            seen(prediction)
            return table_row(prediction)

        return batch.run_sharded(
            self.predict,
            _of_channel(paths, channel),
            folder,
            row=row,
            schema=table_schema(),
            settings=f"voxtrait {importlib.metadata.version('voxtrait')} {self.bundle.fingerprint}",
            jobs=jobs,
            on_crash=self._crashed,
            label=label,
        )

    def embed(self, source: Source | npt.ArrayLike, sampling_rate: int | None = None) -> Array:
        """Compute the speaker embedding, where the bundle has one: near to that of the same speaker in another clip.

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
        return self.embedding(blocks_of(source, sampling_rate))

    def _predict_picture(self, place: str) -> Prediction:
        path = storage.shown(place)
        if not storage.is_url(place) and not Path(place).is_file():
            raise AudioMissingError(f"no such file: {path}")
        if self.embedding_size is not None:
            raise OptionError(f"{path} is a picture, and {self.bundle.title} listens to sound: give it the recording")
        drawn = features.decode_png(storage.read(place) if storage.is_url(place) else Path(place).read_bytes())
        (values,) = self.decide(self.run(features.network_input(drawn, self.bundle.front_end)[None]))
        return Prediction(path, "ok", None, None, None, model=self.bundle.title, **values)

    def _crashed(self, item: str | BytesIO, why: str) -> Prediction:
        return self.refuse(None if isinstance(item, BytesIO) else storage.shown(item), "error", why)


def _of_channel(paths: Sequence[Source], channel: int | Literal["each"] | None) -> list[str | BytesIO]:
    if channel == "each":
        return each_channel(paths)
    return as_items(paths) if channel is None else [OneChannel(path, channel) for path in paths]


def load(which: str | os.PathLike[str] | None = None, *, threads: int = 1) -> Recognizer:
    """Open a bundle for work.

    Args:
        which: a folder, the name of a shipped bundle, or ``None`` for the default one.
        threads: of the graphs' runtime.

    Raises:
        BundleError: if there is no such bundle, or it cannot be trusted.

    Examples:
        >>> import numpy as np
        >>> load("voxtrait-diary").predict(np.zeros(32000), sampling_rate=16000).status
        'no_speech'
    """
    return Recognizer(load_bundle(current_name(which)), threads=threads)
