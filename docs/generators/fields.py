"""Reads the fields of a class or the keys of a dictionary from the source code, with the comments that explain them.

A comment above a field, or behind it, is its meaning. Comments may begin with ``#:``, as Sphinx reads them.
"""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

MADE = "<!-- made by docs/generate.py: change the code, then run `make docs` -->"
WIDTH = 100  # characters of a line of prose


class Field(NamedTuple):
    """One field with its explanation."""

    name: str
    kind: str  # annotation, as written
    default: str  # as TOML or JSON; empty if the field must be given
    meaning: str  # the comment


def class_fields(module: ModuleType, name: str) -> Iterator[Field]:
    """Yield the annotated fields of a class, in their order."""
    source = Path(inspect.getfile(module)).read_text(encoding="utf-8")
    (cls,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name)
    lines = source.splitlines()
    for node in cls.body:
        if isinstance(node, ast.AnnAssign):
            default = "" if node.value is None else _default(node.value)
            yield Field(ast.unparse(node.target), ast.unparse(node.annotation), default, meaning(lines, node))


def constant_keys(module: ModuleType, name: str, *inside: str) -> Iterator[Field]:
    """Yield the keys of a dictionary or the items of a tuple or set that a module has as a constant.

    ``kind`` is the value of a key, as written. With ``inside``, the constant is a dictionary, and the keys or items are
    those of its value for this key.
    """
    source = Path(inspect.getfile(module)).read_text(encoding="utf-8")
    lines = source.splitlines()
    (value,) = (
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name
    )
    for part in inside:
        assert isinstance(value, ast.Dict)
        names = [key and ast.literal_eval(key) for key in value.keys]
        value = value.values[names.index(part)]
    if isinstance(value, ast.Dict):
        for key, item in zip(value.keys, value.values, strict=True):
            assert key is not None
            yield Field(str(ast.literal_eval(key)), ast.unparse(item), "", meaning(lines, key, item))
    elif isinstance(value, ast.Tuple | ast.Set | ast.List):
        for item in value.elts:
            yield Field(str(ast.literal_eval(item)), "", "", meaning(lines, item))


def meaning(lines: Sequence[str], first: ast.AST, last: ast.AST | None = None) -> str:
    """Return the comment behind a node, or else the comment lines directly above it, as one line."""
    end = last or first
    behind = lines[end.end_lineno - 1][end.end_col_offset :].partition("#")[2]  # type: ignore[attr-defined]
    if behind.strip():
        return behind.removeprefix(":").strip()
    above: list[str] = []
    for line in reversed(lines[: first.lineno - 1]):  # type: ignore[attr-defined]
        if not line.strip().startswith("#"):
            break
        above.insert(0, line.strip().removeprefix("#").removeprefix(":").strip())
    return " ".join(above)


def _default(value: ast.expr) -> str:
    try:
        found: Any = ast.literal_eval(value)
    except ValueError:
        return ast.unparse(value)
    return json.dumps(list(found) if isinstance(found, tuple) else found)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a Markdown table; bars in cells are escaped."""
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def prose(text: str) -> Iterator[str]:
    """Yield a paragraph in lines of at most 100 characters."""
    yield from textwrap.wrap(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def bullet(text: str) -> Iterator[str]:
    """Yield an item of a list in lines of at most 100 characters."""
    yield from textwrap.wrap(text, WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def page(title: str, *paragraphs: str) -> Iterator[str]:
    """Yield the beginning of a generated page."""
    yield from (f"# {title}", "", MADE)
    for text in paragraphs:
        yield ""
        yield from prose(text)


def markdown(text: str) -> str:
    """Turn the literals of reStructuredText into those of Markdown, and names in roles into code."""
    text = re.sub(r":[a-z:]+:`~?([^`]+)`", lambda found: f"`{found[1].removeprefix('voxtrait.')}`", text)
    return text.replace("``", "`")


def split_null(text: str) -> tuple[str, str]:
    """Split a meaning into what the value is and when it is null: the sentence that begins with None or Null."""
    what, _, null = re.sub(r" Never null\.", "", text).partition(
        next(iter(re.findall(r"\s(?:None|Null)\s", text)), "\0")
    )
    return what, null.rstrip(".")


def json_type(annotation: str) -> str:
    """Return the JSON type of an annotation of Python: ``string``, ``number``, ``integer``, ``object`` or ``list``."""
    first = annotation.split("|")[0].split("[")[0].strip()
    return {"str": "string", "float": "number", "int": "integer", "tuple": "list", "Mapping": "object"}[first]


def row_of(field: Field) -> tuple[str, str, str, str]:
    """Return the cells of a field: name, JSON type, meaning, and when it is null."""
    what, null = split_null(field.meaning)
    return f"`{field.name}`", json_type(field.kind), markdown(what), markdown(null) or "never"
