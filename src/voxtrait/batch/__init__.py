"""Runs a job over any number of items, in processes or on a cluster: in order, with progress, robust to crashes.

A *job* is a picklable callable that maps one item to one result, and reports failures in that result. It is sent to
each worker once, so it may keep expensive objects (a loaded model). Results have the order of the items. Only a few
chunks run at a time, so memory does not grow with the number of items.

::

    run, run_sharded ─► engine: local, Ray or Dask distributes chunks ─► Crew: owns worker processes, detects crashes
    and hangs, retries ─► Worker: a process that processes chunk by chunk and sends each result when it is ready

Engines only distribute. ``voxtrait.batch.crew``, on the machine that processes the chunk, handles items whose process
dies or hangs.
"""

from voxtrait.batch.quiet import silence_decoders
from voxtrait.batch.running import CHUNK, progress, run
from voxtrait.batch.shards import SHARD, claimed, parts_of, run_sharded
from voxtrait.batch.where import ATTEMPTS, ENGINES, PATIENCE_S, Jobs, Where, default_jobs, require_engine

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
