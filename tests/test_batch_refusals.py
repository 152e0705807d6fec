"""Jobs that cannot run: no cluster, no engine, a broken job, a full disk, a second run into the same place."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from test_engines import crash, square, where_am_i
from test_engines import pytestmark as pytestmark
from voxtrait import batch
from voxtrait.batch import Where
from voxtrait.batch.cluster import check_reachable
from voxtrait.cli import root  # noqa: F401 - loaded before a limit is set on what may be written
from voxtrait.errors import MissingExtraError, OptionError, WorkerError


@pytest.mark.parametrize(("engine", "address"), [("ray", "127.0.0.1:1"), ("dask", "tcp://127.0.0.1:1")])
def test_a_cluster_that_is_not_there(engine: str, address: str, tmp_path: Path) -> None:
    pytest.importorskip({"ray": "ray", "dask": "distributed"}[engine])
    command = [sys.executable, "-m", "voxtrait", "gone.wav", "gone.mp3", "--engine", engine, "--address", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"voxtrait: No {engine.capitalize()} cluster responds at {address} (")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("engine", "scheme"), [("ray", ""), ("dask", "tcp://")])
def test_a_port_where_something_else_listens(engine: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip({"ray": "ray", "dask": "distributed"}[engine])
    monkeypatch.setattr("voxtrait.batch.cluster.REACH_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"{scheme}127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(WorkerError, match=f"No {engine.capitalize()} cluster responds at {address} \\(timed out"):
            check_reachable(address, engine.capitalize())


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("dask", "distributed")])
def test_an_engine_that_is_not_installed(engine: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"pip install .*\\[{engine}\\]"):
        list(batch.run(square, range(9), jobs=Where(engine), on_crash=crash))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "slurm"}, "Unknown engine 'slurm'. Expected one of local, ray, dask."),
        ({"address": "10.0.0.1:6379"}, "Got the address 10.0.0.1:6379 without a cluster engine"),
        ({"jobs": 0}, "Got 0 jobs. Expected 1 or more."),
        ({"timeout": -1.0}, "Got a timeout of -1.0 s. Expected more than 0."),
    ],
)
def test_where_refuses_nonsense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        Where(**options)


def test_a_few_items_are_worked_on_in_this_process() -> None:
    few = Where(jobs=1, timeout=600, inline=8)
    assert {worker for _, worker in batch.run(where_am_i, range(8), jobs=few, on_crash=crash)} == {os.getpid()}
    assert os.getpid() not in {worker for _, worker in batch.run(where_am_i, range(9), jobs=few, on_crash=crash)}


class Broken:
    """A job that no process can read."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_a_job_that_cannot_be_read_says_why() -> None:
    with pytest.raises(ValueError, match="no number"):
        list(batch.run(Broken(), range(99), jobs=2, on_crash=crash))  # type: ignore[arg-type]


def test_a_result_that_cannot_travel_says_why() -> None:
    with pytest.raises((TypeError, AttributeError, WorkerError), match=r"pickle|local object"):
        list(batch.run(make_lock, range(99), jobs=2, on_crash=crash))


def make_lock(item: int) -> Any:
    return threading.Lock()


LIMITED = """
import resource, sys
from voxtrait.cli import main, predict
import voxtrait.recognize, polars
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv[1:2] = []
main()
"""


def predict_missing(folder: Path, limit: int) -> "subprocess.CompletedProcess[str]":
    """Predict 1200 files that are not there, where no file may become larger than ``limit`` bytes."""
    files = [f"gone-{number}.wav" for number in range(1200)]
    program = [sys.executable, "-c", LIMITED, str(limit)]
    command = [*program, "predict", *files, "--out", "out.csv", "--jobs", "1", "--timeout", "0", "--quiet"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of the size of files are Unix's")
def test_a_full_disk_costs_only_what_it_has_no_room_for(tmp_path: Path) -> None:
    shard = predict_missing(tmp_path, 1000)
    assert (shard.returncode, shard.stdout) == (2, "")
    assert shard.stderr.startswith("voxtrait: .out.csv.parts/part-000000-")
    assert "cannot be written (File too large): earlier results are kept" in shard.stderr
    assert [file.name for file in tmp_path.iterdir()] == [".out.csv.parts"]
    assert list((tmp_path / ".out.csv.parts").iterdir()) == []  # nothing half-written, no claim
    table = predict_missing(tmp_path, 60_000)
    assert (table.returncode, table.stdout) == (2, "")
    assert table.stderr.startswith("voxtrait: out.csv cannot be written (File too large")
    assert len(table.stderr.splitlines()) == 1
    made = {file.name: file.stat().st_mtime_ns for file in (tmp_path / ".out.csv.parts").iterdir()}
    assert len(made) == 3
    assert predict_missing(tmp_path, 100_000_000).returncode == 1  # every file is missing, and says so
    assert pl.read_csv(tmp_path / "out.csv")["path"].to_list() == [f"gone-{number}.wav" for number in range(1200)]
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


HOLDER = """
import sys, time
from voxtrait import batch
with batch.claimed(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="claims are Unix's")
def test_two_runs_into_one_place_are_refused(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(OptionError, match=f"^process {other.pid} on .* is writing to {tmp_path}"):
            shards(tmp_path)
        other.kill()
        other.wait()  # it holds its claim until it is gone
    assert len(shards(tmp_path)) == 1  # what a dead process claimed is free
    assert [file.suffix for file in tmp_path.iterdir()] == [".parquet"]


def shards(folder: Path) -> list[Path]:
    options: dict[str, Any] = {"row": lambda one: {"n": one}, "schema": {"n": pl.Int64}, "settings": ""}
    return batch.run_sharded(len, ["a", "bc"], folder, on_crash=lambda item, why: 0, **options)
