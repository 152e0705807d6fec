"""The sound of an upload, block by block, within the limit of its length."""

from collections.abc import Callable, Iterator

from voxtrait import audio
from voxtrait.audio.files import CONTAINED
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

    def __iter__(self) -> Iterator[Signal]:
        """Read it."""
        self.seconds = 0.0
        for block, rate in audio.blocks(self._place, SAMPLING_RATE):
            self.seconds += len(block) / rate
            if self.seconds > self._max_seconds:
                raise TooLongError
            if len(block):
                yield audio.check_signal(block)
                self._progress()
        if not self.seconds:
            raise DecodeError("the upload holds no samples: the file is a header without sound")

    def announced_s(self) -> float | None:
        """Return the duration that the file states, in seconds; ``None`` if it states none. It may be wrong."""
        import soundfile

        try:
            with soundfile.SoundFile(self._place) as file:
                seconds = file.frames / file.samplerate
        except soundfile.LibsndfileError:
            try:
                import av

                with av.open(self._place, options=CONTAINED, metadata_errors="replace") as container:
                    seconds = (container.duration or 0) / av.time_base
            except (ImportError, OSError, ValueError):  # no such container, or no PyAV: reading it says so
                return None
        return seconds if 0 < seconds <= self._max_seconds else None
