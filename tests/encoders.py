"""Speaker encoders of CAM++'s kind with random weights, and windows of synthetic voices to run them on."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from voxtrait import features, synthetic
from voxtrait.features import Array
from voxtrait.training.voices.campplus import CamPlus, Shape

FRAME, HOP, BANDS = 400, 160, 80
SMALL = Shape(
    planes=8, inner=(8, 8, 8, 8), first=2, channels=24, growth=8, bottleneck=16, layers=(2, 1, 2), widths=(24, 20, 24)
)  # 4 bands are left after the two-dimensional part

# a teacher, the layers that its student keeps, and the student
LARGE = Shape(
    planes=8, inner=(8, 8, 8, 8), first=2, channels=12, growth=6, bottleneck=8, layers=(4, 3, 3), widths=(14, 10, 16)
)
KEPT = ((0, 2), (1, 2), (0, 2))
FAST = dataclasses.replace(
    LARGE,
    inner=(4, 4, 6, 6),
    frame_ms=20,
    span=3,
    layers=tuple(map(len, KEPT)),
    dilations=(1, 1, 1),
    segment=None,
    transited=True,
)


def random_encoder(shape: Shape = SMALL, seed: int = 6) -> CamPlus:
    """Make a network with random weights, and batch normalisations that change what they see.

    Its kernels are smooth and most of its values positive, as in trained networks. 8 bits are enough for it, though not
    with every seed: weights that are random in a range have more pairs of large neighbours than trained ones.
    """
    torch.manual_seed(seed)
    network = CamPlus(shape)
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d) and (taps := module.weight[0, 0].numel()) > 1:
            axes = tuple(range(2, module.weight.ndim))
            mean = module.weight.detach().mean(axes, keepdim=True)
            module.weight.data = mean * taps**0.5 + 0.3 * module.weight.detach()
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = None  # statistics of all that is seen
            if module.affine:
                nn.init.uniform_(module.weight, 0.3, 0.8)
                nn.init.normal_(module.bias, 0.6, 0.2)
    with torch.no_grad():
        network.train()(torch.from_numpy(voices(8, 200, seed=90)))
    return network.eval()


def voices(count: int, frames: int, *, seed: int) -> Array:
    """Cut a window of so many frames out of each of some synthetic voices, ``(count, frames, 80)``."""
    samples = FRAME + (frames - 1) * HOP
    signals = [synthetic.speak(voice, samples / 16_000 + 0.1, seed) for voice in synthetic.cohort(count, seed)]
    front_end = features.kaldi_front_end(frames)
    return np.concatenate([features.windows(signal[:samples], front_end) for signal in signals])


def one_by_one(windows: Array) -> list[Array]:
    """Split windows ``(n, frames, 80)`` into ``n`` batches of one."""
    return [windows[at : at + 1] for at in range(len(windows))]


def summaries(network: CamPlus, windows: Sequence[Array]) -> Array:
    """Run a network on batches of windows, ``(n, 192 + 2 * width)`` of all of them."""
    with torch.no_grad():
        return np.concatenate([network(torch.from_numpy(batch)).numpy() for batch in windows])


def correlation(a: Any, b: Any) -> float:
    return float(np.corrcoef(np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel())[0, 1])
