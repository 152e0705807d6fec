"""Visits to the static site with a profile on disk, for benchmarks/site.py: until the model is loaded, by stage."""

import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from pages import RATE, launch
from sites import hosted
from voxtrait import audio
from voxtrait.synthetic import cohort, speak

PAUSE_MS = 500
OPENED = """
async () => {
  const { send } = await import("./static/connection.js");
  await send("drop", { job: await send("open", { rate: 16000 }) });
  return performance.now();
}
"""
PROBE = """
const marks = [];
const mark = (name) => marks.push([name, performance.timeOrigin + performance.now()]);
mark("modules of the worker are loaded");
const own = fetch;
self.fetch = async (...given) => {
  const response = await own(...given);
  if (String(given[0]).endsWith(".wasm")) mark("runtime is found");
  return response;
};
const { instantiateStreaming } = WebAssembly;
WebAssembly.instantiateStreaming = async (...given) => {
  const found = await instantiateStreaming.apply(WebAssembly, given);
  mark("runtime is compiled and instantiated");
  return found;
};
import * as ort from "../runtime/ort.wasm.min.mjs";
const { create } = ort.InferenceSession;
ort.InferenceSession.create = async (...given) => {
  const session = await create.apply(ort.InferenceSession, given);
  mark(`graph of ${session.outputNames[0]} is open`);
  return session;
};
const channel = new BroadcastChannel("stages");
channel.addEventListener("message", () => channel.postMessage(marks));
"""
STAGES = """
async () => {
  const channel = new BroadcastChannel("stages");
  const marks = await new Promise((done) => {
    channel.addEventListener("message", ({ data }) => done(data));
    channel.postMessage("marks");
  });
  const files = ["start.js", "worker.js"].map((name) => {
    const found = performance.getEntriesByType("resource").find((one) => one.name.endsWith(name));
    return [`${name} is read`, found?.responseEnd ?? null];
  });
  const [page] = performance.getEntriesByType("navigation");
  const later = marks.map(([name, time]) => [name, time - performance.timeOrigin]);
  return [["page is read", page.responseEnd], ...files, ...later].filter(([, time]) => time !== null);
}
"""


def microphone(folder: Path) -> Path:
    """Write the synthetic voice that a microphone plays."""
    file = folder / "microphone.wav"
    audio.write_wav(file, speak(cohort(2, 3)[1], 8.0, 1), RATE)
    return file


@contextmanager
def visited(folder: Path, **look: Any) -> Iterator[Any]:
    """A tab of the site at its first visit. A private window keeps no compiled code, so the profile is on disk."""
    from playwright.sync_api import sync_playwright

    with hosted(folder) as address, sync_playwright() as driver, tempfile.TemporaryDirectory() as profile:
        heard = microphone(folder.parent)
        context = launch(driver, heard, Path(profile), permissions=["microphone"], **look)
        tab = context.new_page()
        tab.goto(address)
        tab.wait_for_selector("body[data-ready=yes]")
        tab.evaluate("navigator.serviceWorker.ready.then(() => true)")
        yield tab
        context.close()


def load(tab: Any) -> float:
    """Open the page again; return the time from the start of the visit until the graphs are opened, in ms."""
    tab.reload()
    found: float = tab.evaluate(OPENED)
    tab.wait_for_timeout(PAUSE_MS)  # graphs that nobody waits for, and the picture of the page
    return found


def loads(tab: Any, count: int) -> list[float]:
    """Open the page again several times."""
    return [load(tab) for _ in range(count)]


def stages(model: str, folder: Path, count: int) -> None:
    """Print when each stage of a later visit ends, in ms after the start of the visit."""
    with tempfile.TemporaryDirectory() as name:
        probed = Path(name) / "site"
        shutil.copytree(folder, probed)
        (probed / "static/worker.js").rename(probed / "static/measured.js")
        (probed / "static/probe.js").write_text(PROBE, "utf-8")
        (probed / "static/worker.js").write_text('import "./probe.js";\nimport "./measured.js";\n', "utf-8")
        keeper = (probed / "sw.js").read_text("utf-8")
        more = json.dumps(["static/measured.js", "static/probe.js"])
        (probed / "sw.js").write_text(keeper.replace("const FILES = [", f"const FILES = {more[:-1]}, "), "utf-8")
        found: dict[str, list[float]] = {}
        with visited(probed) as tab:
            for at in range(2 + count):
                load(tab)
                tab.set_input_files("#files", microphone(folder.parent))
                tab.wait_for_selector("#single .card.ok")
                if at < 2:
                    tab.wait_for_timeout(6 * PAUSE_MS)  # the browser keeps its compiled code
                    continue
                for stage, time in tab.evaluate(STAGES):
                    found.setdefault(stage, []).append(time)
    print(f"\n| {model}: ms after the start of a later visit | median | range |\n|---|---|---|")
    for stage, times in sorted(found.items(), key=lambda one: statistics.median(one[1])):
        print(f"| {stage} | {statistics.median(times):.0f} | {min(times):.0f}-{max(times):.0f} |", flush=True)
