"""The documents are as new as the code, their links lead somewhere, and the commands in them exist."""

import dataclasses
import importlib.util
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from test_architecture import LAYERS
from voxtrait.cli import COMMANDS, root
from voxtrait.cli.exit_status import OF_COMMANDS
from voxtrait.training.recipe import EncoderRecipe, Recipe

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = {".venv", ".git", "build", "node_modules", ".pytest_cache"}
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)")
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def markdown() -> list[Path]:
    found = []
    for here, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in SKIPPED]
        found += [Path(here, name) for name in names if name.endswith(".md")]
    return sorted(found)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def documents() -> dict[str, str]:
    # in a process of its own: click keeps the help option of the first caller, and a test may have called without -h
    code = "import json, runpy; print(json.dumps(runpy.run_path('docs/generate.py')['documents']()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


GENERATED = (
    *(
        f"reference/{name}.md"
        for name in ("cli", "exit-status", "environment", "rest", "python-api", "manifest", "prediction")
    ),
    *(f"reference/{name}.md" for name in ("timeline", "report", "bundle", "recipes", "licences")),
    *(f"explanation/{name}.md" for name in ("architecture", "bias-and-limits", "data-statement", "ethics", "evidence")),
    "explanation/unsure-and-intervals.md",
    "images/calibration.svg",
    "images/how-it-works.svg",
)
NUMBER = re.compile(r"\d+\.\d+")
EXAMPLE = 0.1  # by which an estimate may differ on another processor, as a share of it


def without_estimates(text: str) -> tuple[str, list[float]]:
    """Take the numbers with a fraction out of the code blocks of a page."""
    blocks = "".join(FENCE.findall(text))
    return FENCE.sub(lambda block: NUMBER.sub("0.0", block[0]), text), [float(one) for one in NUMBER.findall(blocks)]


@pytest.mark.parametrize("name", GENERATED)
def test_generated_documents_are_as_new_as_the_code(name: str, documents: dict[str, str]) -> None:
    there, made = (ROOT / "docs" / name).read_text("utf-8"), documents[name]
    if name == "reference/prediction.md":  # its example is a prediction
        (there, estimates), (made, now) = without_estimates(there), without_estimates(made)
        assert now == pytest.approx(estimates, rel=EXAMPLE, abs=EXAMPLE)
    assert there == made, "run: make docs"


def test_every_generated_page_is_compared(documents: dict[str, str]) -> None:
    assert set(GENERATED) == set(documents)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("recognize.prediction", "Prediction"),
        ("timelines.records", "Timeline"),
        ("timelines.records", "Speaker"),
        ("timelines.records", "Segment"),
        ("bundle.folder", "Bundle"),
        ("features.front_end", "FrontEnd"),
    ],
)
def test_every_field_is_explained(generator: ModuleType, module: str, name: str) -> None:
    source = importlib.import_module(f"voxtrait.{module}")
    explained = {field.name: field.meaning for field in generator.class_fields(source, name)}
    assert list(explained) == [field.name for field in dataclasses.fields(getattr(source, name))]
    assert [field for field, meaning in explained.items() if not meaning] == []
    assert [field for field, meaning in explained.items() if ": " in meaning] == []  # Sphinx: a type before the colon


def test_every_column_of_a_manifest_is_explained(generator: ModuleType) -> None:
    source = importlib.import_module("voxtrait.manifest.table")
    explained = {field.name: field.meaning for field in generator.constant_keys(source, "SCHEMA")}
    assert list(explained) == list(source.SCHEMA)
    assert [column for column, meaning in explained.items() if not meaning] == []


def test_every_command_has_a_help_with_an_example(generator: ModuleType) -> None:
    helps = dict(generator.commands())
    assert {f"voxtrait {name}" for name in COMMANDS} <= set(helps)
    assert [name for name, text in helps.items() if not re.search(r"(Example|Start with): voxtrait", text)] == []


def test_help_does_not_depend_on_the_terminal(generator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before = generator.documents()
    monkeypatch.setenv("COLUMNS", "41")
    assert generator.documents() == before
    assert max(len(line) for line in before["reference/cli.md"].splitlines()) <= 120


@pytest.mark.parametrize("kind", [Recipe, EncoderRecipe])
def test_every_key_of_a_recipe_is_explained(generator: ModuleType, kind: type[Recipe] | type[EncoderRecipe]) -> None:
    explained = {key: meaning for _, key, _, meaning in generator.settings(kind.__name__)}
    assert list(explained) == [field.name for field in dataclasses.fields(kind)]
    assert [key for key, meaning in explained.items() if not meaning] == []


def leaves(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """The commands that do something, by their names."""
    for name in group.list_commands(context := click.Context(group)):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield before + name, command


def test_every_command_has_its_exit_statuses() -> None:
    found = dict(leaves(root))
    assert set(OF_COMMANDS) == set(found)
    for name, (failed, _) in OF_COMMANDS.items():
        callback = inspect.unwrap(found[name].callback)
        fails = {"finish", "print_summary", "_print"} & set(callback.__code__.co_names)
        assert (failed is not None) == bool(fails), name


def test_every_environment_variable_is_explained(documents: dict[str, str]) -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*) \|$", documents["reference/environment.md"], re.MULTILINE)
    assert {"VOXTRAIT_MODEL", "ORT_DISABLE_TELEMETRY", "RAY_ADDRESS", "VOXTRAIT_SPEECH"} <= {name for name, _ in rows}
    assert [name for name, text in rows if not text] == []


def test_every_field_of_a_response_is_explained(documents: dict[str, str]) -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*) \| [^|]* \|$", documents["reference/rest.md"], re.MULTILINE)
    assert len(rows) > 60
    assert [name for name, meaning in rows if not meaning.strip()] == []


def test_lines_of_prose_are_short() -> None:
    long = [
        f"{file.relative_to(ROOT)}: {line}"
        for file in markdown()
        if file.parent.name != "templates"  # wrapped when it is filled in
        for line in FENCE.sub("", file.read_text("utf-8")).splitlines()
        if len(line) > 100 and not line.startswith(("|", "<!--"))
    ]
    assert long == []


def slugs(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(file: Path) -> Iterator[str]:
    text = file.read_text(encoding="utf-8")
    for link in LINK.findall(FENCE.sub("", text)):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        place = file.parent / target if target else file
        if not place.exists():
            yield f"{file.relative_to(ROOT)}: no {link}"
        elif anchor and place.suffix == ".md" and anchor not in slugs(place.read_text(encoding="utf-8")):
            yield f"{file.relative_to(ROOT)}: no heading for {link}"


@pytest.mark.checkout
def test_links_lead_somewhere() -> None:
    assert [broken for file in markdown() for broken in broken_links(file)] == []


def test_a_broken_link_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    file = tmp_path / "a.md"
    file.write_text("# One two\n[a](a.md#one-two) [b](b.md) ![c](<c.png>)\n[d](#three) [e](https://nowhere.invalid)\n")
    assert list(broken_links(file)) == ["a.md: no b.md", "a.md: no c.png", "a.md: no heading for #three"]


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of every ``voxtrait …`` in the code blocks of a document, also behind a prompt, a pipe or ``-m``."""
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            for found in re.finditer(r"(?:^\s*|[$|!] *|-m )voxtrait ([^|>]+)", line):
                words = shlex.split(found[1], comments=True) if found[1].count("'") % 2 == 0 else []
                yield words[: words.index("&&")] if "&&" in words else words


def unknown_options(words: list[str]) -> list[str]:
    """The options of a command line that its command does not have."""
    command: click.Command = root
    if words and words[0] not in (*COMMANDS, "--help", "--version"):
        words = ["predict", *words]
    at = 0
    while isinstance(command, click.Group) and at < len(words):
        inner = command.get_command(click.Context(command), words[at])
        if inner is None:
            break
        command, at = inner, at + 1
    known = {name for parameter in command.params for name in parameter.opts} | {"--help", "-h"}
    return [word for word in words[at:] if word.startswith("-") and word != "-" and word.partition("=")[0] not in known]


def test_commands_in_documents_exist() -> None:
    wrong = []
    for file in markdown():
        if file.name == "cli.md":  # made from the commands themselves
            continue
        for words in command_lines(file.read_text(encoding="utf-8")):
            wrong += [f"{file.name}: voxtrait {shlex.join(words)}: {option}" for option in unknown_options(words)]
    assert wrong == []


def test_scripts_and_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    wrong = []
    for file in markdown():
        text = file.read_text(encoding="utf-8")
        scripts = set(re.findall(r"\bpython ((?:benchmarks|examples|docs)/[\w/]+\.py)", text))
        wrong += [f"{file.name}: {script}" for script in scripts if not (ROOT / script).is_file()]
        named = re.findall(r"(?:^\$ |`)make ([a-z-]+)", text, re.MULTILINE) if file.name != "CHANGELOG.md" else []
        wrong += [f"{file.name}: make {name}" for name in named if name not in targets]
    assert wrong == []


def test_commands_behind_prompts_and_pipes_are_found() -> None:
    lines = ["head$   voxtrait a.mp3 --jobs 2", "sox | voxtrait listen - --raw s8 > x", "torchrun -m voxtrait train b"]
    found = [["a.mp3", "--jobs", "2"], ["listen", "-", "--raw", "s8"], ["train", "b"]]
    assert list(command_lines("\n".join(["```", *lines, "```", ""]))) == found


def test_an_option_that_is_not_there_would_be_found() -> None:
    assert unknown_options(["a.mp3", "--format", "json", "--nonsense=1"]) == ["--nonsense=1"]
    assert unknown_options(["corpus", "split", "a", "b", "--sizes", "80/10/10", "--size", "3"]) == ["--size"]


def test_the_drawing_of_the_layers_is_the_one_enforced() -> None:
    """The page draws each module one layer above the highest that it imports: the same layers as LAYERS."""
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text("utf-8")
    drawn = [line.split()[1:] for line in FENCE.findall(page)[0].splitlines()]
    assert drawn[::-1] == [list(layer) for layer in LAYERS]
