"""A server returns the memory that its sessions have freed."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")

HELD = """
import sys
import numpy, psutil
from voxtrait.web import memory
if sys.argv[1] == "returned":
    memory.return_freed()
numpy.ones(2 << 20)  # 16 MB: after this, glibc keeps blocks of up to this size
before = psutil.Process().memory_info().rss
large = [(numpy.ones(1 << 18), numpy.ones(1 << 10)) for _ in range(60)]  # 2 MB, then 8 kB
small = [pair[1] for pair in large]
del large
print((psutil.Process().memory_info().rss - before) / 1e6)
"""


def kept_mb(how: str) -> float:
    return float(subprocess.check_output([sys.executable, "-c", HELD, how], text=True))


def test_large_blocks_are_returned_although_small_ones_stay_between_them() -> None:
    assert kept_mb("kept") > 60
    assert kept_mb("returned") < 10
