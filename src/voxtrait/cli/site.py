"""Defines ``voxtrait site``: writes the page as a static site that runs in the browser."""

from pathlib import Path

import click

from voxtrait.cli.options import format_option, model_option, note, print_json, print_table, quiet_option


@click.command(
    short_help="Write the page as a static site: the bundle runs in the browser.",
    epilog="\b\nExample: voxtrait site public --model voxtrait-fast\nThen: python -m http.server --directory public",
)
@click.argument("out", type=click.Path(path_type=Path))
@model_option
@click.option(
    "--runtime",
    type=click.Path(path_type=Path),
    help="Folder of the npm package onnxruntime-web.  [default: npm downloads it]",
)
@format_option("text", "json")
@quiet_option
def site(out: Path, model: str | None, runtime: Path | None, format_: str, quiet: bool) -> None:
    """Write the web page to the new folder OUT, as a static site for any web server.

    The bundle runs in the visitor's browser: no audio leaves the device, and after the first visit the page works
    without a network. Browsers allow the microphone only on this machine or over https.
    """
    from voxtrait import bundle
    from voxtrait.web import site as sites

    files = sites.write(bundle.load(model), out, runtime)
    sizes = {file.relative_to(out): file.stat().st_size / 1e6 for file in files}
    parts = sorted({path.parts[0] if len(path.parts) > 1 else "." for path in sizes})
    rows = [
        {"part": part, "MB": round(sum(mb for path, mb in sizes.items() if (path.parent.as_posix() or ".") == part), 2)}
        for part in parts
    ]
    if format_ == "json":
        print_json({"folder": str(out), "files": len(files), "parts": rows})
    else:
        print_table(rows)
    note(f"{len(files)} files in {out}. Any web server can serve this folder.", quiet)
