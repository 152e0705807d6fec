"""Runs a model bundle on files, signals and streams."""

import importlib.metadata
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
    """Runs a model bundle on files, signals and streams. Several threads may use one recogniser at the same time.

    Args:
        bundle: what to use.
        threads: of the graphs' runtime; with several processes one each is fastest.

    Raises:
        BundleError: by the first prediction, if a graph does not fit its description in the bundle.
    """

    def predict(self, source: Input, sampling_rate: int | None = None, *, channel: int | None = None) -> Prediction:
        """Predict what a voice presents as.

        Args:
            source: one of

                - a file of audio: its path or URL, its bytes, or the file opened as binary;
                - a signal: an array, a list or a tensor, ``(samples,)``, ``(channels, samples)``, or ``(frames,
                  channels)`` with at most 8 channels; floats in [-1, 1] or integers;
                - a signal with its rate: ``(rate, samples)`` as Gradio gives it, ``(samples, rate)`` as librosa does, a
                  dict ``{"array", "sampling_rate"}`` or a decoder, as Hugging Face ``datasets`` do;
                - for a bundle of pictures, a picture that ``voxtrait images`` drew.
            sampling_rate: of a signal, in Hz, if the source does not contain it.
            channel: the only channel that is used, counted from 1; ``None`` averages all.

        Returns:
            The prediction; files that cannot be used have status ``error`` rather than raise.

        Raises:
            SourceError: (a ``TypeError``) if the source is nothing that holds a sound, or a list of files.
            SignalError: (a ``ValueError``) if an array is no signal.
            OptionError: (a ``ValueError``) if a signal comes without its sampling rate, or with a wrong one.

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
        """Predict what a voice presents as and compute its embedding, in one pass over the sound.

        Args:
            source: as for :meth:`predict`.
            sampling_rate: as for :meth:`predict`.
            channel: as for :meth:`predict`.

        Returns:
            What :meth:`predict` returns, and what :meth:`embed` returns, ``(d,)``; ``None`` where the bundle has no
            embedding, or the prediction is not ``ok``.

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
        except DecodeError as error:  # of a decoder: a file, not a mistake of the caller
            return self.refuse(None, "error", str(error)), None
        compared = None if channel or isinstance(item, OneChannel) else Comparison()
        path = name_of(item)
        if isinstance(item, Sound):
            return self.answer_and_embed(path, blocks_of(item, channel, compared), compared)
        try:
            if isinstance(item, str) and item.lower().endswith(PICTURE_SUFFIXES):
                return self._predict_picture(item), None
            return self.answer_and_embed(path, blocks_of(item, channel, compared), compared)
        except BundleError:  # no fault of the file, and the same for the next one
            raise
        except (VoxtraitError, OSError, UnicodeError, MemoryError) as error:
            # UnicodeError: a name that a library cannot encode; MemoryError: one file must not end a run of many
            # a rate is given for samples only: the bytes are what a microphone or socket delivers
            raw = isinstance(error, NotAudioError) and path is None and sampling_rate is not None
            hint = ". For raw samples, give an array: np.frombuffer(data, np.int16)" if raw else ""
            told = str(error) or "not enough memory"
            return self.refuse(path, "error", f"{told.rstrip('.')}{hint}" if hint else told), None

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
            window_s: how many of the last seconds :attr:`~voxtrait.recognize.Estimate.recent` is about.
            path: of the sound, as the predictions name it.

        Yields:
            An estimate each ``every_s``, and when the sound is over the final one, whose ``so_far`` is what
            :meth:`predict` returns for a file of it.

        Raises:
            BundleError: if the bundle is one of pictures, which show a whole clip.
            OptionError: if a number of seconds is out of its range.
            AudioError: whatever ``blocks`` raises. A :class:`~voxtrait.recognize.Listening` can still be closed, with
                the sound until then.

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
        """Predict sounds in order, in processes, with memory that does not grow with their number.

        Args:
            paths: any iterable of what :meth:`predict` accepts: files, URLs, dicts, arrays, a generator of them. It is
                read as the predictions are taken. An array of two or more dimensions is a batch of signals. A
                single file or signal is accepted too.
            jobs: processes, or a :class:`voxtrait.batch.Where`.
            label: of a progress line on standard error; ``None`` for none.
            channel: the only channel that is used, counted from 1; ``None`` averages all, ``each`` makes a prediction
                for each one, whose path ends in ``#`` and its number.
            sampling_rate: of signals that do not contain it, in Hz.

        Returns:
            The predictions, one by one. Items that cannot be used have status ``error`` rather than raise.

        Raises:
            SourceError: (a ``TypeError``) if ``paths`` is nothing to iterate over, or a whole table.
            OptionError: (a ``ValueError``) if a signal has no sampling rate, or a wrong one.

        Examples:
            >>> import numpy as np
            >>> batch = np.zeros((3, 32000))
            >>> [one.status for one in load().predict_many(batch, sampling_rate=16000)]
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
        """Predict files as :func:`predict_many` does, into Parquet shards; a killed run can be resumed.

        Args:
            paths: files, URLs, or bytes of files.
            folder: for the shards and nothing else, or its URL; remove it when their content is stored elsewhere.
            jobs: processes, or a :class:`voxtrait.batch.Where`; the shards do not depend on it.
            label: of a progress line on standard error; ``None`` for none.
            seen: called with every prediction that this run makes, and not with those of an earlier run.
            channel: as for :func:`predict_many`.

        Returns:
            The shards, in order. Each has one row a file, with all fields of a prediction.

        Raises:
            SourceError: (a ``TypeError``) if there is something else than files.
        """
        items = list(of_channel(each(paths), channel))
        files = [item for item in items if isinstance(item, str | BytesIO)]
        if len(files) < len(items):
            why = next((item.why for item in items if isinstance(item, Unusable)), "Got signals.")
            raise SourceError(f"{why} To resume a run, predict_shards needs files. For signals, call predict_many.")

        def row(prediction: Prediction) -> dict[str, Any]:
            seen(prediction)
            return table_row(prediction)

        return batch.run_sharded(
            self.predict,
            files,
            folder,
            row=row,
            schema=table_schema(),
            settings=f"voxtrait {importlib.metadata.version('voxtrait')} {self.bundle.fingerprint}",
            jobs=jobs,
            on_crash=self._crashed,
            label=label,
        )

    def embed(self, source: Input, sampling_rate: int | None = None) -> Array:
        """Compute the speaker embedding, where the bundle has one: near to that of the same speaker in another clip.

        Args:
            source: as for :meth:`predict`.
            sampling_rate: as for :meth:`predict`.

        Returns:
            ``(d,)``, float32, of length 1. The cosine of two embeddings is their scalar product. ``d`` is 192 for the
            bundles ``voxtrait-base`` and ``voxtrait-fast``.

        Raises:
            BundleError: if the bundle has none.
            SignalError: if there is no speech, or less than 0.7 s.
            AudioError: if a file cannot be used.
            SourceError, OptionError: as :meth:`predict` does.
        """
        return self.embedding(blocks_of(taken(source, sampling_rate)))

    def _predict_picture(self, place: str) -> Prediction:
        path = storage.shown(place)
        if not storage.is_url(place) and not Path(place).is_file():
            raise AudioMissingError(f"no such file: {path}")
        if self.embedding_size is not None:
            raise OptionError(f"{path} is a picture, and {self.bundle.title} listens to sound: give it the recording")
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
    if which is not None and not isinstance(which, str | os.PathLike):
        raise OptionTypeError(
            f"Got the bundle {which!r}. Expected its folder, a name such as 'voxtrait-base', or None."
        )
    return Recognizer(load_bundle(current_name(which)), threads=threads)
