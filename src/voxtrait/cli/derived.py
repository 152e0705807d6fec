"""Prints the summary of a run of ``convert`` or ``images``."""

import itertools
from collections.abc import Iterator
from typing import Any, Final

import click

from voxtrait.cli.options import finish, note, print_csv, print_json
from voxtrait.derived.folders import FAILURES, Summary
from voxtrait.errors import counted

SHOWN: Final = 20  # failures printed as text; failures.csv lists all of them
COLUMNS: Final = ("path", "reason")


def print_summary(summary: Summary, format_: str, quiet: bool, what: str, verb: str) -> None:
    """Print the counts and the failures of a run, and end with exit status 1 if there are failures.

    ``csv`` has one row per failed file and no counts; ``json`` has both.

    Args:
        summary: summary of the run.
        format_: ``text``, ``json`` or ``csv``.
        quiet: print no note.
        what: noun for the results, such as ``file``.
        verb: participle for the work, such as ``converted``.
    """
    figures = summary.to_dict()
    if format_ == "json":
        print_json({**figures, "failures": list(summary.failures())})
    elif format_ == "csv":
        print_csv(summary.failures(), COLUMNS)
    else:
        click.echo(sentence(figures, what, verb))
        for line in _failures(summary):
            click.echo(f"  {line}")
    if summary.failed and summary.only is None:
        note(f"{counted(summary.failed, what)} failed. Reasons: {figures['out_dir']}/{FAILURES}", quiet)
    finish(bool(summary.failed))


def sentence(figures: dict[str, Any], what: str, verb: str) -> str:
    """Return the counts of a run as a sentence.

    Examples:
        >>> sentence({"done": 3, "kept": 1, "failed": 1, "elapsed_s": 2.14}, "file", "converted")
        '3 files converted in 2.1 s, 1 skipped (already done), 1 failed:'
        >>> sentence({"done": 0, "kept": 1, "failed": 0, "elapsed_s": 0.1}, "image", "drawn")
        '0 images drawn in 0.1 s, 1 skipped (already done).'
    """
    count = {name: figures.get(name, 0) for name in ("kept", "moved", "removed", "unlabelled", "unknown", "failed")}
    into = f" into {counted(figures['shards'], 'shard')}" if figures.get("shards") else ""
    parts = [f"{counted(figures['done'], what)} {verb}{into} in {figures['elapsed_s']:.1f} s"]
    texts = {
        "kept": f"{count['kept']} skipped (already done)",
        "moved": f"{count['moved']} moved to another class folder",
        "removed": f"{counted(count['removed'], 'file')} removed from old class folders",
        "unlabelled": f"{counted(count['unlabelled'], 'clip')} without a class skipped",
        "unknown": f"{counted(count['unknown'], 'file')} of unknown clips left in place",
        "failed": f"{count['failed']} failed",
    }
    parts += [text for name, text in texts.items() if count[name]]
    return ", ".join(parts) + (":" if count["failed"] else ".")


def _failures(summary: Summary) -> Iterator[str]:
    for row in itertools.islice(summary.failures(), SHOWN):
        reason = " ".join(row["reason"].split())
        yield reason if row["path"] in reason else f"{row['path']}: {reason}"
    if summary.failed > SHOWN:
        yield f"and {summary.failed - SHOWN:,} more"
