"""How the summary of a derived folder is printed: by ``convert`` and by ``images``."""

import itertools
from typing import Final

from voxtrait.cli.options import finish, note, print_csv, print_json, print_table
from voxtrait.derived.folders import FAILURES, Summary

SHOWN: Final = 20  # failures in the text; all of them are in failures.csv
COLUMNS: Final = ("path", "reason")


def print_summary(summary: Summary, format_: str, quiet: bool) -> None:
    """Print what was done and what failed, and end with status 1 if anything did.

    ``csv`` has a row for every file that failed and no figures; ``json`` has both.
    """
    figures = summary.to_dict()
    if format_ == "json":
        print_json({**figures, "failures": list(summary.failures())})
    elif format_ == "csv":
        print_csv(summary.failures(), COLUMNS)
    else:
        print_table([{"what": name, "value": str(value)} for name, value in figures.items()])
        print_table(list(itertools.islice(summary.failures(), SHOWN)), COLUMNS)
    if summary.failed:
        note(f"{summary.failed} files failed: every one with its reason in {figures['out_dir']}/{FAILURES}", quiet)
    finish(bool(summary.failed))
