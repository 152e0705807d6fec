"""The sound of an upload, block by block, within the limit of its length."""

from collections.abc import Callable, Iterator

from voxtrait import audio
from voxtrait.audio.channels import Comparison
from voxtrait.audio.offset import steady
from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.errors import DecodeError


class TooLongError(Exception):
    """A sound has more seconds than the server takes."""


class Sound:
    """The blocks of a file, mono at 16 kHz, ``(samples,)`` each, counted. Each iteration reads the file again.

    Args:
        place: of the file.
        max_seconds: limit of its length.
        progress: called when a block, a minute at most, has been processed.

    Raises:
        TooLongError: while it is read, as soon as it is clear.
        AudioError: while it is read.
    """

    def __init__(self, place: str, max_seconds: float, progress: Callable[[], None]) -> None:
        self._place = place
        self._max_seconds = max_seconds
        self._progress = progress
        self.seconds = 0.0
        self.compared = Comparison()  # the channels, complete when the file has been read once

    def __iter__(self) -> Iterator[Signal]:
        """Read it."""
        return steady(self._blocks())

    def _blocks(self) -> Iterator[Signal]:
        compared = None if self.seconds else self.compared
        self.seconds = 0.0
        for block, rate in audio.blocks(self._place, SAMPLING_RATE, compared=compared):
            self.seconds += len(block) / rate
            if self.seconds > self._max_seconds:
                raise TooLongError
            if len(block):
                yield audio.check_signal(block)
                self._progress()
        if not self.seconds:
            raise DecodeError("the upload holds no samples: the file is a header without sound")

    def stated_s(self) -> float | None:
        """Return the duration that the file states, in seconds; ``None`` if it states none, or more than the limit."""
        seconds = audio.stated_s(self._place)
        return seconds if seconds is not None and seconds <= self._max_seconds else None
