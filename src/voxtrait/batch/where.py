"""Settings for where a job runs: engine, address, number of processes, timeout."""

import dataclasses
import os
from typing import Final, TypeAlias

from voxtrait.errors import OptionError, require

ENGINES: Final = ("local", "ray", "dask")
ATTEMPTS: Final = 3  # attempts at an item whose worker dies: an external kill must not fail a good file
PATIENCE_S: Final = 600.0  # default timeout of an item, in seconds


@dataclasses.dataclass(frozen=True)
class Where:
    """Engine, address, number of processes and timeout of a job.

    Attributes:
        engine: ``local`` for processes of this machine, ``ray`` or ``dask`` for workers of such a cluster.
        address: address of a running cluster, as Ray or Dask write it. ``None`` takes the cluster in the environment
            variable ``RAY_ADDRESS`` or ``DASK_SCHEDULER_ADDRESS``, or starts one on this machine for this run.
        jobs: number of processes at a time; ``None`` for all cores of this machine or of the cluster.
        timeout: maximum seconds for one item; ``None`` for no limit.
        inline: with at most this number of items, one job on the local engine runs in this process and without a
            timeout, because another process would take longer to start than to work.

    Raises:
        OptionError: if a value is out of range.

    Examples:
        >>> Where(jobs=2)
        Where(engine='local', address=None, jobs=2, timeout=None, inline=0)
    """

    engine: str = "local"
    address: str | None = None
    jobs: int | None = 1
    timeout: float | None = None
    inline: int = 0

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise OptionError(f"Unknown engine {self.engine!r}. Expected one of {', '.join(ENGINES)}.")
        if self.engine == "local" and self.address is not None:
            raise OptionError(
                f"Got the address {self.address} without a cluster engine. Add --engine ray or --engine dask."
            )
        if self.jobs is not None and self.jobs < 1:
            raise OptionError(f"Got {self.jobs} jobs. Expected 1 or more.")
        if self.timeout is not None and not 0 < self.timeout < float("inf"):
            raise OptionError(f"Got a timeout of {self.timeout} s. Expected more than 0.")


Jobs: TypeAlias = int | Where
"""A number of processes on this machine, or a :class:`~voxtrait.batch.Where`."""


def require_engine(engine: str) -> None:
    """Check that the packages of an engine are installed.

    Raises:
        MissingExtraError: if a package is missing.

    Examples:
        >>> require_engine("local")
    """
    packages = {"ray": ("ray",), "dask": ("dask", "distributed", "cloudpickle")}
    require(f"the engine {engine}", engine, *packages.get(engine, ()))


def default_jobs() -> int:
    """Return the number of cores that this process may use.

    Examples:
        >>> default_jobs() >= 1
        True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
