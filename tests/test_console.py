"""No output ever raises, whatever the encoding of standard output and standard error, and none is lost."""

import codecs
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
import soundfile

import models
from voxtrait.batch import progress
from voxtrait.cli import COMMANDS, console, root

NAMES = ("语音.wav", "café.wav", "🎤.wav")
ENCODINGS = ("cp1252", "cp437", "cp932", "latin-1", "ascii", "cp1252:strict", "cp437:replace", "utf-8", "utf-8:strict")

# One process an encoding: each command line is run as the console script runs it, with a null byte behind its output.
SCRIPT = """
import json, os, sys
from voxtrait.cli import main
kept = os.dup(2)
for arguments in json.loads(sys.argv[1]):
    os.dup2(kept, 2)  # which the one before has silenced
    sys.argv = ["voxtrait", *arguments]
    try:
        main()
        status = 0
    except SystemExit as done:
        status = done.code
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        stream.buffer.write(f"\\0{status}\\0".encode("ascii"))
        stream.buffer.flush()
"""


def run(lines: list[list[str]], encoding: str, cwd: Path) -> list[tuple[int, bytes, bytes]]:
    """Return status, standard output and standard error of each command line."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-c", SCRIPT, json.dumps(lines)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, check=False)
    out, err = (text.split(b"\0") for text in (done.stdout, done.stderr))
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    return [(int(out[at + 1]), out[at], err[at]) for at in range(0, 2 * len(lines), 2)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(models.make_bundle(tmp_path_factory.mktemp("bundle")).folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("voices")
    for name in NAMES:
        soundfile.write(here / name, models.voice(2), 16_000)
    return here


def helps() -> list[list[str]]:
    """The command line for the help of every command."""
    lines = [["--help"]]
    for name in COMMANDS:
        command = root.get_command(click.Context(root), name)
        lines.append([name, "--help"])
        if isinstance(command, click.Group):
            lines += [[name, inner, "--help"] for inner in command.list_commands(click.Context(command))]
    return lines


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_prints_in_every_encoding(encoding: str, bundle: str, folder: Path) -> None:
    files = [*NAMES, "gone-语.wav", "--model", bundle]
    answers = [[*files, "--format", format_] for format_ in ("text", "json", "jsonl", "csv")]
    others = [["models"], ["evaluate", "语", "m.csv", "-o", "out"], ["语", "--format", "–"], ["nichts-语"]]
    asked = helps()
    done = run([*asked, *answers, *others], encoding, folder)
    name, _, handler = encoding.partition(":")
    read = "utf-8" if name == "ascii" else name  # click takes an ASCII terminal for one whose locale is not set
    texts = [out.decode(read) for _, out, _ in done]
    for _, _, err in done:
        err.decode(read)
    assert [status for status, *_ in done[: len(asked)]] == [0] * len(asked)
    assert [status for status, *_ in done[len(asked) :]] == [1, 1, 1, 1, 0, 2, 2, 1]
    text, as_json, lines, table = texts[len(asked) : len(asked) + 4]
    paths = [*NAMES, "gone-语.wav"]
    assert [row["path"] for row in json.loads(as_json)] == paths  # whole in every encoding
    assert [json.loads(line)["path"] for line in lines.splitlines()] == paths
    as_json.encode("utf-8" if "utf" in name else "ascii")
    assert len(table.splitlines()) == len(text.splitlines()) + 1 == 5
    assert (
        "语音.wav" in text if name in ("utf-8", "ascii") else "\\u8bed\\u97f3.wav" in text or handler or "cp932" in name
    )
    assert "years (" in text


def test_what_an_encoding_lacks_has_its_likeness() -> None:
    for name, text in [("cp437", "24-47 → …"), ("cp932", "→"), ("latin-1", "×")]:
        text.translate(console._LIKENESS).encode(name)
    held = io.TextIOWrapper(io.BytesIO(), encoding="cp437", errors=console.PLAIN)
    codecs.register_error(console.PLAIN, console.plain)
    held.write("34 years (24–47) mp3 → wav ▁▅█ café 语🎤 a\udce9")
    held.flush()
    # cp437 has some of the bars and é; é of a name that is not UTF-8 has the spelling that it has in tables
    assert held.buffer.getvalue().decode("cp437") == "34 years (24-47) mp3 -> wav _=█ café \\u8bed\\U0001f3a4 a\\xe9"


@pytest.mark.skipif(sys.platform == "win32", reason="sets the encoding of a Unix")
def test_csv_is_utf8_in_files_and_pipes_unless_the_user_chose(bundle: str, folder: Path) -> None:
    locale = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"}
    command = [sys.executable, "-m", "voxtrait", "gone-语.wav", "gone-é.wav", "--model", bundle, "--quiet", "--format"]
    for format_ in ("csv", "jsonl"):
        done = subprocess.run(
            [*command, format_], cwd=folder, env=environment | locale, capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (1, b"")
        assert "gone-语.wav" in done.stdout.decode("utf-8") or "gone-\\u8bed.wav" in done.stdout.decode("ascii")


@pytest.mark.parametrize(("encoding", "sign"), [("cp1252", "#"), ("cp437", "█"), ("utf-8", "█")])
def test_a_progress_line_fits_the_encoding(encoding: str, sign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress(iter([1, 2]), 2, "predict 语" if encoding == "utf-8" else "predict")) == [1, 2]
    stream.flush()
    assert sign in stream.buffer.getvalue().decode(encoding)


SAID = """
import sys, warnings
import numpy as np
from voxtrait.cli import console
from voxtrait import batch

def job(item):
    return float(np.log(np.zeros(1))[0] * np.float64(item))

if __name__ == "__main__":
    batch.silence_decoders()
    console.prepare()
    job(0)
    warnings.warn("odd", RuntimeWarning)
    warnings.warn("voxtrait-old is now voxtrait-new: use that name", DeprecationWarning)
    print(list(batch.run(job, [1, 0], jobs=batch.Where(jobs=2, inline=0), on_crash=lambda item, why: why)))
"""


def test_only_our_own_warnings_reach_standard_error(tmp_path: Path) -> None:
    (tmp_path / "said.py").write_text(SAID)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    done = subprocess.run(
        [sys.executable, "said.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[-inf, nan]\n"
    assert done.stderr == "voxtrait: voxtrait-old is now voxtrait-new: use that name\n"


def test_warnings_that_python_was_told_to_show_are_shown(tmp_path: Path) -> None:
    (tmp_path / "said.py").write_text(SAID)
    done = subprocess.run(
        [sys.executable, "-W", "always", "said.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "voxtrait: divide by zero encountered in log" in done.stderr
