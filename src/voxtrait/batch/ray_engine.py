"""Distributes chunks with Ray: on a running cluster, or on one started on this machine for the run."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from typing import Any, Final

from voxtrait.batch.cluster import Failed, check_reachable, key_of, results, unreachable, work
from voxtrait.batch.where import Where, default_jobs
from voxtrait.errors import MissingExtraError, WorkerError

STORE_BYTES: Final = 80 * 2**20  # bytes of shared memory of a cluster started here: chunks are only text


def in_ray(
    job: Any, chunks: Iterator[Sequence[Any]], where: Where, count: int
) -> Generator[tuple[Any, Any], None, None]:
    """Process chunks on Ray, and yield each item with its result, in order.

    Args:
        job: function that Ray can pickle; called once per item.
        chunks: lists of items.
        where: address, jobs and timeout.
        count: number of chunks, the maximum number of processes of a cluster started here.

    Raises:
        MissingExtraError: if Ray is not installed.
        WorkerError: if the cluster cannot be reached.
    """
    cluster = _Ray(job, where, count)
    return results(cluster, chunks, None if cluster.own else where.jobs)


class _Ray:
    """Ray, as a :class:`voxtrait.batch.cluster.Cluster`."""

    def __init__(self, job: Any, where: Where, count: int) -> None:
        try:
            import ray
        except ImportError:
            raise MissingExtraError("the engine ray", "ray") from None
        self.ray: Any = ray  # it has incomplete type hints
        self.started = not ray.is_initialized()  # an existing session of the caller is used and kept
        pickled = self.ray.cloudpickle.dumps(job)  # before the start of a cluster, because it may fail
        self.own = False
        self.restore_output = _silence(ray) if self.started else lambda: None
        if self.started:
            try:
                self.own = _start(ray, where, count)
            except BaseException:
                self.restore_output()
                raise
        self.timeout = where.timeout
        self.key = key_of(pickled, where.timeout)
        self.job = [ray.put(pickled)]  # in a list it is passed by reference: a worker fetches it once
        # tasks are retried without limit after the loss of processes or machines
        self.task = ray.remote(_ray_task).options(num_cpus=1, max_retries=-1, scheduling_strategy="SPREAD")

    def cores(self) -> int:
        return int(self.ray.cluster_resources().get("CPU", 0))

    def submit(self, chunk: Sequence[Any]) -> Any:
        return self.task.remote(self.key, self.job, chunk, self.timeout)

    def wait(self, tasks: Collection[Any]) -> Collection[Any]:
        done, _ = self.ray.wait(list(tasks), num_returns=1, timeout=1)
        return list(done)

    def result(self, task: Any) -> list[Any] | Failed:
        try:
            found: list[Any] | Failed = self.ray.get(task)
        except self.ray.exceptions.RayError as error:
            raise WorkerError(f"The Ray cluster lost a chunk: {_first_line(error)}") from None
        return found

    def close(self, tasks: Collection[Any]) -> None:
        if self.started:
            self.ray.shutdown()
            self.restore_output()
            return
        for task in tasks:
            self.ray.cancel(task)


def _ray_task(key: str, job: list[Any], chunk: Sequence[Any], timeout: float | None) -> list[Any] | Failed:
    import ray

    return work(key, lambda: ray.get(job[0]), chunk, timeout)


def _start(ray: Any, where: Where, count: int) -> bool:
    """Connect to a cluster, or start one, and return whether it was started here."""
    # Address of a running Ray cluster, the default of `--address` with `--engine ray`.
    address = where.address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == "local":
        # Usage reports of a Ray cluster that voxtrait starts. voxtrait sets 0, which disables them, unless it is set.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        jobs = min(where.jobs or default_jobs(), count)
        options |= {"num_cpus": jobs, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    else:
        check_reachable(address, "Ray")
    # Set to 0 for Ray, unless it is set, because Ray otherwise warns of a change in its next version.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        with warnings.catch_warnings(), _import_path() if address == "local" else contextlib.nullcontext():
            warnings.simplefilter("ignore")  # warnings about future versions, of no use to users
            ray.init(**options)
    except Exception as error:  # Ray raises many types, even Exception itself
        why = _first_line(error)
        if "Authentication" in repr(error.__cause__):
            why = "it requires a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        raise unreachable("Ray", None if address == "local" else address, why) from None
    return address == "local"


@contextlib.contextmanager
def _import_path() -> Iterator[None]:
    """Give processes started in this block the import path of this process, as on the local engine."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _silence(ray: Any) -> Callable[[], None]:
    """Keep Ray's messages about lost processes off standard output, which has the results; Ray has no option for this.

    Returns:
        A function that restores Ray's output.
    """
    driver, name = ray._private.worker, "print_to_stdstream"
    before = getattr(driver, name, None)
    setattr(driver, name, lambda data, ignore_prefix=False: None)
    return lambda: setattr(driver, name, before)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
