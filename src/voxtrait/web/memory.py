"""Lets a long-lived process return freed memory to the system."""

import contextlib
import ctypes
import sys
from typing import Final

LARGE: Final = 1 << 18  # bytes of a block that is returned as soon as it is freed
# parameters of mallopt in glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
ARENAS: Final = 2  # pools of memory for small blocks; by default, 8 for each core


def return_freed() -> None:
    """Set the allocator of this process to return large blocks at once; does nothing on systems without glibc.

    By default, glibc keeps freed blocks of up to 32 MB in the pool of each thread. Sessions of different lengths leave
    gaps in these pools, so the memory of a server rises.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(AttributeError, OSError):  # another C library, such as musl
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((_MMAP_THRESHOLD, LARGE), (_TRIM_THRESHOLD, 4 * LARGE), (_ARENA_MAX, ARENAS)):
            mallopt(parameter, value)
