"""Jobs over many items: order, flat memory, and what happens when a worker dies."""

import contextlib
import functools
import gc
import multiprocessing.spawn
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from voxtrait import batch
from voxtrait.batch import Where, crew, shards
from voxtrait.errors import OptionError, WorkerError

ITEMS = list(range(40))


def slow_square(item: int) -> int:
    time.sleep(0.03 if item % 7 == 0 else 0)
    return item * item


def die_at_13(item: int) -> str:
    if item == 13:
        os._exit(3)
    return str(item)


def fail_at_3(item: int) -> int:
    if item == 3:
        raise KeyError("three")
    return item


def name_process(item: int) -> int:
    return os.getpid()


def blas_threads(item: int) -> str:
    import threadpoolctl  # after NumPy, which sets the number

    numbers = {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}
    return ", ".join(map(str, sorted(numbers)))


def command_line(item: int) -> tuple[str, ...]:
    return tuple(sys.argv)


def stop_within_a_message(item: int) -> str:
    if item == 2:
        return "2"
    owner = next(one for one in gc.get_objects() if isinstance(one, Connection))
    os.write(owner.fileno(), struct.pack("!i", 1_000) + b"a part")
    os.kill(os.getpid(), signal.SIGSTOP)
    return ""


@contextlib.contextmanager
def ends_within(seconds: int) -> Iterator[None]:
    """Fail if the block takes longer; it may wait where only a signal ends the wait."""

    def late(*_: object) -> None:
        raise TimeoutError(f"it took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def crash(item: int, reason: str) -> str:
    return f"{item} crashed: {reason}"


class Counted(Sequence[int]):
    """Items that say how many of them were asked for."""

    def __init__(self, length: int) -> None:
        self.length, self.given = length, 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, at):  # type: ignore[no-untyped-def]
        self.given += len(range(*at.indices(self.length))) if isinstance(at, slice) else 1
        return list(range(*at.indices(self.length))) if isinstance(at, slice) else at


class Slow:
    """A job that blocks when a worker unpickles it: in the first worker, or in each."""

    def __init__(self, folder: Path, once: bool) -> None:
        self.folder, self.once = folder, once

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__ |= state
        first = self.folder / "first"
        if not self.once or not first.exists():
            first.touch()
            time.sleep(60)

    def __call__(self, item: int) -> int:
        return -item


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_keep_the_order_of_the_items(jobs: int) -> None:
    assert list(batch.run(slow_square, ITEMS, jobs=jobs, on_crash=lambda item, why: -1)) == [i * i for i in ITEMS]


def test_two_jobs_work_in_other_processes() -> None:
    workers = set(batch.run(name_process, ITEMS, jobs=2, on_crash=crash))
    assert os.getpid() not in workers and 1 <= len(workers) <= 2


@pytest.mark.parametrize(("chosen", "expected"), [(None, "1"), ("2", "2")])
def test_a_worker_multiplies_matrices_in_one_thread(
    chosen: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if chosen:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", chosen)  # what the user chose is kept
    before = dict(os.environ)
    assert set(batch.run(blas_threads, ITEMS[:16], jobs=2, on_crash=crash)) == {expected}
    assert dict(os.environ) == before


def test_a_dying_worker_costs_one_item() -> None:
    results = list(batch.run(die_at_13, ITEMS, jobs=2, on_crash=crash))
    assert results[:13] + results[14:] == [str(item) for item in ITEMS if item != 13]
    assert results[13].startswith("13 crashed: its worker process died")


def test_a_worker_that_blocks_while_it_starts_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "START_S", 3)
    results = batch.run(Slow(tmp_path, once=True), [1, 2, 3], jobs=Where(jobs=1, timeout=60), on_crash=crash)
    assert list(results) == [-1, -2, -3]


def test_workers_that_all_block_while_they_start_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "START_S", 0.2)
    before = time.monotonic()
    with pytest.raises(WorkerError, match=r"No worker process was ready within 0\.2 s, in two attempts\."):
        list(batch.run(Slow(tmp_path, once=False), ITEMS, jobs=2, on_crash=crash))
    assert time.monotonic() - before < 10


@pytest.fixture
def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Replace the program that workers run."""

    def replace(script: str) -> None:
        file = tmp_path / "python"
        file.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        file.chmod(0o755)
        monkeypatch.setattr(multiprocessing.spawn, "_python_exe", os.fsencode(file))

    return replace


def test_a_job_that_no_worker_takes_ends_the_run(
    interpreter: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is larger than what the system keeps on its way, so sending it waits for the worker."""
    interpreter("exec sleep 60")
    monkeypatch.setattr("voxtrait.batch.worker.START_S", 0.2)
    with pytest.raises(WorkerError, match="No worker process was ready within"):
        list(batch.run(functools.partial(crash, reason="x" * 2**21), ITEMS, jobs=2, on_crash=crash))


def test_a_worker_that_dies_before_it_reads_a_long_command_line(
    interpreter: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not fit into the pipe of multiprocessing, whose writer then waited for ever."""
    interpreter("exit 1")
    given = [sys.argv[0], *(f"/recordings/{at:0100d}.wav" for at in range(5_000))]
    monkeypatch.setattr(sys, "argv", given)
    with ends_within(10), pytest.raises(WorkerError, match="No worker process could start"):
        list(batch.run(slow_square, ITEMS, jobs=2, on_crash=crash))
    assert sys.argv is given


def test_the_first_arguments_reach_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script may read them where it imports its job from."""
    monkeypatch.setattr(sys, "argv", [sys.argv[0], "é\udcff", *(f"{at:0100d}" for at in range(5_000))])
    (found,) = set(batch.run(command_line, ITEMS[:16], jobs=2, on_crash=crash))
    assert found[:2] == tuple(sys.argv[:2]) and 10 < len(found) < 100


def test_a_worker_that_stops_in_the_middle_of_a_message_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtrait.batch.worker.START_S", 0.5)
    with ends_within(20):
        results = list(batch.run(stop_within_a_message, [1, 2], jobs=Where(jobs=1, timeout=60), on_crash=crash))
    assert results[0].startswith("1 crashed: its worker process died 3 times") and results[1] == "2"


def test_an_error_of_the_job_comes_out_and_the_pool_ends() -> None:
    with pytest.raises(KeyError, match="three"):
        list(batch.run(fail_at_3, ITEMS, jobs=2, on_crash=crash))


def test_only_a_few_chunks_are_under_way() -> None:
    items = Counted(10_000)
    results = batch.run(slow_square, items, jobs=2, on_crash=crash)
    assert next(results) == 0
    assert items.given <= (4 * 2 + 1) * batch.CHUNK
    assert isinstance(results, Iterator)
    results.close()  # type: ignore[attr-defined] - a generator


def test_one_job_makes_items_only_when_their_turn_comes() -> None:
    items = Counted(10_000)
    results = batch.run(slow_square, items, jobs=1, on_crash=crash)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert items.given <= 4


def test_no_items_give_no_results() -> None:
    assert list(batch.run(slow_square, [], jobs=2, on_crash=crash)) == []


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_slow_disk_is_asked_by_several_threads(
    is_slow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [f"{tmp_path}/{at}" for at in range(400)]
    for at, file in enumerate(files):
        Path(file).write_bytes(bytes(at))
    cut = [files[at : at + 2] for at in range(0, len(files), 2)]
    expected = [shards.fingerprints([some], "s") for some in cut]
    asked, stat = set(), Path.stat

    def ask(file: Path) -> os.stat_result:
        asked.add(threading.get_ident())
        time.sleep(0.002 if is_slow else 0)
        return stat(file)

    monkeypatch.setattr(Path, "stat", ask)
    monkeypatch.setattr(shards, "SLOW_S", 0.002 if is_slow else 10)
    assert [[mark] for mark in shards.fingerprints(cut, "s")] == expected and len(set(map(str, expected))) == 200
    assert (len(asked) > 8) == is_slow and threading.get_ident() in asked


def test_zero_jobs_are_refused() -> None:
    with pytest.raises(OptionError, match=r"Got 0 jobs\. Expected 1 or more\."):
        list(batch.run(slow_square, ITEMS, jobs=0, on_crash=crash))


def test_progress_goes_to_standard_error_only_with_a_label(capsys: pytest.CaptureFixture[str]) -> None:
    list(batch.run(slow_square, ITEMS[:3], on_crash=crash))
    assert capsys.readouterr() == ("", "")
    list(batch.run(slow_square, ITEMS[:3], on_crash=crash, label="squares", unit="number"))
    out, err = capsys.readouterr()
    assert out == ""
    assert "squares: 100%" in err and "3/3" in err and "number/s" in err


def test_default_jobs_is_the_number_of_usable_cores() -> None:
    assert 1 <= batch.default_jobs() <= (os.cpu_count() or 1)


PARENT = """
import os, sys, time
sys.path.insert(0, {here!r})
from test_batch import crash
from voxtrait import batch

def tell(item):
    os.write(1, b"%d\\n" % os.getpid())  # at once: print may write the end of the line apart, after another's number
    time.sleep(0.2)

if __name__ == "__main__":
    list(batch.run(tell, list(range(1000)), jobs=2, on_crash=crash))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux which processes are alive")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(here=str(Path(__file__).parent)))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = {int(parent.stdout.readline()) for _ in range(4)}
        assert parent.pid not in workers
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 30  # they end at once where the machine has nothing else to do
    while (alive := [worker for worker in workers if is_alive(worker)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for worker in alive:
        os.kill(worker, signal.SIGKILL)
    assert not alive


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_script_without_a_main_guard_gets_one_error(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from voxtrait import batch\nprint(list(batch.run(abs, range(-40, 0), jobs=2, on_crash=lambda item, why: 0)))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    advice = "put the calls under if __name__ == '__main__':, or use jobs=1 without a timeout."
    assert f"In a script, {advice}" in done.stderr
    assert done.stdout == ""
