"""Opens every clip of a manifest in worker processes, and caches the result of each file."""

import contextlib
import dataclasses
import functools
import itertools
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from voxtrait import audio, batch, storage
from voxtrait.audio.writing import create_folder
from voxtrait.derived.folders import Rows
from voxtrait.fingerprint import Fingerprint, Prints
from voxtrait.integrity import examination
from voxtrait.integrity.examination import STATES, State
from voxtrait.integrity.report import EXAMPLES

VERSION: Final = "1"  # of the cache format: caches of other versions are not read
HEARD, QUICK = f"heard-{VERSION}", f"quick-{VERSION}"  # files of the cache with fingerprints, and without
_STATUS: Final = {"path": pl.String, "size": pl.Int64, "changed": pl.Int64}  # bytes, and ns since 1970
_KEPT: Final = {
    **_STATUS,
    "state": pl.String,
    "digest": pl.Binary,
    "seconds": pl.Float64,
    "reason": pl.String,
    "words": pl.Binary,
    "keys": pl.Binary,
    "at": pl.Binary,
}


@dataclasses.dataclass
class FileStates:
    """Results for many files, in order."""

    states: bytearray = dataclasses.field(default_factory=bytearray)  # one index into STATES per file
    digests: bytearray = dataclasses.field(default_factory=bytearray)
    seconds: list[float] = dataclasses.field(default_factory=list)
    prints: Prints = dataclasses.field(default_factory=Prints)
    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    cases: defaultdict[str, list[str]] = dataclasses.field(default_factory=lambda: defaultdict(list))

    def add(self, found: State) -> None:
        """Add the result of the next file."""
        self.states.append(_NUMBERS[found.state])
        self.digests += found.digest
        self.seconds.append(found.seconds)
        self.prints.add(found.taken)
        self.counts[found.state] += 1
        if STATES[found.state] and len(self.cases[found.state]) < EXAMPLES:
            self.cases[found.state].append(f"{found.path} ({found.reason})" if found.reason else found.path)

    def columns(self) -> dict[str, pl.Series]:
        """Return ``state``, ``first`` and ``second`` (the halves of the digest) and ``seconds``, one row per file."""
        halves = np.frombuffer(self.digests, dtype="<u8").reshape(-1, 2)
        return {
            "state": pl.Series(np.frombuffer(self.states, dtype=np.uint8)),
            "first": pl.Series(halves[:, 0]),
            "second": pl.Series(halves[:, 1]),
            "seconds": pl.Series(self.seconds, dtype=pl.Float64),
        }


_NUMBERS: Final = {state: at for at, state in enumerate(STATES)}


def examine_files(
    paths: pl.Series, *, jobs: batch.Jobs, label: str | None, cache: Path | None = None, quick: bool = False
) -> FileStates:
    """Open files and return their states.

    Args:
        paths: absolute paths or URLs.
        jobs: number of worker processes, or a :class:`voxtrait.batch.Where`.
        label: shown before the progress line; ``None`` shows no progress.
        cache: a folder that stores the state of each file by path, size and modification time, so that an interrupted
            run is resumed and a later run opens only new files. Several manifests may share it.
        quick: take no fingerprints. States without them are stored separately, and only a quick run uses them.
    """
    states = FileStates()
    job = functools.partial(examination.examine, quick=True) if quick else examination.examine
    table = pl.DataFrame([paths.alias("path")])
    if cache is None:
        for found in batch.run(job, Rows(table), jobs=jobs, on_crash=_crashed, label=label):
            states.add(found)
        return states
    behind = storage.statuses([path for path in paths if storage.is_url(path)])
    statuses = pl.DataFrame([_status(path, behind) for path in paths], schema=_STATUS, orient="row")
    left = statuses.filter(pl.col("size") > 0).unique(maintain_order=True)
    left = left.join(_kept(cache, [*_STATUS], quick), on=[*_STATUS], how="anti", maintain_order="left")
    _examine_into(cache, left, job, jobs, label, QUICK if quick else HEARD)
    known = statuses.join(_kept(cache, [*_KEPT], quick), on=[*_STATUS], how="left", maintain_order="left")
    for row in known.iter_rows(named=True, buffer_size=512):
        states.add(_state(row) if row["state"] is not None else job((row["path"],)))
    return states


def _status(path: str, behind: Mapping[str, tuple[int, int]]) -> tuple[str, int | None, int | None]:
    if storage.is_url(path):
        return path, *behind.get(path, (None, None))
    with contextlib.suppress(OSError):
        status = Path(storage.path_of(path)).stat()
        return path, status.st_size, status.st_mtime_ns
    return path, None, None


def _kept(cache: Path, columns: list[str], quick: bool) -> pl.DataFrame:
    """Read the states from earlier runs; other files in the folder are ignored."""
    shards = [file for kind in (HEARD, QUICK)[: 1 + quick] for file in sorted(cache.glob(f"{kind}-*.parquet"))]
    if not shards:
        return pl.DataFrame(schema={name: _KEPT[name] for name in columns})
    return pl.read_parquet(shards, columns=columns).unique([*_STATUS], keep="last")


def _examine_into(
    cache: Path,
    left: pl.DataFrame,
    job: Callable[[tuple[str]], State],
    jobs: batch.Jobs,
    label: str | None,
    kind: str,
) -> None:
    create_folder(cache)
    items = Rows(left.select("path"))
    with contextlib.closing(batch.run(job, items, jobs=jobs, on_crash=_crashed, label=label)) as results:
        for at in range(0, left.height, batch.SHARD):
            some = left[at : at + batch.SHARD]
            rows = [
                (*status, *found[:1], *found[2:5], *(array.tobytes() for array in found.taken))
                for status, found in zip(some.iter_rows(), itertools.islice(results, some.height), strict=True)
                if any(found.digest) and found.state != "not checked"  # both may change
            ]
            shard = cache / f"{kind}-{uuid.uuid4().hex}.parquet"
            with audio.atomic_path(shard) as part:
                pl.DataFrame(rows, schema=_KEPT, orient="row").write_parquet(part)


def _state(row: dict[str, Any]) -> State:
    taken = Fingerprint(*(np.frombuffer(row[name], kind) for name, kind in _ARRAYS))
    return State(row["state"], row["path"], row["digest"], row["seconds"], row["reason"], taken)


_ARRAYS: Final[tuple[tuple[str, npt.DTypeLike], ...]] = (("words", np.uint16), ("keys", np.uint32), ("at", np.uint16))


def _crashed(item: tuple[str], reason: str) -> State:
    return State("undecodable", storage.shown(item[0]), reason=reason)
