"""Writes CAM++, or a smaller network of its kind, as an ONNX graph in 8 bits.

Weights have 8 bits with a scale for each output channel, activations 8 bits with a range measured on real speech
(Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR
2018). Batch normalisations are folded into the preceding convolution. A layer of a densely connected block has no
preceding convolution. There the normalisation is a product and a sum in 32 bits, and the following quantiser replaces
the rectifier: negative values become 0. Channels are always the last axis, as the runtime's 8-bit convolutions need.
Only the input is transposed.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from voxtrait import runtime
from voxtrait.errors import BundleError
from voxtrait.features import Array
from voxtrait.training.voices.campplus import EMBEDDING, CamPlus, DenseLayer, Residual

OPSET: Final = 18
RUNTIME: Final = "com.microsoft"  # domain of the runtime's own operators
STEPS: Final = 127  # quantisation steps of a weight on each side of 0
HALF_STEPS: Final = 63  # the same if products with all 8 bits would overflow on processors without VNNI
LEVELS: Final = 255  # quantisation steps of an activation
FIDELITY: Final = 0.98  # minimum mean correlation of summaries before and after quantisation
Ranges = Mapping[str, tuple[float, float]]


class Coded(NamedTuple):
    """Names of a tensor in 8 bits, its scale and its zero."""

    tensor: str
    scale: str
    zero: str


def graph(network: CamPlus, seen: list[Array], real: list[Array], *, smallest: bool = False) -> bytes:
    """Write a network as a graph in 8 bits.

    Args:
        network: trained network.
        seen: windows ``(n, frames, bands)`` of training speakers, which give the range of every activation.
        real: windows for checking the graph.
        smallest: whether masks and speaker embedding also have 8 bits instead of 32. The summary of a window then
            depends slightly on the other windows of the batch, because they share the range.

    Returns:
        The serialised model: input ``windows`` ``(n, frames, bands)`` of any length, output ``summary`` ``(n,
        192 + 2 * width)``: speaker embedding, mean and spread of the last features over time.

    Raises:
        BundleError: if the summaries of graph and network correlate by less than 0.98 (``FIDELITY``).
    """
    model = Assembly(network, ranges_of(network, seen), smallest=smallest).model()
    session = runtime.session(model.SerializeToString(), threads=0)
    with torch.no_grad():
        expected = np.concatenate([network(torch.from_numpy(windows)).numpy() for windows in real])
    found = np.concatenate([session.run(["summary"], {"windows": windows})[0] for windows in real])
    fidelity = correlation(expected, found)
    if not fidelity >= FIDELITY:
        raise BundleError(f"Summaries correlate by {fidelity:.3f} after quantisation. Expected {FIDELITY} or more.")
    return bytes(model.SerializeToString())


def correlation(expected: Array, found: Array) -> float:
    """Return the mean correlation of the columns of two arrays ``(n, d)``; constant columns are left out."""
    a, b = expected - expected.mean(0), found - found.mean(0)
    norm = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    varies = (a**2).sum(0) > 1e-6
    return float(((a * b).sum(0)[varies] / np.maximum(norm[varies], 1e-12)).mean())


def ranges_of(network: CamPlus, seen: list[Array]) -> dict[str, tuple[float, float]]:
    """Return the minimum and maximum output of each module of a network, 0 included.

    Args:
        network: trained network.
        seen: windows ``(n, frames, bands)`` of real speech.
    """
    found: dict[str, tuple[float, float]] = {}

    def watch(name: str) -> Any:
        def keep(module: nn.Module, given: Any, value: Tensor) -> None:
            low, high = found.get(name, (0.0, 0.0))
            found[name] = min(low, float(value.min())), max(high, float(value.max()))

        return keep

    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.Conv1d, Residual)
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


def folded(layer: nn.Conv1d | nn.Conv2d, norm: nn.Module | None) -> tuple[Array, Array]:
    """Return weights and biases of a convolution with the following normalisation folded in."""
    weights = _values(layer.weight)
    if norm is None:
        return weights, np.zeros(len(weights), np.float32)
    scale, shift = scale_and_shift(norm)
    return weights * scale.reshape(-1, *[1] * (weights.ndim - 1)), shift


def scale_and_shift(norm: Any) -> tuple[Array, Array]:
    """Return the factor and the summand of a batch normalisation: ``(channels,)`` each."""
    scale = _values(norm.weight) / np.sqrt(_values(norm.running_var) + norm.eps)
    return scale.astype(np.float32), (_values(norm.bias) - _values(norm.running_mean) * scale).astype(np.float32)


def _values(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().numpy(), dtype=np.float32)


class Assembly:
    """Builds the nodes and constants of a graph.

    Args:
        network: trained network.
        ranges: name of a module → range of its activations.
        smallest: as for :func:`graph`.
    """

    def __init__(self, network: CamPlus, ranges: Ranges, *, smallest: bool = False) -> None:
        self.network, self.ranges, self.smallest = network, ranges, smallest
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, npt.NDArray[Any]] = {}
        for number in (0, 1):
            self.constants |= {f"{number}": np.array([number]), f"{number}.scalar": np.array(number)}
        self.constants["1.float"] = np.array(1, np.float32)

    def model(self) -> onnx.ModelProto:
        """Build the whole graph."""
        network, shape = self.network, self.network.shape
        weights, biases = folded(network.delay, network.delay_norm)
        bands = shape.flat // shape.planes  # torch flattens channels before bands, the graph bands before channels
        weights = weights.reshape(len(weights), shape.planes, bands, -1).transpose(0, 2, 1, 3)
        weights = weights.reshape(len(weights), shape.flat, -1)
        pads = [shape.span // 2] * 2
        coded = self.convolution(self.front(), "delay_norm", weights, biases, strides=[shape.step], pads=pads)
        x = self.plain(coded)
        for at, (block, norm, half) in enumerate(zip(network.blocks, network.norms, network.transitions, strict=True)):
            matrices = self.segments(x, shape.segment, f"segments.{at}") if shape.segment else None
            for layer, module in enumerate(block):
                name = f"blocks.{at}.{layer}"
                x = self.add("Concat", [x, self.layer(x, module, name, matrices)], f"{name}.joined", axis=2)
            x = self.normed(x, norm, f"norms.{at}")
            last = at == len(network.blocks) - 1
            weights, biases = folded(half, network.last_norm if last else None)
            coded = self.convolution(
                self.coded(x, f"norms.{at}", rectified=True),
                "last_norm" if last else f"transitions.{at}",
                weights,
                biases,
                rectified=last,
            )
            x = self.plain(coded)
        found = self.add("Concat", self.statistics(x), "statistics", axis=1)
        self.add("Concat", [self.voice(found), found], "summary", axis=1)
        made = helper.make_graph(
            self.nodes,
            "speaker encoder",
            [helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["n", "frames", shape.bands])],
            [helper.make_tensor_value_info("summary", TensorProto.FLOAT, ["n", EMBEDDING + 2 * shape.widths[-1]])],
            [numpy_helper.from_array(np.array(value), name) for name, value in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(RUNTIME, 1)]
        model = helper.make_model(made, opset_imports=opsets, ir_version=9)
        # known shapes halve the loading time of the graph: the runtime's memory planner compares fewer tensors
        return onnx.shape_inference.infer_shapes(model)

    def front(self) -> Coded:
        """Add the two-dimensional part, with output ``(n, frames, flat)`` and ``(n, frames, bands, planes)`` inside."""
        front: Any = self.network.front
        pads = [1, 1, 1, 1]
        picture = self.add("Unsqueeze", ["windows", "1"], "picture")
        weights, biases = folded(front.first, front.first_norm)
        self.constants |= {"front.first.w": weights.transpose(0, 1, 3, 2), "front.first.b": biases}
        inputs = [picture, "front.first.w", "front.first.b"]
        strides = [1, self.network.shape.first]
        x = self.coded(
            self.add("Conv", inputs, "front.first", pads=pads, strides=strides), "front.first_norm", rectified=True
        )
        x = x._replace(tensor=self.add("Transpose", [x.tensor], "front.channels_last", perm=[0, 2, 3, 1]))
        for at, block in enumerate(front.blocks):
            name, strides = f"front.blocks.{at}", [1, block.first.stride[0]]
            y = self.plane(x, f"{name}.first_norm", block.first, block.first_norm, strides=strides, pads=pads)
            y = self.plane(y, f"{name}.second_norm", block.second, block.second_norm, rectified=False, pads=pads)
            if block.shortcut is not None:
                x = self.plane(
                    x, f"{name}.shortcut_norm", block.shortcut, block.shortcut_norm, rectified=False, strides=strides
                )
            scale, zero = self.grid(name, rectified=True)
            x = Coded(self.add("QLinearAdd", [*y, *x, scale, zero], name, domain=RUNTIME), scale, zero)
        strides = [1, front.last.stride[0]]
        x = self.plane(x, "front.last_norm", front.last, front.last_norm, strides=strides, pads=pads)
        self.constants["flat"] = np.array([0, -1, self.network.shape.flat])
        return x._replace(tensor=self.add("Reshape", [x.tensor, "flat"], "front"))

    def layer(self, x: str, module: DenseLayer, name: str, matrices: tuple[str, str] | None) -> str:
        """Add a layer of a block, ``(n, steps, inside)`` → ``(n, steps, growth)``.

        Args:
            x: outputs of all previous layers.
            module: the layer.
            name: name of the layer.
            matrices: result of :meth:`segments`; ``None`` if a mask's near context is the whole window.
        """
        coded = self.coded(self.normed(x, module.norm, f"{name}.norm"), f"{name}.norm", rectified=True)
        coded = self.convolution(coded, f"{name}.narrow_norm", *folded(module.narrow, module.narrow_norm))
        dilation = module.local.dilation[0]
        local = self.convolution(
            coded,
            f"{name}.local",
            *folded(module.local, None),
            rectified=False,
            pads=[dilation, dilation],
            dilations=[dilation],
        )
        weights, biases = _values(module.context.weight).T, _values(module.context.bias)
        if matrices:
            context = self.add("MatMul", [matrices[0], self.plain(coded)], f"{name}.context.means")
        else:  # the means over the window and over all steps are the same here: their sum is twice the mean
            context, weights = self.add("ReduceMean", [self.plain(coded), "1"], f"{name}.context.means"), 2 * weights
        context = self.add("Relu", [self.product(context, weights, biases, f"{name}.context")], f"{name}.context.relu")
        mask = self.product(context, _values(module.mask.weight).T, _values(module.mask.bias), f"{name}.mask")
        mask = self.add("Sigmoid", [mask], f"{name}.mask.open")
        if matrices:
            mask = self.add("MatMul", [matrices[1], mask], f"{name}.mask.steps")
        return self.add("Mul", [self.plain(local), mask], f"{name}.masked")

    def segments(self, x: str, length: int, name: str) -> tuple[str, str]:
        """Add the matrices that :meth:`layer` needs, for any number of steps of ``x`` ``(n, steps, …)``.

        Returns:
            Averages ``(segments, steps)``, whose product with features is the sum of their means over each segment and
            over all steps, and members ``(steps, segments)``, 1 where a step belongs to a segment.
        """
        self.constants[f"{name}.length"] = np.array(length)
        steps = self.add("Squeeze", [self.add("Shape", [x], f"{name}.shape", start=1, end=2)], f"{name}.steps")
        last = self.add("Sub", [steps, "1.scalar"], f"{name}.last")
        count = self.add("Add", [self.add("Div", [last, f"{name}.length"], f"{name}.at"), "1.scalar"], f"{name}.count")
        all_steps = self.add("Range", ["0.scalar", steps, "1.scalar"], f"{name}.all_steps")
        of_step = self.add(
            "Unsqueeze", [self.add("Div", [all_steps, f"{name}.length"], f"{name}.of"), "0"], f"{name}.o"
        )
        all_segments = self.add("Range", ["0.scalar", count, "1.scalar"], f"{name}.all")
        same = self.add("Equal", [self.add("Unsqueeze", [all_segments, "1"], f"{name}.each"), of_step], f"{name}.same")
        members = self.add("Cast", [same], f"{name}.members", to=TensorProto.FLOAT)
        near = self.add("Div", [members, self.add("ReduceSum", [members, "1"], f"{name}.sizes")], f"{name}.near")
        overall = self.add("Div", ["1.float", self.add("Cast", [steps], f"{name}.float", to=1)], f"{name}.overall")
        averages = self.add("Add", [near, overall], f"{name}.averages")
        return averages, self.add("Transpose", [members], f"{name}.by_step", perm=[1, 0])

    def statistics(self, x: str) -> list[str]:
        """Add mean and standard deviation over time, ``(n, steps, width)`` → ``(n, width)`` each."""
        steps = self.add("Squeeze", [self.add("Shape", [x], "summary.shape", start=1, end=2)], "summary.steps")
        fewer = self.add("Max", [self.add("Sub", [steps, "1.scalar"], "summary.fewer"), "1.scalar"], "summary.most")
        mean = self.add("ReduceMean", [x, "1"], "summary.mean")
        away = self.add("Sub", [x, mean], "summary.away")
        squares = self.add(
            "ReduceSum", [self.add("Mul", [away, away], "summary.squares"), "1"], "summary.sum", keepdims=0
        )
        divisor = self.add("Cast", [fewer], "summary.divisor", to=TensorProto.FLOAT)
        spread = self.add("Sqrt", [self.add("Div", [squares, divisor], "summary.variance")], "summary.spread")
        return [self.add("Squeeze", [mean, "1"], "summary.mean.flat"), spread]

    def voice(self, found: str) -> str:
        """Add the speaker embedding, ``(n, 2 * width)`` → ``(n, 192)``.

        It is linear, so the mean of the windows' embeddings is the embedding of their mean.
        """
        norm: Any = self.network.embedding_norm
        gain = 1 / np.sqrt(_values(norm.running_var) + norm.eps)
        weights = (_values(self.network.embedding.weight) * gain[:, None]).T
        return self.product(found, weights, (-_values(norm.running_mean) * gain).astype(np.float32), "voice")

    def plane(
        self, x: Coded, name: str, layer: nn.Conv2d, norm: nn.Module, *, rectified: bool = True, **attributes: Any
    ) -> Coded:
        """Add a two-dimensional convolution: bands precede time in torch, time precedes bands in the graph."""
        weights, biases = folded(layer, norm)
        return self.convolution(x, name, weights.transpose(0, 1, 3, 2), biases, rectified=rectified, **attributes)

    def convolution(
        self, x: Coded, name: str, weights: Array, biases: Array, *, rectified: bool = True, **attributes: Any
    ) -> Coded:
        """Add a convolution in 8 bits.

        Args:
            x: the input, channels last.
            name: name of the module that gives the range of the output.
            weights: ``(out, in, …)``.
            biases: ``(out,)``.
            rectified: whether negative values become 0.
            attributes: attributes of the operator.
        """
        largest = np.abs(weights).reshape(len(weights), -1).max(1)
        steps = (np.maximum(largest, 1e-12) / STEPS).astype(np.float32)
        rounded = np.round(weights / steps.reshape(-1, *[1] * (weights.ndim - 1))).astype(np.int8)
        self.constants |= {
            f"{name}.w": rounded,
            f"{name}.w.scale": steps,
            f"{name}.w.zero": np.zeros(len(steps), np.int8),
            f"{name}.b": np.round(biases / (self.constants[x.scale] * steps)).astype(np.int32),
        }
        scale, zero = self.grid(name, rectified=rectified)
        inputs = [*x, f"{name}.w", f"{name}.w.scale", f"{name}.w.zero", scale, zero, f"{name}.b"]
        made = self.add("QLinearConv", inputs, f"{name}.coded", domain=RUNTIME, channels_last=1, **attributes)
        return Coded(made, scale, zero)

    def normed(self, x: str, norm: nn.Module, name: str) -> str:
        """Add a batch normalisation that is not folded, in 32 bits."""
        self.constants[f"{name}.gain"], self.constants[f"{name}.shift"] = scale_and_shift(norm)
        return self.add("Add", [self.add("Mul", [x, f"{name}.gain"], f"{name}.scaled"), f"{name}.shift"], f"{name}.32")

    def product(self, x: str, weights: Array, biases: Array, name: str) -> str:
        """Add a product of an input with weights ``(in, out)``, in 32 bits.

        In the smallest graph, weights and input have 8 bits, and the batch gives the range of the input.
        """
        self.constants[f"{name}.b"] = biases
        if not self.smallest:
            self.constants[f"{name}.w"] = weights
            return self.add("Add", [self.add("MatMul", [x, f"{name}.w"], f"{name}.product"), f"{name}.b"], name)
        steps = (np.maximum(np.abs(weights).max(0), 1e-12) / HALF_STEPS).astype(np.float32)
        self.constants |= {
            f"{name}.w": np.round(weights / steps).astype(np.int8),
            f"{name}.w.scale": steps,
            f"{name}.w.zero": np.zeros(len(steps), np.int8),
        }
        inputs = [x, f"{name}.w", f"{name}.w.scale", f"{name}.w.zero", f"{name}.b"]
        return self.add("DynamicQuantizeMatMul", inputs, name, domain=RUNTIME)

    def coded(self, x: str, name: str, *, rectified: bool) -> Coded:
        """Add the conversion from 32 to 8 bits, with the range of a module."""
        scale, zero = self.grid(name, rectified=rectified)
        return Coded(self.add("QuantizeLinear", [x, scale, zero], f"{name}.coded"), scale, zero)

    def plain(self, x: Coded) -> str:
        """Add the conversion from 8 to 32 bits."""
        return self.add("DequantizeLinear", list(x), f"{x.tensor}.plain")

    def grid(self, name: str, *, rectified: bool) -> tuple[str, str]:
        """Return scale and zero point of an activation; a rectified one has no values below 0."""
        low, high = self.ranges[name]
        low = 0.0 if rectified else min(low, 0.0)
        scale = max(high - low, 1e-6) / LEVELS
        self.constants[f"{name}.scale"] = np.array(scale, np.float32)
        self.constants[f"{name}.zero"] = np.array(round(-low / scale), np.uint8)
        return f"{name}.scale", f"{name}.zero"

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node whose output has the name of the node."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name
