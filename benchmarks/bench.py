"""``make bench``: speed and memory of voxtrait, compared with other tools on the same machine in the same run.

Every process uses one thread, also in BLAS, so that one process means one core for all tools.
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
import commands
import light
import memory
import speed
import threadpoolctl

from voxtrait import audio, bundle, recognize
from voxtrait.batch import default_jobs


class Row(NamedTuple):
    what: str
    ours: str
    beside: str
    ratio: str
    target: str  # empty without a target


class Target(NamedTuple):
    """Targets of one bundle; empty without a target."""

    ratio: str = ""  # time of a prediction, relative to decoding and resampling
    real_time: str = ""  # seconds of audio per second of computation


TARGETS = {bundle.DEFAULT: Target(real_time="≥ 110"), "voxtrait-fast": Target(ratio="≤ 4.0")}


class Size(NamedTuple):
    """Numbers of clips, rounds and files to measure."""

    clips: int  # clips for slow methods
    many: int  # clips for two processes, whose start-up counts
    rounds: int
    memory: tuple[int, int]  # files
    commands: int  # clips for the commands beside decoding


FULL = Size(clips=48, many=3000, rounds=3, memory=(100, 1000), commands=commands.CLIPS)
QUICK = Size(clips=16, many=240, rounds=2, memory=(50, 200), commands=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer clips and rounds: rough figures in a few minutes")
    size = QUICK if parser.parse_args().quick else FULL
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="voxtrait-bench-") as folder, threadpoolctl.threadpool_limits(1):
        work = Path(folder)
        clips, what = chosen.choose(work / "clips", size.clips)
        many = chosen.repeat(clips, work / "many", size.many)
        print("\n".join(machine(what, size)), flush=True)
        rows = list(measure(clips, many, work, size))
    print("\n".join(["", *table(rows)]))
    print(f"\ntotal time {time.perf_counter() - start:.0f} s; load average at the end {load()}")


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
        f"{size.clips} clips ({what}), best of {size.rounds} rounds after a warm-up, methods interleaved",
    ]


def load() -> str:
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def ffmpeg() -> str:
    if not shutil.which("ffmpeg"):
        return "no ffmpeg, so no comparison with it (Debian: apt-get install ffmpeg)"
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

    yield from measure_bundles(clips, work, size)

    for one in commands.measure(commands.COMMANDS, work / "commands", size.rounds, clips=size.commands):
        yield Row(
            f"voxtrait {one.command.name}, {commands.JOBS} processes",
            f"{one.ms:.2f} ms per clip",
            f"{commands.DECODE} {one.decoding_ms:.2f} ms",
            f"{one.ratio:.2f}× as long, processor {one.processor_ratio:.2f}×",
            "" if one.command.target is None else f"≤ {one.command.target}",
        )

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

    for row in light.rows(clips[0], 3 * size.rounds):
        yield Row(*row)


def measure_bundles(clips: list[Path], work: Path, size: Size) -> Iterator[Row]:
    """Measure predictions with every shipped bundle that has a speaker encoder."""
    recognizers = [recognize.load(folder) for folder in speed.window_bundles()]
    *ways, decode = speed.predict_ways(clips, recognizers)
    speed.measure([*ways, decode], size.rounds, work)
    seconds = sum(len(audio.load(clip)[0]) for clip in clips) / audio.SAMPLING_RATE / len(clips)
    single = [["-m", "voxtrait", str(clips[0]), "--model", str(one.bundle.folder)] for one in recognizers]
    starts = memory.start_s(single, size.rounds)
    for recognizer, way, command, start_s in zip(recognizers, ways, single, starts, strict=True):
        name = recognizer.bundle.name
        target = TARGETS.get(name, Target())
        beside = f"{decode.name} {milliseconds(decode)}"
        yield Row(way.name, milliseconds(way), beside, f"{way.ms / decode.ms:.2f}× as long", target.ratio)
        real_time = f"{1000 * seconds / way.ms:.0f}× real time"
        yield Row(f"speed of prediction, {name}", real_time, f"clips of {seconds:.2f} s", "", target.real_time)
        yield Row(f"first prediction, start-up included, {name}", f"{start_s:.2f} s", "", "", "≤ 0.8 s")
        peak = memory.peak_mb(command[2:])
        yield Row(f"peak memory for one clip, {name}", f"{peak:.0f} MB", "", "", "≤ 300 MB")
        size_mb = bundle.describe(recognizer.bundle)["size_mb"]
        yield Row(f"size of the bundle {name}", f"{size_mb:.1f} MB", "", "", "")


def compare(ours: speed.Way, other: speed.Way, target: int) -> Row:
    ratio = f"{other.ms / ours.ms:.1f}× as fast"
    return Row(ours.name, milliseconds(ours), f"{other.name} {milliseconds(other)}", ratio, f"≥ {target}")


def milliseconds(way: speed.Way) -> str:
    return f"{way.ms:.2f} ms per clip"


def table(rows: list[Row]) -> list[str]:
    """Return the rows as a Markdown table."""
    lines = [Row("measurement", "voxtrait", "compared with", "ratio", "target"), *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(Row._fields))]
    texts = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    return [texts[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *texts[1:]]


if __name__ == "__main__":
    main()
