"""Generate reference pages from the code: reference/cli.md from the commands, reference/recipes.md from the fields.

``make docs`` runs this; a test fails where a document is older than the code.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from voxtrait.cli import root
from voxtrait.training import recipe

DOCS = Path(__file__).resolve().parent
WIDTH = 100  # characters of the help, whatever the terminal
KINDS = {
    "encoder": ("EncoderRecipe", "Heads on a frozen speaker encoder, for gender and age together: `base` and `fast`."),
    "pictures": ("Recipe", "A network on mel-spectrogram pictures, one task: the diary's. `kind` may be left out."),
}
MADE = "<!-- made by docs/generate.py: change the code, then run `make docs` -->"

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


def main() -> None:
    """Write the documents."""
    for name, text in documents().items():
        (DOCS / name).write_text(text, encoding="utf-8")


def documents() -> dict[str, str]:
    """The name and the text of every document made here."""
    return {"reference/cli.md": "\n".join(cli_lines()), "reference/recipes.md": "\n".join(recipe_lines())}


def cli_lines() -> Iterator[str]:
    """The lines of docs/reference/cli.md."""
    yield from ("# The command line", "", MADE, "")
    yield "Results go to standard output, everything else to standard error. Exit status: 0 all well; 1 some inputs"
    yield "failed, the rest was done; 2 wrong usage, or nothing to do."
    yield from ABOUT
    for name, help_ in commands():
        yield from ("", f"## {name}", "", "```text", help_, "```")
    yield ""


def commands() -> Iterator[tuple[str, str]]:
    """Every command by its full name, with its help."""
    yield from _below(root, click.Context(root, info_name="voxtrait", terminal_width=WIDTH, **root.context_settings))


def _below(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    help_ = command.get_help(context)
    yield context.command_path, "\n".join(line.rstrip() for line in help_.splitlines())
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _below(inner, click.Context(inner, parent=context, info_name=name, terminal_width=WIDTH))


def recipe_lines() -> Iterator[str]:
    """The lines of docs/reference/recipes.md."""
    yield from ("# Recipes", "", MADE, "")
    yield "A recipe is a TOML file with the keys below. An unknown key is an error. These recipes ship:"
    yield ",\n".join(f"[`{name}`](../../src/voxtrait/training/recipes/{name}.toml)" for name in recipe.shipped()) + "."
    yield "`voxtrait train --set key=value` replaces one value. A file of your own replaces all of them:"
    yield from ("", "```text", "voxtrait train base --data split.parquet --out run")
    yield "voxtrait train diary-gender --data split.parquet --out run --set max_epochs=20"
    yield from ("voxtrait train my-recipe.toml --data split.parquet --out run", "```")
    for kind, (cls, words) in KINDS.items():
        yield from ("", f'## `kind = "{kind}"`', "", words, "")
        yield from ("| part | key | default | what it is |", "|---|---|---|---|")
        before = ""
        for part, key, default, meaning in settings(cls):
            shown = f"`{default}`" if default else "must be given"
            yield f"| {'' if part == before else part} | `{key}` | {shown} | {meaning} |"
            before = part
    yield ""


def settings(name: str) -> Iterator[tuple[str, str, str, str]]:
    """Every key of a kind of recipe: the part it belongs to, the key, its default as TOML, the comment behind it."""
    source = Path(recipe.__file__).read_text(encoding="utf-8")
    lines = source.splitlines()
    (cls,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name)
    fields = {node.lineno: node for node in cls.body if isinstance(node, ast.AnnAssign)}
    part = "recipe"
    for number in range(cls.lineno, max(fields) + 1):
        line = lines[number - 1].strip()
        if line.startswith("# "):
            part = line[2:].partition(",")[0].partition(";")[0]
        if node := fields.get(number):
            comment = lines[(node.end_lineno or number) - 1][node.end_col_offset or 0 :].partition("#")[2]
            default = "" if node.value is None else _toml(ast.literal_eval(node.value))
            yield part, ast.unparse(node.target), default, comment.strip().replace("|", "\\|")


def _toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


if __name__ == "__main__":
    main()
