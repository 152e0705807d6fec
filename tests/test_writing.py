"""Files that appear whole or not at all: long names, names that are not UTF-8, full disks, what killed runs leave."""

import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from factories import tone
from voxtrait import audio, manifest
from voxtrait.audio.writing import atomic_path, remove_unfinished, write_wav, write_wav_blocks, writing
from voxtrait.errors import DiskFullError, OutputError

posix = pytest.mark.skipif(os.name != "posix", reason="limits and bytes in names are Unix's")
NOBODY = 4_194_305  # a number that no process has


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file become larger than ``size`` bytes: as on a full disk, a write fails at that byte."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["a" * 255, "中" * 83 + "x.csv", "ж" * 127])
def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path: Path, name: str) -> None:
    with atomic_path(tmp_path / name) as part:
        part.write_text("whole")
    assert names(tmp_path) == [name]


def test_a_name_that_is_too_long_is_refused_before_any_work(tmp_path: Path) -> None:
    worked = False
    why = r"cannot be written \(File name too long\): the name has 258 bytes, and most disks allow 255"
    with pytest.raises(OutputError, match=why), atomic_path(tmp_path / ("中" * 86)):
        worked = True
    assert not worked and names(tmp_path) == []


@posix
def test_folders_of_any_name_and_depth_take_files_of_every_writer(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    deep = tmp_path.joinpath(*["d" * 200] * 6)
    table = pl.DataFrame({"path": ["a.mp3"]})
    for folder in (odd, deep):
        folder.mkdir(parents=True)
        manifest.write(table, folder / "m.parquet")
        manifest.write(table, folder / "m.csv")
        with atomic_path(folder / "lazy.csv") as part:
            table.lazy().sink_csv(part)
        write_wav(folder / "a.wav", tone(0.1), 16_000)
        write_wav_blocks(folder / "b.wav", [(tone(0.1), 16_000)])
        assert names(folder) == ["a.wav", "b.wav", "lazy.csv", "m.csv", "m.parquet"]
        assert audio.load(folder / "a.wav")[0].shape == (1600,)


@posix
def test_a_wav_that_is_cut_at_any_byte_leaves_nothing(tmp_path: Path) -> None:
    for size in [*range(0, 3000, 173), 4096, 16_000, 32_000, 32_043]:
        with largest_file(size), pytest.raises(OutputError, match=r"a\.wav cannot be written \(File too large\)"):
            write_wav_blocks(tmp_path / "a.wav", [(np.zeros(8000, np.float32), 16_000)] * 2)
        assert names(tmp_path) == []


@posix
@pytest.mark.parametrize(("name", "size"), [("a.wav", 0), ("a.wav", 20), ("a.wav", 9000), ("中" * 86, 9000)])
def test_nothing_half_made_writes_a_traceback_when_it_goes(tmp_path: Path, name: str, size: int) -> None:
    program = (
        "import resource, sys, numpy as np\n"
        "from voxtrait import audio\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)\n"
        "try: audio.write_wav_blocks(sys.argv[2], [(np.zeros(8000, np.float32), 16_000)] * 2)\n"
        "except OSError as error: print('refused:', str(error).isprintable())\n"
    )
    command = [sys.executable, "-X", "dev", "-c", program, str(size), str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("refused: True\n", "")


@posix
@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv"])
def test_a_table_that_is_cut_at_any_byte_leaves_nothing(tmp_path: Path, ending: str) -> None:
    table = pl.DataFrame({"path": [f"{at * at}.mp3" for at in range(3000)]})
    target = tmp_path / f"m.{ending}"
    manifest.write(table, target)
    whole = target.stat().st_size
    for size in [*range(0, 64, 3), *range(64, whole, max(1, whole // 40)), whole - 1]:
        before = target.read_bytes()
        with largest_file(size), pytest.raises(OutputError, match=r"cannot be written \(File too large\)"):
            manifest.write(table.with_columns(sentence=pl.lit("new")), target)
        assert names(tmp_path) == [target.name] and target.read_bytes() == before


def test_what_polars_says_without_a_number_is_asked_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    error = pl.exceptions.ComputeError("parquet: File out of specification: Invalid thrift: transport error")
    with pytest.raises(pl.exceptions.ComputeError), atomic_path(tmp_path / "a.parquet"):
        raise error  # there is room: the cause is another one
    assert names(tmp_path) == []
    monkeypatch.setattr(Path, "open", full)
    why = r"a\.parquet cannot be written \(No space left on device\): .* Free some space"
    with pytest.raises(DiskFullError, match=why), atomic_path(tmp_path / "a.parquet"):
        raise error
    assert names(tmp_path) == []


def test_what_has_another_cause_than_the_disk_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="other"), atomic_path(tmp_path / "x"):
        (tmp_path / "other").read_bytes()
    with pytest.raises(pl.exceptions.ComputeError, match="no such column"), writing(tmp_path / "x"):
        raise pl.exceptions.ComputeError("no such column")
    why = r"x cannot be written \(No such file or directory\)"
    with pytest.raises(OutputError, match=why), atomic_path(tmp_path / "no folder" / "x") as part:
        part.write_text("never")


@posix
def test_what_killed_runs_left_is_removed_and_the_work_of_others_is_not(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    dead = tmp_path / "in" / f".0a1b2c3d.{NOBODY}.part"
    ours = tmp_path / "in" / f".0a1b2c3d.{os.getpid()}.part"
    before = tmp_path / f".1a1b2c3d.{os.getpid()}.part"  # of a process that had our number before us
    mine = tmp_path / "notes.part"
    for file in (dead, ours, before, mine):
        file.write_bytes(b"half")
    started = time.time() - 3600
    os.utime(before, (started, started))
    remove_unfinished(tmp_path)
    if Path("/proc/self/stat").is_file():
        assert not before.exists()
    assert not dead.exists() and ours.exists() and mine.exists()
    old = time.time() - 2 * 86_400
    os.utime(ours, (old, old))
    remove_unfinished(tmp_path)
    assert not ours.exists() and mine.exists()


@posix
def test_workers_that_end_after_their_killed_run_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtrait.audio.writing.ENDING_S", 30.0)  # a busy machine ends processes late
    code = "import time; time.sleep({})"
    soon = subprocess.Popen([sys.executable, "-c", code.format(0.5)])  # still runs when the next run begins
    ended = subprocess.Popen([sys.executable, "-c", code.format(60)])
    ended.kill()
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and its status is not collected
    files = [tmp_path / f".0a1b2c3d.{process.pid}.part" for process in (soon, ended)]
    for file in files:
        file.write_bytes(b"half")
    threading.Thread(target=soon.wait).start()
    remove_unfinished(tmp_path)
    assert [file.exists() for file in files] == [False, False]
    ended.wait()


def test_a_wav_is_what_it_was(tmp_path: Path) -> None:
    write_wav_blocks(tmp_path / "a.wav", [(np.stack([tone(0.1), tone(0.1, 220.0)]), 16_000)] * 2)
    with wave.open(str(tmp_path / "a.wav")) as opened:
        assert (opened.getnchannels(), opened.getframerate(), opened.getnframes()) == (2, 16_000, 3200)
