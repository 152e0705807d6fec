"""Any per-item job over any number of items: processes, clusters, order, progress, and survival of a worker's death.

A *job* is a picklable callable from one item to one result that reports its own failures in that result. It is sent
to each worker once, so it may keep what is costly to make (a loaded model) on itself. Results come back in the order
of the items, and only a few chunks are under way at any moment, so memory does not grow with the number of items.

::

    run, run_sharded ─► engine: local, Ray or Dask hands out chunks ─► Crew: owns worker processes, sees them die or
    hang, tries again ─► Worker: a process that works chunk by chunk and sends each result as it is done

Engines only distribute: what becomes of an item whose process dies or hangs is decided in one place, ``crew``, on
whatever machine the chunk has come to.
"""

from voxtrait.batch.crew import ATTEMPTS
from voxtrait.batch.running import CHUNK, progress, run
from voxtrait.batch.shards import SHARD, claimed, parts_of, run_sharded
from voxtrait.batch.where import ENGINES, PATIENCE_S, Jobs, Where, default_jobs, require_engine
from voxtrait.batch.worker import silence_decoders

__all__ = [
    "ATTEMPTS",
    "CHUNK",
    "ENGINES",
    "PATIENCE_S",
    "SHARD",
    "Jobs",
    "Where",
    "claimed",
    "default_jobs",
    "parts_of",
    "progress",
    "require_engine",
    "run",
    "run_sharded",
    "silence_decoders",
]
