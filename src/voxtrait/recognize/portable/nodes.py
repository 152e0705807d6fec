"""Builds ONNX graphs node by node, and joins them with finished graphs."""

import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import onnx.compose
import onnx.numpy_helper
import onnx.version_converter
from onnx import TensorProto, helper

from voxtrait.speech import network

OPSET: Final = 18  # of the bundles' graphs too
IR: Final = 10
CONTRIB: Final = "com.microsoft"  # operators of ONNX Runtime, which the encoders use
LARGE: Final = 4096  # values from which it is worth storing a constant as float16
KINDS: Final = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}

Value = str | float | int | npt.NDArray[Any]
"""The name of a value in the graph, or a constant."""
Shape = Sequence[int | str]


class Nodes:
    """A graph that grows by one node a call.

    A call names the operator, its inputs and its attributes, and returns the name of the output. An input is the name
    of another value or a constant. A plain float is a float32 constant, and a plain int an int64 constant.

    Examples:
        >>> nodes = Nodes()
        >>> nodes.take("x", np.float32, ["n"])
        'x'
        >>> nodes.give("twice", nodes("Mul", "x", 2.0), np.float32, ["n"])
        >>> len(nodes.model().graph.node)
        2
    """

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._count = 0

    def __call__(self, kind: str, *inputs: Value, **attributes: Any) -> str:
        """Add a node with one output, and return the name of this output."""
        return self.several(kind, 1, *inputs, **attributes)[0]

    def several(self, kind: str, outputs: int, *inputs: Value, **attributes: Any) -> list[str]:
        """Add a node with several outputs, and return their names."""
        names = [one if isinstance(one, str) else self.constant(one) for one in inputs]
        given = [self._name(kind.lower()) for _ in range(outputs)]
        self._nodes.append(helper.make_node(kind, names, given, name=given[0], **attributes))
        return given

    def constant(self, value: float | int | npt.NDArray[Any]) -> str:
        """Add a constant, and return its name."""
        if not isinstance(value, np.ndarray):
            value = np.array(value, np.float32 if isinstance(value, float) else np.int64)
        name = self._name("constant")
        self._constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        return name

    def take(self, name: str, kind: npt.DTypeLike, shape: Shape) -> str:
        """Add an input of the graph, and return its name."""
        self._inputs.append(helper.make_tensor_value_info(name, KINDS[np.dtype(kind)], shape))
        return name

    def give(self, name: str, value: str, kind: npt.DTypeLike, shape: Shape) -> None:
        """Add an output of the graph that has a value."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(helper.make_tensor_value_info(name, KINDS[np.dtype(kind)], shape))

    def include(self, graph: bytes, inputs: Mapping[str, str], *, halved: bool = False) -> dict[str, str]:
        """Add all nodes of a finished graph.

        Args:
            graph: the serialised model.
            inputs: name of each of its inputs → name of the value that it gets here.
            halved: store its large float32 constants as float16. The graph still computes with float32.

        Returns:
            Name of each of its outputs → name of its value here.
        """
        model = onnx.load_from_string(graph)
        if next(one.version for one in model.opset_import if not one.domain) < OPSET:
            model = onnx.version_converter.convert_version(model, OPSET)
        prefix = self._name("included") + "/"
        part = onnx.compose.add_prefix(model, prefix).graph
        for name, value in inputs.items():
            self._nodes.append(helper.make_node("Identity", [value], [prefix + name], name=prefix + name))
        used = {name for node in part.node for name in node.input}
        for one in part.initializer:
            if one.name in used:  # others make the runtime warn
                self._keep(one, halved)
        self._nodes.extend(part.node)
        return {one.name.removeprefix(prefix): one.name for one in part.output}

    def _keep(self, constant: Any, halved: bool) -> None:
        """Add a constant of a finished graph under its own name, as float16 if it is large and should be halved."""
        values = onnx.numpy_helper.to_array(constant)
        if halved and values.dtype == np.float32 and values.size >= LARGE:
            stored = self.constant(values.astype(np.float16))
            self._nodes.append(
                helper.make_node("Cast", [stored], [constant.name], name=constant.name, to=KINDS[values.dtype])
            )
        else:
            self._constants.append(constant)

    def shape(self, value: str, axis: int = 0) -> str:
        """Return the length of an axis, an int64 scalar."""
        return self("Squeeze", self("Shape", value, start=axis, end=axis + 1))

    def row(self, *sizes: Value) -> str:
        """Join int64 scalars to a vector, such as a shape."""
        parts = [self("Unsqueeze", one, np.array([0])) for one in sizes]
        return parts[0] if len(parts) == 1 else self("Concat", *parts, axis=0)

    def part(self, value: str, start: Value, stop: Value, axis: int = 0) -> str:
        """Return ``value[start:stop]`` along an axis; the ends are int64 scalars."""
        return self("Slice", value, self.row(start), self.row(stop), np.array([axis]))

    def whole(self, value: str, kind: int = TensorProto.FLOAT) -> str:
        """Convert a value to another type."""
        return self("Cast", value, to=kind)

    def model(self) -> Any:
        """Return the checked graph as an ``onnx.ModelProto``."""
        graph = helper.make_graph(self._nodes, "voxtrait", self._inputs, self._outputs, self._constants)
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == CONTRIB for node in self._nodes):
            opsets.append(helper.make_opsetid(CONTRIB, 1))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="voxtrait")
        onnx.checker.check_model(model)
        return model

    def serialised(self) -> bytes:
        """Return the checked graph as the content of a file."""
        return bytes(self.model().SerializeToString())

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"


def packaged(graph: str) -> bytes:
    """Return a graph of :mod:`voxtrait.speech`, for :meth:`Nodes.include`."""
    return importlib.resources.files(network.PACKAGE).joinpath(graph).read_bytes()
