"""Runs side by side into one folder: each finishes, or is refused in a word; none removes another's work."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
from click.testing import CliRunner, Result

import models
from factories import tone
from voxtrait import batch, features, manifest
from voxtrait.audio.writing import atomic_path
from voxtrait.cli import root
from voxtrait.derived import convert, pictures, shards
from voxtrait.errors import OptionError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="claims are Unix's")

HOLDER = """
import sys, time
from voxtrait import batch
from voxtrait.audio.writing import atomic_path
with batch.claimed(sys.argv[1]), atomic_path(sys.argv[1] + "/theirs.wav") as part:
    part.write_bytes(b"half")
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of four clips, and a manifest of them."""
    (tmp_path / "in").mkdir()
    for at in range(4):
        soundfile.write(tmp_path / "in" / f"{at}.wav", tone(0.3, 200.0 * (at + 1)), 16_000)
    rows = [{"path": f"in/{at}.wav", "gender": ("female", "male")[at % 2], "split": "train"} for at in range(4)]
    manifest.write(pl.DataFrame(rows), tmp_path / "all.csv")
    return tmp_path / "in"


def run(*args: object) -> Result:
    return CliRunner().invoke(root, [*map(str, args), "-q"])


@pytest.mark.parametrize("command", ["convert", "images", "images --shards"])
def test_a_second_run_is_refused_and_leaves_the_first_ones_work(clips: Path, tmp_path: Path, command: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    source = tmp_path / "all.csv" if "shards" in command else clips
    name, *options = command.split()
    program = [sys.executable, "-c", HOLDER, str(out)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        result = run(name, source, out, *options)
        assert result.exit_code == 2 and result.stdout == "" and result.stderr.count("\n") == 1
        assert result.stderr.startswith(f"voxtrait: process {other.pid} on ")
        assert f"is writing to {out}. Wait for it" in result.stderr
        assert sorted(file.suffix for file in out.iterdir()) == ["", ".part"]
        other.communicate("")
    assert (out / "theirs.wav").read_bytes() == b"half"
    assert run(name, source, out, *options).exit_code == 0


def test_a_thread_of_the_same_process_is_refused_too(clips: Path, tmp_path: Path) -> None:
    found: list[BaseException] = []

    def second() -> None:
        try:
            convert.convert(clips, tmp_path / "out")
        except OptionError as error:
            found.append(error)

    with batch.claimed(tmp_path / "out"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert convert.convert(clips, tmp_path / "out").done == 4  # the thread that holds the folder may go on
    assert len(found) == 1 and f"process {os.getpid()}" in str(found[0])


def test_a_run_next_to_another_kind_of_work_leaves_its_unfinished_files(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "tables").mkdir(parents=True)
    with atomic_path(out / "tables" / "x.parquet") as part:  # `predict --out` at its last step
        part.write_bytes(b"half")
        assert convert.convert(clips, out).done == 4
        assert pictures.draw(tmp_path / "all.csv", out).done == 4
        assert part.read_bytes() == b"half"
    assert (out / "tables" / "x.parquet").read_bytes() == b"half"


def test_several_processes_at_once_finish_or_are_refused(clips: Path, tmp_path: Path) -> None:
    for at in range(4, 40):
        (clips / f"{at}.wav").write_bytes((clips / "0.wav").read_bytes())
    command = [sys.executable, "-m", "voxtrait", "convert", clips, tmp_path / "out", "-j", "1", "-q"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [one.communicate()[1] for one in runs]
    assert {one.returncode for one in runs} <= {0, 2} and any(one.returncode == 0 for one in runs)
    assert all("is writing to" in words for one, words in zip(runs, said, strict=True) if one.returncode)
    assert len(list((tmp_path / "out").glob("*.wav"))) == 40
    assert not [file for file in (tmp_path / "out").iterdir() if file.name.startswith(".")]


def test_tables_of_one_folder_are_written_side_by_side(clips: Path, tmp_path: Path) -> None:
    bundle = models.make_bundle(tmp_path / "bundle").folder
    command = [sys.executable, "-m", "voxtrait", "predict", clips, "--model", bundle, "-q", "-j", "1", "--out"]
    names = [f"{'中' * 83}{at}.csv" for at in range(2)]  # beside which the hidden folders have no room for `.parts`
    runs = [subprocess.Popen([*command, tmp_path / "out" / name]) for name in names]
    assert [one.wait() for one in runs] == [0, 0]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names
    one, other = (pl.read_csv(tmp_path / "out" / name) for name in names)
    assert one.height == 4 and one.equals(other)


def test_a_training_into_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 96), dtype=np.uint8)
    for place in ("train/female", "train/male", "val/female", "val/male"):
        (tmp_path / "data" / place).mkdir(parents=True)
        (tmp_path / "data" / place / "a.png").write_bytes(features.encode_png(noise))
    (tmp_path / "run").mkdir()
    program = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        command = ["train", "diary-gender", "--data", tmp_path / "data", "--out", tmp_path / "run", "--resume"]
        result = run(*command, "--set", "width=96", "--set", "height=64", "--set", "shrink=2")
        assert result.exit_code == 2 and f"process {other.pid} on " in result.stderr
        assert not (tmp_path / "run" / "run.json").exists()
        other.communicate("")


def test_shards_are_claimed_as_a_whole(clips: Path, tmp_path: Path) -> None:
    shards.pack(tmp_path / "all.csv", tmp_path / "out", size=(96, 64))
    assert not list((tmp_path / "out").rglob(batch.shards.LOCK))
