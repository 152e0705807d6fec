"""Options and printing functions that several commands share."""

import csv
import functools
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from voxtrait.cli import console
from voxtrait.errors import printable

if TYPE_CHECKING:
    from voxtrait.batch import Where

Command = TypeVar("Command", bound=Callable[..., Any])


def _chosen(context: click.Context, parameter: click.Parameter, value: str) -> str:
    console.for_programs(value)
    return value


def format_option(*formats: str, help_: str = "Format of the result.") -> Callable[[Command], Command]:
    """Return ``--format`` as an option. The default is the first format; the parameter is ``format_``."""
    return click.option(
        "--format",
        "-f",
        "format_",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        callback=_chosen,
        help=help_,
    )


MODEL_VARIABLE: Final = "VOXTRAIT_MODEL"  # Default of `--model`: folder or name of a bundle.


def from_variable(context: click.Context) -> bool:
    """Return whether the bundle of a command comes from the environment variable, and not from the command line."""
    return bool(context.meta.get(MODEL_VARIABLE))


def _model(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    source = context.get_parameter_source(str(parameter.name))
    context.meta[MODEL_VARIABLE] = source is ParameterSource.ENVIRONMENT
    return value


def _bundles(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of shipped bundles, and folders."""
    from voxtrait.bundle import shipped

    names = [folder.name for folder in shipped() if folder.name.startswith(incomplete)]
    return [*map(CompletionItem, names), CompletionItem(incomplete, type="dir")]


def model_option(command: Command) -> Command:
    """Add ``--model``, a bundle. The default is ``VOXTRAIT_MODEL``, or the shipped bundle."""
    return click.option(
        "--model",
        "-m",
        metavar="BUNDLE",
        envvar=MODEL_VARIABLE,
        callback=_model,
        shell_complete=_bundles,
        help=f"Folder or name of a bundle.  [default: {MODEL_VARIABLE}, or the shipped bundle]",
    )(command)


def out_option(**settings: Any) -> Callable[[Command], Command]:
    """Return ``--out`` as an option with the given click settings."""
    return click.option("--out", "-o", **settings)


quiet_option = click.option("--quiet", "-q", is_flag=True, help="Suppress progress and notes.")


def jobs_option(command: Command) -> Command:
    """Add ``--jobs``, the number of processes. The default is the number of usable cores."""
    help_ = "Number of worker processes.  [default: all cores]"
    return click.option("--jobs", "-j", type=click.IntRange(min=1), default=None, help=help_)(command)


def where_options(command: Command, limit: str = "600") -> Command:
    """Add ``--engine``, ``--address``, ``--jobs`` and ``--timeout``, as one parameter ``where`` (``batch.Where``).

    Args:
        command: function of the command.
        limit: default of ``--timeout`` as the help states it.
    """

    @functools.wraps(command)
    def gathered(
        *args: Any, engine: str, address: str | None, jobs: int | None, timeout: float | None, **options: Any
    ) -> Any:
        from voxtrait import batch

        batch.require_engine(engine)
        seconds = batch.PATIENCE_S if timeout is None else timeout or None
        where = batch.Where(engine, address, jobs, seconds, inline=batch.CHUNK if timeout is None else 0)
        return command(*args, where=where, **options)

    for option in (
        click.option(
            "--timeout",
            type=click.FloatRange(min=0),
            metavar="SECONDS",
            help=f"Maximum seconds per file; 0 for no limit.  [default: {limit}]",
        ),
        jobs_option,
        click.option("--address", help="Address of a running cluster.  [default: a new one on this machine]"),
        click.option(
            "--engine",
            type=click.Choice(["local", "ray", "dask"]),
            default="local",
            show_default=True,
            help="Where to run: local processes, Ray or Dask.",
        ),
    ):
        gathered = option(gathered)
    return cast(Command, gathered)


def with_limit(jobs: int | None) -> "Where":
    """Return where a command without ``--timeout`` runs: here, with the default limit per file.

    A file on a network disk whose server is gone would otherwise stall the command for ever.
    """
    from voxtrait import batch

    return batch.Where(jobs=jobs or batch.default_jobs(), timeout=batch.PATIENCE_S, inline=batch.CHUNK)


def label(text: str, quiet: bool) -> str | None:
    """Return the label of a progress line, or ``None`` if ``quiet`` is set."""
    return None if quiet else text


def note(message: str, quiet: bool = False) -> None:
    """Print a message to standard error, unless ``quiet`` is set."""
    if not quiet:
        click.echo(printable(message), err=True)


def print_json(value: Any) -> None:
    """Print one JSON value, indented."""
    click.echo(console.json_text(json.dumps(value, ensure_ascii=False, indent=2)))


def print_text(text: str, format_: str) -> None:
    """Print the text of a timeline, which ends with a line break already."""
    if format_ in ("json", "jsonl", "lhotse"):
        text = console.json_text(text)
    click.echo(printable(text) if format_ == "text" else text, nl=False)


def print_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows as CSV with a header; ``None`` is an empty field."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    click.echo(out.getvalue(), nl=False)


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None, digits: int = 3) -> None:
    """Print rows as aligned columns; numbers right-aligned, floats with ``digits`` decimals."""
    if not rows:
        return
    names = list(columns or rows[0])
    cells = [[printable(_cell(row.get(name), digits)) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[at]) for line in cells)) for at, name in enumerate(names)]
    right = [all(isinstance(row.get(name), int | float | None) for row in rows) for name in names]
    for line in [names, *cells]:
        parts = [text.rjust(w) if r else text.ljust(w) for text, w, r in zip(line, widths, right, strict=True)]
        click.echo("  ".join(parts).rstrip())


def print_rows(value: Any, columns: Sequence[str], format_: str) -> None:
    """Print a table in the requested format: ``json``, ``csv``, or ``text`` for people."""
    match format_:
        case "json":
            print_json(value)
        case "csv":
            print_csv(value, columns)
        case _:
            print_table(value, columns)


def shown(examples: str | Sequence[object], brief: bool) -> str:
    """Join examples into one field. ``brief``, for screens, keeps three and shortens those over 60 characters."""
    texts = [examples] if isinstance(examples, str) else [str(example) for example in examples]
    if brief:
        texts = [text if len(text) <= 60 else f"{text[:20]}…{text[-36:]}" for text in texts[:3]]
    return "; ".join(texts)


def _cell(value: Any, digits: int) -> str:
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def finish(failed: bool) -> None:
    """End a command, after all of its output, with exit status 1 if some inputs failed."""
    sys.stdout.flush()
    if failed:
        click.get_current_context().exit(1)
