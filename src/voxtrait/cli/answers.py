"""Prints predictions as text, JSON, JSON lines or CSV, and counts them."""

import collections
import csv
import io
import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any, Final

import click

from voxtrait import storage
from voxtrait.cli import console
from voxtrait.cli.inputs import Item

WIDEST: Final = 60  # the largest width of the column of file names, in characters
ORDER: Final = ("female", "male", "unsure", "ok", "no_speech", "too_short", "error")  # of the totals

Row = dict[str, Any]


def print_answers(rows: Iterable[Row], format_: str, many: bool, width: int) -> collections.Counter[str]:
    """Print predictions as they come. Return the number of predictions by gender, or by status if not ``ok``."""
    from voxtrait.recognize.prediction import text_line

    counts: collections.Counter[str] = collections.Counter()

    def counted_rows() -> Iterator[Row]:
        for row in rows:
            counts[row["gender"] or row["status"]] += 1
            yield row | {"path": row["path"] or "-"}

    writers: dict[str, Callable[[Iterable[Row]], Iterator[str]]] = {
        "text": lambda all_: (text_line(row, width) for row in all_),
        "jsonl": lambda all_: (_json(row) for row in all_),
        "csv": _csv_lines,
        "json": _json_list if many else _json_object,
    }
    for line in writers[format_](counted_rows()):
        click.echo(line)
    return counts


def totals(counts: Mapping[str, int], left_out: Sequence[str] = (), unit: str = "file") -> str:
    """Return the counts of :func:`print_answers`, and the skipped files, as one line.

    Examples:
        >>> totals({"no_speech": 1, "male": 4, "female": 7}, ["3 files with other endings skipped"])
        '12 files: 7 female, 4 male, 1 no_speech; 3 files with other endings skipped'
    """
    number = sum(counts.values())
    parts = ", ".join(f"{counts[name]} {name}" for name in ORDER if counts.get(name))
    return "; ".join([f"{number} {unit}{'' if number == 1 else 's'}: {parts}", *left_out])


def _csv_lines(rows: Iterable[Row]) -> Iterator[str]:
    from voxtrait.recognize import CSV_FIELDS

    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_FIELDS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row)
        yield out.getvalue().removesuffix("\n")
        out.seek(0)
        out.truncate()


def _json_object(rows: Iterable[Row]) -> Iterator[str]:
    return (_json(row, indent=2) for row in rows)


def _json(row: Row, indent: int | None = None) -> str:
    return console.json_text(json.dumps(row, ensure_ascii=False, indent=indent))


def _json_list(rows: Iterable[Row]) -> Iterator[str]:
    """Yield a JSON list piece by piece, so that memory does not grow with its length."""
    yield "["
    last = None
    for row in rows:
        if last is not None:
            yield last + ","
        last = textwrap.indent(_json(row, indent=2), "  ")
    if last is not None:
        yield last
    yield "]"


def widest(items: Sequence[Item]) -> int:
    """Return the width of the column of file names in characters; 0 for a single file."""
    if len(items) == 1:
        return 0
    return min(WIDEST, max(1 if isinstance(item, BytesIO) else len(storage.text_of(item)) for item in items))
