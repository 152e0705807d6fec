"""Faults that end a command: Ctrl-C once and twice, SIGTERM, SIGHUP, SIGKILL, closed pipes, a worker killed."""

import os
import pty
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil

from faulting.stage import COMMANDS, QUICK, VOXTRAIT, Done, Outcome, Stage, contents, judged, resumed, run

MOMENTS: Final = (0.5, 0.85)  # of the duration of an undisturbed run
EARLIER: Final = (1.0, 0.7, 0.4)  # factors of the moment, until the command has not ended before it
KILLS: Final = 3
STOPPED: Final = (*QUICK, "pack", "audit", "timelines", "train")

Send = Callable[["subprocess.Popen[bytes]"], None]


def after(seconds: float, send: Send) -> Send:
    def during(process: "subprocess.Popen[bytes]") -> None:
        def wait() -> None:
            time.sleep(seconds)
            if process.poll() is None:
                send(process)

        threading.Thread(target=wait, daemon=True).start()

    return during


def to_group(*kinds: signal.Signals, pause_s: float = 0.05) -> Send:
    """Send signals to all processes of a command, as a terminal, systemd or Slurm does."""

    def send(process: "subprocess.Popen[bytes]") -> None:
        for kind in kinds:
            try:
                os.killpg(process.pid, kind)
            except ProcessLookupError:
                return
            time.sleep(pause_s)

    return send


def to_parent(kind: signal.Signals) -> Send:
    def send(process: "subprocess.Popen[bytes]") -> None:
        process.send_signal(kind)

    return send


def _stopped(
    stage: Stage, chosen: set[str], fault: str, send: Send, status: int | None, *, tidy: bool = True
) -> Iterator[Outcome]:
    """Stop each command at several moments, and resume it."""
    for name in [name for name in STOPPED if name in chosen]:
        wrong, lines, stopped = [], set(), 0
        for moment in MOMENTS:
            for earlier in EARLIER:
                room = stage.room()
                during = after(earlier * moment * stage.undisturbed(name)[1], send)
                done = stage.run(COMMANDS[name], room, during=during)
                if done.status not in (0, 1):
                    break
            unborn = status is not None and status > 0 and not done.err and not contents(room)
            expected = (0, 1, status, *((128 - status,) if unborn and status else ()))  # before Python had started
            one = judged(stage, fault, name, done, expected, tidy=tidy)
            stopped += done.status == status
            if done.status == status and status is not None and status > 0:
                lines.add(done.line)
                if len(_notes(done)) != 1:
                    one.wrong.append(f"{len(_notes(done))} lines instead of one: {_notes(done)[:3]}")
            if name in ("import", "split", "timeline") and done.status not in (0, 1) and contents(room):
                one.wrong.append(f"a result after status {done.status}: {list(contents(room))}")
            resumed(stage, one, room)
            wrong += [f"at {moment}: {text}" for text in one.wrong]
        yield Outcome(fault, name, f"{stopped} of {len(MOMENTS)} stopped: {' | '.join(sorted(lines))}", wrong)


def _notes(done: Done) -> list[str]:
    """Return the lines of standard error without progress lines."""
    lines = done.err.replace("\r", "\n").splitlines()
    return [line for line in lines if line.strip() and "it/s]" not in line and "%|" not in line and "/s" not in line]


def interrupt(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """Ctrl-C, to all processes of the command."""
    yield from _stopped(stage, chosen, "Ctrl-C", to_group(signal.SIGINT), 130)


def interrupt_twice(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """Ctrl-C three times in quick succession: nobody waits for the first."""
    few = chosen & {"predict", "convert", "images", "timelines", "train"}
    send = to_group(*(signal.SIGINT,) * 3)
    yield from _stopped(stage, few, "Ctrl-C three times", send, 130, tidy=False)


def terminate(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """SIGTERM to the first process, as ``docker stop``."""
    few = chosen & {"predict", "convert", "export", "import", "evaluate", "audit", "timelines", "train"}
    yield from _stopped(stage, few, "SIGTERM", to_parent(signal.SIGTERM), 143)


def terminate_group(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """SIGTERM to all processes, as systemd and Slurm."""
    few = chosen & {"predict", "convert", "images", "evaluate"}
    yield from _stopped(stage, few, "SIGTERM to all", to_group(signal.SIGTERM), 143)


def hang_up(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """SIGHUP to all processes, as a closed terminal."""
    few = chosen & {"predict", "convert", "import", "timeline"}
    yield from _stopped(stage, few, "SIGHUP", to_group(signal.SIGHUP), 129)


def kill(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """SIGKILL at random moments, to the first process alone; the same folder is then resumed."""
    rng = random.Random(1)
    for name in [name for name in STOPPED if name in chosen]:
        wrong, killed, room = [], 0, stage.room()
        seconds = stage.undisturbed(name)[1]
        for _ in range(KILLS if name != "train" else 2):
            during = after(seconds * rng.uniform(0.2, 0.95), to_parent(signal.SIGKILL))
            done = stage.run(COMMANDS[name], room, during=during)
            killed += done.status == -signal.SIGKILL
            one = judged(stage, "SIGKILL", name, done, (0, 1, 2, -signal.SIGKILL), tidy=False)
            wrong += [*one.wrong, *(f"left {left}" for left in done.left if left.startswith("process"))]
            if name == "train":
                break
        one = resumed(stage, Outcome("SIGKILL", name, ""), room)
        yield Outcome("SIGKILL", name, f"{killed} kills, then the same result", [*wrong, *one.wrong])


def kill_worker(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """SIGKILL to a worker in the middle of a clip, twice: as the system does when memory is short."""
    for name in [name for name in ("predict", "convert", "images", "check", "evaluate", "timelines") if name in chosen]:
        room, killed = stage.room(), [0]

        def shoot(process: "subprocess.Popen[bytes]", killed: list[int] = killed) -> None:
            for _ in range(2):
                for child in psutil.Process(process.pid).children():
                    if "spawn_main" in " ".join(child.cmdline()):
                        child.kill()
                        killed[0] += 1
                        break
                time.sleep(0.3)

        during = after(0.55 * stage.undisturbed(name)[1], shoot)
        done = stage.run(COMMANDS[name], room, during=during)
        outcome = judged(stage, "a worker killed", name, done, (0, 1) if name == "check" else (0,))
        outcome.happened = f"{killed[0]} kills; {outcome.happened}"
        outcome.wrong += stage.differs(name, room)
        yield outcome


PRINTERS: Final[dict[str, tuple[str, ...]]] = {
    "predict": ("predict", "{in}/clips", "-f", "jsonl"),
    "check": ("corpus", "check", "{in}/split.parquet"),
    "timelines": ("timeline", "{in}/talks", "-f", "jsonl"),
    "import": ("corpus", "import", "{in}/cv-corpus-0.1-synthetic", "{out}/all.parquet", "-f", "json"),
}
"""Commands that print their result."""


def closed_pipe(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """A reader such as ``head -1`` that closes the pipe."""
    for name in [name for name in PRINTERS if name in chosen]:
        room = stage.room()
        arguments = _printing(stage, name, room)
        command = ["bash", "-c", 'set -o pipefail; "$@" | head -c 20', "bash", *arguments]
        done = run(command, watched=room)
        outcome = judged(stage, "output to head", name, done, (0, 1))
        if "Broken pipe" in done.err:
            outcome.wrong.append("reports the closed pipe")
        yield outcome


def closed_streams(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """Standard input, output or error closed at the start; standard output on a full disk."""
    for stream, redirection, want in (
        ("stdin closed", "<&-", (0,)),
        ("stdout closed", ">&-", (2,)),
        ("stderr closed", "2>&-", (0,)),
        ("all three closed", "<&- >&- 2>&-", (2,)),
        ("stdout on a full disk", ">/dev/full", (2,)),
        ("stderr on a full disk", "2>/dev/full", (0,)),
    ):
        for name in [name for name in PRINTERS if name in chosen]:
            room = stage.room()
            command = ["bash", "-c", f'"$@" {redirection}', "bash", *_printing(stage, name, room)]
            outcome = judged(stage, stream, name, run(command, watched=room), want)
            if "all" in stream:
                outcome.wrong = [one for one in outcome.wrong if one != "no line says what happened"]
            yield outcome
        for name in [name for name in ("convert", "images", "predict") if name in chosen]:
            room = stage.room()
            command = [
                "bash",
                "-c",
                f'"$@" {redirection}',
                "bash",
                *VOXTRAIT,
                *stage.arguments(COMMANDS[name], room),
                *(("-q",) if name != "convert" else ()),
            ]
            lost = name != "predict" and ("stdout" in stream or "all" in stream)  # the others print a summary
            outcome = judged(stage, f"{stream}, files", name, run(command, watched=room), (2 if lost else 0,))
            outcome.wrong = [one for one in outcome.wrong if one != "no line says what happened"]
            outcome.wrong += stage.differs(name, room)
            yield outcome


def _printing(stage: Stage, name: str, room: Path) -> list[str]:
    return [
        *VOXTRAIT,
        *(one.replace("{in}", str(stage.inputs)).replace("{out}", str(room)) for one in PRINTERS[name]),
    ]


def terminal_closed(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """A terminal that goes away: SIGHUP, and every later write to it fails."""
    for name in [name for name in ("predict", "convert", "import", "timelines") if name in chosen]:
        room = stage.room()
        main, terminal = pty.openpty()

        def close(process: "subprocess.Popen[bytes]", main: int = main) -> None:
            os.close(main)

        during = after(0.6 * stage.undisturbed(name)[1], close)
        starter = (
            "import fcntl, os, sys, termios; fcntl.ioctl(1, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
        )
        prefix = [sys.executable, "-c", starter]
        done = stage.run(
            COMMANDS[name], room, prefix=prefix, during=during, stdin=terminal, stdout=terminal, stderr=terminal
        )
        os.close(terminal)
        # 2 if the command prints before the signal arrives: its results are lost
        outcome = judged(stage, "the terminal closes", name, done, (0, 2, 129, -signal.SIGHUP))
        outcome.wrong = [one for one in outcome.wrong if one != "no line says what happened"]
        outcome.happened = f"status {done.status}"
        yield resumed(stage, outcome, room)
