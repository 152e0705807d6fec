"""``voxtrait corpus leakage``: what two splits, or two manifests, share."""

from collections.abc import Sequence
from pathlib import Path

import click

from voxtrait.cli.options import (
    finish,
    format_option,
    jobs_option,
    label,
    note,
    print_csv,
    print_json,
    print_table,
    quiet_option,
)

PATH = click.Path(path_type=Path)
COLUMNS = ("shared", "count", "clips", "speakers", "examples")


@click.command()
@click.argument("manifest", type=PATH)
@click.argument("other", type=PATH, required=False)
@click.option("--tables-only", is_flag=True, help="Touch no audio: only what the tables themselves tell.")
@click.option("--cache", type=PATH, help="Keep what is heard of each file in this folder, and open only new ones.")
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
    """Find what the splits of MANIFEST share, or MANIFEST and OTHER; exit status 1 where they leak.

    Speakers, clips, file contents and near-duplicate recordings must not be shared; sentences are only reported.

    \b
    Example: voxtrait corpus leakage train.parquet benchmark.csv --cache heard
    """
    from voxtrait import batch, integrity

    jobs = jobs or batch.default_jobs()
    progress = label("leakage", quiet)
    found = integrity.leakage(manifest, other, tables_only=tables_only, jobs=jobs, label=progress, cache=cache)
    if format_ == "json":
        print_json(found.to_dict())
    else:
        rows = [row | {"examples": shown(row["examples"], brief=format_ == "text")} for row in found.rows()]
        print_csv(rows, COLUMNS) if format_ == "csv" else print_table(rows, COLUMNS)
    if format_ == "text":
        click.echo(f"leakage: {found.verdict}")
    for line in found.not_looked_at:
        note(f"not looked at: {line}", quiet)
    finish(found.leaks)


def shown(examples: str | Sequence[object], brief: bool) -> str:
    """Join examples into one field; on a screen there is room for three, and not for all of a speaker's 128 letters."""
    texts = [examples] if isinstance(examples, str) else [str(example) for example in examples]
    if brief:
        texts = [text if len(text) <= 60 else f"{text[:20]}…{text[-36:]}" for text in texts[:3]]
    return "; ".join(texts)
