"""Ill-formed input: every mistake has one row or one line, the right status, and never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

import models
from voxtrait.cli import root

CYRILLIC = "папка с пробелом/запись один.wav"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(models.make_bundle(tmp_path_factory.mktemp("bundle")).folder)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of everything that goes wrong, and of what must not."""
    folder = tmp_path_factory.mktemp("here")
    sound = models.voice(2)
    (folder / "text.mp3").write_text("This is no music.\n")
    (folder / "empty.mp3").touch()
    (folder / "nothing").mkdir()
    soundfile.write(folder / "short.wav", models.voice(0.1), 16_000)
    soundfile.write(folder / "eight.wav", models.voice(2, 96_000, 8), 96_000, subtype="PCM_24")
    (folder / CYRILLIC).parent.mkdir()
    soundfile.write(folder / CYRILLIC, sound, 16_000)
    soundfile.write(folder / "silent.wav", np.zeros(32_000), 16_000)
    soundfile.write(folder / "header.wav", np.zeros(0), 16_000)
    soundfile.write(folder / "good.mp3", sound, 16_000)
    (folder / "cut.mp3").write_bytes((folder / "good.mp3").read_bytes()[:37])
    (folder / "noise.ogg").write_bytes(np.random.default_rng(0).bytes(5000))
    return folder


EXPECTED = {
    "text.mp3": ("error", 1, "it is a text file"),
    "empty.mp3": ("error", 1, "is empty (0 bytes)"),
    "missing.mp3": ("error", 1, "no such file: missing.mp3"),
    "header.wav": ("error", 1, "has no samples"),
    "cut.mp3": ("error", 1, "cut.mp3"),
    "noise.ogg": ("error", 1, "is not a readable audio file"),
    "short.wav": ("too_short", 0, "expected at least 0.7 s"),
    "silent.wav": ("no_speech", 0, "no speech was found"),
    "eight.wav": ("ok", 0, None),
    CYRILLIC: ("ok", 0, None),
}


def run(*arguments: str) -> Result:
    """Run the command in this process; anything but an exit status would be a traceback."""
    result = CliRunner().invoke(root, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize("name", EXPECTED)
def test_one_row_and_one_line_each(bundle: str, here: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(here)
    status, code, words = EXPECTED[name]
    text = run(name, "--model", bundle)
    assert (text.exit_code, text.stderr) == (code, "")
    (line,) = text.stdout.splitlines()
    assert line.startswith(f"{name}  " if status == "ok" else f"{name}  {status}: ")
    row = json.loads(run(name, "--model", bundle, "--format", "json").stdout)
    assert (row["path"], row["status"]) == (name, status)
    assert row["message"] is None if words is None else words in row["message"]
    assert (row["p_female"] is None) == (status != "ok")


def test_a_folder_without_audio(bundle: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    for format_ in ("text", "json", "jsonl", "csv"):
        result = run("nothing", "--model", bundle, "--format", format_)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("voxtrait: No audio files in nothing: the folder is empty. Expected files")
    beside = run("nothing", "eight.wav", "--model", bundle, "--format", "jsonl")
    assert beside.exit_code == 1
    assert [json.loads(line)["status"] for line in beside.stdout.splitlines()] == ["error", "ok"]


def test_all_of_it_at_once_as_a_user_would(bundle: str, here: Path) -> None:
    command = [sys.executable, "-m", "voxtrait", ".", "missing.mp3", "--model", bundle, "--format", "jsonl"]
    result = subprocess.run(command, cwd=here, capture_output=True, text=True, encoding="utf-8", check=False)
    assert (result.returncode, result.stderr) == (1, "11 files: 3 unsure, 1 no_speech, 1 too_short, 6 error\n")
    rows = {row["path"]: row["status"] for row in map(json.loads, result.stdout.splitlines())}
    assert rows == {name: status for name, (status, *_) in EXPECTED.items()} | {"good.mp3": "ok"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(bundle: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", models.voice(1), 16_000)
    (tmp_path / "a.wav").chmod(0)
    result = run(str(tmp_path / "a.wav"), "--model", bundle)
    assert result.exit_code == 1
    assert "Permission denied" in result.stdout


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such manifest"),
        ("", "cannot be read as a manifest"),
        ("a,b\n1,2\n", "No column 'path'"),
        ("path,split\na.wav,dev\n", "Got split 'dev'. Expected one of train, validation, test"),
        ("path,age_years\na.wav,young\n", "A column has values of the wrong type"),
        ("path\na.wav\n", "no labels to evaluate: 1 clip in split 'all', none with a label of gender or age"),
        (
            "path,gender,split\na.wav,male,train\n",
            "no clips in split 'test'. Splits of the manifest: train. Select one with --split",
        ),
    ],
)
def test_evaluate_with_a_bad_manifest(bundle: str, tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "m.csv").write_text(content)
    result = run("evaluate", bundle, str(tmp_path / "m.csv"), "--out", str(tmp_path / "out"), "--quiet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_evaluate_and_models_with_a_bad_bundle(bundle: str, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text("{}")
    for arguments in (["evaluate", str(tmp_path), "m.csv", "--out", "out"], ["models", str(tmp_path)]):
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "has format None. Expected 3: the bundle is for another version." in result.stderr


def test_an_output_that_cannot_be_written(bundle: str, here: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(str(here / "eight.wav"), "--model", bundle, "--out", str(tmp_path / "file" / "out.csv"), "--quiet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "voxtrait: " in result.stderr
