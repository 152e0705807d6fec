"""Defines ``voxtrait corpus leakage``: what the splits of a manifest, or two manifests, share."""

import contextlib
from pathlib import Path

import click

from voxtrait.cli.imported import manifest_of
from voxtrait.cli.options import (
    finish,
    format_option,
    jobs_option,
    label,
    note,
    print_rows,
    quiet_option,
    shown,
    with_limit,
)

PATH = click.Path(path_type=Path)
COLUMNS = ("shared", "count", "clips", "speakers", "examples")


@click.command(short_help="Find leakage between splits, or between two manifests.")
@click.argument("manifest", type=PATH)
@click.argument("other", type=PATH, required=False)
@click.option("--tables-only", is_flag=True, help="Check only the tables; read no audio.")
@click.option("--cache", type=PATH, help="Folder for the results per file. A later run opens only new files.")
@jobs_option
@format_option("text", "json", "csv")
@quiet_option
def leakage(
    manifest: Path,
    other: Path | None,
    tables_only: bool,
    cache: Path | None,
    jobs: int | None,
    format_: str,
    quiet: bool,
) -> None:
    """Find leakage between the splits of MANIFEST, or between MANIFEST and OTHER.

    Each may also be a corpus or one of its tables, such as metadata.csv.

    Speakers, clips, file contents and near-duplicate recordings must not be shared: the exit status is 1 if they are.
    Shared sentences are only reported.

    \b
    Example: voxtrait corpus leakage train.parquet benchmark.csv --cache checked
    """
    from voxtrait import integrity

    progress = label("leakage", quiet)
    with contextlib.ExitStack() as stack:
        first, *rest = [stack.enter_context(manifest_of(path, quiet)) for path in (manifest, other) if path is not None]
        found = integrity.leakage(
            first.manifest,
            rest[0].manifest if rest else None,
            names=(manifest, other or manifest),
            tables_only=tables_only or any(given.packed for given in (first, *rest)),
            jobs=with_limit(jobs),
            label=progress,
            cache=cache,
        )
    rows = [row | {"examples": shown(row["examples"], brief=format_ == "text")} for row in found.rows()]
    print_rows(found.to_dict() if format_ == "json" else rows, COLUMNS, format_)
    if format_ == "text":
        click.echo(f"leakage: {found.verdict}")
    for line in found.not_looked_at:
        note(f"not checked: {line}", quiet)
    finish(found.leaks or any(given.failed for given in (first, *rest)))
