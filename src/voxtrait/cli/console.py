"""Sets up standard output and standard error: printing never raises, and warnings of other packages are hidden.

A terminal, or ``> out.txt`` on Windows, may have an encoding without some letters of a file name, or without the dash
of an age interval. The rules for every command:

- Text keeps the encoding of the terminal. A character that the encoding lacks is replaced by a similar ASCII
  character, or else by its escape, such as ``\\u8bed``.
- JSON escapes all characters outside ASCII unless the encoding is UTF-8. It is valid JSON in any encoding.
- Other formats for programs are UTF-8 in files and pipes, as those programs expect. A terminal keeps its own encoding,
  and ``PYTHONIOENCODING`` has precedence. ``--out`` always writes UTF-8.
"""

import codecs
import io
import json
import os
import re
import sys
import warnings
from typing import Any, Final, TextIO

import click

from voxtrait import storage
from voxtrait.errors import printable

PLAIN: Final = "voxtrait-plain"
"""Name of the error handler for encodings that :func:`prepare` sets."""

_LIKENESS: Final = str.maketrans(
    {
        "–": "-",
        "—": "-",
        "−": "-",
        "…": "...",
        "→": "->",
        "×": "x",
        "≤": "<=",
        "·": ".",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "♪": "*",
        # the bars of a timeline, from no speech to speech all the time
        "▁": "_",
        "▂": ".",
        "▃": ":",
        "▄": "-",
        "▅": "=",
        "▆": "+",
        "▇": "*",
        "█": "#",
    }
)
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_KEPT: Final = (
    "replace",
    "ignore",
    "xmlcharrefreplace",
    "namereplace",
)  # never raise: set by the user


def prepare() -> None:
    """Set up both streams and the warnings, before anything is printed."""
    codecs.register_error(PLAIN, plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors not in _KEPT:
            stream.reconfigure(errors=PLAIN)
    filter_warnings()


def filter_warnings() -> None:
    """Show each warning of voxtrait as one line; hide those of other packages unless Python runs with ``-W``."""
    warnings.showwarning = _note
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # warnings of NumPy and others, which a user cannot act on
        warnings.filterwarnings("default", "voxtrait-", DeprecationWarning)  # former names of bundles


def end_progress() -> None:
    """End the lines of open progress bars, which an error has left, so that its message has its own line."""
    if tqdm := sys.modules.get("tqdm"):  # otherwise there is none
        for bar in list(tqdm.tqdm._instances):
            bar.close()


def _note(message: Warning | str, *place: Any, **more: Any) -> None:
    """Print a warning as one line on standard error, without file name and line number."""
    click.echo(f"voxtrait: {printable(str(message))}", err=True)


def plain(error: UnicodeError) -> tuple[str, int]:
    r"""Replace characters that an encoding lacks. This is an error handler for :func:`codecs.register_error`.

    Examples:
        >>> codecs.register_error(PLAIN, plain)
        >>> "café 24–47 语".encode("ascii", PLAIN)
        b'caf\\xe9 24-47 \\u8bed'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end].translate(_LIKENESS)
    # text_of spells a byte of a name that is not UTF-8 as everywhere else
    return storage.text_of(lacking).encode("ascii", "backslashreplace").decode("ascii"), error.end


def is_utf8(stream: TextIO | None = None) -> bool:
    """Return whether a stream, by default standard output, is UTF-8."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def json_text(text: str) -> str:
    r"""Escape the characters outside ASCII in a JSON text, unless standard output is UTF-8.

    Examples:
        >>> json_text('{"path": "a.mp3"}')
        '{"path": "a.mp3"}'
    """
    return text if is_utf8() else _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)


def for_programs(format_: str) -> None:
    """Set the encoding of standard output for a format, by the rules in the module docstring."""
    stream = sys.stdout
    # Encoding of standard output and standard error. Without it, formats for programs are UTF-8 in files and pipes.
    if format_ == "text" or is_utf8() or os.environ.get("PYTHONIOENCODING") or not isinstance(stream, io.TextIOWrapper):
        return
    if not stream.isatty():
        stream.reconfigure(encoding="utf-8", errors=PLAIN)
