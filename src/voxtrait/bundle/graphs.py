"""Checks serialised ONNX graphs before they are opened: no external data, unknown operators, subgraphs or false sizes.

ONNX Runtime is a large program in C++ that follows what a file says: it opens files named in it, takes memory for the
sizes that it states, and runs loops without end. So :func:`check` walks through the protocol buffer first, without the
package ``onnx``, and refuses what the graphs of a bundle never need. Anything ambiguous is refused too, because another
parser might read it in another way.

The numbers of the fields are those of ``onnx.proto`` (https://onnx.ai); a test compares them with the package ``onnx``.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from voxtrait.errors import BundleError

LARGEST: Final = 512 * 2**20  # bytes of a graph
MOST_FIELDS: Final = 2_000_000  # fields of the protocol buffer: the largest shipped graph has 20,000
MOST_DIMENSIONS: Final = 8  # of a tensor
MOST_LETTERS: Final = 4096  # bytes of a name
DOMAINS: Final = frozenset({"", "ai.onnx", "com.microsoft"})
CONTRIBUTED: Final = frozenset(
    {
        "BiasGelu",
        "DequantizeLinear",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeMatMul",
        "FastGelu",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "Gelu",
        "MatMulIntegerToFloat",
        "QGemm",
        "QLinearAdd",
        "QLinearAveragePool",
        "QLinearConcat",
        "QLinearConv",
        "QLinearGlobalAveragePool",
        "QLinearLeakyRelu",
        "QLinearMul",
        "QLinearReduceMean",
        "QLinearSigmoid",
        "QLinearSoftmax",
        "QuantizeLinear",
        "QuickGelu",
        "SkipLayerNormalization",
    }
)
"""Operators of ``com.microsoft`` that a graph may have: 8-bit and fused layers. Others open files or hold subgraphs."""
ITEM_BYTES: Final = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
"""Type of a tensor → bytes of one value. Texts, complex numbers and types of less than 8 bits are missing."""
FLOAT: Final = 1
FLATBUFFER: Final = b"ORTM"  # the other format of ONNX Runtime, which it recognises at byte 4

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH, _MODEL_OPSET, _MODEL_TRAINING, _MODEL_FUNCTION = 7, 8, 20, 25
_OPSET_DOMAIN = 1
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS = 5, 10
_ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (6, 11), (22, 23)
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_EXTERNAL, _TENSOR_PLACE = 1, 2, 8, 9, 13, 14
_TENSOR_TYPED, _TENSOR_SEGMENT, _TENSOR_TEXTS = (4, 5, 7, 10, 11), 3, 6
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TYPE_ITEM = 1, 2, 1, 1


class Interface(NamedTuple):
    """The names of a graph's inputs and outputs, all of them tensors of float32."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class _RefusedError(Exception):
    """The content is refused; the text says why, as the end of a sentence."""


def check(name: str, data: bytes) -> Interface:
    """Check a serialised graph without opening it.

    Args:
        name: name of the file, for the error message.
        data: content of the file.

    Returns:
        The names of its inputs, without those of constants, and of its outputs.

    Raises:
        BundleError: if the content is not a graph, is too large, has external data, operators of unknown domains,
            subgraphs, functions or sparse tensors, a tensor with more values than bytes, or an input or output that is
            not a tensor of float32.

    Examples:
        >>> check("model.onnx", b"not a graph")
        Traceback (most recent call last):
        ...
        voxtrait.errors.BundleError: model.onnx is refused: it is not a valid ONNX file (byte 1).
    """
    try:
        return _Walk(data).model()
    except _RefusedError as error:
        raise BundleError(f"{name} is refused: {error}.") from None


class _Walk:
    """One walk through a serialised model."""

    def __init__(self, data: bytes) -> None:
        if len(data) > LARGEST:
            raise _RefusedError(f"it has {len(data):,} bytes, and the limit is {LARGEST:,}")
        if data[4:8] == FLATBUFFER:
            raise _RefusedError("it is in the ORT format. Expected the ONNX format")
        self.data = data
        self.left = MOST_FIELDS
        self.plain: set[bytes] = set()  # attributes without tensors, many of which are repeated
        self.constants: set[str] = set()

    def model(self) -> Interface:
        inputs: list[str] = []
        outputs: list[str] = []
        is_graph = False
        for number, wire, at, end in self.fields(0, len(self.data)):
            if wire != _LENGTH:
                continue
            if number == _MODEL_GRAPH:
                is_graph = True
                self.graph(at, end, inputs, outputs)
            elif number == _MODEL_OPSET:
                self.opset(at, end)
            elif number == _MODEL_TRAINING:
                raise _RefusedError("it contains a graph for training")
            elif number == _MODEL_FUNCTION:
                raise _RefusedError("it defines functions")
        if not is_graph or not outputs:
            raise _RefusedError("it has no graph with an output")
        named = tuple(name for name in inputs if name not in self.constants)
        for kind, names in (("inputs", named), ("outputs", outputs)):
            if len({*names}) != len(names):
                raise _RefusedError(f"it has several {kind} of the same name")
        return Interface(named, tuple(outputs))

    def graph(self, at: int, end: int, inputs: list[str], outputs: list[str]) -> None:
        for number, wire, first, last in self.fields(at, end):
            if wire != _LENGTH:
                continue
            if number == _GRAPH_NODE:
                self.node(first, last)
            elif number == _GRAPH_TENSOR:
                self.constants.add(self.tensor(first, last))
            elif number == _GRAPH_INPUT:
                inputs.append(self.value(first, last))
            elif number == _GRAPH_OUTPUT:
                outputs.append(self.value(first, last))
            elif number == _GRAPH_SPARSE:
                raise _RefusedError("it has a sparse tensor")

    def opset(self, at: int, end: int) -> None:
        for number, wire, first, last in self.fields(at, end):
            if number == _OPSET_DOMAIN and wire == _LENGTH:
                self.domain(self.text(first, last))

    def domain(self, domain: str) -> None:
        if domain not in DOMAINS:
            raise _RefusedError(
                f"it has operators of the domain {_shown(domain)}. Expected only operators of ONNX and of com.microsoft"
            )

    def node(self, at: int, end: int) -> None:
        operator = domain = ""
        for number, wire, first, last in self.fields(at, end):
            if wire != _LENGTH:
                continue
            if number == _NODE_OPERATOR:
                operator = self.text(first, last)
            elif number == _NODE_DOMAIN:
                domain = self.text(first, last)
                self.domain(domain)
            elif number == _NODE_ATTRIBUTE:
                content = self.data[first:last] if last - first < 256 else b""
                if content not in self.plain:
                    self.attribute(first, last)
                    if content:
                        self.plain.add(content)
        if domain == "com.microsoft" and operator not in CONTRIBUTED:
            raise _RefusedError(f"it has the operator {_shown(operator)} of com.microsoft, which no bundle needs")

    def attribute(self, at: int, end: int) -> None:
        for number, wire, first, last in self.fields(at, end):
            if wire != _LENGTH:
                continue
            if number in _ATTRIBUTE_GRAPHS:
                raise _RefusedError("it has an operator with a graph inside, such as If, Loop or Scan")
            if number in _ATTRIBUTE_SPARSE:
                raise _RefusedError("it has a sparse tensor")
            if number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                self.tensor(first, last)

    def tensor(self, at: int, end: int) -> str:
        """Check a tensor, and return its name."""
        name, kind, raw, typed = "", 0, -1, 0
        shape: list[int] = []
        for number, wire, first, last in self.fields(at, end):
            if number == _TENSOR_SHAPE:
                shape += [first] if wire == _VARINT else self.varints(first, last) if wire == _LENGTH else []
            elif number == _TENSOR_TYPE and wire == _VARINT:
                kind = first & 0xFFFFFFFF
            elif number == _TENSOR_NAME and wire == _LENGTH:
                name = self.text(first, last)
            elif number == _TENSOR_RAW and wire == _LENGTH:
                raw = last - first
            elif number in _TENSOR_TYPED:
                typed += last - first if wire == _LENGTH else 8
            elif number == _TENSOR_EXTERNAL or (number == _TENSOR_PLACE and (wire != _VARINT or first)):
                raise _RefusedError(f"the values of {_shown(name)} are in another file")
            elif number in (_TENSOR_SEGMENT, _TENSOR_TEXTS):
                raise _RefusedError(f"{_shown(name)} is not an array of numbers")
        if kind not in ITEM_BYTES:
            raise _RefusedError(f"{_shown(name)} has values of the type {kind}. Expected numbers of 8 to 64 bits")
        if len(shape) > MOST_DIMENSIONS:
            raise _RefusedError(f"{_shown(name)} has {len(shape)} dimensions, and the limit is {MOST_DIMENSIONS}")
        count = 1
        for size in shape:
            count *= size
            if size > LARGEST or count > LARGEST:  # also a negative size, which is a large number here
                raise _RefusedError(f"{_shown(name)} states an impossible shape")
        if raw >= 0 and typed:
            raise _RefusedError(f"{_shown(name)} has its values twice")
        # a value has at least one byte
        if (raw >= 0 and raw != count * ITEM_BYTES[kind]) or (raw < 0 and count > typed):
            raise _RefusedError(
                f"{_shown(name)} states {count:,} values, and the file has {max(raw, typed):,} bytes of it"
            )
        return name

    def value(self, at: int, end: int) -> str:
        """Check an input or output, and return its name."""
        name, is_tensor = "", False
        for number, wire, first, last in self.fields(at, end):
            if number == _VALUE_NAME and wire == _LENGTH:
                name = self.text(first, last)
            elif number == _VALUE_TYPE and wire == _LENGTH:
                is_tensor = True
                for kind, form, start, stop in self.fields(first, last):
                    # another number is another type: a sequence, a map, an optional or a sparse value
                    is_tensor &= kind == _TYPE_TENSOR and form == _LENGTH and self.item(start, stop) == FLOAT
        if not is_tensor:
            raise _RefusedError(f"its input or output {_shown(name)} is not a tensor of float32")
        return name

    def item(self, at: int, end: int) -> int:
        kinds = [first for number, wire, first, _ in self.fields(at, end) if number == _TYPE_ITEM and wire == _VARINT]
        return kinds[-1] & 0xFFFFFFFF if kinds else 0

    def text(self, at: int, end: int) -> str:
        if end - at > MOST_LETTERS:
            raise _RefusedError(f"it has a name of {end - at:,} bytes, and the limit is {MOST_LETTERS:,}")
        return self.data[at:end].decode(errors="replace")

    def fields(self, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield the fields of a message: number, wire type, and start and end of the content, or a varint's value."""
        data = self.data
        while at < end:
            self.left -= 1
            if self.left < 0:
                raise _RefusedError(f"it has more than {MOST_FIELDS:,} fields")
            tag = data[at]
            if tag < 0x80:  # one byte, as almost always
                at += 1
            else:
                tag, at = self.varint(at, end)
            if not 7 < tag <= 0xFFFFFFFF:  # a parser with 32 bits would read another number
                raise self.damaged(at)
            wire, size = tag & 7, 0
            if wire == _VARINT:
                value, at = self.varint(at, end)
                yield tag >> 3, wire, value, 0
                continue
            if wire == _LENGTH:
                if at < end and data[at] < 0x80:
                    size, at = data[at], at + 1
                else:
                    size, at = self.varint(at, end)
            elif wire in (_FIXED32, _FIXED64):
                size = 4 if wire == _FIXED32 else 8
            else:
                raise self.damaged(at)
            if size > end - at:
                raise self.damaged(at)
            yield tag >> 3, wire, at, at + size
            at += size

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """Return the number of at most 64 bits at a place, and the place after it."""
        value = shift = 0
        while at < end and shift < 70:
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
        raise self.damaged(at)

    def varints(self, at: int, end: int) -> list[int]:
        """Return packed numbers: of a shape, so more than a few are refused."""
        found: list[int] = []
        while at < end and len(found) <= MOST_DIMENSIONS:
            value, at = self.varint(at, end)
            found.append(value)
        return found

    def damaged(self, at: int) -> _RefusedError:
        return _RefusedError(f"it is not a valid ONNX file (byte {at:,})")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")
