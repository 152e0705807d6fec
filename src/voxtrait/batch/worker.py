"""A process that works chunks of items and sends each result as it is done, so that its owner always knows where it is.

Between owner and worker: the owner sends the job once, as bytes, then chunks, lists of items; the worker sends
``(READY, None)`` when it holds the job, then ``(DONE, result)`` an item, or ``(FAILED, error)``, after which its owner
ends it. A job may also send parts of its result: ``(PART, value)`` each, to which the owner replies with True, or with
False if it wants no more.
"""

import contextlib
import functools
import multiprocessing
import os
import pickle
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final

from voxtrait.errors import WorkerError

READY: Final = 0
DONE: Final = 1
FAILED: Final = 2
PART: Final = 3


class UnwantedError(Exception):
    """The owner of a worker wants no more parts of a result."""


class Worker:
    """A worker process, seen from its owner.

    Args:
        job: pickled; what to do with an item.
        bare: do not let the process import the script that this one runs: nothing of it is needed inside a cluster's
            worker, whose script is the cluster's own.
        parts: give the job a second argument: a function that sends a part of the result and waits until it is taken.
            It raises :class:`UnwantedError` if the owner wants no more.
    """

    def __init__(self, job: bytes, *, bare: bool = False, parts: bool = False) -> None:
        # spawn, not fork: Polars and ONNX Runtime hold threads and locks that a forked child would inherit dead.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(theirs, parts), daemon=True)
        with _without_script() if bare else contextlib.nullcontext():
            self.process.start()
        theirs.close()  # so that the end of the process ends what can be read here
        with contextlib.suppress(OSError):  # it is dead already: the next :meth:`take` reports that
            self.connection.send_bytes(job)

    def give(self, items: Sequence[Any]) -> None:
        """Hand a chunk over; if the process is dead, the next :meth:`take` reports that."""
        with contextlib.suppress(OSError):
            self.connection.send(items)

    def reply(self, go_on: bool) -> None:
        """Reply to a part: whether the job may go on."""
        with contextlib.suppress(OSError):
            self.connection.send(go_on)

    def take(self) -> tuple[int, Any] | None:
        """Wait for the next message; ``None`` means that the process is dead."""
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            return None
        return kind, value

    def kill(self) -> int | None:
        """End the process at once, and give its exit status."""
        self.process.kill()
        self.process.join()
        self.connection.close()
        return self.process.exitcode

    def stop(self) -> None:
        """Let the process end after the item that it works on: :meth:`join` waits for that."""
        self.connection.close()

    def join(self, seconds: float) -> None:
        """Wait for the end of a process after :meth:`stop`, and kill it when it takes longer."""
        self.process.join(max(0.0, seconds))
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextlib.contextmanager
def _without_script() -> Iterator[None]:
    """Hide what ``multiprocessing`` would import into a new process as its main module."""
    main = sys.modules["__main__"]
    hidden = {name: main.__dict__.pop(name, None) for name in ("__file__", "__spec__")}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update({name: value for name, value in hidden.items() if value is not None})


def _work(connection: Connection, parts: bool = False) -> None:
    """Run a worker process, from its start to its end."""
    import signal

    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C stops the parent, which stops the workers between items
    silence_decoders()
    if not sys.warnoptions:  # a worker's standard error is the progress line's, and NumPy's warnings are not results
        warnings.simplefilter("ignore")
    with contextlib.suppress(EOFError, OSError):  # the owner wants no more
        received = connection.recv_bytes()
        try:
            job: Callable[..., Any] = pickle.loads(received)
        except Exception as error:
            _send_error(connection, error)
            return
        arguments = (functools.partial(_send_part, connection),) if parts else ()
        connection.send((READY, None))
        while True:
            for item in connection.recv():
                try:
                    result = pickle.dumps((DONE, job(item, *arguments)), pickle.HIGHEST_PROTOCOL)
                except Exception as error:
                    _send_error(connection, error)
                    return
                connection.send_bytes(result)


def _send_part(connection: Connection, value: Any) -> None:
    """Send a part of a result, and wait for the reply."""
    connection.send((PART, value))
    if not connection.recv():
        raise UnwantedError


def _send_error(connection: Connection, error: Exception) -> None:
    """Send an error of the job's own, with where it came from."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        message = pickle.dumps((FAILED, error))
        pickle.loads(message)  # some errors can be pickled and not read again
    except Exception:
        message = pickle.dumps((FAILED, WorkerError(f"the job failed: {type(error).__name__}: {error}")))
    connection.send_bytes(message)


def _end_with_parent() -> None:
    """End this worker when its parent is gone, in the middle of an item too."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def silence_decoders() -> None:
    """Send what C libraries write to standard error nowhere, and keep Python's own.

    mpg123 prints notes about every damaged mp3 there, which would run through the progress line; the same file is
    reported in a row of its own.
    """
    with contextlib.suppress(OSError, ValueError):
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"  # what the terminal, or the user, expects
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        sys.stderr = open(kept, "w", buffering=1, encoding=encoding, errors="backslashreplace")  # noqa: SIM115, PTH123
