"""Signals: float32 arrays in [-1, 1], ``(samples,)`` when mono, ``(channels, samples)`` otherwise."""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from voxtrait.audio.arrays import array_of, channels_first, scaled
from voxtrait.errors import OptionError, SignalError

Signal: TypeAlias = npt.NDArray[np.float32]
SAMPLING_RATE: Final = 16_000  # Hz, rate of the input of every model
LOWEST_RATE: Final = 1000  # Hz; less is a rate in kHz, or a damaged header
HIGHEST_RATE: Final = 1_000_000  # Hz; recordings of bats reach 500 kHz


def check_signal(signal: npt.ArrayLike, *, whole: bool = False) -> Signal:
    """Check an array from a caller, and return it as a signal.

    Args:
        signal: ``(samples,)``, ``(channels, samples)``, or ``(frames, channels)`` if the shape is unmistakable; floats
            in [-1, 1], or integers, which :func:`voxtrait.audio.arrays.scaled` scales; also a list or a tensor.
        whole: whether it is a whole recording. Then the largest sample gives the full scale if the type does not.

    Returns:
        The same samples as float32, ``(samples,)`` or ``(channels, samples)``.

    Raises:
        SignalError: if the array is empty, has more than two dimensions or more than 64 channels, is not numeric, or
            has NaN or infinity.

    Examples:
        >>> check_signal(np.array([0, 16384], np.int16))
        array([0. , 0.5], dtype=float32)
    """
    array = scaled(array_of(signal), whole=whole)
    if array.dtype.kind != "f":
        raise SignalError(f"Got an array of {array.dtype}. Expected floats in [-1, 1] or integers.")
    if array.ndim not in (1, 2) or array.size == 0:
        raise SignalError(
            f"Got an array of shape {array.shape}. Expected a non-empty (samples,) or (channels, samples)."
        )
    array = channels_first(array)
    if not np.isfinite(array).all():
        raise SignalError("Got a signal with NaN or infinity. Expected finite samples in [-1, 1].")
    return array.astype(np.float32, copy=False)


def resample(signal: Signal, rate: float, new_rate: float) -> Signal:
    """Resample along the last axis with soxr (quality HQ); for the same rate, return the signal itself.

    Args:
        signal: ``(samples,)`` or ``(channels, samples)``, float32.
        rate: sampling rate of the signal, in Hz.
        new_rate: new sampling rate, in Hz.

    Raises:
        OptionError: if a rate is not positive.

    Examples:
        >>> resample(np.zeros(8000, np.float32), 8000, 16_000).shape
        (16000,)
    """
    if rate <= 0 or new_rate <= 0:
        raise OptionError(f"Got sampling rates of {rate} and {new_rate} Hz. Expected positive numbers.")
    if rate == new_rate:
        return signal
    import soxr

    out: Signal = soxr.resample(signal.T, rate, new_rate, quality="HQ").T
    return np.ascontiguousarray(out, dtype=np.float32)


def to_pcm16(signal: Signal) -> npt.NDArray[np.int16]:
    """Round to 16 bits; samples above full scale are clipped, never wrapped.

    Examples:
        >>> to_pcm16(np.array([0.0, 1.0, -1.5, 0.5], np.float32))
        array([     0,  32767, -32768,  16384], dtype=int16)
    """
    inside = np.clip(signal, -1.0, 1.0)  # clip before scaling: 1e38 would overflow
    scaled = np.rint(inside * 32768.0)  # a power of two: exact in float32
    return np.asarray(np.minimum(scaled, 32767), dtype=np.int16)
