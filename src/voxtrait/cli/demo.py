"""Defines ``voxtrait demo``: the whole pipeline on synthetic voices."""

from functools import partial
from pathlib import Path

import click

from voxtrait.cli.options import (
    finish,
    format_option,
    jobs_option,
    note,
    out_option,
    print_json,
    print_table,
    quiet_option,
)


@click.command(
    short_help="Run the whole pipeline on synthetic voices.",
    epilog="Example: voxtrait demo --out demo",
)
@out_option(
    type=click.Path(path_type=Path, file_okay=False),
    default="voxtrait-demo",
    show_default=True,
    help="Folder for the results. A second run keeps complete results.",
)
@jobs_option
@format_option("text", "json")
@quiet_option
def demo(out: Path, jobs: int | None, format_: str, quiet: bool) -> None:
    """Run the whole pipeline on synthetic voices, from a Common Voice release to predictions, in about two minutes.

    Each step prints the command that does the same. The exit status is 1 if the trained network has a gender UAR under
    0.9 on held-out synthetic voices. Synthetic voices test the pipeline; they do not measure accuracy on real voices.
    """
    from voxtrait.training import require_extra

    require_extra()
    from voxtrait import batch
    from voxtrait.demo import run

    summary = run(out, jobs=jobs or batch.default_jobs(), say=partial(note, quiet=quiet), progress=not quiet)
    note("", quiet)
    print_json(summary.to_dict()) if format_ == "json" else print_table(summary.rows())
    note(summary.verdict, quiet)
    finish(not summary.passed)
