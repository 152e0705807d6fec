"""The version and the date of a release have one place each, and every other file agrees with them."""

import datetime
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADING = re.compile(r"^## (\S+) – (\S+)$", re.MULTILINE)


def project() -> dict:  # type: ignore[type-arg]
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def releases() -> list[tuple[str, str]]:
    """Version and date of each release, from the newest to the oldest."""
    return HEADING.findall((ROOT / "CHANGELOG.md").read_text("utf-8"))


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
