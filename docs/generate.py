"""Generate the reference pages from the code: ``python docs/generate.py``.

``make docs`` runs this; a test fails where a page is older than the code. ``docs/generators`` has one module a page.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))

from generators import (  # noqa: E402
    bundle,
    calibration,
    cli,
    environment,
    exit_status,
    licences,
    manifest,
    parts,
    picture,
    prediction,
    python_api,
    recipes,
    report,
    rest,
    timeline,
)
from generators.cli import commands  # noqa: E402
from generators.fields import class_fields, constant_keys  # noqa: E402
from generators.recipes import settings  # noqa: E402

__all__ = ["PAGES", "class_fields", "commands", "constant_keys", "documents", "main", "settings"]

PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "cli": cli.lines,
    "recipes": recipes.lines,
    "manifest": manifest.lines,
    "prediction": prediction.lines,
    "timeline": timeline.lines,
    "report": report.lines,
    "bundle": bundle.lines,
    "exit-status": exit_status.lines,
    "environment": environment.lines,
    "rest": rest.lines,
    "python-api": python_api.lines,
    "licences": licences.lines,
}
"""Name of each page in docs/reference, and the function that yields its lines."""


def main() -> None:
    """Write the pages."""
    for name, text in documents().items():
        (DOCS / name).write_text(text, encoding="utf-8")


def documents() -> dict[str, str]:
    """Return the name and the text of every page made here, also of those with parts made here."""
    made = {f"reference/{name}.md": "\n".join(lines()).rstrip("\n") + "\n" for name, lines in PAGES.items()}
    made |= {name: parts.filled(DOCS / name) for name in parts.PAGES}
    return made | {"images/how-it-works.svg": picture.svg(), "images/calibration.svg": calibration.svg()}


if __name__ == "__main__":
    main()
