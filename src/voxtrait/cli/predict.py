"""Defines ``voxtrait predict`` (also ``voxtrait FILE...``): gender and age of files and folders."""

import dataclasses
import difflib
import os
import shutil
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from voxtrait.cli.answers import print_answers, totals, widest
from voxtrait.cli.inputs import Inputs, find_inputs
from voxtrait.cli.options import (
    finish,
    format_option,
    label,
    model_option,
    note,
    out_option,
    quiet_option,
    where_options,
)

if TYPE_CHECKING:
    from voxtrait.batch import Where
    from voxtrait.recognize import Prediction, Recognizer

WORTH_PROCESSES: Final = 200  # fewer files are processed faster in one process
WORTH_PROGRESS: Final = 20  # with fewer files there is no progress line
LONGEST_NAME: Final = 200  # bytes of an output's name that still fits where more is added to it
SHOWN: Final = 3  # failures printed when the predictions go to a file


class _Channel(click.ParamType[int | Literal["each"]]):
    """A channel's number, from 1, or ``each``."""

    name = "N|each"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Literal["each"]:
        """Return the number, or ``each``."""
        if value == "each":
            return "each"
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"Got channel {value!r}. Expected a number from 1, or each.", param, ctx)
        return int(value)


CHANNEL: Final = _Channel()


class PredictCommand(click.Command):
    """Reports an argument that is or resembles a command, and is not a file, as misplaced or misspelt."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Suggest the command that was probably meant, before its options are reported as unknown."""
        from voxtrait.cli import COMMANDS, Stop

        for word in args:
            if word in COMMANDS and not Path(word).exists():
                raise Stop(f"Got the command '{word}' after other arguments. Put it first: voxtrait {word} ...")
        word = args[0] if args else ""
        if word and not set(word) & {".", "-", os.sep} and not Path(word).exists():
            for command in difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0.7):
                raise Stop(f"No file and no command '{word}'. Did you mean 'voxtrait {command}'?")
        return super().parse_args(ctx, args)


@click.command(
    cls=PredictCommand,
    short_help="Estimate gender and age for files and folders (the default command).",
    epilog="Example: voxtrait recordings/ --format csv > voices.csv",
)
@click.argument("inputs", nargs=-1, metavar="FILE...", type=click.Path(readable=False))
@model_option
@format_option("text", "json", "jsonl", "csv")
@click.option(
    "--files-from",
    metavar="LIST",
    help="File that lists more paths or URLs, one per line; - for standard input. Lines that begin with # are "
    "comments.",
)
@out_option(
    type=click.Path(dir_okay=False),
    help="Write results to this .parquet, .csv or .jsonl file. An interrupted run is resumed. A finished file is "
    "replaced only if this run repeats all of its predictions.",
)
@click.option("--overwrite", is_flag=True, help="Replace the --out file, whatever it contains.")
@click.option(
    "--channel",
    type=CHANNEL,
    metavar="N|each",
    help="Channel to use, counted from 1, or 'each' for one prediction per channel. Cross-talk is not removed.  "
    "[default: the average of all]",
)
@where_options
@quiet_option
def predict(
    inputs: tuple[str, ...],
    model: str | None,
    format_: str,
    files_from: str | None,
    out: str | None,
    overwrite: bool,
    channel: int | Literal["each"] | None,
    where: "Where",
    quiet: bool,
) -> None:
    """Estimate how the voice in each FILE presents: gender and age.

    FILE is an audio file, a folder, a manifest (.parquet, .csv or .tsv with a column 'path'), a list of files (.txt),
    or - for standard input. Files, folders and --out may be URLs: s3://bucket/clips, https://host/clip.mp3.

    A file that cannot be used gets an error row with the reason, and the exit status is 1.
    """
    from voxtrait.errors import require_corpus
    from voxtrait.recognize import check_table_name, load

    if out is not None:
        check_table_name(out)
        require_corpus("--out")
    found = find_inputs(inputs, quiet, files_from)
    recognizer = load(model)
    if where.engine == "local" and where.jobs is None and len(found.items) < WORTH_PROCESSES:
        where = dataclasses.replace(where, jobs=1, inline=where.inline and WORTH_PROCESSES)
    if out is not None:
        if not overwrite:
            _check_finished(out, found, recognizer, channel)
        finish(predict_into(out, recognizer, found, where, quiet, channel) or found.unread)
        return
    progress = label("predict", quiet or len(found.items) < WORTH_PROGRESS or sys.stdout.isatty())
    predictions = recognizer.predict_many(found.items, jobs=where, label=progress, channel=channel)
    rows = (one.to_dict() for one in predictions)
    counts = print_answers(rows, format_, found.many or channel == "each", widest(found.items))
    if sum(counts.values()) > 1 or found.left_out:
        note(totals(counts, found.left_out, "channel" if channel == "each" else "file"), quiet)
    finish(counts["error"] > 0 or found.unread)


def _check_finished(out: str, found: Inputs, recognizer: "Recognizer", channel: int | Literal["each"] | None) -> None:
    """Refuse to replace a finished table if this run would not repeat all of its predictions."""
    from voxtrait import storage
    from voxtrait.recognize import check_replaceable

    names = ["-" if isinstance(item, BytesIO) else storage.shown(item) for item in found.items]
    check_replaceable(out, names, recognizer.bundle.title, channels=channel == "each")


def predict_into(
    out: str | Path,
    recognizer: "Recognizer",
    found: Inputs,
    where: "Where",
    quiet: bool,
    channel: int | Literal["each"] | None = None,
) -> bool:
    """Write predictions to a file; resume an interrupted run. Return whether a file failed."""
    import polars as pl

    from voxtrait import batch, storage
    from voxtrait.recognize import write_table
    from voxtrait.recognize.prediction import one_line

    name = storage.shown(str(out))
    parts = batch.parts_of(out)
    pace = Pace()
    with batch.claimed(parts):
        shards = recognizer.predict_shards(
            found.items, parts, jobs=where, label=label("predict", quiet), seen=pace.add, channel=channel
        )
        pace.end()
        with storage.local_copies(shards) as files:
            table = pl.scan_parquet(files)
            counts = dict(table.group_by("status").len().sort("status").collect().iter_rows())
            failures = table.filter(pl.col("status") == "error").select("path", "message").head(SHOWN).collect()
            write_table(files, out)
        storage.remove([str(shard) for shard in shards]) if storage.is_url(parts) else shutil.rmtree(parts)
    statuses = ", ".join(f"{count} {status}" for status, count in counts.items())
    note("; ".join([f"{name}: {statuses}{pace}", *found.left_out]), quiet)
    for path, message in failures.iter_rows():
        note(f"failed: {one_line(message if path is None or path in message else f'{path}: {message}')}", quiet)
    if (more := counts.get("error", 0) - failures.height) > 0:
        note(f"and {more} more: see the rows with status error in {name}", quiet)
    return "error" in counts


class Pace:
    """Measures the speed in files and in seconds of audio."""

    def __init__(self) -> None:
        self.files, self.audio_s = 0, 0.0
        self._start = time.perf_counter()
        self._elapsed_s = 0.0

    def add(self, one: "Prediction") -> None:
        """Count a file."""
        self.files += 1
        self.audio_s += one.duration_s or 0.0

    def end(self) -> None:
        """Stop the clock."""
        self._elapsed_s = time.perf_counter() - self._start

    def __str__(self) -> str:
        if not self.files:
            return "; all were finished before"
        seconds = max(self._elapsed_s, 1e-3)
        return (
            f"; {self.files} in this run, {self.files / seconds:.1f} files/s, {self.audio_s / seconds:.0f} × real time"
        )
