"""Writes a bundle as two ONNX graphs: speech → summaries of windows, and summaries → the calibrated answer.

The second graph has the heads of the bundle and everything that :mod:`voxtrait.recognize.decision` computes: calibrated
probabilities, years, and the interval. So a program in another language needs no formula of its own.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto

from voxtrait.bundle import Bundle
from voxtrait.errors import BundleError
from voxtrait.labels import AGE_GROUPS, GENDERS, YEARS
from voxtrait.recognize import decision
from voxtrait.recognize.portable.nodes import Nodes
from voxtrait.recognize.portable.windows import windows

DOUBLE = TensorProto.DOUBLE


def voice_graph(bundle: Bundle) -> bytes:
    """Return the front end and the encoder of a bundle as one graph.

    Args:
        bundle: a bundle with an encoder.

    Returns:
        The serialised model: ``speech`` (samples,) at 16 kHz, and ``rows`` (2,), the first window to compute and the
        one after the last → ``summaries`` (rows, f), and ``windows`` (1,), the number of windows of the speech. All
        values are float32. A few rows at a time need less memory than all.

    Raises:
        BundleError: if the bundle has no encoder, or its front end has another sampling rate.

    Examples:
        >>> from voxtrait import bundle, runtime
        >>> session = runtime.session(voice_graph(bundle.load("voxtrait-fast")))
        >>> inputs = {"speech": np.zeros(16000, np.float32), "rows": np.array([0, 9], np.float32)}
        >>> session.run(["summaries"], inputs)[0].shape
        (1, 1216)
    """
    head = _check(bundle)
    nodes = Nodes()
    speech = nodes.take("speech", np.float32, ["samples"])
    cut = windows(nodes, speech, bundle.front_end)
    rows = nodes.whole(nodes.take("rows", np.float32, [2]), TensorProto.INT64)
    first, stop = nodes.several("Split", 2, rows, num_outputs=2)
    some = nodes("Slice", cut, first, stop, np.array([0]))
    summaries = nodes.include(bundle.model.read_bytes(), {"windows": some})["summary"]
    nodes.give("summaries", summaries, np.float32, ["rows", _width(head, "summary")])
    nodes.give("windows", nodes.whole(nodes("Shape", cut, start=0, end=1)), np.float32, [1])
    return nodes.serialised()


def answer_graph(bundle: Bundle) -> bytes:
    """Return the heads and the calibration of a bundle as one graph.

    Args:
        bundle: a bundle with an encoder.

    Returns:
        The serialised model. Inputs: ``summaries`` (windows, f) of all windows of a clip, and ``speech_s`` (1,), the
        seconds of speech. Outputs, float32: ``embedding`` (d,); for a bundle that predicts gender, ``gender_logits``
        (2,) and ``p_female`` (1,); for one that predicts age, ``age_logits`` (classes,), ``age_years``, ``age_low`` and
        ``age_high`` (1,), and ``age_groups`` (10,).

    Raises:
        BundleError: if the bundle has no encoder, or its front end has another sampling rate.

    Examples:
        >>> from voxtrait import bundle, runtime
        >>> session = runtime.session(answer_graph(bundle.load("voxtrait-fast")))
        >>> [one.name for one in session.get_outputs()][:3]
        ['embedding', 'gender_logits', 'p_female']
    """
    head = _check(bundle)
    nodes = Nodes()
    summaries = nodes.take("summaries", np.float32, ["windows", _width(head, "summary")])
    speech_s = nodes.take("speech_s", np.float32, [1])
    wide = nodes.whole(summaries, DOUBLE)
    mean = nodes.whole(nodes("ReduceMean", wide, np.array([0]), keepdims=1))
    found = nodes.include(head, {"summary": mean})
    flat = {name: nodes("Reshape", value, np.array([-1])) for name, value in found.items()}
    nodes.give("embedding", flat["embedding"], np.float32, [_width(head, "embedding")])
    seconds = nodes.whole(speech_s, DOUBLE)
    shares = {task: _shares(nodes, bundle, task, flat[task], seconds) for task in bundle.outputs}
    ages = _ages(nodes, shares["age"], bundle.outputs["age"]) if "age" in shares else ""
    likely = ""
    if "gender" in shares:
        at = GENDERS.index("female")
        likely = nodes.part(shares["gender"], at, at + 1)
        childhood = bundle.calibration["gender"]["childhood"]
        if ages and childhood:
            likely = _without_childhood(nodes, likely, ages, _bins(bundle.outputs["age"]), childhood)
        nodes.give("gender_logits", flat["gender"], np.float32, [len(GENDERS)])
        nodes.give("p_female", nodes.whole(likely), np.float32, [1])
    if ages:
        nodes.give("age_logits", flat["age"], np.float32, [len(bundle.outputs["age"])])
        _give_ages(nodes, ages, likely or nodes.constant(np.array([0.5])), bundle)
    return nodes.serialised()


def _check(bundle: Bundle) -> bytes:
    """Return the graph of the heads, if the bundle has one."""
    if bundle.head is None:
        raise BundleError(
            f"{bundle.title} is a CNN on spectrogram images, which has no graph from samples to an answer. Use a "
            "bundle with a speaker encoder, such as voxtrait-base."
        )
    return bundle.head.read_bytes()


def _width(head: bytes, name: str) -> int:
    """Return the number of values in a row of an input or output of the heads."""
    graph = onnx.load_from_string(head).graph
    sizes = {one.name: one.type.tensor_type.shape.dim[-1].dim_value for one in (*graph.input, *graph.output)}
    return int(sizes[name])


def _shares(nodes: Nodes, bundle: Bundle, task: str, logits: str, seconds: str) -> str:
    """Calibrate the logits of a task: ``(classes,)`` float64."""
    calibration = bundle.calibration[task]
    least, most = (np.array(one) for one in decision.EVIDENCE_S)
    counted = nodes("Div", nodes("Max", nodes("Min", seconds, most), least), np.array(decision.USUAL_S))
    power = nodes("Pow", counted, np.array(-float(calibration["evidence"])))
    temperature = nodes("Mul", power, np.array(float(calibration["temperature"])))
    biased = nodes("Add", nodes.whole(logits, DOUBLE), np.array(calibration["bias"], np.float64))
    return nodes("Softmax", nodes("Div", biased, temperature), axis=0)


def _ages(nodes: Nodes, shares: str, labels: Sequence[str]) -> str:
    """Convert the probabilities of the age classes to those of years, or of age groups."""
    if tuple(labels) == YEARS:
        return shares
    into = decision.group_probabilities(np.eye(len(labels)), labels)
    return nodes("MatMul", shares, into)


def _bins(labels: Sequence[str]) -> int:
    return len(YEARS) if tuple(labels) == YEARS else len(AGE_GROUPS)


def _without_childhood(nodes: Nodes, likely: str, ages: str, bins: int, childhood: float) -> str:
    """Add :func:`voxtrait.recognize.decision.without_childhood`."""
    below = np.clip(childhood / (decision.LIFE / bins) - np.arange(bins), 0, 1)
    total = nodes("ReduceSum", ages, np.array([0]), keepdims=1)
    child = nodes("Div", nodes("ReduceSum", nodes("Mul", ages, below), np.array([0]), keepdims=1), total)
    shown = nodes("Sub", np.array(1.0), nodes("Mul", child, child))
    fourth = nodes("Pow", shown, np.array(4.0))
    half = np.array(0.5)
    return nodes("Add", nodes("Mul", nodes("Sub", likely, half), fourth), half)


def _give_ages(nodes: Nodes, ages: str, likely: str, bundle: Bundle) -> None:
    """Add years, interval and age groups: :func:`voxtrait.recognize.decision.age_answer`."""
    bins = _bins(bundle.outputs["age"])
    low, high = _interval(nodes, ages, bins, likely, bundle.calibration["age"]["tail"])
    years = nodes("Min", nodes("Max", _years(nodes, ages, bins), low), high)
    groups = nodes("ReduceSum", nodes("Reshape", ages, np.array([len(AGE_GROUPS), -1])), np.array([1]), keepdims=0)
    for name, value in (("age_years", years), ("age_low", low), ("age_high", high)):
        nodes.give(name, nodes.whole(value), np.float32, [1])
    nodes.give("age_groups", nodes.whole(groups), np.float32, [len(AGE_GROUPS)])


def _years(nodes: Nodes, ages: str, bins: int) -> str:
    """Add :func:`voxtrait.recognize.decision.estimated_years`: ``(1,)`` float64."""
    total = nodes("CumSum", ages, 0)
    goal = nodes("Mul", nodes.part(total, bins - 1, bins), np.array(0.5))
    reached = nodes("GreaterOrEqual", total, nodes("Sub", goal, np.array(1e-12)))
    inside = nodes("ArgMax", nodes.whole(reached), axis=0, keepdims=1)
    before = nodes("Gather", nodes("Sub", total, ages), inside)
    share = nodes("Max", nodes("Gather", ages, inside), np.array(1e-12))
    part = nodes("Min", nodes("Max", nodes("Div", nodes("Sub", goal, before), share), np.array(0.0)), np.array(1.0))
    median = nodes("Add", nodes.whole(inside, DOUBLE), part)
    every = nodes("ReduceSum", nodes("Mul", ages, np.arange(bins) + 0.5), np.array([0]), keepdims=1)
    mean = nodes("Div", every, nodes.part(total, bins - 1, bins))
    return nodes("Mul", nodes("Add", median, mean), np.array(decision.LIFE / bins / 2))


def _interval(nodes: Nodes, ages: str, bins: int, likely: str, tail: decision.Tail) -> tuple[str, str]:
    """Add :func:`voxtrait.recognize.decision.interval`: lowest and highest years, ``(1,)`` float64."""
    life = int(decision.LIFE)
    single = nodes("Gather", ages, np.arange(life) * bins // life)
    sums = nodes("CumSum", nodes("Pad", single, np.array([1, 0])), 0)  # (101,)
    below = nodes("Div", sums, nodes.part(sums, life, life + 1))
    if isinstance(tail, int | float):
        tails = nodes.constant(np.full(life + 1, float(tail)))
    else:
        female, male = decision.log_tails(tuple(tuple(row) for row in tail))
        tails = nodes("Exp", nodes("Add", nodes("Mul", likely, female - male), np.asarray(male)))
    one = np.array(1.0)
    above = nodes("Gather", nodes("Sub", nodes("Sub", one, tails), below), np.arange(life, -1, -1))
    low, high = (_crossing(nodes, spare) for spare in (nodes("Sub", below, tails), above))
    return low, nodes("Sub", np.array(decision.LIFE), high)


def _crossing(nodes: Nodes, spare: str) -> str:
    """Return where a row that begins below zero first reaches it, ``(1,)`` float64."""
    after = nodes("ArgMax", nodes.whole(nodes("GreaterOrEqual", spare, np.array(0.0))), axis=0, keepdims=1)
    inside, outside = nodes("Gather", spare, after), nodes("Gather", spare, nodes("Sub", after, 1))
    return nodes("Sub", nodes.whole(after, DOUBLE), nodes("Div", inside, nodes("Sub", inside, outside)))
