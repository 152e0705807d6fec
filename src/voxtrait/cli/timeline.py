"""Defines ``voxtrait timeline``: who speaks when in recordings, with gender and age of each speaker."""

import contextlib
import dataclasses
import functools
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from voxtrait.cli.inputs import Item, find_inputs
from voxtrait.cli.options import (
    finish,
    format_option,
    label,
    model_option,
    note,
    out_option,
    print_text,
    quiet_option,
    where_options,
)
from voxtrait.errors import OptionError, require_corpus

if TYPE_CHECKING:
    from voxtrait.batch import Where
    from voxtrait.recognize import Recognizer
    from voxtrait.timelines import Segment, Timeline

FORMATS: Final = ("text", "json", "jsonl", "csv", "textgrid", "rttm", "srt", "audacity", "lhotse")

TABLE: Final = ".parquet"  # suffix of an output file with one row per segment


@click.command(
    short_help="Find who speaks when in recordings, with gender and age of each speaker.",
    epilog="Example: voxtrait timeline talk.mp3 --format textgrid --out talk.TextGrid",
)
@click.argument("inputs", nargs=-1, metavar="RECORDING...", type=click.Path(readable=False))
@model_option
@format_option(*FORMATS)
@click.option("--speakers", type=click.IntRange(min=1), help="Number of speakers, if known.")
@click.option("--min-speakers", type=click.IntRange(min=1), help="Minimum number of speakers.")
@click.option("--max-speakers", type=click.IntRange(min=1), help="Maximum number of speakers.")
@click.option(
    "--turns",
    type=click.Path(),
    help="File of known turns (RTTM, TextGrid, ELAN, Audacity labels, SRT, VTT, JSON or CSV), or a folder with one "
    "such file per recording. Speakers keep their names; only gender and age are estimated.",
)
@click.option(
    "--channels",
    is_flag=True,
    help="Treat each channel as one speaker, as in telephone calls. Removes cross-talk.",
)
@click.option(
    "--channel",
    type=click.IntRange(min=1),
    help="Channel to use, counted from 1.  [default: the average of all]",
)
@out_option(
    type=click.Path(),
    help="Output file, or a folder for one file per recording. In a folder, finished recordings are skipped.",
)
@click.option("--overwrite", is_flag=True, help="Replace the --out file, whatever it contains.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False),
    help="Draw the timeline of one recording to this .png, .svg, .pdf or .jpg file.",
)
@functools.partial(where_options, limit="no limit")
@quiet_option
def timeline(
    inputs: tuple[str, ...],
    model: str | None,
    format_: str,
    speakers: int | None,
    min_speakers: int | None,
    max_speakers: int | None,
    turns: str | None,
    channels: bool,
    channel: int | None,
    out: str | None,
    overwrite: bool,
    plot: str | None,
    where: "Where",
    quiet: bool,
) -> None:
    """Find who speaks when in each RECORDING, and estimate gender and age of each speaker.

    RECORDING is an audio file of any length, a folder of audio files, or - for standard input.

    Detects speech, cuts turns where the speaker changes, and joins the turns of one speaker. Overlapping speech becomes
    two overlapping turns.

    The exit status is 1 if a recording could not be used.
    """
    from voxtrait import batch
    from voxtrait.audio.writing import check_picture
    from voxtrait.recognize import load
    from voxtrait.timelines import formats, read_turns
    from voxtrait.timelines import plot as plots
    from voxtrait.timelines.recording import check_channels, failed, limits_of
    from voxtrait.timelines.replacing import check_replaceable
    from voxtrait.timelines.turns import turns_of

    if plot is not None:
        plots.require_extra()
    limits_of(speakers, min_speakers, max_speakers)
    check_channels(channels, channel, bool(speakers or min_speakers or max_speakers or turns))
    items, many, left_out, unread = find_inputs(inputs, quiet)
    folder = out is not None and (Path(out).is_dir() or not Path(out).suffix)
    as_table = out is not None and Path(out).suffix.lower() == TABLE
    if as_table:
        require_corpus(f"--out {TABLE}")
    if as_table and format_ != "text":
        raise OptionError(f"Got --format {format_} and the output file {out}. Expected --out {TABLE} alone.")
    if out is not None and not folder:
        format_ = "text" if as_table else _format_of(out, format_)
        told = [_name(item) or "-" for item in items]
        if not overwrite and check_replaceable(out, TABLE[1:] if as_table else format_, told):
            note(f"{out} contains an earlier timeline, which is replaced", quiet)
        _check_place(out)
    if not folder and not as_table:
        formats.check(format_, many)
    known: Sequence[Segment] | Mapping[str, Sequence[Segment] | OptionError] | None = None
    if turns is not None:
        if speakers or min_speakers or max_speakers:
            raise OptionError("Got --turns and a number of speakers. Expected one of them, as turns name the speakers.")
        names = [_name(item) for item in items]
        known = (
            read_turns(turns, recording=names[0])
            if len(items) == 1
            else turns_of(turns, [name or "" for name in names])
        )
    if plot is not None:
        check_picture(plot)
        if len(items) > 1 or folder:
            got = "--out FOLDER" if folder else f"{len(items)} recordings"
            raise OptionError(f"Got --plot and {got}. Expected one recording, and no --out FOLDER.")
        _check_place(plot)
    if folder:
        _check_place(str(Path(str(out), "-")))
    targets = _targets(items, str(out), formats.ENDINGS[format_]) if folder else []
    there = 0  # recordings whose output file exists
    if folder:
        unfinished = [place for place, target in enumerate(targets) if not target.exists()]
        items = [items[place] for place in unfinished]
        there = len(targets) - len(unfinished)
        targets = [targets[place] for place in unfinished]
    recognizer = load(model)
    jobs = min(where.jobs or batch.default_jobs(), max(len(items), 1)) if where.engine == "local" else where.jobs
    threads = 1 if (jobs or 2) > 1 else where.jobs or batch.default_jobs()
    # for a single recording the progress line shows seconds, if this process reads it
    progress = len(items) == 1 and where.engine == "local" and jobs == 1 and not quiet and not channels
    job = _Job(recognizer, (speakers, min_speakers, max_speakers), known, channels, channel, threads, progress)
    # the default time limit suits clips; a recording may have any length
    timeout = None if where.inline else where.timeout
    where = dataclasses.replace(where, jobs=jobs, timeout=timeout, inline=where.inline and 1)
    found = batch.run(
        job,
        items,
        jobs=where,
        on_crash=lambda item, why: failed(recognizer, _name(item), why),
        label=label("timeline", quiet or len(items) < 2),
        unit="recording",
    )
    wrong = False

    def counted() -> Iterator["Timeline"]:
        nonlocal wrong
        for place, one in enumerate(found):
            wrong |= one.status == "error"
            stated = not as_table and format_ in ("text", "json", "jsonl")  # the output contains status and message
            if one.status == "error" and (folder or not stated):
                note(f"failed: {one.message}")
            elif one.message and not stated:
                note(f"{one.path or '-'}: {one.message}", quiet)
            if folder and one.status != "error":
                targets[place].parent.mkdir(parents=True, exist_ok=True)
                _write(targets[place], formats.render([one], format_))
            yield one
            if plot is not None:
                plots.plot(one, plot)
                note(f"plot: {plot}", quiet)

    if folder:
        statuses = [one.status for one in counted()]
        failures = statuses.count("error")
        skipped = f", {there} skipped (already in the folder)" if there else ""
        note(f"{out}: {len(statuses) - failures} written, {failures} failed{skipped}", quiet)
    elif out is not None and as_table:
        formats.write_table(list(counted()), out)
    elif out is not None:
        _write(Path(out), formats.render(list(counted()), format_, many))
    else:
        for text in _printed(counted(), format_, many):
            print_text(text, format_)
    for line in left_out:
        note(line, quiet)
    finish(wrong or unread)


@dataclasses.dataclass(frozen=True)
class _Job:
    """Computes the timeline of a recording, in any process."""

    recognizer: "Recognizer"
    speakers: tuple[int | None, int | None, int | None]
    turns: "Sequence[Segment] | Mapping[str, Sequence[Segment] | OptionError] | None"  # a mapping if there are several
    channels: bool
    channel: int | None
    threads: int
    progress: bool

    def __call__(self, item: Item) -> "Timeline":
        from voxtrait.timelines import timeline
        from voxtrait.timelines.recording import failed

        exact, least, most = self.speakers
        name = _name(item)
        turns = self.turns.get(name or "", []) if isinstance(self.turns, Mapping) else self.turns
        try:
            if isinstance(turns, OptionError):
                raise turns
            with sound_progress(item if self.progress else None) as progress:
                return timeline(
                    item,
                    model=self.recognizer,
                    speakers=exact,
                    min_speakers=least,
                    max_speakers=most,
                    turns=turns,
                    channels=self.channels,
                    channel=self.channel,
                    threads=self.threads,
                    progress=progress,
                )
        except OptionError as error:
            if not isinstance(self.turns, Mapping):
                raise
            return failed(self.recognizer, name, str(error))  # the other recordings may have turns


@contextlib.contextmanager
def sound_progress(item: Item | None) -> Iterator[Callable[[float], None] | None]:
    """Show how many seconds of a recording are processed, after a delay of three seconds; nothing for ``None``."""
    from voxtrait import audio, storage
    from voxtrait.batch.line import Line

    if item is None:
        yield None
        return
    total = None if isinstance(item, str) and storage.is_url(item) else audio.stated_s(item)
    with Line("timeline", total, "s of audio", delay_s=3.0) as line:

        def advance(seconds: float) -> None:
            line.advance(seconds if total is None else min(seconds, max(total - line.done, 0.0)))

        yield advance


def _printed(found: Iterable[Any], format_: str, many: bool) -> Iterator[str]:
    """Yield the text of each timeline as soon as it is ready, or of all timelines if the format needs all of them."""
    from voxtrait.timelines import formats

    if format_ in ("text", "jsonl"):
        for one in found:
            yield formats.render([one], format_, many)
    else:
        yield formats.render(list(found), format_, many)


def _format_of(out: str, format_: str) -> str:
    """Return the format of an output file: that of ``--format``, or else that of the file's suffix."""
    from voxtrait.timelines import formats

    if format_ != "text":
        return format_
    suffix = Path(out).suffix.lower()
    if suffix not in formats.SUFFIXES:
        raise OptionError(
            f"Got the output file {out}. Expected one ending in {', '.join(sorted([*formats.SUFFIXES, TABLE]))}, a "
            "folder, or --format."
        )
    return formats.SUFFIXES[suffix]


def _check_place(file: str) -> None:
    """Create the folder of an output file, and check that it is writable, before the work begins.

    Raises:
        OptionError: if files cannot be written there.
    """
    folder = Path(file).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OptionError(
            f"Cannot write to {file}: {error.strerror}. Expected a folder with write permission."
        ) from None


def _write(target: Path, text: str) -> None:
    from voxtrait.audio.writing import atomic_path

    with atomic_path(target) as part:
        part.write_text(text, "utf-8")


def _name(item: Item) -> str | None:
    from voxtrait import storage

    return None if isinstance(item, BytesIO) else storage.shown(os.fspath(item))


def _targets(items: Sequence[Item], folder: str, ending: str) -> list[Path]:
    """Return the output file of each recording: its path below the folder that all have in common, and the suffix.

    Raises:
        OptionError: if two recordings would have the same file.
    """
    names = [_name(item) or "standard-input" for item in items]
    parents = [os.path.dirname(os.path.abspath(name)) for name in names if "://" not in name]  # noqa: PTH100, PTH120
    common = os.path.commonpath(parents) if parents else ""
    below = [Path(name).name if "://" in name else os.path.relpath(name, common) for name in names]
    found = [Path(folder, f"{name}{ending}") for name in below]
    for place, target in enumerate(found):
        if target in found[:place]:
            first = names[found.index(target)]
            raise OptionError(
                f"{first} and {names[place]} would have the same output file, {target}. Process them separately, each "
                "with its own --out."
            )
    return found
