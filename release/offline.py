"""Installs the wheel alone in a fresh environment of each Python and predicts with the network cut: ``make offline``.

python release/offline.py [--wheel FILE] [--python NAME ...] [CLIP ...]

The network is cut by a network namespace (``unshare``, Linux): the process sees only a loopback interface that is down.
The environment has the light install and nothing else, an empty home folder, and no variables of its parent. Every clip
must have status ok, and the same estimates with every Python. Without clips, a synthetic voice is predicted as WAV,
FLAC, MP3 and Ogg. Prints a table; exit status 1 if a row is wrong.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import pythons

ROOT = Path(__file__).resolve().parent.parent
CUT = ["unshare", "--net", "--map-root-user"]
INTERFACES = """
import socket
print(",".join(name for _, name in socket.if_nameindex()))
try:
    socket.create_connection(("127.0.0.1", 9), 2)
except OSError as error:
    print(error.strerror)
"""
LOADED = """
import sys, voxtrait
voxtrait.load().predict(sys.argv[1])
print(",".join(sorted({name.partition(".")[0] for name in sys.modules} & {"scipy", "polars", "matplotlib", "PIL"})))
"""
SAME = 0.01  # by which p_female may differ between versions of NumPy and ONNX Runtime; years: a hundred times that


class Row(NamedTuple):
    """What was seen with one Python."""

    python: str
    packages: int
    megabytes: float  # installed, beside pip
    network: str
    seconds: float
    answers: list[dict[str, Any]]
    loaded: str  # packages that are not in the light install, and were loaded


def try_out(python: pythons.Python, wheel: Path, clips: list[Path], work: Path) -> Row:
    """Install the wheel, cut the network, predict."""
    runs = pythons.environment(python, work / "env")
    before = set(listed(runs))
    pythons.pip(runs, wheel)
    (home := work / "home").mkdir()
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*CUT, *map(str, command)], cwd=home, env=clean, capture_output=True, text=True)

    subprocess.run([runs, "-m", "pip", "check"], check=True, stdout=subprocess.DEVNULL)
    network = " ".join(run(runs, "-c", INTERFACES).stdout.split("\n")).strip()
    start = time.perf_counter()
    done = run(runs.with_name("voxtrait"), "--format", "jsonl", *clips)
    seconds = time.perf_counter() - start
    if done.stderr or done.returncode:
        last = next(iter(done.stderr.splitlines()[-1:]), "")
        print(f"Python {python.version}: exit status {done.returncode}, standard error ends: {last}", file=sys.stderr)
    loaded = run(runs, "-c", LOADED, clips[0]).stdout.strip()
    new = set(listed(runs)) - before
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return Row(python.version, len(new), size_of(runs) / 1e6, network, seconds, answers, loaded)


def listed(runs: Path) -> list[str]:
    done = subprocess.run([runs, "-m", "pip", "freeze", "--all"], check=True, capture_output=True, text=True)
    return [line.partition("==")[0].partition(" @")[0] for line in done.stdout.splitlines()]


def size_of(runs: Path) -> int:
    """Bytes of the installed files, without pip, setuptools and compiled Python files."""
    (folder,) = runs.parent.parent.glob("lib/python3.*/site-packages")
    skipped = ("pip", "pip-", "setuptools", "_distutils_hack", "pkg_resources", "distutils-precedence")
    tops = [top for top in folder.iterdir() if not top.name.startswith(skipped)]
    files = [file for top in tops for file in ([top] if top.is_file() else top.rglob("*")) if file.is_file()]
    return sum(file.stat().st_size for file in files if file.suffix != ".pyc")


def synthetic(folder: Path) -> list[Path]:
    """One synthetic voice in each kind of file that the light install reads."""
    import soundfile

    from voxtrait.synthetic import cohort, speak

    signal = speak(cohort(1, seed=1)[0], 4.0, seed=1)
    clips = [folder / f"voice.{kind}" for kind in ("wav", "flac", "mp3", "ogg")]
    for clip in clips:
        soundfile.write(clip, signal, 16_000)
    return clips


def wrong(rows: list[Row], count: int) -> list[str]:
    """What is not as it must be."""
    found = []
    for row in rows:
        if row.network != "lo Network is unreachable":
            found.append(f"Python {row.python}: the network is not cut: {row.network}")
        if [answer["status"] for answer in row.answers] != ["ok"] * count:
            found.append(f"Python {row.python}: not every clip was predicted")
        if row.loaded:
            found.append(f"Python {row.python}: predicting loads {row.loaded}")
        for one, first in zip(row.answers, rows[0].answers, strict=False):
            apart = max(abs(one["p_female"] - first["p_female"]), abs(one["age_years"] - first["age_years"]) / 100)
            if apart > SAME:
                found.append(f"Python {row.python}: {Path(one['path']).name} differs by {apart:.3f}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Predict from the installed wheel with the network cut.")
    parser.add_argument("--wheel", type=Path, help="wheel to install; otherwise the one in build/dist")
    parser.add_argument("--python", action="append", default=[], metavar="NAME", help="interpreter (repeatable)")
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP", help="recordings of one voice each")
    arguments = parser.parse_args()
    wheel = arguments.wheel or next(iter(sorted((ROOT / "build" / "dist").glob("*.whl"))), None)
    if wheel is None:
        sys.exit("No wheel in build/dist. Run `make release` first.")
    rows = []
    with tempfile.TemporaryDirectory(prefix="voxtrait-offline-") as name:
        clips = [clip.resolve() for clip in arguments.clips] or synthetic(Path(name))
        for number, python in enumerate(pythons.found(arguments.python)):
            (work := Path(name) / str(number)).mkdir()
            rows.append(try_out(python, wheel.resolve(), clips, work))
    print(
        "| Python | packages | installed, MB | interfaces, a connection | s for all clips | clips | first prediction |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        first = next(iter(row.answers), {})
        said = f"{first.get('gender')} ({first.get('p_female')}), {first.get('age_years')} years"
        cells = (row.python, row.packages, f"{row.megabytes:.0f}", row.network, f"{row.seconds:.2f}", len(row.answers))
        print(f"| {' | '.join(map(str, cells))} | {said} |")
    found = wrong(rows, len(clips))
    print("\n".join(found))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
