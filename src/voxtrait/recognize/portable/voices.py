"""Writes the network that separates speakers as an ONNX graph, for the field ``voices`` of a prediction.

The rules around the network, :mod:`voxtrait.recognize.several`, are no part of the graph. Their numbers are in
:func:`rules`, and those of :mod:`voxtrait.audio.channels` in :func:`channel_rules`, for programs in other languages.
The modules ``voices.js`` and ``channels.js`` of the JavaScript package have the rules.
"""

from typing import Any

import numpy as np

from voxtrait.audio import channels
from voxtrait.recognize import several
from voxtrait.recognize.notes import AVERAGED_NOTE, SEVERAL_NOTE
from voxtrait.recognize.portable.nodes import Nodes, packaged
from voxtrait.speech import segmentation


def segmentation_graph() -> bytes:
    """Return the network that separates speakers as a graph.

    Returns:
        The serialised model: ``signal`` (samples,) at 16 kHz → ``activity`` (589, 3), float32. The values are those of
        :func:`voxtrait.speech.segmentation.activity` for the first 10 s.

    Examples:
        >>> from voxtrait import runtime
        >>> session = runtime.session(segmentation_graph())
        >>> session.run(["activity"], {"signal": np.zeros(48_000, np.float32)})[0].shape
        (589, 3)
    """
    nodes = Nodes()
    signal = nodes.take("signal", np.float32, ["samples"])
    window = nodes.part(signal, 0, segmentation.WINDOW)
    missing = nodes("Sub", segmentation.WINDOW, nodes.shape(window))
    filled = nodes("Pad", window, nodes.row(0, missing))
    row = nodes("Unsqueeze", filled, np.array([0]))
    peaks = nodes.include(packaged(segmentation.FILTERS), {"signal": row})["peaks"]
    found = nodes.include(packaged(segmentation.GRAPH), {"signal": row, "peaks": peaks})["sets"]
    shares = nodes("Exp", nodes("Squeeze", found, np.array([0])))
    activity = nodes("MatMul", shares, segmentation.MEMBERS)
    nodes.give("activity", activity, np.float32, [segmentation.FRAMES, segmentation.SLOTS])
    return nodes.serialised()


def rules() -> dict[str, Any]:
    """Return the numbers of the rules around the network, and the message for several voices, for other programs.

    Examples:
        >>> rules()["alike"], rules()["frame_samples"]
        (0.8, 270)
    """
    return {
        "alike": several.ALIKE,
        "likely": several.LIKELY,
        "same": several.SAME,
        "slot_bonus": several.SLOT_BONUS,
        "active": several.ACTIVE,
        "frame_samples": segmentation.HOP,
        "piece_s": several.PIECE_S,
        "shortest_s": several.SHORTEST_S,
        "least_s": several.LEAST_S,
        "message": SEVERAL_NOTE,
    }


def channel_rules() -> dict[str, Any]:
    """Return the numbers of the rules that detect channels with different people, and the message about them.

    Examples:
        >>> channel_rules()["frame_s"], channel_rules()["dominant_db"]
        (0.1, 10.0)
    """
    return {
        "frame_s": channels.FRAME_S,
        "dominant_db": channels.DOMINANT_DB,
        "active_db": channels.ACTIVE_DB,
        "quietest": channels.QUIETEST,
        "least_s": channels.LEAST_S,
        "least_share": channels.LEAST_SHARE,
        "message": AVERAGED_NOTE,
    }
