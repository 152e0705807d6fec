"""The interpreters that a release is built and tried with, and fresh environments for them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

OLDEST, NEWEST = 11, 14  # minor versions of Python 3


class Python(NamedTuple):
    """One interpreter."""

    version: str  # such as 3.12.1
    command: str


def found(named: Iterable[str] = ()) -> list[Python]:
    """The interpreters with these names, or else one for each version from 3.11 to 3.14 on this machine.

    They are searched in PATH and in the folder of pyenv.
    """
    names = list(named)
    if names:
        asked = [(name, version_of(name)) for name in names]
        missing = [name for name, version in asked if version is None]
        if missing:
            sys.exit(f"{', '.join(missing)}: not a Python that runs. Expected the name or path of an interpreter.")
        return [Python(version, name) for name, version in asked if version is not None]
    chosen: dict[str, Python] = {}
    for name in (sys.executable, *_installed()):
        version = version_of(name)
        if version is not None and OLDEST <= int(version.split(".")[1]) <= NEWEST:
            chosen.setdefault(version.rpartition(".")[0], Python(version, name))
    return [chosen[key] for key in sorted(chosen, key=lambda key: int(key.split(".")[1]))]


def _installed() -> Iterable[str]:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for minor in range(OLDEST, NEWEST + 1):
        yield from filter(None, [shutil.which(f"python3.{minor}")])
        yield from map(str, sorted(root.glob(f"versions/3.{minor}.*/bin/python3")))


def version_of(name: str) -> str | None:
    """The version of an interpreter, or None if it does not run: shims of pyenv may name a version that is not set."""
    ask = "import platform; print(platform.python_version())"
    try:
        done = subprocess.run([name, "-c", ask], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def environment(python: Python, folder: Path) -> Path:
    """Make a fresh virtual environment and return its interpreter."""
    subprocess.run([python.command, "-m", "venv", folder], check=True)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def pip(python: Path, *arguments: str | Path, constraints: Path | None = None) -> None:
    """Install with pip; PIP_ARGS of the environment holds more arguments, as for make install."""
    more = [*os.environ.get("PIP_ARGS", "").split(), *(["-c", str(constraints)] if constraints else [])]
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *more]
    subprocess.run([*command, *map(str, arguments)], check=True)
