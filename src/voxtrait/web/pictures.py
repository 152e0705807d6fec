"""Waveform and spectrogram of an upload, for the page."""

import base64
from typing import Any, Final

import numpy as np

from voxtrait import features
from voxtrait.audio.signals import SAMPLING_RATE, Signal
from voxtrait.web.sound import Sound

SHOWN_S: Final = 60.0  # seconds that are drawn
STROKES: Final = 600  # parts of a waveform


def show(sound: Sound) -> dict[str, Any]:
    """Draw waveform and spectrogram of an upload, or of its first minute.

    Returns:
        ``duration_s`` of the upload; ``shown_s``, the seconds drawn; ``waveform``, up to 600 pairs of lowest and
        highest sample; ``spectrogram``, a PNG as a data URL.
    """
    kept: list[Signal] = []
    for block in sound:
        if sum(map(len, kept)) < SHOWN_S * SAMPLING_RATE:
            kept.append(block)
    signal = np.concatenate(kept)[: round(SHOWN_S * SAMPLING_RATE)]
    return {
        "duration_s": round(sound.seconds, 3),
        "shown_s": round(len(signal) / SAMPLING_RATE, 3),
        **drawn(signal),
    }


def drawn(signal: Signal, size: tuple[int, int] = features.PICTURE_SIZE, strokes: int = STROKES) -> dict[str, Any]:
    """Draw a signal at 16 kHz, ``(samples,)``: the fields ``waveform`` and ``spectrogram`` of :func:`show`.

    Args:
        signal: at least one sample.
        size: width and height of the spectrogram, in pixels.
        strokes: maximum number of parts of the waveform.
    """
    png = features.encode_png(features.picture(signal, SAMPLING_RATE, size=size, fit="stretch"))
    return {
        "waveform": waveform(signal, strokes),
        "spectrogram": "data:image/png;base64," + base64.b64encode(png).decode(),
    }


def waveform(signal: Signal, strokes: int = STROKES) -> list[list[float]]:
    """Return the lowest and the highest sample of up to ``strokes`` equal parts.

    Examples:
        >>> waveform(np.array([0.0, 0.5, -0.25, 0.0], np.float32), 2)
        [[0.0, 0.5], [-0.25, 0.0]]
    """
    inside = np.clip(signal, -1, 1)
    starts = np.linspace(0, len(inside), min(strokes, len(inside)), endpoint=False).astype(int)
    pairs = np.stack([np.minimum.reduceat(inside, starts), np.maximum.reduceat(inside, starts)], axis=1)
    return [[round(float(low), 4) + 0.0, round(float(high), 4) + 0.0] for low, high in pairs]  # no -0.0
