"""Where in a signal there is speech: Silero's voice-activity network, and rules that make its answer firm.

:mod:`~voxtrait.speech.network` runs the network, :mod:`~voxtrait.speech.detector` decides. ``docs/speech.md`` compares
it with other detectors. ONNX Runtime is loaded by the first call, not by the import.
"""

from voxtrait.speech.detector import FRAME_S, Detector, Heard, listen, speech_frames, speech_seconds, spoken

__all__ = ["FRAME_S", "Detector", "Heard", "listen", "speech_frames", "speech_seconds", "spoken"]
