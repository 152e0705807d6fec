"""Makes reference/cli.md: every command with its help."""

from collections.abc import Iterator

import click

from generators.fields import WIDTH, page
from voxtrait.cli import root

ABOUT = r"""
## Default model

The environment variable `VOXTRAIT_MODEL` sets the default of `--model`: the folder or name of a
bundle. `predict`, `timeline`, `listen`, `serve` and `corpus audit` use it.

```console
$ export VOXTRAIT_MODEL=runs/base/bundle
$ voxtrait clip.mp3
```

## Shell completion

The Tab key completes commands, options, their values and file names. Add one line to the start-up
file of your shell, and open a new terminal:

| shell | line | file |
|---|---|---|
| bash (4.4 or newer) | `eval "$(_VOXTRAIT_COMPLETE=bash_source voxtrait)"` | `~/.bashrc` |
| zsh | `eval "$(_VOXTRAIT_COMPLETE=zsh_source voxtrait)"` | `~/.zshrc` |
| fish | `_VOXTRAIT_COMPLETE=fish_source voxtrait \| source` | `~/.config/fish/completions/voxtrait.fish` |

## Encodings

Files that `--out` writes are UTF-8. If a terminal has another encoding, a character that it lacks
is replaced by a similar one (`-` for `–`) or by its escape (`\u8bed`), and JSON is ASCII with
escapes. CSV and other formats for programs are UTF-8 in a file or a pipe, unless `PYTHONIOENCODING`
is set. In a file name that is not UTF-8, each such byte is shown as an escape, such as `\xe9`. You
can give a name in that spelling.""".splitlines()


def lines() -> Iterator[str]:
    """Yield the lines of the page."""
    yield from page(
        "Command line",
        "Results go to standard output, everything else to standard error. The [exit status](exit-status.md) is 0 if "
        "all went well, 1 if some inputs failed, and 2 for wrong usage or nothing to do.",
    )
    yield from ABOUT
    for name, help_ in commands():
        yield from ("", f"## {name}", "", "```text", help_, "```")
    yield ""


def commands() -> Iterator[tuple[str, str]]:
    """Yield every command by its full name, with its help."""
    yield from _below(root, click.Context(root, info_name="voxtrait", terminal_width=WIDTH, **root.context_settings))


def _below(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    help_ = command.get_help(context)
    yield context.command_path, "\n".join(line.rstrip() for line in help_.splitlines())
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _below(inner, click.Context(inner, parent=context, info_name=name, terminal_width=WIDTH))
