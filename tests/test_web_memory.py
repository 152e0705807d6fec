"""A server returns the memory that its sessions have freed."""

import os
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
filled = [numpy.ones(5_000) for _ in range(1_500)]  # 60 MB fill the older gaps, so the next ones come from the top
before = psutil.Process().memory_info().rss
large = [(numpy.ones(1 << 18), numpy.ones(5_000)) for _ in range(60)]  # 2 MB, then 40 kB
small = [pair[1] for pair in large]
del large
print((psutil.Process().memory_info().rss - before) / 1e6)
"""

SMALL = """
import sys
import psutil
from voxtrait.web import memory
memory.return_freed()
before = psutil.Process().memory_info().rss
small = [bytes(1000) for _ in range(60_000)]
last = bytes(1000)  # stays behind them
del small
if sys.argv[1] == "returned":
    memory.trim()
print((psutil.Process().memory_info().rss - before) / 1e6)
"""
SESSIONS = """
import sys, threading
import numpy, psutil, voxtrait
from voxtrait.recognize import Listening
from voxtrait.synthetic import cohort, speak
from voxtrait.web import memory
if sys.argv[1] == "returned":
    memory.return_freed()
voice = (0.2 * speak(cohort(4, 3)[1], 16, 1, sampling_rate=16_000)).astype(numpy.float32)
recognizer = voxtrait.load("voxtrait-fast")
def live(seconds):
    with Listening(recognizer) as listening:
        for second in range(seconds):
            listening.feed(voice[16_000 * second : 16_000 * (second + 1)], 16_000)
        listening.close()
live(3)
before = psutil.Process().memory_info().rss
sessions = [threading.Thread(target=live, args=(4 + 3 * n,)) for n in range(5)]
for session in sessions:
    session.start()
for session in sessions:
    session.join()
print((psutil.Process().memory_info().rss - before) / 1e6)
"""


def kept_mb(script: str, how: str) -> float:
    # Dask sets MALLOC_TRIM_THRESHOLD_ in this process if its tests ran before; then glibc does not raise its thresholds
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    return float(subprocess.check_output([sys.executable, "-c", script, how], text=True, env=ours))


@pytest.fixture(autouse=True)
def after_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")


def test_large_blocks_are_returned_although_small_ones_stay_between_them() -> None:
    assert kept_mb(HELD, "kept") > 60
    assert kept_mb(HELD, "returned") < 10


def test_small_blocks_are_returned_although_one_stays_behind_them() -> None:
    assert kept_mb(SMALL, "kept") > 40
    assert kept_mb(SMALL, "returned") < 10


def test_live_sessions_of_different_lengths_return_the_memory_of_their_encoder() -> None:
    kept, returned = kept_mb(SESSIONS, "kept"), kept_mb(SESSIONS, "returned")
    assert returned < 25
    assert kept > 1.5 * returned
