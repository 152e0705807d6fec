"""Defines ``voxtrait images``: draws clips as spectrogram images."""

from typing import TYPE_CHECKING, Literal

import click

from voxtrait.cli.options import format_option, label, quiet_option, where_options

if TYPE_CHECKING:
    from voxtrait.batch import Where


def parse_size(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    """Parse a width and a height, such as ``432x288``."""
    width, _, height = value.lower().replace("×", "x").partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise click.BadParameter(f"Got {value!r}. Expected a width and a height, such as 432x288.", ctx, param)
    return int(width), int(height)


@click.command(
    short_help="Draw clips as mel-spectrogram images in class folders.",
    epilog="Example: voxtrait images split.parquet pictures --jobs 8",
)
@click.argument("source", metavar="SRC", type=click.Path())
@click.argument("out_dir", metavar="OUT_DIR", type=click.Path())
@click.option("--size", callback=parse_size, default="432x288", show_default=True, help="Width and height in pixels.")
@click.option(
    "--fit",
    type=click.Choice(["middle", "stretch"]),
    default="middle",
    show_default=True,
    help="middle: 10 ms per column; longer clips are cropped to their middle, shorter ones padded. stretch: the whole "
    "clip fills the width.",
)
@click.option(
    "--axes",
    is_flag=True,
    help="Draw for people: axes in seconds and hertz, a colour bar in dB, and the clip's name. Not for training.",
)
@click.option("--overwrite", is_flag=True, help="Draw every image again, and replace existing ones.")
@click.option(
    "--shards", is_flag=True, help="Write files of 500 images instead of class folders, for millions of clips."
)
@where_options
@format_option("text", "json", "csv")
@quiet_option
def images(
    source: str,
    out_dir: str,
    size: tuple[int, int],
    fit: Literal["middle", "stretch"],
    axes: bool,
    overwrite: bool,
    shards: bool,
    where: "Where",
    format_: str,
    quiet: bool,
) -> None:
    """Draw the clips of SRC as mel-spectrogram images (PNG) in OUT_DIR.

    By default, the images have no axes and no border, as training expects. --axes draws images for people.

    SRC is a manifest, a folder, a list of files (.txt) or an audio file. A manifest with splits gives class folders,
    such as train/gender/female and train/age/female_fifties, and manifest.csv with the speakers. A folder or a list
    keeps its subfolders. For one audio file, OUT_DIR may be the name of the image: voxtrait images clip.mp3 clip.png.

    A second run draws only missing images, and moves images whose split has changed. OUT_DIR/failures.csv lists failed
    clips with the reasons. SRC and OUT_DIR may be URLs.
    """
    from voxtrait.cli.derived import print_summary
    from voxtrait.derived import pictures

    text = label("images", quiet)
    if shards:
        from voxtrait.derived.shards import pack

        if axes:
            raise click.UsageError("Got --shards and --axes. Shards are for training; images with axes are not.")
        if overwrite:
            raise click.UsageError("Got --shards and --overwrite. Delete the folder instead.")
        if "://" in source or "://" in out_dir:
            raise click.UsageError("Got --shards and a URL. Expected paths: training reads shards from a disk.")
        packed = pack(source, out_dir, size=size, fit=fit, jobs=where, label=text)
        print_summary(packed, format_, quiet, "image", "packed")
        return
    summary = pictures.draw(source, out_dir, size=size, fit=fit, jobs=where, label=text, overwrite=overwrite, axes=axes)
    print_summary(summary, format_, quiet, "image", "drawn")
