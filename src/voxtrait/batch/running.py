"""A job over items: on one of the engines, with progress, results in order."""

import contextlib
import itertools
import pickle
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from typing import Any, Final, TypeVar

from voxtrait.batch.crew import Crew, Lost
from voxtrait.batch.where import Jobs, Where, default_jobs

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK: Final = (
    8  # items handed to a worker at a time: long enough to hide the hand-over, short enough for a smooth progress line
)
CLUSTER_CHUNK: Final = 32  # the same for a cluster's worker, which is asked over a network


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
        job: picklable; called once an item, and again where a worker died.
        items: what to work on; an iterator is read as the work goes on.
        total: how many items an iterator has, if that is known.
        jobs: processes, 1 works in this process; or a :class:`Where`.
        on_crash: makes the result for an item whose worker died again and again (a decoder that crashed, memory that
            ran out) or took longer than the timeout, from the item and a reason.
        label: shown before a progress line with rate and time left on standard error; ``None`` shows nothing.
        unit: what an item is called in the progress line.

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
    size = CHUNK if where.engine == "local" else CLUSTER_CHUNK
    # chunks are cut when their turn comes: items may be a table's rows, which cost nothing before
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
    with contextlib.closing(found):
        for item, result in found:
            yield on_crash(item, result.reason) if isinstance(result, Lost) else result


def _in_processes(
    job: Callable[[Any], Any], chunks: Iterator[Sequence[Any]], size: int, timeout: float | None
) -> Generator[tuple[Any, Any], None, None]:
    crew = Crew(pickle.dumps(job), size, timeout=timeout)
    try:
        yield from crew.run(chunks)
    finally:
        crew.close()


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
