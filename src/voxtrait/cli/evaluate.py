"""``voxtrait evaluate``."""

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
)


@click.command(
    short_help="Measure a bundle on held-out speakers: report and card.",
    epilog="Example: voxtrait evaluate run/bundle all.parquet --out report",
)
@click.argument("bundle")
@click.argument("manifest", type=click.Path(path_type=Path))
@out_option(required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the report.")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test", "all"]),
    help="Clips of this split.  [default: test if the manifest has splits, else all]",
)
@click.option("--allow-leak", is_flag=True, help="Also measure on training speakers, and mark the report as leaked.")
@format_option("text", "json")
@jobs_option
@quiet_option
def evaluate(
    bundle: str,
    manifest: Path,
    out: Path,
    split: str | None,
    allow_leak: bool,
    format_: str,
    jobs: int | None,
    quiet: bool,
) -> None:
    """Measure BUNDLE (a folder, or the name of a shipped one) on the labelled clips of MANIFEST.

    MANIFEST may also be a corpus, or a table of one, such as metadata.csv.

    Writes report.json, report.html, model-card.md and predictions.csv. The same command resumes an interrupted run.
    Clips of speakers of training or model selection are refused.
    """
    from voxtrait.batch import default_jobs
    from voxtrait.errors import NothingToDoError
    from voxtrait.evaluate import evaluate as measure
    from voxtrait.evaluate.page import summary

    with manifest_of(manifest, quiet) as given:
        if given.packed:
            raise NothingToDoError(f"{manifest} is packed, expected clips that can be decoded: unpack it first")
        report = measure(
            bundle,
            given.manifest,
            out,
            split=split,
            allow_leak=allow_leak,
            jobs=jobs or default_jobs(),
            label=label("evaluate", quiet),
        )
    for banner in report["banners"]:
        note(f"warning: {banner}")
    if format_ == "json":
        print_json(report)
    else:
        print_table(summary(report))
    note(f"{report['n_clips']} clips, leakage: {report['leakage']}; read {out / 'report.html'}", quiet)
    finish(report["statuses"]["error"] > 0 or given.failed)
