"""Exports torch networks as ONNX graphs, checks and quantises the graphs, and merges several into one."""

import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx.compose
import torch
from torch import nn

from voxtrait import runtime
from voxtrait.errors import BundleError

OPSET: Final = 18
TOLERANCE: Final = 1e-4  # maximum difference of a logit


def to_onnx(network: nn.Module, shape: tuple[int, ...], *outputs: str, name: str = "picture") -> bytes:
    """Export a network as an ONNX graph with a variable batch size.

    Args:
        network: network that maps ``(n, *shape)`` to one array ``(n, …)`` per output.
        shape: shape of one input.
        outputs: names of the graph's outputs: tasks, whose arrays are logits, and ``embedding``.
        name: name of the graph's input.

    Returns:
        The serialised model.
    """
    network = network.cpu().eval()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            network,
            (torch.zeros(2, *shape),),
            input_names=[name],
            output_names=list(outputs),
            dynamic_shapes=({0: torch.export.Dim("n", min=1, max=65_536)},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _drop_sources(model)
    return bytes(model.SerializeToString())


def check_parity(network: nn.Module, graph: bytes, inputs: np.ndarray, *outputs: str, name: str = "picture") -> float:
    """Compare the outputs of graph and network for real inputs.

    Args:
        network: the network that was exported.
        graph: the serialised model.
        inputs: ``(n, …)``, float32.
        outputs: names of all outputs of the network.
        name: name of the graph's input.

    Returns:
        The largest absolute difference.

    Raises:
        BundleError: if it is more than 1e-4 (``TOLERANCE``).
    """
    with torch.no_grad():
        found = network.cpu().eval()(torch.from_numpy(inputs))
    expected = found if isinstance(found, tuple) else (found,)
    got = [run(graph, output, **{name: inputs}) for output in outputs]
    difference = max(float(np.abs(a - b.numpy()).max()) for a, b in zip(got, expected, strict=True))
    if not difference <= TOLERANCE:
        raise BundleError(
            f"The exported graph differs from the network by {difference:.2g}. Expected at most {TOLERANCE}."
        )
    return difference


def run(graph: bytes, output: str, **inputs: np.ndarray) -> np.ndarray:
    """Run a serialised graph and return one of its outputs."""
    return np.asarray(runtime.session(graph, threads=0).run([output], inputs)[0])


def quantise(model: onnx.ModelProto, kind: str, keep: Sequence[str] = ()) -> bytes:
    """Quantise the weights of layers to 8 bits, with one scale per unit; inputs are quantised at run time.

    Args:
        model: the graph.
        kind: operator of the layers: ``LSTM`` or ``MatMul``.
        keep: names of nodes that keep 32 bits.

    Returns:
        The serialised model, with the same inputs and outputs.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logger = logging.getLogger()  # the quantiser logs advice there
    before = logger.level
    logger.setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "small.onnx"
        quantize_dynamic(
            model,
            out,
            op_types_to_quantize=[kind],
            nodes_to_exclude=list(keep),
            per_channel=True,
            # 7 bits: with 8 bits, sums overflow on processors without VNNI instructions
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        logger.setLevel(before)
        return out.read_bytes()


def merge(graphs: Sequence[Path | bytes]) -> bytes:
    """Merge graphs with the same input into one graph with all of their outputs.

    Raises:
        BundleError: if their inputs differ.
    """
    models = [onnx.load_from_string(g) if isinstance(g, bytes) else onnx.load(g) for g in graphs]
    shapes = {str(model.graph.input[0].type) for model in models}
    parts = [
        onnx.compose.add_prefix(model, f"g{at}_", rename_inputs=False, rename_outputs=False)
        for at, model in enumerate(models)
    ]
    widths = [[d.dim_value for d in m.graph.input[0].type.tensor_type.shape.dim][1:] for m in models]
    if any(width != widths[0] for width in widths):
        raise BundleError(f"Got graphs with different inputs: {sorted(shapes)}. Expected the same input for all.")
    graph = onnx.helper.make_graph(
        [node for part in parts for node in part.graph.node],
        "voxtrait",
        [parts[0].graph.input[0]],
        [output for part in parts for output in part.graph.output],
        [tensor for part in parts for tensor in part.graph.initializer],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=models[0].ir_version
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _drop_sources(model: Any) -> None:
    """Remove stack traces and paths of the exporting machine, so that a bundle has the same bytes on every machine."""
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    del model.graph.metadata_props[:]
