"""Initial weights of a fast encoder: some layers of CAM++, refitted to the outputs that they have in the teacher.

Dropping layers of a densely connected block removes inputs of all later layers. 1×1 convolutions are linear, so least
squares finds the weights that come closest to the teacher's outputs with the inputs that are left, as in channel
pruning (He, Zhang & Sun, "Channel pruning for accelerating very deep neural networks", ICCV 2017). The fit takes
seconds. It needs no gradients and no labels.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from voxtrait.training.voices.campplus import FAST, SEGMENT, CamPlus, Shape, segments

KEPT: Final = ((0, 3, 6, 9), (0, 2, 4, 7, 9, 12, 14, 17, 19, 22), (0, 2, 4, 6, 8, 10, 12, 14))
"""Indices of the teacher's layers that the student starts from, for each block."""
RIDGE: Final = 1e-3  # added to the mean squares of the inputs, in units of their average
SEED: Final = 7


def beginner(large: CamPlus, shape: Shape = FAST, kept: Sequence[Sequence[int]] = KEPT) -> CamPlus:
    """Make a student that starts from some layers of a larger network's blocks.

    Args:
        large: the teacher, with as many channels before and after each block as the student.
        shape: the sizes of the student.
        kept: indices of the teacher's layers, for each block.

    Returns:
        A network whose blocks have the teacher's weights for the inputs that are left. The part before the blocks has
        random weights.
    """
    torch.manual_seed(SEED)
    small = CamPlus(shape)
    inside = shape.channels
    for at, layers in enumerate(kept):
        own = torch.arange(inside)  # the teacher's channels that the student keeps
        for layer, source in enumerate(layers):
            values = dict(large.blocks[at][source].state_dict())
            small.blocks[at][layer].load_state_dict(_narrowed(values, own, "norm", "narrow"))
            own = torch.cat([own, inside + source * shape.growth + torch.arange(shape.growth)])
        small.norms[at].load_state_dict({key: _of(value, own) for key, value in large.norms[at].state_dict().items()})
        small.halves[at].load_state_dict({"weight": large.halves[at].state_dict()["weight"][:, own]})
        inside = shape.widths[at]
    for name in ("last_norm", "embedding", "embedding_norm"):
        getattr(small, name).load_state_dict(getattr(large, name).state_dict())
    return small


def _narrowed(values: dict[str, Tensor], own: Tensor, norm: str, product: str) -> dict[str, Tensor]:
    for key, value in values.items():
        if key.startswith(f"{norm}."):
            values[key] = _of(value, own)
        elif key.startswith(f"{product}."):
            values[key] = value[:, own]
    return values


def _of(value: Tensor, own: Tensor) -> Tensor:
    return value[own] if value.ndim else value


@torch.no_grad()
def refit(small: CamPlus, large: CamPlus, windows: Tensor, kept: Sequence[Sequence[int]] = KEPT) -> None:
    """Fit the 1×1 convolutions in and after a student's blocks to the teacher's outputs, from the first to the last.

    Each one is fitted to the outputs of the same convolution in the teacher. Its inputs are the student's own features,
    so it compensates for errors of the layers before it.

    Args:
        small: the student of :func:`beginner`, after the part before its blocks is trained; changed in place.
        large: the teacher.
        windows: ``(n, frames, bands)`` of a few hundred training clips, for the teacher. The student processes every
            ``large.shape.step``-th frame.
        kept: indices of the teacher's layers, for each block.
    """
    small.eval(), large.eval()
    x, expected = small.first(windows[:, :: large.shape.step]), large.first(windows)
    every = 1  # the student has one in so many of the teacher's steps
    for at, layers in enumerate(kept):
        members, wanted = segments(x.shape[2], SEGMENT // every).to(x), segments(expected.shape[2], SEGMENT).to(x)
        made = iter(small.blocks[at])
        for number, layer in enumerate(large.blocks[at]):
            if number in layers:
                own = next(made)
                narrow = layer.narrow(torch.relu(layer.norm(expected)))[:, :, ::every]
                _fit(own.narrow, torch.relu(own.norm(x)), narrow)
                x = torch.cat([x, own(x, members)], 1)
            expected = torch.cat([expected, layer(expected, wanted)], 1)
        expected = large.halves[at](torch.relu(large.norms[at](expected)))
        before = torch.relu(small.norms[at](x))
        _fit(small.halves[at], before, expected[:, :, ::every])
        x = small.halves[at](before)
        if at == 0 and small.shape.thinned:
            x, every = x[:, :, ::2], 2


def _fit(product: nn.Conv1d, inputs: Tensor, outputs: Tensor) -> None:
    given, wanted = (one.transpose(1, 2).flatten(0, 1) for one in (inputs, outputs))
    squares = given.T @ given / len(given)
    squares += RIDGE * squares.diagonal().mean() * torch.eye(len(squares))
    product.weight.copy_(torch.linalg.solve(squares, given.T @ wanted / len(given)).T[:, :, None])
