"""Who speaks in a window of 10 s, by the network of pyannote's segmentation 3.0: up to three speakers, two at a time.

The weights are pyannote's, MIT, in 8 bits; ``benchmarks/segmentation_graph.py`` wrote the graph. The speakers of a
window have no identity: the first one of a window may be the second one of the next. Plaquet and Bredin, "Powerset
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
WINDOW: Final = 160_000  # samples: the 10 s that the network was trained on
HOP: Final = 270  # samples between two frames
FIELD: Final = 991  # samples that a frame sees
FRAMES: Final = 589  # of a window
FRAME_S: Final = HOP / SAMPLING_RATE  # 0.016875
SLOTS: Final = 3  # speakers in a window
SETS: Final = ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
"""Which speakers each output of the network stands for."""

_MEMBERS: Final = np.array([[slot in members for slot in range(SLOTS)] for members in SETS], np.float32)


def activity(window: Signal) -> Array:
    """Estimate for each frame and speaker of a window how probable it is that they speak.

    Args:
        window: mono at 16 kHz, ``(160000,)``, at any level; a shorter one is filled up with silence.

    Returns:
        ``(589, 3)`` float32 in [0, 1]; frame ``i`` is about the samples around ``270 i + 495``.

    Examples:
        >>> activity(np.zeros(160_000, np.float32)).shape
        (589, 3)
    """
    filled = np.zeros((1, WINDOW), np.float32)
    filled[0, : len(window)] = window
    (log_probabilities,) = runtime.packaged(PACKAGE, GRAPH).run(["sets"], {"signal": filled})
    return np.asarray(np.exp(log_probabilities[0]) @ _MEMBERS)
