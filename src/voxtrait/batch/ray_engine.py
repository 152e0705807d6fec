"""Chunks handed out by Ray: to a cluster that runs, or to one that is started on this machine for one run."""

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

STORE_BYTES: Final = 80 * 2**20  # of shared memory for what travels, where the cluster is ours: it is only text


def in_ray(
    job: Any, chunks: Iterator[Sequence[Any]], where: Where, count: int
) -> Generator[tuple[Any, Any], None, None]:
    """Work chunks on Ray; each item with its result, in order.

    Args:
        job: picklable by Ray; called once an item.
        chunks: of items.
        where: address, jobs and timeout.
        count: of chunks: a cluster of our own needs no more processes.

    Raises:
        MissingExtraError: if Ray is not installed.
        WorkerError: if there is no such cluster.
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
        self.ray: Any = ray  # it has types only in part
        self.started = not ray.is_initialized()  # a caller's own session is used, and left as it is
        pickled = self.ray.cloudpickle.dumps(job)  # before anything is started: it may fail
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
        self.job = [ray.put(pickled)]  # in a list it travels as a reference: a worker fetches it once, not every time
        # a task is run again, wherever there is room, for as long as it is only processes and machines that are lost
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
            raise WorkerError(f"the Ray cluster lost a piece of work: {_first_line(error)}") from None
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
    """Join a cluster, or start one, and return whether it is our own."""
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
            warnings.simplefilter("ignore")  # of its own and its packages' future: nothing that a user could do
            ray.init(**options)
    except Exception as error:  # of a dozen kinds, down to Exception itself
        why = _first_line(error)
        if "Authentication" in repr(error.__cause__):
            why = "it wants a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        raise unreachable("Ray", None if address == "local" else address, why) from None
    return address == "local"


@contextlib.contextmanager
def _import_path() -> Iterator[None]:
    """Let processes that are started meanwhile import what this one can, as those of the local engine do."""
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
    """Keep Ray's messages on lost processes off standard output, where results are printed; it has no option for it.

    Returns:
        A function that restores its output.
    """
    driver, name = ray._private.worker, "print_to_stdstream"
    before = getattr(driver, name, None)
    setattr(driver, name, lambda data, ignore_prefix=False: None)
    return lambda: setattr(driver, name, before)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
