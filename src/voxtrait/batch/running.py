"""Runs a job over items on any engine, with a progress line and results in order."""

import contextlib
import itertools
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from typing import Any, Final, TypeVar

from voxtrait.batch.line import Line
from voxtrait.batch.where import Jobs, Where, default_jobs

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK: Final = 8  # items per chunk: enough to hide the transfer, few enough for a smooth progress line
CLUSTER_CHUNK: Final = 32  # items per chunk on a cluster, because of the network
LARGEST_CHUNK: Final = 256  # items per chunk of a large run on a cluster, whose scheduler would be the limit otherwise
CHUNKS: Final = 10_000  # chunks of a run on a cluster before chunks become larger


def run(
    job: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    total: int | None = None,
    jobs: Jobs = 1,
    on_crash: Callable[[Item, str], Result],
    label: str | None = None,
    unit: str = "file",
) -> Generator[Result, None, None]:
    """Run a job over items, in processes, and yield the results in order.

    Args:
        job: picklable function; called once per item, and again after a worker died.
        items: items to process; an iterator is read gradually.
        total: number of items of an iterator, if known.
        jobs: number of processes, where 1 means this process; or a :class:`~voxtrait.batch.Where`.
        on_crash: function that makes the result of an item, from the item and a reason, if its worker died in every
            attempt (crash of a decoder, out of memory) or exceeded the timeout.
        label: label of the progress line with rate and time left on standard error; ``None`` shows no progress.
        unit: name of an item in the progress line.

    Yields:
        One result per item, in order.

    Raises:
        OptionError: if ``jobs`` is less than 1.
        WorkerError: if no process can start, or the cluster cannot be reached.
        MissingExtraError: if the engine is not installed.

    Examples:
        >>> list(run(abs, [-1, 2, -3], on_crash=lambda item, why: 0))
        [1, 2, 3]
    """
    where = jobs if isinstance(jobs, Where) else Where(jobs=jobs)
    if isinstance(items, Sized):
        total = len(items)
    return progress(_results(job, items, total, where, on_crash), total, label, unit)


def _results(
    job: Callable[[Item], Result],
    items: Iterable[Item],
    total: int | None,
    where: Where,
    on_crash: Callable[[Item, str], Result],
) -> Iterator[Result]:
    if total == 0:
        return
    size = chunk_size(where.engine, total)
    # chunks are cut on demand, because items may be lazy rows of a table
    rest = iter(items)
    chunks = iter(lambda: list(itertools.islice(rest, size)), [])
    count = sys.maxsize if total is None else -(-total // size)
    match where.engine:
        case "ray":
            from voxtrait.batch.ray_engine import in_ray

            found = in_ray(job, chunks, where, count)
        case "dask":
            from voxtrait.batch.dask_engine import in_dask

            found = in_dask(job, chunks, where, count)
        case _:
            processes = min(where.jobs or default_jobs(), count)
            if processes == 1 and (where.timeout is None or (total is not None and total <= where.inline)):
                yield from map(job, rest)
                return
            found = _in_processes(job, chunks, processes, where.timeout)
    from voxtrait.batch.crew import Lost

    with contextlib.closing(found):
        for item, result in found:
            yield on_crash(item, result.reason) if isinstance(result, Lost) else result


def chunk_size(engine: str, total: int | None) -> int:
    """Return the number of items per chunk for a run of ``total`` items; results do not depend on it.

    Examples:
        >>> chunk_size("local", 30_000_000), chunk_size("dask", None), chunk_size("dask", 30_000_000)
        (8, 32, 256)
        >>> chunk_size("ray", 100_000), chunk_size("ray", 1_000_000)
        (32, 100)
    """
    if engine == "local":
        return CHUNK
    return max(CLUSTER_CHUNK, min(LARGEST_CHUNK, (total or 0) // CHUNKS))


def _in_processes(
    job: Callable[[Any], Any], chunks: Iterator[Sequence[Any]], size: int, timeout: float | None
) -> Generator[tuple[Any, Any], None, None]:
    import pickle  # here, because one file needs no other process, and should not wait for these modules

    from voxtrait.batch.crew import Crew

    crew = Crew(pickle.dumps(job), size, timeout=timeout)
    try:
        yield from crew.run(chunks)
    finally:
        crew.close()


def progress(
    results: Iterable[Result], total: int | None, label: str | None, unit: str = "file"
) -> Generator[Result, None, None]:
    """Yield results unchanged, with a progress line (rate and time left) on standard error if ``label`` is given."""
    with contextlib.nullcontext() if label is None else Line(label, total, unit) as line:
        for result in results:
            if line is not None:
                line.advance()  # before the yield: the consumer may stop after the last result
            yield result
