"""``make bench-scale``: large batches on each engine: speed, killed processes, a second node, memory, growth.

Measures the command ``voxtrait predict FOLDER --out TABLE`` from start to end, on links to real clips if available (see
``clips.py``), and prints Markdown tables. ``--parts`` selects tables, ``--clips`` sets the size.
"""

import argparse
import datetime
import filecmp
import importlib.metadata
import os
import platform
import random
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from clips import choose
from memory import folder_of

PARTS = ("engines", "kills", "nodes", "memory", "growth")
ENGINES = ("local", "ray", "dask")
EVERY_S = 0.25  # seconds between two measurements of memory, which take some milliseconds per process
CLUSTER = ("ray::IDLE", "ray::_ray_task()")  # names of Ray's workers
FOUND = re.compile(r"([0-9.]+) files/s, (\d+) s of audio a second")


@dataclass
class Run:
    """One run of the command."""

    seconds: float
    speed: int  # seconds of audio per second, as printed by the command
    total_mb: float = 0.0  # peak memory of the command and all its processes, shared pages counted once
    driver_mb: float = 0.0  # peak memory of the command's own process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="engines,kills,nodes,memory", help=f"comma-separated: {', '.join(PARTS)}")
    parser.add_argument("--growth", action="store_true", help="also measure the part growth")
    parser.add_argument("--clips", type=int, default=2000, help="number of clips; memory also uses ten times as many")
    parser.add_argument("--kills", type=int, default=10, help="number of kills per run")
    parser.add_argument("--kill-clips", type=int, default=5000, help="number of clips of a run with kills")
    parser.add_argument("--largest", type=int, default=100_000, help="number of clips in the last row of growth")
    parser.add_argument("--engines", default=",".join(ENGINES), help="comma-separated engines")
    parser.add_argument("--seed", type=int, default=0, help="random seed for the times of the kills")
    given = parser.parse_args()
    parts = [*given.parts.split(","), *(["growth"] if given.growth else [])]
    engines = given.engines.split(",")
    if unknown := {*parts} - {*PARTS} | {*engines} - {*ENGINES}:
        parser.error(f"Unknown: {', '.join(sorted(unknown))}. Expected some of {', '.join((*PARTS, *ENGINES))}.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no node keeps running
    start = time.perf_counter()
    # the paths of Ray's sockets have at most 107 characters, so the folder is near the root
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        work = Path(folder)
        clips, what = choose(work / "clips", 200)
        print("\n".join(machine(what)), flush=True)
        for part in parts:
            print(flush=True)
            match part:
                case "engines":
                    show(engine_rows(clips, given.clips, engines, work))
                case "kills":
                    show(kill_rows(clips, given.kill_clips, given.kills, engines, random.Random(given.seed), work))
                case "nodes":
                    show(node_rows(clips, given.clips, work))
                case "memory":
                    show(memory_rows(clips, (given.clips, 10 * given.clips), engines, work))
                case _:
                    show(growth_rows(clips, given.largest, work))
    print(f"\ntotal time {time.perf_counter() - start:.0f} s; load average at the end {load()}")


def machine(what: str) -> list[str]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("voxtrait", "ray", "distributed"))
    return [
        f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}, {names[0] if names else platform.machine()}, "
        f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB, load {load()}",
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {versions}; {what}",
    ]


def load() -> str:
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def show(rows: Iterator[Sequence[str]]) -> None:
    """Print each row of a table as soon as it is measured, because the whole table may take an hour."""
    for number, row in enumerate(rows):
        print(f"| {' | '.join(row)} |", flush=True)
        if not number:
            print(f"|{'---|' * len(row)}", flush=True)


def command(source: Path, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "voxtrait", "predict", str(source), "--out", str(out), *options]


def measured(source: Path, out: Path, *options: str, memory: bool = False) -> Run:
    """Run the command, and measure its memory."""
    out.unlink(missing_ok=True)
    start = time.perf_counter()
    with subprocess.Popen(command(source, out, *options), stderr=subprocess.PIPE, text=True) as process:
        run = Run(0, 0)
        while memory and process.poll() is None:
            driver, total = pss_mb(psutil.Process(process.pid))
            run.driver_mb, run.total_mb = max(run.driver_mb, driver), max(run.total_mb, total)
            time.sleep(EVERY_S)
        _, talk = process.communicate()
    run.seconds = time.perf_counter() - start
    found = FOUND.search(talk)
    if process.returncode or found is None:
        raise SystemExit(f"{' '.join(options)} failed with exit status {process.returncode}: {talk[-2000:]}")
    run.speed = int(found[2])
    return run


def pss_mb(root: psutil.Process) -> tuple[float, float]:
    """Return the proportional set size of a process alone, and with all processes below it, in MB."""
    sizes = [0.0]
    try:
        for one in [root, *root.children(recursive=True)]:
            sizes.append(one.memory_full_info().pss / 1e6)
    except psutil.Error:  # it ended before the measurement
        return 0.0, 0.0
    return sizes[1] if len(sizes) > 1 else 0.0, sum(sizes)


def engine_rows(clips: list[Path], count: int, engines: list[str], work: Path) -> Iterator[Sequence[str]]:
    source = folder_of(clips, count, work / "engines")
    yield f"engine, {count} clips", "workers", "total s", "clips/s", "× real time", "relative to local, 1 worker"
    measured(folder_of(clips, len(clips), work / "warm"), work / "warm.parquet")  # fills caches of disk and Python
    first = None
    for engine in engines:
        for jobs in (1, 2):
            run = measured(source, work / "engines.parquet", "--engine", engine, "--jobs", str(jobs))
            first = first or run.seconds
            rate = f"{count / run.seconds:.1f}"
            yield engine, str(jobs), f"{run.seconds:.1f}", rate, str(run.speed), f"{first / run.seconds:.2f}"


def kill_rows(
    clips: list[Path], count: int, kills: int, engines: list[str], rng: random.Random, work: Path
) -> Iterator[Sequence[str]]:
    source = folder_of(clips, count, work / "kills")
    plain = work / "plain.parquet"
    measured(source, plain, "--jobs", "2")
    yield f"engine, {count} clips", "killed workers", "killed drivers", "total s", "without kills", "table"
    for engine in engines:
        out = work / f"{engine}.parquet"
        calm = measured(source, out, "--engine", engine, "--jobs", "2")
        out.unlink()
        start = time.perf_counter()
        workers, drivers = shaken(command(source, out, "--engine", engine, "--jobs", "2"), kills, calm.seconds, rng)
        seconds = time.perf_counter() - start
        same = "same bytes" if filecmp.cmp(plain, out, shallow=False) else "DIFFERENT"
        yield engine, str(workers), str(drivers), f"{seconds:.1f}", f"{calm.seconds:.1f}", same


def shaken(arguments: list[str], kills: int, calm_s: float, rng: random.Random) -> tuple[int, int]:
    """Run a command while its processes are killed, and start it again after its own process was killed."""
    workers = drivers = 0
    talk = ""
    while True:
        with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as driver:
            while driver.poll() is None and workers + drivers < kills:
                time.sleep(rng.uniform(0.2, 1.8) * calm_s / (kills + 1))
                alive = workers_below(driver.pid)
                if driver.poll() is not None:
                    break
                if rng.random() < 0.3:
                    driver.kill()
                    drivers += 1
                    break
                if alive:  # otherwise it is starting, or has just ended
                    rng.choice(alive).kill()
                    workers += 1
            _, talk = driver.communicate()
        if driver.returncode >= 0:
            break
    if driver.returncode:
        raise SystemExit(f"The command failed with exit status {driver.returncode}: {talk[-2000:]}")
    return workers, drivers


def workers_below(pid: int) -> list[psutil.Process]:
    """Return the worker processes of voxtrait, Ray and Dask, without the processes that start and monitor them."""
    found = []
    try:
        for one in psutil.Process(pid).children(recursive=True):
            line = one.cmdline()
            if any("spawn_main" in part for part in line) or (line and line[0] in CLUSTER):
                found.append(one)
    except psutil.Error:  # it ended before the measurement
        return []
    return found


def node_rows(clips: list[Path], count: int, work: Path) -> Iterator[Sequence[str]]:
    source = folder_of(clips, count, work / "nodes")
    yield f"Ray nodes with one core, {count} clips", "total s", "clips/s", "relative to one node"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    first = None
    # the nodes are open to this machine's network: a token restricts access
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with node("--head", "--port", str(port), "--include-dashboard", "false", "--disable-usage-stats"):
        wait_for(port)
        for nodes in (1, 2):
            with node("--address", address) if nodes == 2 else _nothing():
                time.sleep(10)  # until the node is registered
                run = measured(source, work / "nodes.parquet", "--engine", "ray", "--address", address)
                first = first or run.seconds
                yield str(nodes), f"{run.seconds:.1f}", f"{count / run.seconds:.1f}", f"{first / run.seconds:.2f}"


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def node(*options: str) -> Iterator[None]:
    """Run a Ray node with one core for the duration of the block."""
    ray = str(Path(sys.executable).with_name("ray"))
    arguments = [ray, "start", *options, "--num-cpus", "1", "--block", "--object-store-memory", str(80 * 2**20)]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            below = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            psutil.wait_procs(below, timeout=15)
            for one in below:
                if one.is_running():
                    one.kill()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("The head node does not respond.")


def memory_rows(clips: list[Path], counts: Sequence[int], engines: list[str], work: Path) -> Iterator[Sequence[str]]:
    yield "engine, 2 workers", "clips", "total MB (PSS)", "driver MB", "total s"
    for engine in engines:
        for count in counts:
            source = work / f"memory-{count}"
            if not source.exists():
                folder_of(clips, count, source)
            run = measured(source, work / "memory.parquet", "--engine", engine, "--jobs", "2", memory=True)
            yield engine, str(count), f"{run.total_mb:.0f}", f"{run.driver_mb:.0f}", f"{run.seconds:.1f}"


def growth_rows(clips: list[Path], largest: int, work: Path) -> Iterator[Sequence[str]]:
    yield "clips, local, 2 workers", "total s", "ms per clip", "× real time", "total MB (PSS)", "driver MB"
    count = 100
    while count <= largest:
        source = folder_of(clips, count, work / f"growth-{count}")
        run = measured(source, work / "growth.parquet", "--jobs", "2", memory=True)
        each = f"{1000 * run.seconds / count:.1f}"
        yield str(count), f"{run.seconds:.1f}", each, str(run.speed), f"{run.total_mb:.0f}", f"{run.driver_mb:.0f}"
        count *= 10


if __name__ == "__main__":
    main()
