"""Opens every clip once: state of the file, hash of its bytes, duration and acoustic fingerprint."""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from voxtrait import audio, batch, storage
from voxtrait.audio.arrays import LARGEST
from voxtrait.audio.mpeg import Data
from voxtrait.audio.opening import opened
from voxtrait.audio.writing import create_folder
from voxtrait.derived.folders import Rows
from voxtrait.errors import AudioError, AudioMissingError, MissingExtraError, StorageError
from voxtrait.fingerprint import Fingerprint, Prints, fingerprint
from voxtrait.integrity.containers import flac_samples, truncation
from voxtrait.integrity.report import EXAMPLES, Severity

SILENCE: Final = 1e-4  # peak: -80 dBFS, a microphone that was off
DIGEST: Final = 16  # bytes of hash a file
_PART: Final = 2**20  # bytes of a large file that are hashed at a time
STATES: Final[dict[str, Severity | None]] = {
    "whole": None,
    "absent": "fatal",
    "empty": "fatal",
    "truncated": "fatal",
    "undecodable": "fatal",
    "silent": "reported",
    "not checked": "reported",  # an extra is not installed
}
UNHEARD: Final = ("absent", "empty", "undecodable", "not checked")
NOTHING: Final = Fingerprint(np.zeros(0, np.uint16), np.zeros(0, np.uint32), np.zeros(0, np.uint16))
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


class State(NamedTuple):
    """Result for one file."""

    state: str
    path: str
    digest: bytes = bytes(DIGEST)
    seconds: float = 0.0
    reason: str = ""
    taken: Fingerprint = NOTHING


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
    job = functools.partial(examine, quick=True) if quick else examine
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


def examine(item: tuple[str], *, quick: bool = False) -> State:
    """Examine one file, ``(path,)``; ``quick`` takes no fingerprint."""
    (path,) = item
    if not storage.is_url(path):
        return _examine(path, storage.path_of(path), quick)
    try:
        with storage.fetched(path) as content:
            if isinstance(content, BytesIO) and not content.getbuffer().nbytes:
                return State("empty", storage.shown(path))
            return _examine(storage.shown(path), content, quick)
    except AudioMissingError:
        return State("absent", storage.shown(path))
    except StorageError as error:  # it may be broken, so the finding must be fatal
        return State("undecodable", storage.shown(path), reason=str(error))


def _examine(path: str, source: audio.Source, quick: bool) -> State:
    """Examine the file at ``source``, reported as ``path``."""
    digest, cut, declared, reason = bytes(DIGEST), None, None, ""
    samples, peak, rate, sound, state, taken = 0, 0.0, 1, True, "whole", NOTHING
    try:
        if not isinstance(source, BytesIO):
            file = Path(source)
            if not file.is_file():
                return State("absent", path)
            if not file.stat().st_size:
                return State("empty", path)
        with opened(source) as content:
            digest = _digest(content.data)
            cut, declared = truncation(content.data), flac_samples(content.data)
            for block, rate in audio.at_rate(content.blocks(), None, mono=False):
                low, high = float(block.min(initial=0)), float(block.max(initial=0))
                peak = max(peak, high, -low)
                # NaN is the minimum of what has NaN
                sound = sound and -LARGEST <= low <= high <= LARGEST
                if not samples and sound and not quick:
                    taken = fingerprint(block, rate)  # it uses the first block only, usually one minute
                samples += block.shape[-1]
    except MissingExtraError as error:
        state, reason = "not checked", str(error)
    except (AudioError, RuntimeError, MemoryError, OSError) as error:
        state, reason = "undecodable", str(error)
    if cut is None and declared and samples < declared:
        cut = f"the file has {samples} of {declared} samples"
    if cut is not None:
        state, reason = "truncated", cut
    elif state == "whole" and not samples:
        state, reason = "undecodable", "no samples"
    elif state == "whole" and not sound:
        state, reason = "undecodable", "the samples contain NaN, infinity or numbers over 32 bits"
    elif state == "whole" and peak < SILENCE:
        state, reason = "silent", f"peak {20 * np.log10(max(peak, 1e-10)):.0f} dBFS"
    return State(state, path, digest, samples / rate, reason, NOTHING if state in UNHEARD else taken)


def _digest(data: Data) -> bytes:
    found = hashlib.blake2b(digest_size=DIGEST)
    for at in range(0, len(data), _PART):
        found.update(data[at : at + _PART])
    return found.digest()


def _crashed(item: tuple[str], reason: str) -> State:
    return State("undecodable", storage.shown(item[0]), reason=reason)
