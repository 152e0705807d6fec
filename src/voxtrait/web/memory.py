"""Lets a long-lived process return freed memory to the system."""

import contextlib
import ctypes
import sys
from typing import Final

from voxtrait import runtime

LARGE: Final = 1 << 18  # bytes of a block that is returned as soon as it is freed
# parameters of mallopt in glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
ARENAS: Final = 2  # pools of memory for small blocks; by default, 8 for each core


def trim() -> None:
    """Return what is free in the pools of glibc, which takes about 1 ms; does nothing with other C libraries."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


def return_freed() -> None:
    """Let ONNX Runtime return its memory after each run, and glibc return large blocks at once.

    By default, glibc, the C library of most Linux systems, keeps freed blocks of up to 32 MB in the pool of each
    thread. Sessions of different lengths leave gaps in these pools, so the memory of a server rises.
    """
    runtime.return_memory()
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(AttributeError, OSError):  # another C library, such as musl
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((_MMAP_THRESHOLD, LARGE), (_TRIM_THRESHOLD, 4 * LARGE), (_ARENA_MAX, ARENAS)):
            mallopt(parameter, value)
