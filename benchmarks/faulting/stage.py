"""The clips, manifests and commands that the faults are planted in, and the comparison with an undisturbed run."""

import dataclasses
import functools
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import soundfile

from voxtrait.synthetic import cohort, speak, write_common_voice

PATIENCE_S: Final = 120.0  # seconds for one command; a longer one counts as hung
SPEAKERS: Final = 12
CLIPS: Final = 2  # of each speaker
VOXTRAIT: Final = (sys.executable, "-m", "voxtrait")
RELEASE: Final = "cv-corpus-0.1-synthetic"


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that writes files. ``{in}`` is the folder of the inputs, ``{out}`` that of the results."""

    name: str
    arguments: tuple[str, ...]
    per_file: bool = False  # whether a clip that cannot be read is one failed clip, and exit status 1


COMMANDS: Final = {
    command.name: command
    for command in (
        Command("predict", ("predict", "{in}/clips", "-o", "{out}/all.csv", "-j", "2"), True),
        Command("convert", ("convert", "{in}/clips", "{out}/wav", "-j", "2"), True),
        Command("images", ("images", "{in}/split.parquet", "{out}/pictures", "-j", "2"), True),
        Command("pack", ("images", "{in}/split.parquet", "{out}/shards", "--shards", "-j", "2"), True),
        Command("import", ("corpus", "import", f"{{in}}/{RELEASE}", "{out}/all.parquet", "-j", "2")),
        Command("split", ("corpus", "split", "{in}/all.parquet", "{out}/split.parquet", "--sizes", "60/20/20")),
        Command("check", ("corpus", "check", "{in}/split.parquet", "--cache", "{out}/cache", "-j", "2"), True),
        Command(
            "export",
            ("corpus", "export", "{in}/split.parquet", "{out}/sets", "--to", "audiofolder", "--audio", "copy"),
            True,
        ),
        Command("audit", ("corpus", "audit", "{in}/all.parquet", "-o", "{out}/audit", "-j", "2"), True),
        Command(
            "evaluate",
            ("evaluate", "voxtrait-fast", "{in}/split.parquet", "-o", "{out}/report", "--split", "all", "-j", "2"),
            True,
        ),
        Command("timeline", ("timeline", "{in}/talk.wav", "-o", "{out}/talk.json")),
        Command("timelines", ("timeline", "{in}/talks", "-o", "{out}/turns", "-f", "rttm", "-j", "2"), True),
        Command(
            "train",
            (
                *("train", "diary-gender", "--data", "{in}/pictures", "-o", "{out}/run", "-j", "1"),
                *("-q", "--set", "max_epochs=2", "--set", "channels=[4,8]", "--set", "width=96", "--set", "height=64"),
                *("--set", "shrink=2", "--set", "batch_size=8", "--set", "min_speakers=2", "--set", "threads=1"),
            ),
        ),
    )
}
QUICK: Final = ("predict", "convert", "images", "import", "split", "check", "export", "evaluate", "timeline")
"""Commands that run within about two seconds."""


@dataclasses.dataclass
class Done:
    """What a command did."""

    status: int | None  # exit status; a negative number is a signal, ``None`` that it hung
    out: str
    err: str
    seconds: float
    left: list[str]  # unfinished and temporary files, and processes that still run

    @property
    def line(self) -> str:
        """The last line of standard error, or the one of voxtrait about an error."""
        parts = self.err.replace("\r", "\n").replace("voxtrait: ", "\nvoxtrait: ").splitlines()
        lines = [line.strip() for line in parts if line.strip() and "[00:" not in line]
        return next((line for line in lines if line.startswith("voxtrait: ")), lines[-1] if lines else "")


@dataclasses.dataclass
class Outcome:
    """A row of the table."""

    fault: str
    command: str
    happened: str
    wrong: list[str] = dataclasses.field(default_factory=list)


class Stage:
    """The inputs, made once, and undisturbed results of each command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inputs = folder / "in"
        self._numbers = iter(range(10**6))
        self.inputs.mkdir()
        voices = cohort(SPEAKERS, 1)
        write_common_voice(self.inputs, voices, CLIPS, 1, RELEASE, seconds=(1.2, 1.6), blank=0.0, jobs=2)
        shutil.copytree(self.inputs / RELEASE / "en" / "clips", self.inputs / "clips")
        talk = [speak(voice, 4.0, at, 16_000) for at, voice in enumerate(voices[:2])]
        soundfile.write(self.inputs / "talk.wav", np.concatenate(talk * 2), 16_000)
        (self.inputs / "talks").mkdir()
        for name in ("one", "two", "three"):
            soundfile.write(self.inputs / "talks" / f"{name}.wav", np.concatenate(talk), 16_000)
        for name, target in (("import", "all.parquet"), ("split", "split.parquet")):
            done = self.run(COMMANDS[name], self.inputs)
            assert done.status == 0, f"{target}: {done.err}"

    def room(self) -> Path:
        """Return a new empty folder for results."""
        room = self.folder / f"{next(self._numbers):05d}"
        room.mkdir()
        return room

    def copy_of_inputs(self) -> Path:
        """Return a copy of the inputs at the same depth, for faults that change them."""
        copy = self.folder / f"in{next(self._numbers):05d}"
        shutil.copytree(self.inputs, copy, copy_function=shutil.copyfile)
        return copy

    @functools.cached_property
    def pictures(self) -> Path:
        """A folder of small images for training."""
        target = self.inputs / "pictures"
        done = run([*VOXTRAIT, "images", f"{self.inputs}/split.parquet", str(target), "--size", "96x64", "-q"])
        assert done.status == 0, done.err
        return target

    def run(
        self, command: Command, out: Path, inputs: Path | None = None, prefix: Sequence[str] = (), **more: Any
    ) -> Done:
        """Run a command with its results in ``out``; see :func:`run`."""
        return run([*prefix, *VOXTRAIT, *self.arguments(command, out, inputs)], watched=out, **more)

    def arguments(self, command: Command, out: Path, inputs: Path | None = None) -> list[str]:
        """Return the arguments of a command."""
        if command.name == "train":
            assert self.pictures
        return [one.replace("{in}", str(inputs or self.inputs)).replace("{out}", str(out)) for one in command.arguments]

    @functools.cache  # noqa: B019 - one stage a run
    def undisturbed(self, name: str) -> tuple[dict[str, str], float]:
        """Return the results of a command without a fault, and its seconds."""
        room = self.room()
        done = self.run(COMMANDS[name], room)
        assert done.status in (0, 1) and "Traceback" not in done.err, f"{name}: {done.err}"
        return contents(room), done.seconds

    def differs(self, name: str, out: Path) -> list[str]:
        """Compare results with those of an undisturbed run; return what differs. Training is not exact to the byte."""
        want, got = self.undisturbed(name)[0], contents(out)
        return [
            f"{file} is {'missing' if file not in got else 'new' if file not in want else 'different'}"
            for file in sorted(want.keys() | got.keys())
            if (want.get(file) != got.get(file) if name != "train" else (file in want) != (file in got))
        ][:3]


def run(
    arguments: Sequence[str],
    *,
    watched: Path | None = None,
    environment: Mapping[str, str | None] | None = None,
    during: Callable[[subprocess.Popen[bytes]], None] | None = None,
    patience_s: float = PATIENCE_S,
    temporary: bool = True,
    **more: Any,
) -> Done:
    """Run a command in a session of its own, with its own folder for temporary files.

    Args:
        arguments: the command line.
        watched: folder in which unfinished files are looked for afterwards.
        environment: variables to set, or to unset with ``None``.
        during: called with the process once it runs.
        patience_s: seconds after which the command is killed and counts as hung.
        temporary: set TMPDIR to a new folder, and look for what is left there.
        more: for :class:`subprocess.Popen`.
    """
    variables = dict(os.environ)
    spare = watched.with_name(f"{watched.name}.tmp") if watched is not None and temporary else None
    if spare is not None:
        spare.mkdir(exist_ok=True)
        spare.chmod(0o777)
        variables["TMPDIR"] = str(spare)
    for name, value in (environment or {}).items():
        variables.pop(name, None) if value is None else variables.update({name: value})
    begun = time.monotonic()
    more = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    process = subprocess.Popen(arguments, env=variables, start_new_session=True, **more)
    status: int | None
    try:
        if during is not None:
            during(process)
        out, err = process.communicate(timeout=patience_s)
        status = process.returncode
    except subprocess.TimeoutExpired:
        end_session(process.pid)
        out, err = process.communicate()
        status = None
    seconds = time.monotonic() - begun
    left = [f"process {one.pid} {' '.join(one.cmdline())[:60]}" for one in lingering(process.pid)]
    end_session(process.pid)
    if watched is not None and watched.is_dir():
        left += [str(path.relative_to(watched)) for path in watched.rglob(".*.part")]
    if spare is not None:
        left += [f"TMPDIR/{path.name}" for path in spare.iterdir() if not path.name.startswith("torchinductor")]
        shutil.rmtree(spare, ignore_errors=True)
    return Done(status, (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace"), seconds, left)


def lingering(session: int, patience_s: float = 3.0) -> list[psutil.Process]:
    """Return the processes of a session that do not end within some seconds."""
    deadline = time.monotonic() + patience_s
    while True:
        found = []
        for one in psutil.process_iter():
            try:
                if os.getsid(one.pid) == session and one.status() != psutil.STATUS_ZOMBIE:
                    found.append(one)
            except (OSError, psutil.Error):
                continue
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def end_session(session: int) -> None:
    """Kill the processes of a session that this program started."""
    for one in lingering(session, 0.0):
        try:
            os.kill(one.pid, signal.SIGKILL)
        except OSError:
            continue


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of each file below a folder; locks and unfinished files are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not path.name.startswith(".running") and not path.name.endswith(".part"):
            found[_steady(name)] = hashlib.blake2b(_without_times(path), digest_size=8).hexdigest()
    return found


def _steady(name: str) -> str:
    """Return a name without what is drawn at random for each run: shards of the cache of ``corpus check``."""
    return "cache/heard" if name.startswith("cache/heard-") else name


def _without_times(path: Path) -> bytes:
    """Return the content of a file without what differs between two runs: duration and date of a training run."""
    return b"" if path.suffix in (".ckpt", ".pt") else path.read_bytes()


def judged(
    stage: Stage, fault: str, name: str, done: Done, want: Sequence[int | None], *, tidy: bool = True
) -> Outcome:
    """Check what every row promises: no traceback, an expected status, a line about an error, nothing left."""
    wrong = []
    if done.status is None:
        wrong.append(f"hung for {done.seconds:.0f} s")
    elif done.status not in want:
        wrong.append(f"status {done.status}, expected {' or '.join(map(str, want))}")
    if "Traceback" in done.err or "Error in sys.excepthook" in done.err or "Exception ignored" in done.err:
        wrong.append(f"a traceback: {done.err[-300:]!r}")
    if done.status and done.status > 0 and not done.line and not done.out:
        wrong.append("no line says what happened")
    if tidy:
        wrong += [f"left {one}" for one in done.left[:3]]
    return Outcome(fault, name, f"status {done.status}: {done.line}", wrong)


def resumed(stage: Stage, outcome: Outcome, out: Path, prefix: Sequence[str] = (), **more: Any) -> Outcome:
    """Run the command again without the fault, and compare the result with that of an undisturbed run."""
    command = COMMANDS[outcome.command]
    if command.name == "train":
        command = dataclasses.replace(command, arguments=(*command.arguments, "--resume"))
    done = stage.run(command, out, prefix=prefix, **more)
    again = judged(stage, outcome.fault, outcome.command, done, (0, 1) if outcome.command == "check" else (0,))
    outcome.wrong += [f"again: {one}" for one in [*again.wrong, *stage.differs(outcome.command, out)]]
    return outcome
