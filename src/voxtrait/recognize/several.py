"""Decides whether one voice or several speak in a clip.

The encoder has already summarised windows of 6 s, so their speaker embeddings are nearly free. If the two least similar
windows of a stretch differ, the segmentation network separates the speakers in each of them, and the embeddings of
these pieces are compared. This step confirms that the speaker changed, and not only the words or the way of speaking.
"""

from collections.abc import Iterator
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.features import Array
from voxtrait.recognize.merging import ANY, merge
from voxtrait.speech import segmentation

Voices = Literal["one", "several"]
Frames = npt.NDArray[np.int64]

ALIKE: Final = 0.8  # two windows with at least this cosine have one speaker …
LIKELY: Final = 0.6  # … or with at least this, if the segmentation network finds one speaker in each
SAME: Final = 0.48  # pieces with at least this mean cosine have one speaker
SLOT_BONUS: Final = 0.1  # added between pieces of one slot of a window, subtracted between those of two slots
ACTIVE: Final = 0.5  # a slot with at least this probability speaks
PIECE_S: Final = 3.0  # maximum seconds of a piece
SHORTEST_S: Final = 0.5  # minimum seconds of a piece
LEAST_S: Final = 1.2  # minimum seconds of the second voice


class Encoder(Protocol):
    """The methods of a recogniser with an encoder bundle that :class:`VoiceCount` calls."""

    def windows(self, spoken: Signal) -> Array:
        """Cut speech into windows for the encoder."""

    def summaries(self, windows: Array) -> Array:
        """Run the encoder."""

    def embed_summary(self, summary: Array) -> Array:
        """Compute the speaker embedding of a summary."""


class VoiceCount:
    """Counts voices while a clip is read, stretch by stretch. Memory does not grow with its length.

    Args:
        recognizer: recogniser with an encoder bundle whose windows follow one another.
    """

    def __init__(self, recognizer: Encoder) -> None:
        self._recognizer = recognizer
        self._examined = False
        self._several = False
        self._first: tuple[Signal, Array] | None = None  # the first window of the clip, and its summary

    @property
    def voices(self) -> Voices | None:
        """The result so far; ``None`` if there was no stretch with two windows."""
        if not self._examined:
            return None
        return "several" if self._several else "one"

    def feed(self, spoken: Signal, summaries: Array) -> None:
        """Process a stretch of speech at 16 kHz, ``(samples,)``, and the summaries of its windows, ``(n, f)``."""
        if self._several:
            return
        size = len(spoken) // len(summaries)
        windows = [spoken[place * size : (place + 1) * size] for place in range(len(summaries))]
        rows = list(summaries)
        if self._first is not None:  # a later stretch may be of another person
            windows.append(self._first[0])
            rows.append(self._first[1])
        else:
            self._first = windows[0].copy(), rows[0].copy()
        if len(windows) < 2:
            return
        self._examined = True
        vectors = np.stack([self._recognizer.embed_summary(row[None]) for row in rows])
        cosines = vectors @ vectors.T
        one, other = divmod(int(np.argmin(cosines)), len(cosines))
        if cosines[one, other] < ALIKE:
            self._several = self._differ([windows[one], windows[other]], float(cosines[one, other]))

    def _differ(self, windows: list[Signal], cosine: float) -> bool:
        """Return whether the speakers in two windows differ; ``cosine`` is that of the windows' embeddings."""
        alone = [_alone(window) for window in windows]
        if cosine >= LIKELY and all(len(slots) <= 1 for slots in alone):
            return False
        pieces = [
            (place, *piece)
            for place, (window, slots) in enumerate(zip(windows, alone, strict=True))
            for piece in self._pieces(window, slots)
        ]
        if len(pieces) < 2:
            return False
        place, slot = (np.array([piece[column] for piece in pieces]) for column in (0, 1))
        seconds = np.array([piece[2] for piece in pieces])
        vectors = np.stack([piece[3] for piece in pieces]).astype(np.float64)
        bonus = np.where(slot[:, None] == slot[None], SLOT_BONUS, -SLOT_BONUS)
        similarity = np.minimum(vectors @ vectors.T + np.where(place[:, None] == place[None], bonus, 0.0), 1.0)
        groups = merge(similarity, np.ones(len(pieces)), ANY, same=SAME)
        spoken = np.sort(np.bincount(groups, weights=seconds))
        return len(spoken) > 1 and bool(spoken[-2] >= LEAST_S)

    def _pieces(self, window: Signal, slots: list[Frames]) -> Iterator[tuple[int, float, Array]]:
        """Yield slot, seconds and embedding of the pieces in which one slot speaks alone."""
        cut = window[: len(window) // segmentation.HOP * segmentation.HOP].reshape(-1, segmentation.HOP)
        for slot, frames in enumerate(slots):
            for part in np.array_split(frames, int(np.ceil(len(frames) * segmentation.FRAME_S / PIECE_S))):
                signal = cut[part].ravel()
                summary = self._recognizer.summaries(self._recognizer.windows(signal)).mean(axis=0)
                yield slot, len(signal) / SAMPLING_RATE, self._recognizer.embed_summary(summary[None])


def _alone(window: Signal) -> list[Frames]:
    """Return, for each speaker of a window who speaks alone for at least 0.5 s of the first 10 s, these frames."""
    window = window[: segmentation.WINDOW]
    active = segmentation.activity(window)[: len(window) // segmentation.HOP] >= ACTIVE
    single = active.sum(axis=1) == 1
    found = [np.flatnonzero(active[:, slot] & single) for slot in range(segmentation.SLOTS)]
    return [frames for frames in found if len(frames) * segmentation.FRAME_S >= SHORTEST_S]
