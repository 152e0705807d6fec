"""Stores a job's results as Parquet shards: killed runs are resumed, simultaneous runs in a folder are refused."""

import contextlib
import hashlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final, cast

from voxtrait import storage
from voxtrait.audio.channels import OneChannel
from voxtrait.audio.writing import LONGEST_NAME, atomic_path, create_folder, writing
from voxtrait.batch.running import Item, Result, run
from voxtrait.batch.where import Jobs
from voxtrait.errors import OptionError

SHARD: Final = 500  # items per shard, the maximum loss of a killed run
LOCK: Final = ".running"
THREADS: Final = 16  # threads that check whether files have changed, on a slow disk
SLOW_S: Final = 1e-4  # seconds for one file; a local disk takes 6 µs
_ours: set[tuple[str, int]] = set()  # folders claimed by threads of this process


def run_sharded(
    job: Callable[[Item], Result],
    items: Sequence[Item],
    folder: str | os.PathLike[str],
    *,
    row: Callable[[Result], Mapping[str, Any]],
    schema: Mapping[str, Any],
    settings: str,
    jobs: Jobs = 1,
    on_crash: Callable[[Item, str], Result],
    label: str | None = None,
    unit: str = "file",
) -> list[Path]:
    """Run a job over items, and store its results as Parquet shards; a killed run is resumed.

    The name of a shard contains a hash of its items (name, size and modification time of a file) and of the settings,
    so that results of other inputs or settings are never reused. Shards depend on the order of the items but not on
    ``jobs``. Each is written atomically. Shards of an earlier run that no longer match are removed.

    Args:
        job: as for :func:`voxtrait.batch.run`.
        items: items in a reproducible order: paths, or ``BytesIO`` with the bytes of a file.
        folder: folder of the shards, which is created and used only by this function. It may be a URL; two
            simultaneous runs with the same URL both do all of the work.
        row: function that makes a row of the table from a result; called for the results of this run, in order.
        schema: Polars type of each column of the table.
        settings: everything else that the results depend on.
        jobs: as for :func:`voxtrait.batch.run`.
        on_crash: as for :func:`voxtrait.batch.run`.
        label: as for :func:`voxtrait.batch.run`.
        unit: as for :func:`voxtrait.batch.run`.

    Returns:
        The paths of all shards in order, or their URLs; together they have one row per item.

    Raises:
        OptionError: if another run is writing to the folder.
        OutputError: if a shard cannot be written; earlier shards are kept.

    Examples:
        >>> import tempfile
        >>> import polars as pl
        >>> how = {"row": lambda size: {"size": size}, "schema": {"size": pl.Int64}, "settings": "1"}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     shards = run_sharded(len, ["a", "bc"], folder, on_crash=lambda item, why: 0, **how)
        ...     pl.read_parquet(shards)["size"].to_list()
        [1, 2]
    """
    import polars as pl

    with contextlib.nullcontext() if storage.is_url(folder) else claimed(folder):
        there = _there(folder)
        cut = [items[at : at + SHARD] for at in range(0, len(items), SHARD)]
        names = [f"part-{k:06d}-{mark}.parquet" for k, mark in enumerate(fingerprints(cut, settings))]
        shards = [storage.join(folder, name) if storage.is_url(folder) else Path(folder, name) for name in names]
        missing = [k for k, name in enumerate(names) if name not in there]
        left = [item for k in missing for item in cut[k]]
        with contextlib.closing(run(job, left, jobs=jobs, on_crash=on_crash, label=label, unit=unit)) as results:
            for k in missing:
                rows = [dict(row(result)) for result in itertools.islice(results, len(cut[k]))]
                with atomic_path(shards[k]) as part:
                    pl.DataFrame(rows, schema=dict(schema), orient="row").write_parquet(part)
        for stale in there - set(names) - {LOCK}:
            if storage.is_url(folder):
                storage.remove([storage.join(folder, stale)])
            else:
                Path(folder, stale).unlink()
    return cast("list[Path]", shards)


def parts_of(out: str | os.PathLike[str]) -> str:
    """Return the folder for the shards of an output file: hidden, beside the file, the same in every run.

    Examples:
        >>> parts_of("tables/out.csv"), parts_of("s3://bucket/out.csv")
        ('tables/.out.csv.parts', 's3://bucket/.out.csv.parts')
    """
    if storage.is_url(out):
        return storage.join(storage.parent(out), f".{storage.name_of(out)}.parts")
    file = Path(out)
    name = f".{file.name}.parts"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.blake2b(os.fsencode(file.name), digest_size=8).hexdigest()}.parts"
    return os.fspath(file.with_name(name))


def _there(folder: str | os.PathLike[str]) -> set[str]:
    """Return the names in a folder of shards; a folder behind a URL may not exist."""
    if storage.is_url(folder):
        storage.check_writable(folder)
        return set(storage.listing(folder))
    return {file.name for file in Path(folder).iterdir()}


@contextlib.contextmanager
def claimed(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Claim a folder for this process, and create it if needed; a folder behind a URL is not claimed.

    The claim is a system lock on a file in the folder, so it always ends with the process; the file names the process.
    On disks or systems without such locks, nothing is claimed. The thread with the claim may claim the folder again.

    Raises:
        OptionError: if another process or another thread has claimed the folder.
        OutputError: if the folder cannot be created.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, claimed(folder):
        ...     sorted(os.listdir(folder))
        ['.running']
    """
    if "://" in os.fspath(folder):
        yield
        return
    home = Path(folder)
    name = os.fspath(home.resolve()), threading.get_ident()
    if name in _ours:
        yield
        return
    create_folder(home)
    with writing(home, home / LOCK):
        lock = _lock(home / LOCK)
    _ours.add(name)
    try:
        yield
    finally:
        _ours.discard(name)
        if lock is not None:
            (home / LOCK).unlink(missing_ok=True)
            os.close(lock)


def _lock(file: Path) -> int | None:
    """Take the lock, and return the descriptor whose closing releases it, or ``None`` if locks are not supported."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            opened = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # the previous holder has removed the whole folder
            continue
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.exists() and os.path.samestat(os.fstat(opened), file.stat()):
                os.ftruncate(opened, 0)
                os.write(opened, f"process {os.getpid()} on {os.uname().nodename}".encode())
                return opened
        except BlockingIOError:
            who = os.read(opened, 200).decode(errors="replace") or "another process"
            os.close(opened)
            raise OptionError(
                f"{who} is writing to {storage.text_of(file.parent)}. Wait for it, stop it, or use another output."
            ) from None
        except OSError:  # a disk without locks
            os.close(opened)
            return None
        os.close(opened)  # the previous holder has removed the file: try again with a new one


def fingerprints(cut: Sequence[Sequence[Any]], settings: str) -> list[str]:
    """Return a hash of each shard: of its items (name, size and modification time of a file) and of the settings.

    On a slow disk, such as a shared one, several threads ask for the times; on a fast one, threads would be slower.
    """
    marks: list[str] = []
    for some in cut:
        begun = time.perf_counter()
        marks.append(_fingerprint(some, settings))
        if time.perf_counter() - begun > SLOW_S * len(some):
            break
    if len(marks) < len(cut):
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(THREADS) as pool:
            while ahead := cut[len(marks) : len(marks) + 4 * THREADS]:  # a future for each shard would take much memory
                marks += pool.map(_fingerprint, ahead, itertools.repeat(settings))
    return marks


def _fingerprint(items: Sequence[Any], settings: str) -> str:
    digest = hashlib.blake2b(settings.encode(), digest_size=8)
    for item in items:
        file = item.source if isinstance(item, OneChannel) else item
        if isinstance(file, BytesIO):
            digest.update(file.getbuffer())
        else:
            with contextlib.suppress(OSError):
                status = Path(file).stat()
                digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
            if isinstance(file, storage.ListedUrl):
                digest.update(file.stamp.encode())
        if not isinstance(item, BytesIO):
            digest.update(os.fsencode(storage.shown(item)))
        digest.update(b"\0")
    return digest.hexdigest()
