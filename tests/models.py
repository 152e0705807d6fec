"""Tiny bundles with graphs made by hand, whose answers can be worked out on paper, and the files to ask them about.

:func:`make_bundle` makes one of pictures. The graph sees the mean brightness ``m`` of a picture, in [0, 1]:
:func:`grey` makes a picture of any brightness. Then

- ``gender``: P(female) = 1 / (1 + exp(-20 (m - 0.5))), a logit of ±10 (m - 0.5);
- ``age``: the class of group ``k`` has the logit -2 (k - 10 m)², so that the group next to 10 m is the most probable;
  joint classes add the same logit of gender.

:func:`make_encoder_bundle` makes one of windows. The encoder gives the mean and the standard deviation of each band
over the frames of a window (:func:`summary_of`); the heads see the tilt ``x`` of the mean summary (:func:`tilt_of`).
Then

- ``gender``: P(female) = 1 / (1 + exp(-4 x));
- ``age``: years are normal about 40 + 10 x with a standard deviation of 8;
- ``embedding``: a fixed random projection of the summary to 48 values, of length 1.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
from onnx import TensorProto, helper

from voxtrait import bundle as bundles
from voxtrait import synthetic
from voxtrait.bundle import Bundle
from voxtrait.features import FrontEnd, encode_png, kaldi_front_end
from voxtrait.labels import AGE_GROUPS, GENDERS, JOINT_CLASSES, YEARS, parts_of

FRONT_END = FrontEnd(n_mels=16, columns=24, n_fft=1024, window_length=512, shrink=2)
SHARPNESS = 2.0
SPREAD = 8.0  # years
WINDOWS = kaldi_front_end(160)  # the front end of the encoder: windows of at most 1.6 s
BANDS = WINDOWS.n_mels
SUMMARY = 2 * BANDS
EMBEDDING = 48  # values; no shipped bundle has so few
# lower less upper bands: of the means, which cancel out over the windows of a clip, and of the standard deviations
TILT = np.repeat([0.003, -0.003, 0.025, -0.025], 40).astype(np.float32)
OFFSET = -0.4  # brings the tilt of a voice near to 0
PROJECTION = np.random.default_rng(0).normal(0, 1, (SUMMARY, EMBEDDING)).astype(np.float32)


def p_female(m: float) -> float:
    return 1 / (1 + float(np.exp(-20 * (m - 0.5))))


def make_bundle(
    folder: Path,
    *,
    tasks: Sequence[str] = ("gender", "age"),
    age_labels: Sequence[str] = AGE_GROUPS,
    speakers: Iterable[str] = (),
    unsure: tuple[float, float] = (0.4, 0.6),
    tail: float = 0.1,
    evidence: float = 0.0,
    name: str = "tiny",
) -> Bundle:
    """Write a bundle of pictures into ``folder`` and load it."""
    labels = {task: {"gender": GENDERS, "age": tuple(age_labels)}[task] for task in tasks}
    calibration = {"gender": {"unsure": list(unsure), "childhood": 0.0}, "age": {"tail": tail}}
    made = _describe(folder, name, FRONT_END, labels, calibration, evidence)
    bundles.write(made, graph(labels), speakers)
    return bundles.load(folder)


def make_encoder_bundle(
    folder: Path,
    *,
    tasks: Sequence[str] = ("gender", "age"),
    evidence: float = 0.0,
    childhood: float = 0.0,
    name: str = "small",
) -> Bundle:
    """Write a bundle of windows into ``folder`` and load it."""
    labels = {task: {"gender": GENDERS, "age": YEARS}[task] for task in tasks}
    calibration = {"gender": {"unsure": [0.5, 0.5], "childhood": childhood}, "age": {"tail": 0.1}}
    made = _describe(folder, name, WINDOWS, labels, calibration, evidence)
    made = dataclasses.replace(made, pretrained=({"name": "nothing", "source": "made up", "licence": "CC0-1.0"},))
    bundles.write(made, encoder_graph(), ["one", "two"], head_graph(labels))
    return bundles.load(folder)


def with_scores(made: Bundle, scores: Mapping[str, Any]) -> Bundle:
    """Give a bundle other scores, on disk too, and load it again."""
    file = made.folder / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | {"scores": scores}), "utf-8")
    return bundles.load(made.folder)


def _describe(
    folder: Path,
    name: str,
    front_end: FrontEnd,
    labels: dict[str, tuple[str, ...]],
    calibration: dict[str, dict[str, Any]],
    evidence: float,
) -> Bundle:
    fitted = {
        task: {"temperature": 1.0, "evidence": evidence, "bias": [0.0] * len(names)} | calibration[task]
        for task, names in labels.items()
    }
    return Bundle(
        folder=folder,
        name=name,
        version="1.0",
        description="Graphs made by hand.",
        front_end=front_end,
        outputs=labels,
        calibration=fitted,
        scores={},
        data=({"corpus": "made up", "licence": "CC0-1.0", "clips": 4, "speakers": 2},),
        licence="Apache-2.0",
        made_with={"voxtrait": "0.1.0"},
    )


def graph(outputs: dict[str, Sequence[str]]) -> bytes:
    """Make the graph described above, linear in m: the square of 10 m is the same for all groups and falls out."""
    nodes = [helper.make_node("ReduceMean", ["input", "axes"], ["m"], keepdims=0)]
    tensors = [helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])]
    nodes += [helper.make_node("Unsqueeze", ["m", "one"], ["column"])]
    tensors += [helper.make_tensor("one", TensorProto.INT64, [1], [1])]
    for task, labels in outputs.items():
        slope, shift = np.transpose([_line(label) for label in labels]).astype(np.float32)
        tensors += [
            helper.make_tensor(f"{task}_slope", TensorProto.FLOAT, [1, len(labels)], slope),
            helper.make_tensor(f"{task}_shift", TensorProto.FLOAT, [len(labels)], shift),
        ]
        nodes += [
            helper.make_node("MatMul", ["column", f"{task}_slope"], [f"{task}_product"]),
            helper.make_node("Add", [f"{task}_product", f"{task}_shift"], [task]),
        ]
    values = [
        helper.make_tensor_value_info(task, TensorProto.FLOAT, ["n", len(labels)]) for task, labels in outputs.items()
    ]
    seen = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", *FRONT_END.input_shape])
    return _serialised(nodes, tensors, seen, values)


def encoder_graph(
    size: int = SUMMARY, *, frames: int | str = "frames", bands: int = BANDS, name: str = "windows"
) -> bytes:
    """Make the encoder described above: windows ``(n, frames, 80)`` → summary ``(n, 160)``, or less of it."""
    constants = {"frames": [1], "from": [0], "to": [size]}
    nodes = [
        helper.make_node("ReduceMean", [name, "frames"], ["middle"], keepdims=1),
        helper.make_node("Sub", [name, "middle"], ["deviation"]),
        helper.make_node("Mul", ["deviation", "deviation"], ["square"]),
        helper.make_node("ReduceMean", ["square", "frames"], ["variance"], keepdims=0),
        helper.make_node("Sqrt", ["variance"], ["spread"]),
        helper.make_node("Squeeze", ["middle", "frames"], ["mean"]),
        helper.make_node("Concat", ["mean", "spread"], ["both"], axis=1),
        helper.make_node("Slice", ["both", "from", "to", "frames"], ["summary"]),
    ]
    seen = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", frames, bands])
    given = helper.make_tensor_value_info("summary", TensorProto.FLOAT, ["n", size])
    return _serialised(nodes, _tensors(constants), seen, [given])


def head_graph(labels: Mapping[str, Sequence[str]], embedding: str = "embedding") -> bytes:
    """Make the heads described above: summary ``(m, 160)`` → gender ``(m, 2)``, age ``(m, 100)``, embedding ``(m,
    48)``."""
    years = np.arange(100) + 0.5
    lines = {
        "gender": (np.array([2.0, -2.0]), np.zeros(2)),
        "age": (10 * years / SPREAD**2, (40 * years - years**2 / 2) / SPREAD**2),
    }
    constants = {"tilt": TILT[:, None], "offset": np.float32(OFFSET), "projection": PROJECTION, "last": [1]}
    nodes = [
        helper.make_node("MatMul", ["summary", "tilt"], ["falling"]),
        helper.make_node("Add", ["falling", "offset"], ["x"]),
        helper.make_node("MatMul", ["summary", "projection"], ["raw"]),
        helper.make_node("ReduceL2", ["raw", "last"], ["length"], keepdims=1),
        helper.make_node("Div", ["raw", "length"], [embedding]),
    ]
    values = [helper.make_tensor_value_info(embedding, TensorProto.FLOAT, ["m", EMBEDDING])]
    for task, names in labels.items():
        slope, shift = (values[: len(names)].astype(np.float32) for values in lines[task])
        constants |= {f"{task}_slope": slope[None], f"{task}_shift": shift}
        nodes += [
            helper.make_node("MatMul", ["x", f"{task}_slope"], [f"{task}_product"]),
            helper.make_node("Add", [f"{task}_product", f"{task}_shift"], [task]),
        ]
        values.append(helper.make_tensor_value_info(task, TensorProto.FLOAT, ["m", len(names)]))
    seen = helper.make_tensor_value_info("summary", TensorProto.FLOAT, ["m", SUMMARY])
    return _serialised(nodes, _tensors(constants), seen, values)


def summary_of(windows: np.ndarray) -> np.ndarray:
    """Give the mean of the encoder's summaries of windows ``(n, frames, 80)``: ``(160,)``, float64."""
    values = windows.astype(np.float64)
    return np.concatenate([values.mean(axis=1), values.std(axis=1)], axis=1).mean(axis=0)


def tilt_of(windows: np.ndarray) -> float:
    """Give the tilt that the heads see for windows ``(n, frames, 80)``."""
    return float(summary_of(windows) @ TILT) + OFFSET


def _tensors(constants: Mapping[str, Any]) -> list[onnx.TensorProto]:
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    return [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]


def unopened() -> bytes:
    """Make a graph without anything forbidden, which ONNX Runtime cannot open: its operator does not exist."""
    seen, given = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("input", "gender"))
    nodes = [helper.make_node("NoSuchOperator", ["input"], ["gender"])]
    model = helper.make_model(helper.make_graph(nodes, "tiny", [seen], [given]), ir_version=9)
    return bytes(model.SerializeToString())


def _serialised(
    nodes: list[onnx.NodeProto],
    tensors: list[onnx.TensorProto],
    seen: onnx.ValueInfoProto,
    values: list[onnx.ValueInfoProto],
) -> bytes:
    model = helper.make_model(
        helper.make_graph(nodes, "tiny", [seen], values, tensors), opset_imports=[helper.make_opsetid("", 18)]
    )
    model.ir_version = 9
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _line(label: str) -> tuple[float, float]:
    """Slope and shift of a class's logit as a function of m."""
    if label in GENDERS:
        sign = 1 if label == "female" else -1
        return 10.0 * sign, -5.0 * sign
    if label in JOINT_CLASSES:
        gender, group = parts_of(label)
        both = np.add(_line(gender), _line(group))
        return float(both[0]), float(both[1])
    k = AGE_GROUPS.index(label)
    return SHARPNESS * 20.0 * k, -SHARPNESS * k * k


def grey(path: Path, m: float) -> Path:
    """Write a picture whose mean brightness is ``m``, rounded to 1/255: a file with an answer known beforehand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.full((FRONT_END.n_mels, FRONT_END.columns), round(255 * m), np.uint8)))
    return path


def voice(seconds: float, rate: int = 16_000, channels: int = 1, seed: int = 1) -> np.ndarray:
    """Let a made-up woman of 34 speak, ``(samples, channels)``, at a level that the graph of pictures is unsure of."""
    wave = synthetic.speak(synthetic.draw_voice("female", 34, seed=seed), seconds, seed=1, sampling_rate=rate)
    return np.repeat((0.09 * wave / np.abs(wave).max())[:, None], channels, axis=1).astype(np.float32)
