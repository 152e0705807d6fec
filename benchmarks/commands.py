"""Measures each command that opens clips against decoding the same clips alone, with the same number of processes.

    python benchmarks/commands.py                                    # rows of make bench
    python benchmarks/commands.py --only check --only images         # some commands

Every command runs as a separate process with its own workers, start-up included. "Decoding alone" is the package's own
decoder at the native rate, run as a job in as many processes. Commands and decoding are interleaved, and the best round
of each counts. Processor time is that of all processes of a run; other load on the machine changes it less.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import clips as chosen

from voxtrait import audio, batch

JOBS = 2
CLIPS, FEW = 3000, 300  # FEW: for commands that run a network on each clip
DECODE = "decoding alone"
EVALUATED = "voxtrait-fast"


class Command(NamedTuple):
    """A command to measure; ``{…}`` in its words is a path."""

    name: str
    words: list[str]
    clips: int = CLIPS
    target: float | None = None  # maximum time, relative to decoding alone


class Spent(NamedTuple):
    """Time of a run, in seconds."""

    wall: float = float("inf")
    processor: float = float("inf")

    def best(self, other: "Spent") -> "Spent":
        return Spent(min(self.wall, other.wall), min(self.processor, other.processor))


class Measured(NamedTuple):
    """Times of a command and of decoding its clips, per clip in ms, and how many times as long the command takes."""

    command: Command
    ms: float
    decoding_ms: float
    ratio: float
    processor_ratio: float


COMMANDS = [
    Command("corpus check", ["corpus", "check", "{manifest}"], target=3.0),
    Command("corpus check --quick", ["corpus", "check", "{manifest}", "--quick"], target=1.3),
    Command("corpus leakage", ["corpus", "leakage", "{manifest}"]),
    Command("corpus import", ["corpus", "import", "{manifest}", "{out}/all.parquet"]),
    Command("convert", ["convert", "{manifest}", "{out}"]),
    Command("images", ["images", "{manifest}", "{out}"]),
    Command("images --shards", ["images", "{manifest}", "{out}", "--shards"]),
    Command("corpus export --to kaldi", ["corpus", "export", "{manifest}", "{out}", "--to", "kaldi"]),
    Command("corpus export --to audiofolder", ["corpus", "export", "{manifest}", "{out}", "--to", "audiofolder"]),
    Command("predict", ["predict", "{folder}", "--out", "{out}.csv", "--model", EVALUATED], FEW),
    Command("evaluate", ["evaluate", EVALUATED, "{manifest}", "--out", "{out}", "--split", "all"], FEW),
    Command("corpus audit", ["corpus", "audit", "{manifest}", "--out", "{out}", "--model", EVALUATED], FEW),
]


def decoded_s(path: str) -> float:
    """Decode a clip at its own rate, and return its duration in seconds."""
    samples, rate = 0, 1
    for block, rate in audio.blocks(path, None, mono=False):  # noqa: B007 - the rate is the same for every block
        samples += block.shape[-1]
    return samples / rate


def unread(path: str, why: str) -> float:
    raise SystemExit(f"{path}: {why}")


def decode(folder: str, jobs: int) -> None:
    """Decode all clips of a folder: what every command is compared with."""
    files = sorted(str(path) for path in Path(folder).iterdir())
    sum(batch.run(decoded_s, files, jobs=jobs, on_crash=unread))


def write_manifest(clips: list[Path], path: Path) -> Path:
    """Write a manifest of made-up labels: four clips per speaker, both genders and four decades in each split."""
    decades = ("twenties", "thirties", "forties", "fifties")
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "speaker_id", "gender", "age_group", "split"))
        for at, clip in enumerate(clips):
            person = at // 4
            split = ("train", "train", "train", "validation", "test")[person // 8 % 5]
            gender = ("female", "male")[person % 2]
            table.writerow((clip, f"speaker-{person}", gender, decades[person // 2 % 4], split))
    return path


def timed(arguments: list[str]) -> Spent:
    """Run ``python ARGUMENTS`` and return its time, that of its workers included; findings are no failure."""
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))}
    with subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        talk: list[str] = []
        reader = threading.Thread(target=lambda: talk.extend(process.stderr or ()))
        reader.start()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        reader.join()
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(arguments)} failed with exit status {process.returncode}: {''.join(talk)}")
    return Spent(wall, used.ru_utime + used.ru_stime)


HERE = Path(__file__).resolve().parent


def measure(
    commands: list[Command], work: Path, rounds: int, jobs: int = JOBS, clips: int = CLIPS
) -> Iterator[Measured]:
    """Measure commands and decoding, interleaved, and yield the best round of each."""
    work.mkdir(exist_ok=True)
    for count in sorted({min(command.clips, clips) for command in commands}, reverse=True):
        folder = work / f"clips{count}"
        files, _ = chosen.choose(folder, count)
        manifest = write_manifest(files, work / f"all{count}.csv")
        here = [command for command in commands if min(command.clips, clips) == count]
        best: dict[str, Spent] = {}
        for number in range(rounds):
            code = f"import commands; commands.decode({str(folder)!r}, {jobs})"
            runs = {DECODE: ["-c", code]}
            for at, command in enumerate(here):
                places = {"manifest": manifest, "folder": folder, "out": work / f"out{at}-{number}"}
                words = [word.format(**places) for word in command.words]
                runs[command.name] = ["-m", "voxtrait", *words, "--quiet", "--jobs", str(jobs)]
            for name, arguments in runs.items():
                best[name] = best.get(name, Spent()).best(timed(arguments))
            for at in range(len(here)):
                shutil.rmtree(work / f"out{at}-{number}", ignore_errors=True)
        alone = best[DECODE]
        for command in here:
            spent = best[command.name]
            yield Measured(
                command,
                1000 * spent.wall / count,
                1000 * alone.wall / count,
                spent.wall / alone.wall,
                spent.processor / alone.processor,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--only", action="append", help="command to measure, such as images; repeatable")
    parser.add_argument("--clips", type=int, default=CLIPS, help="maximum number of clips")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the best counts")
    parser.add_argument("--jobs", type=int, default=JOBS, help="number of worker processes")
    options = parser.parse_args()
    wanted = [one for one in COMMANDS if not options.only or one.name.removeprefix("corpus ") in options.only]
    print(f"{'command':32} {'clips':>6} {'ms':>7} {'decoding':>9} {'ratio':>6} {'processor':>10} {'target':>7}")
    with tempfile.TemporaryDirectory(prefix="voxtrait-commands-") as folder:
        for one in measure(wanted, Path(folder), options.rounds, options.jobs, options.clips):
            count, target = min(one.command.clips, options.clips), one.command.target or ""
            print(
                f"{one.command.name:32} {count:6} {one.ms:7.2f} {one.decoding_ms:9.2f} {one.ratio:6.2f} "
                f"{one.processor_ratio:10.2f} {target:>7}",
                flush=True,
            )
    print(f"load average {', '.join(f'{value:.1f}' for value in os.getloadavg())}")


if __name__ == "__main__":
    main()
