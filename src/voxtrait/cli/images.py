"""``voxtrait images``: clips to spectrogram pictures."""

from typing import TYPE_CHECKING, Literal

import click

from voxtrait.cli.options import format_option, label, quiet_option, where_options

if TYPE_CHECKING:
    from voxtrait.batch import Where


def parse_size(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    """Read a width and a height, written ``432x288``."""
    width, _, height = value.lower().replace("×", "x").partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise click.BadParameter(f"got {value!r}, expected a width and a height such as 432x288", ctx, param)
    return int(width), int(height)


@click.command(
    short_help="Clips → mel-spectrogram pictures in class folders.",
    epilog="Example: voxtrait images all.parquet pictures --jobs 8",
)
@click.argument("source", metavar="SRC", type=click.Path())
@click.argument("out_dir", metavar="OUT_DIR", type=click.Path())
@click.option("--size", callback=parse_size, default="432x288", show_default=True, help="Width and height in pixels.")
@click.option(
    "--fit",
    type=click.Choice(["middle", "stretch"]),
    default="middle",
    show_default=True,
    help="middle: 10 ms a column, longer clips are cut and shorter ones padded; stretch: the whole clip.",
)
@click.option("--overwrite", is_flag=True, help="Draw every picture again and replace existing ones.")
@click.option("--shards", is_flag=True, help="For very many clips: write files of 500 pictures, and no class folders.")
@where_options
@format_option("text", "json", "csv")
@quiet_option
def images(
    source: str,
    out_dir: str,
    size: tuple[int, int],
    fit: Literal["middle", "stretch"],
    overwrite: bool,
    shards: bool,
    where: "Where",
    format_: str,
    quiet: bool,
) -> None:
    """Draw the clips of SRC as mel spectrograms (PNG, no axes, no border) in OUT_DIR.

    From a manifest: class folders such as train/gender/female and train/age/female_fifties, and manifest.csv with the
    speakers. From a folder or a list of files (.txt): the same subfolders. For one audio file, OUT_DIR may be the name
    of the picture: voxtrait images clip.mp3 clip.png. A second run draws only missing pictures, and moves pictures
    whose split has changed. OUT_DIR/failures.csv lists the clips that failed, with the reasons. SRC and OUT_DIR may be
    URLs.
    """
    from voxtrait.cli.derived import print_summary
    from voxtrait.derived import pictures

    text = label("images", quiet)
    if shards:
        from voxtrait.derived.shards import pack

        if overwrite:
            raise click.UsageError("got --shards with --overwrite: delete the folder instead")
        if "://" in source or "://" in out_dir:
            raise click.UsageError("got --shards with a URL: expected paths, for shards are trained from on a disk")
        packed = pack(source, out_dir, size=size, fit=fit, jobs=where, label=text)
        print_summary(packed, format_, quiet, "picture", "packed")
        return
    summary = pictures.draw(source, out_dir, size=size, fit=fit, jobs=where, label=text, overwrite=overwrite)
    print_summary(summary, format_, quiet, "picture", "drawn")
