"""Jobs over many items: order, flat memory, and what happens when a worker dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from voxtrait import batch
from voxtrait.errors import OptionError

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
