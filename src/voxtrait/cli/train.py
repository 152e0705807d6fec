"""Defines ``voxtrait train``: trains a model from a recipe, and writes its bundle and report."""

from pathlib import Path

import click

from voxtrait.cli.options import (
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
    short_help="Train a model from a recipe; write its bundle and report.",
    epilog="Example: voxtrait train diary-gender --data split.parquet --out runs/gender",
)
@click.argument("recipe")
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Manifest with splits, folder of images, or folder of shards (voxtrait images --shards).",
)
@out_option(required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for this run.")
@click.option("--resume", is_flag=True, help="Resume the interrupted run in --out.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one value of the recipe; repeatable."
)
@jobs_option
@format_option("text", "json")
@quiet_option
def train(
    recipe: str,
    data: Path,
    out: Path,
    resume: bool,
    overrides: tuple[str, ...],
    jobs: int | None,
    format_: str,
    quiet: bool,
) -> None:
    """Train a model from RECIPE (base, fast, diary-gender, diary-age, or a TOML file); write its bundle and report.

    Writes OUT/bundle, OUT/report/report.html, OUT/report/funnel.png and .csv (which clips were used, and why others
    were skipped), OUT/curves.png and .csv, OUT/figures.json and OUT/checkpoints.

    \b
    To train in several processes, on one or more machines:
    torchrun --nproc-per-node 2 -m voxtrait train diary-gender --data DATA --out OUT
    """
    from voxtrait.batch import default_jobs
    from voxtrait.errors import NothingToDoError
    from voxtrait.training import leads, require_extra
    from voxtrait.training import train as run
    from voxtrait.training.recipe import load

    require_extra()
    settings = load(recipe, overrides)
    if not data.exists():
        raise NothingToDoError(f"No data at {data}. Expected a manifest, a folder of images or a folder of shards.")
    quiet = quiet or not leads()
    outcome = run(settings, data, out, resume=resume, jobs=jobs or default_jobs(), label=label(settings.name, quiet))
    if not leads():
        return
    if format_ == "json":
        print_json({"bundle": str(outcome.bundle), "report": str(outcome.report), "figures": outcome.figures})
        return
    print_table([{"split": split, **values} for split, values in outcome.figures.items()])
    note(f"bundle {outcome.bundle}    report {outcome.report / 'report.html'}    curve {out / 'curves.png'}", quiet)
