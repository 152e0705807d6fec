"""Shows how far a job is on standard error: one line that is rewritten on a terminal, otherwise a line every 10 s."""

import os
import sys
import time
from types import TracebackType
from typing import Final

TERMINAL_S: Final = 0.1  # seconds between two updates on a terminal
LOG_S: Final = 10.0  # … and between two lines in a log file
BAR: Final = 10  # signs of the bar in a log file; on a terminal, it fills the line


class Line:
    """A progress line. Nothing else must write to standard error while it is open.

    Args:
        label: what is done.
        total: number of units; ``None`` if it is not known.
        unit: name of a unit.
        done: number of units that an earlier run has done.
        delay_s: seconds until the line appears; a job that ends before shows no line.

    Examples:
        >>> with Line("predict", 2) as line:
        ...     line.advance()
        ...     str(line).split("[")[0]
        'predict:  50%|█████     | 1/2 '
    """

    def __init__(
        self, label: str, total: float | None = None, unit: str = "file", *, done: float = 0, delay_s: float = 0.0
    ) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, done
        self.remark = ""  # shown behind the numbers
        self._first = done
        self._stream = sys.stderr
        self._terminal = self._stream.isatty()
        self._start = time.monotonic()
        self._next = self._start + (delay_s or (0.0 if self._terminal else LOG_S))
        self._shown = not delay_s
        self._length = 0  # of the line on the terminal

    def __enter__(self) -> "Line":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def advance(self, number: float = 1) -> None:
        """Count units, and update the line if it is time to."""
        self.done += number
        if time.monotonic() >= self._next:
            self.show()

    def show(self) -> None:
        """Update the line now."""
        self._shown = True
        self._next = time.monotonic() + (TERMINAL_S if self._terminal else LOG_S)
        text = str(self)
        if self._terminal:
            text = text[: self._columns()]
            print(f"\r{text.ljust(self._length)}", end="", file=self._stream, flush=True)
            self._length = len(text)
        else:
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """End the line with its last state, if it has appeared."""
        if self._shown:
            self.show()
            if self._terminal:
                print(file=self._stream, flush=True)

    def __str__(self) -> str:
        elapsed_s = time.monotonic() - self._start
        rate = (self.done - self._first) / max(elapsed_s, 1e-3)
        times, speed = _clock(elapsed_s), f"{rate:.{1 if rate >= 10 else 2}f} {self.unit}/s"
        remark = f", {self.remark}" if self.remark else ""
        if not self.total:
            return f"{self.label}: {self.done:.0f}{remark} [{times}, {speed}]"
        share = min(self.done / self.total, 1.0)
        left = _clock((self.total - self.done) / rate) if rate else "?"
        start = f"{self.label}: {100 * share:3.0f}%|"
        end = f"| {self.done:.0f}/{self.total:.0f}{remark} [{times}<{left}, {speed}]"
        width = BAR
        if (columns := self._columns()) is not None:
            width = max(columns - len(start) - len(end), BAR)
        full = round(share * width)
        return f"{start}{self._sign * full}{' ' * (width - full)}{end}"

    def _columns(self) -> int | None:
        """Return the length of a line on the terminal, or ``None`` if it is not known."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns - 1
        except (OSError, ValueError):  # no terminal
            return None

    @property
    def _sign(self) -> str:
        try:
            "█".encode(self._stream.encoding or "ascii")
        except (LookupError, UnicodeEncodeError):
            return "#"
        return "█"


def _clock(seconds: float) -> str:
    """Return a duration as minutes and seconds, or hours, minutes and seconds."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
