"""The examples in the docstrings run, and give what they say."""

import doctest
import importlib
import importlib.util
from types import ModuleType

import pytest

from test_architecture import modules
from voxtrait import bundle

NAMES = [name for name in modules() if not name.endswith("__main__")]
TRAINS = ("voxtrait.training", "voxtrait.demo", "voxtrait.cli")


def loaded(name: str) -> ModuleType:
    if name.startswith("voxtrait.training") and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    if name == "voxtrait" and not (bundle.SHIPPED / bundle.DEFAULT / "bundle.json").is_file():
        pytest.skip(f"no bundle {bundle.DEFAULT} in this tree yet: its example cannot run")
    return importlib.import_module(name)


@pytest.mark.parametrize("name", NAMES)
def test_examples(name: str) -> None:
    result = doctest.testmod(loaded(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_most_of_the_library_has_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    public = [name for name in NAMES if not name.startswith(TRAINS) and name != "voxtrait"]
    having = [name for name in public if any(found.examples for found in finder.find(importlib.import_module(name)))]
    assert len(having) >= len(public) / 2
