"""Worker processes that process one task at a time, and are replaced when they exit or take too long.

Requests wait for a free worker in the order of arrival. While a worker is busy, one thread waits for it, so the event
loop never blocks. If a worker exits, its exit status decides the error of its request: a crash of the decoder has
another exit status than a kill from outside.
"""

import asyncio
import logging
import pickle
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from voxtrait.batch.worker import DONE, FAILED, READY, Worker
from voxtrait.errors import WorkerError
from voxtrait.web.errors import RequestError
from voxtrait.web.work import Task

START_S: Final = 120.0  # in which a worker must be ready
AGAIN_S: Final = 1.0  # between attempts at starting one
OUTSIDE: Final = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Signals that an operator or the kernel sends. Any other signal indicates a crash."""

_log = logging.getLogger("voxtrait.web")
_starting = threading.Lock()  # multiprocessing hides the main module while it starts a process


class Pool:
    """A fixed number of workers that have loaded the model.

    Args:
        job: pickled and sent to each; called with a :class:`Task`.
        size: how many.
        timeout_s: the time limit of the work on a request, and of its wait for a worker, in seconds.
    """

    def __init__(self, job: Callable[[Task], Any], size: int, timeout_s: float) -> None:
        self.size = size
        self.waiting = 0
        self.busy = 0
        self.replaced: Counter[str] = Counter()  # by reason: killed, crashed, late, idle
        self._timeout_s = timeout_s
        self._slots = [_Slot(pickle.dumps(job), self.replaced) for _ in range(size)]
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="voxtrait-worker")
        self._free: asyncio.Queue[_Slot] = asyncio.Queue()
        self._mean_s = 0.0  # of the last requests
        self._closed = False

    @property
    def alive(self) -> int:
        """Workers that are up."""
        return sum(slot.alive for slot in self._slots)

    @property
    def retry_s(self) -> int:
        """Seconds after which a client may expect a free place."""
        return max(1, min(30, round(self._mean_s * (1 + self.waiting / self.size))))

    def process_ids(self) -> list[int]:
        """Give the ids of the workers' processes."""
        return [slot.process_id for slot in self._slots if slot.alive]

    async def start(self) -> None:
        """Start all workers and wait until they are warm.

        Raises:
            WorkerError: if one cannot start.
        """
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._threads, slot.start) for slot in self._slots))
        for slot in self._slots:
            self._free.put_nowait(slot)

    async def ask(self, task: Task) -> Any:
        """Run a task on a worker.

        Raises:
            RequestError: ``busy`` if none was free in time, ``too_slow``, ``decoder_crashed``, or ``interrupted`` if
                the worker was killed.
        """
        self.waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                slot = await self._free.get()
        except TimeoutError:
            raise RequestError("busy", "no worker was free in time: try again later", retry_s=self.retry_s) from None
        finally:
            self.waiting -= 1
        self.busy += 1
        work = asyncio.get_running_loop().run_in_executor(self._threads, slot.ask, task, self._timeout_s)
        work.add_done_callback(lambda done: self._release(slot, done))
        result, seconds = await asyncio.shield(work)  # if the client disconnects, the worker still finishes its task
        self._mean_s = seconds if not self._mean_s else 0.9 * self._mean_s + 0.1 * seconds
        return result

    async def close(self) -> None:
        """Kill all workers at once, even during a task."""
        self._closed = True
        for slot in self._slots:
            slot.close()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    def _release(self, slot: "_Slot", work: "asyncio.Future[Any]") -> None:
        self.busy -= 1
        if not work.cancelled():
            work.exception()  # mark it as retrieved: the caller of ask() has got it, or was cancelled
        self._offer(slot)

    def _offer(self, slot: "_Slot") -> None:
        """Put a worker back into the queue, or start a new one if this one has exited."""
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        if slot.alive:
            self._free.put_nowait(slot)
        else:
            loop.run_in_executor(self._threads, slot.start).add_done_callback(lambda done: self._started(slot, done))

    def _started(self, slot: "_Slot", start: "asyncio.Future[None]") -> None:
        error = None if start.cancelled() else start.exception()
        if self._closed:
            return
        if error is not None:
            _log.error("a worker could not start", extra={"error": str(error)})
            asyncio.get_running_loop().call_later(AGAIN_S, self._offer, slot)
        else:
            self._free.put_nowait(slot)


class _Slot:
    """The place of one worker, used by one thread at a time."""

    def __init__(self, job: bytes, replaced: Counter[str]) -> None:
        self._job = job
        self._replaced = replaced
        self._worker: Worker | None = None
        self._closed = False

    @property
    def alive(self) -> bool:
        worker = self._worker
        return worker is not None and worker.process.is_alive()

    @property
    def process_id(self) -> int:
        return (self._worker.process.pid or 0) if self._worker else 0

    def start(self) -> None:
        with _starting:
            if self._closed:
                return
            worker = Worker(self._job, bare=True)
        self._worker = worker
        if not _received(worker, READY):
            status = self._end("stillborn")
            raise WorkerError(f"a worker process could not start (exit status {status}): may this user run Python?")
        worker.give([Task("warm")])
        if not _received(worker, DONE):
            self._end("stillborn")
            raise WorkerError("a worker process could not load the model: is there enough memory?")

    def ask(self, task: Task, timeout_s: float) -> tuple[Any, float]:
        if self._worker is None or not self.alive:  # killed while idle
            self._end("idle")
            self.start()
        worker = self._worker
        assert worker is not None
        begun = time.monotonic()
        worker.give([task])
        if not _readable(worker, timeout_s):
            self._end("late")
            raise RequestError("too_slow", f"it took longer than {timeout_s:g} s and was given up: cut it into pieces")
        match worker.take():
            case (kind, result) if kind == DONE:
                return result, time.monotonic() - begun
            case (kind, error) if kind == FAILED:
                self._end("crashed")
                raise error
        status = self._end("", died=True)
        if status is not None and status < 0 and -status in OUTSIDE:
            raise RequestError("interrupted", "the worker was killed while it was at this upload: try again")
        raise RequestError("decoder_crashed", "the decoder crashed on this upload: it is damaged, or made to do that")

    def close(self) -> None:
        with _starting:
            self._closed = True
        if self._worker is not None:
            self._worker.process.kill()

    def _end(self, reason: str, *, died: bool = False) -> int | None:
        worker, self._worker = self._worker, None
        if worker is None:
            return None
        if died:
            worker.process.join(5)  # otherwise kill() below would overwrite its own exit status
        status = worker.kill()
        if died:
            reason = "killed" if status is not None and status < 0 and -status in OUTSIDE else "crashed"
        if not self._closed:
            self._replaced[reason] += 1
            _log.warning("a worker was replaced", extra={"reason": reason, "exit_status": status})
        return status


def _readable(worker: Worker, seconds: float) -> bool:
    """Wait for a message, or for the end of the process."""
    try:
        return worker.connection.poll(seconds)
    except OSError:
        return True


def _received(worker: Worker, kind: int) -> bool:
    """Wait for a message. Return whether it came in time and is of this kind."""
    if not _readable(worker, START_S):
        return False
    message = worker.take()
    return message is not None and message[0] == kind
