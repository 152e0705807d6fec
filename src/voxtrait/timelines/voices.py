"""Predicts gender and age of each speaker from the mean of the encoder's summaries of their speech."""

import dataclasses
from typing import Final

import numpy as np
import numpy.typing as npt

from voxtrait.audio.signals import Signal
from voxtrait.errors import BundleError
from voxtrait.features import Array
from voxtrait.recognize import SHORTEST_S
from voxtrait.recognize.inference import Inference
from voxtrait.timelines.records import Speaker

EMBEDDED_S: Final = 0.4  # minimum seconds for the encoder


class Voices:
    """Averages summaries of several speakers, weighted by their seconds.

    Args:
        recognizer: recogniser with an encoder bundle.

    Raises:
        BundleError: if the bundle has no speaker embedding.
    """

    def __init__(self, recognizer: Inference) -> None:
        if recognizer.bundle.head is None:
            raise BundleError(
                f"{recognizer.bundle.title} has no speaker embedding, which a timeline needs. Use a bundle such as "
                "voxtrait-base."
            )
        self._recognizer = recognizer
        self._sums: dict[str, npt.NDArray[np.float64]] = {}
        self._seconds: dict[str, float] = {}

    def summary(self, spoken: Signal) -> Array:
        """Return the summary, ``(f,)``, of at least 0.4 s of speech of one speaker at 16 kHz, ``(samples,)``."""
        return np.asarray(self._recognizer.summaries(self._recognizer.windows(spoken)).mean(axis=0))

    def add(self, name: str, summary: Array, seconds: float) -> None:
        """Add the summary of a part of a speaker's speech."""
        self._sums[name] = self._sums.get(name, np.zeros(len(summary))) + seconds * summary
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def describe(self, name: str, speech_s: float) -> Speaker:
        """Predict gender and age of a speaker. Both are ``None`` if less than 0.7 s of speech was added."""
        one, seconds = Speaker(name, speech_s), self._seconds.get(name, 0.0)
        if seconds < SHORTEST_S:
            return one
        summary = np.asarray(self._sums[name] / seconds, np.float32)[None]
        (values,) = self._recognizer.decide(self._recognizer.heads(summary), seconds)
        return dataclasses.replace(one, **{field: value for field, value in values.items() if field != "joint_class"})
