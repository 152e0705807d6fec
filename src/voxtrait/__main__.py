"""The program: the console script ``voxtrait``, also run as ``python -m voxtrait``.

Ctrl-C, SIGTERM and SIGHUP end it without a traceback, also while it is still importing, which takes most of the time of
a short run. The first signal raises ``KeyboardInterrupt``, so that locks are released and unfinished files are removed.
The second also kills the worker processes, which would otherwise finish their current items. The third ends the program
at once: files have their names only when they are complete, so none is incomplete then either.
"""

import _thread
import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, Final

KINDS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
LATER_S: Final = 0.01
MESSAGE: Final = "voxtrait: interrupted. No file is incomplete.\n"
_received: list[int] = []
_dropped = False  # whether the next signal only repeats an exception that Python has dropped


def main() -> None:
    """Run the console script."""
    for kind in KINDS:
        if signal.getsignal(kind) is not signal.SIG_IGN:  # as under nohup
            signal.signal(kind, _stop)
    sys.unraisablehook = _unraisable
    try:
        from voxtrait.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write(MESSAGE)
        sys.exit(128 + _received[0])
    finally:
        for kind in KINDS:  # the result is complete, and only the interpreter has to end
            signal.signal(kind, signal.SIG_IGN)
        # CPython notes an interrupt in code from a string (named tuples have some), even if it is caught later, and
        # then ends by SIGINT whatever the exit status is; the next code from a string clears the note
        exec("")


def _stop(kind: int, frame: FrameType | None) -> None:
    """Stop the program; the number of the signal is the argument of the exception."""
    global _dropped
    if _dropped:
        _dropped = False
        raise KeyboardInterrupt(_received[0])
    _received.append(kind)
    match len(_received):
        case 1:
            raise KeyboardInterrupt(kind)
        case 2:
            import multiprocessing

            for child in multiprocessing.active_children():
                child.kill()
        case _:
            with contextlib.suppress(Exception):  # the signal may have interrupted another write
                sys.stderr.write(MESSAGE)
                sys.stderr.flush()
            os._exit(128 + _received[0])


def _unraisable(error: Any) -> None:
    """Raise ``KeyboardInterrupt`` again where Python drops it: in finalizers and callbacks of weak references."""
    global _dropped
    if not issubclass(error.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(error)
    elif _received:
        _dropped = True
        threading.Timer(LATER_S, _thread.interrupt_main, _received[:1]).start()  # when the callback has ended


if __name__ == "__main__":
    main()
