"""What each speaker's voice presents as: the encoder's summaries of all their speech, averaged."""

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

EMBEDDED_S: Final = 0.4  # seconds that the encoder needs


class Voices:
    """The summaries of several speakers, weighted by their seconds.

    Args:
        recognizer: with a bundle of windows.

    Raises:
        BundleError: if the bundle has no speaker embedding.
    """

    def __init__(self, recognizer: Inference) -> None:
        if recognizer.bundle.head is None:
            raise BundleError(
                f"{recognizer.bundle.title} has no speaker embedding, which a timeline needs: use a bundle such as "
                "voxtrait-base"
            )
        self._recognizer = recognizer
        self._sums: dict[str, npt.NDArray[np.float64]] = {}
        self._seconds: dict[str, float] = {}

    def summary(self, spoken: Signal) -> Array:
        """Run the encoder over speech of one speaker, at least 0.4 s at 16 kHz: ``(samples,)`` → ``(f,)``."""
        return np.asarray(self._recognizer.summaries(self._recognizer.windows(spoken)).mean(axis=0))

    def add(self, name: str, summary: Array, seconds: float) -> None:
        """Add the summary of a part of a speaker's speech."""
        self._sums[name] = self._sums.get(name, np.zeros(len(summary))) + seconds * summary
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def describe(self, name: str, speech_s: float) -> Speaker:
        """Predict gender and age of a speaker; both are ``None`` if less than 0.7 s of speech were added."""
        one, seconds = Speaker(name, speech_s), self._seconds.get(name, 0.0)
        if seconds < SHORTEST_S:
            return one
        summary = np.asarray(self._sums[name] / seconds, np.float32)[None]
        (values,) = self._recognizer.decide(self._recognizer.heads(summary), seconds)
        return dataclasses.replace(one, **{field: value for field, value in values.items() if field != "joint_class"})
