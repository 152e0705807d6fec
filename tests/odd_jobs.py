"""A worker's job that does what it is told by the upload's first word: answer, hang, crash, leave, fail, send parts."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from voxtrait.batch.worker import UnwantedError
from voxtrait.web.work import Outcome, Task


def fragile(folder: Path, task: Task, send: Callable[[Any], None]) -> Outcome:
    """Like :func:`odd`, but each file in a folder is one worker that is killed while it starts."""
    if task.kind == "warm":
        for file in folder.iterdir():
            file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    return odd(task, send)


def odd(task: Task, send: Callable[[Any], None]) -> Outcome:
    if task.kind == "warm":
        return Outcome(None)
    said = Path(task.place).read_bytes().decode() if Path(task.place).is_file() else task.place
    word, _, number = said.partition(" ")
    match word:
        case "hang":
            time.sleep(60)
        case "sleep":
            time.sleep(float(number))
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "leave":
            os._exit(3)
        case "fail":
            raise KeyError("a fault of the job's own")
        case "parts":  # how many, with how many seconds before each, and what comes after them
            count, wait_s, last = number.split(" ", 2)
            for at in range(int(count)):
                time.sleep(float(wait_s))
                try:
                    send({"type": "part", "at": at, "worker": os.getpid()})
                except UnwantedError:
                    return Outcome(None)
            return odd(task._replace(place=last), send)
    return Outcome({"said": said, "worker": os.getpid()}, 1.0)
