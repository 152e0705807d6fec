"""Distributes chunks with Dask: on a running cluster, or on one started on this machine for the run."""

import contextlib
import functools
import logging
import os
import warnings
from collections.abc import Collection, Generator, Iterator, Sequence
from typing import Any, Final

from voxtrait.batch.cluster import REACH_S, Failed, check_reachable, key_of, results, unreachable, work
from voxtrait.batch.where import Where, default_jobs
from voxtrait.errors import MissingExtraError, WorkerError

LOSSES: Final = 100  # lost Dask workers before a chunk is given up
STARTS: Final = 3  # attempts to start a cluster on this machine


def in_dask(
    job: Any, chunks: Iterator[Sequence[Any]], where: Where, count: int
) -> Generator[tuple[Any, Any], None, None]:
    """Process chunks on Dask, and yield each item with its result, in order.

    Args:
        job: function that Dask can pickle; called once per item.
        chunks: lists of items.
        where: address, jobs and timeout.
        count: number of chunks, the maximum number of processes of a cluster started here.

    Raises:
        MissingExtraError: if Dask is not installed.
        WorkerError: if the cluster cannot be reached.
    """
    cluster = _Dask(job, where, count)
    return results(cluster, chunks, None if cluster.own else where.jobs)


class _Task:
    """A chunk and its Dask future, which changes when the chunk is submitted again."""

    def __init__(self, chunk: Sequence[Any], future: Any) -> None:
        self.chunk = chunk
        self.future = future
        self.losses = 0


class _Dask:
    """Dask, as a :class:`voxtrait.batch.cluster.Cluster`."""

    def __init__(self, job: Any, where: Where, count: int) -> None:
        try:
            import cloudpickle  # type: ignore[import-untyped]
            import dask
            import distributed
        except ImportError:
            raise MissingExtraError("the engine dask", "dask") from None
        self.distributed: Any = distributed  # it has incomplete type hints
        pickled = cloudpickle.dumps(job)  # before the start of a cluster, because it may fail
        self.timeout = where.timeout
        self.own: Any = None
        # Address of a running Dask cluster, the default of `--address` with `--engine dask`.
        self.address = where.address or os.environ.get("DASK_SCHEDULER_ADDRESS")
        # lost workers are no reason to give up a chunk, and Dask's log would disturb the progress line
        self.settings: Any = dask.config.set(
            {"distributed.scheduler.allowed-failures": LOSSES, "distributed.comm.timeouts.connect": REACH_S}
        )
        self.quiet = logging.getLogger("distributed").level
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._start(where, count)
        except (OSError, RuntimeError, ValueError) as error:
            self.close([])
            raise unreachable("Dask", self.address, str(error).splitlines()[0] if str(error) else "") from None
        except BaseException:
            self.close([])
            raise
        self.key = key_of(pickled, where.timeout)
        # as the result of a task: scattered data would be lost with the worker that holds it
        self.job = self.client.submit(bytes, pickled, key=f"voxtrait-job-{self.key}", priority=1)

    def _start(self, where: Where, count: int) -> None:
        self.client: Any = None
        if self.address is None:
            self.own = self._own(min(where.jobs or default_jobs(), count))
        else:
            check_reachable(self.address, "Dask")
        self.client = self.distributed.Client(self.own or self.address, timeout=REACH_S, set_as_default=False)

    def _own(self, workers: int) -> Any:
        """Start a cluster on this machine; retry if a worker is killed before all of them run."""
        start = functools.partial(
            self.distributed.LocalCluster,
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,  # no limit: the memory is used by the processes below the worker
            dashboard_address="127.0.0.1:0",  # any free port: another run may use the default one
            worker_dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
        for _ in range(STARTS - 1):
            with contextlib.suppress(RuntimeError):
                return start()
        return start()

    def cores(self) -> int:
        return sum(self.client.ncores().values())

    def submit(self, chunk: Sequence[Any]) -> Any:
        return _Task(chunk, self._future(chunk))

    def _future(self, chunk: Sequence[Any]) -> Any:
        return self.client.submit(_dask_task, self.key, self.job, chunk, self.timeout, pure=False)

    def wait(self, tasks: Collection[Any]) -> Collection[Any]:
        with contextlib.suppress(TimeoutError, self.distributed.CancelledError), self.client.as_current():
            self.distributed.wait([task.future for task in tasks], timeout=1, return_when="FIRST_COMPLETED")
        done = [task for task in tasks if task.future.status != "pending"]
        return [task for task in done if not self._given_again(task)]

    def _given_again(self, task: _Task) -> bool:
        """Submit a chunk again whose future was lost with the workers of a cluster with a lower limit of losses."""
        if self.client.status != "running":
            raise WorkerError(f"The Dask scheduler at {self.address} has ended. Start it, then run again to resume.")
        lost = task.future.status in ("cancelled", "lost") or (
            task.future.status == "error" and isinstance(task.future.exception(), self.distributed.KilledWorker)
        )
        if not lost:
            return False
        task.losses += 1
        if task.losses > LOSSES:
            raise WorkerError(f"The Dask cluster lost {LOSSES} workers at the same chunk. Check its logs.")
        task.future = self._future(task.chunk)
        return True

    def result(self, task: Any) -> list[Any] | Failed:
        if task.future.status == "error":
            error = task.future.exception()
            raise WorkerError(f"The Dask cluster failed at a chunk: {type(error).__name__}: {error}")
        found: list[Any] | Failed = task.future.result()
        task.future.release()
        return found

    def close(self, tasks: Collection[Any]) -> None:
        with contextlib.suppress(Exception):  # the cluster may have ended already
            if self.client is not None:
                self.client.cancel([task.future for task in tasks], force=True)
                self.client.close()
        with contextlib.suppress(Exception):
            if self.own is not None:
                self.own.close(timeout=10)
        self.settings.__exit__(None, None, None)
        logging.getLogger("distributed").setLevel(self.quiet)


def _dask_task(key: str, job: bytes, chunk: Sequence[Any], timeout: float | None) -> list[Any] | Failed:
    return work(key, lambda: job, chunk, timeout)
