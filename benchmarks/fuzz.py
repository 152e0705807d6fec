"""Reads many mutated inputs with every reader, in processes that may crash or hang.

python benchmarks/fuzz.py [--targets file-wav,image] [--count 1000] [--seed 1] [--seconds 60] [--coverage] [--list]
python benchmarks/fuzz.py --targets file-wav --replay build/fuzz/finds/file-wav/1-17

Prints, for each reader, how many inputs it read and how many it refused with a declared exception, its finds (a crash,
a hang, an undeclared exception, a warning, too much memory, an unclear message), the slowest input in seconds on a
processor, and the peak of memory. Saves the inputs of finds in build/fuzz/finds. With --coverage, atheris (pip install
atheris) first searches for inputs that reach new lines of voxtrait, which are then mutated too. Exit status 1 if there
is a find.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))  # for the targets, which a test runs too

from fuzzing import Target, targets
from fuzzing.running import Runner, Tally, fuzz, judge

TESTS = Path(__file__).resolve().parent.parent / "tests"
FOLDER = Path("build/fuzz")
SLOW_S, LARGE_MB = 1.0, 50.0  # from which an input is named; --seed 1 --first 17 --count 1 makes 1-17 again
LONGEST = 100  # signs of a reason


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", help="names of readers, or their first letters; all if left out")
    parser.add_argument("--count", type=int, default=1000, help="number of mutations for each reader")
    parser.add_argument("--seed", type=int, default=1, help="random seed")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--seconds", type=float, help="maximum seconds for each reader")
    parser.add_argument("--coverage", action="store_true", help="first search with atheris, for --seconds (default 60)")
    parser.add_argument("--replay", type=Path, nargs="+", help="read these files in this process, with a traceback")
    parser.add_argument("--reasons", type=int, default=0, help="number of reasons to print for each reader")
    parser.add_argument("--list", action="store_true", help="print the names of the readers")
    asked = parser.parse_args()
    every = targets()
    chosen = list(every.values())
    if asked.targets:
        starts = tuple(asked.targets.split(","))
        chosen = [one for one in chosen if one.name.startswith(starts)]
    if not chosen:
        parser.error(f"no reader begins with {asked.targets}. Expected one of {', '.join(every)}.")
    if asked.list:
        print("\n".join(one.name for one in chosen))
        return 0
    if asked.replay:
        return replay(chosen[0], asked.replay)
    tallies = {}
    runner = Runner()
    print("| reader | inputs | read | refused | finds | slowest, s | peak memory, MB | s |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    try:
        for one in chosen:
            more = covered(one, int(asked.seconds or 60)) if asked.coverage else []
            tally = fuzz(one, runner, asked.count, asked.seed, first=asked.first, seconds=asked.seconds, more=more,
                         finds=FOLDER / "finds" / one.name)  # fmt: skip
            tallies[one.name] = tally
            print(row(one.name, tally), flush=True)
    finally:
        runner.close()
    if len(tallies) > 1:
        print(row("all", total(list(tallies.values()))))
    for name, tally in tallies.items():
        if tally.slowest_s > SLOW_S or tally.memory_mb > LARGE_MB:
            print(f"{name}: slowest {tally.slowest}, largest {tally.largest}")
        for find, count in tally.finds.most_common():
            print(f"{name}: {count} × {find}")
        for reason, count in tally.answers.most_common(asked.reasons):
            print(f"{name}: {count} × {reason[:LONGEST]!r}")
    return 1 if any(tally.finds for tally in tallies.values()) else 0


def row(name: str, tally: Tally) -> str:
    counts = tally.counts
    return (
        f"| {name} | {tally.inputs:,} | {counts['answered']:,} | {counts['refused']:,} | {counts['find']} "
        f"| {tally.slowest_s:.2f} | {tally.memory_mb:.0f} | {tally.seconds:.0f} |"
    )


def total(tallies: list[Tally]) -> Tally:
    found = Tally()
    for one in tallies:
        found.inputs += one.inputs
        found.counts += one.counts
        found.slowest_s = max(found.slowest_s, one.slowest_s)
        found.memory_mb = max(found.memory_mb, one.memory_mb)
        found.seconds += one.seconds
    return found


def replay(target: Target, files: list[Path]) -> int:
    """Read files in this process; a crash prints where."""
    import faulthandler

    faulthandler.enable()
    failed = 0
    for file in files:
        start = time.perf_counter()
        outcome = judge(target, file.read_bytes())
        print(f"{file}: {outcome.kind}: {outcome.text} ({time.perf_counter() - start:.2f} s)")
        failed += outcome.is_find
    return 1 if failed else 0


def covered(target: Target, seconds: int) -> list[bytes]:
    """Search with atheris, in a process of its own, for inputs that reach new lines; they are kept for later runs."""
    corpus = FOLDER / "corpus" / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    for at, data in enumerate(target.seeds()):
        (corpus / f"seed-{at}").write_bytes(data)
    finds = FOLDER / "finds" / target.name
    finds.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(TESTS / "fuzzing" / "coverage.py"), target.name, str(corpus)]
    command += [f"-max_total_time={seconds}", f"-timeout={target.seconds:.0f}", f"-artifact_prefix={finds}/"]
    with (FOLDER / f"coverage-{target.name}.log").open("w") as log:
        subprocess.run(command, stdout=log, stderr=log, check=False)
    if "No module named 'atheris'" in Path(log.name).read_text(errors="replace"):
        raise SystemExit("--coverage needs atheris: pip install atheris (Python 3.11 to 3.13)")
    seeds = {f"seed-{at}" for at in range(len(target.seeds()))}
    return [file.read_bytes() for file in sorted(corpus.iterdir()) if file.name not in seeds]


if __name__ == "__main__":
    sys.exit(main())
