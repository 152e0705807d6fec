"""A worker's job that does what it is told by the upload's first word: answer, hang, crash, leave, fail, swell."""

import os
import signal
import time
from pathlib import Path

from voxtrait.web.work import Outcome, Task


def odd(task: Task) -> Outcome:
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
    return Outcome({"said": said, "worker": os.getpid()}, 1.0)
