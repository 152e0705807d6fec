"""Reads the bytes of a pipe, and decodes in a thread so that Ctrl-C works."""

import contextlib
import os
import queue
import select
import threading
from collections.abc import Callable, Generator
from typing import IO, Final, TypeVar

WAITING: Final = 64  # items that may wait for the consumer
LEAVE_S: Final = 1.0  # waited for a thread's end: one that reads from what is no file of the system cannot be ended

Item = TypeVar("Item")


class Pipe:
    """A pipe whose next bytes can be looked at, and which counts."""

    name = "pipe"  # PyAV needs one

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ahead = b""
        self._descriptor: int | None = None
        with contextlib.suppress(OSError):
            if not file.seekable():  # a read through Python's buffer holds a lock, and a thread in it stops the exit
                # one of our own: a thread may still be waiting at it when the caller has closed his
                self._descriptor = os.dup(file.fileno())
                self._over, self._end = os.pipe()  # for the thread that waits, and for whoever ends its waiting
        # held while a descriptor is closed or written to: its number may soon be another's
        self._open = threading.Lock()
        self.lent = False  # to a thread that closes it
        self.ended = False
        self.count = 0  # bytes given since the last sound
        self.most: int | None = None  # of them, before it is taken to be over

    def read(self, size: int) -> bytes:
        """Give up to so many bytes, as soon as there are some; none at the end."""
        if self._ahead:
            found, self._ahead = self._ahead[:size], self._ahead[size:]
        elif self._descriptor is not None:
            ready, _, _ = select.select([self._descriptor, self._over], [], [])
            found = b"" if self._over in ready else os.read(self._descriptor, size)
        else:
            found = getattr(self._file, "read1", self._file.read)(size)
        self.count += len(found)
        if self.most is not None and self.count > self.most:
            return b""  # PyAV prints what is raised here, and drops it
        self.ended = not found
        return found

    def look(self, size: int) -> bytes:
        """Look at the next bytes, fewer only at the end, without taking them."""
        seen, self._ahead = self._ahead, b""
        while len(seen) < size and (more := self.read(size - len(seen))):
            seen += more
        self._ahead = seen
        self.count = 0
        return seen[:size]

    def end(self) -> None:
        """Give nothing more, also to a thread that waits for the pipe at this moment."""
        with self._open:
            if self._descriptor is not None:
                os.write(self._end, b".")

    def close(self) -> None:
        """Let go of the pipe; the caller's file stays open."""
        with self._open:
            if self._descriptor is not None:
                for descriptor in (self._descriptor, self._over, self._end):
                    os.close(descriptor)
                self._descriptor = None

    def put_back(self, content: bytes) -> None:
        """Give these bytes next."""
        self._ahead = content + self._ahead


def in_thread(items: Generator[Item, None, None], end: Callable[[], None]) -> Generator[Item, None, None]:
    """Let a thread work, and wait for it in a way that Ctrl-C ends: in a C library nothing would.

    The thread is over when this is, for one that runs while the interpreter shuts down may abort the process; ``end``
    is what ends its waiting for items.
    """
    waiting: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(WAITING)
    wanted = threading.Event()
    wanted.set()

    def put(item: Item | None, error: BaseException | None) -> None:
        while wanted.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put((item, error), timeout=0.2)
                return

    def work() -> None:
        try:
            with contextlib.closing(items):
                for item in items:
                    put(item, None)
                    if not wanted.is_set():
                        return
            put(None, None)
        except BaseException as error:  # for the thread that waits
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
