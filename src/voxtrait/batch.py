"""Any per-file job over any number of files: processes, order, progress, and survival of a worker's death.

A *job* is a picklable callable from one item to one result that reports its own failures in that result. It is sent
to each worker once, so it may keep what is costly to make (a loaded model) on itself. Results come back in the order
of the items, and only a few chunks are under way at any moment, so memory does not grow with the number of items.
"""

import collections
import contextlib
import hashlib
import itertools
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from io import BytesIO
from pathlib import Path
from typing import Any, Final, TypeVar

from voxtrait.errors import OptionError, WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK: Final = (
    8  # items handed to a worker at a time: long enough to hide the hand-over, short enough for a smooth progress line
)
SHARD: Final = 500  # items a shard: what a killed run loses at most
_job: Callable[[Any], Any] | None = None  # the job of this worker process, set once by _start_worker


def default_jobs() -> int:
    """Give the number of processes that this machine can use: its cores, as far as this process may run on them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    job: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    jobs: int = 1,
    on_crash: Callable[[Item, str], Result],
    label: str | None = None,
    unit: str = "file",
) -> Generator[Result, None, None]:
    """Run a job over items, in processes, and yield the results in order.

    Args:
        job: picklable; called once an item.
        items: what to work on.
        jobs: processes; 1 works in this process.
        on_crash: makes the result for an item whose worker died (a decoder that crashed, memory that ran out) from
            the item and a reason.
        label: shown before a progress line with rate and time left on standard error; ``None`` shows nothing.
        unit: what an item is called in the progress line.

    Raises:
        OptionError: if ``jobs`` is less than 1.

    Examples:
        >>> list(run(abs, [-1, 2, -3], on_crash=lambda item, why: 0))
        [1, 2, 3]
    """
    if jobs < 1:
        raise OptionError(f"got {jobs} jobs, expected 1 or more")
    # chunks are cut when their turn comes: items may be a table's rows, which cost nothing before
    chunks = (items[at : at + CHUNK] for at in range(0, len(items), CHUNK))
    processes = min(jobs, -(-len(items) // CHUNK))
    results = _in_processes(job, chunks, processes, on_crash) if processes > 1 else map(job, items)
    return progress(results, len(items), label, unit)


def run_sharded(
    job: Callable[[Item], Result],
    items: Sequence[Item],
    folder: str | os.PathLike[str],
    *,
    row: Callable[[Result], Mapping[str, Any]],
    schema: Mapping[str, Any],
    settings: str,
    jobs: int = 1,
    on_crash: Callable[[Item, str], Result],
    label: str | None = None,
    unit: str = "file",
) -> list[Path]:
    """Run a job over items and keep its results as Parquet shards; a killed run goes on where it was.

    A shard's name holds a hash of its items (name, size and time of change of a file) and of the settings, so that
    results of other inputs or other settings are never taken for these. Shards depend on the order of the items and
    not on ``jobs``, and each appears by an atomic rename. Shards of an earlier run that fit no more are removed.

    Args:
        job: as for :func:`run`.
        items: what to work on, always in the same order: paths, or ``BytesIO`` with the bytes of a file.
        folder: where the shards lie; it is made, and belongs to this function alone.
        row: makes a row of the table out of a result.
        schema: of the table, a Polars type a column.
        settings: everything beside the items that the results depend on.
        jobs: as for :func:`run`, and so are the rest.

    Returns:
        The shards in order, all of them: together one row an item.
    """
    import polars as pl

    from voxtrait.audio import atomic_path

    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    cut = [items[at : at + SHARD] for at in range(0, len(items), SHARD)]
    shards = [home / f"part-{k:06d}-{_fingerprint(some, settings)}.parquet" for k, some in enumerate(cut)]
    missing = [k for k, shard in enumerate(shards) if not shard.is_file()]
    left = [item for k in missing for item in cut[k]]
    with contextlib.closing(run(job, left, jobs=jobs, on_crash=on_crash, label=label, unit=unit)) as results:
        for k in missing:
            rows = [dict(row(result)) for result in itertools.islice(results, len(cut[k]))]
            with atomic_path(shards[k]) as part:
                pl.DataFrame(rows, schema=dict(schema), orient="row").write_parquet(part)
    for stale in set(home.iterdir()) - set(shards):
        stale.unlink()
    return shards


def _fingerprint(items: Sequence[Any], settings: str) -> str:
    digest = hashlib.blake2b(settings.encode(), digest_size=8)
    for item in items:
        if isinstance(item, BytesIO):
            digest.update(item.getbuffer())
        else:
            with contextlib.suppress(OSError):
                status = Path(item).stat()
                digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
            digest.update(os.fsencode(item))
        digest.update(b"\0")
    return digest.hexdigest()


def progress(
    results: Iterable[Result], total: int | None, label: str | None, unit: str = "file"
) -> Generator[Result, None, None]:
    """Pass results through, with a progress line on standard error (rate and time left) where ``label`` is given."""
    from tqdm import tqdm

    every = 0.1 if sys.stderr.isatty() else 10.0  # a log file gets a line now and then, a terminal a moving one
    quiet = label is None
    with tqdm(
        total=total, desc=label, unit=unit, disable=quiet, mininterval=every, file=sys.stderr, dynamic_ncols=True
    ) as bar:
        for result in results:
            bar.update()  # before handing over: who takes the last result may not come back
            yield result


def _in_processes(
    job: Callable[[Item], Result],
    left: Iterator[Sequence[Item]],
    jobs: int,
    on_crash: Callable[[Item, str], Result],
) -> Iterator[Result]:
    waiting: collections.deque[tuple[Sequence[Item], Future[list[Result]]]] = collections.deque()
    pool = _pool(job, jobs)
    try:
        while True:
            for chunk in itertools.islice(left, max(0, 4 * jobs - len(waiting))):
                waiting.append((chunk, _submit(pool, chunk)))
            if not waiting:
                return
            chunk, future = waiting.popleft()
            try:
                yield from future.result()
            except BrokenProcessPool:
                # One item killed its worker, and the pool with it: find it by working this chunk off item by item.
                pool.shutdown(cancel_futures=True)
                yield from _one_by_one(job, chunk, on_crash)
                pool = _pool(job, jobs)
                waiting = collections.deque((rest, _submit(pool, rest)) for rest, _ in waiting)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, chunk: Sequence[Item]) -> Future[list[Result]]:
    """Hand a chunk over; where a worker has just died the chunk's future says so, and its turn will come."""
    try:
        return pool.submit(_run_chunk, chunk)
    except BrokenProcessPool as error:
        future: Future[list[Result]] = Future()
        future.set_exception(error)
        return future


def _one_by_one(
    job: Callable[[Item], Result], chunk: Sequence[Item], on_crash: Callable[[Item, str], Result]
) -> Iterator[Result]:
    pool = _pool(job, 1)
    try:
        for item in chunk:
            try:
                yield pool.submit(_run_chunk, [item]).result()[0]
            except BrokenProcessPool:
                yield on_crash(item, "the process that worked on it died (crash of the decoder, or out of memory)")
                pool.shutdown(cancel_futures=True)
                pool = _pool(job, 1)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pool(job: Callable[[Any], Any], jobs: int) -> ProcessPoolExecutor:
    # spawn, not fork: Polars and ONNX Runtime hold threads and locks that a forked child would inherit dead.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker, initargs=(job,))
    try:
        pool.submit(_run_chunk, []).result()
    except BrokenProcessPool:
        pool.shutdown(cancel_futures=True)
        raise WorkerError(
            "no worker process could start: a script that works in several processes needs its calls under "
            "if __name__ == '__main__':, or jobs=1"
        ) from None
    return pool


def _start_worker(job: Callable[[Any], Any]) -> None:
    import signal

    global _job
    _job = job
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C stops the parent, which stops the workers between files
    silence_decoders()


def _end_with_parent() -> None:
    """End this worker when its parent is gone: after ``kill -9`` the pool would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_chunk(items: Sequence[Any]) -> list[Any]:
    assert _job is not None, "the worker was not started by _start_worker"
    return [_job(item) for item in items]


def silence_decoders() -> None:
    """Send what C libraries write to standard error nowhere, and keep Python's own.

    mpg123 prints notes about every damaged mp3 there, which would run through the progress line; the same file is
    reported in a row of its own.
    """
    with contextlib.suppress(OSError, ValueError):
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        sys.stderr = open(kept, "w", buffering=1, encoding="utf-8", errors="replace")  # noqa: SIM115, PTH123 - a descriptor
