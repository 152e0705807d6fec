"""Every clip of a table, opened: absent, empty, truncated, undecodable, silent, or the same as another one."""

import contextlib
import hashlib
import mmap
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from voxtrait import audio, batch
from voxtrait.derived import Rows
from voxtrait.errors import AudioError, MissingExtraError
from voxtrait.integrity.containers import flac_samples, truncation
from voxtrait.integrity.report import EXAMPLES, FATAL, REPORTED, Report, Severity
from voxtrait.integrity.tables import crossing

SILENCE: Final = 1e-4  # peak: -80 dBFS, a microphone that was off
DIGEST: Final = 16  # bytes of hash a file
STATES: Final[dict[str, Severity | None]] = {
    "whole": None,
    "absent": "fatal",
    "empty": "fatal",
    "truncated": "fatal",
    "undecodable": "fatal",
    "silent": "reported",
    "not looked into": "reported",  # an extra is not installed
}


class State(NamedTuple):
    """What became of one clip's file."""

    state: str
    path: str
    digest: bytes = bytes(DIGEST)
    seconds: float = 0.0
    reason: str = ""


def check_recordings(table: pl.DataFrame, report: Report, *, jobs: int, label: str | None) -> None:
    """Open every file of a table; ``path`` is absolute."""
    digests, states = bytearray(), bytearray()
    names = list(STATES)
    counts: Counter[str] = Counter()
    cases: defaultdict[str, list[str]] = defaultdict(list)
    items = Rows(table.select("path"))
    for found in batch.run(examine, items, jobs=jobs, on_crash=_crashed, label=label):
        digests += found.digest
        states.append(names.index(found.state))
        report.seconds += found.seconds
        counts[found.state] += 1
        if STATES[found.state] and len(cases[found.state]) < EXAMPLES:
            cases[found.state].append(f"{found.path} ({found.reason})" if found.reason else found.path)
    report.files = table.height - counts["absent"]
    for state, severity in STATES.items():
        if severity:
            report.add(f"files {state}", severity, cases[state], counts[state])
    _check_contents(table, digests, states, report)


def check_strays(table: pl.DataFrame, report: Report) -> None:
    """Name audio files that lie beside the table's own and are not in it."""
    folders = table["path"].str.extract(r"^(.*)/[^/]*$").unique().sort()
    found: list[str] = []
    count = 0
    for folder in folders:
        with contextlib.suppress(OSError):
            here = pl.Series(
                [str(file) for file in Path(folder).iterdir() if file.suffix.lower() in audio.SUFFIXES], dtype=pl.String
            )
            strays = here.filter(~here.str.contains(r"/\.[^/]*$")).to_frame("path").join(table, on="path", how="anti")
            count += strays.height
            found += strays["path"].sort().head(EXAMPLES - len(found)).to_list() if len(found) < EXAMPLES else []
    report.add("audio files that are not in the table", REPORTED, found, count)


def examine(item: tuple[str]) -> State:
    """Look into one file, ``(path,)``."""
    (path,) = item
    file = Path(path)
    try:
        if not file.is_file():
            return State("absent", path)
        if not file.stat().st_size:
            return State("empty", path)
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            digest = hashlib.blake2b(data, digest_size=DIGEST).digest()
            cut, declared = truncation(data), flac_samples(data)
    except OSError as error:
        return State("undecodable", path, reason=str(error))
    samples, peak, rate, finite, state, reason = 0, 0.0, 1, True, "whole", ""
    try:
        for block, rate in audio.blocks(path, None, mono=False):  # noqa: B007 - the rate is the same for every block
            samples += block.shape[-1]
            peak = float(np.fmax(peak, np.abs(block).max(initial=0)))
            finite = finite and bool(np.isfinite(block).all())
    except MissingExtraError as error:
        state, reason = "not looked into", str(error)
    except (AudioError, RuntimeError, MemoryError, OSError) as error:
        state, reason = "undecodable", str(error)
    if cut is None and declared and samples < declared:
        cut = f"it has {samples} of {declared} samples"
    if cut is not None:
        state, reason = "truncated", cut
    elif state == "whole" and not samples:
        state, reason = "undecodable", "no samples"
    elif state == "whole" and not finite:
        state, reason = "undecodable", "NaN or infinity among the samples"
    elif state == "whole" and peak < SILENCE:
        state, reason = "silent", f"peak {20 * np.log10(max(peak, 1e-10)):.0f} dBFS"
    return State(state, path, digest, samples / rate, reason)


def _crashed(item: tuple[str], reason: str) -> State:
    return State("undecodable", item[0], reason=reason)


def _check_contents(table: pl.DataFrame, digests: bytearray, states: bytearray, report: Report) -> None:
    """Find files with the same bytes: fatal in two splits, else only reported."""
    halves = np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
    rows = table.select("clip_id", "split").with_columns(
        first=pl.Series(halves[:, 0]),
        second=pl.Series(halves[:, 1]),
        state=pl.Series(np.frombuffer(states, dtype=np.uint8)),
    )
    unread = [at for at, state in enumerate(STATES) if state in ("absent", "empty")]
    rows = rows.filter(~pl.col("state").is_in(unread) & (pl.col("first") != 0))
    groups = rows.filter(pl.struct("first", "second").is_duplicated()).with_columns(
        content=pl.col("clip_id").sort().str.join(" = ").over("first", "second")
    )
    shared = crossing(groups, "content")
    report.add(
        "file contents shared between splits", FATAL, shared.select(pl.format("{} ({})", "content", "splits"))[:, 0]
    )
    repeated = groups.filter(~pl.col("content").is_in(shared["content"].implode()))["content"].unique().sort()
    report.add("file contents repeated", REPORTED, repeated)
