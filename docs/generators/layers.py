"""Draws the layers of the package from its imports."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import voxtrait

SOURCE: Final = Path(voxtrait.__file__).parent


def units() -> dict[str, list[Path]]:
    """Return the modules and packages directly below ``voxtrait``, each with its files."""
    found = {}
    for place in sorted(SOURCE.iterdir()):
        if place.is_dir() and (place / "__init__.py").is_file():
            found[place.name] = sorted(place.rglob("*.py"))
        elif place.suffix == ".py" and not place.stem.startswith("__"):
            found[place.stem] = [place]
    return found


@functools.cache
def needs() -> dict[str, set[str]]:
    """Return each unit with the units that it imports, also inside functions."""
    found = units()
    return {
        name: {there for file in files for there in _imports(file)} & set(found) - {name}
        for name, files in found.items()
    }


def rows() -> list[list[str]]:
    """Return the layers from the lowest to the highest: a unit is one layer above the highest that it imports."""
    imported = needs()
    levels: dict[str, int] = {}

    def level(name: str) -> int:
        if name not in levels:
            levels[name] = 1 + max((level(other) for other in imported[name]), default=-1)
        return levels[name]

    highest = max(map(level, imported))
    return [[name for name in imported if levels[name] == at] for at in range(highest + 1)]


def drawing() -> Iterator[str]:
    """Yield the drawing: one line a layer, the highest first."""
    yield "```text"
    layers = rows()
    for at in reversed(range(len(layers))):
        yield f"{at}  " + "  ".join(name.ljust(11) for name in layers[at]).rstrip()
    yield "```"


def table() -> Iterator[str]:
    """Yield the table of units: layer, contents, and the units right below, which import the others."""
    yield from ("| layer | module | contents | right below |", "|---|---|---|---|")
    layers, imported = rows(), needs()
    for at in reversed(range(len(layers))):
        for name in layers[at]:
            below = ", ".join(f"`{other}`" for other in sorted(_right_below(name, imported))) or "–"
            yield f"| {at} | `{name}` | {_summary(name)} | {below} |"


def _right_below(name: str, imported: dict[str, set[str]]) -> set[str]:
    """Return the units that a unit imports, without those that one of them imports, directly or not."""

    def all_below(one: str) -> set[str]:
        return imported[one].union(*map(all_below, imported[one]))

    return imported[name] - set().union(*map(all_below, imported[name]))


def _imports(file: Path) -> Iterator[str]:
    """Yield the units that a file imports."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "voxtrait":
            names = [f"voxtrait.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            root, _, rest = name.partition(".")
            if root == "voxtrait" and rest:
                yield rest.partition(".")[0]


def _summary(name: str) -> str:
    """Return the first line of a unit's docstring, without the full stop."""
    file = SOURCE / name / "__init__.py"
    text = ast.get_docstring(ast.parse((file if file.is_file() else SOURCE / f"{name}.py").read_text("utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split()).rstrip(".").replace("|", "\\|").replace("``", "`")
