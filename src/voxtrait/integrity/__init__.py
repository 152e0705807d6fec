"""Checks a manifest and its files: missing and broken files, contradictory labels, and leakage between splits.

``report`` defines a finding and its severity. ``tables`` checks the manifest alone, ``containers`` detects truncated
files by their bytes, ``examination`` opens one clip, ``surveying`` all of them, ``recordings`` compares the clips with
the manifest and with each other, ``leaks`` finds what two sides share, and ``folders`` checks derived folders.

Modules are loaded at first use: a worker process needs only ``examination``, and starts in a third of the time.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

from voxtrait.errors import require_corpus

require_corpus("checking corpora")

if TYPE_CHECKING:
    from voxtrait.integrity.checking import check
    from voxtrait.integrity.containers import truncation
    from voxtrait.integrity.leaks import Leakage, leakage
    from voxtrait.integrity.report import FATAL, REPORTED, Problem, Report

_HOMES: Final = {
    "FATAL": "report",
    "REPORTED": "report",
    "Leakage": "leaks",
    "Problem": "report",
    "Report": "report",
    "check": "checking",
    "leakage": "leaks",
    "truncation": "containers",
}

__all__ = ["FATAL", "REPORTED", "Leakage", "Problem", "Report", "check", "leakage", "truncation"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
