"""Measures the static site in Chromium, for benchmarks/site.py: times, and the memory that a long file needs."""

import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from site_visits import loads, microphone, visited

import formats
from pages import RATE, launch
from sites import hosted
from voxtrait.synthetic import cohort, speak

SPOKEN_S = 5
RECORDS = 10
LONG_S = 1800
PATIENCE_MS = 300_000
STOP = """
() => new Promise((done, failed) => {
  const single = document.getElementById("single");
  const before = single.querySelector(".card.ok h2")?.textContent;
  const began = performance.now();
  const observer = new MutationObserver(() => {
    const title = single.querySelector(".card.ok h2")?.textContent;
    if (!title || title === before) return;
    observer.disconnect();
    done(performance.now() - began);
  });
  observer.observe(single, { childList: true, subtree: true, attributes: true, characterData: true });
  setTimeout(() => failed(new Error("no result")), 30_000);
  document.getElementById("record").click();
})
"""
SHOWN = """
(name) => document.querySelector("#single .card.ok h2")?.textContent === name
  && document.querySelector("#single .player[data-shown=yes]") !== null
"""


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Any, Any]]:
    """The browser, and a tab of the site in it. The microphone plays a synthetic voice."""
    from playwright.sync_api import sync_playwright

    with hosted(folder) as address, sync_playwright() as driver:
        browser = launch(driver, microphone(folder.parent))
        tab = browser.new_context(permissions=["microphone"]).new_page()
        tab.goto(address)
        tab.wait_for_selector("body[data-ready=yes]")
        tab.evaluate("navigator.serviceWorker.ready.then(() => true)")
        yield browser, tab
        browser.close()


def answers(tab: Any, count: int = RECORDS) -> list[float]:
    """Record 5 s several times; return the times from the click on "stop" to the result on the page, in ms."""
    found = []
    for _ in range(count):
        tab.click("#record")
        tab.wait_for_selector("#stage[data-state=recording]")
        tab.wait_for_timeout(1000 * SPOKEN_S)
        found.append(tab.evaluate(STOP))
        tab.wait_for_selector("#single .player[data-shown=yes]")
    return found


def memory(browser: Any, tab: Any, file: Path) -> tuple[float, float]:
    """Predict a file; return the most resident memory above that of the page before in MB, and the seconds."""
    described = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    pages = [Path("/proc", str(one["id"])) for one in described if one["type"] == "renderer"]

    def used(field: str) -> float:
        lines = [line for page in pages for line in (page / "status").read_text("ascii").splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith(field)) / 1000

    for page in pages:
        (page / "clear_refs").write_text("5", "ascii")  # the maximum begins again
    before = used("VmRSS")
    began = tab.evaluate("performance.now()")
    tab.set_input_files("#files", file)
    tab.wait_for_function(SHOWN, arg=file.name, timeout=PATIENCE_MS)
    return used("VmHWM") - before, (tab.evaluate("performance.now()") - began) / 1000


def long_files(folder: Path) -> Iterator[Path]:
    """Write half an hour of synthetic speech as several kinds of file, one after the other."""
    spoken = np.concatenate([speak(voice, 30.0, at) for at, voice in enumerate(cohort(4, 3))])
    voice = np.tile(spoken, round(LONG_S * RATE / len(spoken)))
    makers: dict[str, Callable[[Any], bytes]] = {
        "16 kHz.wav": formats.sndfile("WAV", "PCM_16"),
        "44.1 kHz.mp3": formats.media("mp3", "mp3", 44_100),
        "44.1 kHz.m4a": formats.media("ipod", "aac", 44_100),
        "48 kHz.webm": formats.media("webm", "libopus", 48_000),
        "16 kHz.flac": formats.sndfile("FLAC"),
    }
    for name, make in makers.items():
        file = folder / name
        file.write_bytes(make(voice))
        yield file
        file.unlink()
    file = folder / "48 kHz stereo.wav"
    wide = np.repeat(voice, 3)
    soundfile.write(file, np.stack([wide, wide / 2], axis=1), 3 * RATE, subtype="PCM_16")
    yield file
    file.unlink()


def row(name: str, found: list[float]) -> str:
    """Format times."""
    return f"| {name} | {statistics.median(found):.0f} | {min(found):.0f}-{max(found):.0f} | {len(found)} |"


def report(model: str, folder: Path, *, long: bool) -> None:
    """Print the times of a site in Chromium, and the memory for long files."""
    with visited(folder) as tab:
        answered = answers(tab)
        tab.reload()
        answers(tab, 2)  # the browser keeps the code that it compiled on this visit, too
        loaded = loads(tab, RECORDS)
    print(f"\n| {model}, ms | median | range | times |\n|---|---|---|---|")
    print(row("from stop to the result, 5 s of speech", answered))
    print(row("from the start of a later visit until the model is loaded", loaded), flush=True)
    if not long:
        return
    print("\n| half an hour of sound as | file, MB | memory above the page, MB | s |\n|---|---|---|---|")
    for file in long_files(folder.parent):
        with opened(folder) as (browser, tab):
            answers(tab, 1)  # memory of the page in use, not of the page just opened
            most, seconds = memory(browser, tab, file)
        print(f"| {file.name} | {file.stat().st_size / 1e6:.0f} | {most:.0f} | {seconds:.0f} |", flush=True)
