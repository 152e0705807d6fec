"""Faults of the surroundings: clocks, memory, cores, homes, locales, permissions, limits, the network."""

import csv
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from faulting.stage import COMMANDS, Outcome, Stage, judged, resumed
from faulting.stops import after, to_parent

FEW: Final = ("predict", "convert", "images", "import", "check", "evaluate", "timeline")
SPEAKING: Final = ("predict", "import", "evaluate", "timeline")  # those that print most
GIGABYTE: Final = 2**30
FAKETIME: Final = ("env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f")
GROUP: Final = Path("/sys/fs/cgroup/memory")


def _each(
    stage: Stage, chosen: set[str], fault: str, commands: tuple[str, ...], prefix: list[str], **more: Any
) -> Iterator[Outcome]:
    """Run commands under a fault that must change nothing, and compare their results with undisturbed ones."""
    for name in [name for name in commands if name in chosen]:
        room = stage.room()
        room.chmod(0o777)
        done = stage.run(COMMANDS[name], room, prefix=prefix, **more)
        outcome = judged(stage, fault, name, done, (0, 1) if name == "check" else (0,))
        outcome.wrong += stage.differs(name, room)
        yield outcome


def _missing(program: str, fault: str) -> Iterator[Outcome]:
    if shutil.which(program) is None:
        yield Outcome(fault, "-", f"not run: {program} is not installed")


def clocks(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """A clock that jumps, and one in 2038 and 2040: with libfaketime, which also changes the clock of workers."""
    if shutil.which("faketime") is None:
        yield from _missing("faketime", "clocks")
        return
    for fault, when in (
        ("the clock is in 2038", "2038-01-19 03:14:05"),
        ("the clock is in 2040", "2040-02-29 12:00:00"),
        ("the clock is in 1970", "1970-01-01 00:00:10"),
    ):
        yield from _each(stage, chosen, fault, FEW, [*FAKETIME, f"@{when}"])
    # 20 times as fast: hours pass while a file is written; backwards: a day is gained when the run is resumed
    yield from _each(stage, chosen, "the clock runs 1,000 times as fast", FEW, [*FAKETIME, "+0 x1000"])
    for fault, first, second in (
        ("killed, then the clock is a day back", "+0d", "-1d"),
        ("killed, then the clock is two days on", "+0d", "+2d"),
        ("killed in 2040, resumed in 2026", "+14y", "+0d"),
    ):
        for name in [name for name in ("predict", "convert", "images", "export", "audit") if name in chosen]:
            room = stage.room()
            seconds = stage.undisturbed(name)[1]
            during = after(0.7 * seconds, to_parent(signal.SIGKILL))
            done = stage.run(COMMANDS[name], room, prefix=[*FAKETIME, first], during=during)
            one = judged(stage, fault, name, done, (0, 1, -9), tidy=False)
            yield resumed(stage, one, room, prefix=[*FAKETIME, second])


def memory(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """A control group with 1 GB for all processes of a command together, without swap."""
    for kind, size in (("1 GB of memory", GIGABYTE), ("300 MB of memory", 300 * 2**20)):
        group = GROUP / f"voxtrait-faults-{os.getpid()}"
        try:
            group.mkdir()
            (group / "memory.limit_in_bytes").write_text(str(size))
        except OSError:
            yield Outcome(kind, "-", "not run: no control group of memory (version 1) can be made")
            return
        try:
            prefix = ["bash", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "bash"]
            for name in [name for name in FEW if name in chosen]:
                room = stage.room()
                (group / "memory.max_usage_in_bytes").write_text("0")
                done = stage.run(COMMANDS[name], room, prefix=prefix)
                peak = int((group / "memory.max_usage_in_bytes").read_text()) / 2**20
                want = (0, 1) if size == GIGABYTE else (0, 1, 2, -9)
                outcome = judged(stage, kind, name, done, want, tidy=done.status != -9)
                outcome.happened = f"peak {peak:.0f} MB; {outcome.happened}"
                yield resumed(stage, outcome, room) if size != GIGABYTE else _same(stage, outcome, room)
        finally:
            group.rmdir()


HUNGRY: Final = """
import os, sys, time
open("/proc/self/oom_score_adj", "w").write("-1000")
held = []
while True:
    links = set()
    for pid in open(sys.argv[1]).read().split():
        try:
            links |= {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        except OSError:
            pass
    if any(link.endswith(sys.argv[2]) for link in links):
        held.append(bytearray(os.urandom(2**12) * 2**10))
    else:
        held.clear()
    time.sleep(0.01)
"""
"""A program that takes all memory of its control group while a process of the group has a file open."""


def memory_gone(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """The kernel kills workers for memory while they read one file: another program of the control group takes it."""
    fault, name = "the kernel kills workers for memory", "predict"
    if name not in chosen:
        return
    group = GROUP / f"voxtrait-hungry-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(500 * 2**20))
    except OSError:
        yield Outcome(fault, "-", "not run: no control group of memory (version 1) can be made")
        return
    inputs, room = stage.copy_of_inputs(), stage.room()
    clip = soundfile.read(sorted((inputs / "clips").iterdir())[0], dtype="float32")
    soundfile.write(inputs / "clips" / "00-long.flac", np.tile(clip[0], 1200), clip[1])
    inside = ["bash", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "bash"]
    hungry = subprocess.Popen([*inside, sys.executable, "-c", HUNGRY, str(group / "cgroup.procs"), "00-long.flac"])
    try:
        one = dataclasses.replace(COMMANDS[name], arguments=(*COMMANDS[name].arguments, "-j", "1"))  # one to end
        done = stage.run(one, room, inputs=inputs, prefix=inside)
    finally:
        hungry.kill()
        hungry.wait()
    kills = re.search(r"oom_kill (\d+)", (group / "memory.oom_control").read_text())
    outcome = judged(stage, fault, name, done, (1,))
    rows = list(csv.DictReader((room / "all.csv").open(encoding="utf-8"))) if (room / "all.csv").is_file() else []
    failed = [row for row in rows if row["status"] == "error"]
    reasons = [row["message"] for row in failed if row["path"].endswith("00-long.flac")]
    if len(rows) != 25 or len(failed) != 1 or not any("died 3 times" in reason for reason in reasons):
        outcome.wrong.append(f"{len(rows)} rows, failed: {failed[:2]}")
    outcome.happened = f"{kills[1] if kills else 0} kills by the kernel; {outcome.happened}"
    group.rmdir()
    shutil.rmtree(inputs)
    yield outcome


def _same(stage: Stage, outcome: Outcome, room: Path) -> Outcome:
    outcome.wrong += stage.differs(outcome.command, room)
    return outcome


def machine(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """One core, no /dev/shm, no network, a read-only installation, few open files."""
    yield from _each(stage, chosen, "one core", FEW, ["taskset", "-c", "0"])
    yield from _each(stage, chosen, "no /dev/shm", FEW, without_shared_memory())
    yield from _each(stage, chosen, "no network", FEW, ["unshare", "-n"])
    yield from _each(stage, chosen, "read-only installation", FEW, with_fixed_installation())
    yield from _each(stage, chosen, "64 open files", FEW, ["prlimit", "--nofile=64:64"])
    yield from _each(stage, chosen, "24 open files", FEW, ["prlimit", "--nofile=24:24"])


def without_shared_memory() -> list[str]:
    """Return a prefix that runs a command where /dev/shm has no space."""
    hidden = 'mount -t tmpfs -o ro,size=4k tmpfs /dev/shm && exec "$@"'
    return ["unshare", "-m", "bash", "-c", hidden, "bash"]


def with_fixed_installation() -> list[str]:
    """Return a prefix that runs a command where its code and its packages are read-only."""
    import voxtrait

    folders = f"{Path(voxtrait.__file__).resolve().parent} {Path(sys.prefix)}"
    fixed = f'for d in {folders}; do mount --bind $d $d && mount -o remount,ro,bind $d; done && exec "$@"'
    return ["unshare", "-m", "bash", "-c", fixed, "bash"]


def people(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """No home folder, an ordinary user without rights, umask 077, no folder for temporary files."""
    yield from _each(stage, chosen, "HOME is not set", FEW, [], environment={"HOME": None})
    yield from _each(stage, chosen, "HOME does not exist", FEW, [], environment={"HOME": "/nonexistent/home"})
    bash = ["bash", "-c", 'umask 077; exec "$@"', "bash"]
    yield from _each(stage, chosen, "umask 077", FEW, bash)
    # root without its capabilities, because another user may not reach the interpreter
    bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    yield from _each(stage, chosen, "a user without rights", FEW, bare, environment={"HOME": "/nonexistent"})
    for name in [name for name in FEW if name in chosen]:
        room = stage.room()
        room.chmod(0o555)
        done = stage.run(COMMANDS[name], room, prefix=bare)
        room.chmod(0o755)
        outcome = judged(stage, "no permission for the output", name, done, (2,))
        if "Permission denied" not in done.err:
            outcome.wrong.append("does not say that permission is denied")
        yield resumed(stage, outcome, room)
    none = {"TMPDIR": "/nonexistent"}
    hidden = (
        "for d in /var/tmp /usr/tmp; do [ -d $d ] && mount -t tmpfs -o ro,size=4k tmpfs $d; done; "
        "mount -o remount,ro,bind /tmp 2>/dev/null || { mount --bind /tmp /tmp && mount -o remount,ro,bind /tmp; }; "
        f'mount --bind {stage.folder} {stage.folder} && mount -o remount,rw,bind {stage.folder}; cd /; exec "$@"'
    )
    prefix = ["unshare", "-m", "bash", "-c", hidden, "bash"]
    yield from _each(stage, chosen, "no folder for temporary files", FEW, prefix, environment=none, temporary=False)


LOCALES: Final[dict[str, dict[str, str | None]]] = {
    "LC_ALL=C": {"LC_ALL": "C", "LANG": "C"},
    "LC_ALL=C without UTF-8 mode": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "LC_ALL=tr_TR.UTF-8": {"LC_ALL": "tr_TR.UTF-8"},
    "LC_ALL=ru_RU.KOI8-R": {"LC_ALL": "ru_RU.KOI8-R", "PYTHONUTF8": "0"},
    "LC_ALL=de_DE.UTF-8": {"LC_ALL": "de_DE.UTF-8"},
    "PYTHONIOENCODING=ascii": {"PYTHONIOENCODING": "ascii"},
}


def locales(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """Other locales, generated with localedef in a folder of the run."""
    folder = stage.folder / "locales"
    folder.mkdir()
    for name, charset in (("tr_TR", "UTF-8"), ("ru_RU", "KOI8-R"), ("de_DE", "UTF-8")):
        made = subprocess.run(
            ["localedef", "-i", name, "-f", charset, str(folder / f"{name}.{charset}")], capture_output=True
        )
        if made.returncode > 1:
            yield Outcome("locales", "-", f"{name}.{charset} not made: the package locales is not installed")
    names = stage.copy_of_inputs()
    for at, clip in enumerate(sorted((names / "clips").iterdir())[:4]):
        clip.rename(clip.with_name(("папка İı.mp3", "日本.mp3", "ß é.mp3", "a b.mp3")[at]))
    for fault, variables in LOCALES.items():
        yield from _each(stage, chosen, fault, SPEAKING, [], environment={**variables, "LOCPATH": str(folder)})
        room = stage.room()
        done = stage.run(COMMANDS["convert"], room, inputs=names, environment={**variables, "LOCPATH": str(folder)})
        outcome = judged(stage, f"{fault}, file names", "convert", done, (0,))
        if len(list(room.rglob("*.wav"))) != 24:
            outcome.wrong.append(f"{len(list(room.rglob('*.wav')))} of 24 files")
        yield outcome
