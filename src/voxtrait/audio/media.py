"""Decodes with PyAV (the extra ``[media]``): frames of any format become blocks of one rate and layout."""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from voxtrait.audio.signals import Signal

ALONE: Final = {"protocol_whitelist": "none"}
"""Prevents FFmpeg from opening the files and addresses in a playlist or in a file that looks like a video."""


PLANES: Final = 7  # maximum channels that PyAV reads from planes


class Planar:
    """Converts decoded frames to ``(channels, samples)`` blocks with the rate and layout of the first frame.

    Some streams change their rate or layout: broadcasts, and AAC whose first frames do not state its rate.
    """

    def __init__(self) -> None:
        self.rate = 0  # Hz, rate of all blocks
        self.channels = 0
        self._layout: Any = None
        self._resampler: Any = None
        self._taken: tuple[Any, ...] = ()

    def feed(self, frame: Any) -> Iterator[Signal]:
        """Process a frame, and yield the complete blocks."""
        import av

        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if not self.rate:
            self.rate, self._layout, self.channels = frame.sample_rate, frame.layout.name, frame.layout.nb_channels
        if form != self._taken:
            yield from self.close()
            # of more channels in planes, PyAV reads memory that is not theirs, and the process crashes
            form_out = "fltp" if self.channels <= PLANES else "flt"
            self._resampler = av.AudioResampler(format=form_out, rate=self.rate, layout=self._layout)
            self._taken = form
        frame.pts = None  # ignore gaps in the timestamps of a broadcast
        yield from self._blocks(frame)

    def close(self) -> Iterator[Signal]:
        """Yield the remaining blocks."""
        if self._resampler is not None:
            yield from self._blocks(None)
            self._resampler = None

    def _blocks(self, frame: Any) -> Iterator[Signal]:
        for out in self._resampler.resample(frame):
            samples = np.asarray(out.to_ndarray(), dtype=np.float32)
            yield samples if self.channels <= PLANES else samples.reshape(-1, self.channels).T


@contextlib.contextmanager
def opened(file: Any, demuxer: str | None = None, **options: Any) -> Iterator[Any]:
    """Open a container.

    Args:
        file: file open for reading bytes.
        demuxer: FFmpeg's name of the format; ``None`` lets FFmpeg detect it.
        **options: options of ``av.open``.
    """
    import av

    with av.open(file, format=demuxer, options=ALONE, metadata_errors="replace", **options) as container:
        yield container


def frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decode a stream; an incomplete last packet, as in a truncated file, is skipped.

    Raises:
        av.error.FFmpegError: if the stream is damaged before its last packet.
    """
    import av

    failed: av.error.FFmpegError | None = None
    for packet in container.demux(stream):
        if packet.size and failed is not None:
            raise failed
        try:
            yield from packet.decode()
        except av.error.InvalidDataError as error:
            failed = error
