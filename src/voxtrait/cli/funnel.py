"""``voxtrait corpus funnel``: where the clips of a manifest come from, and which were left out."""

from pathlib import Path

import click

from voxtrait.cli.options import format_option, note, print_rows, quiet_option

PATH = click.Path(path_type=Path)


@click.command(short_help="Tell where a manifest's clips come from, and why others were left out.")
@click.argument("manifest", type=PATH)
@click.option("--plot", type=PATH, help="Draw the funnel to this .png, .svg, .pdf or .jpg file.")
@format_option("text", "json", "csv")
@quiet_option
def funnel(manifest: Path, plot: Path | None, format_: str, quiet: bool) -> None:
    """Tell where the clips of a manifest come from, and why others were left out.

    A manifest in Parquet carries its funnel; CSV and TSV have no place for one. What a training leaves out stands in
    the report folder of its run, as funnel.csv and funnel.png.

    \b
    Example: voxtrait corpus funnel split.parquet --plot funnel.png
    """
    from voxtrait import manifest as manifests
    from voxtrait.errors import NothingToDoError
    from voxtrait.manifest import funnel as funnels

    manifests.read(manifest, ("clip_id",))
    steps = manifests.history(manifest)
    if not steps:
        raise NothingToDoError(f"{manifest} carries no funnel, expected a .parquet that 'voxtrait corpus import' wrote")
    if plot is not None:
        funnels.picture(steps, plot)
        note(f"picture in {plot}", quiet)
    print_rows(funnels.rows(steps), ("step", "what", "clips"), format_)
