"""Runs programs in Node with the package voxtrait-web, where Node and the packages of ``make node`` are there."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from voxtrait.recognize import portable

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "build" / "node" / "node_modules"
PACKAGE = Path(portable.__file__).parent / "voxtrait-web"


def folder(path: Path) -> Path:
    """Make a folder in which a program of Node finds voxtrait-web and onnxruntime-web; skip without Node."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    if not (PACKAGES / "onnxruntime-web").is_dir():
        pytest.skip("onnxruntime-web is not installed: run `make node`")
    (path / "node_modules").mkdir(parents=True)
    (path / "node_modules" / "onnxruntime-web").symlink_to(PACKAGES / "onnxruntime-web")
    (path / "node_modules" / "voxtrait-web").symlink_to(PACKAGE)
    return path


def run(program: Path, *arguments: str | Path) -> list[Any]:
    """Run a program, and return the JSON values that it prints, one a line."""
    command = ["node", program.name, *map(str, arguments)]
    done = subprocess.run(command, cwd=program.parent, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
