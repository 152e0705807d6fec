"""Shared by Ray and Dask: a window of running chunks, results in order, and the work of a cluster's worker.

A cluster's worker processes a chunk through a :class:`~voxtrait.batch.crew.Crew` of one process, so that an item that
crashes or hangs is treated as on the local engine. The cluster only replaces its own lost processes and machines, and
runs their chunks again elsewhere.
"""

import atexit
import collections
import itertools
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from voxtrait.batch.crew import WINDOW, Crew
from voxtrait.errors import WorkerError

HTTP2_SETTINGS: Final = 4  # type of the first frame that an HTTP/2 server sends
STAFF_S: Final = 300.0  # maximum seconds without workers: a cluster may have to start machines first
REACH_S: Final = 20.0  # maximum seconds for a cluster to respond
RECOUNT_S: Final = 10.0  # seconds between two counts of the cluster's cores: it may grow


class Failed(NamedTuple):
    """Replaces the results of a chunk whose job raised an error, because clusters would wrap the error."""

    error: Exception


class Cluster(Protocol):
    """Interface of a cluster engine; tasks are handles of the engine's own type."""

    def cores(self) -> int:
        """Return the current number of cores of the cluster."""

    def submit(self, chunk: Sequence[Any]) -> Any:
        """Start a task."""

    def wait(self, tasks: Collection[Any]) -> Collection[Any]:
        """Wait briefly, and return the tasks that have ended."""

    def result(self, task: Any) -> "list[Any] | Failed":
        """Return the results of an ended task."""

    def close(self, tasks: Collection[Any]) -> None:
        """Stop these tasks, and disconnect from the cluster, or end it if it was started for this run."""


def results(
    cluster: Cluster, chunks: Iterator[Sequence[Any]], jobs: int | None
) -> Generator[tuple[Any, Any], None, None]:
    """Process chunks on a cluster, and yield each item with its result, in order.

    Args:
        cluster: the cluster, which is always closed at the end.
        chunks: lists of items.
        jobs: maximum simultaneous tasks; ``None`` for one per core of the cluster, and some in the queue.
    """
    waiting: collections.deque[tuple[Sequence[Any], Any]] = collections.deque()  # in order, until yielded
    running: set[Any] = set()
    size, counted, staffed = 0, -RECOUNT_S, time.monotonic()
    try:
        while True:
            if time.monotonic() - counted >= RECOUNT_S:
                size, counted = cluster.cores(), time.monotonic()
                staffed = counted if size else staffed
                if counted - staffed > STAFF_S:
                    raise WorkerError(f"The cluster has had no worker for {STAFF_S:g} s. Start one.")
                size = max(1, size)
            room = min(WINDOW * min(size, jobs or size) - len(waiting), (jobs or WINDOW * size) - len(running))
            for chunk in itertools.islice(chunks, max(0, room)):
                waiting.append((chunk, cluster.submit(chunk)))
                running.add(waiting[-1][1])
            if not waiting:
                return
            running.difference_update(cluster.wait(running))
            while waiting and waiting[0][1] not in running:
                chunk, task = waiting.popleft()
                found = cluster.result(task)
                if isinstance(found, Failed):
                    raise found.error
                yield from zip(chunk, found, strict=True)
    finally:
        cluster.close(running)


def check_reachable(address: str, engine: str) -> None:
    """Check that a cluster responds at ``host:port`` or ``scheme://host:port``; other addresses are not checked.

    Both schedulers send first: Ray the settings of HTTP/2, Dask a handshake. Ray and Dask themselves would wait for
    minutes for a response from another kind of server.

    Raises:
        WorkerError: if the port is closed, or belongs to another kind of server.
    """
    host, _, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S) as connection:
            if address.partition("://")[0] not in ("tls", "ws", "wss", "ucx"):  # there the client sends first
                connection.settimeout(REACH_S)
                greeting = connection.recv(8)
                if len(greeting) < 8 or (engine == "Ray" and greeting[3] != HTTP2_SETTINGS):
                    raise OSError("another kind of server uses this port")
    except (OSError, OverflowError) as error:
        raise unreachable(engine, address, str(error)) from None


def unreachable(engine: str, address: str | None, why: str) -> WorkerError:
    """Return the error for a cluster that cannot be reached."""
    place = f"at {address}" if address else "on this machine"
    return WorkerError(f"No {engine} cluster responds {place} ({why}). Start one, or check --address.")


_idle: dict[str, list[Crew]] = {}  # idle crews of this process, if it is a cluster's worker
_lock: Final = threading.Lock()


def work(key: str, fetch: Callable[[], bytes], chunk: Sequence[Any], timeout: float | None) -> "list[Any] | Failed":
    """Process a chunk in a cluster's worker; its own worker process is kept for the next chunk of the same job.

    Args:
        key: key of the job.
        fetch: function that returns the pickled job; called once per process.
        chunk: list of items.
        timeout: see :class:`voxtrait.batch.Where`.
    """
    with _lock:
        stale = [crew for other in _idle.keys() - {key} for crew in _idle.pop(other)]
        kept = _idle.get(key)
        crew = kept.pop() if kept else None
    for one in stale:
        one.close()
    if crew is None:
        _may_have_children()
        crew = Crew(fetch(), 1, timeout=timeout, bare=True)
    try:
        found = [result for _, result in crew.run(iter([chunk]))]
    except BaseException as error:
        crew.close(now=True)  # its current item is no longer needed: the task was stopped, or the job failed
        if isinstance(error, Exception):
            return Failed(error)
        raise
    with _lock:
        _idle.setdefault(key, []).append(crew)
    return found


def _may_have_children() -> None:
    """Allow a daemonic process, such as a worker of Dask, to have children; these end when it ends."""
    multiprocessing.current_process()._config.pop("daemon", None)  # type: ignore[attr-defined]


def _close_idle() -> None:
    for crews in _idle.values():
        for crew in crews:
            crew.close(now=True)


atexit.register(_close_idle)


def key_of(job: bytes, timeout: float | None) -> str:
    """Return the key of a job for :func:`work`: the same in a resumed run, and different for every other job."""
    import hashlib

    return hashlib.blake2b(job + repr(timeout).encode() + os.urandom(8), digest_size=8).hexdigest()
