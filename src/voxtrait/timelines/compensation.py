"""Removes the effects of rooms, noise and telephones from speaker embeddings.

The method is nuisance attribute projection (Solomonoff, Campbell and Boardman, "Advances in channel compensation for
SVM speaker recognition", ICASSP 2005). ``python benchmarks/compensation.py --write`` estimates the mean of all
embeddings, and the directions in which the means of several conditions differ. The mean is subtracted, and these
directions are projected away. Otherwise different voices through one telephone are similar, and one voice is different
in noise.
"""

import functools
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

FILE: Final = Path(__file__).with_name("compensation.npy")  # (1 + k, d) in 16 bits: the mean, then k directions
SHORTEST: Final = 1e-6  # no vector is divided by less than this


@functools.cache
def _estimated() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the mean, ``(d,)``, and the directions, ``(k, d)``, each of length 1."""
    found = np.load(FILE).astype(np.float64)
    return found[0], found[1:]


def compensated(embedding: Array) -> Array:
    """Return an embedding, ``(d,)`` of length 1, without the mean and without these directions, again of length 1.

    Embeddings of another size than that of the shipped encoders are returned unchanged.

    Examples:
        >>> found = compensated(np.full(192, 192**-0.5, np.float32))
        >>> found.shape, round(float(np.linalg.norm(found)), 3)
        ((192,), 1.0)
    """
    mean, directions = _estimated()
    if embedding.shape != mean.shape:
        return embedding
    vector = embedding - mean
    vector -= directions.T @ (directions @ vector)
    return np.asarray(vector / max(float(np.linalg.norm(vector)), SHORTEST), np.float32)
