"""Tiny bundles with a graph made by hand, whose answers can be worked out on paper, and the files to ask them about.

The graph sees the mean brightness ``m`` of a picture, in [0, 1]: :func:`grey` makes a picture of any brightness. Then

- ``gender``: P(female) = 1 / (1 + exp(-20 (m - 0.5))), a logit of ±10 (m - 0.5);
- ``age``: the class of group ``k`` has the logit -2 (k - 10 m)², so that the group next to 10 m is the most probable;
  joint classes add the same logit of gender.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from voxtrait import bundle as bundles
from voxtrait.bundle import Bundle
from voxtrait.features import FrontEnd, encode_png
from voxtrait.labels import AGE_GROUPS, GENDERS, JOINT_CLASSES, parts_of

FRONT_END = FrontEnd(n_mels=16, columns=24, n_fft=1024, window_length=512, shrink=2)
SHARPNESS = 2.0


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
    name: str = "tiny",
) -> Bundle:
    """Write a bundle into ``folder`` and load it."""
    labels = {"gender": GENDERS, "age": tuple(age_labels)}
    calibrations = {"gender": {"unsure": list(unsure)}, "age": {"tail": tail}}
    made = Bundle(
        folder=folder,
        name=name,
        version="1.0",
        description="A graph made by hand.",
        front_end=FRONT_END,
        outputs={task: labels[task] for task in tasks},
        calibration={
            task: {"temperature": 1.0, "bias": [0.0] * len(labels[task])} | calibrations[task] for task in tasks
        },
        scores={},
        data=({"corpus": "made up", "licence": "CC0-1.0", "clips": 4, "speakers": 2},),
        licence="Apache-2.0",
        made_with={"voxtrait": "0.1.0"},
    )
    bundles.write(made, graph({task: labels[task] for task in tasks}), speakers)
    return bundles.load(folder)


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


def buzz(seconds: float, rate: int = 16_000, channels: int = 1) -> np.ndarray:
    """Make a sound that the speech detector takes for speech: 120 Hz with its harmonics, ``(samples, channels)``."""
    t = np.arange(int(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20)) * (1 + 0.5 * np.sin(2 * np.pi * 4 * t))
    return np.repeat((0.2 * wave / np.abs(wave).max())[:, None], channels, axis=1).astype(np.float32)
