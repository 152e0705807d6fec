"""Pool of worker processes: each processes one task at a time and is replaced when it exits or takes too long.

Requests get a free worker in the order of arrival. While a worker is busy, one thread waits for it, so the event loop
never blocks. A worker may send parts of its result; it waits until each part has been taken. If a worker exits, its
exit status determines the error of the request: a crashed decoder and a killed worker have different exit statuses.
"""

import asyncio
import logging
import pickle
import signal
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from voxtrait.batch.worker import DONE, FAILED, PART, READY, Worker
from voxtrait.errors import WorkerError
from voxtrait.web.errors import RequestError
from voxtrait.web.work import Task

START_S: Final = 120.0  # seconds within which a worker must be ready
EXIT_S: Final = 5.0  # seconds for a dying worker to end
ATTEMPTS: Final = 3  # at starting a worker that is killed while it starts
KILLED: Final = f"a worker process was killed {ATTEMPTS} times while it started: check that there is enough memory"
AGAIN_S: Final = 1.0  # seconds between attempts to start a worker
OUTSIDE: Final = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Signals that an operator or the kernel sends. Any other signal indicates a crash."""

_log = logging.getLogger("voxtrait.web")
_starting = threading.Lock()  # multiprocessing hides the main module while it starts a process


class Pool:
    """A fixed number of workers that have loaded the model.

    Args:
        job: pickled and sent to each worker; called with a :class:`~voxtrait.web.work.Task` and a function that sends
            a part of the result.
        size: number of workers.
        timeout_s: maximum seconds that a request waits for a worker, and that its processing makes no progress.
    """

    def __init__(self, job: Callable[..., Any], size: int, timeout_s: float) -> None:
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
        """Number of running workers."""
        return sum(slot.alive for slot in self._slots)

    @property
    def retry_s(self) -> int:
        """Seconds after which a worker is probably free."""
        return max(1, min(30, round(self._mean_s * (1 + self.waiting / self.size))))

    def process_ids(self) -> list[int]:
        """Return the process ids of the running workers."""
        return [slot.process_id for slot in self._slots if slot.alive]

    async def start(self) -> None:
        """Start all workers and wait until they have loaded the model.

        Raises:
            WorkerError: if a worker cannot start.
        """
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._threads, slot.start) for slot in self._slots))
        for slot in self._slots:
            self._free.put_nowait(slot)

    async def ask(self, task: Task, each: Callable[[Any], Awaitable[None]] | None = None) -> Any:
        """Run a task on a worker; if the caller is cancelled or ``each`` fails, the worker stops at its next part.

        Args:
            task: the task.
            each: called with each part of the result except the last; the worker waits until it returns. ``None`` is
                only a sign of progress.

        Raises:
            RequestError: ``busy`` if no worker was free in time, ``interrupted`` if the worker was killed,
                ``too_slow``, or ``decoder_crashed``.
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
        parts = _Parts()
        work = asyncio.get_running_loop().run_in_executor(self._threads, slot.ask, task, self._timeout_s, parts)
        work.add_done_callback(lambda done: self._release(slot, done))
        try:
            while (part := await parts.take(work)) is not None:
                if each is not None:
                    await each(*part)
                parts.reply(True)
            result, seconds = await asyncio.shield(work)  # without parts, a task ends even if the caller is cancelled
        finally:
            parts.close()
        self._mean_s = seconds if not self._mean_s else 0.9 * self._mean_s + 0.1 * seconds
        return result

    def replace_dead(self) -> None:
        """Start workers in place of those that were killed while idle; the next request would start only its own."""
        for _ in range(self._free.qsize()):
            self._offer(self._free.get_nowait())

    async def close(self) -> None:
        """Kill all workers immediately, even during a task."""
        self._closed = True
        for slot in self._slots:
            slot.close()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    def _release(self, slot: "_Slot", work: "asyncio.Future[Any]") -> None:
        self.busy -= 1
        if not work.cancelled():
            work.exception()  # mark it as retrieved: the caller of ask() received it, or was cancelled
        self._offer(slot)

    def _offer(self, slot: "_Slot") -> None:
        """Return a worker to the queue, or start a new one if it has exited."""
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


class _Parts:
    """Passes the parts of one result from the thread that waits for the worker to the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._worker: Worker | None = None  # the worker that waits for a reply
        self._closed = False
        self.replied = 0.0  # time of the last reply to the worker, on the monotonic clock

    @property
    def is_waiting(self) -> bool:
        """Whether the worker waits until its last part has been taken."""
        return self._worker is not None

    def put(self, worker: Worker, part: Any) -> None:
        """Add a part; called by the thread."""
        self._worker = worker
        self._loop.call_soon_threadsafe(self._put, part)

    async def take(self, work: "asyncio.Future[Any]") -> tuple[Any] | None:
        """Wait for the next part; return ``None`` if the work is done."""
        part = asyncio.ensure_future(self._queue.get())
        try:
            await asyncio.wait({work, part}, return_when=asyncio.FIRST_COMPLETED)
            return (part.result(),) if part.done() else None
        finally:
            part.cancel()

    def reply(self, go_on: bool) -> None:
        """Reply to the worker that its last part has been taken, and whether to continue."""
        worker, self._worker = self._worker, None
        if worker is not None:
            self.replied = time.monotonic()
            worker.reply(go_on)

    def close(self) -> None:
        """Stop accepting parts."""
        self._closed = True
        self.reply(False)

    def _put(self, part: Any) -> None:
        if self._closed:
            self.reply(False)
        else:
            self._queue.put_nowait(part)


class _Slot:
    """One worker and its replacements, used by one thread at a time."""

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
        """Start a worker; a worker that is killed meanwhile is no reason to give up."""
        self._end("idle")  # one that was killed while idle
        for _ in range(ATTEMPTS):
            with _starting:
                if self._closed:
                    return
                worker = Worker(self._job, bare=True, parts=True)
            self._worker = worker
            is_ready = _received(worker, READY)
            if is_ready:
                worker.give([Task("warm")])
                if _received(worker, DONE):
                    return
            worker.process.join(EXIT_S)
            died = not worker.process.is_alive()
            status = self._end("stillborn", died=died)
            if not (died and _is_killed(status)):
                break
        else:
            raise WorkerError(KILLED)
        if not is_ready:
            raise WorkerError(
                f"a worker process could not start (exit status {status}): check that this user may run Python"
            )
        raise WorkerError("a worker process could not load the model: check that there is enough memory")

    def ask(self, task: Task, timeout_s: float, parts: _Parts) -> tuple[Any, float]:
        if not self.alive:  # it was killed while idle
            try:
                self.start()
            except WorkerError as error:  # the pool tries again
                raise RequestError("interrupted", f"{error}, or try again") from None
        worker = self._worker
        if worker is None:
            raise RequestError("interrupted", "the server stops: try again later")
        begun = time.monotonic()
        worker.give([task])
        while True:
            left = timeout_s
            while not _readable(worker, left):
                if parts.is_waiting:  # for the client; this does not count as the worker's time
                    left = timeout_s
                    continue
                left = parts.replied + timeout_s - time.monotonic()
                if left <= 0:
                    self._end("late")
                    raise RequestError(
                        "too_slow", f"processing made no progress for {timeout_s:g} s: split the recording"
                    )
            match worker.take():
                case (kind, part) if kind == PART:
                    parts.put(worker, part)
                    continue
                case (kind, result) if kind == DONE:
                    return result, time.monotonic() - begun
                case (kind, error) if kind == FAILED:
                    self._end("crashed")
                    raise error
            break
        status = self._end("", died=True)
        if _is_killed(status):
            raise RequestError("interrupted", "the worker was killed while it processed this upload: try again")
        raise RequestError("decoder_crashed", "the decoder crashed on this upload: the file is damaged or malicious")

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
            worker.process.join(EXIT_S)  # otherwise kill() below would overwrite its own exit status
        status = worker.kill()
        if died:
            reason = "killed" if _is_killed(status) else "crashed"
        if not self._closed:
            self._replaced[reason] += 1
            _log.warning("a worker was replaced", extra={"reason": reason, "exit_status": status})
        return status


def _is_killed(status: int | None) -> bool:
    """Return whether an exit status is that of a process that was killed from outside."""
    return status is not None and status < 0 and -status in OUTSIDE


def _readable(worker: Worker, seconds: float) -> bool:
    """Wait until the worker has sent a message or has exited."""
    try:
        return worker.connection.poll(seconds)
    except OSError:
        return True


def _received(worker: Worker, kind: int) -> bool:
    """Wait for a message; return whether it arrived in time and has this kind."""
    if not _readable(worker, START_S):
        return False
    message = worker.take()
    return message is not None and message[0] == kind
