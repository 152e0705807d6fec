"""Runs the quick speech detector, a student of Silero's network that needs a tenth of the computation.

Its result is used alone only if a window clearly contains speech (:func:`is_clear`). Silero's network decides on
everything else: silence, noise, music, a faint or an unusual voice. ``training/distillation/speech.py`` trains the
graph; ``docs/explanation/speech.md`` has figures for both.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from voxtrait import runtime
from voxtrait.audio.signals import Signal
from voxtrait.speech.network import FRAME, PACKAGE

Array = npt.NDArray[np.float32]

GRAPH: Final = "quick_16k.onnx"
BINS: Final = FRAME // 2 + 1
TOGETHER: Final = 32  # frames per transform: they fit in the processor's cache
SPEECH: Final = 0.9  # a frame with at least this probability is speech …
PAUSE: Final = 0.1  # … and one with at most this is a pause
SPEECH_FRAMES: Final = 32  # 1 s: minimum number of speech frames in a clear window
SURE: Final = 0.97  # minimum mean probability of its speech frames
DOUBTED: Final = 0.25  # maximum share of frames that are neither

HANN: Final = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)
"""Window function of a frame, ``(512,)``."""
HIGHEST: Final = 30.0  # larger logits count as this


def powers(signal: Signal, gain: float = 1.0) -> Array:
    """Compute the power spectrum of each frame, ``(n * 512,)`` → ``(n, 257)``.

    Args:
        signal: mono at 16 kHz.
        gain: factor that brings it to the usual level.
    """
    frames, window = signal.reshape(-1, FRAME), HANN * np.float32(gain)
    found = np.empty((len(frames), BINS), np.float32)
    for at in range(0, len(frames), TOGETHER):
        squares = np.fft.rfft(frames[at : at + TOGETHER] * window, axis=1).view(np.float32)
        squares *= squares
        np.add(squares[:, ::2], squares[:, 1::2], out=found[at : at + TOGETHER])  # real and imaginary parts
    return found


def probabilities(signal: Signal, gain: float = 1.0) -> Array:
    """Estimate the probabilities of Silero's network. Each frame depends on the frames before and after it.

    Args:
        signal: mono at 16 kHz, ``(n * 512,)``.
        gain: factor that brings it to the usual level.

    Returns:
        The probability of speech of each frame, ``(n,)`` float32 in [0, 1].

    Examples:
        >>> share = probabilities(np.zeros(5 * 512, np.float32))
        >>> share.shape, bool((share < 0.1).all())
        ((5,), True)
    """
    (logits,) = runtime.packaged(PACKAGE, GRAPH).run(
        ["logits"], {"powers": powers(signal, gain)}, runtime.run_options()
    )
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -HIGHEST, HIGHEST))), dtype=np.float32)


def is_clear(shares: npt.ArrayLike) -> bool:
    """Return whether a window clearly contains speech: at least 1 s of it, and few frames between speech and pause.

    Args:
        shares: probabilities of speech, ``(n,)``, in [0, 1].

    Examples:
        >>> is_clear([0.99] * 40 + [0.02] * 40), is_clear([0.99] * 40 + [0.5] * 40), is_clear([0.02] * 80)
        (True, False, False)
    """
    values = np.asarray(shares)
    spoken = values[values >= SPEECH]
    doubted = len(values) - len(spoken) - np.count_nonzero(values <= PAUSE)
    return bool(len(spoken) >= SPEECH_FRAMES and spoken.mean() >= SURE and doubted <= DOUBTED * len(values))
