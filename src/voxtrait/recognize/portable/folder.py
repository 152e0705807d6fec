"""Writes the folder of an exported bundle: graphs, a description for programs, one for people, and the licences."""

import hashlib
import importlib.metadata
import importlib.resources
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import onnx

from voxtrait.audio.signals import SAMPLING_RATE
from voxtrait.audio.writing import atomic_path
from voxtrait.bundle import SHIPPED, Bundle, describe
from voxtrait.errors import OptionError
from voxtrait.labels import AGE_GROUPS
from voxtrait.recognize.portable import answer, detection, voices

FORMAT: Final = 1
WIDTH: Final = 100  # columns of the page
FRAMES_AT_ONCE: Final = 2400  # frames for one call of the encoder: more are not faster, and need more memory
DESCRIPTION: Final = "model.json"
GRAPHS: Final = {
    "quick.onnx": "Speech detection, fast: the probability of speech of each 32 ms.",
    "silero.onnx": "Speech detection, exact (Silero VAD): for windows where the fast one is not clear.",
    "voice.onnx": "Front end and speaker encoder: speech in, one summary a window out.",
    "answer.onnx": "Heads and calibration: the summaries of all windows of a clip in, the answer out.",
    "segmentation.onnx": "Separates up to three speakers in 10 s of speech (pyannote's segmentation 3.0).",
}
"""Graphs of an export, and what each computes, in the order of their use. A bundle that cannot count voices has no
``segmentation.onnx``."""
MEANINGS: Final = {
    ("quick.onnx", "signal"): "Samples in [-1, 1], mono, 16 kHz. The length is a multiple of 512.",
    ("quick.onnx", "gain"): "Factor that brings the signal to the usual level.",
    ("quick.onnx", "shares"): "Probability of speech of each frame of 512 samples.",
    ("silero.onnx", "signal"): "Samples in [-1, 1], mono, 16 kHz. The length is a multiple of 512.",
    ("silero.onnx", "gain"): "Factor that brings the signal to the usual level.",
    ("silero.onnx", "context"): "The 64 samples before the signal; zeros at the beginning.",
    ("silero.onnx", "hidden"): "State; zeros at the beginning.",
    ("silero.onnx", "cell"): "State; zeros at the beginning.",
    ("silero.onnx", "shares"): "Probability of speech of each frame of 512 samples.",
    ("silero.onnx", "next_context"): "`context` of the next call.",
    ("silero.onnx", "next_hidden"): "`hidden` of the next call.",
    ("silero.onnx", "next_cell"): "`cell` of the next call.",
    ("voice.onnx", "speech"): "Speech without pauses, samples in [-1, 1], mono, 16 kHz, at any level; 0.7 s to 2 min.",
    ("voice.onnx", "rows"): "First window to compute, and the one after the last; 0 and 1,000,000 for all.",
    ("voice.onnx", "summaries"): "One row for each of these windows of the speech.",
    ("voice.onnx", "windows"): "Number of all windows of the speech.",
    ("answer.onnx", "summaries"): "The rows of all calls of voice.onnx for one clip.",
    ("answer.onnx", "speech_s"): "Seconds of speech in the clip: frames with speech × 0.032.",
    ("answer.onnx", "embedding"): "Speaker embedding of length 1. The scalar product of two is their cosine.",
    ("answer.onnx", "gender_logits"): "Logits of the genders, before calibration.",
    ("answer.onnx", "p_female"): "Calibrated probability of `female`, from 0 to 1.",
    ("answer.onnx", "age_logits"): "Logits of the age classes, before calibration.",
    ("answer.onnx", "age_years"): "Age in years, halfway between median and mean of the calibrated distribution.",
    ("answer.onnx", "age_low"): "Lower end of the calibrated 80 % interval, in years.",
    ("answer.onnx", "age_high"): "Upper end of the calibrated 80 % interval, in years.",
    ("answer.onnx", "age_groups"): "Calibrated probability of each age group. The sum is 1.",
    ("segmentation.onnx", "signal"): "A window of the speech, samples in [-1, 1], mono, 16 kHz. Up to 10 s are used.",
    ("segmentation.onnx", "activity"): "Probability that each speaker speaks. Frame `i` has the middle 270 i + 495.",
}
"""Meaning of each input and output."""
PACKAGE: Final = "voxtrait-web"  # folder of the JavaScript package
MODEL: Final = "model"  # folder of the graphs in it
SPEECH: Final = SHIPPED.parent / "speech"  # folder of the networks that every bundle uses


def write(bundle: Bundle, out: Path, *, above: Path | None = None) -> list[Path]:
    """Write a bundle to a new folder, as :func:`voxtrait.recognize.portable.export` does.

    ``model.json`` is written last, so that an interrupted export has none.

    Args:
        bundle: a bundle with an encoder.
        out: the folder.
        above: the folder that must be new, if it is not ``out`` itself.

    Returns:
        Paths of the files.
    """
    graphs = {
        "quick.onnx": detection.quick_graph(),
        "silero.onnx": detection.silero_graph(),
        "voice.onnx": answer.voice_graph(bundle),
        "answer.onnx": answer.answer_graph(bundle),
    }
    if counts_voices(bundle):
        graphs["segmentation.onnx"] = voices.segmentation_graph()
    new = above or out
    if new.exists() and (not new.is_dir() or any(new.iterdir())):
        raise OptionError(f"{new} exists and is not an empty folder. Choose a new folder for the export.")
    described = description(bundle, graphs)
    contents = {
        **graphs,
        "NOTICE.txt": notices(bundle).encode(),
        "README.md": readme(described).encode(),
        DESCRIPTION: (json.dumps(described, indent=1, ensure_ascii=False) + "\n").encode(),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        with atomic_path(out / name) as part:
            part.write_bytes(content)
    return [out / name for name in contents]


def write_package(bundle: Bundle, out: Path) -> list[Path]:
    """Write the JavaScript package voxtrait-web to a new folder, with the bundle in its folder ``model``.

    Returns:
        Paths of the files.
    """
    files = write(bundle, out / MODEL, above=out)
    for file in sorted(importlib.resources.files(__package__).joinpath(PACKAGE).iterdir(), key=lambda one: one.name):
        with atomic_path(out / file.name) as part:
            part.write_bytes(file.read_bytes())
        files.append(out / file.name)
    return files


def counts_voices(bundle: Bundle) -> bool:
    """Return whether a prediction of a bundle has the field ``voices``: only if its windows follow one another."""
    return not bundle.front_end.chosen_from


def description(bundle: Bundle, graphs: dict[str, bytes]) -> dict[str, Any]:
    """Return the content of ``model.json``.

    Args:
        bundle: the bundle.
        graphs: name of each file → serialised model.
    """
    origin = describe(bundle)
    gender = bundle.calibration.get("gender")
    return {
        "format": FORMAT,
        "name": bundle.name,
        "version": bundle.version,
        "model": bundle.title,
        "description": bundle.description,
        "licence": bundle.licence,
        "sampling_rate": SAMPLING_RATE,
        "windows_at_once": max(1, FRAMES_AT_ONCE // bundle.front_end.columns),
        "labels": {**{task: list(labels) for task, labels in bundle.outputs.items()}, "age_groups": list(AGE_GROUPS)},
        # the answer graph computes everything else of the calibration
        "unsure": None if gender is None else list(gender["unsure"]),
        "calibration": {task: dict(values) for task, values in bundle.calibration.items()},
        "speech": detection.rules(),
        "channels": voices.channel_rules(),
        "voices": voices.rules() if counts_voices(bundle) else None,
        "graphs": {
            name: {
                "computes": computes,
                "sha256": hashlib.sha256(graphs[name]).hexdigest(),
                **dict(zip(("inputs", "outputs"), _values(name, graphs[name]), strict=True)),
            }
            for name, computes in GRAPHS.items()
            if name in graphs
        },
        "scores": origin["scores"],
        "data": origin["data"],
        "pretrained": origin["pretrained"],
        "made_with": {**bundle.made_with, "export": f"voxtrait {importlib.metadata.version('voxtrait')}"},
    }


def _values(name: str, graph: bytes) -> Iterator[list[dict[str, Any]]]:
    """Yield the inputs and the outputs of a graph: name, type, shape and meaning."""
    model = onnx.load_from_string(graph)
    for found in (model.graph.input, model.graph.output):
        yield [
            {
                "name": one.name,
                "type": "float32",
                "shape": [size.dim_param or size.dim_value for size in one.type.tensor_type.shape.dim],
                "meaning": MEANINGS[name, one.name],
            }
            for one in found
        ]


def notices(bundle: Bundle) -> str:
    """Return the notices of the weights in the graphs."""
    files = [SPEECH / "silero_vad.NOTICE.txt"]
    if bundle.pretrained:
        files.append(SHIPPED / "campplus.NOTICE.txt")
    if counts_voices(bundle):
        files.append(SPEECH / "segmentation.NOTICE.txt")
    return "\n\n".join(file.read_text("utf-8").strip() for file in files) + "\n"


STEPS: Final = """\
# {model} as ONNX graphs

{description}

The graphs take samples and return the values of a prediction of voxtrait. They run on ONNX Runtime
1.18 or newer, in every language that it has. `model.json` has everything on this page for programs.

## Use

1. Decode the recording, average its channels, and resample it to 16 kHz: float32 samples in
   [-1, 1].
2. Find the speech with `quick.onnx` and `silero.onnx`. `model.json` has the numbers of the rules
   under `speech`, and `examples/cpp/voxtrait.hpp` of voxtrait has the rules in C++. If you have
   speech without pauses, skip this step.
3. Run `voice.onnx` on the speech. Cut more than two minutes into pieces, and join the rows. To need
   less memory, run it several times on a piece, for `windows_at_once` windows each.
4. Run `answer.onnx` on all rows.
5. If there is no speech, the status is `no_speech`; with less than {shortest} s, it is `too_short`:
   ignore the answer.
{unsure}{voices}
All values are float32. A shape that has a name may have any length. The graphs are optimised: turn
the runtime's own optimisation off to open them faster.
"""
UNSURE: Final = """\
6. If `p_female` is between {low:.4f} and {high:.4f}, the gender is `unsure`; else it is `female`
   from 0.5 on, and `male` below.
"""
VOICES: Final = """\

To find out whether several people speak, use `segmentation.onnx` and `embedding`. `model.json` has
the numbers of the rules under `voices`. The module `voices.js` of the package voxtrait-web has the
rules in JavaScript.
"""
REST: Final = """\
## Labels

{groups}

## Limits and licence

The output describes a voice, not a person. Do not use it to identify people or to decide about a
person. `scores` in `model.json` has the measured errors. Licence of the bundle: {licence}.
`NOTICE.txt` has the notices of the pretrained weights.
"""


def readme(described: dict[str, Any]) -> str:
    """Return the page for people: the steps, and each input and output of each graph.

    Args:
        described: the content of ``model.json``.
    """
    band = described["unsure"]
    unsure = UNSURE.format(low=band[0], high=band[1]) if band else ""
    filled = {
        "description": textwrap.fill(f"{described['description']}.", WIDTH),
        "shortest": described["speech"]["shortest_s"],
        "unsure": unsure,
        "voices": VOICES if described["voices"] else "",
    }
    parts = [STEPS.format(**described | filled)]
    for name, graph in described["graphs"].items():
        rows = [
            f"| {kind} | `{value['name']}` | ({', '.join(map(str, value['shape']))}{',' * (len(value['shape']) == 1)}) "
            f"| {value['meaning']} |"
            for kind, values in (("input", graph["inputs"]), ("output", graph["outputs"]))
            for value in values
        ]
        table = "\n".join(["| | name | shape | meaning |", "|---|---|---|---|", *rows])
        parts.append(f"## {name}\n\n{graph['computes']}\n\n{table}\n")
    names = ", ".join(f"`{group}`" for group in described["labels"]["age_groups"])
    groups = textwrap.fill(f"Age groups: {names}. Group `i` covers the years from `10 i` to `10 i + 10`.", WIDTH)
    parts.append(REST.format(groups=groups, licence=described["licence"]))
    return "\n".join(parts)
