"""Defines ``voxtrait bundle``: exports a bundle for programs in other languages."""

from pathlib import Path
from typing import Literal

import click

from voxtrait.cli.options import format_option, note, print_json, print_table, quiet_option


@click.group(
    short_help="Export bundles for other languages.",
    epilog="Start with: voxtrait bundle export voxtrait-base --to onnx OUT",
)
def bundle() -> None:
    """Export bundles for programs in other languages."""


@bundle.command(short_help="Export a bundle as ONNX graphs that take samples, or as a JavaScript package.")
@click.argument("which", metavar="BUNDLE")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--to", required=True, type=click.Choice(["onnx", "web"]), help="Format of the export.")
@format_option("text", "json")
@quiet_option
def export(which: str, out: Path, to: Literal["onnx", "web"], format_: str, quiet: bool) -> None:
    """Export BUNDLE, a folder or a name such as voxtrait-base, to the new folder OUT.

    With --to onnx, OUT has graphs from samples to the prediction, the front end inside, for C++, C#, Rust, Java,
    JavaScript and every other language of ONNX Runtime. Its README.md explains each input and output. With --to web,
    OUT is the JavaScript package voxtrait-web, for browsers and Node, with the graphs in OUT/model.

    \b
    Example: voxtrait bundle export voxtrait-base --to onnx base-onnx
    """
    from voxtrait.recognize import portable

    files = portable.export(which, out, to)
    rows = [{"file": file.relative_to(out).as_posix(), "MB": round(file.stat().st_size / 1e6, 2)} for file in files]
    if format_ == "json":
        print_json({"folder": str(out), "files": rows})
    else:
        print_table(rows)
    note(f"{len(files)} files in {out}. Start with {out / 'README.md'}.", quiet)
