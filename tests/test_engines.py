"""The same results on every engine, whatever dies, hangs or is killed."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from voxtrait import batch
from voxtrait.batch import Where
from voxtrait.errors import OptionError

HERE = Path(__file__).resolve().parent
ENGINES = ("local", "ray", "dask")

# said inside Ray's and Dask's own start and end, about their own sockets and processes
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::FutureWarning:ray",
    "ignore::DeprecationWarning:ray",
)


def square(item: int) -> int:
    time.sleep(0.01)
    return item * item


def die_at_13(item: int) -> str:
    if item == 13:
        os._exit(3)
    return str(item)


def die_once(item: tuple[str, int]) -> int:
    """As a process does that the kernel or an operator kills: the second try goes well."""
    folder, number = item
    if number == 5:
        try:
            Path(folder, "killed").touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        except FileExistsError:
            pass
    return number


def hang_at_5(item: int) -> str:
    time.sleep(60 if item == 5 else 0)
    return str(item)


def fail_at_3(item: int) -> int:
    if item == 3:
        raise OptionError("got three, expected less")
    return item


def where_am_i(item: int) -> tuple[int, int]:
    return os.getppid(), os.getpid()


def crash(item: Any, reason: str) -> str:
    return f"{item} lost: {reason}"


@pytest.fixture(scope="module")
def clusters() -> Iterator[dict[str, Where]]:
    """One Ray and one Dask with two workers each, for all tests here; starting them takes seconds."""
    distributed = pytest.importorskip("distributed")
    ray = pytest.importorskip("ray")
    os.environ["PYTHONPATH"] = str(HERE)  # the workers import the jobs above
    try:
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20)
        local = distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address=None,
            silence_logs=50,
        )
    finally:
        del os.environ["PYTHONPATH"]
    try:
        yield {
            "local": Where(jobs=2, timeout=60),
            "ray": Where("ray", jobs=None, timeout=60),  # the session that is there
            "dask": Where("dask", address=local.scheduler_address, jobs=None, timeout=60),
        }
        assert ray.is_initialized()  # whoever uses a session that is there leaves it
    finally:
        ray.shutdown()
        local.close()


@pytest.fixture(params=ENGINES)
def where(request: pytest.FixtureRequest, clusters: dict[str, Where]) -> Where:
    return clusters[request.param]


def test_results_keep_the_order_of_the_items(where: Where) -> None:
    assert list(batch.run(square, range(150), jobs=where, on_crash=crash)) == [i * i for i in range(150)]


def test_each_worker_has_one_warm_process_for_a_job(where: Where) -> None:
    found = set(batch.run(where_am_i, range(200), jobs=where, on_crash=crash))
    parents = {parent for parent, _ in found}
    assert len(found) <= 2 and os.getpid() not in {worker for _, worker in found}
    assert (parents == {os.getpid()}) == (where.engine == "local")


def test_a_job_that_kills_its_process_costs_one_item(where: Where) -> None:
    results = list(batch.run(die_at_13, range(40), jobs=where, on_crash=crash))
    assert results[:13] + results[14:] == [str(item) for item in range(40) if item != 13]
    assert results[13] == "13 lost: its worker process died 3 times (crash of the decoder, or out of memory)"


def test_a_process_that_is_killed_once_costs_nothing(where: Where, tmp_path: Path) -> None:
    items = [(str(tmp_path), number) for number in range(20)]
    assert list(batch.run(die_once, items, jobs=where, on_crash=crash)) == list(range(20))
    assert (tmp_path / "killed").exists()


def test_an_item_that_hangs_is_given_up(clusters: dict[str, Where], where: Where) -> None:
    short = Where(where.engine, where.address, where.jobs, timeout=1.5)
    start = time.monotonic()
    results = list(batch.run(hang_at_5, range(20), jobs=short, on_crash=crash))
    assert time.monotonic() - start < 30
    assert results[5] == "5 lost: it took longer than 1.5 s and was stopped. Cut it into parts, or raise --timeout"
    assert results[:5] + results[6:] == [str(item) for item in range(20) if item != 5]


def test_an_error_of_the_job_comes_out_as_it_is(where: Where) -> None:
    with pytest.raises(OptionError, match="got three") as raised:
        list(batch.run(fail_at_3, range(40), jobs=where, on_crash=crash))
    assert (type(raised.value), str(raised.value)) == (OptionError, "got three, expected less")
    assert list(batch.run(square, range(3), jobs=where, on_crash=crash)) == [0, 1, 4]  # nothing is left of it


def test_whoever_stops_listening_stops_the_work(where: Where) -> None:
    results = batch.run(square, range(5_000), jobs=where, on_crash=crash)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 8
    assert list(batch.run(square, range(3), jobs=where, on_crash=crash)) == [0, 1, 4]


def workers_of(root_: psutil.Process) -> list[psutil.Process]:
    """The processes below one that work: ours, Ray's workers and Dask's; not what starts and watches them."""
    found = []
    for one in root_.children(recursive=True):
        try:
            line = one.cmdline()
        except psutil.Error:
            continue
        if any("spawn_main" in part for part in line) or (line[:1] and line[0] in ("ray::IDLE", "ray::_ray_task()")):
            found.append(one)
    return found


def test_kills_at_random_moments_change_nothing(where: Where) -> None:
    over = threading.Event()
    killed = []

    def kill() -> None:
        rng = random.Random(7)
        while not over.wait(0.5):
            alive = workers_of(psutil.Process())
            if alive and len(killed) < 4:
                victim = rng.choice(alive)
                victim.kill()
                killed.append(victim.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        results = list(batch.run(square, range(320), jobs=where, on_crash=crash))
    finally:
        over.set()
        killer.join()
    assert results == [i * i for i in range(320)]
    assert len(killed) >= 2


DRIVER = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
import polars as pl
import voxtrait.batch.shards as shards
from test_engines import square
from voxtrait import batch

shards.SHARD = 64

def main(engine, folder):
    where = 1 if engine == "none" else batch.Where(engine, jobs=2)
    items = [str(number) for number in range(640)]
    schema = {{"name": pl.String, "square": pl.Int64}}
    found = batch.run_sharded(Job(), items, folder, row=lambda row: row, schema=schema, settings="", jobs=where,
                              on_crash=lambda item, why: {{"name": why, "square": -1}})
    print(len(found))

class Job:
    def __call__(self, item):
        return {{"name": item, "square": square(int(item))}}

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("part-*.parquet")}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_driver_killed_and_run_again_ends_with_the_same_bytes(engine: str, tmp_path: Path) -> None:
    if engine != "local":
        pytest.importorskip({"ray": "ray", "dask": "distributed"}[engine])
    script = tmp_path / "driver.py"
    script.write_text(DRIVER.format(here=str(HERE)))
    undisturbed, shaken = tmp_path / "undisturbed", tmp_path / "shaken"
    subprocess.run([sys.executable, script, "none", undisturbed], check=True, capture_output=True)
    command = [sys.executable, script, engine, shaken]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as driver:
        deadline = time.monotonic() + 120  # Ray takes its time to start where others are at work
        while len(bytes_of(shaken)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        below = workers_of(psutil.Process(driver.pid))
        driver.kill()
    kept = {file: (shaken / file).stat().st_mtime_ns for file in bytes_of(shaken)}
    assert 2 <= len(kept) < 10
    _, alive = psutil.wait_procs(below, timeout=20)
    assert [one.name() for one in alive] == []  # no worker goes on without its driver
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "10\n", "")
    assert bytes_of(shaken) == bytes_of(undisturbed)
    assert {file: (shaken / file).stat().st_mtime_ns for file in kept} == kept  # none was made twice


def test_a_cluster_of_our_own_whose_worker_is_killed_while_it_starts() -> None:
    pytest.importorskip("distributed")
    before = set(psutil.Process().children(recursive=True))
    killed: list[int] = []

    def kill_one() -> None:
        while not killed:
            for one in set(psutil.Process().children(recursive=True)) - before:
                with contextlib.suppress(psutil.Error):
                    if any("spawn_main" in part for part in one.cmdline()):
                        one.kill()
                        killed.append(one.pid)
                        return
            time.sleep(0.005)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    where = Where("dask", jobs=2, timeout=60)
    assert list(batch.run(square, range(40), jobs=where, on_crash=lambda item, why: -1)) == [n * n for n in range(40)]
    assert killed
