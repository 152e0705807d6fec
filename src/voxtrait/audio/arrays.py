"""Converts arrays of any library, lists and any type of number to samples: floats, channels first, full scale 1."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from voxtrait.errors import SignalError

LOUDEST: Final = 16.0  # of floats in [-1, 1]: 24 dB over full scale; beyond are integers that became floats
WIDTHS: Final = (16, 24, 32)  # bits of samples whose type does not show how many they have
INTERLEAVED: Final = 8  # channels at most of a ``(frames, channels)`` array that is transposed without asking
MOST_CHANNELS: Final = 64

Samples = npt.NDArray[Any]


def array_of(signal: Any) -> Samples:
    """Return what NumPy, a tensor library or a list holds as an array, without importing any library.

    Args:
        signal: an array, a list of numbers, a buffer, or a tensor of PyTorch on any device, with or without gradient.

    Raises:
        SignalError: if it cannot become an array.

    Examples:
        >>> array_of([0, 1200, -800])
        array([    0,  1200,  -800])
        >>> array_of([[0.1, 0.2], [0.3]])
        Traceback (most recent call last):
        voxtrait.errors.SignalError: Got a list that cannot become an array of numbers: its rows differ in length.
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
        raise SignalError(f"Got a {kind} that cannot become an array of numbers: {why}.") from None


def scaled(array: Samples, *, whole: bool) -> Samples:
    """Scale numbers of any type to [-1, 1].

    Signed integers of 8, 16 and 32 bits are divided by their full scale; unsigned ones have their zero in the middle,
    as in WAV files of 8 bits. The type of these numbers does not show their full scale, so it is the smallest one of
    16, 24 and 32 bits that holds them all:

    - integers of 64 bits, the type of every list of integers;
    - floats beyond 16, which were integers before;
    - integers of 32 bits, unless the last 8 bits of all are 0: then they are samples of 16 or 24 bits at the full scale
      of 32, as SciPy and soundfile return them.

    Args:
        array: of any shape.
        whole: whether it is a whole recording. A part of one does not show the largest sample, so integers of 64 bits
            then have 16 bits, and floats are left as they are.

    Returns:
        Floats of the same shape; other types as they are.

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
        if not whole or not LOUDEST < (peak := _peak(array)) < np.inf:
            return array
        return np.asarray(array / full_scale(peak))
    if bits == 64 or (bits == 32 and whole and bool((array & 0xFF).any())):
        # too loud is better than too quiet: speech is found at any level over -48 dBFS
        return array.astype(np.float64) / (full_scale(_peak(array)) if whole else 2.0**15)
    return array.astype(np.float64) / 2.0 ** (bits - 1)


def full_scale(peak: float) -> float:
    """Return the full scale of the smallest usual width that holds a sample.

    Raises:
        SignalError: if even 32 bits do not hold the sample.

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
    """Transpose ``(frames, channels)``, as soundfile and Gradio return it, if the shape is unmistakable.

    Args:
        array: ``(samples,)``, ``(channels, samples)`` or ``(frames, channels)``.

    Returns:
        The array, transposed if it has more than 64 rows and at most 8 columns.

    Raises:
        SignalError: if it has more than 64 channels either way, or if the order of its dimensions is not clear.

    Examples:
        >>> channels_first(np.zeros((16000, 2))).shape
        (2, 16000)
    """
    if array.ndim != 2 or array.shape[0] <= MOST_CHANNELS:
        return array
    if array.shape[1] <= INTERLEAVED:
        return array.T
    if array.shape[0] > array.shape[1]:
        raise SignalError(f"Got an array of shape {array.shape}. Expected (channels, samples): transpose it.")
    raise SignalError(
        f"Got an array of shape {array.shape}. Expected (channels, samples) with at most {MOST_CHANNELS} channels."
    )


def _peak(array: Samples) -> float:
    return max(abs(float(array.max())), abs(float(array.min())))
