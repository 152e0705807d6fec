"""Silences libraries that write to standard error themselves."""

import contextlib
import os
import sys


def silence_decoders() -> None:
    """Discard what C libraries write to standard error, and keep Python's output.

    mpg123 prints notes about every damaged mp3, which would disturb the progress line. The file has an error row
    anyway.
    """
    with contextlib.suppress(OSError, ValueError):
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"  # of the terminal or PYTHONIOENCODING
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        sys.stderr = open(kept, "w", buffering=1, encoding=encoding, errors="backslashreplace")  # noqa: SIM115, PTH123
