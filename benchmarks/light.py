"""Measures the light install: its size, and the time of the first answer beside ``import numpy``.

    python benchmarks/light.py [CLIP] [--python NAME ...] [--rounds N]

For each Python, the checkout is installed with pip, without extras, in a fresh environment in a temporary folder. Size
is the sum of the sizes of all files in site-packages, without pip, in millions of bytes. The first answer is that of
``voxtrait CLIP`` with the default bundle, from the start of the process to its end. It is measured alternately with
``python -c "import numpy"``; the best of the rounds counts, because other load only adds time. Processor time is that
of all threads. Import times are those of ``python -X importtime``, the best of the rounds for each module.
"""

import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MOST_MB, MOST_S = 230, 0.35
ROUNDS = 10
ANSWER = "import sys, voxtrait.cli, voxtrait; print(voxtrait.load().predict(sys.argv[1]))"
COST = re.compile(r"import time:\s*(\d+) \|\s*\d+ \|\s*(\S+)")


class Size(NamedTuple):
    """Size of an environment beside pip, in MB."""

    files: float  # without compiled Python files
    compiled: float  # with them
    largest: list[tuple[str, float]]  # packages, largest first, without compiled files


class Spent(NamedTuple):
    """Time of a process, in seconds."""

    wall: float = float("inf")
    processor: float = float("inf")

    def best(self, other: "Spent") -> "Spent":
        return Spent(min(self.wall, other.wall), min(self.processor, other.processor))


def environment(folder: Path, base: str = sys.executable) -> Path:
    """Install the checkout, without extras, in a new environment. Return its interpreter."""
    subprocess.run([base, "-m", "venv", folder], check=True)
    runs = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([runs, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ROOT], check=True)
    return runs


def size_of(runs: Path) -> Size:
    ask = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    site = Path(subprocess.run([runs, "-c", ask], check=True, capture_output=True, text=True).stdout.strip())
    found: dict[str, float] = collections.Counter()
    compiled = 0
    for file in site.rglob("*"):
        top = file.relative_to(site).parts[0]
        if file.is_symlink() or not file.is_file() or re.match(r"(pip|setuptools)(-|$)|_distutils_hack|pkg_res", top):
            continue
        if file.suffix == ".pyc":
            compiled += file.stat().st_size
        else:
            found[re.sub(r"(\.libs|-[^-]*\.dist-info)$", "", top)] += file.stat().st_size / 1e6
    total = sum(found.values())
    return Size(total, total + compiled / 1e6, collections.Counter(found).most_common(6))


def first_answer(runs: Path, clip: Path, rounds: int) -> tuple[Spent, Spent]:
    """Return the best times of the first answer and of ``import numpy``."""
    command, numpy = [str(runs), "-m", "voxtrait", str(clip)], [str(runs), "-c", "import numpy"]
    answer, beside = Spent(), Spent()
    for _ in range(rounds):
        beside = beside.best(spent(numpy))
        answer = answer.best(spent(command))
    return answer, beside


def spent(command: list[str]) -> Spent:
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=tempfile.gettempdir(), env=clean())
    wall, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Spent(wall, used)


def clean() -> dict[str, str]:
    """The environment of this process without paths to other versions of the package."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def imports(runs: Path, clip: Path, rounds: int) -> list[tuple[str, float]]:
    """Return the import time of each package in ms, longest first; modules of Python together."""
    best: dict[str, int] = {}
    for _ in range(rounds):
        command = [runs, "-X", "importtime", "-c", ANSWER, clip]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=tempfile.gettempdir(), env=clean()
        )
        for us, name in COST.findall(done.stderr):
            best[name] = min(best.get(name, sys.maxsize), int(us))
    found: dict[str, float] = collections.Counter()
    for name, us in best.items():
        top = name.partition(".")[0]
        found["Python" if top in sys.stdlib_module_names else top] += us / 1000
    return collections.Counter(found).most_common()


def rows(clip: Path, rounds: int) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield the rows of ``make bench``."""
    with tempfile.TemporaryDirectory(prefix="voxtrait-light-") as folder:
        try:
            runs = environment(Path(folder, "env"))
        except subprocess.CalledProcessError:
            yield "light install", "not measured: pip could not install it", "", "", f"≤ {MOST_MB} MB"
            return
        size = size_of(runs)
        largest = ", ".join(f"{name} {mb:.0f}" for name, mb in size.largest[:3])
        yield "size of the light install", f"{size.files:.0f} MB", largest, "", f"≤ {MOST_MB} MB"
        answer, beside = first_answer(runs, clip, rounds)
        more = f"{answer.wall - beside.wall:.2f} s more"
        yield "first answer", f"{answer.wall:.2f} s", f"import numpy {beside.wall:.2f} s", more, f"≤ {MOST_S} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path, metavar="CLIP", help="a recording; otherwise a benchmark clip")
    parser.add_argument("--python", action="append", default=[], metavar="NAME", help="interpreter (repeatable)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="voxtrait-light-") as name:
        work = Path(name)
        clip = arguments.clip
        if clip is None:
            import clips

            ((clip,), _) = clips.choose(work / "clips", 1)
        for number, base in enumerate(arguments.python or [sys.executable]):
            report(environment(work / f"env{number}", base), clip.resolve(), arguments.rounds)


def report(runs: Path, clip: Path, rounds: int) -> None:
    version = subprocess.run([runs, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    size = size_of(runs)
    largest = ", ".join(f"{name} {mb:.1f}" for name, mb in size.largest)
    print(f"{version}: {size.files:.1f} MB beside pip, {size.compiled:.1f} MB with compiled files (target ≤ {MOST_MB})")
    print(f"  largest: {largest}")
    answer, beside = first_answer(runs, clip, rounds)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"  first answer {answer.wall:.3f} s, processor time {answer.processor:.3f} s; best of {rounds}, load {load}")
    print(f"  import numpy {beside.wall:.3f} s, processor time {beside.processor:.3f} s")
    print(f"  {answer.wall - beside.wall:.3f} s more (target ≤ {MOST_S})")
    costs = [(name, ms) for name, ms in imports(runs, clip, rounds) if ms >= 0.5]
    print(f"  imports: {', '.join(f'{name} {ms:.0f} ms' for name, ms in costs)}", flush=True)


if __name__ == "__main__":
    main()
