"""Checks the scores of a bundle: figures with intervals, and errors by group, as an evaluation reports them."""

import math
from collections.abc import Mapping
from typing import Any, Final

FIGURE: Final = ("value", "low", "high")
COUNTS: Final = ("n_clips", "n_speakers")
GROUPS: Final = "by_"  # first letters of the name of a table by group, such as by_estimate


def check(scores: Mapping[str, Any], tasks: tuple[str, ...]) -> None:
    """Check the types of all scores that are shown.

    Args:
        scores: the scores.
        tasks: names of the tasks; each may have figures.

    Raises:
        TypeError: if a value has another type. The message names it.

    Examples:
        >>> check({"n_clips": 4, "age": {"mae": {"value": 7.5, "low": 6.0, "high": 9.0}}}, ("age",))
        >>> check({"age": {"mae": {"value": "low"}}}, ("age",))
        Traceback (most recent call last):
        ...
        TypeError: the score age mae is not a number with its interval
    """
    for name in COUNTS:
        if not _is_number(scores.get(name)):
            raise TypeError(f"the score {name} is not a number")
    for name in ("split", "leakage"):
        if not isinstance(scores.get(name), str | None):
            raise TypeError(f"the score {name} is not a text")
    for task in tasks:
        found = scores.get(task)
        if not isinstance(found, dict | None):
            raise TypeError(f"the scores of {task} are not an object")
        for name, value in (found or {}).items():
            if name.startswith(GROUPS):
                if value is not None and not (isinstance(value, dict) and all(map(_is_row, value.values()))):
                    raise TypeError(f"the score {task} {name} is not a table of numbers by group")
            elif isinstance(value, dict) and not all(part in value and _is_number(value[part]) for part in FIGURE):
                raise TypeError(f"the score {task} {name} is not a number with its interval")
            elif not (isinstance(value, dict | list | str) or _is_number(value)):
                raise TypeError(f"the score {task} {name} is not a number")


def _is_row(row: Any) -> bool:
    counts = isinstance(row, dict) and all(type(row.get(name, 0)) is int for name in COUNTS)
    return counts and all(map(_is_number, row.values()))


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and math.isfinite(value) and abs(value) < 1e15)
