"""Writes the front end of an encoder as part of an ONNX graph: speech in, windows of filter-bank bands out.

All parameters, the window function and the filters are those of :mod:`voxtrait.features`, and so is the precision: 64
bits from the samples to the bands of an encoder.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from onnx import TensorProto

from voxtrait.errors import OptionError
from voxtrait.features import FrontEnd, filters
from voxtrait.features.spectrum import LOUDEST, QUIET, TINY, window_function
from voxtrait.recognize.portable.nodes import Nodes


def windows_graph(front_end: FrontEnd) -> bytes:
    """Return the front end as a graph of its own.

    Args:
        front_end: front end of an encoder, with fit ``windows``.

    Returns:
        The serialised model: ``speech`` (samples,) at the front end's rate → ``windows`` (n, frames, n_mels), float32.
        The windows are those of :func:`voxtrait.features.windows`, to 0.00001.

    Raises:
        OptionError: if the front end makes images.

    Examples:
        >>> from voxtrait import features, runtime
        >>> graph = runtime.session(windows_graph(features.kaldi_front_end(400)))
        >>> graph.run(["windows"], {"speech": np.zeros(5 * 16000, np.float32)})[0].shape
        (2, 249, 80)
    """
    nodes = Nodes()
    speech = nodes.take("speech", np.float32, ["samples"])
    nodes.give("windows", windows(nodes, speech, front_end), np.float32, ["windows", "frames", front_end.n_mels])
    return nodes.serialised()


def columns_graph(front_end: FrontEnd) -> bytes:
    """Return the front end of an image as a graph that draws any columns of it.

    Args:
        front_end: front end of an image.

    Returns:
        The serialised model: ``signal`` (samples,) at the front end's rate and ``centres`` (columns,), the sample in
        the middle of each column, int64 from 0 to the number of samples → ``greys`` (columns, n_mels) float32 from 0 to
        255, lowest band first. They are those of :func:`voxtrait.features.picture`, without rounding.

    Examples:
        >>> from voxtrait import runtime
        >>> inputs = {"signal": np.zeros(16000, np.float32), "centres": np.arange(0, 16000, 160)}
        >>> runtime.session(columns_graph(FrontEnd())).run(["greys"], inputs)[0].shape
        (100, 288)
    """
    nodes = Nodes()
    signal = nodes.take("signal", np.float32, ["samples"])
    centres = nodes.take("centres", np.int64, ["columns"])
    half = front_end.window_length // 2
    padded = nodes("Pad", signal, np.array([half, front_end.window_length]))
    power = _bands(nodes, padded, signal, centres, dataclasses.replace(front_end, compression="db"))
    scale = 255 / (front_end.ceiling_db - front_end.floor_db)
    greys = nodes("Clip", nodes("Mul", nodes("Sub", power, front_end.floor_db), scale), 0.0, 255.0)
    nodes.give("greys", greys, np.float32, ["columns", front_end.n_mels])
    return nodes.serialised()


def windows(nodes: Nodes, speech: str, front_end: FrontEnd) -> str:
    """Add the front end to a graph.

    Args:
        nodes: the graph.
        speech: name of the signal, ``(samples,)`` float32.
        front_end: front end of an encoder, with fit ``windows``.

    Returns:
        Name of the windows, ``(n, frames, n_mels)`` float32.

    Raises:
        OptionError: if the front end makes images.
    """
    if front_end.fit != "windows":
        raise OptionError(f"Got a front end with fit {front_end.fit!r}. Expected 'windows'.")
    half, samples = front_end.window_length // 2, nodes.shape(speech)
    before = half if front_end.frames == "centred" else 0
    padded = nodes("Pad", speech, np.array([before, front_end.window_length]))
    starts = _starts(nodes, samples, front_end)
    count = nodes.shape(starts)
    most = front_end.chosen_from or front_end.columns
    number = nodes("Div", nodes("Add", count, most - 1), most)
    length = nodes("Div", count, number)
    if front_end.chosen_from:
        starts, size = _loudest(nodes, padded, starts, samples, number, length, front_end)
        bands = _bands(nodes, padded, speech, starts, front_end)
        shaped = nodes("Reshape", bands, nodes.row(number, size, front_end.n_mels))
        return _centred(nodes, shaped, 1, front_end)
    bands = _centred(nodes, _bands(nodes, padded, speech, starts, front_end), 0, front_end)
    kept = nodes.part(bands, 0, nodes("Mul", number, length))
    return nodes("Reshape", kept, nodes.row(number, length, front_end.n_mels))


def _starts(nodes: Nodes, samples: str, front_end: FrontEnd) -> str:
    """Return the first sample of each frame in the padded signal, ``(frames,)`` int64."""
    if front_end.frames == "centred":
        stop = nodes("Add", samples, 1)
    else:
        stop = nodes("Add", nodes("Max", nodes("Sub", samples, front_end.window_length), 0), 1)
    return nodes("Range", 0, stop, front_end.hop_length)


def _centred(nodes: Nodes, bands: str, axis: int, front_end: FrontEnd) -> str:
    """Remove the mean of each band over an axis, if the front end does."""
    if not front_end.mean_removed:
        return bands
    wide = nodes("ReduceMean", nodes.whole(bands, TensorProto.DOUBLE), np.array([axis]), keepdims=1)
    return nodes("Sub", bands, nodes.whole(wide))


def _bands(nodes: Nodes, padded: str, speech: str, starts: str, front_end: FrontEnd) -> str:
    """Compute the bands of the frames that begin at some samples of the padded signal, ``(frames, n_mels)``."""
    signal = nodes("Clip", padded, -LOUDEST, LOUDEST)
    real: type[np.floating[Any]] = np.float32
    if front_end.fit == "windows":
        signal, real = nodes.whole(signal, TensorProto.DOUBLE), np.float64
    gain = _gain(nodes, speech, front_end)
    if gain:
        signal = nodes("Mul", signal, gain if real is np.float64 else nodes.whole(gain))
    within = np.arange(front_end.window_length)
    inside = nodes("Add", nodes("Unsqueeze", starts, np.array([1])), within)  # (frames, window_length)
    offsets = ""
    if front_end.dc_removed:
        mean = nodes("ReduceMean", nodes("Gather", signal, inside), np.array([1]), keepdims=1)
        offsets = nodes("Mul", mean, np.array(1 - front_end.pre_emphasis, real))
    if front_end.pre_emphasis:
        rest = nodes("Slice", signal, np.array([1]), np.array([2**62]))
        shifted = nodes(
            "Mul", nodes("Slice", signal, np.array([0]), np.array([-1])), np.array(front_end.pre_emphasis, real)
        )
        first = nodes("Slice", signal, np.array([0]), np.array([1]))
        signal = nodes("Concat", first, nodes("Sub", rest, shifted), axis=0)
    frames = nodes("Gather", signal, inside)
    if offsets:
        frames = nodes("Sub", frames, offsets)
    frames = nodes("Mul", frames, window_function(front_end).astype(real))
    power = spectrum(nodes, frames, front_end.n_fft)
    bank = np.ascontiguousarray(filters(front_end).T, real)
    return _compressed(nodes, nodes("MatMul", power, bank), front_end, real)


def _gain(nodes: Nodes, speech: str, front_end: FrontEnd) -> str:
    """Return the factor that brings the signal to the front end's level, float64; an empty name if there is none."""
    if front_end.level_db is None:
        return ""
    wide = nodes.whole(speech, TensorProto.DOUBLE)  # the sum over minutes needs more than 24 bits
    power = nodes("ReduceMean", nodes("Mul", wide, wide), keepdims=0)
    if front_end.dc_removed:
        mean = nodes("ReduceMean", wide, keepdims=0)
        power = nodes("Sub", power, nodes("Mul", mean, mean))
    zero = np.array(0.0)
    gain = nodes("Div", np.array(10 ** (front_end.level_db / 20)), nodes("Sqrt", nodes("Max", power, np.array(1e-300))))
    return nodes("Where", nodes("Greater", power, zero), gain, np.array(1.0))


def spectrum(nodes: Nodes, frames: str, n_fft: int) -> str:
    """Add the power spectrum of real frames to a graph.

    Args:
        nodes: the graph.
        frames: name of the frames, ``(…, length)``, of at most ``n_fft`` samples. The rest are zeros.
        n_fft: length of the Fourier transform, in samples.

    Returns:
        Name of the powers, ``(…, n_fft / 2 + 1)``, of the same type.
    """
    real = nodes("Unsqueeze", frames, np.array([-1]))
    pairs = nodes("DFT", real, np.array(n_fft), axis=-2, onesided=1)
    return nodes("ReduceSum", nodes("Mul", pairs, pairs), np.array([-1]), keepdims=0)


def _compressed(nodes: Nodes, power: str, front_end: FrontEnd, real: type[np.floating[Any]]) -> str:
    """Compress bands to float32."""
    if front_end.compression != "none":
        power = nodes("Log", nodes("Max", power, np.array(front_end.floor, real)))
    if front_end.compression == "db":
        power = nodes("Mul", power, np.array(10 / math.log(10), real))
    return nodes.whole(power) if real is np.float64 else power


def _loudest(
    nodes: Nodes, padded: str, starts: str, samples: str, number: str, length: str, front_end: FrontEnd
) -> tuple[str, str]:
    """Choose the loudest consecutive frames of each part, as :func:`voxtrait.features.windows` does.

    Returns:
        The first sample of each chosen frame in the padded signal, ``(number * size,)``, and the frames of a window.
    """
    hop, half = front_end.hop_length, front_end.window_length // 2
    before = half if front_end.frames == "centred" else 0
    size = nodes("Min", length, front_end.columns)
    parts = nodes("Reshape", nodes.part(starts, 0, nodes("Mul", number, length)), nodes.row(number, length))
    first = nodes.part(parts, 0, 1, axis=1)  # (number, 1)
    # the level of a frame is that of its middle hop
    at = nodes("Add", nodes("Add", first, half - hop // 2 - before), nodes("Range", 0, nodes("Mul", length, hop), 1))
    known = nodes("And", nodes("GreaterOrEqual", at, 0), nodes("Less", at, samples))
    weight = nodes.whole(known)
    inside = nodes("Max", nodes("Min", at, nodes("Sub", samples, 1)), 0)
    found = nodes("Mul", nodes("Gather", nodes.part(padded, before, 2**62), inside), weight)
    total = nodes("Max", nodes("ReduceSum", weight, np.array([1]), keepdims=1), 1.0)
    mean = nodes("Div", nodes("ReduceSum", found, np.array([1]), keepdims=1), total)
    centred = nodes("Mul", nodes("Sub", found, mean), weight)
    hops = nodes("Reshape", nodes("Mul", centred, centred), nodes.row(number, length, hop))
    powers = nodes("ReduceMean", hops, np.array([2]), keepdims=0)  # (number, length)
    quiet = nodes("Mul", nodes("ReduceMean", powers, np.array([1]), keepdims=1), QUIET)
    levels = nodes.whole(nodes("Log", nodes("Max", powers, nodes("Max", quiet, TINY))), TensorProto.DOUBLE)
    sums = nodes("CumSum", nodes("Pad", levels, np.array([0, 1, 0, 0])), 1)
    many = 2**62
    over = nodes("Sub", nodes.part(sums, size, many, axis=1), nodes.part(sums, 0, nodes("Neg", size), axis=1))
    best = nodes("ArgMax", over, axis=1, keepdims=1)  # (number, 1)
    chosen = nodes("Add", nodes("Add", first, nodes("Mul", best, hop)), nodes("Mul", nodes("Range", 0, size, 1), hop))
    return nodes("Reshape", chosen, np.array([-1])), size
