"""Channels of a recording: reads a single channel, and detects whether channels have the same sound or other people."""

import os
from io import BytesIO
from typing import Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from voxtrait import storage
from voxtrait.audio.signals import Signal
from voxtrait.errors import DecodeError

File: TypeAlias = str | os.PathLike[str] | BytesIO

FRAME_S: Final = 0.1  # seconds of a frame for comparing levels
DOMINANT_DB: Final = 10.0  # a channel this much louder than all others dominates a frame; panning gives 6 to 8 dB
ACTIVE_DB: Final = 35.0  # a frame this much quieter than the loudest so far counts as silence
LEAST_S: Final = 1.0  # minimum seconds that each of two channels must dominate …
LEAST_SHARE: Final = 0.03  # … and minimum share of the frames that are not silent
SAME_DB: Final = -30.0  # two channels with a quieter difference have the same sound
QUIETEST: Final = 1e-8  # mean square of -80 dBFS: quieter frames are silence


class Comparison:
    """Compares the channels of a recording while it is read; memory does not grow with its length.

    Two channels have different speakers if each is sometimes much louder than the other, as in a telephone call with
    one speaker per channel or an interview with two microphones. In a stereo recording of one scene, the levels differ
    less.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> call = 0.1 * rng.standard_normal((2, 64_000)).astype(np.float32)
        >>> call[0, :32_000] = call[1, 32_000:] = 0
        >>> compared = Comparison()
        >>> compared.feed(call, 16_000)
        >>> compared.channels, compared.differ, compared.same
        (2, True, False)
    """

    def __init__(self) -> None:
        self.channels = 1
        self._rest: Signal | None = None  # samples of an incomplete frame
        self._loudest = QUIETEST
        self._dominated = np.zeros(0)  # frames that each channel dominates
        self._active = 0  # frames that are not silent
        self._power = 0.0  # power of all channels, summed over frames
        self._difference = 0.0  # power of the differences from the mean of all channels, summed over frames

    def feed(self, part: Signal, rate: int) -> None:
        """Process the next samples, ``(samples,)`` or ``(channels, samples)``, at a rate in Hz."""
        if part.ndim == 1 or part.shape[0] == 1:
            return
        self.channels = part.shape[0]
        if self._rest is not None:
            part = np.concatenate([self._rest, part], axis=1)
        size = max(1, round(FRAME_S * rate))
        count = part.shape[1] // size
        self._rest = part[:, count * size :].copy()
        if count:
            self._count(part[:, : count * size].reshape(self.channels, count, size))

    def _count(self, frames: npt.NDArray[np.float32]) -> None:
        powers = np.einsum("cfs,cfs->cf", frames, frames) / frames.shape[2]
        apart = frames - frames.mean(axis=0, keepdims=True)
        self._power += float(powers.sum())
        self._difference += float(np.einsum("cfs,cfs->", apart, apart) / frames.shape[2])
        loudest = np.maximum(np.maximum.accumulate(powers.max(axis=0)), self._loudest)  # up to each frame
        self._loudest = float(loudest[-1])
        order = np.sort(powers, axis=0)
        first, second = order[-1], order[-2]
        active = first > np.maximum(QUIETEST, loudest * 10 ** (-ACTIVE_DB / 10))
        dominant = active & (first >= second * 10 ** (DOMINANT_DB / 10))
        found = np.bincount(powers.argmax(axis=0)[dominant], minlength=self.channels)
        self._dominated = found + self._dominated if len(self._dominated) else found.astype(float)
        self._active += int(np.count_nonzero(active))

    @property
    def differ(self) -> bool:
        """Whether at least two channels have different speakers, in the part read so far."""
        least = max(LEAST_S / FRAME_S, LEAST_SHARE * self._active)
        return bool(np.count_nonzero(self._dominated >= least) >= 2)

    @property
    def same(self) -> bool:
        """Whether there are several channels and all have the same sound."""
        return self.channels > 1 and not self.differ and self._difference <= self._power * 10 ** (SAME_DB / 10)


class OneChannel(str):
    """One channel of a file as a source; as text it is the file's name, ``#`` and the channel number.

    Args:
        source: a path, a URL, or a ``BytesIO`` with the bytes of a file.
        channel: number of the channel, from 1.
        name: name of the file; ``None`` for the name of the source.

    Examples:
        >>> OneChannel("call.wav", 2)
        'call.wav#2'
    """

    source: File
    channel: int
    name: str

    def __new__(cls, source: File, channel: int, name: str | None = None) -> Self:
        """Make the text, and keep source and channel."""
        if name is None:
            name = "-" if isinstance(source, BytesIO) else os.fspath(source)
        made = super().__new__(cls, f"{storage.shown(name)}#{channel}")
        made.source, made.channel, made.name = source, channel, name
        return made

    def __reduce__(self) -> tuple[type[Self], tuple[File, int, str]]:
        """Pickle it for another process."""
        return type(self), (self.source, self.channel, self.name)


def channel_of(part: Signal, channel: int, name: str) -> Signal:
    """Return one channel: ``(channels, samples)`` → ``(samples,)``.

    Args:
        part: ``(samples,)`` or ``(channels, samples)``.
        channel: number of the channel, from 1.
        name: name of the file in messages.

    Raises:
        DecodeError: if there are fewer channels.

    Examples:
        >>> channel_of(np.array([[1, 2], [3, 4]], np.float32), 2, "call.wav")
        array([3., 4.], dtype=float32)
    """
    channels = 1 if part.ndim == 1 else part.shape[0]
    if not 1 <= channel <= channels:
        known = "channel 1" if channels == 1 else f"a channel from 1 to {channels}"
        raise DecodeError(f"No channel {channel} in {name}, which has {channels}. Choose {known}.")
    return part if part.ndim == 1 else np.ascontiguousarray(part[channel - 1])
