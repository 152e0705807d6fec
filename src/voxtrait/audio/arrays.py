"""Converts arrays of any library, lists and any number type to samples: floats, channels first, full scale 1."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from voxtrait.errors import SignalError

LOUDEST: Final = 16.0  # maximum of floats in [-1, 1], 24 dB over full scale; larger floats were integers before
WIDTHS: Final = (16, 24, 32)  # possible bits of samples whose type does not show them
LARGEST: Final = 2.0 ** (WIDTHS[-1] - 1)  # largest sample, of 32 bits
INTERLEAVED: Final = 8  # maximum channels of a ``(frames, channels)`` array that is transposed
MOST_CHANNELS: Final = 64

Samples = npt.NDArray[Any]


def array_of(signal: Any) -> Samples:
    """Convert an array, tensor or list to a NumPy array, without importing any library.

    Args:
        signal: an array, a list of numbers, a buffer, or a PyTorch tensor on any device, with or without gradient.

    Raises:
        SignalError: if it cannot be converted to an array.

    Examples:
        >>> array_of([0, 1200, -800])
        array([    0,  1200,  -800])
        >>> array_of([[0.1, 0.2], [0.3]])
        Traceback (most recent call last):
        voxtrait.errors.SignalError: Got a list that is not an array of numbers: its rows differ in length.
    """
    if isinstance(signal, np.ndarray):
        return signal
    kind = type(signal).__name__
    try:
        if callable(getattr(signal, "detach", None)):
            signal = signal.detach().cpu()
            if "bfloat16" in str(signal.dtype):  # NumPy has no such type
                signal = signal.float()
        return np.asarray(signal)
    except (TypeError, ValueError, RuntimeError) as error:
        why = "its rows differ in length" if "inhomogeneous" in str(error) else str(error).splitlines()[0].rstrip(".")
        raise SignalError(f"Got a {kind} that is not an array of numbers: {why}.") from None


def scaled(array: Samples, *, whole: bool) -> Samples:
    """Scale numbers of any type to [-1, 1].

    Signed integers of 8, 16 and 32 bits are divided by their full scale; unsigned ones have their zero in the middle,
    as in 8-bit WAV files. The following types do not show the full scale, so it is the smallest of 16, 24 and 32 bits
    that contains all numbers:

    - integers of 64 bits, the type of every list of integers;
    - floats above 16, which were integers before;
    - integers of 32 bits, unless the last 8 bits of all are 0: then they are samples of 16 or 24 bits at the full scale
      of 32, as SciPy and soundfile return them.

    Args:
        array: array of any shape.
        whole: whether it is a whole recording. A part may lack the largest sample, so for a part integers of 64 bits
            count as 16 bits, and floats are not scaled.

    Returns:
        Floats of the same shape; other types unchanged.

    Raises:
        SignalError: if floats or integers of 64 bits exceed 32 bits.

    Examples:
        >>> scaled(np.array([0, 16384], np.int16), whole=True), scaled(np.array([0, 128], np.uint8), whole=True)
        (array([0. , 0.5]), array([-1.,  0.]))
        >>> scaled(np.array([0, 16384]), whole=True), scaled(np.array([0.0, 16384.0]), whole=True)
        (array([0. , 0.5]), array([0. , 0.5]))
    """
    kind, bits = array.dtype.kind, 8 * array.dtype.itemsize
    if not array.size or kind not in "iuf":
        return array
    if kind == "u":
        middle = 2.0 ** (bits - 1)
        return (array.astype(np.float64) - middle) / middle
    if kind == "f":
        if not LOUDEST < (peak := _peak(array)) < np.inf:
            return array
        scale = full_scale(peak)  # also for a part: a sample of 1e30 makes all others silence
        return np.asarray(array / scale) if whole else array
    if bits == 64 or (bits == 32 and whole and bool((array & 0xFF).any())):
        # too loud is better than too quiet: speech is detected at any level over -48 dBFS
        return array.astype(np.float64) / (full_scale(_peak(array)) if whole else 2.0**15)
    return array.astype(np.float64) / 2.0 ** (bits - 1)


def full_scale(peak: float) -> float:
    """Return the full scale of the smallest of 16, 24 and 32 bits that contains a sample.

    Raises:
        SignalError: if the sample exceeds 32 bits.

    Examples:
        >>> full_scale(1200), full_scale(40000)
        (32768.0, 8388608.0)
    """
    for bits in WIDTHS:
        if peak <= 2 ** (bits - 1):
            return 2.0 ** (bits - 1)
    raise SignalError(
        f"Got samples up to {peak:.3g}. Expected floats in [-1, 1], or integers of at most 32 bits. "
        "Divide them by their full scale."
    )


def channels_first(array: Samples) -> Samples:
    """Transpose an array ``(frames, channels)``, as soundfile and Gradio return, if the shape is unmistakable.

    Args:
        array: ``(samples,)``, ``(channels, samples)`` or ``(frames, channels)``.

    Returns:
        The array, transposed if it has more than 64 rows and at most 8 columns.

    Raises:
        SignalError: if both dimensions exceed 64, or if the order of the dimensions is not clear.

    Examples:
        >>> channels_first(np.zeros((16000, 2))).shape
        (2, 16000)
    """
    if array.ndim != 2 or array.shape[0] <= MOST_CHANNELS:
        return array
    if array.shape[1] <= INTERLEAVED:
        return array.T
    if array.shape[0] > array.shape[1]:
        raise SignalError(f"Got an array of shape {array.shape}. Expected (channels, samples). Transpose it.")
    raise SignalError(
        f"Got an array of shape {array.shape}. Expected (channels, samples) with at most {MOST_CHANNELS} channels."
    )


def _peak(array: Samples) -> float:
    return max(abs(float(array.max())), abs(float(array.min())))
