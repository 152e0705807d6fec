"""Makes reference/environment.md: the environment variables that the code reads or sets, with the comments there."""

import re
from collections.abc import Iterator
from pathlib import Path

import voxtrait
from generators.fields import page, prose, table

ROOT = Path(__file__).resolve().parents[2]
READ = (str(Path(voxtrait.__file__).parent),)
DEVELOPMENT = ("tests/conftest.py", "benchmarks/clips.py")
TORCHRUN = ("LOCAL_RANK", "LOCAL_WORLD_SIZE", "RANK", "TORCHELASTIC_RUN_ID", "WORLD_SIZE")
PASSED_ON = ("PYTHONPATH",)  # to worker processes, unchanged
READS = r"(?:environ(?:\.get|\.setdefault)?[\[(]|_VARIABLE: Final = )"
NAMED = re.compile(rf'{READS}"([A-Z][A-Z0-9_]+)"|"([A-Z_]+)" (?:not )?in os\.environ')


def lines() -> Iterator[str]:
    """Yield the lines of the page."""
    found = dict(variables(READ))
    yield from page("Environment variables", "voxtrait reads or sets these variables.")
    yield ""
    rows = ((f"`{name}`", text) for name, text in sorted(found.items()) if name not in (*TORCHRUN, *PASSED_ON))
    yield from table(("variable", "meaning"), rows)
    yield ""
    yield from prose(
        f"`torchrun` sets {', '.join(f'`{name}`' for name in TORCHRUN if name in found)}; `voxtrait train` reads them. "
        "Credentials of object stores and web servers are read by the libraries that connect to them: see [process "
        "files behind URLs](../how-to/remote.md#credentials). The variable of shell completion is in the "
        "[command line](cli.md#shell-completion)."
    )
    yield from ("", "## Development", "")
    yield from table(
        ("variable", "meaning"), ((f"`{name}`", text) for name, text in sorted(variables(DEVELOPMENT).items()))
    )


def variables(places: tuple[str, ...]) -> dict[str, str]:
    """Return each variable that the files in these places name, with the comment behind or above its line."""
    found: dict[str, str] = {}
    for place in places:
        path = ROOT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            text = file.read_text(encoding="utf-8").splitlines()
            for number, line in enumerate(text):
                for name in map("".join, NAMED.findall(line)):
                    found[name] = found.get(name) or _comment(text, number)
    return found


def _comment(text: list[str], number: int) -> str:
    """Return the comment behind a line, or else the comment lines directly above it."""
    behind = text[number].partition("  # ")[2]
    above: list[str] = []
    while number and text[number - 1].strip().startswith("# "):
        number -= 1
        above.insert(0, text[number].strip()[2:])
    return behind or " ".join(above)
