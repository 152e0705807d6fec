"""Defines the console script ``voxtrait``: finds the command, imports its module, and reports errors as one line.

Results go to standard output, messages to standard error. Exit status: 0 if everything succeeded, 1 if some inputs
failed, 2 for wrong usage or if there is nothing to do.
"""

import contextlib
import faulthandler
import importlib
import os
import signal
import sys
from typing import Any, Final, cast

import click
from click.shell_completion import CompletionItem

from voxtrait.cli import console, streams
from voxtrait.cli.options import MODEL_VARIABLE, from_variable
from voxtrait.errors import BundleError, VoxtraitError, printable

COMMANDS: Final = {
    "predict": "voxtrait.cli.predict:predict",
    "timeline": "voxtrait.cli.timeline:timeline",
    "listen": "voxtrait.cli.listen:listen",
    "corpus": "voxtrait.cli.corpus:corpus",
    "convert": "voxtrait.cli.convert:convert",
    "images": "voxtrait.cli.images:images",
    "train": "voxtrait.cli.train:train",
    "evaluate": "voxtrait.cli.evaluate:evaluate",
    "serve": "voxtrait.cli.serve:serve",
    "demo": "voxtrait.cli.demo:demo",
    "models": "voxtrait.cli.models:models",
    "bundle": "voxtrait.cli.bundle:bundle",
    "site": "voxtrait.cli.site:site",
}


class Stop(click.ClickException):
    """Ends the program with one line on standard error and exit status 2: for mistakes of the user."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the message on its own line, without click's own prefix."""
        console.end_progress()
        click.echo(f"voxtrait: {printable(self.format_message())}", err=True)


class CommandGroup(click.Group):
    """Imports the module of a command when the command runs, and reads ``voxtrait FILE`` as ``predict FILE``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return the command."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert ``predict`` if the first argument is not a command."""
        if args and args[0] not in (*COMMANDS, "--help", "-h", "--version"):
            if args[0].startswith("-") and "predict" in args:  # options before the command
                args = [*args[: (at := args.index("predict"))], *args[at + 1 :]]
            args = ["predict", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands and file names, because ``voxtrait FILE`` is valid."""
        return [*super().shell_complete(ctx, incomplete), CompletionItem(incomplete, type="file")]

    def invoke(self, ctx: click.Context) -> Any:
        """Report errors of voxtrait and of the operating system, such as a full disk, as one line."""
        try:
            return super().invoke(ctx)
        except BundleError as error:
            where = f" The environment variable {MODEL_VARIABLE} names this bundle." if from_variable(ctx) else ""
            raise Stop(f"{error}{'.' if where and not str(error).endswith('.') else ''}{where}") from None
        except VoxtraitError as error:
            raise Stop(str(error)) from None
        except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
            streams.discard(sys.stdout)
            ctx.exit(0)
        except OSError as error:
            if error.filename == streams.RESULTS:
                streams.discard(sys.stdout)
            raise Stop(f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")) from None


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="\b\nStart with: voxtrait clip.mp3\nWhole pipeline on synthetic voices: voxtrait demo",
)
@click.version_option(package_name="voxtrait", prog_name="voxtrait")
def root() -> None:
    """Estimate how a voice presents: gender and age, each with its uncertainty.

    \b
    voxtrait clip.mp3                                     a file, a folder, or - for standard input
    voxtrait timeline talk.mp3                            who speaks when, with gender and age
    voxtrait corpus import cv-corpus-*/ all.parquet       import a corpus into a table
    voxtrait corpus split all.parquet split.parquet       split it by speaker
    voxtrait train base --data split.parquet --out run    train a model

    `voxtrait FILE...` is short for `voxtrait predict FILE...`.
    """


def _one_line(error: click.UsageError) -> str:
    """Return click's message about wrong usage as one line, with the next step."""
    message = " ".join(error.format_message().split())
    if error.ctx is None:
        return message
    if isinstance(error, click.MissingParameter):
        return f"{message} {' '.join(error.ctx.get_usage().split())}"
    if isinstance(error, click.NoSuchOption):
        word = error.option_name.lstrip("-")
        for name in sys.argv[1:]:
            if name.startswith("-") and os.path.lexists(name):
                return f"No such option '{error.option_name}'. For the file {name}, write ./{name}."
        for parameter in error.ctx.command.params:
            if parameter.name == "format_" and word in cast(click.Choice[str], parameter.type).choices:
                return f"No such option '{error.option_name}'. Use --format {word}."
    return f"{message}{'' if message.endswith(('.', '?', '?)')) else '.'} See {error.ctx.command_path} --help."


def _how_to_resume(arguments: list[str]) -> str:
    """Return the sentence that states how to resume an interrupted command, or an empty text."""
    command = next((word for word in arguments if word in COMMANDS), "predict")
    if command == "train":
        return " To resume, repeat the command with --resume."
    written = any(word == "-o" or word.partition("=")[0] == "--out" for word in arguments)
    if command in ("convert", "images", "evaluate") or (command == "predict" and written):
        return " To resume, repeat the command."
    return ""


def _signal_of(error: BaseException) -> signal.Signals:
    """Return the signal that stopped a command; ``voxtrait.__main__`` passes its number with the exception."""
    cause = error.__cause__ or error
    known = isinstance(cause, KeyboardInterrupt) and cause.args
    return signal.Signals(cause.args[0]) if known else signal.SIGINT


def main() -> None:
    """Run the console script."""
    streams.prepare()
    try:
        status = _status()
    except (click.exceptions.Abort, KeyboardInterrupt) as error:
        kind = _signal_of(error)
        reason = "interrupted" if kind is signal.SIGINT else f"stopped by {kind.name}"
        click.echo(f"voxtrait: {reason}. No file is incomplete.{_how_to_resume(sys.argv[1:])}", err=True)
        status = 128 + kind
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        streams.discard(sys.stdout)
    except OSError as error:
        streams.discard(sys.stdout)
        click.echo(f"voxtrait: {error.strerror}: {error.filename}", err=True)
        status = status or 2
    sys.exit(status)


def _status() -> int:
    """Run the command, print the error of wrong usage, and return the exit status."""
    from voxtrait.batch import silence_decoders

    silence_decoders()
    streams.replace()
    with contextlib.suppress(OSError, ValueError):  # standard error may be closed, or not a file
        # a few files are decoded in this process: a decoder that crashes would end it without a word
        faulthandler.enable(sys.stderr, all_threads=False)
    console.prepare()
    try:
        status = root.main(prog_name="voxtrait", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        click.echo(f"voxtrait: {printable(_one_line(error))}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return status if isinstance(status, int) else 0
