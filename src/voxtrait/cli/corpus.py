"""Defines ``voxtrait corpus``: importing corpora into a manifest, and checking, splitting and counting it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from voxtrait.cli.audit import audit
from voxtrait.cli.export import export
from voxtrait.cli.funnel import funnel
from voxtrait.cli.imported import manifest_of
from voxtrait.cli.leakage import leakage
from voxtrait.cli.options import (
    finish,
    format_option,
    jobs_option,
    label,
    note,
    print_json,
    print_rows,
    print_table,
    quiet_option,
    shown,
    where_options,
    with_limit,
)
from voxtrait.errors import counted

if TYPE_CHECKING:
    from voxtrait.batch import Where
    from voxtrait.corpora import Import

PATH = click.Path(path_type=Path)


@click.group(
    short_help="Import, check, split, count, audit and export corpora.",
    epilog="Start with: voxtrait corpus import cv-corpus-6.1-2020-12-11/ all.parquet",
)
def corpus() -> None:
    """Import corpora into a manifest; check, split, count, audit and export it."""


@corpus.command("import", short_help="Import corpora into a manifest.")
@click.argument("sources", metavar="SRC...", nargs=-1, type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--tables",
    help="Tables to read, separated by commas: validated, other, invalidated, train, dev, test.  [default: validated]",
)
@click.option("--tables-only", is_flag=True, help="Read only the tables; do not look for audio or measure durations.")
@click.option("--decisions", type=PATH, help="File of decisions to apply: saved by 'corpus audit' or written by hand.")
@click.option("--extract", type=PATH, help="Folder for audio that is stored inside a dataset's tables.")
@click.option("--plot", type=PATH, help="Draw the funnel to this .png, .svg, .pdf or .jpg file.")
@click.option("--overwrite", is_flag=True, help="Replace OUT even if its split is lost.")
@jobs_option
@format_option("text", "json")
@quiet_option
def import_(
    sources: tuple[Path, ...],
    out: Path,
    tables: str | None,
    tables_only: bool,
    decisions: Path | None,
    extract: Path | None,
    plot: Path | None,
    overwrite: bool,
    jobs: int | None,
    format_: str,
    quiet: bool,
) -> None:
    """Import corpora of any supported layout into one manifest OUT (.parquet, .csv or .tsv).

    SRC is a Common Voice locale, release, folder of releases or packed .tar.gz, another public corpus (LibriSpeech,
    VoxCeleb, TIMIT, VCTK, ...), a Kaldi, Lhotse, audformat or Hugging Face dataset, a folder with metadata.csv, a tree
    of class folders, or a table. The layout is detected automatically.

    Prints the funnel: how many rows were read, dropped and kept. Only unreadable rows and duplicate clips are dropped;
    the first source wins.

    \b
    Example: voxtrait corpus import cv-corpus-*/ my-recordings/ all.parquet
    """
    from functools import partial

    _return_memory("dirty_decay_ms:0")  # at once: a tenth more time, and a seventh less memory
    from voxtrait import batch, corpora, manifest
    from voxtrait.audio.writing import check_picture
    from voxtrait.errors import NothingToDoError
    from voxtrait.manifest import funnel as funnels

    if not sources:  # click would report SRC as the missing one
        raise click.MissingParameter(ctx=click.get_current_context(), param_hint="'OUT'", param_type="argument")
    manifest.check_name(out)
    replaced = manifest.check_replaceable(out, sources)
    if plot is not None:
        check_picture(plot)
    measure = partial(
        batch.run,
        corpora.duration_of,
        jobs=with_limit(jobs),
        on_crash=lambda path, why: None,
        label=label("durations", quiet),
    )
    chosen = None if tables is None else tables.split(",")
    result = corpora.import_corpora(
        sources,
        tables=chosen,
        tables_only=tables_only,
        decisions=decisions,
        extract=extract,
        measure=measure,
        label=label("reading", quiet),
    )
    for line in [*result.layouts(), *result.notes]:
        note(line, quiet)
    if not result.table.height:
        raise NothingToDoError(f"No rows to import from {', '.join(map(str, sources))}: {result.why_empty()}")
    if replaced is not None and not overwrite:
        manifest.check_split_kept(result.table, out)
    result.table = manifest.with_relative_paths(result.table, out.parent)  # the former paths are freed
    manifest.write(result.table, out, result.steps())
    if plot is not None:
        funnels.picture(result.steps(), plot)
        note(f"plot: {plot}", quiet)
    print_json(result.to_dict()) if format_ == "json" else _print_funnel(result, quiet)
    note(f"{counted(result.table.height, 'clip')} in {out}", quiet)
    if replaced is not None:
        note(f"{out} replaced an earlier manifest of {counted(replaced, 'clip')}", quiet)
    for failure in result.failures:
        note(f"voxtrait: {failure}")
    finish(bool(result.failures))


def _return_memory(soon: str) -> None:
    """Set when the allocator inside Polars returns freed memory to the system, before Polars is imported.

    By default it does so after half a second, which raises the peak for tables of millions of rows.
    """
    os.environ.setdefault("_RJEM_MALLOC_CONF", soon)  # settings of jemalloc


def _print_funnel(result: "Import", quiet: bool) -> None:
    print_table(result.rows())
    for reason, count in sorted({**result.total.dropped, **result.decided}.items()):
        click.echo(f"dropped {counted(count, 'row')}: {reason}")
        if cases := [case for one in result.sources for case in one.examples.get(reason, [])][:3]:
            note(f"  such as {', '.join(cases)}", quiet)
    for why in sorted({why for one in result.sources for why in one.reasons}):
        count = sum(one.reasons.get(why, 0) for one in result.sources)
        note(f"  {count} unreadable: {why}", quiet)


@corpus.command()
@click.argument("manifest", type=click.Path())
@click.option(
    "--images", type=click.Path(), help="Also compare this folder, made by 'voxtrait images', with the manifest."
)
@click.option(
    "--wav", type=click.Path(), help="Also compare this folder, made by 'voxtrait convert', with the manifest."
)
@click.option("--tables-only", is_flag=True, help="Check only the table; read no audio.")
@click.option("--quick", is_flag=True, help="Do not search for near-duplicate recordings: about twice as fast.")
@click.option("--cache", type=PATH, help="Folder for the results per file. A later run opens only new files.")
@where_options
@format_option("text", "json", "csv")
@quiet_option
def check(
    manifest: str,
    images: str | None,
    wav: str | None,
    tables_only: bool,
    quick: bool,
    cache: Path | None,
    where: "Where",
    format_: str,
    quiet: bool,
) -> None:
    """Check a manifest's files, labels and splits. Exit status 1 if a problem is fatal.

    MANIFEST may also be a corpus, one of its tables, such as metadata.csv, or a packed Common Voice release. For a
    packed release, only the tables are checked. The manifest, the paths in it and the folders may be URLs.

    \b
    Example: voxtrait corpus check all.parquet --images pictures
    """
    from voxtrait import integrity, storage

    with manifest_of(manifest, quiet) as given:
        if given.packed and not tables_only:
            note(f"{manifest} is packed: only its tables are checked", quiet)
        report = integrity.check(
            given.manifest,
            tables_only=tables_only or given.packed,
            quick=quick,
            images=images,
            wav=wav,
            jobs=where,
            label=label("check", quiet),
            cache=cache,
        )
    report.manifest = storage.text_of(storage.shown(manifest))
    rows = [row | {"examples": shown(row["examples"], brief=format_ == "text")} for row in report.rows()]
    value = report.to_dict() if format_ == "json" else rows
    print_rows(value, ("problem", "severity", "count", "examples"), format_)
    if format_ == "text" and not rows:
        note("no problem found", quiet)
    finish(report.fatal or given.failed)


@corpus.command(short_help="Split a manifest by speaker.")
@click.argument("manifest", metavar="MANIFEST", type=PATH)
@click.argument("out", type=PATH)
@click.option("--sizes", default="80/10/10", show_default=True, help="Shares of speakers in train/validation/test.")
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed of the split.")
@click.option(
    "--allow-leak", is_flag=True, help="Also split clips without speaker ids, one by one, and mark all later results."
)
@format_option("text", "json", "csv")
@quiet_option
def split(manifest: Path, out: Path, sizes: str, seed: int, allow_leak: bool, format_: str, quiet: bool) -> None:
    """Split a manifest into train, validation and test without shared speakers.

    The split is stratified by gender and age group: a class with at least 3 speakers is in all three. An existing split
    is replaced.

    \b
    Example: voxtrait corpus split all.parquet split.parquet --sizes 80/10/10 --seed 1
    """
    _return_memory("oversize_threshold:262144,dirty_decay_ms:100")  # large pieces at once
    from voxtrait import manifest as manifests
    from voxtrait.manifest import splitting

    manifests.check_name(out)
    manifests.check_replaceable(out)
    shares = splitting.parse_sizes(sizes)
    table = manifests.read(manifest, splitting.LOOKED_AT)
    if before := table["split"].count():
        note(f"replacing the existing split of {before} of {counted(table.height, 'clip')}", quiet)
    table = splitting.split(table, shares, seed=seed, allow_leak=allow_leak)
    rows, verdict = splitting.summary(table), splitting.leakage(table)["verdict"]
    made = table.select("split", *(name for name in table.columns if name == manifests.SPLIT_UNIT))
    del table  # two tables of millions of rows do not fit into the memory of a laptop
    manifests.write(
        manifests.moved(splitting.replaced(manifests.read(manifest), made), manifest.parent, out.parent),
        out,
        manifests.history(manifest),
    )
    print_rows(rows, tuple(rows[0]) if rows else ("class",), format_)
    note(f"leakage: {verdict}", quiet)


@corpus.command(short_help="Count clips, speakers and hours.")
@click.argument("manifest", type=PATH)
@click.option("--plot", type=PATH, help="Draw the counts to this .png, .svg, .pdf or .jpg file.")
@format_option("text", "json", "csv")
@quiet_option
def stats(manifest: Path, plot: Path | None, format_: str, quiet: bool) -> None:
    """Count clips, speakers and hours by split, gender, age group and locale.

    MANIFEST may also be a corpus, one of its tables, such as metadata.csv, or a packed Common Voice release.

    \b
    Example: voxtrait corpus stats all.parquet --plot all.png
    """
    from voxtrait import corpora
    from voxtrait import manifest as manifests
    from voxtrait.audio.writing import check_picture

    if plot is not None:
        check_picture(plot)
    with manifest_of(manifest, quiet) as given:
        table = manifests.read(given.manifest, corpora.COUNTED)
    if plot is not None:
        corpora.picture(table, plot)
        note(f"plot: {plot}", quiet)
    if unknown := table["duration_s"].null_count():
        note(f"duration unknown for {unknown} of {counted(table.height, 'clip')}; the hours exclude them", quiet)
    print_rows(corpora.stats(table), ("by", "value", "clips", "speakers", "hours"), format_)
    finish(given.failed)


for command in (export, audit, leakage, funnel):
    corpus.add_command(command)
