"""Prepares the weights of layers for a graph in 8 bits."""

from typing import Any

import numpy as np
from torch import Tensor, nn

from voxtrait.features import Array


def folded(layer: nn.Conv1d | nn.Conv2d, norm: nn.Module | None) -> tuple[Array, Array]:
    """Return weights and biases of a convolution with the following normalisation folded in."""
    weights = values(layer.weight)
    if norm is None:
        return weights, np.zeros(len(weights), np.float32)
    scale, shift = scale_and_shift(norm)
    return weights * scale.reshape(-1, *[1] * (weights.ndim - 1)), shift


def scale_and_shift(norm: Any) -> tuple[Array, Array]:
    """Return the factor and the summand of a batch normalisation: ``(channels,)`` each."""
    scale = values(norm.weight) / np.sqrt(values(norm.running_var) + norm.eps)
    return scale.astype(np.float32), (values(norm.bias) - values(norm.running_mean) * scale).astype(np.float32)


def values(tensor: Tensor) -> Array:
    """Return a tensor as an array."""
    return np.asarray(tensor.detach().numpy(), dtype=np.float32)


def largest_pairs(weights: Array, peaks: Array) -> Array:
    """Return the largest sum of the products of two neighbouring input channels, of one sign, ``(out,)``.

    Args:
        weights: ``(out, in, …)``.
        peaks: largest code of each input channel, ``(in,)``.
    """
    axes = [1] * (weights.ndim - 2)
    products = weights * peaks.reshape(-1, *axes)
    odd = [(0, 0), (0, weights.shape[1] % 2)] + [(0, 0)] * len(axes)
    pairs = np.pad(products, odd).reshape(len(weights), -1, 2, *weights.shape[2:])
    sums = np.maximum(np.maximum(pairs, 0).sum(2), np.maximum(-pairs, 0).sum(2))
    return np.asarray(sums.reshape(len(weights), -1).max(1))
