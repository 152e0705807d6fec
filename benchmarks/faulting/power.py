"""Power loss: the order of fsync and rename, and disks that lose what was not sent to them."""

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from faulting.stage import COMMANDS, Outcome, Stage, contents, judged, resumed

WRITERS: Final = (
    *("predict", "convert", "images", "pack", "import", "split", "check", "export", "audit", "evaluate"),
    *("timeline", "timelines", "train"),
)
BATCHES: Final = ("convert", "images", "export")
"""Commands that send a folder to the disk once a minute: files may be incomplete, but the next run knows which."""
CALLS: Final = "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2"
DISK_MB: Final = 48
_SYNC: Final = re.compile(r"(fsync|fdatasync|syncfs)\(\d+<(.+?)>\)\s+= 0")
_RENAME: Final = re.compile(r'rename(?:at2?)?\((?:\S+<(.+?)>, )?"(.+?)", (?:\S+<(.+?)>, )?"(.+?)"')


def sync_order(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """Every file gets its name after it was sent to the disk, and the folder is sent after that; seen by strace."""
    if shutil.which("strace") is None:
        yield Outcome("order of fsync and rename", "-", "not run: strace is not installed")
        return
    for name in [name for name in WRITERS if name in chosen]:
        room = stage.room()
        log = room.with_suffix(".strace")
        prefix = ["strace", "-f", "-y", "-qq", "-s", "4096", "-e", CALLS, "-e", "signal=none", "-o", str(log)]
        done = stage.run(COMMANDS[name], room, prefix=prefix)
        outcome = judged(stage, "order of fsync and rename", name, done, (0, 1) if name == "check" else (0,))
        renames, unsynced = _unsynced(log.read_text(errors="replace"), room)
        outcome.wrong += [f"{one} was not sent to the disk" for one in unsynced[:3]]
        outcome.happened = f"{renames} files named, {renames - len(unsynced)} of them sent to the disk"
        yield outcome


def _unsynced(log: str, room: Path) -> tuple[int, list[str]]:
    """Return the number of renamed files in a folder, and those that could be lost after the end of the command."""
    sent: set[str] = set()
    named: dict[str, bool] = {}  # file → whether its content was sent before it got its name
    waiting: dict[str, str] = {}  # file → folder that has not been sent since
    for line in log.splitlines():
        if found := _SYNC.search(line):
            kind, path = found.groups()
            if kind == "syncfs":
                waiting.clear()
                named.update(dict.fromkeys(named, True))
            sent.add(path)
            waiting = {file: folder for file, folder in waiting.items() if folder != path}
        elif (found := _RENAME.search(line)) and "= 0" in line:
            old, new = (str(Path(at or "/", name)) for at, name in ((found[1], found[2]), (found[3], found[4])))
            if new.startswith(f"{room}/") and not Path(new).name.endswith((".part", ".unsynced")):
                named[new] = old in sent
                waiting[new] = str(Path(new).parent)
    return len(named), sorted({*waiting, *(file for file, safe in named.items() if not safe)})


def power_loss(stage: Stage, chosen: set[str]) -> Iterator[Outcome]:
    """An ext4 disk in a file, copied while a command writes and 1.5 s after its end.

    The copy lacks what was still in memory, as after a power failure. It is mounted, its journal is replayed, and the
    command is run again there, with another boot id.
    """
    for name in [name for name in WRITERS if name in chosen]:
        yield _power_loss_of(stage, name)


def _power_loss_of(stage: Stage, name: str) -> Outcome:
    whole, seconds = stage.undisturbed(name)
    out, seen, copies = stage.room(), list[str](), list[Path]()
    image = out.with_suffix(".img")
    later = threading.Timer(0.8 * seconds, lambda: copies.append(_copy(image, 0)))
    _make_disk(image)
    # the results are as deep as those of the undisturbed run, because the page of an audit has relative paths
    with _mounted(image, out, "commit=1"):
        os.sync()
        during = (lambda process: later.start()) if name in (*BATCHES, "predict", "audit") else None
        done = stage.run(COMMANDS[name], out, during=during)
        if during:
            later.cancel()  # on a busy machine, the undisturbed run may have taken longer
            later.join()
        one = judged(stage, "power loss", name, done, (0, 1) if name == "check" else (0,))
        time.sleep(1.5)
        copies.append(_copy(image, 1))
    image.unlink()
    for copy in copies:
        last = copy == copies[-1]
        with _mounted(copy, out, "noatime"):
            found = contents(out)
            broken = [file for file in found if not _is_hidden(file) and found[file] != whole.get(file)]
            lost = [file for file in whole if file not in found]
            seen.append(f"{len(found)} files, {len(broken)} incomplete")
            if last and (lost or broken):
                one.wrong.append(f"lost after the end: {[*lost, *broken][:3]}")
            if broken and name not in BATCHES:
                one.wrong.append(f"incomplete under their names: {broken[:3]}")
            if not last or name in BATCHES:
                resumed(stage, one, out, prefix=_rebooted(stage))
        copy.unlink()
    one.happened = f"{'; '.join(seen)} left; then the same result"
    return one


def _is_hidden(file: str) -> bool:
    return any(part.startswith(".") for part in Path(file).parts)


def _make_disk(image: Path) -> None:
    with image.open("wb") as file:
        file.truncate(DISK_MB * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", str(image)], check=True)


@contextlib.contextmanager
def _mounted(image: Path, place: Path, options: str) -> Iterator[None]:
    subprocess.run(["mount", "-o", f"loop,{options}", str(image), str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _copy(image: Path, number: int) -> Path:
    target = image.with_suffix(f".{number}.copy")
    subprocess.run(["cp", "--sparse=always", str(image), str(target)], check=True)
    return target


def _rebooted(stage: Stage) -> list[str]:
    """Return a prefix that runs a command as after a restart of the system: with another boot id."""
    other = stage.folder / "boot_id"
    other.write_text("00000000-0000-4000-8000-000000000000\n")
    hidden = f'mount --bind {other} /proc/sys/kernel/random/boot_id && exec "$@"'
    return ["unshare", "-m", "bash", "-c", hidden, "bash"]
