"""What Ray and Dask have in common: a window of chunks under way, results in order, and what a cluster's worker does.

A cluster's worker process works a chunk through a :class:`Crew` of one worker process of its own, so that an item that
crashes or hangs is dealt with there as on the local engine; the cluster itself only sees to processes and machines of
its own that are lost, and runs their chunks again elsewhere.
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

HTTP2_SETTINGS: Final = 4  # the type of the first frame that an HTTP/2 server sends
STAFF_S: Final = 300.0  # seconds that a cluster may be without workers: it may have to start machines first
REACH_S: Final = 20.0  # seconds that a cluster has to respond
RECOUNT_S: Final = 10.0  # seconds between two looks at how large the cluster is: it may grow


class Failed(NamedTuple):
    """What a chunk gives instead of results when the job raised an error: clusters would wrap it in one of theirs."""

    error: Exception


class Cluster(Protocol):
    """What an engine has to offer; a task is a handle of its own kind."""

    def cores(self) -> int:
        """Count the cores of the cluster as it is now."""

    def submit(self, chunk: Sequence[Any]) -> Any:
        """Begin a task."""

    def wait(self, tasks: Collection[Any]) -> Collection[Any]:
        """Wait a moment, and give the tasks that have ended, if any."""

    def result(self, task: Any) -> "list[Any] | Failed":
        """Give the results of a task that has ended."""

    def close(self, tasks: Collection[Any]) -> None:
        """Stop these tasks and leave the cluster, or end it if it was started for this run."""


def results(
    cluster: Cluster, chunks: Iterator[Sequence[Any]], jobs: int | None
) -> Generator[tuple[Any, Any], None, None]:
    """Work chunks on a cluster: each item with its result, in order.

    Args:
        cluster: closed in the end, whatever happens.
        chunks: of items.
        jobs: tasks at a time; ``None``: as many as the cluster has cores, and some in waiting.
    """
    waiting: collections.deque[tuple[Sequence[Any], Any]] = collections.deque()  # in order, until handed on
    running: set[Any] = set()
    size, counted, staffed = 0, -RECOUNT_S, time.monotonic()
    try:
        while True:
            if time.monotonic() - counted >= RECOUNT_S:
                size, counted = cluster.cores(), time.monotonic()
                staffed = counted if size else staffed
                if counted - staffed > STAFF_S:
                    raise WorkerError(f"the cluster has had no worker for {STAFF_S:g} s: start one")
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
    """Make sure that such a cluster is at ``host:port`` or ``scheme://host:port``; other addresses pass.

    Both schedulers speak first: Ray's with the settings of HTTP/2, Dask's with a handshake. Ray and Dask themselves
    would wait for minutes for a response from a port where something else listens.

    Raises:
        WorkerError: if nobody listens there, or something else.
    """
    host, _, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S) as connection:
            if address.partition("://")[0] not in ("tls", "ws", "wss", "ucx"):  # there the caller speaks first
                connection.settimeout(REACH_S)
                greeting = connection.recv(8)
                if len(greeting) < 8 or (engine == "Ray" and greeting[3] != HTTP2_SETTINGS):
                    raise OSError("something else listens there")
    except (OSError, OverflowError) as error:
        raise unreachable(engine, address, str(error)) from None


def unreachable(engine: str, address: str | None, why: str) -> WorkerError:
    """Make the error for a cluster that cannot be reached."""
    place = f"at {address}" if address else "on this machine"
    return WorkerError(f"no {engine} cluster answers {place} ({why}): start one, or check --address")


_idle: dict[str, list[Crew]] = {}  # of this process, if it is a cluster's worker
_lock: Final = threading.Lock()


def work(key: str, fetch: Callable[[], bytes], chunk: Sequence[Any], timeout: float | None) -> "list[Any] | Failed":
    """Work a chunk, in a cluster's worker process; the worker below it stays for the next chunk of the same job.

    Args:
        key: of the job.
        fetch: gives the job, pickled; asked once a process.
        chunk: of items.
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
        crew.close(now=True)  # its current item is of no use any more: the task was stopped, or the job failed
        if isinstance(error, Exception):
            return Failed(error)
        raise
    with _lock:
        _idle.setdefault(key, []).append(crew)
    return found


def _may_have_children() -> None:
    """Let a daemonic process, as the workers of Dask are, have children: these watch it, and end when it ends."""
    multiprocessing.current_process()._config.pop("daemon", None)  # type: ignore[attr-defined]


def _close_idle() -> None:
    for crews in _idle.values():
        for crew in crews:
            crew.close(now=True)


atexit.register(_close_idle)


def key_of(job: bytes, timeout: float | None) -> str:
    """Name a job for :func:`work`: the same in a run that goes on, another for every other."""
    import hashlib

    return hashlib.blake2b(job + repr(timeout).encode() + os.urandom(8), digest_size=8).hexdigest()
