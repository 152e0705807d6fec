"""Defines ``voxtrait listen``: live estimates from a file, pipe or microphone."""

import contextlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click

from voxtrait import storage
from voxtrait.cli import console
from voxtrait.cli.options import finish, format_option, model_option, note, print_text, quiet_option
from voxtrait.errors import AudioError, AudioMissingError, OptionError

if TYPE_CHECKING:
    from voxtrait.audio.channels import Comparison
    from voxtrait.audio.signals import Signal
    from voxtrait.recognize import Estimate, Recognizer
    from voxtrait.timelines import Segment, Speaker

RAW_KINDS: Final = ("s16le", "s16be", "s24le", "s32le", "f32le", "f64le", "u8", "s8", "mulaw", "alaw")
NARROWEST: Final = 40  # a line is not shortened below this number of columns


@click.command(
    short_help="Estimate gender and age live, from a microphone, pipe or stream.",
    epilog="\b\nExample: voxtrait listen --microphone\nA stream: ffmpeg -i URL -f wav - | voxtrait listen -",
)
@click.argument("source", metavar="[FILE]", required=False, type=click.Path(readable=False))
@model_option
@format_option("text", "jsonl")
@click.option(
    "--every", metavar="SECONDS", type=float, default=1.0, show_default=True, help="Seconds of audio between updates."
)
@click.option(
    "--window",
    metavar="SECONDS",
    type=float,
    default=30.0,
    show_default=True,
    help="Length of the window for the estimate from the last seconds.",
)
@click.option("--raw", type=click.Choice(RAW_KINDS), help="Encoding of samples without a header.")
@click.option(
    "--rate", type=click.IntRange(min=1), default=None, help="Sampling rate of --raw, in Hz.  [default: 16000]"
)
@click.option("--channels", type=click.IntRange(min=1), default=None, help="Number of channels of --raw.  [default: 1]")
@click.option(
    "--microphone",
    metavar="[DEVICE]",
    is_flag=False,
    flag_value="",
    default=None,
    help="Record from a microphone instead of FILE. DEVICE is a number or part of a name that 'python -m sounddevice' "
    "lists.  [default: the system's microphone]",
)
@click.option(
    "--timeline",
    is_flag=True,
    help="Print the turns of several speakers, each part at most 10 s after it begins, and the whole timeline at the "
    "end.",
)
@quiet_option
def listen(
    source: str | None,
    model: str | None,
    format_: str,
    every: float,
    window: float,
    raw: str | None,
    rate: int | None,
    channels: int | None,
    microphone: str | None,
    timeline: bool,
    quiet: bool,
) -> None:
    """Estimate gender and age of a voice while it speaks: from all speech so far, and from the last seconds.

    FILE is an audio file, a named pipe, or - for standard input. It may be endless.

    At the end of the input, or at Ctrl-C, the command prints the final estimate. It equals the prediction of
    `voxtrait FILE` for the same audio. Damaged input also ends the command; the exit status is then 1.
    """
    if (source is None) == (microphone is None):
        got = "No input" if source is None else f"Got {source} and --microphone"
        raise OptionError(f"{got}. Expected FILE, - for standard input, or --microphone.")
    if raw is None and (rate or channels):
        raise OptionError("Got --rate or --channels without --raw. They describe samples without a header.")
    if raw is not None and microphone is not None:
        raise OptionError("Got --raw and --microphone. Expected --raw only for samples from a file or a pipe.")

    from voxtrait.audio.streams import Raw
    from voxtrait.errors import require
    from voxtrait.recognize import Listening, load

    if microphone is not None:
        require("a microphone", "microphone", "sounddevice")
    raw_format = Raw(raw, rate or 16_000, channels or 1) if raw else None
    source = None if source is None else storage.path_of(source)
    path = None if source in (None, "-") else source
    if timeline:
        context = click.get_current_context()
        for name in ("every", "window"):
            if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
                raise OptionError(f"Got --timeline and --{name}. Expected one of them: --{name} is for one voice.")
        finish(_follow(load(model), source, microphone, raw_format, path, format_, quiet))
        return
    screen = _Screen(format_)
    failure: AudioError | None = None
    with (
        contextlib.ExitStack() as stack,
        Listening(load(model), every_s=every, window_s=window, path=path) as listening,
    ):
        received = False
        try:
            for block, hz in _blocks(source, microphone, raw_format, stack, quiet):
                received = True
                for estimate in listening.feed(block, hz):
                    screen.show(estimate)
        except KeyboardInterrupt:
            screen.interrupt()
        except AudioError as error:
            failure = error
        screen.end(listening.close() if received or failure is None else listening.fail(str(failure)))
    if failure is not None and received:
        note(f"voxtrait: {failure}")
    finish(failure is not None)


def _follow(
    recognizer: "Recognizer",
    source: str | None,
    microphone: str | None,
    raw: Any,
    path: str | None,
    format_: str,
    quiet: bool,
) -> bool:
    """Print turns as they become final, and the whole timeline at the end. Return whether the input was damaged."""
    from voxtrait.audio.channels import Comparison
    from voxtrait.audio.offset import steady
    from voxtrait.timelines import LiveDiarizer, formats
    from voxtrait.timelines.diarizer import noted
    from voxtrait.timelines.recording import failed

    diarizer, compared = LiveDiarizer(recognizer), Comparison()
    failure: AudioError | None = None

    def show(turns: Iterable["Segment"]) -> None:
        speakers = {one.speaker: one for one in diarizer.speakers()} if turns else {}
        for turn in turns:
            one = speakers[str(turn.speaker)]
            click.echo(
                console.json_text(json.dumps(one.to_dict() | turn.to_dict(), ensure_ascii=False))
                if format_ == "jsonl"
                else turn_line(turn, one)
            )
        sys.stdout.flush()

    with contextlib.ExitStack() as stack:
        try:
            opened = _blocks(source, microphone, raw, stack, quiet, "whole timeline")
            for block in steady(_at_16_khz(opened, compared)):
                show(diarizer.feed(block))
        except KeyboardInterrupt:
            click.echo()
        except AudioError as error:
            failure = error
    show(diarizer.close())
    if failure is not None and not diarizer.duration_s:
        print_text(formats.render([failed(recognizer, path, str(failure))], format_), format_)
        return True
    whole = noted(diarizer.timeline(path), compared)
    print_text(("" if format_ == "jsonl" else "\n") + formats.render([whole], format_), format_)
    if failure is not None:
        note(f"voxtrait: {failure}")
    return failure is not None


def turn_line(turn: "Segment", speaker: "Speaker") -> str:
    """Format a turn, with the estimates for its speaker from all of their speech so far, as one line.

    Examples:
        >>> from voxtrait.timelines import Segment, Speaker
        >>> turn_line(Segment(62.3, 65.1, "S1"), Speaker("S1", 9.0, "female", 0.98, 34.2, 24.0, 47.0))
        '1:02.3–1:05.1  S1  female 0.98  34 years (24–47)'
    """
    from voxtrait.timelines.drawing import about, tenths

    return "  ".join([f"{tenths(turn.start_s)}–{tenths(turn.end_s)}", about(speaker)[0], *about(speaker)[2:]])


def _at_16_khz(blocks: Iterable[tuple["Signal", int]], compared: "Comparison") -> Iterator["Signal"]:
    """Compare the channels, average them, and resample, in pieces of half a second."""
    import numpy as np
    import soxr

    from voxtrait.audio.mixing import Mixer
    from voxtrait.audio.signals import SAMPLING_RATE, check_signal

    mixer = Mixer()
    resampler: Any = None
    for block, rate in blocks:
        if not block.shape[-1]:
            continue
        checked = check_signal(block)
        compared.feed(checked, rate)
        mono = mixer.mix(checked)
        size = max(1, rate // 2)
        for at in range(0, len(mono), size):
            piece = np.ascontiguousarray(mono[at : at + size])
            if rate != SAMPLING_RATE:
                resampler = resampler or soxr.ResampleStream(rate, SAMPLING_RATE, 1, "float32")
                piece = np.asarray(resampler.resample_chunk(piece), np.float32)
            yield piece
    if resampler is not None:
        yield np.asarray(resampler.resample_chunk(np.zeros(0, np.float32), last=True), np.float32)


def _blocks(
    source: str | None,
    microphone: str | None,
    raw: Any,
    stack: contextlib.ExitStack,
    quiet: bool,
    ending: str = "final estimate",
) -> Iterator[tuple["Signal", int]]:
    """Open the source. A regular file is read as other commands read it; anything else is read as a pipe."""
    from voxtrait import audio
    from voxtrait.audio import streams

    if source is None:
        note(f"Recording from the microphone. Press Ctrl-C to stop and print the {ending}.", quiet)
        return streams.microphone(microphone or None)
    if source == "-":
        if sys.stdin.isatty():
            raise OptionError("Standard input is a keyboard. Pipe audio into it, or name a file.")
        file: IO[bytes] = sys.stdin.buffer
        return streams.incoming(file, raw, name="standard input")
    place = Path(source)
    if raw is None and (place.is_file() or not place.exists() or place.is_dir()):
        return audio.blocks(source, None)
    try:
        file = stack.enter_context(place.open("rb", buffering=0))
    except FileNotFoundError:
        raise AudioMissingError(f"no such file: {source}") from None
    return streams.incoming(file, raw, name=source)


class _Screen:
    """Prints the updates: on a terminal as one line that is overwritten, elsewhere as one line each."""

    def __init__(self, format_: str) -> None:
        self._json = format_ == "jsonl"
        self._over = not self._json and sys.stdout.isatty()
        self._shown = 0  # columns of the line that the next one overwrites

    def show(self, estimate: "Estimate") -> None:
        """Print an estimate immediately."""
        if self._json:
            click.echo(_json_line(estimate))
        elif self._over:
            width = max(NARROWEST, shutil.get_terminal_size().columns - 1)
            line = live_line(estimate)
            line = line if len(line) <= width else line[: width - 1] + "…"
            click.echo("\r" + line.ljust(self._shown), nl=False)
            self._shown = len(line)
        else:
            click.echo(live_line(estimate))
        sys.stdout.flush()

    def interrupt(self) -> None:
        """Begin a new line after the ^C of the terminal."""
        if self._over:
            click.echo()
            self._shown = 0

    def end(self, final: "Estimate") -> None:
        """Print the final prediction."""
        if self._json:
            click.echo(_json_line(final))
            return
        line = str(final.so_far)
        click.echo(("\r" + line.ljust(self._shown)) if self._shown else line)


def live_line(estimate: "Estimate") -> str:
    """Format an estimate as one line.

    Examples:
        >>> from voxtrait.recognize import Estimate, Prediction
        >>> sure = Prediction(None, "ok", None, 83.0, 30.5, "male", 0.03, 51.2, 40.0, 62.0, "fifties", None, "base")
        >>> quiet = Prediction(None, "no_speech", "no speech was found", 30.0, 0.0, *[None] * 7, "base")
        >>> live_line(Estimate(83.0, sure, quiet, 30.0))
        '0:01:23  male (p 0.97)  51 years (40–62), fifties  30.5 s speech  |  last 30 s: no speech'
    """
    seconds = int(estimate.at_s)
    clock = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{clock}  {_brief(estimate.so_far)}  |  last {estimate.window_s:g} s: {_brief(estimate.recent)}"


def _brief(prediction: Any) -> str:
    from voxtrait.recognize.prediction import text_line

    row = prediction.to_dict()
    if row["status"] == "ok":
        return text_line(row | {"path": ""}).strip()
    return "no speech" if row["status"] == "no_speech" else "too little speech"


def _json_line(estimate: "Estimate") -> str:
    row = estimate.to_dict()
    return console.json_text(json.dumps(row | {"path": row["path"] or "-"}, ensure_ascii=False))
