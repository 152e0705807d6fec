"""Defines ``voxtrait evaluate``: measures a bundle on held-out speakers and writes its report."""

from pathlib import Path

import click

from voxtrait.cli.imported import manifest_of
from voxtrait.cli.options import (
    finish,
    format_option,
    jobs_option,
    label,
    note,
    out_option,
    print_json,
    print_table,
    quiet_option,
    with_limit,
)
from voxtrait.errors import counted


@click.command(
    short_help="Evaluate a bundle on held-out speakers; write a report and a model card.",
    epilog="Example: voxtrait evaluate run/bundle split.parquet --out report",
)
@click.argument("bundle")
@click.argument("manifest", type=click.Path(path_type=Path))
@out_option(required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the report.")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test", "all"]),
    help="Split to evaluate on.  [default: test if the manifest has splits, else all]",
)
@click.option("--allow-leak", is_flag=True, help="Also evaluate on training speakers, and mark the report as leaked.")
@click.option("--overwrite", is_flag=True, help="Replace the report of another bundle in --out.")
@format_option("text", "json")
@jobs_option
@quiet_option
def evaluate(
    bundle: str,
    manifest: Path,
    out: Path,
    split: str | None,
    allow_leak: bool,
    overwrite: bool,
    format_: str,
    jobs: int | None,
    quiet: bool,
) -> None:
    """Evaluate BUNDLE (a folder or a shipped name) on the labelled clips of MANIFEST.

    MANIFEST may also be a corpus or one of its tables, such as metadata.csv.

    Writes report.json, report.html, model-card.md and predictions.csv. The same command resumes an interrupted run. The
    command refuses clips of speakers from training or model selection.
    """
    from voxtrait.errors import NothingToDoError, require_corpus

    require_corpus("an evaluation")
    from voxtrait.evaluate import evaluate as measure
    from voxtrait.evaluate.page import summary

    with manifest_of(manifest, quiet) as given:
        if given.packed:
            raise NothingToDoError(f"{manifest} is packed, so its clips cannot be decoded. Unpack it first.")
        report = measure(
            bundle,
            given.manifest,
            out,
            split=split,
            allow_leak=allow_leak,
            overwrite=overwrite,
            jobs=with_limit(jobs),
            label=label("evaluate", quiet),
        )
    for banner in report["banners"]:
        note(f"warning: {banner}")
    if format_ == "json":
        print_json(report)
    else:
        print_table(summary(report))
    note(f"{counted(report['n_clips'], 'clip')}, leakage: {report['leakage']}; report: {out / 'report.html'}", quiet)
    finish(report["statuses"]["error"] > 0 or given.failed)
