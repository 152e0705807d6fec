"""Faults of the server: signals, killed processes, a full disk for uploads, other surroundings, a clock that jumps."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from faulting.disks import small_disk
from faulting.stage import Outcome, Stage, lingering
from faulting.surroundings import with_fixed_installation, without_shared_memory

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # starts the server like the tests

from servers import Running, running, until, wav

LONG_S: Final = 240.0  # seconds of an upload that is still processed when the fault comes
DISK: Final = 2**20  # bytes of the small disk for uploads
NAME: Final = "serve"
Reply = tuple[int, Any]


class _Visit:
    """A server with a fault, and what went wrong with it."""

    def __init__(self, server: Running, folder: Path, wrong: list[str]) -> None:
        self.server, self.folder, self.wrong = server, folder, wrong
        self._replies: list[Reply] = []

    def expect(self, what: str, reply: Reply, *wanted: int | str) -> str:
        """Check that a reply is a status or an error code that is expected; return it."""
        status, said = reply
        code = said["error"]["code"] if isinstance(said, dict) and "error" in said else ""
        if not {status, code} & set(wanted):
            self.wrong.append(f"{what}: {status} {str(said)[:120]}, expected {' or '.join(map(str, wanted))}")
        return f"{status} {code}".strip()

    def answers(self, what: str, want: Reply) -> None:
        """Check that a short upload gets the right answer."""
        got = _answer(self.server)
        if got != want:
            self.wrong.append(f"{what}: {str(got)[:200]}")

    def begin(self) -> threading.Thread:
        """Send an upload that takes seconds, and wait until a worker processes it."""
        thread = threading.Thread(target=lambda: self._replies.append(self.server.post("/v1/predict", wav(LONG_S))))
        thread.start()
        until(lambda: "voxtrait_workers_busy 1.0" in self.server.get("/metrics")[1])
        return thread

    def reply(self, thread: threading.Thread) -> Reply:
        """Wait for the reply to this upload."""
        thread.join()
        return self._replies[0] if self._replies else (0, "the connection was closed")


def _answer(server: Running) -> Reply:
    return server.post("/v1/predict", wav())


def _folder(stage: Stage) -> Path:
    folder = stage.room()
    folder.chmod(0o777)
    return folder


@contextlib.contextmanager
def _visit(
    stage: Stage, fault: str, prefix: Sequence[str] = (), *, folder: Path | None = None, **variables: str | None
) -> Iterator[_Visit]:
    """Run a server with its own folder for temporary files, and check how it ends; a row that raises is wrong."""
    folder = folder or _folder(stage)
    environment = {
        name: value for name, value in {**os.environ, "TMPDIR": str(folder), **variables}.items() if value is not None
    }
    with running("--workers", "2", environment=environment, prefix=["setsid", *prefix]) as server:
        visit = _Visit(server, folder, [])
        try:
            yield visit
        except (AssertionError, OSError) as error:
            visit.wrong.append(f"{type(error).__name__}: {error}")
    visit.wrong += _end(server, folder)


def _end(server: Running, folder: Path) -> list[str]:
    """Return what is wrong with the end of a server that was asked to end."""
    wrong = [] if server.process.returncode == 0 else [f"exit status {server.process.returncode}"]
    wrong += [f"left TMPDIR/{path.name}" for path in folder.iterdir()]
    wrong += [f"left process {one.pid}" for one in lingering(server.process.pid)]
    return wrong + [line[:200] for line in server.lines if "Traceback" in line or "Exception ignored" in line]


def serving(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """All faults of the server."""
    if NAME not in chosen:
        return
    with _visit(stage, "none") as calm:
        want = _answer(calm.server)
    assert want[0] == 200 and not calm.wrong, (want, calm.wrong)
    yield from _stopped(stage)
    yield from _killed(stage, want)
    yield from _disks(stage, want)
    for fault, prefix, variables in (
        ("no /dev/shm", without_shared_memory(), {}),
        ("read-only installation", with_fixed_installation(), {}),
        ("HOME is not set", (), {"HOME": None}),
        ("HOME does not exist", (), {"HOME": "/nonexistent/home"}),
    ):
        with _visit(stage, fault, prefix, **variables) as visit:
            visit.answers("an upload", want)
        yield Outcome(fault, NAME, "status 0: the right answer", visit.wrong)
    yield from _clock(stage, want)


def _stopped(stage: Stage) -> Iterator[Outcome]:
    """Signals during a request: to the server, as ``docker stop``, and to all processes, as systemd or a terminal."""
    for fault, kind, to_all in (
        ("SIGTERM", signal.SIGTERM, False),
        ("Ctrl-C", signal.SIGINT, True),
        ("SIGTERM to all", signal.SIGTERM, True),
    ):
        with _visit(stage, fault) as visit:
            thread = visit.begin()
            (os.killpg if to_all else os.kill)(visit.server.process.pid, kind)
            # systemd ends the workers too: their request is refused as one that may be sent again
            wanted = (200, "interrupted") if kind == signal.SIGTERM and to_all else (200,)
            said = visit.expect("the request in flight", visit.reply(thread), *wanted)
            visit.server.process.wait(40)
        yield Outcome(
            fault, NAME, f"status {visit.server.process.returncode}: the request in flight: {said}", visit.wrong
        )


def _killed(stage: Stage, want: Reply) -> Iterator[Outcome]:
    """SIGKILL to the workers during a request, and to the server."""
    with _visit(stage, "a worker killed") as visit:
        thread = visit.begin()
        for pid in visit.server.workers():
            os.kill(pid, signal.SIGKILL)
        said = visit.expect("the request in flight", visit.reply(thread), "interrupted")
        until(lambda: visit.server.get("/healthz")[1]["workers"] == 2)
        visit.answers("the next upload", want)
    yield Outcome("a worker killed", NAME, f"2 kills; {said}, then the right answer", visit.wrong)
    folder, wrong = _folder(stage), list[str]()
    with running("--workers", "2", environment=os.environ | {"TMPDIR": str(folder)}, prefix=["setsid"]) as server:
        visit = _Visit(server, folder, wrong)
        thread = threading.Thread(target=lambda: _closed(server))
        thread.start()
        until(lambda: "voxtrait_workers_busy 1.0" in server.get("/metrics")[1])
        server.process.kill()
        server.process.wait()
        thread.join()
        wrong += [f"left process {one.pid}" for one in lingering(server.process.pid)]
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        wrong += [f"left {sum(sizes)} bytes of uploads"] if sum(sizes) else []
    with _visit(stage, "SIGKILL", folder=folder) as visit:
        visit.answers("an upload to the next server", want)
    yield Outcome("SIGKILL", NAME, "1 kills, then the right answer", [*wrong, *visit.wrong])


def _closed(server: Running) -> None:
    with contextlib.suppress(OSError):
        server.post("/v1/predict", wav(LONG_S))


def _disks(stage: Stage, want: Reply) -> Iterator[Outcome]:
    """A folder for uploads that becomes full, and one that is read-only."""
    folder = _folder(stage)
    with small_disk(folder, DISK), _visit(stage, "disk full", folder=folder) as visit:
        large = visit.expect(
            "an upload that is too large for the disk", visit.server.post("/v1/predict", wav(60.0)), 503
        )
        visit.answers("an upload that is not", want)
    yield Outcome("disk full", NAME, f"{large}, then the right answer", visit.wrong)
    fault, folder = "read-only folder for temporary files", _folder(stage)
    with small_disk(folder, DISK):
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with _visit(stage, fault, folder=folder) as visit:
            visit.answers("an upload", want)
    yield Outcome(fault, NAME, "status 0: the right answer, with another folder", visit.wrong)


def _clock(stage: Stage, want: Reply) -> Iterator[Outcome]:
    """A clock that jumps a day back, and two days forward, while a request is processed."""
    fault = "the clock jumps during a request"
    if shutil.which("faketime") is None:
        yield Outcome(fault, NAME, "not run: faketime is not installed")
        return
    now = stage.folder / "clock"
    now.write_text("+0\n")
    variables: Mapping[str, str] = {
        "LD_PRELOAD": subprocess.run(
            ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True
        ).stdout.strip(),
        "FAKETIME_TIMESTAMP_FILE": str(now),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with _visit(stage, fault, **variables) as visit:
        for jump in ("-1d", "+2d"):
            thread = visit.begin()
            now.write_text(f"{jump}\n")
            visit.expect(f"the request in flight, clock {jump}", visit.reply(thread), 200)
            visit.answers(f"the next upload, clock {jump}", want)
            visit._replies.clear()
    yield Outcome(fault, NAME, "status 0: 2 jumps, the right answers", visit.wrong)
