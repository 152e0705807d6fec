"""``voxtrait predict``, which is also ``voxtrait FILE...``."""

import csv
import dataclasses
import difflib
import io
import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from voxtrait.cli.options import finish, format_option, label, note, quiet_option, where_options
from voxtrait.errors import NothingToDoError, StorageError

if TYPE_CHECKING:
    from voxtrait.batch import Where
    from voxtrait.recognize import Prediction, Recognizer

WORTH_PROCESSES: Final = 200  # files from which starting processes costs less than it saves
WORTH_PROGRESS: Final = 20  # files from which a progress line is worth its noise
SHOWN: Final = 3  # failures that are printed when the predictions go to a file
WIDEST: Final = 60  # the largest width of the column of file names, in characters

Item = str | BytesIO
Row = dict[str, Any]


class _Channel(click.ParamType[int | Literal["each"]]):
    """A channel's number, from 1, or ``each``."""

    name = "N|each"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Literal["each"]:
        """Return the number, or the word."""
        if value == "each":
            return "each"
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"Got channel {value!r}. Expected a number from 1, or each.", param, ctx)
        return int(value)


CHANNEL: Final = _Channel()


class PredictCommand(click.Command):
    """Treats a first argument that resembles a command, and is no file, as a misspelt command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Suggest the command that may have been meant, before its options are reported as unknown."""
        from voxtrait.cli import COMMANDS, Stop

        word = args[0] if args else ""
        if word and not set(word) & {".", "-", os.sep} and not Path(word).exists():
            for command in difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0.7):
                raise Stop(f"no file and no command is called '{word}': did you mean 'voxtrait {command}'?")
        return super().parse_args(ctx, args)


@click.command(
    cls=PredictCommand,
    short_help="Gender and age of files and folders (the default).",
    epilog="Example: voxtrait recordings/ --format csv > voices.csv",
)
@click.argument("inputs", nargs=-1, metavar="FILE...")
@click.option("--model", metavar="BUNDLE", help="A bundle's folder or name.  [default: the shipped one]")
@format_option("text", "json", "jsonl", "csv")
@click.option(
    "--files-from", metavar="LIST", help="Take files from this list too: a path or a URL a line; - for standard input."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    help="Write to this .parquet, .csv or .jsonl. Resumes a killed run; replaces a finished file.",
)
@click.option(
    "--channel",
    type=CHANNEL,
    metavar="N|each",
    help="Number of the channel to use, from 1, or 'each' for one prediction per channel. Cross-talk is not removed.  "
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
    channel: int | Literal["each"] | None,
    where: "Where",
    quiet: bool,
) -> None:
    """Tell the gender and the age that the voice in each FILE presents as; a folder stands for its audio, - for
    standard input. Files, folders and --out may be URLs: s3://bucket/clips, https://host/clip.mp3.

    A file that cannot be used has an answer of its own that says why, and the status is then 1.
    """
    from voxtrait.recognize import load

    items, many = find_inputs(inputs, quiet, files_from)
    recognizer = load(model)
    if where.engine == "local" and where.jobs is None and len(items) < WORTH_PROCESSES:
        where = dataclasses.replace(where, jobs=1, inline=where.inline and WORTH_PROCESSES)
    if out is not None:
        failed = predict_into(out, recognizer, items, where, quiet, channel)
    else:
        progress = label("predict", quiet or len(items) < WORTH_PROGRESS or sys.stdout.isatty())
        predictions = recognizer.predict_many(items, jobs=where, label=progress, channel=channel)
        many |= channel == "each"
        failed = print_answers((one.to_dict() for one in predictions), format_, many, _widest(items))
    finish(failed)


def find_inputs(inputs: Sequence[str], quiet: bool = False, files_from: str | None = None) -> tuple[list[Item], bool]:
    """Make a list of files from the arguments, and return with it whether the user expects a list as output.

    A folder becomes its audio files, ``-`` the bytes of standard input. Unusable inputs stay in the list, and get a
    row of their own. The files that ``files_from`` lists follow.

    Raises:
        NothingToDoError: if there is no argument, or no audio in any of them.
    """
    from voxtrait import storage
    from voxtrait.audio import audio_files

    items: list[Item] = []
    empty: dict[str, str] = {}
    for text in [*inputs, *(storage.names_in(files_from) if files_from else [])]:
        if text == "-":
            items.append(BytesIO(sys.stdin.buffer.read()))
        elif storage.is_url(text) or Path(text).is_dir():
            try:
                items += _behind_url(text) if storage.is_url(text) else map(str, audio_files(text))
            except (NothingToDoError, StorageError) as error:
                items.append(text)
                empty[text] = str(error)
        else:
            items.append(text)
    if len(items) == len(empty):
        reasons = "; ".join(empty.values())
        raise NothingToDoError(reasons or "no file given: name files or folders, or - for standard input")
    for message in empty.values():
        note(f"warning: {message}", quiet)
    many = (
        len(inputs) != 1
        or bool(files_from)
        or (items != [inputs[0]] if "://" in inputs[0] else Path(inputs[0]).is_dir())
    )
    return items, many


def _behind_url(url: str) -> Sequence[Item]:
    """Return the files of a URL. One with a file's suffix, or a web URL without a final slash, is one file itself."""
    from voxtrait import storage
    from voxtrait.audio import SUFFIXES
    from voxtrait.recognize.recognizer import PICTURE_SUFFIXES

    web = storage.protocol_of(url) in ("http", "https") and not url.endswith("/")
    return [url] if web or storage.suffix_of(url) in (*SUFFIXES, *PICTURE_SUFFIXES) else storage.files(url, SUFFIXES)


def predict_into(
    out: str | Path,
    recognizer: "Recognizer",
    items: Sequence[Item],
    where: "Where",
    quiet: bool,
    channel: int | Literal["each"] | None = None,
) -> bool:
    """Predict into a file; a killed run goes on where it was. Return whether a file failed."""
    import polars as pl

    from voxtrait import batch, storage
    from voxtrait.recognize import check_table_name, write_table
    from voxtrait.recognize.prediction import one_line

    check_table_name(out)
    name = storage.shown(str(out))
    parts = batch.parts_of(out)
    pace = Pace()
    with batch.claimed(parts):
        shards = recognizer.predict_shards(
            items, parts, jobs=where, label=label("predict", quiet), seen=pace.add, channel=channel
        )
        pace.end()
        with storage.local_copies(shards) as files:
            table = pl.scan_parquet(files)
            counts = dict(table.group_by("status").len().sort("status").collect().iter_rows())
            failures = table.filter(pl.col("status") == "error").select("path", "message").head(SHOWN).collect()
            write_table(files, out)
        storage.remove([str(shard) for shard in shards]) if storage.is_url(parts) else shutil.rmtree(parts)
    note(f"{name}: {', '.join(f'{count} {status}' for status, count in counts.items())}{pace}", quiet)
    for path, message in failures.iter_rows():
        note(f"failed: {one_line(message if path is None or path in message else f'{path}: {message}')}", quiet)
    if (more := counts.get("error", 0) - failures.height) > 0:
        note(f"and {more} more: the rows of status error in {name}", quiet)
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
            return "; all of them were there"
        seconds = max(self._elapsed_s, 1e-3)
        return (
            f"; {self.files} in this run, {self.files / seconds:.1f} files/s, "
            f"{self.audio_s / seconds:.0f} s of audio a second (× real time)"
        )


def print_answers(rows: Iterable[Row], format_: str, many: bool, width: int) -> bool:
    """Print predictions as they come. Return whether one of them is an error."""
    from voxtrait.recognize.prediction import text_line

    failed = False

    def checked_rows() -> Iterator[Row]:
        nonlocal failed
        for row in rows:
            failed |= row["status"] == "error"
            yield row | {"path": row["path"] or "-"}

    writers: dict[str, Callable[[Iterable[Row]], Iterator[str]]] = {
        "text": lambda all_: (text_line(row, width) for row in all_),
        "jsonl": lambda all_: (json.dumps(row, ensure_ascii=False) for row in all_),
        "csv": _csv_lines,
        "json": _json_list if many else _json_object,
    }
    for line in writers[format_](checked_rows()):
        click.echo(line)
    return failed


def _csv_lines(rows: Iterable[Row]) -> Iterator[str]:
    from voxtrait.recognize import CSV_FIELDS

    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_FIELDS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row)
        yield out.getvalue().removesuffix("\n")
        out.seek(0)
        out.truncate()


def _json_object(rows: Iterable[Row]) -> Iterator[str]:
    return (json.dumps(row, ensure_ascii=False, indent=2) for row in rows)


def _json_list(rows: Iterable[Row]) -> Iterator[str]:
    """Write a list piece by piece, so that a million predictions are not held in memory."""
    yield "["
    last = None
    for row in rows:
        if last is not None:
            yield last + ","
        last = textwrap.indent(json.dumps(row, ensure_ascii=False, indent=2), "  ")
    if last is not None:
        yield last
    yield "]"


def _widest(items: Sequence[Item]) -> int:
    if len(items) == 1:
        return 0
    return min(WIDEST, max(1 if isinstance(item, BytesIO) else len(item) for item in items))
