"""Runs targets in a worker process of voxtrait, which may crash, hang or take too much memory without harm."""

import dataclasses
import pickle
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

from fuzzing import Target, targets
from fuzzing.mutation import mutation
from voxtrait.batch.worker import Worker

ADDRESS_SPACE: Final = 4 * 2**30  # bytes over that of an idle process, so that a find does not exhaust the machine
PATIENCE: Final = 4  # times the limit after which an input hangs that waits instead of computing
GRACE_S: Final = 60.0  # for the start of a process and the imports of the first input
LONGEST_MESSAGE: Final = 2000  # signs
EXAMPLES: Final = 3  # inputs that are saved of each kind of find

ANSWERED: Final = "answered"
REFUSED: Final = "refused"
CRASH: Final = "crash"
HANG: Final = "hang"
MEMORY: Final = "memory"
UNDECLARED: Final = "undeclared exception"
WARNING: Final = "warning"
MESSAGE: Final = "unclear message"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What happened to one input."""

    kind: str
    text: str = ""
    seconds: float = 0.0  # on a processor
    memory_mb: float = 0.0  # peak over the memory before the input

    @property
    def is_find(self) -> bool:
        """Whether it must not happen."""
        return self.kind not in (ANSWERED, REFUSED)


@dataclasses.dataclass
class Tally:
    """Result of one target."""

    inputs: int = 0
    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    finds: Counter[str] = dataclasses.field(default_factory=Counter)
    answers: Counter[str] = dataclasses.field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest: str = ""  # name of that input
    memory_mb: float = 0.0
    largest: str = ""
    seconds: float = 0.0

    def add(self, one: Outcome, name: str) -> str:
        """Count an outcome, and return the kind of find that it belongs to."""
        self.inputs += 1
        self.counts["find" if one.is_find else one.kind] += 1
        self.slowest_s, self.slowest = max((self.slowest_s, self.slowest), (one.seconds, name))
        self.memory_mb, self.largest = max((self.memory_mb, self.largest), (one.memory_mb, name))
        found = f"{one.kind}: {re.sub(r'[0-9]+', '#', one.text)[:120]}" if one.is_find else ""
        self.answers[one.text[:80] if one.kind == REFUSED else one.kind] += 1
        if found:
            self.finds[found] += 1
        return found


class Reader:
    """Job of the worker: name of a target and an input → outcome.

    Args:
        extra: a target that is not in :func:`fuzzing.targets`; its functions can be pickled.
    """

    def __init__(self, extra: Target | None) -> None:
        self._targets = {} if extra is None else {extra.name: extra}
        self._begun = False
        self._warm: set[str] = set()

    def __call__(self, item: tuple[str, bytes]) -> Outcome:
        if not self._begun:
            self._begin()
        name, data = item
        target = self._targets[name]
        if name not in self._warm:  # imports take time and memory that no input is to blame for
            self._warm.add(name)
            for seed in target.seeds()[:1]:
                judge(target, seed)
        before = memory_mb("VmRSS")
        _forget_peak()
        start = time.process_time()
        outcome = judge(target, data)
        seconds = time.process_time() - start
        over = max(0.0, memory_mb("VmHWM") - before)
        if not outcome.is_find and over > target.memory_mb:
            outcome = Outcome(MEMORY, f"more than {target.memory_mb:.0f} MB, then {outcome.kind}")
        return dataclasses.replace(outcome, seconds=seconds, memory_mb=over)

    def _begin(self) -> None:
        self._begun = True
        self._targets = self._targets or targets()
        warnings.resetwarnings()
        for kind in (RuntimeWarning, UserWarning, ResourceWarning):
            warnings.simplefilter("error", kind)
        if sys.platform == "linux":
            import resource

            held = int(memory_mb("VmSize") * 2**20)
            resource.setrlimit(resource.RLIMIT_AS, (held + ADDRESS_SPACE, held + ADDRESS_SPACE))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def judge(target: Target, data: bytes) -> Outcome:
    """Read one input in this process."""
    try:
        return Outcome(ANSWERED, target.run(data))
    except target.refusals as error:
        message = str(error)
        if not message.strip() or len(message) > LONGEST_MESSAGE:
            return Outcome(MESSAGE, f"{type(error).__name__}: {len(message)} signs")
        if not message.replace("\n", " ").isprintable():
            return Outcome(MESSAGE, f"{type(error).__name__} has control characters: {message!a}")
        return Outcome(REFUSED, message)
    except Warning as error:
        return Outcome(WARNING, _place_of(error))
    except MemoryError as error:
        return Outcome(MEMORY, _place_of(error))
    except Exception as error:
        return Outcome(UNDECLARED, _place_of(error))


def _place_of(error: BaseException) -> str:
    """Name an exception and the line of voxtrait that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if "/voxtrait/" in one.filename] or frames
    place = f"{Path(ours[-1].filename).name} {ours[-1].name}"
    return f"{type(error).__name__} in {place}: {ascii(str(error))[:300]}"


class Runner:
    """A worker process that is started again after it died; ``extra`` is that of :class:`Reader`."""

    def __init__(self, extra: Target | None = None) -> None:
        self._extra = extra
        self._worker: Worker | None = None
        self._warm: set[str] = set()  # targets that this worker has read

    def read(self, target: Target, data: bytes) -> Outcome:
        """Read one input in the worker."""
        if self._worker is None:
            self._worker = Worker(pickle.dumps(Reader(self._extra)))
            self._worker.take()
            self._warm = set()
        worker = self._worker
        start = time.perf_counter()
        worker.give([(target.name, data)])
        if not self._answers(worker, target):
            self.close()
            return Outcome(HANG, f"no end after {target.seconds:.0f} s", time.perf_counter() - start)
        self._warm.add(target.name)
        message = worker.take()
        if message is None:
            self._worker = None
            status = worker.kill()
            return Outcome(CRASH, f"exit status {status}", time.perf_counter() - start)
        _, value = message
        if not isinstance(value, Outcome):
            self.close()
            raise value
        if value.kind == MEMORY:
            self.close()  # it may keep the memory
        return value

    def _answers(self, worker: Worker, target: Target) -> bool:
        """Wait for the end of an input: on a busy machine, its time on a processor counts."""
        allowed = target.seconds + (0.0 if target.name in self._warm else GRACE_S)
        before = _cpu_s(worker.process.pid)
        for _ in range(PATIENCE):
            if worker.connection.poll(allowed):
                return True
            if _cpu_s(worker.process.pid) - before > 0.8 * allowed:
                break
        return False

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None


def fuzz(
    target: Target,
    runner: Runner,
    count: int,
    seed: int,
    *,
    first: int = 0,
    seconds: float | None = None,
    more: Sequence[bytes] = (),
    most_seeds: int | None = None,
    finds: Path | None = None,
) -> Tally:
    """Read the seeds of a target, and then mutations of them.

    Args:
        target: reader.
        runner: process that reads.
        count: number of mutations.
        seed: random seed.
        first: number of the first mutation.
        seconds: time after which no more inputs are read.
        more: additional seeds.
        most_seeds: maximum seeds that are read as they are; ``None`` reads all.
        finds: folder for the inputs of finds; ``None`` does not save them.
    """
    tally = Tally()
    begun = time.perf_counter()
    seeds = list(enumerate(target.seeds()))
    for at, data in seeds[:: max(1, len(seeds) // (most_seeds or len(seeds) or 1))]:
        outcome = runner.read(target, data)
        if outcome.kind == REFUSED:
            outcome = Outcome("refused seed", f"number {at}: {outcome.text}")
        _keep(tally, outcome, data, finds, f"seed-{at}")
    for number in range(first, first + count):
        if seconds is not None and time.perf_counter() - begun > seconds:
            break
        data = mutation(target, seed, number, more)
        outcome = runner.read(target, data)
        _keep(tally, outcome, data, finds, f"{seed}-{number}")
    tally.seconds = time.perf_counter() - begun
    return tally


def _keep(tally: Tally, outcome: Outcome, data: bytes, folder: Path | None, name: str) -> None:
    """Count an outcome; save the first inputs of each kind of find, each with a text that says what happened."""
    found = tally.add(outcome, name)
    if not found or folder is None or tally.finds[found] > EXAMPLES:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    (folder / f"{name}.txt").write_text(f"{outcome.kind}: {outcome.text}\n", encoding="utf-8")


def memory_mb(field: str) -> float:
    """A figure of this process in MB, as Linux gives it; 0 on other systems."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0.0
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def _cpu_s(pid: int | None) -> float:
    """Seconds that a process has had on a processor."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return
