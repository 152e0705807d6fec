"""``make bench``: what voxtrait costs, each figure beside another way to do the same, on this machine, in this run.

Every process works on one thread: BLAS is held to one, so that "one process" means one core on both sides.
"""

import argparse
import datetime
import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import clips as chosen
import memory
import speed
import threadpoolctl

from voxtrait import recognize
from voxtrait.batch import default_jobs


class Row(NamedTuple):
    what: str
    ours: str
    beside: str
    ratio: str
    target: str  # empty where there is none


class Size(NamedTuple):
    """How much is measured."""

    clips: int  # of the ways that take long a clip
    many: int  # … of two processes, whose start counts
    rounds: int
    memory: tuple[int, int]  # files


FULL = Size(clips=48, many=3000, rounds=3, memory=(100, 1000))
QUICK = Size(clips=16, many=240, rounds=2, memory=(50, 200))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer clips and rounds: rough figures in under a minute")
    size = QUICK if parser.parse_args().quick else FULL
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="voxtrait-bench-") as folder, threadpoolctl.threadpool_limits(1):
        work = Path(folder)
        clips, what = chosen.choose(work / "clips", size.clips)
        many = chosen.repeat(clips, work / "many", size.many)
        print("\n".join(machine(what, size)), flush=True)
        rows = list(measure(clips, many, work, size))
    print("\n".join(["", *table(rows)]))
    print(f"\nall of it took {time.perf_counter() - start:.0f} s; load of the machine now {load()}")


def machine(what: str, size: Size) -> list[str]:
    packages = ("voxtrait", "numpy", "scipy", "soundfile", "soxr", "onnxruntime", "librosa", "matplotlib")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    return [
        f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}, {cpu}, {default_jobs()} cores, load {load()}",
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {versions}, {ffmpeg()}",
        f"{size.clips} clips ({what}), best of {size.rounds} rounds after a warm-up, all ways in turn in every round",
    ]


def load() -> str:
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def ffmpeg() -> str:
    if not shutil.which("ffmpeg"):
        return "no ffmpeg, so no row beside it (Debian: apt-get install ffmpeg)"
    line = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout
    return "ffmpeg " + line.split()[2]


def measure(clips: list[Path], many: list[Path], work: Path, size: Size) -> Iterator[Row]:
    ways = speed.convert_ways(clips)
    speed.measure(ways, size.rounds, work)
    if len(ways) == 2:
        yield compare(ways[0], ways[1], 10)
    else:
        yield Row(ways[0].name, milliseconds(ways[0]), "ffmpeg: not installed", "", "≥ 10")

    speed.convert(clips[0].parent, work / "wav")
    ways = speed.picture_ways(clips, many, sorted((work / "wav").glob("*.wav")))
    speed.measure(ways, size.rounds, work)
    yield compare(ways[0], ways[2], 4)
    yield compare(ways[1], ways[2], 7)

    recognizer = recognize.load()
    ways = speed.predict_ways(clips, recognizer)
    speed.measure(ways, size.rounds, work)
    seconds = sum(recognizer.predict(clip).duration_s or 0 for clip in clips) / len(clips)
    yield Row(
        f"{ways[0].name}, {recognizer.bundle.name}",
        milliseconds(ways[0]),
        f"{ways[1].name} {milliseconds(ways[1])}",
        f"{ways[0].ms / ways[1].ms:.2f}× as long",
        "≤ 2.5",
    )
    real_time = 1000 * seconds / ways[0].ms
    yield Row("… of clips of", f"{seconds:.2f} s each", "", f"{real_time:.0f}× real time", "≥ 150")
    (first,) = memory.start_s([["-m", "voxtrait", str(clips[0])]], size.rounds)
    yield Row("voxtrait clip.mp3, from nothing", f"{first:.2f} s", "", "", "≤ 2 s")
    alone = memory.peak_mb([str(clips[0])])
    yield Row("peak memory of voxtrait clip.mp3", f"{alone:.0f} MB", "", "", "≤ 400 MB")

    few, lot = (memory.folder_of(clips, count, work / f"of{count}") for count in size.memory)
    for command in ("convert", "images", "predict"):
        peaks = []
        for source in (few, lot):
            out = work / f"{command}-{source.name}"
            target = ["--out", f"{out}.csv"] if command == "predict" else [str(out)]
            peaks.append(memory.peak_mb([command, str(source), *target, "--quiet", "--jobs", "2"]))
        yield Row(
            f"peak memory of {command}, {size.memory[1]} files, driver + 2 workers",
            f"{peaks[1]:.0f} MB",
            f"{size.memory[0]} files {peaks[0]:.0f} MB",
            f"{peaks[1] / peaks[0]:.2f}",
            "≤ 1.10",
        )

    helping, bare = memory.start_s([["-m", "voxtrait", "--help"], ["-c", "pass"]], 3 * size.rounds)
    beside = f"python -c pass {1000 * bare:.0f} ms"
    yield Row("voxtrait --help", f"{1000 * helping:.0f} ms", beside, f"{helping - bare:.2f} s more", "≤ 0.5 s")


def compare(ours: speed.Way, other: speed.Way, target: int) -> Row:
    ratio = f"{other.ms / ours.ms:.1f}× as fast"
    return Row(ours.name, milliseconds(ours), f"{other.name} {milliseconds(other)}", ratio, f"≥ {target}")


def milliseconds(way: speed.Way) -> str:
    return f"{way.ms:.2f} ms a clip"


def table(rows: list[Row]) -> list[str]:
    """A table in Markdown, so that it can go into a document as it is."""
    lines = [Row("what", "voxtrait", "beside it", "ratio", "target"), *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(Row._fields))]
    texts = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    return [texts[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *texts[1:]]


if __name__ == "__main__":
    main()
