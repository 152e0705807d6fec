"""The audio of an upload, block by block, up to the maximum duration."""

from collections.abc import Callable, Iterator

from voxtrait import audio
from voxtrait.audio.channels import Comparison
from voxtrait.audio.offset import steady
from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.errors import DecodeError


class TooLongError(Exception):
    """The upload exceeds the maximum duration."""


class Sound:
    """The blocks of a file, mono at 16 kHz, ``(samples,)`` each. Each iteration reads the file again.

    Args:
        place: path of the file.
        max_seconds: maximum duration.
        progress: called after each block, at most a minute long.

    Raises:
        TooLongError: during iteration, if the maximum is exceeded.
        AudioError: during iteration, if the file cannot be decoded.
    """

    def __init__(self, place: str, max_seconds: float, progress: Callable[[], None]) -> None:
        self._place = place
        self._max_seconds = max_seconds
        self._progress = progress
        self.seconds = 0.0
        self.compared = Comparison()  # of the channels; complete after the first iteration

    def __iter__(self) -> Iterator[Signal]:
        """Yield the blocks."""
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
            raise DecodeError("the upload has no samples: the file is a header without sound")

    def stated_s(self) -> float | None:
        """Return the duration in the file header, in seconds; ``None`` if it is missing or exceeds the maximum."""
        seconds = audio.stated_s(self._place)
        return seconds if seconds is not None and seconds <= self._max_seconds else None
