"""Where in a signal there is speech: the WebRTC voice-activity detector behind one function.

Google's detector (https://webrtc.org) decides per frame of 30 ms from sub-band energies. It is fast (0.2 ms for a
second) but calls white noise and tones speech; gates on the level and on how much it moves are added here.
"""

import itertools
from typing import Final

import numpy as np
import numpy.typing as npt

from voxtrait.audio import SAMPLING_RATE, Signal, to_pcm16

FRAME_S: Final = 0.03
AGGRESSIVENESS: Final = 2  # of 0 to 3: how readily a frame is called noise
QUIETEST_DBFS: Final = -70.0  # a frame below this is silence whatever the detector says
DEEPEST_DB: Final = 35.0  # … and so is one this far below the clip's loud frames
# Syllables move the level of speech by 7 dB and more (the least of about 550 real clips), noise, hum and tones by
# under 2 dB.
STEADIEST_DB: Final = 5.0
SYLLABLES_FRAMES: Final = 33  # a second: in less there may be one syllable only
PART_FRAMES: Final = 2000  # a minute
BRIDGE_FRAMES: Final = 10  # a gap of up to 0.3 s inside speech counts as speech


def speech_frames(signal: Signal) -> npt.NDArray[np.bool_]:
    """Say for each 30 ms whether there is speech.

    Args:
        signal: mono at 16 kHz, ``(samples,)``.

    Returns:
        ``(samples // 480,)``, bool.

    Examples:
        >>> int(speech_frames(np.zeros(16000, np.float32)).sum())
        0
    """
    import webrtcvad

    size = int(FRAME_S * SAMPLING_RATE)
    n = len(signal) // size
    if n == 0:
        return np.zeros(0, dtype=bool)
    frames = signal[: n * size].reshape(n, size)
    level = 10 * np.log10(np.einsum("ij,ij->i", frames, frames, dtype=np.float64) / size + 1e-12)
    gate = max(QUIETEST_DBFS, float(np.quantile(level, 0.95)) - DEEPEST_DB)
    # the detector's thresholds are absolute: a quiet recording is brought up first, or none of it would count
    gain = min(10 ** ((-20 - float(np.quantile(level, 0.95))) / 20), 1000.0)
    detector = webrtcvad.Vad(AGGRESSIVENESS)
    louder = np.float32(max(gain, 1.0))
    # part by part, so that an hour does not need its memory three times
    pcm = (frame for at in range(0, n, PART_FRAMES) for frame in to_pcm16(frames[at : at + PART_FRAMES] * louder))
    voiced = np.fromiter((detector.is_speech(frame.tobytes(), SAMPLING_RATE) for frame in pcm), dtype=bool, count=n)
    voiced &= level > gate
    if voiced.sum() >= SYLLABLES_FRAMES and np.subtract(*np.quantile(level[voiced], (0.9, 0.1))) < STEADIEST_DB:
        return np.zeros(n, dtype=bool)
    return _bridge(voiced)


def speech_seconds(signal: Signal) -> float:
    """Measure how much speech there is in a mono signal at 16 kHz, in seconds."""
    return float(speech_frames(signal).sum() * FRAME_S)


def _bridge(frames: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Fill short gaps: closures of stops and short pauses belong to the speech around them."""
    at = np.flatnonzero(frames)
    filled = frames.copy()
    for start, stop in itertools.pairwise(at):
        if 1 < stop - start <= BRIDGE_FRAMES:
            filled[start:stop] = True
    return filled
