"""Samples what a server and its processes use, for ``benchmarks/soak.py``: memory, files, sockets, threads."""

import contextlib
import csv
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from voxtrait.web.upload_folder import LOCK, PREFIX


class Sample(NamedTuple):
    """What the server uses at one moment. Files, sockets and threads are those of the server's own process."""

    at_s: float
    server_mb: float  # resident memory
    worker_mb: float  # resident memory of the worker that is never killed
    total_mb: float  # proportional memory of all processes: shared pages count once
    files: float  # open descriptors, sockets included
    sockets: float
    close_wait: float  # sockets whose client has closed, and the server has not
    threads: float
    processes: float
    zombies: float
    uploads: float  # open files without a name, and named files in the folder for uploads


class Sampler:
    """Samples one server.

    Args:
        pid: process id of the server.
        folder: the server's temporary folder.
    """

    def __init__(self, pid: int, folder: Path) -> None:
        self._server = psutil.Process(pid)
        self._folder = folder
        self._begun = time.monotonic()

    def workers(self) -> list[psutil.Process]:
        """Return the running workers, the oldest first."""
        found = []
        for one in self._server.children():
            with contextlib.suppress(psutil.Error):
                if any("spawn_main" in part for part in one.cmdline()):
                    found.append(one)
        return sorted(found, key=lambda one: one.create_time())

    def sample(self) -> Sample:
        server = self._server
        below = server.children(recursive=True)
        states = [one.status for one in server.net_connections(kind="all")]
        workers = self.workers()
        return Sample(
            at_s=time.monotonic() - self._begun,
            server_mb=server.memory_info().rss / 1e6,
            worker_mb=resident_mb(workers[0]) if workers else float("nan"),
            total_mb=sum(map(proportional_mb, [server, *below])),
            files=server.num_fds(),
            sockets=len(states),
            close_wait=states.count(psutil.CONN_CLOSE_WAIT),
            threads=server.num_threads(),
            processes=1 + len(below),
            zombies=sum(map(is_zombie, below)),
            uploads=self._uploads(),
        )

    def _uploads(self) -> int:
        named = [file for folder in self._folder.glob(f"{PREFIX}*") for file in folder.iterdir() if file.name != LOCK]
        unnamed = 0
        for descriptor in Path(f"/proc/{self._server.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(descriptor.readlink())
                unnamed += PREFIX in target and target.endswith("(deleted)")
        return len(named) + unnamed


def resident_mb(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        return process.memory_info().rss / 1e6
    return float("nan")


def proportional_mb(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        return process.memory_full_info().pss / 1e6
    return 0.0


def is_zombie(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.status() == psutil.STATUS_ZOMBIE
    return False


def growth(samples: list[Sample], field: str) -> tuple[float, float]:
    """Fit a line to the second half of the samples; return its rise over that half, and its mean."""
    half = samples[len(samples) // 2 :]
    times = np.array([one.at_s for one in half])
    values = np.array([getattr(one, field) for one in half])
    kept = np.isfinite(values)
    slope, _ = np.polyfit(times[kept], values[kept], 1)
    return float(slope * (times[-1] - times[0])), float(values[kept].mean())


def lowest_growth(samples: list[Sample], field: str) -> tuple[float, float]:
    """Fit a line to the lowest value of each minute in the second half; return its rise over that half, and its mean.

    A leak raises the lowest values. Higher ones show how many clients were served at that moment.
    """
    half = samples[len(samples) // 2 :]
    period_s = min(60.0, (half[-1].at_s - half[0].at_s) / 4)  # in a short run
    minutes: dict[int, list[float]] = {}
    for one in half:
        if np.isfinite(value := getattr(one, field)):
            minutes.setdefault(int((one.at_s - half[0].at_s) // period_s), []).append(value)
    lowest = np.array([min(values) for values in minutes.values()])
    slope, _ = np.polyfit(list(minutes), lowest, 1)
    return float(slope * max(minutes)), float(lowest.mean())


def save(samples: list[Sample], file: Path) -> None:
    """Write the samples as CSV, one row each."""
    with file.open("w", newline="") as target:
        table = csv.writer(target)
        table.writerow(Sample._fields)
        table.writerows([round(value, 2) for value in sample] for sample in samples)
