"""Draws spectrogram images for people: with axes in seconds and hertz, a colour bar in dB and the clip's name."""

from io import BytesIO
from typing import Any, Final

import numpy as np

from voxtrait import features
from voxtrait.features import FrontEnd
from voxtrait.palette import PAPER
from voxtrait.palette.drawing import dress

LEFT: Final = 70  # pixels beside the spectrogram
RIGHT: Final = 92
TOP: Final = 34
BOTTOM: Final = 46
TICKS_HZ: Final = (125, 250, 500, 1000, 2000, 4000, 8000, 16_000)
NAME: Final = 60  # characters of a clip's name at most
_DPI: Final = 100


def size_of(columns: int, n_mels: int) -> tuple[int, int]:
    """Return the width and the height of an image with axes, in pixels. They are larger than those of a plain image.

    Examples:
        >>> size_of(432, 288)
        (594, 368)
    """
    return LEFT + columns + RIGHT, TOP + n_mels + BOTTOM


def with_axes(signal: features.Array, sampling_rate: int, front_end: FrontEnd, name: str) -> bytes:
    """Draw a signal as a spectrogram with axes.

    The spectrogram has the pixels of :func:`voxtrait.features.picture`. Columns outside the clip are left empty.

    Args:
        signal: ``(samples,)`` or ``(channels, samples)``, in [-1, 1].
        sampling_rate: sampling rate of the signal, in Hz.
        front_end: parameters of the spectrogram.
        name: title of the image, such as the file name of the clip.

    Returns:
        A PNG of ``size_of`` pixels.

    Examples:
        >>> png = with_axes(0.1 * np.ones(16000, np.float32), 16000, FrontEnd(), "clip.mp3")
        >>> features.decode_png(png).shape
        (368, 594)
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns, rows = front_end.columns, front_end.n_mels
    width, height = size_of(columns, rows)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    axes: Any = figure.add_axes((LEFT / width, BOTTOM / height, columns / width, rows / height))
    seconds = np.shape(signal)[-1] / sampling_rate
    start, end = _seconds(seconds, front_end)
    drawn = features.picture(signal, sampling_rate, front_end=front_end)
    span = front_end.ceiling_db - front_end.floor_db
    image = axes.imshow(
        front_end.floor_db + span * drawn[::-1] / 255,
        cmap="gray",
        vmin=front_end.floor_db,
        vmax=front_end.ceiling_db,
        extent=(start, end, -0.5, rows - 0.5),
        aspect="auto",
        origin="lower",
        interpolation="none",
    )
    for outside in ((start, min(0.0, end)), (max(seconds, start), end)):
        if outside[0] < outside[1]:
            axes.axvspan(*outside, facecolor=PAPER.light, zorder=1.5)
    axes.set_xlim(start, end)
    axes.set_xticks([at for at in axes.get_xticks() if max(start, 0) <= at <= min(end, seconds) + 1e-9])
    hertz = [hz for hz in TICKS_HZ if front_end.f_min < hz <= front_end.f_max]
    axes.set_yticks([features.band_of(hz, front_end) for hz in hertz], [f"{hz:,}" for hz in hertz])
    axes.set_xlabel("seconds", fontsize=9)
    axes.set_ylabel("hertz, mel scale", fontsize=9)
    axes.set_title(name if len(name) <= NAME else f"{name[: NAME - 1]}…", loc="left", fontsize=10, parse_math=False)
    bar_at = ((LEFT + columns + 14) / width, BOTTOM / height, 12 / width, rows / height)
    figure.colorbar(image, cax=figure.add_axes(bar_at)).set_label("dB, full-scale sine = 0", fontsize=9)
    for each in figure.axes:
        each.tick_params(labelsize=8)
    dress(figure)
    out = BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _seconds(seconds: float, front_end: FrontEnd) -> tuple[float, float]:
    """Return the times at the left and the right edge of the spectrogram, as :func:`voxtrait.features.picture` has."""
    if front_end.fit == "stretch":
        half = seconds / max(front_end.columns - 1, 1) / 2
        return -half, seconds + half
    hop = front_end.hop_length / front_end.sampling_rate
    samples = round(seconds * front_end.sampling_rate)
    first = (samples // 2 - (front_end.columns - 1) * front_end.hop_length // 2) / front_end.sampling_rate
    return first - hop / 2, first + (front_end.columns - 0.5) * hop
