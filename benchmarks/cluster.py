"""Simulates a cluster of 200 workers at 30 million clips: shows where the driver and the merge become the limit.

    python benchmarks/cluster.py [--parts clips,setup,dispatch,merge] [--workers 200] [--rows 30000000]

Real: the driver's code (``batch.run_sharded``: names, fingerprints, chunks, results in order, rows, shards), Dask's
client, scheduler and worker connections, all shards, and the merge into one table. Simulated: the clips do not exist,
and a worker sleeps for the time of its clips (``--clip-ms``, on one core) and returns predictions like real ones. The
driver, the scheduler and the workers are separate processes on this machine, so a core that they share with other
programs lengthens the run. The limits are therefore computed from processor time. ``--clips`` is the size of dispatch,
whose cost per clip does not depend on it. ``--rows`` is the size of the merge.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import clips
import psutil
from scale import load, machine, show

import voxtrait
from voxtrait import batch, synthetic
from voxtrait.batch import dask_engine, running, shards
from voxtrait.recognize import Prediction
from voxtrait.recognize.table import table_row, table_schema, write_table

PARTS = ("clips", "setup", "dispatch", "merge")
MODELS = ("voxtrait-base", "voxtrait-fast")
SAMPLE = 120  # clips whose processor time is measured
ALL = 30_000_000  # clips of Common Voice in all languages
MADE = 20_000  # clips whose shards are made once and then linked
HOSTS = 1  # processes that hold the simulated workers
SHARED_S = 0.0005  # seconds for a request to a shared disk
NAME = "/shared/cv-corpus-25.0/en/clips/common_voice_en_{:010d}.mp3"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated parts")
    parser.add_argument("--workers", type=int, default=200, help="number of simulated workers")
    parser.add_argument("--clips", type=int, default=100_000, help="number of clips of setup and dispatch")
    parser.add_argument("--chunk", type=int, help="clips per chunk of dispatch; default: as for 30 million clips")
    parser.add_argument("--rows", type=int, default=30_000_000, help="number of rows of the largest merge")
    parser.add_argument("--clip-ms", type=float, nargs="+", default=[0.0], help="simulated times of a clip on one core")
    parser.add_argument("--host", nargs=3, metavar=("ADDRESS", "N", "MS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.host:
        asyncio.run(host_workers(asked.host[0], int(asked.host[1]), float(asked.host[2]) / 1000))
        return
    if unknown := {*asked.parts.split(",")} - {*PARTS}:
        parser.error(f"Unknown: {', '.join(sorted(unknown))}. Expected some of {', '.join(PARTS)}.")
    print("\n".join(machine("no audio")), flush=True)
    running.CLUSTER_CHUNK = asked.chunk or running.chunk_size("dask", ALL)  # type: ignore[misc]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process keeps running
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        for part in asked.parts.split(","):
            print(flush=True)
            match part:
                case "clips":
                    show(clip_rows(Path(folder)))
                case "setup":
                    show(setup_rows(asked.clips, Path(folder)))
                case "dispatch":
                    show(dispatch_rows(asked.workers, asked.clips, asked.clip_ms, Path(folder)))
                case _:
                    show(merge_rows(asked.rows, Path(folder)))
    print(f"\nload average at the end {load()}")


# clips: the time that a worker would need


def clip_rows(folder: Path) -> Iterator[Sequence[str]]:
    """Measure the processor time of a clip on one core, decoding included, and the memory of that process."""
    yield "bundle", "clips", "processor ms a clip", "core hours for 2 million", "for 30 million", "peak MB of a worker"
    files, _ = clips.choose(folder / "sample", SAMPLE)
    code = (
        "import sys, time, voxtrait, pathlib; model = voxtrait.load(sys.argv[1]); paths = sys.argv[2:]; "
        "model.predict(paths[0]); begun = time.process_time(); [model.predict(one) for one in paths]; "
        "print(time.process_time() - begun, next(line.split()[1] for line in "
        "pathlib.Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM')))"
    )
    best = dict.fromkeys(MODELS, (float("inf"), 0.0))
    for name in (*MODELS, *MODELS):  # interleaved; the better of two counts
        command = [sys.executable, "-c", code, name, *map(str, files)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds, peak = map(float, done.stdout.split())
        best[name] = min(best[name], (1000 * seconds / len(files), peak / 1000))
    for name, (ms, peak) in best.items():
        hours = (f"{ms * count / 3.6e6:,.0f}" for count in (2_000_000, 30_000_000))
        yield name, str(len(files)), f"{ms:.1f}", *hours, f"{peak:.0f}"


# set-up: what the driver does before the first chunk


def setup_rows(count: int, folder: Path) -> Iterator[Sequence[str]]:
    yield "set-up of the driver", "clips", "µs of processor a clip", "bytes of memory a clip", "for 30 million"
    place = folder / "clips"
    place.mkdir()
    before = resident_mb()
    items, used = timed(lambda: [str(place / f"common_voice_en_{number:010d}.mp3") for number in range(count)])
    each = 1e6 * (resident_mb() - before) / count
    yield "names", f"{count:,}", f"{1e6 * used / count:.2f}", f"{each:.0f}", f"{30 * each / 1000:.1f} GB"
    for item in items:
        Path(item).touch()
    cut = [items[at : at + batch.SHARD] for at in range(0, count, batch.SHARD)]
    _, used = timed(lambda: shards.fingerprints(cut, "settings"))
    yield (
        "fingerprints (size and time of each file)", f"{count:,}", f"{1e6 * used / count:.2f}", "",
        f"{30 * used / count * 1e6:.0f} s of processor, local disk",
    )  # fmt: skip
    begun, usual = time.monotonic(), Path.stat

    def slow(path: Path, **more: Any) -> os.stat_result:
        time.sleep(SHARED_S)
        return usual(path, **more)

    with mock.patch.object(Path, "stat", slow):
        shards.fingerprints(cut, "settings")
    each = (time.monotonic() - begun) / count
    yield (
        f"the same with {1000 * SHARED_S:g} ms more for each file", f"{count:,}", f"{1e6 * each:.0f} of wall time", "",
        f"{30e6 * each / 60:.0f} minutes",
    )  # fmt: skip


# dispatch: the driver's own code on Dask with simulated workers


def dispatch_rows(workers: int, count: int, clip_ms: Sequence[float], folder: Path) -> Iterator[Sequence[str]]:
    yield (
        f"dispatch, {workers} workers, {count:,} clips in chunks of {running.CLUSTER_CHUNK}",
        "clips/s", "workers could", "driver, µs of processor a clip",
        "scheduler, µs a clip", "limit of the driver, clips/s", "driver MB at the end", "rise of the last half",
    )  # fmt: skip
    model = voxtrait.load()
    spoken = [model.predict(0.2 * synthetic.speak(one, 4.0, 1), 16_000) for one in synthetic.cohort(4, 3)]
    (folder / "predictions").write_bytes(pickle.dumps(spoken))
    os.environ["VOXTRAIT_CLUSTER_PREDICTIONS"] = str(folder / "predictions")
    for ms in clip_ms:
        yield dispatched(workers, count, ms, folder)


def dispatched(workers: int, count: int, ms: float, folder: Path) -> Sequence[str]:
    items = [NAME.format(number) for number in range(count)]
    with simulated(workers, ms, folder) as (address, scheduler):
        memory: list[float] = []
        begun, cpu = time.monotonic(), time.process_time()
        before = sum(scheduler.cpu_times()[:2])

        def row(prediction: Prediction) -> dict[str, Any]:
            if len(memory) * (count // 20) <= row.seen:  # type: ignore[attr-defined]
                memory.append(resident_mb())
            row.seen += 1  # type: ignore[attr-defined]
            return table_row(prediction)

        row.seen = 0  # type: ignore[attr-defined]
        found = batch.run_sharded(
            Absent(), items, folder / f"out-{ms:g}", row=row, schema=table_schema(), settings="",
            jobs=batch.Where("dask", address=address, jobs=None), on_crash=lost,
        )  # fmt: skip
        seconds, used = time.monotonic() - begun, time.process_time() - cpu
        behind = sum(scheduler.cpu_times()[:2]) - before
    assert len(found) == -(-count // batch.SHARD)
    could = f"{1000 * workers / ms:,.0f}" if ms else "–"
    return (
        f"{ms:g} ms a clip" if ms else "as fast as possible", f"{count / seconds:,.0f}", could,
        f"{1e6 * used / count:.1f}", f"{1e6 * behind / count:.1f}", f"{count / used:,.0f}",
        f"{memory[-1]:.0f}", f"{memory[-1] - memory[len(memory) // 2]:+.0f}",
    )  # fmt: skip


class Absent:
    """Job of clips that do not exist; the simulated workers never call it."""

    def __call__(self, item: str) -> Prediction:
        raise AssertionError("a simulated worker must not process a clip")


def lost(item: str, why: str) -> Prediction:
    raise AssertionError(f"{item}: {why}")


@contextlib.contextmanager
def simulated(workers: int, ms: float, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run Dask's scheduler and processes with simulated workers; yield the address, and the scheduler's process."""
    file = folder / f"scheduler-{ms:g}.json"
    command = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen([*command, "--scheduler-file", str(file)], **quiet)]
    try:
        address = address_in(file, processes[0])
        for number in range(HOSTS):
            count = workers // HOSTS + (number < workers % HOSTS)
            arguments = ["--host", address, str(count), str(ms)]
            processes.append(subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE))
        for one in processes[1:]:
            assert one.stdout is not None
            assert one.stdout.readline() == b"ready\n", "the simulated workers did not start"
        yield address, psutil.Process(processes[0].pid)
    finally:
        for one in reversed(processes):
            one.kill()
            one.wait()


def address_in(file: Path, process: subprocess.Popen[Any]) -> str:
    import json

    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads(file.read_text())["address"])
        time.sleep(0.2)
    raise SystemExit("Dask's scheduler did not start.")


async def host_workers(address: str, count: int, clip_s: float) -> None:
    """Run simulated workers in this process, each with one thread, until the process is killed."""
    import distributed

    spoken: list[Prediction] = pickle.loads(Path(os.environ["VOXTRAIT_CLUSTER_PREDICTIONS"]).read_bytes())
    chance = random.Random(os.getpid())

    def sleep(key: str, fetch: Callable[[], bytes], chunk: Sequence[str], timeout: float | None) -> list[Prediction]:
        time.sleep(clip_s * len(chunk))
        return [varied(chance.choice(spoken), item, chance) for item in chunk]

    dask_engine.work = sleep  # type: ignore[assignment]
    workers = [
        distributed.Worker(address, nthreads=1, memory_limit=0, dashboard_address=None, silence_logs=50)
        for _ in range(count)
    ]
    await asyncio.gather(*workers)
    print("ready", flush=True)
    await asyncio.Event().wait()


def varied(one: Prediction, path: str, chance: random.Random) -> Prediction:
    """Return a prediction with another path and other figures, so that tables do not compress better than real ones."""
    share = chance.uniform(0.9, 1.1)
    figures = ("duration_s", "speech_s", "age_years", "age_low", "age_high")
    changed: dict[str, Any] = {name: round(share * getattr(one, name), 3) for name in figures}
    groups = {name: round(chance.random(), 4) for name in one.age_groups or {}}
    return dataclasses.replace(one, path=path, p_female=round(chance.random(), 3), age_groups=groups, **changed)


# merge: shards into one table


def merge_rows(rows: int, folder: Path) -> Iterator[Sequence[str]]:
    yield "merge into", "rows", "shards", "wall s", "processor s", "peak MB", "table MB"
    made = folder / "made"
    code = "import sys, cluster, pathlib; cluster.merge(pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    write_shards(made)
    for ending in ("parquet", "csv"):
        for share in (10, 1) if ending == "parquet" else (10,):
            command = [sys.executable, "-c", code, str(made), str(rows // share), ending]
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            yield ending, f"{rows // share:,}", f"{rows // share // batch.SHARD:,}", *done.stdout.split()


def write_shards(folder: Path) -> None:
    import polars as pl

    model = voxtrait.load()
    spoken = [model.predict(0.2 * synthetic.speak(one, 4.0, 1), 16_000) for one in synthetic.cohort(4, 3)]
    chance = random.Random(1)
    folder.mkdir()
    for start in range(0, MADE, batch.SHARD):
        found = [
            dict(table_row(varied(chance.choice(spoken), NAME.format(number), chance)))
            for number in range(start, start + batch.SHARD)
        ]
        pl.DataFrame(found, schema=table_schema(), orient="row").write_parquet(folder / f"{start:08d}.parquet")


def merge(made: Path, rows: int, ending: str) -> None:
    """Merge links to shards into one table in a new process, and print its time and memory."""
    import shutil

    files = sorted(made.iterdir())
    parts = made.parent / "parts"
    parts.mkdir()
    links = [parts / f"part-{number:06d}.parquet" for number in range(rows // batch.SHARD)]
    for number, link in enumerate(links):
        os.link(files[number % len(files)], link)
    out = made.parent / f"out.{ending}"
    begun, cpu = time.monotonic(), time.process_time()
    write_table(links, out)
    seconds, used = time.monotonic() - begun, time.process_time() - cpu
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(f"{seconds:.0f} {used:.0f} {int(peak.split()[1]) / 1000:.0f} {out.stat().st_size / 1e6:.0f}")
    out.unlink()
    shutil.rmtree(parts)


def timed(do: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result and its processor time in seconds."""
    cpu = time.process_time()
    found = do()
    return found, time.process_time() - cpu


def resident_mb() -> float:
    return psutil.Process().memory_info().rss / 1e6


if __name__ == "__main__":
    main()
