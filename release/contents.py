"""What a wheel and an sdist of voxtrait must hold, and must not."""

import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

MODES = {0o644, 0o755}
NEVER = re.compile(r"(^|/)(tests|__pycache__|\.git|\.venv|build|node_modules)/|\.(pyc|pyo|so|orig|rej)$")
DOCUMENTS = ("CHANGELOG.md", "CITATION.cff", "data-statement.md", "licences.md")
CARDS = ("model-card-base.md", "model-card-diary.md", "model-card-fast.md")


def problems(root: Path, sdist: Path, wheel: Path, commit: str | None = None) -> list[str]:
    """What is wrong with two files built from a checkout, from its commit or else from its present files."""
    files = tracked(root, commit)
    return [*_of_wheel(files, wheel), *_of_sdist(files, sdist)]


def tracked(root: Path, commit: str | None = None) -> set[str]:
    """The files of a commit, or else those that git tracks now, relative to the checkout."""
    command = ["git", "ls-tree", "-r", "-z", "--name-only", commit] if commit else ["git", "ls-files", "-z"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return set(filter(None, done.stdout.split("\0")))


def _of_wheel(files: set[str], file: Path) -> Iterator[str]:
    with zipfile.ZipFile(file) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        (metadata,) = (name for name in infos if name.endswith(".dist-info/METADATA"))
        about = Parser().parsestr(archive.read(metadata).decode("utf-8"))
        empty = [name for name, info in infos.items() if not info.file_size and not name.endswith((".py", ".typed"))]
    stem = f"{about['Name']}-{about['Version']}"
    expected = {name.removeprefix("src/") for name in files if name.startswith("src/voxtrait/")}
    inside = {name for name in infos if name.startswith("voxtrait/")}
    yield from (f"{file.name} lacks {name}" for name in sorted(expected - inside))
    yield from (f"{file.name} has {name}, which git does not track" for name in sorted(inside - expected))
    licences = {f"{stem}.dist-info/licenses/{name}" for name in about.get_all("License-File", [])}
    documents = {f"{stem}.data/data/share/doc/voxtrait/{name}" for name in (*DOCUMENTS, *CARDS)}
    others = {f"{stem}.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")}
    known = inside | licences | documents | others
    yield from (f"{file.name} lacks {name}" for name in sorted((licences | documents | others) - set(infos)))
    yield from (f"{file.name} has {name}" for name in sorted(set(infos) - known))
    yield from (f"{file.name} has {name}" for name in sorted(infos) if NEVER.search(name))
    yield from (f"{file.name}: {name} is empty" for name in empty)
    modes = {info.external_attr >> 16 & 0o777 for info in infos.values()}
    yield from (f"{file.name} has mode {mode:o}" for mode in sorted(modes - MODES))
    notices = {name for name in expected if name.endswith((".NOTICE.txt", ".LICENSE.txt"))}
    stated = {name.rpartition("src/")[2] for name in about.get_all("License-File", [])}
    yield from (f"pyproject.toml: license-files lacks {name}" for name in sorted(notices - stated))


def _of_sdist(files: set[str], file: Path) -> Iterator[str]:
    with tarfile.open(file) as archive:
        members = archive.getmembers()
    top = file.name.removesuffix(".tar.gz")
    inside = {member.name.removeprefix(f"{top}/") for member in members}
    expected = files | {"PKG-INFO"}
    yield from (f"{file.name} lacks {name}" for name in sorted(expected - inside))
    yield from (f"{file.name} has {name}, which git does not track" for name in sorted(inside - expected))
    yield from (f"{file.name}: {one.name} is no file" for one in members if not one.isfile())
    owners = {(one.uid, one.gid, one.uname, one.gname) for one in members}
    modes = {one.mode for one in members}
    yield from (f"{file.name} has an owner: {owner}" for owner in sorted(owners - {(0, 0, "", "")}))
    yield from (f"{file.name} has mode {mode:o}" for mode in sorted(modes - MODES))
    if len({one.mtime for one in members}) != 1:
        yield f"{file.name} has several times"
