"""Runs the test suite against the installed wheel, in a folder without src: ``make test-wheel``.

python release/wheel_tests.py [--wheel FILE] [--python NAME] [--fresh] [-- PYTEST ARGUMENTS]

A fresh environment gets the wheel. Its other packages are those of .venv, unless --fresh installs them anew (about
3 GB). The files of the last commit are in a folder of their own, without src, and pytest runs there.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import packages
import pythons

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "wheel-tests"
CHECK = """
import importlib.metadata, pathlib, voxtrait
place = pathlib.Path(voxtrait.__file__)
assert "site-packages" in place.parts, place
print("voxtrait", importlib.metadata.version("voxtrait"), "from", place.parent)
"""


def prepare(wheel: Path, python: pythons.Python, fresh: bool) -> Path:
    """Make the environment and the folder, and return the environment's interpreter."""
    shutil.rmtree(WORK, ignore_errors=True)
    packages.export(packages.commit(), WORK / "checkout", umask=0o022, days=0)
    shutil.rmtree(WORK / "checkout" / "src")
    runs = pythons.environment(python, WORK / "env")
    if fresh:
        constraints = ROOT / "constraints.txt"
        pythons.pip(runs, "torch", constraints=constraints)
        pythons.pip(runs, f"{wheel}[train,web,dev]", constraints=constraints)
        return runs
    pythons.pip(runs, "--no-deps", wheel)
    # a folder that a .pth file names is searched after the environment's own, and .pth files in it are not read:
    # so the packages of this environment are found there, but not its editable voxtrait
    (own,) = (WORK / "env").glob("lib/python3.*/site-packages")
    (own / "development.pth").write_text("\n".join(shared()) + "\n", "utf-8")
    return runs


def shared() -> list[str]:
    """The folders with packages of the running environment."""
    own = Path(sysconfig.get_paths()["purelib"])
    named = [line for file in sorted(own.glob("*.pth")) for line in file.read_text("utf-8").splitlines()]
    more = [line for line in named if line.startswith("/") and Path(line).is_dir() and Path(line) != ROOT / "src"]
    return [str(own), *more]


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the tests against the installed wheel.")
    parser.add_argument("--wheel", type=Path, help="wheel to install; otherwise the one in build/dist")
    parser.add_argument("--python", metavar="NAME", default=sys.executable, help="interpreter")
    parser.add_argument("--fresh", action="store_true", help="install all dependencies anew")
    parser.add_argument("arguments", nargs="*", help="arguments of pytest, after --")
    arguments = parser.parse_args()
    wheel = arguments.wheel or next(iter(sorted((ROOT / "build" / "dist").glob("*.whl"))), None)
    if wheel is None:
        sys.exit("No wheel in build/dist. Run `make release` first.")
    (python,) = pythons.found([arguments.python])
    runs = prepare(wheel.resolve(), python, arguments.fresh)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    speech = Path(kept.get("VOXTRAIT_SPEECH") or ROOT.parent / "shared" / "corpora")
    kept["VOXTRAIT_SPEECH"] = str(speech.resolve())
    kept["PATH"] = os.pathsep.join([str(runs.parent), kept["PATH"]])
    subprocess.run([runs, "-c", CHECK], cwd=WORK / "checkout", check=True)
    command = [runs, "-m", "pytest", "-p", "no:cacheprovider", *arguments.arguments]
    sys.exit(subprocess.run(command, cwd=WORK / "checkout", env=kept).returncode)


if __name__ == "__main__":
    main()
