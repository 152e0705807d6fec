"""A few workers of this machine and what becomes of items whose worker dies or hangs: one event loop, no threads."""

import collections
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any, Final, NamedTuple

from voxtrait.batch.worker import DONE, FAILED, READY, Worker
from voxtrait.errors import WorkerError

ATTEMPTS: Final = 3  # at an item whose worker dies: a kill by an operator or by the kernel must not fail a good file
WINDOW: Final = 4  # chunks under way for each worker
GRACE_S: Final = 10.0  # that workers have to end the items they are at, when nobody wants more
DIED: Final = f"the process that worked on it died {ATTEMPTS} times (crash of the decoder, or out of memory)"


class Lost(NamedTuple):
    """Takes the place of an item's result: its worker died again and again, or took too long."""

    reason: str


@dataclasses.dataclass
class _Task:
    """A chunk on its way."""

    items: Sequence[Any]
    results: list[Any] = dataclasses.field(default_factory=list)  # of the first items
    n_yielded: int = 0  # results that were handed on
    deaths: int = 0  # of workers at the item in work

    @property
    def whole(self) -> bool:
        return len(self.results) == len(self.items)

    def add(self, result: Any) -> None:
        self.results.append(result)
        self.deaths = 0

    def new_results(self) -> Iterator[tuple[Any, Any]]:
        """Hand on what has not been handed on, and keep it no longer than needed."""
        while self.n_yielded < len(self.results):
            at, self.n_yielded = self.n_yielded, self.n_yielded + 1
            result, self.results[at] = self.results[at], None
            yield self.items[at], result


@dataclasses.dataclass
class _Post:
    """A worker and what it is at."""

    worker: Worker
    ready: bool = False
    task: _Task | None = None
    since: float = 0.0  # on the crew's clock: when the item in work was begun


class Crew:
    """Worker processes that stay warm between calls of :meth:`run`.

    Args:
        job: pickled; sent to each worker once.
        size: how many workers.
        timeout: seconds that an item may take; ``None``: any number.
        bare: see :class:`voxtrait.batch.worker.Worker`.

    Raises:
        WorkerError: by the first result, if no process can start.
    """

    def __init__(self, job: bytes, size: int, *, timeout: float | None = None, bare: bool = False) -> None:
        self.job = job
        self.size = size
        self.timeout = timeout
        self.bare = bare
        self._posts: list[_Post] = []
        self._failed_starts = 0  # processes in a row that ended before they were ready
        self._clock = 0.0  # ticks only while the crew is watched: a consumer's pause makes no item late

    def run(self, chunks: Iterator[Sequence[Any]]) -> Iterator[tuple[Any, Any]]:
        """Work chunks and give each item with its result, or :class:`Lost`, in order.

        An error of the job itself is raised here; the crew is of no more use then, and must be closed.
        """
        waiting: collections.deque[_Task] = collections.deque()  # in order, until all of it is handed on
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
        """End the workers: after the items they are at, or at once."""
        posts, self._posts = self._posts, []
        for post in posts:
            post.worker.stop()
        end = time.monotonic() + (0.0 if now else GRACE_S)
        for post in posts:
            post.worker.join(end - time.monotonic())

    def _post(self) -> _Post:
        return _Post(Worker(self.job, bare=self.bare))

    def _give(self, post: _Post, task: _Task) -> None:
        post.task, post.since = task, self._clock
        post.worker.give(task.items[len(task.results) :])

    def _watch(self, todo: collections.deque[_Task]) -> None:
        """Wait until something happens, and see to it."""
        busy = [post.since for post in self._posts if post.task is not None]
        patience = None if self.timeout is None or not busy else max(0.0, min(busy) + self.timeout - self._clock)
        posts = {post.worker.connection: post for post in self._posts}
        before = time.monotonic()
        readable = wait(posts, patience)
        waited = time.monotonic() - before
        # a process that was stopped (Ctrl-Z, a sleeping laptop) and goes on has waited longer than it meant to
        self._clock += waited if patience is None else min(waited, patience + 1)
        for connection in readable:
            self._receive(posts[connection], todo)  # type: ignore[index]
        if self.timeout is not None:
            for post in self._posts:
                # with something to read it is not late: that would be our own fault
                if post.task and self._clock - post.since >= self.timeout and not post.worker.connection.poll():
                    self._replace(post, todo, Lost(late(self.timeout)))

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
                    assert post.task is not None, "a worker told a result that nobody asked for"
                    post.task.add(result)
                    post.since = self._clock
                    if post.task.whole:
                        post.task = None
            if not post.task or not post.worker.connection.poll():
                return

    def _replace(self, post: _Post, todo: collections.deque[_Task], lost: Lost | None) -> None:
        """Put a new worker in the place of one that is dead or late."""
        status, task = post.worker.kill(), post.task
        if not post.ready:
            self._failed_starts += 1
            # a negative status is a signal: somebody killed it, and the next one may live
            if status is None or status >= 0 or self._failed_starts > ATTEMPTS * self.size:
                raise WorkerError(
                    "no worker process could start: a script that works in several processes needs its calls under "
                    "if __name__ == '__main__':, or jobs=1 (and no timeout)"
                )
        if task is not None:
            task.deaths += 1
            if lost is not None or task.deaths == ATTEMPTS:
                task.add(lost or Lost(DIED))
            if not task.whole:
                todo.appendleft(task)
        post.worker, post.ready, post.task = self._post().worker, False, None


def late(timeout: float) -> str:
    """State why an item was given up that took too long."""
    return f"it took longer than {timeout:g} s and was given up: cut it into pieces, or allow more with --timeout"
