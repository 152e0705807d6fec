"""Rewrites the graph of Silero VAD for speed, with the same weights, for ``voxtrait.speech.network``.

python benchmarks/speech_graph.py silero_vad_16k_sequence.onnx src/voxtrait/speech/silero_vad_16k_spectra.onnx

The input is ``silero_vad/data/silero_vad_16k_sequence.onnx`` of the wheel silero-vad 6.2.3 (PyPI, MIT). Changes:

- The convolution with a Fourier basis of 258 × 256 numbers is removed: the input of the new graph is the magnitudes of
  a fast Fourier transform. The basis is compared with that transform.
- The four convolutions over four, four, two and one columns become one matrix product each. Taps that always multiply
  padding are removed.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SOURCE_SHA256 = "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85"
FFT = 256


class Graph:
    """Nodes and constants of a graph under construction."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, values):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind, inputs, *outputs, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, list(outputs), name=outputs[0], **attributes))
        return outputs[0]

    def integers(self, name, *values):
        return self.constant(name, np.array(values, np.int64))

    def dense(self, inputs, name, weight, bias, follow="Relu"):
        product = [inputs, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        return self.node(follow, [self.node("Gemm", product, f"{name}.sum")], name)


def as_matrix(weight, columns, stride):
    """Return a convolution of width 3 and padding 1 as a matrix ``(columns * inputs, columns / stride * outputs)``."""
    outputs, inputs, width = weight.shape
    out = (columns - 1) // stride + 1
    matrix = np.zeros((columns, inputs, out, outputs), np.float32)
    for place in range(out):
        for tap in range(width):
            if 0 <= place * stride + tap - 1 < columns:
                matrix[place * stride + tap - 1, :, place, :] = weight[:, :, tap].T
    return matrix.reshape(columns * inputs, out * outputs)


def check_basis(basis):
    """Check that the spectrum of the graph is the Hann-windowed transform that ``network`` computes."""
    turns = np.arange(FFT // 2 + 1)[:, None] * np.arange(FFT) / FFT
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)
    expected = np.concatenate([np.cos(2 * np.pi * turns), -np.sin(2 * np.pi * turns)]) * hann
    error = float(np.abs(basis[:, 0] - expected).max())
    if error > 1e-6:
        raise SystemExit(f"The basis differs from a Hann-windowed Fourier transform by {error:.1e}. Expected 1e-6.")


def rewrite(source):
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in source.graph.initializer}
    check_basis(weights["stft.forward_basis_buffer"])
    graph = Graph()
    # the first layer is the widest: its three taps are concatenated, so that no product multiplies the padding
    graph.node("Pad", ["spectra", graph.integers("pads", 0, 1, 0, 0, 1, 0)], "padded")
    axis = graph.integers("axis", 1)
    taps = [
        graph.node(
            "Slice", ["padded", graph.integers(f"first{t}", t), graph.integers(f"last{t}", t + 4), axis], f"tap{t}"
        )
        for t in range(3)
    ]
    graph.node("Concat", taps, "taps", axis=2)
    graph.node("Reshape", ["taps", graph.integers("columns", -1, 3 * 129)], "flat")
    wide = weights["encoder.0.weight"].transpose(2, 1, 0).reshape(3 * 129, 128)
    graph.dense("flat", "encoder.0", wide, weights["encoder.0.bias"])
    hidden = graph.node("Reshape", ["encoder.0", graph.integers("frames", -1, 4 * 128)], "encoder.0.frames")
    for layer, columns, stride in ((1, 4, 2), (2, 2, 2), (3, 1, 1)):
        matrix = as_matrix(weights[f"encoder.{layer}.weight"], columns, stride)
        bias = np.tile(weights[f"encoder.{layer}.bias"], (columns - 1) // stride + 1)
        hidden = graph.dense(hidden, f"encoder.{layer}", matrix, bias)
    graph.node("Unsqueeze", [hidden, axis], "sequence")
    recurrent = [graph.constant(name, weights[f"onnx::LSTM_{n}"]) for name, n in (("W", 209), ("R", 210), ("B", 211))]
    graph.node("LSTM", ["sequence", *recurrent, "", "h", "c"], "remembered", "hn", "cn", hidden_size=128)
    graph.node("Relu", ["remembered"], "remembered.relu")
    graph.node("Reshape", ["remembered.relu", graph.integers("vectors", -1, 128)], "vectors.flat")
    graph.dense("vectors.flat", "output", weights["output.weight"][0], weights["output.bias"], follow="Sigmoid")
    graph.node("Reshape", ["output", graph.integers("row", -1)], "speech_probs")

    def value(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    state = (1, 1, 128)
    body = helper.make_graph(
        graph.nodes,
        "silero_vad_16k_spectra",
        [value("spectra", "frames", 4, 129), value("h", *state), value("c", *state)],
        [value("speech_probs", "frames"), value("hn", *state), value("cn", *state)],
        graph.constants,
        doc_string="Silero VAD 6.2.3, MIT, (c) Silero Team; rewritten by voxtrait, benchmarks/speech_graph.py",
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 16)], ir_version=8, producer_name="voxtrait")
    onnx.checker.check_model(model)
    return model


def main():
    source, target = map(Path, sys.argv[1:])
    data = source.read_bytes()
    if hashlib.sha256(data).hexdigest() != SOURCE_SHA256:
        raise SystemExit(f"{source} is not the published graph. Expected the SHA-256 {SOURCE_SHA256}.")
    onnx.save(rewrite(onnx.load_from_string(data)), target)
    print(f"{target}: SHA-256 {hashlib.sha256(target.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
