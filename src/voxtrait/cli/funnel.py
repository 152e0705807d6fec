"""Defines ``voxtrait corpus funnel``: where the clips of a manifest come from, and why others were dropped."""

from pathlib import Path

import click

from voxtrait.cli.options import format_option, note, print_rows, quiet_option

PATH = click.Path(path_type=Path)


@click.command(short_help="Show where a manifest's clips come from, and why others were dropped.")
@click.argument("manifest", type=PATH)
@click.option("--plot", type=PATH, help="Draw the funnel to this .png, .svg, .pdf or .jpg file.")
@format_option("text", "json", "csv")
@quiet_option
def funnel(manifest: Path, plot: Path | None, format_: str, quiet: bool) -> None:
    """Show where the clips of a manifest come from, and why others were dropped.

    Only Parquet manifests store a funnel; CSV and TSV cannot. `voxtrait train` adds the clips that it skips, and writes
    the funnel to OUT/report/funnel.csv and funnel.png.

    \b
    Example: voxtrait corpus funnel split.parquet --plot funnel.png
    """
    from voxtrait import manifest as manifests
    from voxtrait.errors import NothingToDoError
    from voxtrait.manifest import funnel as funnels

    manifests.read(manifest, ("clip_id",))
    steps = manifests.history(manifest)
    if not steps:
        raise NothingToDoError(
            f"{manifest} has no funnel. Expected a .parquet file that 'voxtrait corpus import' wrote."
        )
    if plot is not None:
        funnels.picture(steps, plot)
        note(f"plot: {plot}", quiet)
    print_rows(funnels.rows(steps), ("step", "what", "clips"), format_)
