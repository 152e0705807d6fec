"""SECURITY.md: its limits are those of the code, and its promises have tests."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.checkout
pytest.importorskip("fastapi")

PAGE = Path(__file__).resolve().parent.parent / "SECURITY.md"
LIMIT = re.compile(
    r"\| (?P<what>[^|]+) \| (?P<value>[\d,]+)[^|]*\| `(?P<constant>voxtrait[\w.]+)(?:\[\"(?P<key>[^\"]+)\"\])?` \|"
)
ROWS = [found for line in PAGE.read_text("utf-8").splitlines() if (found := LIMIT.fullmatch(line))]


def test_every_row_of_the_limits_is_compared() -> None:
    table = PAGE.read_text("utf-8").partition("## Limits")[2].partition("## How")[0]
    assert len(ROWS) == sum(line.startswith("| ") for line in table.splitlines()) - 1 > 25


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["constant"])
def test_a_limit_is_that_of_the_code(row: Any) -> None:
    module, _, name = row["constant"].rpartition(".")
    value = getattr(importlib.import_module(module), name)
    assert int(row["value"].replace(",", "")) == (value[row["key"]] if row["key"] else value)


def test_the_page_says_how_to_report_without_an_address() -> None:
    text = PAGE.read_text("utf-8")
    assert "Report a vulnerability" in " ".join(text.split())
    assert "@" not in text


def test_the_tests_and_programs_that_it_names_exist() -> None:
    text = PAGE.read_text("utf-8")
    for name in re.findall(r"`?((?:tests|benchmarks)/[\w*/.]+\.py)", text):
        assert list(PAGE.parent.glob(name)), name
