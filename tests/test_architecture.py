"""Enforces the layers of the architecture page: imports, heavy packages, names and lengths of files."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import voxtrait

TESTS = Path(__file__).resolve().parent
SOURCE = Path(voxtrait.__file__).parent

# A module imports only from layers above it in this list; modules of one layer do not know each other.
LAYERS = (
    ("errors", "labels", "palette", "runtime"),
    ("storage", "synthetic"),
    ("audio",),
    ("batch", "features", "fingerprint", "manifest", "speech"),
    ("bundle", "corpora", "derived"),
    ("integrity", "recognize"),
    ("audit", "evaluate", "timelines"),
    ("training", "web"),
    ("demo",),
    ("cli",),
)
LAYER_OF = {name: number for number, layer in enumerate(LAYERS) for name in layer}

# Who may load a heavy package, anywhere, also inside a function.
ONLY_IN = {
    "torch": ("training/",),
    "torchmetrics": ("training/",),
    "lightning": ("training/",),
    "onnx": ("recognize/portable/", "training/"),
    "onnxruntime": ("runtime.py", "training/export.py"),
    "sklearn": ("audit/",),
    "playwright": (),
    "ray": ("batch/",),
    "dask": ("batch/",),
    "distributed": ("batch/",),
    "fsspec": ("storage/",),
    "upath": (),
    "sounddevice": ("audio/streams.py",),
    "click": ("cli/",),
    "fastapi": ("web/",),
    "starlette": ("web/",),
    "uvicorn": ("web/",),
    "prometheus_client": ("web/",),
    "python_multipart": ("web/",),
}
BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "base", "tools"}
LONGEST = 400  # lines of a module, a test or a benchmark


class Import(NamedTuple):
    """One imported module, as it stands in a file."""

    importer: str  # such as voxtrait.training.pictures.fit
    imported: str
    line: int


def modules(source: Path = SOURCE) -> dict[str, Path]:
    """The dotted name of every module and its file; a package's name stands for its ``__init__``."""
    found = {}
    for file in sorted(source.rglob("*.py")):
        parts = [source.name, *file.relative_to(source).with_suffix("").parts]
        found[".".join(part for part in parts if part != "__init__")] = file
    return found


def imports_of(name: str, text: str, known: set[str]) -> Iterator[Import]:
    """Every import of a module, also inside functions; ``from package import module`` counts as the module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            module = f"{'.' * node.level}{node.module or ''}"
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield Import(name, full if full in known else module, node.lineno)


def all_imports() -> list[Import]:
    found = modules()
    return [
        one for name, file in found.items() for one in imports_of(name, file.read_text(encoding="utf-8"), set(found))
    ]


def unit_of(module: str) -> str:
    """The name in the drawing: ``voxtrait.training.pictures.fit`` belongs to ``training``."""
    return module.split(".")[1] if "." in module else ""


def misplaced(imports: list[Import]) -> list[str]:
    """The imports that go sideways or up."""
    wrong = []
    for importer, imported, line in imports:
        if not imported.startswith("voxtrait."):
            continue
        here, there = unit_of(importer), unit_of(imported)
        if here in ("", "__main__") or here == there:
            continue
        if LAYER_OF[there] >= LAYER_OF[here]:
            wrong.append(f"{importer}:{line} imports {imported}")
    return wrong


def test_every_module_has_its_layer() -> None:
    units = {unit_of(name) for name in modules()} - {"", "__main__"}
    assert units - set(LAYER_OF) == set()


def test_imports_go_down_only() -> None:
    assert misplaced(all_imports()) == []


def test_sideways_upwards_and_hidden_imports_would_be_found() -> None:
    known = set(modules())
    text = "def f():\n    from voxtrait.derived import pictures\n    from voxtrait.cli.options import note\n"
    found = list(imports_of("voxtrait.corpora.stats", text, known))
    assert misplaced(found) == [
        "voxtrait.corpora.stats:2 imports voxtrait.derived.pictures",
        "voxtrait.corpora.stats:3 imports voxtrait.cli.options",
    ]


def circle(imports: list[Import]) -> list[str]:
    """Modules that import each other in a circle, the first one also last; none if there is none."""
    needs: dict[str, set[str]] = {}
    for importer, imported, _ in imports:
        needs.setdefault(importer, set()).add(imported)
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other() -> None:
    assert circle(all_imports()) == []


def test_a_circle_would_be_found() -> None:
    chain = [Import("a", "b", 1), Import("b", "c", 1), Import("c", "d", 1), Import("x", "a", 1)]
    assert circle(chain) == []
    assert set(circle([*chain, Import("d", "b", 1)])) == {"b", "c", "d"}
    assert set(circle([*chain, Import("a", "x", 1)])) == {"a", "x"}


def test_nobody_imports_the_root_or_relatively() -> None:
    wrong = [one for one in all_imports() if one.imported in ("voxtrait", "") or one.imported.startswith(".")]
    assert [one for one in wrong if one.importer != "voxtrait"] == []


@pytest.mark.parametrize("package", ONLY_IN)
def test_heavy_packages_have_their_place(package: str) -> None:
    files = modules()
    places = {
        files[one.importer].relative_to(SOURCE).as_posix()
        for one in all_imports()
        if one.imported.split(".")[0] == package
    }
    assert [place for place in sorted(places) if not place.startswith(ONLY_IN[package])] == []


def test_file_names_are_nouns_of_the_field() -> None:
    assert [str(file) for file in SOURCE.rglob("*.py") if file.stem in BANNED] == []


def test_files_are_short() -> None:
    files = [file for where in (SOURCE, TESTS, TESTS.parent / "benchmarks") for file in where.rglob("*.py")]
    lines = {str(file): len(file.read_text("utf-8").splitlines()) for file in files}
    assert {file: count for file, count in lines.items() if count > LONGEST} == {}


def test_the_package_has_few_entries() -> None:
    assert len([place for place in SOURCE.iterdir() if place.name != "__pycache__"]) <= 28


def loaded_by(program: str, *packages: str) -> list[str]:
    """Which of the packages a Python process has loaded after a program."""
    ask = f"{program}\nimport sys\nprint('loaded', *[name for name in {packages!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1].split()[1:]


def test_the_package_is_light_to_import() -> None:
    assert loaded_by("import voxtrait", "torch", "onnxruntime", "numpy", "polars", "click") == []


def test_the_recogniser_is_imported_without_its_runtime() -> None:
    assert loaded_by("import voxtrait; voxtrait.load, voxtrait.Prediction", "torch", "onnxruntime", "click") == []


def test_a_worker_that_examines_clips_starts_without_tables() -> None:
    job = "import pickle; pickle.loads(b'cvoxtrait.integrity.examination\\nexamine\\n.')"
    assert loaded_by(job, "polars", "scipy", "matplotlib", "voxtrait.corpora", "voxtrait.derived") == []


HELP = """
from click.testing import CliRunner
from voxtrait.cli import COMMANDS, root
for command in [[], *([name] for name in COMMANDS)]:
    assert CliRunner().invoke(root, [*command, "--help"]).exit_code == 0, command
"""


def test_help_loads_nothing_heavy() -> None:
    heavy = ("torch", "lightning", "onnxruntime", "matplotlib", "polars", "scipy", "soundfile", "librosa", "fastapi")
    assert loaded_by(HELP, *heavy) == []
