"""Separates up to three speakers in a window of 10 s, two at a time, with the network of pyannote's segmentation 3.0.

The weights are pyannote's, MIT, in 8 bits; ``benchmarks/segmentation_graph.py`` wrote the graph. Speakers are not
identified across windows: the first speaker of a window may be the second of the next. Plaquet and Bredin, "Powerset
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
WINDOW: Final = 160_000  # samples: 10 s, as in the training of the network
HOP: Final = 270  # samples between two frames
FIELD: Final = 991  # samples that determine a frame
FRAMES: Final = 589  # frames of a window
FRAME_S: Final = HOP / SAMPLING_RATE  # 0.016875
SLOTS: Final = 3  # speakers in a window
SETS: Final = ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
"""The set of speakers that each output of the network means."""

MEMBERS: Final = np.array([[slot in members for slot in range(SLOTS)] for members in SETS], np.float32)
"""Whether each set has each speaker: ``(7, 3)`` float32."""


def activity(window: Signal) -> Array:
    """Return the probability that each speaker of a window speaks, frame by frame.

    Args:
        window: mono at 16 kHz, ``(160000,)``, at any level; a shorter window is padded with silence.

    Returns:
        ``(589, 3)`` float32 in [0, 1]; sample ``270 i + 495`` is in the middle of frame ``i``.

    Examples:
        >>> activity(np.zeros(160_000, np.float32)).shape
        (589, 3)
    """
    filled = np.zeros((1, WINDOW), np.float32)
    filled[0, : len(window)] = window
    (log_probabilities,) = runtime.packaged(PACKAGE, GRAPH).run(["sets"], {"signal": filled}, runtime.run_options())
    return np.asarray(np.exp(log_probabilities[0]) @ MEMBERS)
