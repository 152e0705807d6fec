"""Writes CAM++, or a smaller network of its kind, as an ONNX graph in 8 bits, equal on all processors.

Weights have 8 bits with a scale for each output channel, activations 8 bits with a range measured on real speech
(Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR
2018). Batch normalisations are folded into the preceding convolution. A layer of a densely connected block has no
preceding convolution. There the normalisation is a product and a sum in 32 bits, and the following quantiser replaces
the rectifier: negative values become 0. Channels are always the last axis, as the runtime's 8-bit convolutions need.
Only the input is transposed.

A rounding error of 1e-7 before a quantiser can change a code, and 50 layers make a difference of a year from one such
code. So no sum before the last quantiser is rounded: all terms are whole numbers, and sums stay below 2^24, which
floats of 32 bits represent exactly in any order of addition. Single products, quotients and sums are rounded the same
way everywhere (IEEE 754). The sigmoid, which is not, is a table. Processors of the x86 family without VNNI add the
products of two neighbouring channels with 16 bits: where their sum could overflow, a channel's weights have fewer
steps.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from voxtrait import runtime
from voxtrait.errors import BundleError
from voxtrait.features import Array
from voxtrait.training.voices import campplus
from voxtrait.training.voices.campplus import CamPlus, DenseLayer
from voxtrait.training.voices.weights import folded, largest_pairs, scale_and_shift, values

OPSET: Final = 18
RUNTIME: Final = "com.microsoft"  # domain of the runtime's own operators
STEPS: Final = 127  # quantisation steps of a weight on each side of 0
LEVELS: Final = 255  # quantisation steps of an activation
PAIR: Final = (1 << 15) - 1 - LEVELS  # largest sum of two products before weights are rounded: then it fits 16 bits
MARGIN: Final = 1.25  # largest code that is expected in other speech, as a multiple of the largest one seen
EXACT: Final = 1 << 24  # whole numbers up to this are exact in 32 bits
INPUT_STEPS: Final = 64  # steps of the input per unit of its natural logarithm
INPUT_MOST: Final = 32  # maximum absolute input, so that it is a whole number of 11 bits
SHARES: Final = 1 << 15  # steps of the weight of a step in a mean
FIDELITY: Final = 0.98  # minimum mean correlation of summaries before and after quantisation
Ranges = Mapping[str, tuple[float, float]]


class Coded(NamedTuple):
    """Names of a tensor in 8 bits, its scale and its zero."""

    tensor: str
    scale: str
    zero: str


def graph(network: CamPlus, seen: list[Array], real: list[Array]) -> bytes:
    """Write a network as a graph in 8 bits.

    Args:
        network: trained network.
        seen: windows ``(n, frames, bands)`` of training speakers, which give the range of every activation.
        real: windows for checking the graph.

    Returns:
        The serialised model: input ``windows`` ``(n, frames, bands)`` of any length, output ``summary`` ``(n,
        192 + 2 * summarised)``: speaker embedding, mean and spread over time of the summarised channels.

    Raises:
        BundleError: if the summaries of graph and network correlate by less than 0.98 (``FIDELITY``).
    """
    ranges = campplus.ranges_of(network, seen)
    model = Assembly(network, ranges, peaks_of(Assembly(network, ranges).model(), seen)).model()
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


def peaks_of(model: onnx.ModelProto, seen: list[Array]) -> dict[str, Array]:
    """Return the largest code of each input channel of each convolution in 8 bits, with a margin: ``(channels,)``.

    The key is the name of the convolution's output.
    """
    inputs = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "QLinearConv"}
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    names = sorted(set(inputs.values()))
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.UINT8, None) for name in names)
    session = runtime.session(watched.SerializeToString(), threads=0)
    largest = dict.fromkeys(names, np.float32(0))
    for windows in seen:
        for name, codes in zip(names, session.run(names, {"windows": windows}), strict=True):
            largest[name] = np.maximum(largest[name], codes.reshape(-1, codes.shape[-1]).max(0))
    return {node: np.minimum(MARGIN * largest[name] + 1, LEVELS) for node, name in inputs.items()}


class Assembly:
    """Builds the nodes and constants of a graph.

    Args:
        network: trained network.
        ranges: name of a module → range of its activations.
        peaks: result of :func:`peaks_of`.
    """

    def __init__(self, network: CamPlus, ranges: Ranges, peaks: Mapping[str, Array] | None = None) -> None:
        self.network, self.ranges, self.peaks = network, ranges, peaks or {}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, npt.NDArray[Any]] = {}
        for number in (0, 1):
            self.constants |= {f"{number}": np.array([number]), f"{number}.scalar": np.array(number)}

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
        matrices = self.segments(x) if shape.segment else None
        for at, (block, norm, half) in enumerate(zip(network.blocks, network.norms, network.transitions, strict=True)):
            for layer, module in enumerate(block):
                name = f"blocks.{at}.{layer}"
                x = self.add("Concat", [x, self.layer(x, module, name, matrices)], f"{name}.joined", axis=2)
            dense = self.coded(self.normed(x, norm, f"norms.{at}"), f"norms.{at}", rectified=True)
            last = at == len(network.blocks) - 1
            weights, biases = folded(half, network.last_norm if last else None)
            name = "last_norm" if last else f"transitions.{at}"
            x = self.plain(self.convolution(dense, name, weights, biases, rectified=last))
        found = self.statistics(x, "last")
        voice = self.voice(self.add("Concat", found, "last", axis=1))
        found = found if shape.transited else self.statistics(self.plain(dense), "dense")
        self.add("Concat", [voice, *found], "summary", axis=1)
        made = helper.make_graph(
            self.nodes,
            "speaker encoder",
            [helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["n", "frames", shape.bands])],
            [helper.make_tensor_value_info("summary", TensorProto.FLOAT, ["n", shape.summary])],
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
        picture = self.add("Unsqueeze", [self.whole("windows"), "1"], "picture")
        weights, biases = folded(front.first, front.first_norm)
        # one step for all channels: as many steps as whole numbers allow
        most = np.abs(weights).reshape(len(weights), -1).sum(1) * INPUT_MOST + np.abs(biases)
        step = float(most.max()) * INPUT_STEPS / (EXACT - INPUT_MOST * INPUT_STEPS * weights[0].size)
        self.constants |= {
            "front.first.w": np.round(weights.transpose(0, 1, 3, 2) / step).astype(np.float32),
            "front.first.b": np.round(biases * INPUT_STEPS / step).astype(np.float32),
        }
        inputs = [picture, "front.first.w", "front.first.b"]
        found = self.add("Conv", inputs, "front.first", pads=pads, strides=[1, self.network.shape.first])
        x = self.coded(found, "front.first_norm", rectified=True, unit=step / INPUT_STEPS)
        x = x._replace(tensor=self.add("Transpose", [x.tensor], "front.channels_last", perm=[0, 2, 3, 1]))
        for at, block in enumerate(front.blocks):
            name, strides = f"front.blocks.{at}", [1, block.first.stride[0]]
            y = self.plane(x, f"{name}.first_norm", block.first, block.first_norm, strides=strides, pads=pads)
            y = self.plane(y, f"{name}.second_norm", block.second, block.second_norm, rectified=False, pads=pads)
            if block.shortcut is not None:
                x = self.plane(
                    x, f"{name}.shortcut_norm", block.shortcut, block.shortcut_norm, rectified=False, strides=strides
                )
            # not Add: ONNX Runtime would fuse it into QLinearAdd, which is rounded differently on some processors
            x = self.coded(self.add("Sum", [self.plain(y), self.plain(x)], f"{name}.32"), name)
        strides = [1, front.last.stride[0]]
        x = self.plane(x, "front.last_norm", front.last, front.last_norm, strides=strides, pads=pads)
        self.constants["flat"] = np.array([0, -1, self.network.shape.flat])
        return x._replace(tensor=self.add("Reshape", [x.tensor, "flat"], "front"))

    def whole(self, windows: str) -> str:
        """Add the conversion of the input to whole numbers, in steps of 1 / ``INPUT_STEPS``."""
        most = INPUT_MOST * INPUT_STEPS - 1
        numbers = {"input.steps": INPUT_STEPS, "input.low": -most, "input.high": most}
        self.constants |= {name: np.array(number, np.float32) for name, number in numbers.items()}
        scaled = self.add("Mul", [windows, "input.steps"], "input.scaled")
        return self.add("Round", [self.add("Clip", [scaled, "input.low", "input.high"], "input.clipped")], "input")

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
        context = self.context(coded, f"{name}.context", matrices)
        weights, biases = values(module.context.weight)[..., None], values(module.context.bias)
        context = self.convolution(context, f"{name}.context", weights, biases)
        weights, biases = values(module.mask.weight)[..., None], values(module.mask.bias)
        mask = self.sigmoid(self.convolution(context, f"{name}.mask", weights, biases, rectified=False))
        if matrices:
            mask = self.add("MatMul", [matrices[1], mask], f"{name}.mask.steps")
        return self.add("Mul", [self.plain(local), mask], f"{name}.masked")

    def context(self, x: Coded, name: str, matrices: tuple[str, str] | None) -> Coded:
        """Add the sum of the means over each segment and over all steps, ``(n, steps, c)`` → ``(n, segments, c)``."""
        unit = float(self.constants[x.scale])
        if matrices:
            codes = self.add("Cast", [x.tensor], f"{name}.codes", to=TensorProto.FLOAT)  # whole numbers
            means = self.add("MatMul", [matrices[0], codes], f"{name}.means")
            return self.coded(means, f"{name}.input", unit=unit / SHARES)
        # both means are the same: the sum has twice the scale
        scale, zero = self.grid(f"{name}.input", rectified=True)
        self.constants[f"{name}.half"] = np.array(self.constants[scale] / 2, np.float32)
        inputs = [*x, f"{name}.half", zero]
        pooled = self.add("QLinearGlobalAveragePool", inputs, f"{name}.means", domain=RUNTIME, channels_last=1)
        return Coded(pooled, scale, zero)

    def segments(self, x: str, name: str = "segments") -> tuple[str, str]:
        """Add the matrices that :meth:`layer` needs, for any number of steps of ``x`` ``(n, steps, …)``.

        Returns:
            Averages ``(segments, steps)``, whose product with features is ``SHARES`` times the sum of their means over
            each segment and over all steps, as whole numbers; and members ``(steps, segments)``, 1 where a step belongs
            to a segment.
        """
        steps = self.add("Squeeze", [self.add("Shape", [x], f"{name}.shape", start=1, end=2)], f"{name}.steps")
        many = self.add("Cast", [steps], f"{name}.float", to=TensorProto.FLOAT)
        self.constants[f"{name}.length"] = np.array(self.network.shape.segment)
        self.constants |= {"1.float": np.array(1, np.float32), "shares": np.array(SHARES, np.float32)}
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
        both = self.add("Add", [near, self.add("Div", ["1.float", many], f"{name}.overall")], f"{name}.both")
        averages = self.add("Round", [self.add("Mul", [both, "shares"], f"{name}.shares")], f"{name}.averages")
        return averages, self.add("Transpose", [members], f"{name}.by_step", perm=[1, 0])

    def statistics(self, x: str, name: str) -> list[str]:
        """Add mean and standard deviation over time, ``(n, steps, width)`` → ``(n, width)`` each."""
        steps = self.add("Squeeze", [self.add("Shape", [x], f"{name}.shape", start=1, end=2)], f"{name}.steps")
        fewer = self.add("Max", [self.add("Sub", [steps, "1.scalar"], f"{name}.fewer"), "1.scalar"], f"{name}.most")
        mean = self.add("ReduceMean", [x, "1"], f"{name}.mean")
        away = self.add("Sub", [x, mean], f"{name}.away")
        squares = self.add(
            "ReduceSum", [self.add("Mul", [away, away], f"{name}.squares"), "1"], f"{name}.sum", keepdims=0
        )
        divisor = self.add("Cast", [fewer], f"{name}.divisor", to=TensorProto.FLOAT)
        spread = self.add("Sqrt", [self.add("Div", [squares, divisor], f"{name}.variance")], f"{name}.spread")
        return [self.add("Squeeze", [mean, "1"], f"{name}.mean.flat"), spread]

    def voice(self, found: str) -> str:
        """Add the speaker embedding, ``(n, 2 * width)`` → ``(n, 192)``: weights of 8 bits, sums of 32 bits.

        It is linear, so the mean of the windows' embeddings is the embedding of their mean.
        """
        norm: Any = self.network.embedding_norm
        gain = 1 / np.sqrt(values(norm.running_var) + norm.eps)
        weights = (values(self.network.embedding.weight) * gain[:, None]).T
        steps = (np.maximum(np.abs(weights).max(0), 1e-12) / STEPS).astype(np.float32)
        self.constants |= {
            "voice.w": np.round(weights / steps).astype(np.int8),
            "voice.w.scale": steps,
            "voice.b": (-values(norm.running_mean) * gain).astype(np.float32),
        }
        whole = self.add("Cast", ["voice.w"], "voice.w.32", to=TensorProto.FLOAT)
        product = self.add("MatMul", [found, whole], "voice.product")
        return self.add("Add", [self.add("Mul", [product, "voice.w.scale"], "voice.scaled"), "voice.b"], "voice")

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
        steps = np.maximum(largest, 1e-12) / STEPS
        if f"{name}.coded" in self.peaks:
            steps = np.maximum(steps, largest_pairs(weights, self.peaks[f"{name}.coded"]) / PAIR)
        steps = steps.astype(np.float32)
        rounded = np.round(weights / steps.reshape(-1, *[1] * (weights.ndim - 1))).astype(np.int8)
        self.constants |= {
            f"{name}.w": rounded,
            f"{name}.w.scale": steps,
            "w.zero": np.array(0, np.int8),
            f"{name}.b": np.clip(np.round(biases / (self.constants[x.scale] * steps)), -EXACT, EXACT).astype(np.int32),
        }
        scale, zero = self.grid(name, rectified=rectified)
        inputs = [*x, f"{name}.w", f"{name}.w.scale", "w.zero", scale, zero, f"{name}.b"]
        made = self.add("QLinearConv", inputs, f"{name}.coded", domain=RUNTIME, channels_last=1, **attributes)
        return Coded(made, scale, zero)

    def normed(self, x: str, norm: nn.Module, name: str) -> str:
        """Add a batch normalisation that is not folded, in 32 bits."""
        self.constants[f"{name}.gain"], self.constants[f"{name}.shift"] = scale_and_shift(norm)
        return self.add("Add", [self.add("Mul", [x, f"{name}.gain"], f"{name}.scaled"), f"{name}.shift"], f"{name}.32")

    def coded(self, x: str, name: str, *, rectified: bool = True, unit: float = 1) -> Coded:
        """Add the conversion from 32 to 8 bits, with the range of a module.

        Args:
            x: the input.
            name: name of the module.
            rectified: whether negative values become 0.
            unit: value of 1 in the input.
        """
        scale, zero = self.grid(name, rectified=rectified)
        divisor = scale
        if unit != 1:
            divisor = f"{scale}.units"
            self.constants[divisor] = np.array(self.constants[scale] / unit, np.float32)
        return Coded(self.add("QuantizeLinear", [x, divisor, zero], f"{name}.coded"), scale, zero)

    def plain(self, x: Coded) -> str:
        """Add the conversion from 8 to 32 bits."""
        return self.add("DequantizeLinear", list(x), f"{x.tensor}.plain")

    def sigmoid(self, x: Coded) -> str:
        """Add the sigmoid of a tensor in 8 bits, as a table, ``x`` → 32 bits."""
        values = float(self.constants[x.scale]) * (np.arange(LEVELS + 1.0) - float(self.constants[x.zero]))
        self.constants[f"{x.tensor}.table"] = (1 / (1 + np.exp(-values))).astype(np.float32)
        at = self.add("Cast", [x.tensor], f"{x.tensor}.at", to=TensorProto.INT32)
        return self.add("Gather", [f"{x.tensor}.table", at], f"{x.tensor}.open")

    def grid(self, name: str, *, rectified: bool) -> tuple[str, str]:
        """Return scale and zero point of an activation; a rectified one has no values below 0."""
        low, high = self.ranges[name]
        low = 0.0 if rectified else min(low, 0.0)
        scale = max(high - low, 1e-6) / LEVELS
        self.constants[f"{name}.scale"] = np.array(scale, np.float32)
        self.constants[f"{name}.zero"] = np.array(round(-low / scale), np.uint8)
        return f"{name}.scale", f"{name}.zero"

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node with one output; nodes have no names of their own, so that the graph is smaller."""
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name
