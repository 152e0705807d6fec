"""Makes reference/recipes.md: the keys of recipes, from the fields of their classes."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from generators.fields import MADE
from voxtrait.training import recipe

KINDS = {
    "encoder": ("EncoderRecipe", "Heads on a frozen speaker encoder, for gender and age together: `base` and `fast`."),
    "pictures": ("Recipe", "Spectrogram CNN (baseline), one task: `diary-gender`, `diary-age`. `kind` is optional."),
}


def lines() -> Iterator[str]:
    """Yield the lines of the page."""
    yield from ("# Recipes", "", MADE, "")
    yield "A recipe is a TOML file with the keys below. Unknown keys are errors. The package has these recipes:"
    yield ",\n".join(f"[`{name}`](../../src/voxtrait/training/recipes/{name}.toml)" for name in recipe.shipped()) + "."
    yield "`voxtrait train --set key=value` replaces one value. You can also write your own recipe:"
    yield from ("", "```text", "voxtrait train base --data split.parquet --out run")
    yield "voxtrait train diary-gender --data split.parquet --out run --set max_epochs=20"
    yield from ("voxtrait train my-recipe.toml --data split.parquet --out run", "```")
    for kind, (cls, words) in KINDS.items():
        yield from ("", f'## `kind = "{kind}"`', "", words, "")
        yield from ("| part | key | default | meaning |", "|---|---|---|---|")
        before = ""
        for part, key, default, meaning in settings(cls):
            shown = f"`{default}`" if default else "required"
            yield f"| {'' if part == before else part} | `{key}` | {shown} | {meaning} |"
            before = part
    yield ""


def settings(name: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield every key of a kind of recipe: its part, the key, its default as TOML, the comment after it."""
    source = Path(recipe.__file__).read_text(encoding="utf-8")
    text = source.splitlines()
    (cls,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name)
    fields = {node.lineno: node for node in cls.body if isinstance(node, ast.AnnAssign)}
    part = "recipe"
    for number in range(cls.lineno, max(fields) + 1):
        line = text[number - 1].strip()
        if line.startswith("# "):
            part = line[2:].partition(",")[0].partition(";")[0]
        if node := fields.get(number):
            comment = text[(node.end_lineno or number) - 1][node.end_col_offset or 0 :].partition("#")[2]
            default = "" if node.value is None else _toml(ast.literal_eval(node.value))
            yield part, ast.unparse(node.target), default, comment.lstrip(":").strip().replace("|", "\\|")


def _toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)
