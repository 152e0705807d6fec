"""Defines ``voxtrait corpus audit``: finds labels and speaker ids that look wrong."""

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from voxtrait.cli.options import (
    finish,
    format_option,
    jobs_option,
    label,
    model_option,
    note,
    out_option,
    print_csv,
    print_json,
    print_table,
    quiet_option,
    with_limit,
)

if TYPE_CHECKING:
    from voxtrait.audit import Audit

PATH = click.Path(path_type=Path)
SHOWN = 10  # speakers per task printed as text


@click.command(short_help="Find labels that look wrong, and mixed or duplicate speaker ids.")
@click.argument("manifest", type=PATH)
@out_option(
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the tables, the page and intermediate results.",
)
@model_option
@click.option(
    "--decisions",
    type=PATH,
    help="File of decisions saved by the page. They are applied first; decided clips are not shown again.",
)
@click.option(
    "--top", type=click.IntRange(min=1), default=200, show_default=True, help="Number of findings of each kind to show."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed for the speaker folds.")
@jobs_option
@format_option("text", "json", "csv")
@quiet_option
def audit(
    manifest: Path,
    out: Path | None,
    model: str | None,
    decisions: Path | None,
    top: int,
    seed: int,
    jobs: int | None,
    format_: str,
    quiet: bool,
) -> None:
    """Find clips of MANIFEST whose labels look wrong; with --out, write a page for review.

    Each clip is scored by a model that was not trained on its speaker. The command also lists speaker ids that may mix
    several people, and pairs of ids that may be one person. No label is changed: the page saves your decisions, and
    `voxtrait corpus import --decisions` applies them. With --out, an interrupted run is resumed.

    \b
    Example: voxtrait corpus audit all.parquet --out audit
    """
    from voxtrait.audit import audit as examine

    with nullcontext(out) if out is not None else tempfile.TemporaryDirectory(prefix="voxtrait-") as folder:
        found = examine(
            manifest,
            folder,
            bundle=model,
            decisions=decisions,
            top=top,
            seed=seed,
            jobs=with_limit(jobs),
            label=label("audit", quiet),
        )
    _print(found, format_, top)
    for path, message in found.failed.iter_rows():
        note(f"failed: {path}: {message}")
    for text in found.summary["notes"]:
        note(text, quiet)
    note(f"review page: {out / 'index.html'}" if out else "For a review page, add --out FOLDER.", quiet)
    finish(found.failed.height > 0)


def _print(found: "Audit", format_: str, top: int) -> None:
    import polars as pl

    doubts, speakers = (table.filter(pl.col("rank") <= top) for table in (found.doubts, found.speakers))
    if format_ == "json":
        print_json(found.summary | {"doubts": doubts.to_dicts(), "speakers": speakers.to_dicts()})
    elif format_ == "csv":
        print_csv(doubts.iter_rows(named=True), doubts.columns)
    else:
        best = speakers.filter(pl.col("rank") <= SHOWN).with_columns(
            speaker=pl.coalesce("speaker_id", "clip_id").str.slice(0, 24)
        )
        columns = ("task", "rank", "speaker", "label", "answer", "doubt", "n_clips")
        print_table(best.select(columns).to_dicts(), columns)
        tasks = found.summary["tasks"]
        for task in tasks:
            counts = tasks[task]
            click.echo(f"{task}: {counts['doubted_clips']} of {counts['clips']} labelled clips doubted")
        click.echo(f"speaker ids that may mix several people: {found.summary['mixed']['ids']}")
        click.echo(f"pairs of speaker ids that may be one person: {found.summary['same']['pairs']}")
