"""Version, date and licences of a release have one place each, every other file agrees, and the wheel is whole."""

import datetime
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import contents
import licences
import packages
import voxtrait
from voxtrait.cli import root

ROOT = Path(__file__).resolve().parent.parent


def project() -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def releases() -> list[tuple[str, str]]:
    """Version and date of each release, from the newest to the oldest."""
    return re.findall(r"^## (\S+) – (\S+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    dated = [heading for heading in headings if heading != "Unreleased"]
    assert [f"{version} – {date}" for version, date in releases()] == dated
    assert "Unreleased" not in headings[1:]
    assert releases()[0][0] == project()["version"]


def test_versions_and_dates_of_releases_fall() -> None:
    numbers = [tuple(map(int, version.split("."))) for version, _ in releases()]
    days = [datetime.date.fromisoformat(date) for _, date in releases()]
    assert len(numbers) >= 2
    assert numbers == sorted(set(numbers), reverse=True)
    assert days == sorted(days, reverse=True)


def test_the_installed_version_is_that_of_the_project() -> None:
    """An editable install has the version of its last installation: make install renews it."""
    assert voxtrait.__version__ == importlib.metadata.version("voxtrait") == project()["version"]
    said = CliRunner().invoke(root, ["--version"]).stdout
    assert said == f"voxtrait, version {project()['version']}\n"


def test_the_citation_agrees_and_is_valid() -> None:
    file = ROOT / "CITATION.cff"
    cited = yaml.safe_load(file.read_text("utf-8"))
    assert (cited["version"], str(cited["date-released"])) == releases()[0]
    assert cited["authors"] == project()["authors"]
    assert cited["keywords"] == project()["keywords"]
    assert cited["title"] == project()["name"]
    assert schema_errors("vendor.citation-file-format", file) == ""


def schema_errors(schema: str, *files: Path) -> str:
    """What check-jsonschema, which carries these schemas, finds wrong with files."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_a_wrong_citation_would_be_found(tmp_path: Path) -> None:
    wrong = tmp_path / "CITATION.cff"
    wrong.write_text((ROOT / "CITATION.cff").read_text("utf-8").replace("type: software", "type: program"))
    assert "'program'" in schema_errors("vendor.citation-file-format", wrong)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Path]]]:
    """Sdist and wheel, built twice with what is installed: from folders with other names, modes and times."""
    work = tmp_path_factory.mktemp("build")
    made = []
    for name, umask, when in (("a", 0o022, 1_000_000_000), ("another folder", 0o077, 1_700_000_000)):
        for relative in contents.tracked(ROOT):
            place = work / name / relative
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / relative, place)
            place.chmod(0o666 & ~umask)
            os.utime(place, (when, when))
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(work / f"{name} out")]
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(packages.epoch((ROOT / "CHANGELOG.md").read_text()))}
        done = subprocess.run(command, cwd=work / name, env=environment, umask=umask, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        made.append({file.suffix: file for file in (work / f"{name} out").iterdir()})
    yield made
    shutil.rmtree(work)


@pytest.mark.checkout
def test_two_builds_are_equal_and_whole(built: list[dict[str, Path]]) -> None:
    first, second = built
    assert {one.name for one in first.values()} == {
        f"voxtrait-{project()['version']}{end}" for end in (".tar.gz", "-py3-none-any.whl")
    }
    for kind in (".gz", ".whl"):
        assert first[kind].read_bytes() == second[kind].read_bytes()
    assert contents.problems(ROOT, first[".gz"], first[".whl"]) == []


@pytest.mark.checkout
def test_what_lacks_in_a_wheel_would_be_found(built: list[dict[str, Path]], tmp_path: Path) -> None:
    whole = built[0][".whl"]
    stem = whole.name.removesuffix("-py3-none-any.whl")
    dropped = ["voxtrait/py.typed", f"{stem}.data/data/share/doc/voxtrait/data-statement.md"]
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(tmp_path / whole.name, "w") as new:
        for info in old.infolist():
            if info.filename not in dropped:
                new.writestr(info, old.read(info))
        new.writestr("tests/test_a.py", "")
    found = contents.problems(ROOT, built[0][".gz"], tmp_path / whole.name)
    assert set(found) >= {f"{whole.name} lacks {name}" for name in dropped} | {f"{whole.name} has tests/test_a.py"}


def test_the_table_of_licences_is_that_of_the_tested_versions() -> None:
    """Other versions may depend on other packages, so only those of constraints.txt are compared."""
    if f"{sys.version_info[0]}.{sys.version_info[1]}" != licences.PYTHON or sys.platform != "linux":
        pytest.skip(f"the table is that of Python {licences.PYTHON} on Linux")
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").split() if "==" in line)
    pinned = {licences.canonicalize_name(name): version for name, version in pinned.items()}
    table = tomllib.loads(licences.TABLE.read_text("utf-8"))
    other = {
        name: installed
        for name in table["licences"]
        if (installed := installed_version(name)) not in (None, pinned.get(name))
    }
    other.pop("torch", None)  # its build for the CPU has a version of its own
    other.pop("setuptools", None)  # comes with the environment
    if other:
        pytest.skip(f"other versions than those of constraints.txt: {other}")
    made = tomllib.loads(licences.table())
    assert made == table, "run: python release/licences.py, and read the licence files of new packages"


def installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
