"""Computes the probability of speech for each 32 ms with the network of Silero VAD 6.2.3.

Source: https://github.com/snakers4/silero-vad. The weights are Silero's, MIT, unchanged; ``benchmarks/speech_graph.py``
rewrote the published graph around them. Here, a fast Fourier transform replaces the convolution that computes the
short-time spectrum, and matrix products replace the convolutions over four columns. The probabilities are the same to
1e-5, five times as fast.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from voxtrait import runtime
from voxtrait.audio.signals import Signal

Array = npt.NDArray[np.float32]

FRAME: Final = 512  # samples at 16 kHz for one probability
PACKAGE: Final = "voxtrait.speech"
GRAPH: Final = "silero_vad_16k_spectra.onnx"
CONTEXT: Final = 64  # samples of the previous frame, which are input too
FFT: Final = 256
HOP: Final = 128
HANN: Final = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)).astype(np.float32)


class State(NamedTuple):
    """State of the network between calls: 64 samples, and the two vectors of its recurrent layer."""

    context: Array  # (64,)
    hidden: Array  # (1, 1, 128)
    cell: Array  # (1, 1, 128)


def start() -> State:
    """Return the state before the first sample."""
    rest = np.zeros((1, 1, 128), np.float32)
    return State(np.zeros(CONTEXT, np.float32), rest, rest)


def probabilities(signal: Signal, state: State, gain: float = 1.0) -> tuple[Array, State]:
    """Compute the probability of speech of each frame.

    Args:
        signal: mono at 16 kHz, ``(n * 512,)``. The network was trained on speech at the usual level.
        state: state from :func:`start` or from the previous call.
        gain: factor that brings the signal, and the samples in the state, to that level.

    Returns:
        The probability of speech of each frame, ``(n,)`` float32 in [0, 1], and the state after it.

    Examples:
        >>> share, _ = probabilities(np.zeros(5 * 512, np.float32), start())
        >>> share.shape, bool((share < 0.1).all())
        ((5,), True)
    """
    padded = np.concatenate([state.context, signal])
    values, hidden, cell = runtime.packaged(PACKAGE, GRAPH).run(
        ["speech_probs", "hn", "cn"],
        {"spectra": _spectra(padded, gain), "h": state.hidden, "c": state.cell},
        runtime.run_options(),
    )
    return values, State(padded[-CONTEXT:].copy(), hidden, cell)


def _spectra(padded: Signal, gain: float = 1.0) -> Array:
    """Return magnitudes, ``(n, 4, 129)``, of four windows per frame. The last window ends with mirrored samples."""
    frames = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + FRAME)[::FRAME]
    mirrored = np.concatenate([frames, frames[:, -2 : -2 - CONTEXT : -1]], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(mirrored, FFT, axis=1)[:, ::HOP]
    # the gain scales the window, 256 numbers, instead of the magnitudes, which are many more
    return np.asarray(np.abs(np.fft.rfft(windows * (HANN * np.float32(gain)), axis=2)), dtype=np.float32)
