"""Maximum and mean of the values around each place of a series."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def sliding_maximum(values: Array, size: int) -> Array:
    """Return the maximum of the ``size`` values around each place of the last axis, with fewer at the ends.

    Args:
        values: ``(..., n)``.
        size: odd number of values.

    Examples:
        >>> sliding_maximum(np.array([0, 0, 0, 5, 0, 1], np.float32), 3).tolist()
        [0.0, 0.0, 5.0, 5.0, 5.0, 1.0]
    """
    found = values.copy()
    for shifted in _shifted(values, size, "edge"):
        np.maximum(found, shifted, out=found)
    return found


def sliding_mean(values: Array, size: int) -> Array:
    """Return the mean of the ``size`` values around each place of the last axis. The ends are mirrored.

    Args:
        values: ``(..., n)``.
        size: odd number of values.

    Examples:
        >>> sliding_mean(np.array([3, 0, 0, 6], np.float32), 3).tolist()
        [2.0, 1.0, 2.0, 4.0]
    """
    found = np.zeros_like(values)
    for shifted in _shifted(values, size, "symmetric"):
        found += shifted
    found /= size
    return found


def _shifted(values: Array, size: int, mode: Literal["edge", "symmetric"]) -> Iterator[Array]:
    """Yield the values that are up to half of ``size`` before or after each place: few long operations."""
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(size // 2, size // 2)], mode=mode)
    for at in range(size):
        yield padded[..., at : at + values.shape[-1]]
