"""Standard streams that are closed at the start or fail later: a lost result is an error, a lost note is not."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Final, TextIO

RESULTS: Final = "standard output"  # name of the file in errors of writing it
_MODES: Final = ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY))


class Results(io.TextIOWrapper):
    """Standard output, whose errors name it."""

    def write(self, text: str) -> int:
        """Write a text, and return its length."""
        with _named():
            return super().write(text)

    def flush(self) -> None:
        """Write what is buffered."""
        with _named():
            super().flush()


class Notes(io.TextIOWrapper):
    """Standard error that discards what cannot be written: the terminal is gone, or a log file is on a full disk."""

    def write(self, text: str) -> int:
        """Write a text, and return its length."""
        try:
            return super().write(text)
        except OSError:
            discard(self)
            return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            super().flush()
        except OSError:
            discard(self)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = RESULTS
        raise


def prepare() -> None:
    """Open descriptors 0, 1 and 2 on the null device where they are closed.

    Otherwise the next file that is opened would get the number, and what libraries print would be written to it. Every
    write to a closed standard output still fails, because its descriptor is opened for reading.
    """
    for number, name, mode in _MODES:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            text = open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, text)


def replace() -> None:
    """Replace standard output by :class:`Results`, and standard error by :class:`Notes`."""
    for name, kind in (("stdout", Results), ("stderr", Notes)):
        now = getattr(sys, name)
        if type(now) is io.TextIOWrapper:  # not that of a test or a notebook
            encoding, errors, lines = now.encoding, now.errors, now.line_buffering or name == "stderr"
            setattr(sys, name, kind(now.detach(), encoding=encoding, errors=errors, line_buffering=lines))


def discard(stream: TextIO) -> None:
    """Send what a stream still holds to the null device: writing it has failed, and would fail again at exit."""
    with contextlib.suppress(OSError, ValueError):
        number = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
