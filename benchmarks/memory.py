"""Measures peak memory of a command with all of its processes, and start-up times."""

import subprocess
import sys
import time
from pathlib import Path

import psutil

EVERY_S = 0.01


def peak_mb(arguments: list[str]) -> float:
    """Run ``voxtrait ARGUMENTS``, and return the peak of its resident memory including workers, in MB.

    Resident sizes are summed, so shared pages count once per process.
    """
    command = [sys.executable, "-m", "voxtrait", *arguments]
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, _resident(root))
            time.sleep(EVERY_S)
        talk = process.stderr.read() if process.stderr else ""
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit status {process.returncode}: {talk}")
    return peak / 1e6


def _resident(root: psutil.Process) -> int:
    total = 0
    try:
        for process in [root, *root.children(recursive=True)]:
            total += process.memory_info().rss
    except psutil.NoSuchProcess:  # it ended before the measurement
        return 0
    return total


def folder_of(clips: list[Path], count: int, folder: Path) -> Path:
    """Create a folder with ``count`` links to clips."""
    folder.mkdir(parents=True)
    for number in range(count):
        clip = clips[number % len(clips)]
        (folder / f"{number:04d}{clip.suffix}").symlink_to(clip)
    return folder


def start_s(programs: list[list[str]], rounds: int) -> list[float]:
    """Return the time of ``python ARGUMENTS`` for each list of arguments, interleaved, best of several rounds."""
    best = [float("inf")] * len(programs)
    for _ in range(rounds):
        for at, arguments in enumerate(programs):
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            best[at] = min(best[at], time.perf_counter() - start)
    return best
