"""Where a job runs: processes of this machine, or a cluster's workers."""

import dataclasses
import os
from typing import Final, TypeAlias

from voxtrait.errors import OptionError, require

ENGINES: Final = ("local", "ray", "dask")
PATIENCE_S: Final = 600.0  # seconds that an item may take, unless the user says otherwise


@dataclasses.dataclass(frozen=True)
class Where:
    """Where a job runs, and how long an item may take there.

    Attributes:
        engine: ``local`` for processes of this machine, ``ray`` or ``dask`` for workers of such a cluster.
        address: address of a running cluster, as Ray or Dask write it. ``None`` takes the cluster in the environment
            variable ``RAY_ADDRESS`` or ``DASK_SCHEDULER_ADDRESS``, or starts one on this machine for this run.
        jobs: number of processes at a time; ``None`` for all cores of this machine or of the cluster.
        timeout: maximum seconds for one item; ``None`` for no limit.
        inline: with at most this number of items, one job on the local engine runs in this process and without a
            timeout, because another process would take longer to start than to work.

    Raises:
        OptionError: if a value is out of its range.

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
            raise OptionError(f"got the engine {self.engine!r}, expected one of {', '.join(ENGINES)}")
        if self.engine == "local" and self.address is not None:
            raise OptionError(
                f"got the address {self.address} without a cluster, expected --engine ray or dask with it"
            )
        if self.jobs is not None and self.jobs < 1:
            raise OptionError(f"got {self.jobs} jobs, expected 1 or more")
        if self.timeout is not None and not 0 < self.timeout < float("inf"):
            raise OptionError(f"got a timeout of {self.timeout} s, expected more than 0")


Jobs: TypeAlias = int | Where
"""A number of processes of this machine, or a full description of where a job runs."""


def require_engine(engine: str) -> None:
    """Check that the packages of an engine are installed, before any work is done.

    Raises:
        MissingExtraError: if one of them is missing.

    Examples:
        >>> require_engine("local")
    """
    packages = {"ray": ("ray",), "dask": ("dask", "distributed", "cloudpickle")}
    require(f"the engine {engine}", engine, *packages.get(engine, ()))


def default_jobs() -> int:
    """Give the number of processes that this machine can use: its cores, as far as this process may run on them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
