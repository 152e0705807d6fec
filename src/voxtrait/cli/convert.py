"""Defines ``voxtrait convert``: converts audio files to 16-bit WAV."""

from typing import TYPE_CHECKING, Literal

import click

from voxtrait.cli.options import format_option, label, quiet_option, where_options

if TYPE_CHECKING:
    from voxtrait.batch import Where


@click.command(
    short_help="Convert mp3 or other audio files to 16-bit WAV.",
    epilog="Example: voxtrait convert cv-corpus-6.1/en/clips wav --jobs 8",
)
@click.argument("source", metavar="SRC", type=click.Path())
@click.argument("out_dir", metavar="OUT_DIR", type=click.Path())
@click.option("--rate", type=int, default=16_000, show_default=True, help="Sampling rate of the WAV files, in Hz.")
@click.option(
    "--channels",
    type=click.Choice(["1", "keep"]),
    default="1",
    show_default=True,
    help="Number of channels: 1 (the average of all), or keep.",
)
@click.option("--overwrite", is_flag=True, help="Convert every file again, and replace existing ones.")
@where_options
@format_option("text", "json", "csv")
@quiet_option
def convert(
    source: str,
    out_dir: str,
    rate: int,
    channels: Literal["1", "keep"],
    overwrite: bool,
    where: "Where",
    format_: str,
    quiet: bool,
) -> None:
    """Convert the clips of SRC to 16-bit PCM WAV files in OUT_DIR.

    SRC is a folder, a manifest, a list of files (.txt) or an audio file. Subfolders are kept. For one audio file,
    OUT_DIR may be the name of the WAV file: voxtrait convert clip.mp3 clip.wav. A second run converts only missing
    files. OUT_DIR/failures.csv lists failed clips with the reasons. SRC and OUT_DIR may be URLs.
    """
    from voxtrait.cli.derived import print_summary
    from voxtrait.derived.convert import convert as run

    summary = run(
        source,
        out_dir,
        rate=rate,
        channels=channels,
        jobs=where,
        label=label("convert", quiet),
        overwrite=overwrite,
    )
    print_summary(summary, format_, quiet, "file", "converted")
