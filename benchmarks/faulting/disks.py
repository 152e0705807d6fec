"""Faults of disks: full at every stage, read-only folders, inputs that change under a run, inputs that stall."""

import contextlib
import dataclasses
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from faulting.stage import COMMANDS, QUICK, Outcome, Stage, contents, judged, resumed

STEPS: Final = 3  # sizes of the full disk, between almost nothing and almost enough
WRITERS: Final = (*QUICK, "pack", "audit", "timelines")


@contextlib.contextmanager
def small_disk(place: Path, size: int) -> Iterator[None]:
    """Mount a tmpfs of some bytes."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def disk_full(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """A tmpfs that holds from 4 KB to almost everything; it is then enlarged, and the run resumed."""
    for name in [name for name in (*WRITERS, "train") if name in chosen]:
        whole, lines, wrong, failed = stage.undisturbed(name)[0], set(), [], 0
        room = stage.room()
        stage.run(COMMANDS[name], room)
        need = sum(-(-path.stat().st_size // 4096) * 4096 for path in room.rglob("*") if path.is_file())
        need = max(need, 16 * 4096)
        sizes = sorted({max(4096, need * at // (STEPS + 1) // 4096 * 4096) for at in range(STEPS + 1)})
        for size in sizes:
            place = stage.room()
            with small_disk(place, size):
                done = stage.run(COMMANDS[name], place)
                one = judged(stage, "disk full", name, done, (0, 1, 2))
                failed += done.status == 2
                if done.status == 2 and "No space left" not in done.err and "full" not in done.err:
                    one.wrong.append(f"does not say that the disk is full: {done.line}")
                if done.status in (0, 1) and contents(place) != whole and not (done.status and name == "check"):
                    one.wrong.append(f"status {done.status}, and the result is not whole")
                lines.add(_without_names(done.line, stage) if done.status == 2 else "whole")
                subprocess.run(["mount", "-o", "remount,size=512m", str(place)], check=True)
                resumed(stage, one, place)
                wrong += [f"{size // 1024} KB: {text}" for text in one.wrong]
        yield Outcome("disk full", name, f"{failed} of {len(sizes)} sizes refused: {max(lines, key=len)}", wrong)


def _without_names(line: str, stage: Stage) -> str:
    return line.replace(str(stage.folder), "")


def read_only_output(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """An output folder on a disk that is mounted read-only."""
    for name in [name for name in WRITERS if name in chosen]:
        room = stage.room()
        with small_disk(room, 2**20):
            subprocess.run(["mount", "-o", "remount,ro", str(room)], check=True)
            done = stage.run(COMMANDS[name], room)
            outcome = judged(stage, "read-only output", name, done, (2,))
        if len(done.err.strip().splitlines()) > 3:
            outcome.wrong.append(f"{len(done.err.splitlines())} lines instead of one")
        if "Read-only file system" not in done.err:
            outcome.wrong.append("does not say that the disk is read-only")
        yield resumed(stage, outcome, room)


def read_only_input(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """Inputs on a disk that is mounted read-only: nothing may be written beside them."""
    bound = stage.folder / "in-ro"
    bound.mkdir()
    subprocess.run(["mount", "--bind", str(stage.inputs), str(bound)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(bound)], check=True)
        for name in [name for name in WRITERS if name in chosen]:
            room = stage.room()
            done = stage.run(COMMANDS[name], room, inputs=bound)
            yield judged(stage, "read-only input", name, done, (0, 1) if name == "check" else (0,))
    finally:
        subprocess.run(["umount", "-l", str(bound)], check=True)


def _vanish(clip: Path) -> None:
    clip.unlink(missing_ok=True)


def _truncate(clip: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.truncate(clip, clip.stat().st_size // 3)


def _empty(clip: Path) -> None:
    os.truncate(clip, 0)


def _grow(clip: Path) -> None:
    with clip.open("ab") as file:
        file.write(os.urandom(5000))


def _replace(clip: Path) -> None:
    new = clip.with_name(".new")
    new.write_bytes(b"This is no audio.\n" * 50)
    new.replace(clip)


CHANGES: Final[dict[str, Callable[[Path], None]]] = {
    "vanish": _vanish,
    "are truncated": _truncate,
    "become empty": _empty,
    "grow": _grow,
    "are replaced": _replace,
}


def changing_input(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """Inputs that vanish, shrink, grow or are replaced, one after the other, while a command reads them."""
    readers = ("predict", "convert", "images", "import", "check", "export", "evaluate", "timeline", "timelines")
    for change, alter in CHANGES.items():
        for name in [name for name in readers if name in chosen]:
            inputs, room = stage.copy_of_inputs(), stage.room()
            quiet = stage.undisturbed(name)[1]
            files = sorted([*inputs.rglob("*.mp3"), *inputs.rglob("*.wav")])
            over = threading.Event()

            def work(
                files: list[Path] = files,
                over: threading.Event = over,
                quiet: float = quiet,
                alter: Callable[[Path], None] = alter,
            ) -> None:
                time.sleep(0.4 * quiet)
                for file in files:
                    if over.wait(0.3 * quiet / len(files)):
                        return
                    alter(file)

            other = threading.Thread(target=work)
            other.start()
            done = stage.run(COMMANDS[name], room, inputs=inputs)
            over.set()
            other.join()
            yield judged(stage, f"inputs {change}", name, done, (0, 1))
            shutil.rmtree(inputs)


def stalling_input(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """A FIFO without a writer among the clips, as a file of a network disk whose server is gone: opening it blocks.

    The commands have a time limit of 600 s per file; here it is 5 s. The other clips are processed.
    """
    for name in [name for name in ("predict", "convert", "images", "check", "timelines") if name in chosen]:
        inputs, room = stage.copy_of_inputs(), stage.room()
        folders = (inputs / "clips", inputs / RELEASE_CLIPS, inputs / "talks")
        for clip in (sorted(folder.iterdir())[1] for folder in folders):
            clip.unlink()
            os.mkfifo(clip)
        command = dataclasses.replace(COMMANDS[name], arguments=(*COMMANDS[name].arguments, "--timeout", "5"))
        done = stage.run(command, room, inputs=inputs, patience_s=90.0)
        outcome = judged(stage, "an input that stalls", name, done, (1,))
        made = contents(room)
        if len(made) < len(stage.undisturbed(name)[0]) - 1:
            outcome.wrong.append(f"only {len(made)} files")
        yield outcome
        shutil.rmtree(inputs)


RELEASE_CLIPS: Final = "cv-corpus-0.1-synthetic/en/clips"
