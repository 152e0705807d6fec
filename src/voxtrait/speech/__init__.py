"""Detects speech in a signal with Silero's voice-activity network and rules on its probabilities.

:mod:`~voxtrait.speech.network` runs the network, :mod:`~voxtrait.speech.detector` decides, and
:mod:`~voxtrait.speech.provisional` decides provisionally, within a second. ``docs/explanation/speech.md`` compares the
result with other detectors. The first call loads ONNX Runtime, not the import.
"""

from voxtrait.speech.detector import FRAME_S, Detection, Detector, find, listen, speech_frames, speech_seconds, spoken
from voxtrait.speech.provisional import Provisional

__all__ = [
    "FRAME_S",
    "Detection",
    "Detector",
    "Provisional",
    "find",
    "listen",
    "speech_frames",
    "speech_seconds",
    "spoken",
]
