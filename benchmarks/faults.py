"""Plants faults in running commands: full disks, kills, power loss, broken surroundings; exit status 1 if one is wrong.

    python benchmarks/faults.py                          # every row; as root on Linux
    python benchmarks/faults.py --rows disk-full,kill    # some of them
    python benchmarks/faults.py --rows serve             # the server
    python benchmarks/faults.py --commands predict,convert --results build/faults.jsonl
    python benchmarks/faults.py --table build/faults.jsonl                  # as in docs/reference/faults.md

A row is a fault and a command. Each command runs in a process of its own, on synthetic clips. Then it runs again
without the fault, and must give what an undisturbed run gives. Mounts, other users and limits of memory need root;
without it, their rows are listed as not run.
"""

import argparse
import dataclasses
import json
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faulting import ROWS, serving
from faulting.stage import COMMANDS, Outcome, Stage


def main() -> int:
    names = [*COMMANDS, serving.NAME]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", help=f"faults, separated by commas: {', '.join(ROWS)}")
    parser.add_argument("--commands", help=f"commands, separated by commas: {', '.join(names)}")
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time")
    parser.add_argument("--results", type=Path, help="append each row to this file, as JSON")
    parser.add_argument("--table", type=Path, help="run nothing; print the rows of this file as Markdown")
    asked = parser.parse_args()
    if asked.table:
        print(*summary(_read(asked.table)), sep="\n")
        return 0
    rows = asked.rows.split(",") if asked.rows else list(ROWS)
    chosen = set(asked.commands.split(",")) if asked.commands else set(names)
    if unknown := [*(set(rows) - set(ROWS)), *(chosen - set(names))]:
        parser.error(f"unknown: {', '.join(unknown)}")
    begun, wrong, count, lock = time.monotonic(), 0, 0, threading.Lock()
    with tempfile.TemporaryDirectory(prefix="voxtrait-faults-") as folder:
        Path(folder).chmod(0o755)
        stage = Stage(Path(folder))

        def plant(name: str) -> None:
            nonlocal wrong, count
            for one in ROWS[name](stage, chosen):
                one.happened = re.sub(rf"{stage.folder}(/\d+)?/?", "", one.happened)
                with lock:
                    wrong, count = wrong + bool(one.wrong), count + 1
                    print(_line(one), flush=True)
                    if asked.results:
                        with asked.results.open("a", encoding="utf-8") as file:
                            file.write(f"{json.dumps(dataclasses.asdict(one))}\n")

        with ThreadPoolExecutor(asked.jobs) as threads:  # a row waits most of the time
            list(threads.map(plant, rows))
    print(f"{count} rows, {wrong} wrong, {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return int(wrong > 0)


def _read(file: Path) -> list[Outcome]:
    """Read the rows of a file; of a fault and a command that ran twice, the last one counts."""
    lines = [Outcome(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]
    return list({(one.fault, one.command): one for one in lines}.values())


def _line(one: Outcome) -> str:
    return f"{one.fault:<36} {one.command:<10} {'; '.join(one.wrong) or 'right':<6} {one.happened[:150]}"


def summary(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield a table with one line a fault: its commands, what happened, and how many rows were right."""
    yield from ("| fault | commands | what happened | right |", "|---|---|---|---|")
    kinds = dict.fromkeys((one.fault, one.command == serving.NAME) for one in outcomes)
    for fault, served in sorted(kinds, key=lambda kind: kind[1]):  # the server last
        ones = [one for one in outcomes if (one.fault, one.command == serving.NAME) == (fault, served)]
        right = sum(not one.wrong for one in ones)
        happened = ones[0].happened if served else _happened(ones)
        yield f"| {fault} | {', '.join(one.command for one in ones)} | {happened} | {right} of {len(ones)} |"


def _happened(ones: Sequence[Outcome]) -> str:
    counts = [found for one in ones if (found := re.match(r"(\d+) of (\d+) (sizes refused|stopped)", one.happened))]
    if counts:
        return (
            f"{sum(int(one[1]) for one in counts)} of {sum(int(one[2]) for one in counts)} {counts[0][3]}, then resumed"
        )
    disks = [pair for one in ones for pair in re.findall(r"(\d+) files, (\d+) incomplete", one.happened)]
    if disks:
        return f"{len(disks)} copies of a disk, {sum(int(pair[1]) for pair in disks)} files made again"
    for unit in ("kills", "files named", "MB"):
        numbers = [int(number[1]) for one in ones if (number := re.search(rf"(\d+) {unit}", one.happened))]
        if numbers:
            return f"peak {max(numbers)} MB" if unit == "MB" else f"{sum(numbers)} {unit}"
    statuses = Counter(status[1] for one in ones if (status := re.match(r"status (\S+?)(?::|$)", one.happened)))
    if not statuses:
        return ones[0].happened
    return ", ".join(f"status {status} × {count}" for status, count in sorted(statuses.items()))


if __name__ == "__main__":
    sys.exit(main())
