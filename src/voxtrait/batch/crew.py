"""Worker processes on this machine: replaces workers that die or hang, and retries their items."""

import collections
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any, Final, NamedTuple

from voxtrait.batch.where import ATTEMPTS
from voxtrait.batch.worker import DONE, FAILED, READY, START_S, Worker
from voxtrait.errors import WorkerError

WINDOW: Final = 4  # running or queued chunks for each worker
GRACE_S: Final = 10.0  # seconds for workers to finish their current items at the end
DIED: Final = f"its worker process died {ATTEMPTS} times (crash of the decoder, or out of memory)"


class Lost(NamedTuple):
    """Replaces the result of an item whose worker died in every attempt or exceeded the timeout."""

    reason: str


@dataclasses.dataclass
class _Task:
    """A running or queued chunk."""

    items: Sequence[Any]
    results: list[Any] = dataclasses.field(default_factory=list)  # results of the first items
    n_yielded: int = 0  # number of yielded results
    deaths: int = 0  # deaths of workers at the current item

    @property
    def whole(self) -> bool:
        return len(self.results) == len(self.items)

    def add(self, result: Any) -> None:
        self.results.append(result)
        self.deaths = 0

    def new_results(self) -> Iterator[tuple[Any, Any]]:
        """Yield results not yet yielded, and release them."""
        while self.n_yielded < len(self.results):
            at, self.n_yielded = self.n_yielded, self.n_yielded + 1
            result, self.results[at] = self.results[at], None
            yield self.items[at], result


@dataclasses.dataclass
class _Post:
    """A worker and its current task."""

    worker: Worker
    ready: bool = False
    task: _Task | None = None
    since: float = 0.0  # start of the process or of the current item, on the crew's clock


class Crew:
    """Worker processes that are kept between calls of :meth:`run`; one event loop without threads.

    Args:
        job: pickled job, sent to each worker once.
        size: number of workers.
        timeout: maximum seconds per item; ``None`` for no limit.
        bare: see :class:`voxtrait.batch.worker.Worker`.

    Raises:
        WorkerError: if no process can start, or none is ready within ``START_S`` in two attempts.
    """

    def __init__(self, job: bytes, size: int, *, timeout: float | None = None, bare: bool = False) -> None:
        self.job = job
        self.size = size
        self.timeout = timeout
        self.bare = bare
        self._posts: list[_Post] = []
        self._failed_starts = 0  # consecutive processes that ended before they were ready
        self._clock = 0.0  # advances only while results are awaited: pauses of the consumer do not count

    def run(self, chunks: Iterator[Sequence[Any]]) -> Iterator[tuple[Any, Any]]:
        """Process chunks, and yield each item with its result, or :class:`Lost`, in order.

        An error of the job itself is raised here; then the crew must be closed.
        """
        waiting: collections.deque[_Task] = collections.deque()  # in order, until all results are yielded
        todo: collections.deque[_Task] = collections.deque()
        while True:
            for chunk in itertools.islice(chunks, max(0, WINDOW * self.size - len(waiting))):
                waiting.append(_Task(chunk))
                todo.append(waiting[-1])
            if not waiting:
                return
            self._posts += [self._post() for _ in range(self.size - len(self._posts))]
            for post in self._posts:
                if todo and post.ready and post.task is None:
                    self._give(post, todo.popleft())
            self._watch(todo)
            while waiting:
                yield from waiting[0].new_results()
                if not waiting[0].whole:
                    break
                waiting.popleft()

    def close(self, *, now: bool = False) -> None:
        """End the workers: after their current items, or immediately."""
        posts, self._posts = self._posts, []
        for post in posts:
            post.worker.stop()
        end = time.monotonic() + (0.0 if now else GRACE_S)
        for post in posts:
            post.worker.join(end - time.monotonic() if post.ready else 0.0)  # one that still starts has no item

    def _post(self) -> _Post:
        return _Post(Worker(self.job, bare=self.bare), since=self._clock)

    def _give(self, post: _Post, task: _Task) -> None:
        post.task, post.since = task, self._clock
        post.worker.give(task.items[len(task.results) :])

    def _watch(self, todo: collections.deque[_Task]) -> None:
        """Wait for messages, deaths and timeouts of workers, and process them."""
        ends = [post.since + limit for post in self._posts if (limit := self._limit(post)) is not None]
        patience = max(0.0, min(ends) - self._clock) if ends else None
        posts = {post.worker.connection: post for post in self._posts}
        before = time.monotonic()
        readable = wait(posts, patience)
        waited = time.monotonic() - before
        # a process that was paused (Ctrl-Z, a sleeping laptop) has waited longer than intended
        self._clock += waited if patience is None else min(waited, patience + 1)
        for connection in readable:
            self._receive(posts[connection], todo)  # type: ignore[index]
        for post in self._posts:
            limit = self._limit(post)
            # a worker with unread messages is not late: the owner is
            if limit is not None and self._clock - post.since >= limit and not post.worker.connection.poll():
                self._replace(post, todo, Lost(late(limit)) if post.task else None, slow=not post.ready)

    def _limit(self, post: _Post) -> float | None:
        """Return the maximum seconds for what a worker is doing: starting, an item, or nothing."""
        if not post.ready:
            return START_S
        return self.timeout if post.task else None

    def _receive(self, post: _Post, todo: collections.deque[_Task]) -> None:
        while True:
            match post.worker.take():
                case None:
                    self._replace(post, todo, None)
                    return
                case (kind, _) if kind == READY:
                    post.ready, self._failed_starts = True, 0
                case (kind, error) if kind == FAILED:
                    raise error
                case (kind, result) if kind == DONE:
                    assert post.task is not None, "a worker sent a result without a task"
                    post.task.add(result)
                    post.since = self._clock
                    if post.task.whole:
                        post.task = None
            if not post.task or not post.worker.connection.poll():
                return

    def _replace(self, post: _Post, todo: collections.deque[_Task], lost: Lost | None, *, slow: bool = False) -> None:
        """Replace a worker that is dead or late."""
        status, task = post.worker.kill(), post.task
        if not post.ready:
            self._failed_starts += 1
            if (slow or post.worker.blocked) and self._failed_starts > self.size:
                raise WorkerError(
                    f"No worker process was ready within {START_S:g} s, in two attempts. Check the load of the "
                    "machine and the disk that Python is installed on, or use jobs=1 without a timeout."
                )
            # a negative status is a signal: the worker was killed, and the next one may survive
            if not slow and (status is None or status >= 0 or self._failed_starts > ATTEMPTS * self.size):
                raise WorkerError(
                    "No worker process could start. In a script, put the calls under if __name__ == '__main__':, or "
                    "use jobs=1 without a timeout."
                )
        if task is not None:
            task.deaths += 1
            if lost is not None or task.deaths == ATTEMPTS:
                task.add(lost or Lost(DIED))
            if not task.whole:
                todo.appendleft(task)
        post.worker, post.ready, post.task, post.since = self._post().worker, False, None, self._clock


def late(timeout: float) -> str:
    """Return the message about an item that exceeded the timeout."""
    return f"it took longer than {timeout:g} s and was stopped. Cut it into parts, or raise --timeout"
