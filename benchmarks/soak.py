"""Soak test of the server: mixed load for half an hour, while a worker is killed every 20 seconds.

python benchmarks/soak.py [--minutes 30] [--kill-every 20] [--seed 1] [--out build/soak]

The clients send good, hostile, slow and aborted uploads and requests with false headers, do not read responses, and
open live sessions that stay, break off or stall. Every 200 response to a good upload is compared with the result of the
Python API. The younger of the two workers is killed, so that the older one shows whether a worker grows. At the end the
server receives SIGTERM during an upload and a live session. Prints a table, and writes a plot, the samples in it, and
the server's log to the folder --out. Exit status 1 if a promise is broken. Everything runs on the loopback address.
"""

import argparse
import os
import random
import re
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))  # starts the server like the tests

import psutil
from soak_live import Sessions
from soak_right import TIMEOUT_S, UPLOAD_S, Good, Tally, known
from soak_samples import Sample, Sampler, growth, lowest_growth, save
from soak_uploads import Uploads

from servers import Running, running
from voxtrait.web.pool import KILLED
from voxtrait.web.upload_folder import PREFIX

WORKERS = 2
LIVE_SESSIONS = 6
EVERY_S = 5.0  # seconds between two samples
REST_S = 12.0  # seconds after the load until the server is at rest: idle connections are closed after 5 s
GRACE_S = 35.0  # seconds for the end of the server; requests in flight have 30
OPTIONS = (
    *("--workers", str(WORKERS), "--live-sessions", str(LIVE_SESSIONS), "--quiet"),
    *("--timeout", f"{TIMEOUT_S:g}", "--upload-timeout", f"{UPLOAD_S:g}"),
)
MEMORY_SHARE = 0.05  # accepted growth of memory over the second half
POOLED = LIVE_SESSIONS + 8  # threads that the server's pools start when they are first needed

Action = Callable[[random.Random], None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="minutes of load")
    parser.add_argument("--kill-every", type=float, default=20, help="seconds between two kills of a worker")
    parser.add_argument("--seed", type=int, default=1, help="random seed of the clients")
    parser.add_argument(
        "--out", type=Path, default=Path("build/soak"), help="folder of the plot, the samples and the log"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="voxtrait-soak-") as folder:
        good, live = known(Path(folder), asked.seed)
        temporary = Path(folder) / "tmp"
        temporary.mkdir()
        with running(*OPTIONS, environment=os.environ | {"TMPDIR": str(temporary)}) as server:
            soak = Soak(server, temporary, good, live, asked.seed)
            soak.run(60 * asked.minutes, asked.kill_every)
            failed = soak.report()
        asked.out.mkdir(parents=True, exist_ok=True)
        plot(soak.samples, asked.out / "soak.png")
        save(soak.samples, asked.out / "samples.csv")
        (asked.out / "server.log").write_text("\n".join(server.lines))
    for line in failed:
        print("FAILED:", line)
    print("all promises kept" if not failed else f"{len(failed)} promises broken")
    return 1 if failed else 0


class Soak:
    """One run: load, kills, samples, and the end of the server."""

    def __init__(self, server: Running, folder: Path, good: list[Good], live: list[Good], seed: int) -> None:
        self.tally = Tally()
        self.samples: list[Sample] = []
        self.kills = 0
        self._server = server
        self._folder = folder
        self._stop = threading.Event()
        self._sampler = Sampler(server.process.pid, folder)
        place = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        self.place = place
        self._seed = seed
        self._uploads = Uploads(place, good, self.tally, self._stop, seed)
        self._sessions = Sessions(place, live, self.tally, self._stop)

    def clients(self) -> Iterator[tuple[str, float, Action]]:
        """Yield each client: its name, its mean pause between two actions in seconds, and its action."""
        send, speak = self._uploads, self._sessions
        for _ in range(2):
            yield "good upload", 0.8, send.send_good
        yield "good upload, burst of 24", 60.0, send.send_burst
        yield "hostile upload", 0.8, send.send_hostile
        yield "false headers", 4.0, send.send_raw
        for _ in range(3):
            yield "slow upload", 2.0, send.send_slowly
        yield "aborted upload", 0.8, send.abort
        yield "responses not read", 60.0, send.ignore_responses
        for _ in range(2):
            yield "live", 2.0, speak.speak_live
        yield "live, broken off", 4.0, speak.break_off_live
        yield "live, silent", 30.0, speak.stall_live
        yield "live, not read", 200.0, speak.ignore_live
        yield "metrics and health", 2.0, send.scrape

    def run(self, seconds: float, kill_every: float) -> None:
        """Keep the server under load, and end it."""
        chance = random.Random(self._seed)
        self._uploads.send_good(chance)
        self._sessions.speak_live(chance)
        time.sleep(REST_S)
        self.at_start = self._sampler.sample()
        threads = [
            threading.Thread(target=self._repeat, args=(*client, random.Random(f"{self._seed} {number}")), daemon=True)
            for number, client in enumerate(self.clients())
        ]
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        killed = begun
        while time.monotonic() - begun < seconds:
            time.sleep(EVERY_S)
            self.samples.append(self._sampler.sample())
            if time.monotonic() - killed >= kill_every:
                killed += kill_every
                self._kill()
        self.seconds = time.monotonic() - begun
        self._stop.set()
        for thread in threads:
            thread.join(200)
        self.unfinished = sum(thread.is_alive() for thread in threads)
        time.sleep(TIMEOUT_S)  # the kernel ends connections that do not read
        for _ in range(2 * WORKERS):  # a worker that was killed while idle is replaced at its next request
            self._uploads.send_good(chance)
        time.sleep(REST_S)
        self.at_end = self._sampler.sample()
        self.metrics = self._server.get("/metrics")[1]
        self._end(chance)

    def _repeat(self, name: str, pause_s: float, act: Action, chance: random.Random) -> None:
        while not self._stop.wait(chance.uniform(0.2, 1.8) * pause_s):
            try:
                act(chance)
            except Exception as error:
                self.tally.add_wrong(name, f"{type(error).__name__}: {error}")

    def _kill(self) -> None:
        """Kill the younger worker."""
        workers = self._sampler.workers()
        if len(workers) == WORKERS:
            os.kill(workers[-1].pid, signal.SIGKILL)
            self.kills += 1

    def _end(self, chance: random.Random) -> None:
        """Send SIGTERM during a slow upload and a live session."""
        self._stop.clear()
        below = psutil.Process(self._server.process.pid).children(recursive=True)
        threads = [
            threading.Thread(target=self._uploads.send_in_flight, args=(chance,)),
            threading.Thread(target=self._sessions.stay_until_the_end),
        ]
        for thread in threads:
            thread.start()
        time.sleep(2)
        begun = time.monotonic()
        self._server.process.terminate()
        self.exit_status = self._server.process.wait(GRACE_S + 10)
        self.end_s = time.monotonic() - begun
        for thread in threads:
            thread.join(GRACE_S)
        psutil.wait_procs(below, timeout=5)
        self.left_processes = sum(one.is_running() for one in below)
        self.left_folders = len(list(self._folder.glob(f"{PREFIX}*")))
        with socket.socket() as probe:
            self.left_port = probe.connect_ex(self.place) == 0

    def report(self) -> list[str]:
        """Print the tables, and return the broken promises."""
        tally = self.tally
        print(f"{self.seconds / 60:.1f} minutes, {self.kills} kills of a worker\n\n| client | responses |\n|---|---|")
        for client in sorted({client for client, _ in tally.counts}):
            found = sorted((n, outcome) for (name, outcome), n in tally.counts.items() if name == client)
            print(f"| {client} | {', '.join(f'{n:,} × {outcome}' for n, outcome in reversed(found))} |")
        restarts = dict(re.findall(r'^voxtrait_worker_restarts\{reason="(\w+)"\} (\d+)', self.metrics, re.MULTILINE))
        print(f"\nreplaced workers by reason: {restarts}\n")
        print("In the second half, of the lowest value of each minute:\n")
        print("| used | at rest, before | mean | rise | at rest, after |\n|---|---:|---:|---:|---:|")
        for field in Sample._fields[1:]:
            rise, mean = lowest_growth(self.samples, field)
            before, after = getattr(self.at_start, field), getattr(self.at_end, field)
            print(f"| {field} | {before:.0f} | {mean:.1f} | {rise:+.1f} | {after:.0f} |")
        print(f"\nend after SIGTERM: {self.end_s:.1f} s, exit status {self.exit_status}\n")
        return [*self._broken(restarts), *tally.wrong[:30]]

    def _broken(self, restarts: dict[str, str]) -> Iterator[str]:
        for field in ("server_mb", "worker_mb", "total_mb"):
            for line, fit in (("all samples", growth), ("the lowest of each minute", lowest_growth)):
                rise, mean = fit(self.samples, field)
                if rise > MEMORY_SHARE * mean:
                    yield f"{field} rose by {rise:.1f} of {mean:.0f} over the second half, by {line}"
        before, after = self.at_start, self.at_end
        for field in ("files", "sockets", "close_wait", "processes", "zombies", "uploads"):
            if getattr(after, field) > getattr(before, field):
                yield f"{field} at rest: {getattr(before, field)} before, {getattr(after, field)} after"
        if after.threads > before.threads + POOLED:
            yield f"threads at rest: {before.threads} before, {after.threads} after"
        if growth(self.samples, "threads")[0] > 2:
            yield "the number of threads rose in the second half"
        for gauge in ("places_taken", "queue_length", "workers_busy", "live_sessions"):
            if f"voxtrait_{gauge} 0.0" not in self.metrics.splitlines():
                yield f"the metric {gauge} is not 0 at rest"
        interrupted, wrong = self.tally.total("503 interrupted"), self.tally.total("wrong")
        if interrupted > self.kills:
            yield f"{interrupted} requests were interrupted by {self.kills} kills"
        if wrong:
            yield f"{wrong} wrong responses"
        if self.unfinished:
            yield f"{self.unfinished} clients still wait for a response"
        if sum(map(int, restarts.values())) < self.kills:
            yield f"{self.kills} workers were killed, but {restarts} replaced"
        if self.exit_status != 0 or self.end_s > GRACE_S:
            yield f"the server ended after {self.end_s:.0f} s with exit status {self.exit_status}"
        if self.left_processes or self.left_folders or self.left_port:
            yield (
                f"left over: {self.left_processes} processes, {self.left_folders} folders, "
                f"{'the' if self.left_port else 'no'} open port"
            )
        errors = [line for line in self._server.lines if '"level": "error"' in line or "Traceback" in line]
        errors = [line for line in errors if KILLED not in line]  # by this benchmark, if a start takes that long
        yield from (f"error in the log: {line[:150]} … {line[-400:]}" for line in errors[:10])


def plot(samples: list[Sample], file: Path) -> None:
    """Draw memory, open files and sockets, and threads and processes over time."""
    from matplotlib.figure import Figure

    from voxtrait.palette.drawing import dress

    figure = Figure(figsize=(9, 8), layout="constrained")
    panels = (
        ("memory in MB", ("server_mb", "worker_mb", "total_mb")),
        ("files and sockets of the server", ("files", "sockets", "close_wait", "uploads")),
        ("threads and processes", ("threads", "processes", "zombies")),
    )
    minutes = [one.at_s / 60 for one in samples]
    for axes, (title, fields) in zip(figure.subplots(len(panels), 1, sharex=True), panels, strict=True):
        for field in fields:
            axes.plot(minutes, [getattr(one, field) for one in samples], label=field.replace("_", " "), linewidth=1)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_ylim(bottom=0)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    axes.set_xlabel("minutes")
    dress(figure)
    figure.savefig(file, dpi=120)
    print(f"plot: {file}")


if __name__ == "__main__":
    sys.exit(main())
