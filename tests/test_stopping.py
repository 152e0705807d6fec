"""Signals end a command with one line and their own exit status; streams that are closed or full lose no result."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from factories import tone
from voxtrait import audio
from voxtrait.derived import convert

posix = pytest.mark.skipif(os.name != "posix", reason="signals and descriptors are Unix's")
CLIPS = 40
VOXTRAIT = (sys.executable, "-m", "voxtrait")


@posix
@pytest.mark.parametrize(("kind", "times", "why"), [("SIGTERM", 1, "stopped by SIGTERM"), ("SIGINT", 2, "interrupted")])
def test_a_stopped_command_leaves_whole_files_and_is_resumed(tmp_path: Path, kind: str, times: int, why: str) -> None:
    (tmp_path / "in").mkdir()
    audio.write_wav(tmp_path / "clip.wav", tone(20.0, 440.0, 44_100), 44_100)
    for at in range(CLIPS):
        os.link(tmp_path / "clip.wav", tmp_path / "in" / f"{at}.wav")
    out, number = tmp_path / "out", getattr(signal, kind)
    command = [*VOXTRAIT, "convert", tmp_path / "in", out, "--jobs", "2", "-q"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while len(list(out.glob("[!.]*.wav"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        for _ in range(times):
            process.send_signal(number)
            time.sleep(0.02)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert said.strip() == f"voxtrait: {why}. No file is incomplete. To resume, repeat the command."
    made = len(list(out.glob("*.wav")))
    summary = convert.convert(tmp_path / "in", out)
    assert (summary.kept, summary.done) == (made, CLIPS - made) and 2 <= made < CLIPS
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*(f"{at}.wav" for at in range(CLIPS)), "convert.json"]
    )


@posix
@pytest.mark.parametrize(("kind", "handler"), [("SIGTERM", "SIG_DFL"), ("SIGINT", "SIG_DFL"), ("SIGHUP", "SIG_IGN")])
def test_a_signal_during_the_imports_is_one_line_and_nohup_is_respected(
    tmp_path: Path, kind: str, handler: str
) -> None:
    program = (
        "import os, signal, sys\n"
        f"signal.signal(signal.{kind}, signal.{handler})\n"
        "class Sends:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click':\n"
        "            sys.meta_path.remove(self)\n"
        f"            exec('os.kill(os.getpid(), signal.{kind}); [0 for _ in [1]]')\n"  # CPython notes the interrupt
        "sys.meta_path.insert(0, Sends())\n"
        "from voxtrait.__main__ import main\n"
        "sys.argv = ['voxtrait', '--version']\n"
        "main()\n"
    )
    (tmp_path / "started.py").write_text(program)
    command = [sys.executable, "-m", "started"]  # of programs run like this, CPython itself may change the exit status
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    ignored = handler == "SIG_IGN"
    assert done.returncode == (0 if ignored else 128 + getattr(signal, kind))
    assert done.stderr == ("" if ignored else "voxtrait: interrupted. No file is incomplete.\n")


@posix
@pytest.mark.parametrize(
    ("redirection", "status", "said"),
    [
        (">&-", 2, "voxtrait: Bad file descriptor: standard output\n"),
        (">/dev/full", 2, "voxtrait: No space left on device: standard output\n"),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        ("<&-", 0, ""),
    ],
)
def test_a_lost_result_is_an_error_and_a_lost_note_is_not(redirection: str, status: int, said: str) -> None:
    command = ["sh", "-c", f'"$@" {redirection}', "sh", *VOXTRAIT, "models"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, said)


@posix
def test_a_file_never_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    audio.write_wav(tmp_path / "a.wav", tone(1.0), 16_000)
    (tmp_path / "b.mp3").write_bytes(b"ID3\x04" + bytes(2000))  # the decoder prints about it to descriptor 2
    convert.convert(tmp_path, tmp_path / "whole")
    command = ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *VOXTRAIT, "convert", tmp_path, tmp_path / "out", "-q", "-j", "1"]
    subprocess.run(command, check=False)
    assert (tmp_path / "out" / "a.wav").read_bytes() == (tmp_path / "whole" / "a.wav").read_bytes()


@posix
def test_a_file_that_stalls_costs_that_file_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "c"):
        audio.write_wav(tmp_path / "in" / f"{name}.wav", tone(1.0), 16_000)
    os.mkfifo(tmp_path / "in" / "b.wav")  # opening it waits for a writer, as a network disk whose server is gone
    arguments = ("convert", tmp_path / "in", tmp_path / "out", "--timeout", "2", "-j", "2", "-q")
    done = subprocess.run([*VOXTRAIT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "b.wav: it took longer than 2 s and was stopped" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.wav",
        "c.wav",
        "convert.json",
        "failures.csv",
    ]


@posix
def test_names_are_found_where_the_locale_has_only_ascii(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    audio.write_wav(tmp_path / "a.wav", tone(1.0), 16_000)
    names = [os.fsencode(name) for name in ("папка ß.wav", "日本.wav")] + [b"caf\xe9.wav"]
    for name in names:
        (Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/" + name))).write_bytes((tmp_path / "a.wav").read_bytes())
    plain = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for kept in (0, 3):
        arguments = ("convert", tmp_path / "in", tmp_path / "out", "-q", "-j", "1", "-f", "json")
        done = subprocess.run([*VOXTRAIT, *arguments], env=plain, capture_output=True, text=True, check=False)
        summary = json.loads(done.stdout)
        assert (done.returncode, summary["kept"], summary["done"]) == (0, kept, 3 - kept)
    assert {*names} < {os.fsencode(path.name) for path in (tmp_path / "out").iterdir()}
