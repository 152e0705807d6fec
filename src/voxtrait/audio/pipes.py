"""Reads the bytes of a pipe, and decodes in a thread so that Ctrl-C works."""

import contextlib
import os
import queue
import select
import threading
import time
from collections.abc import Callable, Generator
from typing import IO, Final, TypeVar

WAITING: Final = 64  # maximum items in the queue for the consumer
LOOK_S: Final = 0.005  # seconds between two looks at a full queue, or at a thread that ends
LEAVE_S: Final = 1.0  # seconds to wait for the end of a thread: if it reads from a Python object, it cannot be ended

Item = TypeVar("Item")


class Pipe:
    """A pipe with a preview of the next bytes and a count of the bytes read."""

    name = "pipe"  # PyAV needs one

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ahead = b""
        self._descriptor: int | None = None
        with contextlib.suppress(OSError):
            if not file.seekable():  # a read through Python's buffer holds a lock, and a thread in it prevents the exit
                # a duplicate: a thread may still wait for it after the caller has closed the original
                self._descriptor = os.dup(file.fileno())
                self._over, self._end = os.pipe()  # wakes the waiting thread
        # locked while a descriptor is closed or written to, because its number may be reused
        self._open = threading.Lock()
        self.lent = False  # whether a thread uses the pipe and will close it
        self.ended = False
        self.count = 0  # bytes read since the last audio
        self.most: int | None = None  # maximum of `count`, after which the pipe counts as ended

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes as soon as some arrive, or no bytes at the end."""
        if self._ahead:
            found, self._ahead = self._ahead[:size], self._ahead[size:]
        elif self._descriptor is not None:
            ready, _, _ = select.select([self._descriptor, self._over], [], [])
            found = b"" if self._over in ready else os.read(self._descriptor, size)
        else:
            found = getattr(self._file, "read1", self._file.read)(size)
        self.count += len(found)
        if self.most is not None and self.count > self.most:
            return b""  # PyAV would print an exception and drop it
        self.ended = not found
        return found

    def look(self, size: int) -> bytes:
        """Return the next bytes without consuming them; fewer only at the end."""
        seen, self._ahead = self._ahead, b""
        while len(seen) < size and (more := self.read(size - len(seen))):
            seen += more
        self._ahead = seen
        self.count = 0
        return seen[:size]

    def end(self) -> None:
        """End the pipe, also for a thread that currently waits for it."""
        with self._open:
            if self._descriptor is not None:
                os.write(self._end, b".")

    def close(self) -> None:
        """Release the pipe; the caller's file stays open."""
        with self._open:
            if self._descriptor is not None:
                for descriptor in (self._descriptor, self._over, self._end):
                    os.close(descriptor)
                self._descriptor = None

    def put_back(self, content: bytes) -> None:
        """Make the next read return these bytes."""
        self._ahead = content + self._ahead


def in_thread(items: Generator[Item, None, None], end: Callable[[], None]) -> Generator[Item, None, None]:
    """Yield items from a thread, so that Ctrl-C works: it would not interrupt a C library in the main thread.

    The thread ends with this generator, because a thread that runs while the interpreter shuts down may abort the
    process. ``end`` is called to end its waiting for items.
    """
    # no queue.Queue: Ctrl-C within its locks leaves both threads waiting for ever
    waiting: queue.SimpleQueue[tuple[Item | None, BaseException | None]] = queue.SimpleQueue()
    wanted = threading.Event()
    wanted.set()

    def put(item: Item | None, error: BaseException | None) -> None:
        while wanted.is_set():
            if waiting.qsize() < WAITING:
                waiting.put((item, error))
                return
            time.sleep(LOOK_S)

    def work() -> None:
        try:
            with contextlib.closing(items):
                for item in items:
                    put(item, None)
                    if not wanted.is_set():
                        return
            put(None, None)
        except BaseException as error:  # passed to the waiting thread
            put(None, error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        wanted.clear()
        end()
        thread.join(LEAVE_S)
