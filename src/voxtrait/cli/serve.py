"""Defines ``voxtrait serve``: runs the web page and the REST API."""

import re
from typing import Any, Final

import click

from voxtrait.cli.options import format_option, model_option, note, quiet_option
from voxtrait.errors import OptionError

UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def read_bytes(context: click.Context, parameter: click.Parameter, value: str) -> int:
    """Parse a number of bytes, such as ``100MB``, ``1.5 GB`` or ``5000``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMG]?)B?", value.strip().upper())
    size = round(float(found[1]) * UNITS[found[2]]) if found else 0
    if size < 1:
        raise click.BadParameter(f"Got {value!r}. Expected a number of bytes, such as 100MB.")
    return size


@click.command(
    short_help="Serve the web page and the REST API on this machine.",
    epilog="\b\nExample: voxtrait serve --port 8000\nThen: curl -F file=@clip.mp3 http://127.0.0.1:8000/v1/predict",
)
@click.option(
    "--port", "-p", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 for any free port."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address of the server. Any other than loopback needs --token-file or --no-auth.",
)
@click.option("--allow-host", metavar="NAME", multiple=True, help="Additional host name of the server; repeatable.")
@click.option(
    "--token-file", metavar="FILE", help="File whose first line is the access token that every request must send."
)
@click.option("--no-auth", is_flag=True, help="Allow other machines to use the server without a token.")
@model_option
@click.option("--workers", type=click.IntRange(1, 256), help="Number of worker processes.  [default: one per core]")
@click.option(
    "--queue", type=click.IntRange(min=0), default=16, show_default=True, help="Maximum number of waiting uploads."
)
@click.option(
    "--max-upload",
    callback=read_bytes,
    metavar="SIZE",
    default="100MB",
    show_default=True,
    help="Maximum size of an upload.",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(1),
    default=3600,
    show_default=True,
    help="Maximum seconds of audio in an upload.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=60,
    show_default=True,
    help="Maximum seconds without progress, and of waiting for a worker. Each processed minute of audio counts as "
    "progress.",
)
@click.option(
    "--upload-timeout",
    type=click.FloatRange(1),
    default=120,
    show_default=True,
    help="Maximum seconds for receiving an upload.",
)
@click.option(
    "--live-sessions", type=click.IntRange(1, 64), default=4, show_default=True, help="Maximum number of live sessions."
)
@click.option("--log-clients", is_flag=True, help="Write client addresses to the log.")
@click.option("--open", "open_", is_flag=True, help="Open the page in a browser.")
@format_option("text", "json", help_="Format of the start-up line.")
@quiet_option
def serve(
    port: int,
    host: str,
    allow_host: tuple[str, ...],
    token_file: str | None,
    no_auth: bool,
    model: str | None,
    max_upload: int,
    timeout: float,
    upload_timeout: float,
    open_: bool,
    format_: str,
    quiet: bool,
    **limits: Any,
) -> None:
    """Serve the web page and the REST API until Ctrl-C. Uploads are never stored, and nothing leaves the machine.

    The server uses the loopback address unless --host sets another. Requests then need the token of --token-file,
    unless --no-auth is given. The log is written to standard error as lines of JSON; --quiet logs only warnings.
    """
    from voxtrait.web import Settings, create_app, is_loopback, read_token, require_extra
    from voxtrait.web import serve as run

    require_extra()
    local = is_loopback(host)
    if token_file and no_auth:
        raise OptionError("Got --token-file and --no-auth. Expected one of them.")
    if not (local or token_file or no_auth):
        raise OptionError(
            f"Other machines can reach the server at {host}. Expected --token-file FILE, or --no-auth to allow access "
            "without a token."
        )
    settings = Settings(
        max_upload_bytes=max_upload,
        timeout_s=timeout,
        upload_timeout_s=upload_timeout,
        local=local,
        hosts=frozenset(name.lower() for name in (*allow_host, host)),
        token=read_token(token_file) if token_file else None,
        **{name: value for name, value in limits.items() if value is not None},
    )
    app = create_app(model, settings)

    def ready(url: str) -> None:
        if format_ == "json":
            from voxtrait.cli.options import print_json

            print_json({"url": url, "workers": settings.workers})
        note(f"voxtrait is running at {url}  (Ctrl-C stops it)", quiet)
        if open_:
            click.launch(url)

    from voxtrait.web.request_log import log_to_stderr

    log_to_stderr(quiet)
    run(app, host, port, ready=ready)
