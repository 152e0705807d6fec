"""Example clips of the start page: synthetic voices, made at the first request."""

import functools
import io
from typing import Final

import numpy as np

from voxtrait import audio
from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.synthetic import draw_voice, speak

CLIP_S: Final = 8.0  # of one voice
TURN_S: Final = 4.0  # of one turn of two speakers
TURNS: Final = 6
NAMES: Final = ("female", "male", "talk")


@functools.cache
def example(name: str) -> bytes:
    """Return an example clip as a WAV file, 16-bit PCM mono at 16 kHz.

    Args:
        name: one of :data:`NAMES`: a female voice, an older male voice, or two speakers in turns.

    Examples:
        >>> example("female")[:4], len(example("female")) == 44 + 2 * 8 * 16_000
        (b'RIFF', True)
    """
    target = io.BytesIO()
    audio.write_wav(target, _signal(name), SAMPLING_RATE)
    return target.getvalue()


def _signal(name: str) -> Signal:
    """Synthesise an example clip: ``(samples,)`` float32 at 16 kHz."""
    match name:
        case "female":
            return speak(draw_voice("female", 62, seed=21), CLIP_S, seed=1)
        case "male":
            return speak(draw_voice("male", 80, seed=12), CLIP_S, seed=1)
    speakers = draw_voice("female", 75, seed=11), draw_voice("male", 40, seed=1)
    return np.concatenate([_levelled(speak(speakers[at % 2], TURN_S, seed=at)) for at in range(TURNS)])


def _levelled(signal: Signal) -> Signal:
    """Scale a turn to -20 dBFS, so that both speakers have one level."""
    scaled = 0.1 * signal / np.sqrt(np.mean(np.square(signal)))
    return np.asarray(np.clip(scaled, -1, 1), dtype=np.float32)
