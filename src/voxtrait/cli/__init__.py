"""The command line: one console script, one file a command group, everything heavy imported inside the commands.

Results go to standard output, messages to standard error. Exit status: 0 all well, 1 some inputs failed, 2 wrong usage
or nothing to do.
"""

import importlib
import os
import sys
from typing import Any, Final, cast

import click
from click.shell_completion import CompletionItem

from voxtrait.cli import console
from voxtrait.cli.options import MODEL_VARIABLE, from_variable
from voxtrait.errors import BundleError, VoxtraitError

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
}


class Stop(click.ClickException):
    """A user's mistake, as one line on standard error and exit status 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the message, without click's own prefix."""
        click.echo(f"voxtrait: {self.format_message()}", err=True)


class CommandGroup(click.Group):
    """Loads a command's module only when it is run, and takes ``voxtrait FILE`` for ``voxtrait predict FILE``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of the work, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return the command."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``predict`` before arguments that start with no command."""
        if args and args[0] not in (*COMMANDS, "--help", "-h", "--version"):
            if args[0].startswith("-") and "predict" in args:  # options before the command
                args = [*args[: (at := args.index("predict"))], *args[at + 1 :]]
            args = ["predict", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands, and also files, because of ``voxtrait FILE``."""
        return [*super().shell_complete(ctx, incomplete), CompletionItem(incomplete, type="file")]

    def invoke(self, ctx: click.Context) -> Any:
        """Turn what voxtrait raises on purpose, and a full disk or a forbidden folder, into one line."""
        try:
            return super().invoke(ctx)
        except BundleError as error:
            where = f" The bundle is that of the environment variable {MODEL_VARIABLE}." if from_variable(ctx) else ""
            raise Stop(f"{error}{'.' if where and not str(error).endswith('.') else ''}{where}") from None
        except VoxtraitError as error:
            raise Stop(str(error)) from None
        except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
            sys.stderr.close()
            ctx.exit(0)
        except OSError as error:
            raise Stop(f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")) from None


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="First: voxtrait clip.mp3        The whole pipeline on synthetic voices: voxtrait demo",
)
@click.version_option(package_name="voxtrait", prog_name="voxtrait")
def root() -> None:
    """Estimate the gender and age that a voice presents as.

    \b
    voxtrait clip.mp3                                   a file, a folder, or - for standard input
    voxtrait timeline talk.mp3                          who speaks when, with gender and age
    voxtrait corpus import cv-corpus-*/ all.parquet     import a corpus into a table
    voxtrait train base --data all.parquet --out run    train a model

    `voxtrait FILE...` is short for `voxtrait predict FILE...`.
    """


def _one_line(error: click.UsageError) -> str:
    """Return click's message about wrong usage as one line that names the next step."""
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
    return f"{message}{'' if message.endswith(('.', '?', ')')) else '.'} See {error.ctx.command_path} --help."


def main() -> None:
    """Run the console script."""
    from voxtrait.batch import silence_decoders

    silence_decoders()
    console.prepare()
    try:
        status = root.main(prog_name="voxtrait", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("voxtrait: stopped; what was done is kept, nothing is half-written", err=True)
        status = 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = error.exit_code
    except click.UsageError as error:
        click.echo(f"voxtrait: {_one_line(error)}", err=True)
        status = error.exit_code
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    sys.exit(status if isinstance(status, int) else 0)
