"""The folder of a bundle: its content as a value, its files, and their checks."""

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from voxtrait.audio.writing import atomic_path
from voxtrait.bundle import graphs, hashes
from voxtrait.bundle import scores as figures
from voxtrait.errors import BundleError, OptionError
from voxtrait.features import FrontEnd
from voxtrait.labels import AGE_GROUPS, GENDERS, JOINT_CLASSES, YEARS

FORMAT: Final = 3
FORMATS: Final = {"pictures": (2, 3), "windows": (3,)}
"""Formats that can be loaded. Up to format 2, the windows of an encoder had a fixed length and could overlap."""
DEFAULT: Final = "voxtrait-base"
RENAMED: Final = {"voxtrait-large": DEFAULT}
"""Former names of shipped bundles → their current names. Loading a former name gives a warning."""
SHIPPED: Final = Path(__file__).parents[1] / "bundles"
TASKS: Final = {"gender": (GENDERS,), "age": (JOINT_CLASSES, AGE_GROUPS, YEARS)}
"""The tasks of a graph, and the possible labels of each."""
CALIBRATION: Final = {
    "gender": {
        "temperature",  # Divisor of the logits for 4 s of speech.
        "evidence",  # Exponent: the temperature is multiplied by (seconds of speech / 4) to the power of -evidence.
        "bias",  # One number a label, added to its logit before the division.
        "unsure",  # Abstention band: lower and upper `p_female` between which the gender is `unsure`.
        "childhood",  # Age in years below which a voice presents no gender; 0 turns this off.
    },
    "age": {
        "temperature",  # Divisor of the logits for 4 s of speech.
        "evidence",  # Exponent: the temperature is multiplied by (seconds of speech / 4) to the power of -evidence.
        "bias",  # One number a label, added to its logit before the division.
        "tail",  # Probability left out at either end of the interval: one number, or one by gender and age group.
    },
}
"""Keys of the calibration of each task."""
FILES: Final = (
    "model.onnx",  # ONNX graph: a classifier of spectrogram images, or a speaker encoder.
    "head.onnx",  # ONNX graph of the heads on the encoder. Only with a speaker encoder.
    "speakers.txt",  # Hashes of the speakers of training and model selection, one a line.
)
"""Files of a bundle beside ``bundle.json``."""
PRETRAINED: Final = {"name", "source", "licence"}
LARGEST: Final = {"bundle.json": 2**20, "speakers.txt": 64 * 2**20}
"""Maximum sizes of files in bytes; that of graphs is :data:`voxtrait.bundle.graphs.LARGEST`."""
_TYPES: Final = {
    "name": str, "version": str, "description": str, "licence": str,
    "outputs": dict, "calibration": dict, "scores": dict, "made_with": dict, "front_end": dict, "files": dict,
    "data": list, "pretrained": list,
}  # fmt: skip
_STEEPEST: Final = 1e6  # largest size of a calibration value, far above any that a training finds


@dataclasses.dataclass(frozen=True)
class Bundle:
    """The content of ``bundle.json``, checked."""

    #: Folder of the bundle; not in ``bundle.json``.
    folder: Path
    #: Name of the bundle.
    name: str
    #: Version of the bundle.
    version: str
    #: One sentence about the bundle.
    description: str
    #: Parameters of the spectrogram.
    front_end: FrontEnd
    #: Labels of each task, in the order of the graph's output.
    outputs: Mapping[str, tuple[str, ...]]
    #: Calibration of each task.
    calibration: Mapping[str, Mapping[str, Any]]
    #: Figures of the bundle's own evaluation.
    scores: Mapping[str, Any]
    #: Corpora of the training, each with its licence and the number of clips and speakers.
    data: tuple[Mapping[str, Any], ...]
    #: Licence of the bundle.
    licence: str
    #: Versions of voxtrait and torch, and the recipe, as texts.
    made_with: Mapping[str, str]
    #: Pretrained weights that the training started from, each with ``name``, ``source`` and ``licence``.
    pretrained: tuple[Mapping[str, Any], ...] = ()
    #: SHA-256 hash of each other file.
    files: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def model(self) -> Path:
        """File of the graph, or of the encoder."""
        return self.folder / "model.onnx"

    @property
    def head(self) -> Path | None:
        """File of the heads; ``None`` for a bundle on spectrogram images."""
        return self.folder / "head.onnx" if self.front_end.fit == "windows" else None

    @property
    def title(self) -> str:
        """Name and version, as in a prediction, such as ``voxtrait-base 2.2``."""
        return f"{self.name} {self.version}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 hash of ``bundle.json``, which contains the hashes of the other files."""
        return hashlib.sha256((self.folder / "bundle.json").read_bytes()).hexdigest()

    def speakers(self) -> frozenset[str]:
        """Return the hashes of the speakers of training and model selection, as :func:`hash_speaker` makes them."""
        name = "speakers.txt"
        content = hashes.read(self.folder / name, _largest(name), self.files.get(name))
        return frozenset(content.decode("ascii", "replace").split())

    def verify(self, name: str) -> None:
        """Compare a file with its hash, so that a graph that was replaced after loading is not used.

        Raises:
            BundleError: if the file is missing or was changed.

        Examples:
            >>> load("voxtrait-diary").verify("model.onnx")
        """
        hashes.verify(self.folder / name, _largest(name), self.files.get(name, ""))


def describe(bundle: Bundle) -> dict[str, Any]:
    """Return tasks, scores, data, licences and size of a bundle as values for JSON.

    Examples:
        >>> list(describe(load("voxtrait-diary")))[:4]
        ['name', 'version', 'description', 'tasks']
    """
    return {
        "name": bundle.name,
        "version": bundle.version,
        "description": bundle.description,
        "tasks": {task: list(labels) for task, labels in bundle.outputs.items()},
        "scores": dict(bundle.scores),
        "data": [dict(entry) for entry in bundle.data],
        "pretrained": [dict(part) for part in bundle.pretrained],
        "licence": bundle.licence,
        "size_mb": round(
            sum((bundle.folder / name).stat().st_size for name in ("bundle.json", *bundle.files)) / 1e6, 2
        ),
    }


def hash_speaker(speaker_id: str) -> str:
    """Return the hash of a speaker id in ``speakers.txt``: 16 hexadecimal digits of BLAKE2b.

    Examples:
        >>> hash_speaker("speaker-1")
        '8aa86ad9e1092b04'
    """
    return hashlib.blake2b(speaker_id.encode(), digest_size=8).hexdigest()


def shipped() -> list[Path]:
    """Return the folders of the bundles in the package."""
    return sorted(folder.parent for folder in SHIPPED.glob("*/bundle.json"))


def current_name(which: str | os.PathLike[str] | None = None) -> str:
    """Return the current name of a bundle for a former name. Any other name or folder is returned unchanged.

    Args:
        which: a folder, a name such as ``voxtrait-base``, or ``None`` for the default.

    Warns:
        DeprecationWarning: if the name is a former one. The warning points at the line that called the caller of this
            function.

    Examples:
        >>> current_name()
        'voxtrait-base'
    """
    text = os.fspath(which) if which is not None else DEFAULT
    if text not in RENAMED or (Path(text) / "bundle.json").is_file():
        return text
    warnings.warn(f"{text} is now {RENAMED[text]}: use that name", DeprecationWarning, stacklevel=3)
    return RENAMED[text]


def load(which: str | os.PathLike[str] | None = None) -> Bundle:
    """Load a bundle by folder, or a shipped bundle by name.

    Args:
        which: a folder, a name such as ``voxtrait-base``, or ``None`` for the default.

    Raises:
        BundleError: if there is no such bundle, or its content is not valid.

    Warns:
        DeprecationWarning: if the name is a former one, such as ``voxtrait-large``.

    Examples:
        >>> load().outputs["gender"]
        ('female', 'male')
    """
    text = current_name(which)
    folder = Path(text)
    if not (folder / "bundle.json").is_file():
        folder = SHIPPED / text
    if os.sep in text or not (folder / "bundle.json").is_file():
        folder = Path(text)
    if not (folder / "bundle.json").is_file():
        names = ", ".join(path.name for path in shipped()) or "none"
        inner = Path(text) / "bundle"  # where a training writes it
        hint = f" Use {inner}." if (inner / "bundle.json").is_file() else ""
        raise BundleError(
            f"No bundle at {text}. Expected a folder with bundle.json, or a shipped name ({names}).{hint}"
        )
    values = hashes.read_json(folder / "bundle.json", _largest("bundle.json"))
    try:
        return _parse(folder, values)
    except (ArithmeticError, AttributeError, LookupError, OptionError, TypeError, ValueError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{folder}/bundle.json has a value of the wrong type: {error}") from None


def write(bundle: Bundle, graph: bytes, speakers: Iterable[str], head: bytes | None = None) -> None:
    """Write a bundle to its folder.

    ``bundle.json`` is written last, so that an interrupted run leaves no loadable bundle.

    Args:
        bundle: everything except the graphs.
        graph: serialised ONNX model.
        speakers: ids of all speakers of training and model selection; only their hashes are written.
        head: serialised ONNX model of the heads; only for a bundle with an encoder.

    Raises:
        BundleError: if the bundle could not be loaded.
    """
    bundle.folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "model.onnx": graph,
        **({"head.onnx": head} if head is not None else {}),
        "speakers.txt": "".join(f"{digest}\n" for digest in sorted({hash_speaker(one) for one in speakers})).encode(),
    }
    for name, data in contents.items():
        with atomic_path(bundle.folder / name) as part:
            part.write_bytes(data)
    if head is None:  # remove that of an earlier bundle in this folder
        (bundle.folder / "head.onnx").unlink(missing_ok=True)
    values = dataclasses.asdict(bundle) | {"front_end": bundle.front_end.to_dict(), "format": FORMAT}
    del values["folder"]
    values["files"] = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    _parse(bundle.folder, json.loads(json.dumps(values)))
    with atomic_path(bundle.folder / "bundle.json") as part:
        part.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _largest(name: str) -> int:
    return LARGEST.get(name, graphs.LARGEST)


def _parse(folder: Path, values: dict[str, Any]) -> Bundle:
    if values.get("format") not in FORMATS["pictures"]:
        raise BundleError(
            f"{folder} has format {values.get('format')!r}. Expected {FORMAT}: the bundle is for another version."
        )
    expected = {field.name for field in dataclasses.fields(Bundle)} - {"folder"} | {"format"}
    if set(values) != expected:
        raise BundleError(
            f"{folder}/bundle.json has the wrong keys. Missing: {sorted(expected - set(values))}. "
            f"Unknown: {sorted(set(values) - expected)}."
        )
    for key, kind in _TYPES.items():
        if not isinstance(values[key], kind):
            raise TypeError(f"{key} is a {type(values[key]).__name__}, expected {kind.__name__}")
    if not all(isinstance(entry, dict) for entry in values["data"]):
        raise TypeError("data has a value that is not an object")
    if not all(values[key].isprintable() and 0 < len(values[key]) <= 100 for key in ("name", "version")):
        raise TypeError("name and version are not texts of 1 to 100 printable characters")
    figures.check(values["scores"], tuple(TASKS))
    front_end = FrontEnd.from_dict(values["front_end"])
    if front_end.fit == "windows" and values["format"] not in FORMATS["windows"]:
        raise BundleError(
            f"{folder} has format {values['format']}. Expected {FORMAT}: its encoder is no longer supported. "
            "Train it again, or use the default bundle."
        )
    files = set(FILES) - (set() if front_end.fit == "windows" else {"head.onnx"})
    if set(values["files"]) != files:
        raise BundleError(
            f"{folder} lists the files {sorted(values['files'])}. Expected {' and '.join(sorted(files))} "
            f"for a front end with fit {front_end.fit!r}."
        )
    for name, digest in values["files"].items():
        content = hashes.read(folder / name, _largest(name), str(digest))
        if name.endswith(".onnx"):
            graphs.check(str(folder / name), content)
    outputs = {task: tuple(labels) for task, labels in values["outputs"].items()}
    _check_outputs(folder, outputs, values["calibration"])
    pretrained = tuple(values["pretrained"])
    if any(set(part) != PRETRAINED or not all(isinstance(part[key], str) for key in PRETRAINED) for part in pretrained):
        raise BundleError(
            f"{folder} has the pretrained weights {list(pretrained)}. Expected the texts {sorted(PRETRAINED)} for each."
        )
    kept = {key: values[key] for key in expected - {"format", "front_end", "outputs", "data", "pretrained"}}
    return Bundle(
        folder=folder,
        front_end=front_end,
        outputs=outputs,
        data=tuple(values["data"]),
        pretrained=pretrained,
        **kept,
    )


def _check_outputs(folder: Path, outputs: dict[str, tuple[str, ...]], calibration: dict[str, Any]) -> None:
    if not outputs or set(outputs) - set(TASKS) or set(calibration) != set(outputs):
        raise BundleError(
            f"{folder} has outputs {sorted(outputs)} and calibrations {sorted(calibration)}. "
            f"Expected the same tasks for both, from {sorted(TASKS)}."
        )
    for task, labels in outputs.items():
        if not any(list(labels) == [label for label in known if label in labels] for known in TASKS[task]):
            raise BundleError(
                f"{folder} has {task} labels {labels}. Expected labels of voxtrait.labels, once each, in its order."
            )
        if not labels or (task == "gender" and labels != GENDERS):
            raise BundleError(f"{folder} has {task} labels {labels}. Expected {', '.join(TASKS[task][0])}.")
        if labels[0] in YEARS and labels != YEARS:
            raise BundleError(f"{folder} has {len(labels)} years as {task} labels. Expected all years from 0 to 99.")
        values = calibration[task]
        if set(values) != CALIBRATION[task]:
            raise BundleError(
                f"{folder} has the {task} calibration {sorted(values)}. Expected {sorted(CALIBRATION[task])}."
            )
        bias = values["bias"]
        if len(bias) != len(labels) or not all(abs(v) <= _STEEPEST for v in (*bias, values["temperature"])):
            raise BundleError(
                f"{folder} has an invalid {task} calibration. Expected finite values, one bias per label."
            )
        if values["temperature"] < 1 / _STEEPEST:
            raise BundleError(
                f"{folder} has the {task} temperature {values['temperature']}. Expected more than 0.000001."
            )
        if not 0 <= values["evidence"] <= 10:
            raise BundleError(f"{folder} has the {task} evidence {values['evidence']}. Expected 0 to 10.")
        if task == "gender" and not 0 <= values["unsure"][0] <= 0.5 <= values["unsure"][1] <= 1:
            raise BundleError(
                f"{folder} has the abstention band {values['unsure']}. Expected two probabilities around 0.5."
            )
        if task == "gender" and not (values["childhood"] == 0 or (0 < values["childhood"] <= 100 and "age" in outputs)):
            raise BundleError(
                f"{folder} has a childhood of {values['childhood']} years. Expected 0, or at most 100 if the bundle "
                "predicts age."
            )
        if task == "age" and not _is_tail(values["tail"]):
            raise BundleError(
                f"{folder} has an age tail of {values['tail']}. Expected a share between 0 and 0.5, or one for each of "
                f"{len(GENDERS)} genders and {len(AGE_GROUPS)} age groups."
            )


def _is_tail(tail: Any) -> bool:
    if isinstance(tail, list):
        shape = [len(row) for row in tail]
        return shape == [len(AGE_GROUPS)] * len(GENDERS) and all(0 < one < 0.5 for row in tail for one in row)
    return bool(0 < tail < 0.5)
