"""Fuzzing: mutated inputs for every reader, each read in a process that may die.

A module here has ``TARGETS``, one :class:`Target` a reader; ``MODULES`` names the modules. ``benchmarks/fuzz.py`` runs
any number of inputs, and ``test_fuzz.py`` a few.
"""

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from typing import Final

from voxtrait.errors import VoxtraitError

MODULES: Final = ("sound", "images", "turns", "tables", "bundles", "requests")


class Refused(Exception):  # noqa: N818 - a result, and no error
    """A reader that reports instead of raising has refused an input."""


@dataclasses.dataclass(frozen=True)
class Target:
    """One reader."""

    name: str
    seeds: Callable[[], Sequence[bytes]]  # valid inputs, made by code
    run: Callable[[bytes], str]  # reads an input, and returns what was read, in a word or two
    refusals: tuple[type[Exception], ...] = (VoxtraitError,)  # all that the reader may raise
    words: tuple[bytes, ...] = ()  # magic words of the format
    mend: Callable[[bytes], bytes] | None = None  # corrects checksums, so that a mutation reaches further than them
    seconds: float = 10.0  # a longer time on a processor is a hang
    slow: bool = False  # imports much: not read by the test
    memory_mb: float = 300.0  # more than this over the memory before is a find


def targets() -> dict[str, Target]:
    """All targets by name."""
    found = [one for name in MODULES for one in importlib.import_module(f"fuzzing.{name}").TARGETS]
    return {one.name: one for one in found}
