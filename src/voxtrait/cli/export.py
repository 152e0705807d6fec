"""Defines ``voxtrait corpus export``: writes a manifest in the format of another tool."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Final

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
    with_limit,
)
from voxtrait.errors import counted, require

if TYPE_CHECKING:
    from voxtrait.corpora import Export

TARGETS: Final = ("audiofolder", "kaldi", "lhotse", "audformat", "csv", "class-folders")
COLUMNS: Final = ("clip_id", "path", "reason")
SHOWN: Final = 20  # failures printed as text; failures.csv lists all of them

PATH = click.Path(path_type=Path)


@click.command(short_help="Export a manifest in the format of another tool.")
@click.argument("manifest", type=PATH)
@click.argument("out", type=PATH)
@click.option("--to", required=True, type=click.Choice(TARGETS), help="Format of the export.")
@click.option(
    "--audio",
    type=click.Choice(["copy", "link", "reference"]),
    help="Copy the audio files, link to them, or only reference them.  [default: reference for kaldi, lhotse and csv; "
    "else link]",
)
@click.option("--split", "splits", metavar="NAME", multiple=True, help="Split to export; repeatable.  [default: all]")
@click.option("--tables-only", is_flag=True, help="Export only the tables; do not look for audio.")
@jobs_option
@format_option("text", "json", "csv")
@quiet_option
def export(
    manifest: Path,
    out: Path,
    to: str,
    audio: str | None,
    splits: tuple[str, ...],
    tables_only: bool,
    jobs: int | None,
    format_: str,
    quiet: bool,
) -> None:
    """Export MANIFEST to the new folder OUT, in the format of another tool.

    Existing files are never overwritten. An interrupted run is resumed. Links are relative. docs/how-to/export.md lists
    what each format keeps and loses.

    \b
    Example: voxtrait corpus export all.parquet kaldi --to kaldi --split train --split test
    """
    from voxtrait import corpora
    from voxtrait import manifest as manifests

    if to == "audformat":
        require("the format audformat", "audformat", "audformat")
    table = manifests.with_absolute_paths(manifests.read(manifest), manifest.parent)
    where = with_limit(jobs)
    text = label("export", quiet)
    result = corpora.export(
        table, out, to=to, audio=audio, splits=splits, tables_only=tables_only, jobs=where, label=text
    )
    _print(result, format_, quiet)


def _print(result: "Export", format_: str, quiet: bool) -> None:
    """Print the counts and the failures of an export, and end with exit status 1 if there are failures."""
    failures = result.failures.iter_rows(named=True)
    if format_ == "json":
        print_json(result.to_dict())
    elif format_ == "csv":
        print_csv(failures, COLUMNS)
    else:
        counts = {"clips": result.clips, "written": result.written, "failed": result.failed, **result.left_out}
        print_table([{"what": name, "count": count} for name, count in counts.items()])
        print_table(list(itertools.islice(failures, SHOWN)), COLUMNS)
    for line in result.notes:
        note(line, quiet)
    if result.failed > SHOWN and format_ == "text":
        note(f"{result.failed:,} files failed. The first {SHOWN} are shown; --format csv shows all.", quiet)
    note(f"{counted(result.written, 'clip')} in {result.out}: {', '.join(result.tables) or 'folders'}", quiet)
    finish(bool(result.failed))
