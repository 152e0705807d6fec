"""Writes release/licences.toml from the metadata of the installed packages: ``python release/licences.py``.

The page docs/reference/licences.md is made from that file, so that it does not depend on what is installed. Run this
after a change of the dependencies, in an environment with all extras, and read the licence file of every new package.
"""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "release" / "licences.toml"

# Packages whose metadata has no SPDX expression, and the one that their licence file or their metadata means.
READ = {
    "aiosignal": "Apache-2.0",
    "contourpy": "BSD-3-Clause",
    "cycler": "BSD-3-Clause",
    "flatbuffers": "Apache-2.0",
    "iso639-lang": "MIT",
    "jinja2": "BSD-3-Clause",
    "kiwisolver": "BSD-3-Clause",
    "matplotlib": "PSF-2.0",
    "mpmath": "BSD-3-Clause",
    "onnxruntime": "MIT",
    "onnxscript": "MIT",
    "partd": "BSD-3-Clause",
    "polars": "MIT",
    "polars-runtime-32": "MIT",
    "protobuf": "BSD-3-Clause",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "ray": "Apache-2.0",
    "s3fs": "BSD-3-Clause",
    "scipy": "BSD-3-Clause",
    "setuptools": "MIT",
    "sortedcontainers": "Apache-2.0",
    "sounddevice": "MIT",
    "soundfile": "BSD-3-Clause",
    "sympy": "BSD-3-Clause",
    "zict": "BSD-3-Clause",
}
SPDX = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")
OF_GPUS = ("cuda-", "nvidia-", "triton")  # PyTorch's, unless its build for the CPU is installed
PYTHON = "3.11"  # markers of requirements differ between versions
PLAIN = {"BSD", "Apache 2.0", "Apache License 2.0"}  # looks like SPDX, and is none


def extras() -> dict[str, list[str]]:
    """The extras of pyproject.toml and the names of what they install beside the light install, sorted."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    optional = {name: lines for name, lines in project["optional-dependencies"].items() if name not in ("all", "dev")}
    light = set(closure(project["dependencies"], optional))
    found = {name: sorted(set(closure(lines, optional)) - light) for name, lines in sorted(optional.items())}
    return {"light": sorted(light)} | found


def closure(lines: list[str], optional: dict[str, list[str]], seen: set[str] | None = None) -> Iterator[str]:
    """Every package that these requirements install here, each once."""
    seen = set() if seen is None else seen
    for line in lines:
        need = Requirement(line)
        name = canonicalize_name(need.name)
        if name == "voxtrait":
            for extra in need.extras:
                yield from closure(optional[extra], optional, seen)
            continue
        if name.startswith(OF_GPUS):
            continue
        if name not in seen:
            seen.add(name)
            yield name
        for extra in ("", *need.extras):
            if f"{name}[{extra}]" not in seen:
                seen.add(f"{name}[{extra}]")
                inner = [one for one in requires(name) if (marker := Requirement(one).marker) is None
                         or marker.evaluate({"extra": extra})]  # fmt: skip
                yield from closure(inner, optional, seen)


def requires(name: str) -> list[str]:
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return {"sounddevice": ["cffi"]}.get(name, [])  # needs PortAudio to be of use, so it is not in [dev]


def licence(name: str) -> str:
    """The SPDX expression of a package: its own, or else the one that was read in its licence file.

    Raises:
        KeyError: if neither exists.
    """
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return READ[name]
    stated = metadata.get("License-Expression") or metadata.get("License") or ""
    if SPDX.fullmatch(stated) and stated not in PLAIN and name not in READ:
        return stated
    return READ[name]


def table() -> str:
    """The text of licences.toml."""
    groups = extras()
    lines = [f"# Made by release/licences.py on Linux with Python {PYTHON}, from the versions of constraints.txt."]
    lines += ["", "[extras]"]
    for extra, names in groups.items():
        lines += [f"{extra} = [", *(f'    "{name}",' for name in names), "]"] if names else [f"{extra} = []"]
    lines += ["", "[licences]"]
    lines += [f'{name} = "{licence(name)}"' for name in sorted({name for names in groups.values() for name in names})]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table(), "utf-8")
