"""The training data of a fast encoder: windows of clips, as recorded and disturbed, with the features of CAM++."""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import polars as pl
from onnx import TensorProto, helper, numpy_helper

from voxtrait import audio, batch, features, speech
from voxtrait.audio import SAMPLING_RATE, Signal, atomic_path, check_signal, resample
from voxtrait.errors import BundleError, ManifestError, VoxtraitError
from voxtrait.features import Array
from voxtrait.recognize.graph import Graph
from voxtrait.training.distillation import student
from voxtrait.training.study.cross_corpus import held_out
from voxtrait.training.voices import campplus
from voxtrait.training.voices.acoustics import Chances, disturb
from voxtrait.training.voices.campplus import FAST
from voxtrait.training.voices.views import Recordings

VIEWS: Final = 6  # of each clip: as recorded, and disturbed
LONGEST_S: Final = 20.0
FRAMES: Final = 300  # of a window for the teacher, 10 ms each
THINNED: Final = 3  # one step of 40 ms in so many is kept for the hints: neighbours are much alike
KEEPS: Final = FRAMES // 4 // THINNED  # steps of a window that are kept
SHORTEST_S: Final = 0.7
SPEEDS: Final = (0.8, 1.25)
FASTER_OR_SLOWER: Final = 0.75  # share of disturbed views at another speed
DISTURBED: Final = 0.75  # share of them with a room, noise, telephone or codec
CHANCES: Final = Chances(telephone=0.2, codec=0.2)
UNSEEN: Final = 20  # one in so many speakers is held out, to measure the student on unseen speakers
SEED: Final = 7
POINTS: Final = ("delay_norm", "halves.0", "halves.1", "last_norm")
"""Modules of both networks whose features are compared: after the first steps and after each block."""
SCHEMA: Final = {"windows": pl.Binary, "hints": pl.Binary, "summaries": pl.Binary, "view": pl.Binary}
"""Of a clip: float16 ``(n, 150, 80)``, ``(n, 25, 1408)``; float32 ``(n, 1216)``; the number of each window's view."""


@dataclasses.dataclass
class Answers:
    """The job: a file → its windows, with the teacher's features and summaries."""

    teacher: Graph
    others: dict[str, list[str]]  # file → files for its babble

    def __call__(self, path: str) -> dict[str, bytes]:
        """Process one file; an unusable file, or one with too little speech, gives empty values."""
        found: list[tuple[Array, Array, Array, npt.NDArray[np.uint8]]] = []
        try:
            signal = spoken(path)
            if len(signal) >= SHORTEST_S * SAMPLING_RATE:
                stem = int.from_bytes(hashlib.blake2b(Path(path).stem.encode(), digest_size=6).digest(), "big")
                for view in range(VIEWS):
                    rng = np.random.default_rng([SEED, view, stem])
                    windows = cut(self._disturbed(signal, self.others[path], rng) if view else signal)
                    made = self.teacher(windows)
                    hints = np.concatenate([made[point].reshape(len(windows), KEEPS, -1) for point in POINTS], axis=2)
                    found.append((windows[:, ::2], hints, made["summary"], np.full(len(windows), view, np.uint8)))
        except BundleError:  # not a fault of the file: it would fail for every file
            raise
        except (VoxtraitError, OSError, RuntimeError):  # RuntimeError: a codec of libsndfile's
            found = []
        if not found:
            return dict.fromkeys(SCHEMA, b"")
        parts = [np.concatenate(part) for part in zip(*found, strict=True)]
        kinds = (np.float16, np.float16, np.float32, np.uint8)
        return {name: part.astype(kind).tobytes() for name, part, kind in zip(SCHEMA, parts, kinds, strict=True)}

    def _disturbed(self, signal: Signal, others: list[str], rng: np.random.Generator) -> Signal:
        keep = min(len(signal), int(FRAMES / 100 * SPEEDS[1] * SAMPLING_RATE))
        start = int(rng.uniform(0, len(signal) - keep))
        signal = signal[start : start + keep]
        if rng.random() < FASTER_OR_SLOWER:
            low, high = map(math.log, SPEEDS)
            signal = resample(signal, SAMPLING_RATE * math.exp(rng.uniform(low, high)), SAMPLING_RATE)
        if rng.random() < DISTURBED:
            chosen = rng.choice(len(others), min(4, len(others)), replace=False)
            signal = disturb(signal, Recordings([others[int(at)] for at in chosen]), rng, CHANCES)
        return np.asarray(signal, dtype=np.float32)


def spoken(path: str) -> Signal:
    """Read a file's speech, and a moment around it: ``(samples,)`` at 16 kHz."""
    return speech.find(check_signal(audio.load(path)[0])[: int(LONGEST_S * SAMPLING_RATE)]).surrounded


def cut(signal: Signal) -> Array:
    """Cut speech at 16 kHz, ``(samples,)``, into windows of one length, ``(n, 300, 80)``; a shorter signal is repeated
    from its start."""
    frames = features.windows(signal, features.kaldi_front_end(10**6))[0]
    count = max(1, round(len(frames) / FRAMES))
    if len(frames) < count * FRAMES:
        frames = np.resize(frames, (count * FRAMES, frames.shape[1]))
    start = (len(frames) - count * FRAMES) // 2
    return np.asarray(frames[start : start + count * FRAMES].reshape(count, FRAMES, -1))


def teacher(source: Path, file: Path) -> Graph:
    """Write a graph of CAM++ that gives the features of its blocks beside the summary, and open it."""
    model = onnx.load(source)
    every = 2 * THINNED  # its features come every 20 ms, the hints are of steps of 40 ms
    for name, value in (("rows", [0, -1]), ("every.end", [2**31 - 1]), ("every", [every])):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    for point, width in zip(POINTS, (FAST.channels, *FAST.widths), strict=True):
        kept = [f"{point}.coded.plain", "0", "every.end", "1", "every"]
        model.graph.node.append(helper.make_node("Slice", kept, [f"{point}.kept"]))
        model.graph.node.append(helper.make_node("Reshape", [f"{point}.kept", "rows"], [point]))
        model.graph.output.append(helper.make_tensor_value_info(point, TensorProto.FLOAT, ["n", KEEPS * width]))
    with atomic_path(file) as part:
        onnx.save(model, part)
    return Graph(file, [None, None], {"summary": None} | dict.fromkeys(POINTS), name="windows", optimised=False)


@dataclasses.dataclass(frozen=True)
class Lessons:
    """Training data: windows with the teacher's features, their clips, and which of them are held out."""

    windows: npt.NDArray[np.float16]  # (n, 150, 80)
    hints: npt.NDArray[np.float16]  # (n, 25, 1408)
    summaries: npt.NDArray[np.float32]  # (n, 1216)
    aside: npt.NDArray[np.bool_]  # (n,), of speakers held out
    recorded: npt.NDArray[np.bool_]  # (n,), as recorded
    clip: npt.NDArray[np.int64]  # (n,), row of the table


def lessons(table: pl.DataFrame, source: Path, folder: Path, *, jobs: int = 1, label: str | None = None) -> Lessons:
    """Process all clips of a table with the teacher; a killed run is resumed.

    Args:
        table: a manifest's rows with absolute paths, none of them of test speakers.
        source: graph of CAM++, in 8 bits.
        folder: for the graph and the shards.
        jobs: processes.
        label: of a progress line on standard error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = table["path"].to_list()
    job = Answers(teacher(source, folder / "teacher.onnx"), babblers(table))
    nothing = dict.fromkeys(SCHEMA, b"")
    shards = batch.run_sharded(
        job,
        paths,
        folder / "answers",
        row=lambda row: row,
        schema=SCHEMA,
        settings=repr((VIEWS, FRAMES, THINNED, POINTS, SPEEDS, FASTER_OR_SLOWER, DISTURBED, CHANCES, SEED))
        + hashlib.blake2b(source.read_bytes()).hexdigest(),
        jobs=jobs,
        on_crash=lambda path, why: nothing,
        label=label,
        unit="clip",
    )
    counts = pl.concat([pl.read_parquet(shard, columns=["view"])["view"].bin.size() for shard in shards]).to_numpy()
    total = int(counts.sum())
    width = FAST.channels + sum(FAST.widths)
    windows = np.empty((total, FRAMES // 2, FAST.bands), np.float16)
    hints = np.empty((total, KEEPS, width), np.float16)
    summaries = np.empty((total, campplus.EMBEDDING + 2 * FAST.widths[-1]), np.float32)
    views = np.empty(total, np.uint8)
    filled: dict[str, npt.NDArray[Any]] = dict(zip(SCHEMA, (windows, hints, summaries, views), strict=True))
    at = 0
    for shard in shards:  # one after the other: all of them and their join would need twice the memory
        rows = pl.read_parquet(shard)
        for name, into in filled.items():
            part = np.frombuffer(b"".join(rows[name]), into.dtype).reshape(-1, *into.shape[1:])
            into[at : at + len(part)] = part
        at += len(part)
    aside = np.array([student.kept_aside(one, UNSEEN) for one in table["speaker_id"].fill_null(table["clip_id"])])
    clip = np.repeat(np.arange(table.height), counts)
    return Lessons(windows, hints, summaries, aside[clip], views == 0, clip)


def babblers(table: pl.DataFrame) -> dict[str, list[str]]:
    """Choose the files for each file's babble. They are of the same corpus and release, so that leaving a set out of
    training leaves out its babble, too.

    Args:
        table: ``path``, and ``corpus`` and ``release`` where they are known.

    Examples:
        >>> babblers(pl.DataFrame({"path": ["a", "b", "c"], "corpus": ["x", "x", "y"]}))
        {'a': ['a'], 'b': ['a'], 'c': ['c']}
    """
    places = [name for name in ("corpus", "release") if name in table.columns]
    found: dict[str, list[str]] = {}
    for rows in table.partition_by(places, maintain_order=True) if places else [table]:
        paths = rows["path"].to_list()
        found |= dict.fromkeys(paths, paths[::7])
    return found


def without(table: pl.DataFrame, given: Lessons, names: Sequence[str]) -> Lessons:
    """Leave out corpora or releases, and every clip of their speakers elsewhere.

    Args:
        table: the table that the lessons were made from.
        given: the lessons.
        names: keys of :func:`voxtrait.training.study.cross_corpus.held_out`.

    Raises:
        ManifestError: if a name is not one of them.
    """
    sets = held_out(table)
    if unknown := sorted(set(names) - set(sets)):
        raise ManifestError(f"unknown sets {', '.join(unknown)}, expected some of: {', '.join(sets)}")
    left_out = np.any([sets[name] for name in names], axis=0)
    speakers = table.filter(pl.Series(left_out))["speaker_id"].drop_nulls().unique()
    left_out |= table["speaker_id"].is_in(speakers.implode()).fill_null(False).to_numpy()
    rows = ~left_out[given.clip]
    return Lessons(*(getattr(given, field.name)[rows] for field in dataclasses.fields(Lessons)))
