"""Separates up to three speakers in a window of 10 s, two at a time, with the network of pyannote's segmentation 3.0.

The weights are pyannote's, MIT, those of the recurrent and linear layers in 8 bits;
``benchmarks/segmentation_graph.py`` wrote the graphs. The first layer has a graph of its own, because windows that
overlap can share its values. Speakers are not identified across windows: the first speaker of a window may be the
second of the next. Plaquet and Bredin, "Powerset
multi-class cross entropy loss for neural speaker diarization", Interspeech 2023.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from voxtrait import runtime
from voxtrait.audio.signals import SAMPLING_RATE, Signal

Array = npt.NDArray[np.float32]

PACKAGE: Final = "voxtrait.speech"
GRAPH: Final = "segmentation_16k.onnx"
FILTERS: Final = "segmentation_filters_16k.onnx"  # the first layer
WINDOW: Final = 160_000  # samples: 10 s, as in the training of the network
HOP: Final = 270  # samples between two frames
FIELD: Final = 991  # samples that determine a frame
FRAMES: Final = 589  # frames of a window
POSITION: Final = 30  # samples between two positions of the first layer
POSITIONS: Final = 5325  # positions of a window
FRAME_S: Final = HOP / SAMPLING_RATE  # 0.016875
SLOTS: Final = 3  # speakers in a window
SETS: Final = ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
"""The set of speakers that each output of the network means."""

MEMBERS: Final = np.array([[slot in members for slot in range(SLOTS)] for members in SETS], np.float32)
"""Whether each set has each speaker: ``(7, 3)`` float32."""


def first_layer(signal: Signal) -> Array:
    """Run the first layer of the network: the maximum and minimum of 80 band-pass filters at each position.

    Args:
        signal: mono at 16 kHz, ``(samples,)``, at any level; at least 271 samples.

    Returns:
        ``(160, (samples - 241) // 30)`` float32: the maximum of each filter's output at each position, then the
        minimum. Samples ``30 i`` to ``30 i + 270`` determine position ``i``.

    Examples:
        >>> first_layer(np.zeros(160_000, np.float32)).shape
        (160, 5325)
    """
    session, row = runtime.packaged(PACKAGE, FILTERS), np.asarray(signal, np.float32)[None]
    return np.asarray(session.run(["peaks"], {"signal": row}, runtime.run_options())[0][0])


def activity(window: Signal, first: Array | None = None) -> Array:
    """Return the probability that each speaker of a window speaks, frame by frame.

    Args:
        window: mono at 16 kHz, ``(160000,)``, at any level; a shorter window is padded with silence.
        first: the window's :func:`first_layer`, ``(160, 5325)``, if it is known.

    Returns:
        ``(589, 3)`` float32 in [0, 1]; sample ``270 i + 495`` is in the middle of frame ``i``.

    Examples:
        >>> activity(np.zeros(160_000, np.float32)).shape
        (589, 3)
    """
    filled = np.zeros(WINDOW, np.float32)
    filled[: len(window)] = window
    given = {"signal": filled[None], "peaks": (first_layer(filled) if first is None else first)[None]}
    (log_probabilities,) = runtime.packaged(PACKAGE, GRAPH).run(["sets"], given, runtime.run_options())
    return np.asarray(np.exp(log_probabilities[0]) @ MEMBERS)
