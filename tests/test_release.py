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

import jinja2
import pytest
import yaml
from click.testing import CliRunner

import bill
import contents
import image
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
    """Sdist and wheel, built with what is installed, and the wheel again: another folder, other modes and times."""
    work = tmp_path_factory.mktemp("build")
    made = []
    for name, umask, when, kinds in (
        ("a", 0o022, 1_000_000_000, ["-t", "wheel", "-t", "sdist"]),
        ("another folder", 0o077, 1_700_000_000, ["-t", "wheel"]),
    ):
        for relative in contents.tracked(ROOT):
            place = work / name / relative
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / relative, place)
            place.chmod(0o666 & ~umask)
            os.utime(place, (when, when))
        command = [sys.executable, "-m", "hatchling", "build", *kinds, "-d", str(work / f"{name} out")]
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
    assert first[".whl"].read_bytes() == second[".whl"].read_bytes()
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


@pytest.mark.checkout
def test_the_bill_of_materials_has_every_weight_and_font() -> None:
    source = bill.SOURCE
    kinds = (".onnx", ".ttf", ".woff2")
    files = {file.relative_to(source).as_posix() for file in source.rglob("*") if file.suffix in kinds}
    assert {place for *_, place in bill.CONTAINED} == files
    found = list(bill.contained())
    assert len({one["bom-ref"] for one in found}) == len(found)
    assert {one["licenses"][0]["license"]["id"] for one in found} == set(project()["license"].split(" AND "))


def test_workflows_are_valid() -> None:
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert [file.stem for file in files] == ["docs", "release", "tests"]
    assert schema_errors("vendor.github-workflows", *files) == ""
    text = "".join(file.read_text("utf-8") for file in files)
    used = re.findall(r"uses: (\S+)", text)
    assert [one for one in used if not re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", one)] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets
    assert [name for name in re.findall(r"python (release/\S+\.py)", text) if not (ROOT / name).is_file()] == []


def test_a_wrong_workflow_would_be_found(tmp_path: Path) -> None:
    wrong = tmp_path / "docs.yml"
    right = (ROOT / ".github" / "workflows" / "docs.yml").read_text("utf-8")
    wrong.write_text(right.replace("runs-on: ubuntu-latest", "run-on: ubuntu-latest", 1))
    assert "docs.yml" in schema_errors("vendor.github-workflows", wrong)


def test_the_conda_recipe_agrees_with_the_project() -> None:
    text = (ROOT / "deploy" / "conda" / "meta.yaml").read_text("utf-8")
    recipe = yaml.safe_load(jinja2.Template(text).render(PYTHON="python"))
    about = project()
    assert recipe["package"] == {"name": about["name"], "version": about["version"]}
    assert recipe["source"]["path"].endswith(f"/voxtrait-{about['version']}.tar.gz")
    others = {"soundfile": "pysoundfile", "soxr": "soxr-python"}  # their names at conda-forge
    needed = {f"python {about['requires-python']}"}
    for one in map(licences.Requirement, about["dependencies"]):
        needed.add(f"{others.get(one.name, one.name)} {one.specifier}")
    assert set(recipe["requirements"]["run"]) == needed
    assert recipe["build"]["entry_points"] == [f"{name} = {place}" for name, place in about["scripts"].items()]
    assert (recipe["about"]["license"], recipe["about"]["license_file"]) == (about["license"], about["license-files"])


def test_the_homebrew_formula_agrees_with_the_project() -> None:
    file = ROOT / "deploy" / "homebrew" / "voxtrait.rb"
    text = file.read_text("utf-8")
    assert f'/voxtrait-{project()["version"]}.tar.gz"' in text
    assert re.findall(r'"([^"]+)"', re.findall(r"license all_of: (.*)", text)[0]) == project()["license"].split(" AND ")
    if ruby := shutil.which("ruby"):
        assert subprocess.run([ruby, "-c", file], capture_output=True, text=True).stdout == "Syntax OK\n"


def test_the_dockerfile_copies_what_a_build_needs() -> None:
    first, second = image.stages((ROOT / "deploy" / "Dockerfile").read_text("utf-8"))
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', image.value(second, "LABEL")))
    assert labels == {name: project()[key] for name, key in NAMED_IN_LABELS.items()}
    copied = {one for word, rest in first if word == "COPY" for one in rest.split()[:-1]}
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*tool["shared-data"], *project()["license-files"], project()["readme"], "constraints.txt"}
    assert [one for one in needed if not any(one == place or one.startswith(f"{place}/") for place in copied)] == []
    assert image.value(second, "USER") == "65532:65532"


NAMED_IN_LABELS = {"title": "name", "version": "version", "licenses": "license"}


def installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
