"""The fast speaker encoder: the large one's three layers at a quarter of the steps.

A recurrent layer need not look every 10 ms. The fast encoder takes a step every 40 ms, over the power and the log power
of two columns 20 ms apart. It starts from the large encoder's own weights: those of its input halved, for there are two
columns, and the biases of its gates moved by what a slower clock asks for (Tallec & Ollivier, "Can recurrent neural
networks warp time?", ICLR 2018: a gate that lets a share through at each step must let more through at fewer steps).
From there ``training/distillation/encoder.py`` brings it near to the large encoder.

All three layers work in 8 bits: what the first one sees is held within :data:`LIMIT`, and the log power says of quiet
bands what 8 bits of power cannot.
"""

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from voxtrait.errors import BundleError
from voxtrait.features import fast_encoder_front_end
from voxtrait.training import export
from voxtrait.training.voices.encoder import LAYERS, PARITY, PRETRAINED, UNITS, Assembly, SpeakerEncoder, summary

TAUGHT: Final = PRETRAINED | {"name": f"fast encoder of voxtrait, taught by the {PRETRAINED['name']}"}
COLUMNS: Final = 2  # of a window that a step looks at
SLOWER: Final = 4  # times than the large encoder's clock
LIMIT: Final = 4.0  # what a step sees lies between -LIMIT and LIMIT
LOUDER: Final = 4.0  # times that power is scaled up: 99.9 % of it is below LIMIT then
ROUNDING: Final = 0.022  # what 8 bits make of that range
FIDELITY: Final = 0.99  # cosine of embeddings after quantisation; heads learn from what the quantised graph puts out
WARPED: Final = 0.5  # share of the move of the biases: measured, on windows of real speech, among 0, 0.5, 0.7 and 1


class FastEncoder(nn.Module):
    """Windows of log-mel power → states of the top layer every 40 ms, and summaries.

    Args:
        large: the encoder to start from; ``None`` leaves the weights to chance.
    """

    def __init__(self, large: SpeakerEncoder | None = None) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        bands = fast_encoder_front_end().n_mels
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("scale", torch.ones(bands))
        self.lstm = nn.LSTM(2 * COLUMNS * bands, UNITS, LAYERS, batch_first=True)
        self.linear = nn.Linear(UNITS, UNITS)
        if large is not None:
            self._start_from(large)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Map windows ``(n, 80, 40)`` to states ``(n, 40, 256)`` and summaries ``(n, 768)``."""
        wide = (len(windows), -1, COLUMNS * windows.shape[2])
        power = torch.clamp(LOUDER * torch.exp(windows), max=LIMIT).reshape(wide)
        logs = torch.clamp((windows - self.mean) / self.scale, -LIMIT, LIMIT).reshape(wide)
        steps = torch.cat([power, logs], 2)
        if self.training:  # learn with the error that rounding to 8 bits will make
            steps = steps + (torch.rand_like(steps) - 0.5) * ROUNDING
        states, _ = self.lstm(steps)
        with torch.autocast(states.device.type, enabled=False):  # a spread of bfloat16 would be a spread of roundings
            return states, summary(states.float(), self.linear)

    def _start_from(self, large: SpeakerEncoder) -> None:
        weights = dict(large.lstm.state_dict())
        power = weights["weight_ih_l0"] / (COLUMNS * LOUDER)
        weights["weight_ih_l0"] = torch.cat([power] * COLUMNS + [torch.zeros_like(power)] * COLUMNS, 1)
        move = WARPED * math.log(SLOWER)
        for layer in range(LAYERS):
            bias = weights[f"bias_ih_l{layer}"] = weights[f"bias_ih_l{layer}"].clone()
            bias[:UNITS] += move  # the input gate lets more in
            bias[UNITS : 2 * UNITS] -= move  # the forget gate keeps less
        self.lstm.load_state_dict(weights)
        self.linear.load_state_dict(large.linear.state_dict())


def assembled(encoder: FastEncoder) -> onnx.ModelProto:
    """Write the encoder as a graph, in 32 bits."""
    front_end = fast_encoder_front_end()
    parts = Assembly(front_end.input_shape)
    parts.constants["wide"] = np.array([0, front_end.columns // COLUMNS, COLUMNS * front_end.n_mels])
    for name, value in (("low", -LIMIT), ("high", LIMIT), ("louder", LOUDER)):
        parts.constants[name] = np.array(value, np.float32)
    parts.constants |= {"band_mean": encoder.mean.numpy(), "band_scale": (1 / encoder.scale).numpy()}
    power = parts.add(
        "Min", [parts.add("Mul", [parts.add("Exp", ["windows"], "exp"), "louder"], "scaled"), "high"], "power"
    )
    moved = parts.add("Mul", [parts.add("Sub", ["windows", "band_mean"], "centred"), "band_scale"], "moved")
    logs = parts.add("Clip", [moved, "low", "high"], "logs")
    wide = [parts.add("Reshape", [one, "wide"], f"{one}_wide") for one in (power, logs)]
    return parts.finish(parts.add("Concat", wide, "steps", axis=2), encoder.lstm.state_dict(), encoder.linear)


def graph(encoder: FastEncoder, real: npt.NDArray[np.float32]) -> bytes:
    """Write the encoder as a graph, its layers in 8 bits.

    Args:
        encoder: with its weights.
        real: ``(n, 80, 40)``, windows of real speech to check the graph with.

    Returns:
        The serialised model: input ``windows`` ``(n, 80, 40)``, output ``summary`` ``(n, 768)``.

    Raises:
        BundleError: if the graph differs from the encoder by more than
            :data:`~voxtrait.training.voices.encoder.PARITY`, or its quantised form by more
            than :data:`FIDELITY` allows.
    """
    whole = assembled(encoder)
    with torch.no_grad():
        expected: Any = encoder(torch.from_numpy(real))[1].numpy()
    difference = float(np.abs(export.run(whole.SerializeToString(), "summary", windows=real) - expected).max())
    if not difference <= PARITY:
        raise BundleError(f"the fast encoder's graph differs by {difference:.2g}, expected at most {PARITY}")
    small = export.quantise(whole, "LSTM")
    cosine = float((export.run(small, "summary", windows=real)[:, :UNITS] * expected[:, :UNITS]).sum(1).mean())
    if not cosine >= FIDELITY:
        raise BundleError(f"embeddings after quantisation have a cosine of {cosine:.4f}, expected {FIDELITY} or more")
    return small
