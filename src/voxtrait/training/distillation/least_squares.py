"""Compresses CAM++ by least squares: fewer layers, fewer channels and fewer frames.

Dropping a layer, a channel or every second frame removes inputs of a convolution. A convolution is linear, so least
squares finds the weights that come closest to the teacher's outputs with the inputs that are left, as in channel
pruning (He, Zhang & Sun, "Channel pruning for accelerating very deep neural networks", ICCV 2017). Convolutions are
fitted from the first to the last. The inputs of each are the student's own features, so it compensates for errors of
the ones before it. The fit takes a few minutes. It needs no gradients and no labels.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from voxtrait.training.voices.campplus import FAST, CamPlus, DenseLayer, Residual, Shape

KEPT: Final = (
    (0, 2, 3, 5, 6, 8, 9, 11),
    (0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 14, 16, 17, 19, 20, 22, 23),
    (0, 1, 3, 4, 5, 7, 8, 10, 11, 12, 14, 15),
)
"""Indices of the teacher's layers that the student keeps, for each block."""
PLANE_RIDGE: Final = 1e-4  # ridge of 3×3 convolutions, in units of the average mean square of their inputs
RIDGE: Final = 1e-3  # ridge of other convolutions, in the same units: they have many more inputs, strongly correlated
PLANE_WINDOWS: Final = 500  # maximum windows for fitting the part before the blocks: its inputs are large
POSITIONS: Final = 400  # positions of each window for fitting a 3×3 convolution
PLANE_BATCH: Final = 8  # windows whose unfolded inputs to that part are in memory at a time
BATCH: Final = 64  # windows whose inputs to a convolution in the blocks are in memory at a time
TAPS: Final = 9  # taps of a 3×3 convolution
SEED: Final = 7

Pairs = list[tuple[Tensor, Tensor]]
"""Batches of features of the student and of the teacher."""


class Sums(NamedTuple):
    """Mean products of inputs, a last input of 1 included, with each other and with the outputs."""

    inputs: Tensor  # (d + 1, d + 1), float64
    outputs: Tensor  # (d + 1, o), float64


@torch.no_grad()
def compress(large: CamPlus, windows: Tensor, shape: Shape = FAST, kept: Sequence[Sequence[int]] = KEPT) -> CamPlus:
    """Compress a network into a smaller student by least squares.

    Args:
        large: the teacher, with as many channels before and after each block as the student.
        windows: ``(n, frames, bands)`` of training clips, for the teacher. The student processes every second frame if
            its frames are twice as far apart.
        shape: sizes of the student.
        kept: indices of the teacher's layers, for each block.

    Returns:
        The student, whose features and summaries approximate those of the teacher for the same windows.
    """
    small = CamPlus(shape).eval()
    large.eval()
    frames = shape.frame_ms // large.shape.frame_ms  # teacher's frames per frame of the student
    every = frames * shape.step // large.shape.step  # teacher's steps per step of the student
    _fit_front(small, large, windows[:: math.ceil(len(windows) / PLANE_WINDOWS)], frames, every)
    pairs = [(small.first(part[:, ::frames]), large.first(part)) for part in torch.split(windows, BATCH)]
    inside = shape.channels
    for at, layers in enumerate(kept):
        own, width = torch.arange(inside), inside  # the teacher's channels that the student has
        made = iter(small.blocks[at])
        for number, layer in enumerate(large.blocks[at]):
            student = None
            if number in layers:
                student = next(made)
                _fit_layer(student, layer, own, pairs, every)
                own = torch.cat([own, width + torch.arange(shape.growth)])
            pairs = [(_with(student, x) if student else x, _with(layer, expected)) for x, expected in pairs]
            width += shape.growth
        small.norms[at].load_state_dict(_part(large.norms[at], own))
        pairs = [
            (torch.relu(small.norms[at](x)), large.transitions[at](torch.relu(large.norms[at](expected))))
            for x, expected in pairs
        ]
        _fit(small.transitions[at], _sums(small.transitions[at], _every(pairs, every)))
        pairs = [(small.transitions[at](x), expected) for x, expected in pairs]
        inside = shape.widths[at]
    for name in ("last_norm", "embedding", "embedding_norm"):
        getattr(small, name).load_state_dict(getattr(large, name).state_dict())
    return small


def _with(layer: DenseLayer, x: Tensor) -> Tensor:
    return torch.cat([x, layer(x)], 1)


def _every(pairs: Iterable[tuple[Tensor, Tensor]], every: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Drop the teacher's steps that the student does not have."""
    return ((inputs, outputs[..., ::every]) for inputs, outputs in pairs)


def _fit_front(small: CamPlus, large: CamPlus, windows: Tensor, frames: int, every: int) -> None:
    """Fit the part before the blocks.

    The student has every ``frames``-th frame and every ``every``-th step of the teacher.
    """
    front: Any = small.front
    teacher: Any = large.front
    for name in ("first", "first_norm"):
        getattr(front, name).load_state_dict(getattr(teacher, name).state_dict())

    def beginning(network: CamPlus, part: Tensor) -> Tensor:
        return torch.relu(network.front.first_norm(network.front.first(part.transpose(1, 2)[:, None])))

    pairs = [
        (beginning(small, part[:, ::frames]), beginning(large, part)) for part in torch.split(windows, PLANE_BATCH)
    ]
    for student_block, teacher_block in zip(front.blocks, teacher.blocks, strict=True):
        _fit_residual(student_block, teacher_block, pairs, frames)
        pairs = [(student_block(x), teacher_block(expected)) for x, expected in pairs]
    last = [(x, teacher.last_norm(teacher.last(expected))) for x, expected in pairs]
    _fit(front.last, _sums(front.last, _every(last, frames)), front.last_norm)
    last = [
        (torch.relu(front.last_norm(front.last(x))).flatten(1, 2), torch.relu(outputs).flatten(1, 2))
        for x, outputs in last
    ]
    pairs = [(x, large.delay_norm(large.delay(expected))) for x, expected in last]
    _fit(small.delay, _sums(small.delay, _every(pairs, every)), small.delay_norm)


def _fit_residual(student: Residual, teacher: Residual, pairs: Pairs, frames: int) -> None:
    """Fit a residual block. The second convolution compensates for errors of the first and of the shortcut."""
    if student.shortcut is not None and teacher.shortcut is not None:
        student.shortcut.load_state_dict(teacher.shortcut.state_dict())
        student.shortcut_norm.load_state_dict(teacher.shortcut_norm.state_dict())  # type: ignore[union-attr]
    stride: Any = teacher.first.stride
    wide = nn.Conv2d(teacher.first.in_channels, teacher.first.out_channels, 3, stride, 1, bias=False)
    norm = nn.BatchNorm2d(teacher.first.out_channels).eval()
    inner = ((x, teacher.first_norm(teacher.first(expected))) for x, expected in pairs)
    _fit(wide, _sums(wide, _every(inner, frames)), norm)
    whole = nn.Conv2d(teacher.second.in_channels, teacher.second.out_channels, 3, 1, 1, bias=False)
    outer = (
        (torch.relu(norm(wide(x))), teacher.before(expected)[..., ::frames] - student.beside(x))
        for x, expected in pairs
    )
    sums = _sums(whole, outer)
    some = most_useful(sums, student.second.in_channels)
    student.first.weight.copy_(wide.weight[some])
    student.first_norm.load_state_dict(_part(norm, torch.tensor(some)))
    _fit(student.second, _of(sums, some), student.second_norm)


def _fit_layer(student: DenseLayer, teacher: DenseLayer, own: Tensor, pairs: Pairs, every: int) -> None:
    """Fit a layer of a block. Its inputs are the channels ``own`` of the teacher's inputs, at every ``every``-th
    step."""
    for name in ("context", "mask"):
        getattr(student, name).load_state_dict(getattr(teacher, name).state_dict())
    student.norm.load_state_dict(_part(teacher.norm, own))
    narrow = (
        (torch.relu(student.norm(x)), teacher.narrow_norm(teacher.narrow(torch.relu(teacher.norm(expected)))))
        for x, expected in pairs
    )
    _fit(student.narrow, _sums(student.narrow, _every(narrow, every)), student.narrow_norm)
    local = ((student.inner(x), teacher.local(teacher.inner(expected))) for x, expected in pairs)
    _fit(student.local, _sums(student.local, _every(local, every)))


def _part(norm: nn.Module, own: Tensor) -> dict[str, Tensor]:
    return {key: value[own] if value.ndim else value for key, value in norm.state_dict().items()}


def _sums(layer: nn.Conv1d | nn.Conv2d, pairs: Iterable[tuple[Tensor, Tensor]]) -> Sums:
    """Average the products that least squares needs. One-dimensional convolutions use all steps, two-dimensional ones a
    random sample of positions.

    Args:
        layer: the convolution.
        pairs: batches of its inputs ``(n, channels, [bands,] steps)`` and of the outputs that it should have, ``(n,
            out, [bands,] steps)``.
    """
    chance = torch.Generator().manual_seed(SEED)
    plane = isinstance(layer, nn.Conv2d)
    kernel, stride, dilation = ((1, *of)[-2:] for of in (layer.kernel_size, layer.stride, layer.dilation))
    padding: Any = layer.padding if plane else (0, *layer.padding)
    squares: Any = 0.0
    products: Any = 0.0
    count = 0
    for inputs, outputs in pairs:
        if not plane:
            inputs, outputs = inputs[:, :, None], outputs[:, :, None]
        seen = nn.functional.unfold(inputs, kernel, dilation, padding, stride)
        given, wanted = (one.flatten(2).transpose(1, 2).flatten(0, 1) for one in (seen, outputs))
        if plane:
            some = torch.randperm(len(given), generator=chance)[: POSITIONS * len(inputs)]
            given, wanted = given[some], wanted[some]
        given = torch.cat([given, torch.ones(len(given), 1)], 1)
        squares = squares + (given.T @ given).double()
        products = products + (given.T @ wanted).double()
        count += len(given)
    return Sums(squares / count, products / count)


def _of(sums: Sums, channels: Sequence[int]) -> Sums:
    """Keep the sums of some input channels of a 3×3 convolution, and of the constant."""
    rows = [TAPS * channel + tap for channel in channels for tap in range(TAPS)]
    own = torch.tensor([*rows, len(sums.inputs) - 1])
    return Sums(sums.inputs[own][:, own], sums.outputs[own])


def _ridged(sums: Sums, ridge: float) -> Tensor:
    squares = sums.inputs.clone()
    inputs = squares.diagonal()[:-1]
    inputs += ridge * inputs.mean()
    return squares


def most_useful(sums: Sums, count: int) -> list[int]:
    """Select input channels of a 3×3 convolution by backward elimination.

    Starts with all channels. Each step drops the channel whose removal raises the squared error least.

    Args:
        sums: sums over all channels.
        count: number of channels to keep.

    Returns:
        The indices of the channels that are kept, in ascending order.
    """
    channels = list(range((len(sums.inputs) - 1) // TAPS))
    while len(channels) > count:
        left = _of(sums, channels)
        inverse = torch.linalg.inv(_ridged(left, PLANE_RIDGE))
        weights = inverse @ left.outputs
        parts = [slice(TAPS * at, TAPS * (at + 1)) for at in range(len(channels))]
        rises = [float((weights[own] * torch.linalg.solve(inverse[own, own], weights[own])).sum()) for own in parts]
        del channels[min(range(len(channels)), key=rises.__getitem__)]
    return channels


def _fit(layer: nn.Conv1d | nn.Conv2d, sums: Sums, norm: Any = None) -> None:
    """Set the weights of a convolution. A normalisation after it becomes a constant that is added."""
    squares = _ridged(sums, PLANE_RIDGE if isinstance(layer, nn.Conv2d) else RIDGE)
    if norm is None:  # without a constant
        found = torch.linalg.solve(squares[:-1, :-1], sums.outputs[:-1]).float()
        layer.weight.copy_(found.T.reshape(layer.weight.shape))
    else:
        found = torch.linalg.solve(squares, sums.outputs).float()
        layer.weight.copy_(found[:-1].T.reshape(layer.weight.shape))
        norm.weight.fill_(1.0)
        norm.bias.copy_(found[-1])
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0 - norm.eps)
