"""Plants faults in running commands: full disks, kills, power loss, broken surroundings; exit status 1 if one is wrong.

    python benchmarks/faults.py                          # every row, about 10 minutes; as root on Linux
    python benchmarks/faults.py --rows disk-full,kill    # some of them
    python benchmarks/faults.py --commands predict,convert --markdown

A row is a fault and a command. Each command runs in a process of its own, on synthetic clips. Then it runs again
without the fault, and must give what an undisturbed run gives. Mounts, other users and limits of memory need root;
without it, their rows are listed as not run.
"""

import argparse
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faulting import ROWS
from faulting.stage import COMMANDS, Outcome, Stage


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", help=f"faults, separated by commas: {', '.join(ROWS)}")
    parser.add_argument("--commands", help=f"commands, separated by commas: {', '.join(COMMANDS)}")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown, for docs")
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time")
    asked = parser.parse_args()
    rows = asked.rows.split(",") if asked.rows else list(ROWS)
    chosen = set(asked.commands.split(",")) if asked.commands else set(COMMANDS)
    if unknown := [*(set(rows) - set(ROWS)), *(chosen - set(COMMANDS))]:
        parser.error(f"unknown: {', '.join(unknown)}")
    begun, outcomes = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="voxtrait-faults-") as folder:
        Path(folder).chmod(0o755)
        stage = Stage(Path(folder))
        with ThreadPoolExecutor(asked.jobs) as threads:  # a row waits most of the time
            for found in threads.map(lambda name: list(ROWS[name](stage, chosen)), rows):
                for outcome in found:
                    print(_line(outcome, stage, asked.markdown), flush=True)
                outcomes += found
    wrong = sum(bool(one.wrong) for one in outcomes)
    print(f"{len(outcomes)} rows, {wrong} wrong, {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return int(wrong > 0)


def _line(one: Outcome, stage: Stage, markdown: bool) -> str:
    verdict = "; ".join(one.wrong) or "right"
    happened = re.sub(rf"{stage.folder}(/\d+)?/?", "", one.happened)
    if markdown:
        return f"| {one.fault} | {one.command} | {happened.replace('|', '/')} | {verdict} |"
    return f"{one.fault:<36} {one.command:<10} {verdict:<6} {happened[:150]}"


if __name__ == "__main__":
    sys.exit(main())
