"""Worker process: processes chunks of items and sends each result as soon as it is ready.

Protocol: the owner sends the job once, as bytes, and then chunks, which are lists of items. The worker sends
``(READY, None)`` when it has the job, then ``(DONE, result)`` for each item, or ``(FAILED, error)``, after which the
owner ends it. A job may also send parts of its result: ``(PART, value)`` each. The owner replies with ``True``, or with
``False`` to stop the job.
"""

import contextlib
import functools
import multiprocessing
import os
import pickle
import socket
import struct
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from voxtrait.batch.quiet import silence_decoders
from voxtrait.errors import WorkerError

READY: Final = 0
DONE: Final = 1
FAILED: Final = 2
PART: Final = 3
START_S: Final = 300.0  # maximum seconds until a process is ready, and that a message may stop on its way
KILL_S: Final = 5.0  # maximum seconds that a killed process takes to end
# One thread for matrix products: several processes with a thread per core each take up to three times as long.
_ONE_THREAD: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS")
FIRST: Final = 300  # of 1,000: how much earlier the system ends a worker than its parent if memory is short
ARGUMENTS: Final = 8_000  # maximum bytes of the command line that a new process gets
_starting: Final = threading.Lock()


class UnwantedError(Exception):
    """The owner of a worker needs no more parts of a result."""


class Worker:
    """Handle of a worker process for its owner.

    Args:
        job: pickled job.
        bare: whether to prevent the worker from importing the main script of this process. A cluster's worker does not
            need it, because its main script belongs to the cluster.
        parts: whether to call the job with a second argument: a function that sends a part of the result and waits for
            the reply. It raises :class:`UnwantedError` if the owner needs no more parts.
    """

    def __init__(self, job: bytes, *, bare: bool = False, parts: bool = False) -> None:
        # spawn, not fork: a forked child would inherit dead threads and locks of Polars and ONNX Runtime.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.blocked = False  # whether the process took no message in time, and was killed
        self.process: BaseProcess = context.Process(target=_work, args=(theirs, parts), daemon=True)
        with _starting, _one_thread(), _short_command_line(), _without_script() if bare else contextlib.nullcontext():
            self.process.start()
        theirs.close()  # so that reading ends when the process ends
        _limit(self.connection, START_S)
        self._send(self.connection.send_bytes, job)

    def give(self, items: Sequence[Any]) -> None:
        """Send a chunk; if the process is dead, the next :meth:`take` reports it."""
        self._send(self.connection.send, items)

    def reply(self, go_on: bool) -> None:
        """Reply to a part: whether the job may continue."""
        self._send(self.connection.send, go_on)

    def _send(self, send: Callable[[Any], None], message: Any) -> None:
        try:
            send(message)
        except BlockingIOError:  # the limit of :func:`_limit`; a part of the message may have been sent
            self.blocked = True
            self.process.kill()
        except OSError:  # the process is dead already
            pass

    def take(self) -> tuple[int, Any] | None:
        """Return the next message, or ``None`` if the process is dead, or stopped in the middle of a message."""
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            return None
        return kind, value

    def kill(self) -> int | None:
        """Kill the process, and return its exit status, or ``None`` if it does not end.

        A process that waits for a network disk whose server is gone may not end before the server is back.
        """
        self.process.kill()
        self.process.join(KILL_S)
        self.connection.close()
        return self.process.exitcode

    def stop(self) -> None:
        """Ask the process to end after its current item; :meth:`join` waits for the end."""
        self.connection.close()

    def join(self, seconds: float) -> None:
        """Wait for the end of the process after :meth:`stop`, and kill it after ``seconds``."""
        self.process.join(max(0.0, seconds))
        if self.process.is_alive():
            self.process.kill()
            self.process.join(KILL_S)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Limit the BLAS of a new process to one thread, unless the user chose a number; NumPy reads it when it starts."""
    chosen = [name for name in _ONE_THREAD if name not in os.environ]
    os.environ.update(dict.fromkeys(chosen, "1"))
    try:
        yield
    finally:
        for name in chosen:
            os.environ.pop(name, None)


def _limit(connection: Connection, seconds: float) -> None:
    """Let a message fail that stops on its way, because its process is stopped or blocked. Not on Windows."""
    if sys.platform == "win32":
        return
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.setblocking(True)
        whole, rest = divmod(seconds, 1)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            same.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(whole), int(rest * 1e6)))


@contextlib.contextmanager
def _short_command_line() -> Iterator[None]:
    """Give a new process only the first arguments of the command line.

    ``multiprocessing`` sends them through a pipe before it closes its own end for reading. If they do not fit and the
    process ends before it reads them, the parent waits for ever.
    """
    given, left = sys.argv, ARGUMENTS
    for at, argument in enumerate(given):
        left -= len(argument.encode("utf-8", "surrogatepass")) + 10  # at most, in a pickle
        if left < 0:
            sys.argv = given[:at]
            break
    try:
        yield
    finally:
        sys.argv = given


@contextlib.contextmanager
def _without_script() -> Iterator[None]:
    """Hide the main module, which ``multiprocessing`` would import into a new process."""
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C stops the parent, which then stops the workers between items
    _be_ended_first()
    silence_decoders()
    if not sys.warnoptions:  # NumPy's warnings would disturb the progress line on standard error
        warnings.simplefilter("ignore")
    with contextlib.suppress(EOFError, OSError):  # the owner has closed the connection
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
    """Send an error of the job, with its traceback."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        message = pickle.dumps((FAILED, error))
        pickle.loads(message)  # some errors can be pickled but not unpickled
    except Exception:
        message = pickle.dumps((FAILED, WorkerError(f"The job failed: {type(error).__name__}: {error}")))
    connection.send_bytes(message)


def _be_ended_first() -> None:
    """If memory is short, let the system end this worker, which costs an item, and not the parent. Linux only."""
    with contextlib.suppress(OSError):
        score = Path("/proc/self/oom_score_adj")
        score.write_text(str(min(1000, int(score.read_text()) + FIRST)))


def _end_with_parent() -> None:
    """End this worker when its parent has ended, even during an item."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
