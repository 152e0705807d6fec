"""Load test of the server with wrk: latency, saturation, memory, and killed workers.

python benchmarks/load.py [--minutes 3] [--clip FILE]

The default clip is a synthetic voice of 5 s as mp3. Needs wrk (apt-get install wrk). The JSON of each response is
compared byte by byte with that of the command line. Exit status 1 if a response is wrong or a target is missed.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))  # starts the server like the tests

import voxtrait
from servers import Running, form, running
from voxtrait.synthetic import cohort, speak

SCRIPT = """
local threads, counts = {}, {}
function setup(thread) table.insert(threads, thread) end
function init(args)
  right, wrong, busy, other = 0, 0, 0, 0
  local file = io.open(args[1], "rb")
  wrk.method, wrk.body = "POST", file:read("*a")
  file:close()
  wrk.headers["Content-Type"] = "multipart/form-data; boundary=edge"
  file = io.open(args[2], "rb")
  expected = file:read("*a")
  file:close()
end
function response(status, headers, body)
  if status == 200 and body == expected then right = right + 1
  elseif status == 200 then wrong = wrong + 1
  elseif status == 503 and headers["retry-after"] then busy = busy + 1
  else other = other + 1 end
end
function done(summary, latency, requests)
  local sums = { right = 0, wrong = 0, busy = 0, other = 0 }
  for _, thread in ipairs(threads) do
    for name in pairs(sums) do sums[name] = sums[name] + thread:get(name) end
  end
  local errors = summary.errors
  sums.p50_ms, sums.p95_ms = latency:percentile(50) / 1000, latency:percentile(95) / 1000
  sums.seconds = summary.duration / 1e6
  sums.broken = errors.connect + errors.read + errors.write + errors.timeout
  local parts = {}
  for name, value in pairs(sums) do table.insert(parts, string.format('"%s": %.10g', name, value)) end
  io.write('{"wrk": 1, ' .. table.concat(parts, ", ") .. '}\\n')
end
"""


class Files(NamedTuple):
    """Files for wrk."""

    clip: Path
    script: Path
    body: Path
    expected: Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3, help="minutes of constant load")
    parser.add_argument("--clip", type=Path, help="clip to upload instead of a synthetic voice")
    parser.add_argument("--workers", type=int, default=2, help="number of workers of the server")
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is not installed. Install it with: apt-get install wrk", file=sys.stderr)
        return 2
    wrong = []
    with tempfile.TemporaryDirectory() as work:
        files = prepare(Path(work), asked.clip)
        warm = warm_ms(files.clip)
        environment = os.environ | {"TMPDIR": work}
        with running("--workers", str(asked.workers), "--quiet", environment=environment) as server:
            one = wrk(server, files, 1, 10)
            print(f"command line, warm: {warm:.1f} ms per clip")
            print(f"one client: {rate(one)}; median {one['p50_ms']} ms, 95 % {one['p95_ms']} ms: "
                  f"{one['p50_ms'] / warm:.2f} × the command line")  # fmt: skip
            wrong += judge("one client", one, one["busy"] == 0 and one["p50_ms"] <= 3 * warm)
            two = wrk(server, files, asked.workers, 10)
            print(f"{asked.workers} clients: {rate(two)}; median {two['p50_ms']} ms, 95 % {two['p95_ms']} ms")
            wrong += judge("a client a worker", two, two["busy"] == 0)
            wrong += saturate(server, files)
            wrong += kill(server, files)
            wrong += endure(server, files, asked.minutes)
    for line in wrong:
        print("FAILED:", line)
    return 1 if wrong else 0


def prepare(folder: Path, clip: Path | None) -> Files:
    """Write the clip, the form, the expected response and the script for wrk."""
    if clip is None:
        clip = folder / "voice.mp3"
        signal = speak(cohort(4, 3)[1], 5.0, 1, sampling_rate=48_000)
        soundfile.write(clip, 0.2 * signal / np.abs(signal).max(), 48_000, format="MP3", subtype="MPEG_LAYER_III")
    command = [sys.executable, "-m", "voxtrait", "predict", str(clip), "--format", "json"]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    files = Files(clip, folder / "wrk.lua", folder / "body", folder / "expected")
    files.script.write_text(SCRIPT)
    files.body.write_bytes(form(clip.read_bytes(), clip.name)[0])
    files.expected.write_text(
        json.dumps(said | {"path": clip.name}, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
    )
    print(f"{clip.name}: {said['duration_s']} s, {clip.stat().st_size} bytes, {said['status']}")
    return files


def warm_ms(clip: Path) -> float:
    """Return the milliseconds of the command line for one clip, in one process with loaded model and libraries."""
    model = voxtrait.load()
    times = []
    for _ in range(60):
        begun = time.perf_counter()
        model.predict(clip)
        times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times[10:])


def start(server: Running, files: Files, clients: int, seconds: float) -> "subprocess.Popen[str]":
    threads = ["-t", str(min(2, clients)), "-c", str(clients), "-d", f"{seconds:.0f}s", "--timeout", "60s"]
    command = [
        "wrk",
        *threads,
        "-s",
        str(files.script),
        f"{server.url}/v1/predict",
        "--",
        str(files.body),
        str(files.expected),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def end(process: "subprocess.Popen[str]") -> dict[str, float]:
    text, _ = process.communicate()
    return dict(json.loads(next(line for line in text.splitlines() if line.startswith('{"wrk"'))))


def wrk(server: Running, files: Files, clients: int, seconds: float) -> dict[str, float]:
    return end(start(server, files, clients, seconds))


def rate(said: dict[str, float]) -> str:
    return f"{said['right']} correct responses, {said['right'] / said['seconds']:.1f} per second"


def judge(what: str, said: dict[str, float], kept: bool) -> list[str]:
    bad = said["wrong"] or said["other"] or said["broken"] or not said["right"] or not kept
    return [f"{what}: {said}"] if bad else []


def saturate(server: Running, files: Files) -> list[str]:
    """Load the server with 64 clients, and measure with another one the time until a 503 response."""
    load = start(server, files, 64, 20)
    time.sleep(2)
    refused, served = [], 0
    while load.poll() is None and len(refused) < 400:
        begun = time.perf_counter()
        status, _ = server.post("/v1/predict", files.clip.read_bytes(), files.clip.name)
        if status == 503:
            refused.append(1000 * (time.perf_counter() - begun))
        served += status == 200
        time.sleep(0.02)
    said = end(load)
    refused.sort()
    middle, late = refused[len(refused) // 2], refused[int(0.95 * len(refused))]
    print(f"64 clients: {rate(said)}, {said['wrong']} wrong, {said['busy']} × 503 with Retry-After, "
          f"{said['other'] + said['broken']} others; time of a 503: median {middle:.0f} ms, 95 % {late:.0f} ms "
          f"({len(refused)} measured, {served} accepted)")  # fmt: skip
    return judge("saturation", said, said["busy"] > 0 and late < 1000)


def kill(server: Running, files: Files) -> list[str]:
    """Kill a worker under load, five times, and count the failed requests."""
    before = replaced(server)
    load = start(server, files, 2, 15)
    for _ in range(5):
        time.sleep(2.5)
        os.kill(server.workers()[0], signal.SIGKILL)
    said = end(load)
    other = said["other"] + said["wrong"] + said["broken"]
    costs = said["busy"] + other
    print(f"5 × kill -9 under load: {rate(said)}, {said['busy']} × 503, {other} others; "
          f"{replaced(server) - before:.0f} workers restarted")  # fmt: skip
    return judge("kills", said, costs <= 5 and replaced(server) - before == 5)


def replaced(server: Running) -> float:
    found = re.findall(r"^voxtrait_worker_restarts\{[^}]*\} (\S+)$", server.get("/metrics")[1], re.MULTILINE)
    return sum(map(float, found))


def endure(server: Running, files: Files, minutes: float) -> list[str]:
    """Measure memory under constant load."""
    load = start(server, files, 4, 60 * minutes)
    seen: list[Sequence[float]] = []
    while load.poll() is None:
        time.sleep(max(2.0, 60 * minutes / 60))
        if load.poll() is None:
            ids = [server.process.pid, *sorted(server.workers())]
            seen.append([psutil.Process(pid).memory_info().rss / 1e6 for pid in ids])
    said = end(load)
    sums = [sum(one) for one in seen]
    third = len(sums) // 3
    first, last = statistics.median(sums[third : 2 * third]), statistics.median(sums[2 * third :])
    shown = "; ".join(" + ".join(f"{one:.0f}" for one in seen[at]) for at in (0, len(seen) // 2, -1))
    print(f"{minutes:g} minutes, 4 clients: {rate(said)}, {said['wrong']} wrong; memory of server + workers in MB, "
          f"start, middle and end: {shown}; median of the second third {first:.0f}, of the last third "
          f"{last:.0f}")  # fmt: skip
    return judge("endurance", said, last < 1.05 * first + 5)


if __name__ == "__main__":
    sys.exit(main())
