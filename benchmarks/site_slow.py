"""Measures the static site on a slow phone, for benchmarks/site.py: the whole browser runs a quarter of the time."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from site_times import answers, row
from site_visits import loads, visited

SLOWER = 4
RUN_S = 0.005  # of each period, in which the browser runs
AGAIN = 50  # periods after which new processes are looked for
TIMES = 5
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
LOOP = """
const loop = () => {
  const began = performance.now();
  let sum = 0;
  for (let at = 0; at < 5e7; at += 1) sum = (sum * 31 + at) | 0;
  return [performance.now() - began, sum][0];
};
"""
IN_WORKER = """
() => new Promise((done) => {
  const worker = new Worker("static/loop.js");
  worker.onmessage = ({ data }) => {
    worker.terminate();
    done(data);
  };
})
"""


def browsers() -> list[psutil.Process]:
    """The processes of all browsers that this program started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "chrom" in process.name():
                found.append(process)
    return found


@contextmanager
def slowed(factor: int = SLOWER) -> Iterator[None]:
    """Stop and continue the browser all the time: Chromium slows the processor of a page, but not that of a worker."""
    over = threading.Event()

    def say(processes: list[psutil.Process], what: signal.Signals) -> None:
        for process in processes:
            with suppress(psutil.Error):
                process.send_signal(what)

    def run() -> None:
        processes: list[psutil.Process] = []
        count = 0
        try:
            while not over.is_set():
                if count % AGAIN == 0:
                    processes = browsers()
                count += 1
                say(processes, signal.SIGCONT)
                began = time.perf_counter()
                time.sleep(RUN_S)
                ran = time.perf_counter() - began
                say(processes, signal.SIGSTOP)
                time.sleep((factor - 1) * ran)  # as much longer as it ran, on a busy machine too
        finally:
            say(browsers(), signal.SIGCONT)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def loops(tab: Any) -> list[float]:
    """Times of a loop in the page and in a worker, in ms: the fastest of ten."""
    page = f"() => {{ {LOOP} return loop(); }}"
    return [min(tab.evaluate(script) for _ in range(10)) for script in (page, IN_WORKER)]


def report(model: str, folder: Path) -> None:
    """Print the times of a site on a slow phone, and how much slower loops ran."""
    (folder / "static/loop.js").write_text(f"{LOOP}\npostMessage(loop());\n", "utf-8")
    with visited(folder, **PHONE) as tab:
        answers(tab, 2)
        tab.reload()
        answers(tab, 2)
        before = loops(tab)
        with slowed():
            factors = [slow / fast for slow, fast in zip(loops(tab), before, strict=True)]
            answered = answers(tab, TIMES)
            loaded = loads(tab, TIMES)
    (folder / "static/loop.js").unlink()
    print(f"\n| {model} on a phone, ms | median | range | times |\n|---|---|---|---|")
    print(row("from stop to the result, 5 s of speech", answered))
    print(row("from the start of a later visit until the model is loaded", loaded))
    print(f"\nA loop ran {factors[0]:.1f} times slower in the page, {factors[1]:.1f} times in a worker.", flush=True)
