"""A reader with every fault, for the tests of the fuzzing itself."""

import os
import signal
import time
from typing import Final

from fuzzing import Target
from voxtrait.errors import DecodeError


def broken(data: bytes) -> str:
    """Fail as the first byte of the input says."""
    match data[:1]:
        case b"c":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"h":
            time.sleep(60)
        case b"m":
            return str(len(b"\1" * 200_000_000))
        case b"u":
            raise KeyError("x")
        case b"e":
            raise DecodeError("")
        case b"r":
            raise DecodeError("it is damaged")
    return "read"


FAULTY: Final = Target("faulty", tuple, broken, (DecodeError,), seconds=1.0, memory_mb=100.0)
