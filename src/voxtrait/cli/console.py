"""Standard output and standard error of the command line: nothing printed ever raises, and nobody else's warnings.

A terminal, or ``> out.txt`` on Windows, may have an encoding that lacks letters of a file's name, and even the dash of
an age interval. The rules, for every command:

- Text keeps the encoding of the terminal, so that what it can show is right. A character that it lacks is replaced by
  its likeness in ASCII, or else by its escape, such as ``\\u8bed``.
- JSON escapes all that is not ASCII unless the encoding is UTF-8: it is then valid JSON, however it is read.
- Other formats for programs are UTF-8 in files and pipes, which is what those programs expect; ``PYTHONIOENCODING``
  has precedence, as the user's own word, and so have terminals. Files of ``--out`` are always UTF-8.
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

PLAIN: Final = "voxtrait-plain"
"""Name of the handler of encoding errors that :func:`prepare` sets."""

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
        # the bars of a timeline, from no speech to nothing else
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
_KEPT: Final = ("replace", "ignore", "xmlcharrefreplace", "namereplace")  # handlers that never raise: the user's choice


def prepare() -> None:
    """Set up both streams and the warnings, before anything is printed."""
    codecs.register_error(PLAIN, plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors not in _KEPT:
            stream.reconfigure(errors=PLAIN)
    filter_warnings()


def filter_warnings() -> None:
    """Show warnings of voxtrait as one line each, and none of other packages, unless Python was told to (``-W``)."""
    warnings.showwarning = _note
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of NumPy and others: about their own work, and nothing that a user could do
        warnings.filterwarnings("default", "voxtrait-", DeprecationWarning)  # former names of bundles


def _note(message: Warning | str, *place: Any, **more: Any) -> None:
    """Write a warning as one line on standard error, without file name and line number."""
    click.echo(f"voxtrait: {message}", err=True)


def plain(error: UnicodeError) -> tuple[str, int]:
    r"""Replace what an encoding lacks: a handler of errors for :func:`codecs.register_error`.

    Examples:
        >>> codecs.register_error(PLAIN, plain)
        >>> "café 24–47 语".encode("ascii", PLAIN)
        b'caf\\xe9 24-47 \\u8bed'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end].translate(_LIKENESS)
    # text_of gives a byte of a name that is not UTF-8 the spelling that it has everywhere else
    return storage.text_of(lacking).encode("ascii", "backslashreplace").decode("ascii"), error.end


def is_utf8(stream: TextIO | None = None) -> bool:
    """Return whether a stream, by default standard output, holds every character."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def json_text(text: str) -> str:
    r"""Escape what is not ASCII in JSON, in every string, unless standard output is UTF-8.

    Examples:
        >>> json_text('{"path": "a.mp3"}')
        '{"path": "a.mp3"}'
    """
    return text if is_utf8() else _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)


def for_programs(format_: str) -> None:
    """Choose the encoding of standard output for a format: see the rules above."""
    stream = sys.stdout
    if format_ == "text" or is_utf8() or os.environ.get("PYTHONIOENCODING") or not isinstance(stream, io.TextIOWrapper):
        return
    if not stream.isatty():
        stream.reconfigure(encoding="utf-8", errors=PLAIN)
