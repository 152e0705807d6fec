"""Computes mel bands of a signal: powers, log-mel spectrograms, and windows for a speaker encoder."""

import functools
import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from voxtrait.audio.mixing import to_mono
from voxtrait.audio.signals import Signal, check_signal, resample
from voxtrait.errors import OptionError
from voxtrait.features.front_end import FrontEnd

Array = npt.NDArray[np.float32]
Powers = npt.NDArray[np.floating[Any]]

QUIET: Final = 1e-4  # minimum power of a hop as a share of the mean, so that the level of silence is finite
TINY: Final = float(np.finfo(np.float32).tiny)
LOUDEST: Final = 1e12  # maximum absolute value of a sample, 240 dB over full scale: larger powers would overflow
FRAMES: Final = 64  # frames per transform: they fit in the processor's cache, and memory does not grow with length
BANDS: Final = 16  # bands per product with the filters: few products, and few weights that are zero


class _Filters(NamedTuple):
    """The filters of neighbouring bands, without the bins that none of them uses."""

    bands: slice
    bins: slice
    weights: Powers  # (bins, bands)


def mel_power(signal: Signal, front_end: FrontEnd, centres: npt.NDArray[np.int64] | None = None) -> Powers:
    """Compute mel band powers.

    Args:
        signal: mono signal, ``(samples,)``, at the front end's rate.
        front_end: parameters of the spectrogram.
        centres: ``(frames,)``, the centre of each frame in samples; ``None`` for those of the front end's ``frames``:
            every hop from 0 to the end, or all frames inside the signal.

    Returns:
        ``(n_mels, frames)``, linear power, lowest band first; float64 for windows of an encoder, float32 for images.

    Examples:
        >>> import numpy as np
        >>> sine = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
        >>> power = mel_power(sine, FrontEnd())
        >>> power.shape, bool(power[:, 50].max() > 0.9)
        ((288, 101), True)
    """
    if centres is None:
        centres = _centres(len(signal), front_end)
    # the codes of an encoder in 8 bits must not depend on the processor: rounding errors of 64 bits do not reach them
    real, pair = (np.float64, np.complex128) if front_end.fit == "windows" else (np.float32, np.complex64)
    gain = 1.0
    if front_end.level_db is not None:
        wide = signal.astype(np.float64)
        offset = float(wide.mean()) if front_end.dc_removed and len(signal) else 0.0
        power = float(np.dot(wide, wide)) / len(signal) - offset**2 if len(signal) else 0.0
        if power > 0:
            gain = 10 ** (front_end.level_db / 20) / math.sqrt(power)
    window, bank = window_function(front_end).astype(real), _filters(front_end, real)
    half = front_end.window_length // 2
    # only the part of the signal that the frames cover is padded and cut into frames
    start, stop = int(centres[0]) - half, int(centres[-1]) - half + front_end.window_length
    known = signal[max(start, 0) : max(stop, 0)]
    padded: npt.NDArray[Any] = np.pad(
        known.astype(real, copy=False), (max(-start, 0), max(stop - max(start, 0) - len(known), 0))
    )
    np.clip(padded, -LOUDEST, LOUDEST, out=padded)
    if gain != 1.0:
        padded *= real(gain)
    first = centres - half - start
    windows = np.lib.stride_tricks.sliding_window_view(padded, front_end.window_length)
    step = int(first[1] - first[0]) if len(first) > 1 else 1
    evenly = step > 0 and bool((np.diff(first) == step).all())  # if so, frames are views, not copies
    parts = [first[at : at + FRAMES] for at in range(0, len(first), FRAMES)]
    where = [slice(some[0], some[-1] + 1, step) if evenly else some for some in parts]
    offsets = [
        (1 - front_end.pre_emphasis) * windows[some].mean(1, keepdims=True) for some in where if front_end.dc_removed
    ]
    if front_end.pre_emphasis:  # for all frames at once: only the first sample of each differs, and its weight is 0
        padded[1:] -= real(front_end.pre_emphasis) * padded[:-1]
    out = np.empty((len(first), front_end.n_mels), dtype=real)
    frames = np.zeros((min(FRAMES, len(first)), front_end.n_fft), dtype=real)
    spectra: npt.NDArray[Any] = np.empty((len(frames), front_end.n_fft // 2 + 1), dtype=pair)
    # always all rows, because the rounding of a product depends on their number: a frame has one value in any signal
    powers = np.zeros((FRAMES, front_end.n_fft // 2 + 1), dtype=real)
    for number, some in enumerate(where):
        found, at, count = windows[some], number * FRAMES, len(parts[number])
        inside = frames[:count, : front_end.window_length]
        np.multiply(found - offsets[number] if front_end.dc_removed else found, window, out=inside)
        squares: npt.NDArray[Any] = np.fft.rfft(frames[:count], axis=1, out=spectra[:count]).view(real)
        squares *= squares
        np.add(squares[:, ::2], squares[:, 1::2], out=powers[:count])  # of real and imaginary parts
        for group in bank:
            out[at : at + count, group.bands] = (powers[:, group.bins] @ group.weights)[:count]
    return out.T


def _centres(samples: int, front_end: FrontEnd) -> npt.NDArray[np.int64]:
    if front_end.frames == "centred":
        return np.arange(0, samples + 1, front_end.hop_length)
    half = front_end.window_length // 2
    last = max(samples, front_end.window_length) - front_end.window_length  # a shorter signal is one frame, with zeros
    return np.arange(half, half + last + 1, front_end.hop_length)


def log_mel(signal: npt.ArrayLike, sampling_rate: int = 16_000, *, front_end: FrontEnd | None = None) -> Array:
    """Compute a log-mel spectrogram of any signal.

    Args:
        signal: ``(samples,)`` or ``(channels, samples)``, floats in [-1, 1] or integers.
        sampling_rate: sampling rate of the signal, in Hz; if it differs from the front end's, the signal is resampled.
        front_end: parameters of the spectrogram; the default is that of the spectrogram images.

    Returns:
        ``(n_mels, frames)`` float32 in dB relative to a full-scale sine (or in the unit of ``compression``), lowest
        band first.

    Raises:
        SignalError: if the array is not a valid signal.

    Examples:
        >>> import numpy as np
        >>> log_mel(np.zeros(16000, np.float32)).shape
        (288, 101)
    """
    front_end = front_end or FrontEnd()
    mono = np.clip(to_mono(check_signal(signal, whole=True)), -LOUDEST, LOUDEST)
    return _compressed(resample(mono, sampling_rate, front_end.sampling_rate), front_end)


def windows(signal: Signal, front_end: FrontEnd) -> Array:
    """Cut a mel spectrogram into windows of equal length, for a speaker encoder.

    Args:
        signal: mono signal, ``(samples,)``, at the front end's rate, usually speech only.
        front_end: front end with ``fit="windows"``; ``columns`` is the maximum number of frames in a window.

    Returns:
        ``(n, frames, n_mels)`` float32, with the front end's compression. A signal of ``f`` frames has
        ``n = ceil(f / columns)`` windows of ``f // n`` frames. They do not overlap; the last ``f % n`` frames are left
        out. With ``chosen_from``, the signal has ``n = ceil(f / chosen_from)`` parts of ``f // n`` frames, and each
        part has one window: its ``columns`` consecutive frames with the highest mean level in dB, or the whole part if
        it is shorter.

    Raises:
        OptionError: if the front end makes images instead of windows.

    Examples:
        >>> import numpy as np
        >>> from voxtrait.features.front_end import kaldi_front_end
        >>> windows(np.zeros(5 * 16000, np.float32), kaldi_front_end(400)).shape
        (2, 249, 80)
        >>> windows(np.zeros(5 * 16000, np.float32), kaldi_front_end(150, chosen_from=400)).shape
        (2, 150, 80)
    """
    if front_end.fit != "windows":
        raise OptionError(f"Got a front end with fit {front_end.fit!r}. Expected 'windows'.")
    if front_end.chosen_from:
        return np.stack([_compressed(signal, front_end, chosen).T for chosen in _loudest(signal, front_end)])
    frames = _compressed(signal, front_end).T
    count = math.ceil(len(frames) / front_end.columns)
    size = len(frames) // count
    return np.ascontiguousarray(frames[: count * size].reshape(count, size, front_end.n_mels))


def _loudest(signal: Signal, front_end: FrontEnd) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the centres of the frames of each window: the loudest consecutive ones of each part."""
    centres, hop = _centres(len(signal), front_end), front_end.hop_length
    count = math.ceil(len(centres) / front_end.chosen_from)
    length = len(centres) // count
    size = min(front_end.columns, length)
    for part in centres[: count * length].reshape(count, length):
        start = int(part[0]) - hop // 2  # the level of a frame is that of its middle hop
        found = signal[max(start, 0) : start + length * hop]
        squares = found - found.mean() if len(found) else found
        squares *= squares
        if len(squares) < length * hop:
            squares = np.pad(squares, (max(-start, 0), length * hop - max(-start, 0) - len(squares)))
        powers = squares.reshape(length, hop).mean(1)
        levels = np.log(np.maximum(powers, max(QUIET * float(powers.mean()), TINY)))
        sums = np.concatenate([[0.0], np.cumsum(levels, dtype=np.float64)])
        at = int(np.argmax(sums[size:] - sums[:-size]))
        yield part[at : at + size]


def _compressed(signal: Signal, front_end: FrontEnd, centres: npt.NDArray[np.int64] | None = None) -> Array:
    bands = _compress(mel_power(signal, front_end, centres), front_end)
    if front_end.mean_removed:  # a mean of 64 bits, so that silence is exactly 0
        bands = bands - bands.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    return bands


def _compress(power: Powers, front_end: FrontEnd) -> Array:
    match front_end.compression:
        case "db":
            return np.asarray(10 * np.log10(np.maximum(power, front_end.floor)), dtype=np.float32)
        case "log":
            return np.asarray(np.log(np.maximum(power, front_end.floor)), dtype=np.float32)
        case _:
            return power.astype(np.float32, copy=False)


@functools.lru_cache(maxsize=8)
def window_function(front_end: FrontEnd) -> Array:
    """Return the window function that every frame is multiplied by, ``(window_length,)`` float32."""
    n = front_end.window_length
    if front_end.window == "povey":
        window = ((0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / (n - 1))) ** 0.85).astype(np.float32)
    else:
        window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)).astype(np.float32)  # periodic Hann
    return np.asarray(window / (window.sum() / 2), dtype=np.float32) if front_end.scaled else window


@functools.lru_cache(maxsize=8)
def _filters(front_end: FrontEnd, real: type[np.floating[Any]]) -> list[_Filters]:
    """Return the filters, a few bands at a time. A product with all bins would mostly multiply by zero."""
    bank = filters(front_end).astype(real)
    found = []
    for at in range(0, len(bank), BANDS):
        part = bank[at : at + BANDS]
        used = np.flatnonzero(part.any(axis=0))
        bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0)
        found.append(_Filters(slice(at, at + BANDS), bins, np.ascontiguousarray(part[:, bins].T)))
    return found


def filters(front_end: FrontEnd) -> Array:
    """Compute the triangular filters that map power spectra to mel bands.

    Args:
        front_end: parameters of the spectrogram.

    Returns:
        ``(n_mels, n_fft / 2 + 1)`` float32. Most weights are zero.

    Examples:
        >>> from voxtrait.features.front_end import kaldi_front_end
        >>> filters(kaldi_front_end(400)).shape
        (80, 257)
    """
    low_mel, high_mel = (_to_mel(np.array(edge), front_end.scale) for edge in (front_end.f_min, front_end.f_max))
    edges = np.linspace(low_mel, high_mel, front_end.n_mels + 2)
    hz = _to_hz(edges, front_end.scale)
    bins = np.asarray(np.fft.rfftfreq(front_end.n_fft, 1 / front_end.sampling_rate), dtype=np.float64)
    if front_end.triangles == "mel":
        bins = _to_mel(bins, front_end.scale)
    else:
        edges = hz
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = np.maximum(0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))
    if front_end.norm == "area":
        bank *= 2 / (hz[2:] - hz[:-2])[:, None]
    return np.asarray(bank, dtype=np.float32)


def band_of(hz: float, front_end: FrontEnd) -> float:
    """Return the position of a frequency among the mel bands, on the mel scale: 0 is the middle of the lowest band.

    Args:
        hz: frequency, in Hz.
        front_end: parameters of the spectrogram.

    Examples:
        >>> front_end = FrontEnd()
        >>> round(band_of(0, front_end), 6), round(band_of(8000, front_end), 6), round(band_of(1000, front_end), 1)
        (-1.0, 288.0, 94.8)
    """
    low, at, high = (float(_to_mel(np.array(one), front_end.scale)) for one in (front_end.f_min, hz, front_end.f_max))
    return (at - low) / (high - low) * (front_end.n_mels + 1) - 1


def _to_mel(hz: npt.NDArray[np.float64], scale: str) -> npt.NDArray[np.float64]:
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + hz / 700))
    return np.where(hz < 1000, hz / (200 / 3), 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4))


def _to_hz(mel: npt.NDArray[np.float64], scale: str) -> npt.NDArray[np.float64]:
    if scale == "htk":
        return np.asarray(700 * (10 ** (mel / 2595) - 1))
    return np.where(mel < 15, mel * (200 / 3), 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
