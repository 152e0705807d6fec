"""Readers of bundles and recipes: the description, the graphs, the hashes, and what shows them.

An input begins with a byte that chooses the file of a bundle that gets the rest of the input as its content. For most
inputs its hash is written into ``bundle.json``, as somebody would who changes a file on purpose.
"""

import contextlib
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

import models
from fuzzing import Target
from fuzzing.sound import place
from voxtrait.errors import BundleError, RecipeError

WORDS: Final = (
    b"com.microsoft", b"ai.onnx.ml", b"com.example", b"EPContext", b"If", b"Loop", b"location", b"../../etc/passwd",
    b"\x1a", b"\x22", b"\x2a", b"\x3a", b"\x42", b"\xa2\x01", b"\xca\x01", b"\x7a",
    b"\xff" * 9 + b"\x01", b"ORTM", b"\x70\x01",
)  # fmt: skip
JSON_WORDS: Final = (
    b"null", b"true", b"NaN", b"Infinity", b"1e400", b"-1", b"0", b"[]", b"{}", b'""', b"[" * 3000, b"9" * 5000,
    b"1e300", b'"\\ud800"', b'"\\u001b[2J"', b'"gender": ', b'"age": ', b'"unsure": ', b'"n_fft": ', b'"columns": ',
    b'"scores": ',    b'"value": ', b'"tail": ', b'"bias": ', b'"files": ', b'"data": ', b'"n_clips": ', b"1e-320",
    b"65536", b"4294967296",
)  # fmt: skip
FILES: Final = ("model.onnx", "head.onnx", "speakers.txt")


@cache
def folder() -> Path:
    """A valid bundle of windows."""
    made = place("bundle").parent / "bundle"
    models.make_encoder_bundle(made)
    return made


@cache
def contents() -> dict[str, bytes]:
    """Its files, before any change."""
    return {file.name: file.read_bytes() for file in folder().iterdir()}


def graph_seeds() -> tuple[bytes, ...]:
    """Its graphs, and the hashes of its speakers."""
    kept = contents()
    return (b"\0" + kept["model.onnx"], b"\1" + kept["head.onnx"], b"\2" + kept["speakers.txt"])


def graphs(data: bytes) -> str:
    """Load a bundle with another graph, open it and run it once."""
    from voxtrait.recognize import Recognizer

    which = FILES[data[0] % 3] if data else FILES[0]
    kept = contents()
    before, after = (hashlib.sha256(content).hexdigest().encode() for content in (kept[which], data[1:]))
    described = kept["bundle.json"].replace(before, after) if len(data) % 8 else kept["bundle.json"]
    for name, content in (kept | {which: data[1:], "bundle.json": described}).items():
        (folder() / name).write_bytes(content)
    bundle = models.bundles.load(folder())
    recognizer = Recognizer(bundle)
    with np.errstate(all="ignore"):
        summary = recognizer.summaries(np.zeros((1, 160, 80), np.float32))
        found = recognizer.heads(summary)
    len(bundle.speakers())
    return ", ".join(f"{task} {values.shape}" for task, values in found.items())


def description_seeds() -> tuple[bytes, ...]:
    """The description of the bundle, and those of the shipped ones, with all scores."""
    kept = [contents()["bundle.json"]]
    files = json.loads(kept[0])["files"]
    for shipped in sorted(Path(models.bundles.SHIPPED).glob("voxtrait-[bf]*/bundle.json")):
        values: dict[str, Any] = json.loads(shipped.read_bytes()) | {"files": files}
        kept.append(json.dumps(values).encode())
    return tuple(kept)


def descriptions(data: bytes) -> str:
    """Load it, list it as ``voxtrait models`` does, show its card, and make a decision with its calibration."""
    from voxtrait.cli.models import _origin, _row
    from voxtrait.recognize import Recognizer
    from voxtrait.web.card import card

    for name, content in (contents() | {"bundle.json": data}).items():
        (folder() / name).write_bytes(content)
    bundle = models.bundles.load(folder())
    json.dumps(models.bundles.describe(bundle))
    _row(bundle)
    _origin(bundle)
    card(bundle)
    logits = {task: np.linspace(-3, 3, len(labels))[None] for task, labels in bundle.outputs.items()}
    (found,) = Recognizer(bundle).decide(logits, 3.0)
    for name in ("p_female", "age_years", "age_low", "age_high"):
        assert found.get(name) is None or np.isfinite(found[name]), f"{name} is {found[name]}"
    return bundle.title.encode("ascii", "replace").decode()


RECIPE_WORDS: Final = (
    b"[", b"]", b"[[", b"{", b"}", b'"""', b"'''", b"#", b"=", b"\n", b"nan", b"inf", b"1e400", b"0x", b"9" * 5000,
    b"\0", b"[" * 2000, b"{a=" * 500, b"1979-05-27T07:32:00Z", b"\\ud800", b"kind = ", b"channels = ",
    b"a." * 3000, b"true",
)  # fmt: skip


def recipe_seeds() -> tuple[bytes, ...]:
    """The shipped recipes."""
    from voxtrait.training.recipe import SHIPPED

    return tuple(file.read_bytes() for file in sorted(SHIPPED.glob("*.toml")))


def recipes(data: bytes) -> str:
    """As a file, and as values on the command line."""
    from voxtrait.training.recipe import load

    path = place("mine.toml")
    path.write_bytes(data)
    with contextlib.suppress(RecipeError):
        load("fast", [data[:200].decode(errors="replace")])
    found = load(path)
    assert all(size > 0 for size in found.front_end.input_shape)
    return found.name.encode("ascii", "replace").decode()[:50] or "no name"


TARGETS: Final = (
    Target("bundle-graphs", graph_seeds, graphs, (BundleError,), WORDS, seconds=20.0),
    Target("bundle-json", description_seeds, descriptions, (BundleError,), JSON_WORDS),
    Target("recipe", recipe_seeds, recipes, (RecipeError,), RECIPE_WORDS),
)
