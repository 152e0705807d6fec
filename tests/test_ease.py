"""Short options, a default model by VOXTRAIT_MODEL, and shell completion."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import soundfile
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

import models
from voxtrait.cli import COMMANDS, root

SHORT = {"--model": "-m", "--out": "-o", "--format": "-f", "--jobs": "-j", "--quiet": "-q", "--help": "-h"}
TAKES_A_MODEL = {"predict", "timeline", "listen", "serve", "site", "corpus audit"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(models.make_bundle(tmp_path_factory.mktemp("bundle")).folder)


@pytest.fixture
def clip(tmp_path: Path) -> str:
    soundfile.write(tmp_path / "clip one.wav", models.voice(1), 16_000)
    return str(tmp_path / "clip one.wav")


def commands() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command = root.get_command(click.Context(root), name)
        assert command is not None
        if isinstance(command, click.Group):
            for inner in command.list_commands(click.Context(command)):
                yield f"{name} {inner}", command.commands[inner]
        else:
            yield name, command


def run(*arguments: str, **variables: str) -> Result:
    result = CliRunner().invoke(root, arguments, env=variables)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_same_options_have_the_same_letters_everywhere() -> None:
    wrong = []
    for name, command in commands():
        for option in command.params:
            names = set(option.opts)
            wrong += [f"{name} {long}" for long, short in SHORT.items() if long in names and short not in names]
            wrong += [f"{name} {short}" for long, short in SHORT.items() if short in names and long not in names]
    assert wrong == []


def test_letters_mean_what_the_words_mean(bundle: str, clip: str, tmp_path: Path) -> None:
    words = run(clip, "--model", bundle, "--format", "json", "--jobs", "1")
    assert run("-m", bundle, "-f", "json", "-j", "1", clip).stdout == words.stdout != ""
    assert run(clip, "-qm", bundle, "-o", str(tmp_path / "a.csv")).exit_code == 0
    assert (tmp_path / "a.csv").is_file()


def test_the_variable_names_the_default_model(bundle: str, clip: str) -> None:
    assert json.loads(run(clip, "-f", "json", VOXTRAIT_MODEL=bundle).stdout)["model"] == "tiny 1.0"
    assert json.loads(run(clip, "-f", "json", VOXTRAIT_MODEL="").stdout)["model"].startswith("voxtrait-base ")
    chosen = run(clip, "-f", "json", "-m", "voxtrait-diary", VOXTRAIT_MODEL="nowhere")
    assert json.loads(chosen.stdout)["model"] == "voxtrait-diary 1.0"


def test_every_command_with_a_model_takes_the_variable_and_says_so() -> None:
    found = {name for name, command in commands() if any("--model" in option.opts for option in command.params)}
    assert found == TAKES_A_MODEL
    for name in found:
        assert "VOXTRAIT_MODEL" in run(*name.split(), "--help").stdout


@pytest.mark.parametrize("arguments", [["a.wav"], ["timeline", "a.wav"], ["listen", "a.wav"], ["serve"]])
def test_a_misspelt_variable_is_named(arguments: list[str]) -> None:
    result = run(*arguments, VOXTRAIT_MODEL="voxtrait-bas")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("voxtrait: No bundle at voxtrait-bas. Expected a folder with bundle.json, or a")
    assert result.stderr.endswith(". The environment variable VOXTRAIT_MODEL names this bundle.\n")
    said = run(*arguments, "--model", "voxtrait-bas")
    assert "VOXTRAIT_MODEL" not in said.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(shell: str) -> None:
    environment = os.environ | {"_VOXTRAIT_COMPLETE": f"{shell}_source"}
    done = subprocess.run(
        [sys.executable, "-m", "voxtrait"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_VOXTRAIT_COMPLETE={shell}_complete" in done.stdout
    program = shutil.which(shell)
    if program is not None:  # the shell itself reads it
        subprocess.run([program, "-n"], input=done.stdout, text=True, check=True)


@pytest.mark.parametrize(
    ("arguments", "incomplete", "expected"),
    [
        ([], "", {*COMMANDS, "file:"}),
        ([], "mod", {"models", "file:mod"}),
        (["predict"], "cl", {"file:cl"}),
        (["corpus"], "s", {"split", "stats"}),
        (["clip.mp3"], "--fo", {"--format"}),
        (["clip.mp3", "--format"], "", {"text", "json", "jsonl", "csv"}),
        (["timeline", "--model"], "voxtrait-d", {"voxtrait-diary", "dir:voxtrait-d"}),
        (["timeline", "a.mp3"], "b", {"file:b"}),
    ],
)
def test_words_are_completed(arguments: list[str], incomplete: str, expected: set[str]) -> None:
    found = ShellComplete(root, {}, "voxtrait", "_VOXTRAIT_COMPLETE").get_completions(arguments, incomplete)
    assert {one.value if one.type == "plain" else f"{one.type}:{one.value}" for one in found} == expected


def test_the_text_of_models_fits_100_columns() -> None:
    lines = run("models").stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert re.split(r" {2,}", lines[0]) == ["name", "version", "gender UAR", "… adults", "age MAE", "MB"]
    assert "  pretrained weights: CAM++ of 3D-Speaker (Apache-2.0)" in lines
    assert [line for line in lines if re.fullmatch(r"voxtrait-[a-z]+ \d\.\d", line)] == [
        f"{row['name']} {row['version']}" for row in json.loads(run("models", "-f", "json").stdout)
    ]
