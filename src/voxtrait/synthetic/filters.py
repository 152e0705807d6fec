"""Filters of synthetic speech with NumPy only: recursive and other filters, applied in the frequency domain.

First and second order sections of Butterworth filters come from the bilinear transform of the analogue ones (A.
Oppenheim & R. Schafer, Discrete-Time Signal Processing, 1989). The bell is that of R. Bristow-Johnson's equaliser
cookbook.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from voxtrait.errors import OptionError

Array = npt.NDArray[np.float64]
Section = tuple[Sequence[float] | Array, Sequence[float] | Array]  # numerator and denominator, powers of 1/z


def filtered(signal: Array, *sections: Section) -> Array:
    """Apply stable filters one after the other.

    Each block of the signal is multiplied with the frequency response, and followed by so many zeros that the response
    decays below the rounding of float64 within them. So the result is that of the recursion, without a loop over
    samples.

    Args:
        signal: ``(samples,)`` float64.
        sections: coefficients of numerator and denominator of each filter, from the power 0 of 1/z on.

    Returns:
        ``(samples,)`` float64; the filters start at rest.

    Raises:
        OptionError: if a filter is not stable.

    Examples:
        >>> filtered(np.array([1.0, 0.0, 0.0, 0.0]), ([1.0], [1.0, -0.5])).round(9)
        array([1.   , 0.5  , 0.25 , 0.125])
    """
    tail = sum(_decay(*section) for section in sections)
    size = 1 << (4 * tail).bit_length()  # four to eight times the tail: little of a block is its tail
    hop = size - tail
    response = np.ones(size // 2 + 1, np.complex128)
    for numerator, denominator in sections:
        response *= np.fft.rfft(numerator, size)  # the polynomial, at the frequencies of the spectrum
        if len(denominator) > 1:
            response /= np.fft.rfft(denominator, size)
    n_blocks = -(-len(signal) // hop)
    blocks = np.zeros((n_blocks, hop))
    blocks.ravel()[: len(signal)] = signal
    rung = np.fft.irfft(np.fft.rfft(blocks, size, axis=1) * response, size, axis=1)
    out = rung[:, :hop]
    out[1:, :tail] += rung[:-1, hop:]
    return np.asarray(out.ravel()[: len(signal)])


def _decay(numerator: Sequence[float] | Array, denominator: Sequence[float] | Array) -> int:
    """Return the number of samples after which the response is below the rounding of float64."""
    largest = max(np.abs(np.roots(denominator)), default=0.0)
    if largest >= 1:
        raise OptionError(f"Got a filter with a pole of size {largest:.6g}. Expected a stable filter: all below 1.")
    return len(numerator) + (math.ceil(math.log(1e-20) / math.log(largest)) if largest > 0 else 0)


def high_pass(cut_hz: float, sampling_rate: int) -> Section:
    """Return a Butterworth filter of the first order that passes what is above ``cut_hz``."""
    turn = _turn(cut_hz, sampling_rate)
    return [1 / (1 + turn), -1 / (1 + turn)], [1.0, (turn - 1) / (turn + 1)]


def low_pass(cut_hz: float, sampling_rate: int) -> Section:
    """Return a Butterworth filter of the second order that passes what is below ``cut_hz``."""
    turn = _turn(cut_hz, sampling_rate)
    scale = 1 + math.sqrt(2) * turn + turn**2
    top = turn**2 / scale
    return [top, 2 * top, top], [1.0, 2 * (turn**2 - 1) / scale, (1 - math.sqrt(2) * turn + turn**2) / scale]


def bell(centre_hz: float, gain_db: float, sampling_rate: int) -> Section:
    """Return a filter that raises or lowers the level around ``centre_hz`` by ``gain_db``, with the quality 1."""
    gain, turn = 10 ** (gain_db / 40), 2 * math.pi * centre_hz / sampling_rate
    spread = math.sin(turn) / 2
    top = np.array([1 + spread * gain, -2 * math.cos(turn), 1 - spread * gain])
    bottom = np.array([1 + spread / gain, -2 * math.cos(turn), 1 - spread / gain])
    return top / bottom[0], bottom / bottom[0]


def _turn(cut_hz: float, sampling_rate: int) -> float:
    """Return the analogue frequency that the bilinear transform maps to ``cut_hz``."""
    if not 0 < cut_hz < sampling_rate / 2:
        raise OptionError(f"Got a filter at {cut_hz} Hz. Expected more than 0 and less than {sampling_rate / 2:g} Hz.")
    return math.tan(math.pi * cut_hz / sampling_rate)
