"""Writes the two networks of the speech detection as ONNX graphs that read samples.

The rules around the networks, :mod:`voxtrait.speech.detector`, are no part of the graphs. Their numbers are in
:func:`rules`, for programs in other languages.
"""

from typing import Any

import numpy as np

from voxtrait.recognize.clip import SHORTEST_S, STRETCH_S
from voxtrait.recognize.portable.nodes import Nodes, packaged
from voxtrait.recognize.portable.windows import spectrum
from voxtrait.speech import detector, network, quick

STATE = (1, 1, 128)  # shape of the two vectors of Silero's recurrent layer


def quick_graph() -> bytes:
    """Return the quick speech detector as a graph that reads samples.

    Returns:
        The serialised model: ``signal`` (n * 512,) at 16 kHz and ``gain`` (1,) → ``shares`` (n,), float32. The shares
        are those of :func:`voxtrait.speech.quick.probabilities`.

    Examples:
        >>> from voxtrait import runtime
        >>> inputs = {"signal": np.zeros(5 * 512, np.float32), "gain": np.ones(1, np.float32)}
        >>> runtime.session(quick_graph()).run(["shares"], inputs)[0].shape
        (5,)
    """
    nodes = Nodes()
    signal = nodes.take("signal", np.float32, ["samples"])
    gain = nodes.take("gain", np.float32, [1])
    frames = nodes("Reshape", signal, np.array([-1, network.FRAME]))
    powers = spectrum(nodes, nodes("Mul", frames, nodes("Mul", quick.HANN, gain)), network.FRAME)
    logits = nodes.include(packaged(quick.GRAPH), {"powers": powers})["logits"]
    shares = nodes("Sigmoid", nodes("Clip", logits, -quick.HIGHEST, quick.HIGHEST))
    nodes.give("shares", shares, np.float32, ["frames"])
    return nodes.serialised()


def silero_graph() -> bytes:
    """Return Silero's network as a graph that reads samples.

    Returns:
        The serialised model: ``signal`` (n * 512,) at 16 kHz, ``gain`` (1,), ``context`` (64,), ``hidden`` and ``cell``
        (1, 1, 128) → ``shares`` (n,), and ``next_context``, ``next_hidden`` and ``next_cell``, float32. The shares are
        those of :func:`voxtrait.speech.network.probabilities`.

    Examples:
        >>> from voxtrait import runtime
        >>> [one.name for one in runtime.session(silero_graph()).get_outputs()]
        ['shares', 'next_context', 'next_hidden', 'next_cell']
    """
    nodes = Nodes()
    signal = nodes.take("signal", np.float32, ["samples"])
    gain = nodes.take("gain", np.float32, [1])
    context = nodes.take("context", np.float32, [network.CONTEXT])
    hidden = nodes.take("hidden", np.float32, STATE)
    cell = nodes.take("cell", np.float32, STATE)
    padded = nodes("Concat", context, signal, axis=0)
    count = nodes("Div", nodes.shape(signal), network.FRAME)
    first = nodes("Unsqueeze", nodes("Mul", nodes("Range", 0, count, 1), network.FRAME), np.array([1]))
    length = network.CONTEXT + network.FRAME
    # the samples of a frame's windows, the last of which ends with mirrored samples
    places = np.arange((network.FRAME + 2 * network.CONTEXT - network.FFT) // network.HOP + 1)[:, None] * network.HOP
    within = places + np.arange(network.FFT)
    within = np.where(within < length, within, 2 * (length - 1) - within)
    frames = nodes("Gather", padded, nodes("Add", first, within.reshape(1, -1)))
    cut = nodes("Reshape", frames, np.array([-1, *within.shape]))
    powers = spectrum(nodes, nodes("Mul", cut, nodes("Mul", network.HANN, gain)), network.FFT)
    inputs = {"spectra": nodes("Sqrt", powers), "h": hidden, "c": cell}
    found = nodes.include(packaged(network.GRAPH), inputs, halved=True)
    nodes.give("shares", found["speech_probs"], np.float32, ["frames"])
    after = nodes("Slice", padded, np.array([-network.CONTEXT]), np.array([2**62]))
    nodes.give("next_context", after, np.float32, [network.CONTEXT])
    nodes.give("next_hidden", found["hn"], np.float32, STATE)
    nodes.give("next_cell", found["cn"], np.float32, STATE)
    return nodes.serialised()


def rules() -> dict[str, Any]:
    """Return the numbers of the rules around the networks, for other programs; each key has the unit in its name.

    Examples:
        >>> rules()["frame_samples"], rules()["on"]
        (512, 0.5)
    """
    return {
        "frame_samples": network.FRAME,
        "window_frames": detector.WINDOW_FRAMES,
        "on": detector.ON,
        "off": detector.OFF,
        "sure": detector.SURE,
        "sure_frames": detector.SURE_FRAMES,
        "bridge_frames": detector.BRIDGE_FRAMES,
        "margin_frames": detector.MARGIN_FRAMES,
        "surrounding_frames": detector.SURROUNDING_FRAMES,
        "pause_frames": detector.PAUSE_FRAMES,
        "quietest_dbfs": detector.QUIETEST_DBFS,
        "target_dbfs": detector.TARGET_DBFS,
        "silent_db": detector.SILENT_DB,
        "loud_frames": detector.LOUD_FRAMES,
        "brief_frames": detector.BRIEF_FRAMES,
        "brief_db": detector.BRIEF_DB,
        "quick_speech": quick.SPEECH,
        "quick_pause": quick.PAUSE,
        "quick_speech_frames": quick.SPEECH_FRAMES,
        "quick_sure": quick.SURE,
        "quick_doubted": quick.DOUBTED,
        "shortest_s": SHORTEST_S,
        "stretch_s": STRETCH_S,
    }
