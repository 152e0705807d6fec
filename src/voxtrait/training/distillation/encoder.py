"""A fast encoder learns from CAM++: no labels, only what CAM++ makes of the same windows.

::

    clip ─► speech ─┬► as recorded ─────────────────────┐            ┌► CAM++ ────────► features of each block, summary
                    └► other speeds, rooms, noise, codecs┴► windows ─┴► fast encoder ─► … brought near to all of them

Knowledge distillation (Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015) with hints at
every block (Romero et al., "FitNets: hints for thin deep nets", ICLR 2015). The student keeps every so many layers of
its teacher's blocks, with their weights, sees half of the frames and has a smaller two-dimensional part. A recording
at another speed is another voice, and the teacher says what of it: that makes more voices than there are speakers,
which labels would not survive.

``python -m voxtrait.training.distillation.encoder MANIFEST ENCODER OUT`` teaches one, with the graph of CAM++ that a
run of the recipe ``base`` leaves as ``encoder.onnx``. ``OUT/encoder.onnx`` is what a run of ``fast`` starts from.
``--without`` leaves corpora out. What it costs and gains stands in ``docs/results.md``.
"""

import argparse
import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import lightning
import numpy as np
import numpy.typing as npt
import onnx
import polars as pl
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from voxtrait import audio, batch, features, manifest, speech
from voxtrait.audio import SAMPLING_RATE, Signal, atomic_path, check_signal, resample
from voxtrait.errors import BundleError, ManifestError, VoxtraitError
from voxtrait.features import Array
from voxtrait.recognize.graph import Graph
from voxtrait.training import schedule
from voxtrait.training.distillation import student
from voxtrait.training.study.cross_corpus import held_out
from voxtrait.training.voices import assembly, campplus
from voxtrait.training.voices.acoustics import Chances, disturb
from voxtrait.training.voices.campplus import CamPlus, Shape
from voxtrait.training.voices.views import Recordings

FAST: Final = Shape(planes=32, first=2, residuals=(2, 2), last=0, step=1, layers=(4, 10, 8), thinned=True)
KEPT: Final = ((0, 3, 6, 9), (0, 2, 4, 7, 9, 12, 14, 17, 19, 22), (0, 2, 4, 6, 8, 10, 12, 14))
"""Layers of each of the teacher's blocks whose weights the student starts from."""
VIEWS: Final = 6  # of each clip: as recorded, and disturbed
LONGEST_S: Final = 20.0
FRAMES: Final = 300  # of a window of the teacher, 10 ms each
THINNED: Final = 3  # of so many steps of 40 ms one is kept for the hints: neighbours say much the same
KEEPS: Final = FRAMES // 4 // THINNED  # steps of a window that are kept
SHORTEST_S: Final = 0.7
SPEEDS: Final = (0.8, 1.25)
FASTER_OR_SLOWER: Final = 0.75  # share of disturbed views at another speed
DISTURBED: Final = 0.75  # share of them with a room, noise, telephone or codec
CHANCES: Final = Chances(telephone=0.2, codec=0.2)
UNSEEN: Final = 20  # one in so many speakers is held out, to see how well others are imitated
LEARNING_RATE: Final = 1e-3
BATCH: Final = 64  # windows
HINTS: Final = 0.25  # weight of each block's features beside the summary
SEED: Final = 7
POINTS: Final = ("delay_norm", "halves.0", "halves.1", "last_norm")
"""Modules of both networks whose features are brought near: after the first steps and after each block."""
SCHEMA: Final = {"windows": pl.Binary, "hints": pl.Binary, "summaries": pl.Binary, "view": pl.Binary}
"""Of a clip: float16 ``(n, 150, 80)``, ``(n, 25, 1408)``; float32 ``(n, 1216)``; the number of each window's view."""


@dataclasses.dataclass
class Answers:
    """The job: a file → windows of it, and what the teacher makes of them."""

    teacher: Graph
    others: list[str]  # files for babble

    def __call__(self, path: str) -> dict[str, bytes]:
        """Cut one file; one that cannot be used, or has too little speech, gives nothing."""
        found: list[tuple[Array, Array, Array, npt.NDArray[np.uint8]]] = []
        try:
            spoken = speech.find(check_signal(audio.load(path)[0])[: int(LONGEST_S * SAMPLING_RATE)]).surrounded
            if len(spoken) >= SHORTEST_S * SAMPLING_RATE:
                stem = int.from_bytes(hashlib.blake2b(Path(path).stem.encode(), digest_size=6).digest(), "big")
                for view in range(VIEWS):
                    rng = np.random.default_rng([SEED, view, stem])
                    windows = cut(self._disturbed(spoken, rng) if view else spoken)
                    made = self.teacher(windows)
                    hints = np.concatenate([made[point].reshape(len(windows), KEEPS, -1) for point in POINTS], axis=2)
                    found.append((windows[:, ::2], hints, made["summary"], np.full(len(windows), view, np.uint8)))
        except BundleError:  # no fault of the file, and the same for the next one
            raise
        except (VoxtraitError, OSError, RuntimeError):  # RuntimeError: a codec of libsndfile's
            found = []
        if not found:
            return dict.fromkeys(SCHEMA, b"")
        parts = [np.concatenate(part) for part in zip(*found, strict=True)]
        kinds = (np.float16, np.float16, np.float32, np.uint8)
        return {name: part.astype(kind).tobytes() for name, part, kind in zip(SCHEMA, parts, kinds, strict=True)}

    def _disturbed(self, spoken: Signal, rng: np.random.Generator) -> Signal:
        keep = min(len(spoken), int(FRAMES / 100 * SPEEDS[1] * SAMPLING_RATE))
        start = int(rng.uniform(0, len(spoken) - keep))
        signal = spoken[start : start + keep]
        if rng.random() < FASTER_OR_SLOWER:
            low, high = map(math.log, SPEEDS)
            signal = resample(signal, SAMPLING_RATE * math.exp(rng.uniform(low, high)), SAMPLING_RATE)
        if rng.random() < DISTURBED:
            chosen = rng.choice(len(self.others), min(4, len(self.others)), replace=False)
            signal = disturb(signal, Recordings([self.others[int(at)] for at in chosen]), rng, CHANCES)
        return np.asarray(signal, dtype=np.float32)


def cut(signal: Signal) -> Array:
    """Cut speech at 16 kHz, ``(samples,)``, into windows of one length, ``(n, 300, 80)``; what is shorter is repeated
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
    return Graph(file, [None, None], {"summary": None} | dict.fromkeys(POINTS), name="windows")


@dataclasses.dataclass(frozen=True)
class Lessons:
    """What is learnt: windows with the teacher's features, and whose they are."""

    windows: npt.NDArray[np.float16]  # (n, 150, 80)
    hints: npt.NDArray[np.float16]  # (n, 25, 1408)
    summaries: npt.NDArray[np.float32]  # (n, 1216)
    aside: npt.NDArray[np.bool_]  # (n,), of speakers held out
    recorded: npt.NDArray[np.bool_]  # (n,), as recorded
    clip: npt.NDArray[np.int64]  # (n,), row of the table


def lessons(table: pl.DataFrame, source: Path, folder: Path, *, jobs: int = 1, label: str | None = None) -> Lessons:
    """Let the teacher see all clips of a table; a killed run is resumed.

    Args:
        table: a manifest's rows with absolute paths, none of them of test speakers.
        source: graph of CAM++, in 8 bits.
        folder: for the graph and the shards.
        jobs: processes.
        label: of a progress line on standard error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = table["path"].to_list()
    job = Answers(teacher(source, folder / "teacher.onnx"), paths[::7])
    nothing = dict.fromkeys(SCHEMA, b"")
    shards = batch.run_sharded(
        job,
        paths,
        folder / "answers",
        row=lambda row: row,
        schema=SCHEMA,
        settings=repr((VIEWS, FRAMES, THINNED, CHANCES, SEED)) + hashlib.blake2b(source.read_bytes()).hexdigest(),
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


def beginner(large: CamPlus, shape: Shape = FAST, kept: Sequence[Sequence[int]] = KEPT) -> CamPlus:
    """Make a student that starts from some layers of a larger network's blocks.

    Args:
        large: the teacher, with the same channels before and after each block.
        shape: of the student.
        kept: the layers of each block.

    Returns:
        A network whose layers see those of the teacher's inputs that are left. Its two-dimensional part is new.
    """
    torch.manual_seed(SEED)
    small = CamPlus(shape)
    inside = shape.channels
    for at, layers in enumerate(kept):
        own = torch.arange(inside)  # the teacher's channels that the student has
        for layer, source in enumerate(layers):
            values = dict(large.blocks[at][source].state_dict())
            small.blocks[at][layer].load_state_dict(_narrowed(values, own, "norm", "narrow"))
            own = torch.cat([own, inside + source * shape.growth + torch.arange(shape.growth)])
        small.norms[at].load_state_dict({key: _of(value, own) for key, value in large.norms[at].state_dict().items()})
        small.halves[at].load_state_dict({"weight": large.halves[at].state_dict()["weight"][:, own]})
        inside = shape.widths[at]
    for name in ("last_norm", "embedding", "embedding_norm"):
        getattr(small, name).load_state_dict(getattr(large, name).state_dict())
    return small


def _narrowed(values: dict[str, Tensor], own: Tensor, norm: str, product: str) -> dict[str, Tensor]:
    for key, value in values.items():
        if key.startswith(f"{norm}."):
            values[key] = _of(value, own)
        elif key.startswith(f"{product}."):
            values[key] = value[:, own]
    return values


def _of(value: Tensor, own: Tensor) -> Tensor:
    return value[own] if value.ndim else value


class Distillation(lightning.LightningModule):
    """The student with its losses.

    Args:
        network: what learns.
        given: what is learnt.
        steps: optimiser steps of all epochs together.
        learning_rate: the highest.
    """

    def __init__(self, network: CamPlus, given: Lessons, steps: int, learning_rate: float = LEARNING_RATE) -> None:
        super().__init__()
        self.network, self.given, self.steps, self.learning_rate = network, given, steps, learning_rate
        for part in (network.embedding, network.embedding_norm):  # the teacher's own
            part.requires_grad_(False).eval()
        some = np.flatnonzero(~given.aside)[::10]
        self.hint_scale = _spread(torch.from_numpy(given.hints[some].astype(np.float32)).std((0, 1)))
        self.summary_scale = _spread(torch.from_numpy(given.summaries[some, campplus.EMBEDDING :]).std(0))

    def on_train_epoch_start(self) -> None:
        """Tell the sampler the epoch, so that a resumed run shuffles as an undisturbed one would."""
        self.trainer.train_dataloader.sampler.epoch = self.current_epoch
        self.network.embedding_norm.eval()

    def training_step(self, batch: Tensor, at: int) -> Tensor:
        """Give the mean squared distances to the teacher, each value by its spread."""
        by_hint, by_summary, by_voice = self._distances(batch)
        self.log("train_loss", by_summary.detach(), on_step=False, on_epoch=True, batch_size=len(batch))
        return HINTS * by_hint + by_summary + by_voice

    def validation_step(self, batch: Tensor, at: int) -> None:
        """Measure the summaries of windows as recorded, of speakers held out."""
        self.log("validation_loss", self._distances(batch)[1], on_step=False, on_epoch=True, batch_size=len(batch))

    def configure_optimizers(self) -> Any:
        """AdamW, warmed up over the first fortieth of the steps, then a cosine to zero."""
        return schedule.cosine(self.network.parameters(), self.learning_rate, 1e-4, self.steps, warm=1 / 40)

    def _distances(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = batch.cpu().numpy()
        windows, hints, summaries = (
            torch.from_numpy(values[rows]).to(self.device).float()
            for values in (self.given.windows, self.given.hints, self.given.summaries)
        )
        made = [one.transpose(1, 2).float() for one in self.network.features(windows)]
        summary = campplus.statistics(made[-1].transpose(1, 2))
        found = torch.cat([made[0][:, :: 2 * THINNED], *(one[:, ::THINNED] for one in made[1:])], 2)
        by_hint = (((found - hints) / self.hint_scale.to(self.device)) ** 2).mean((0, 1))
        parts = torch.split(by_hint, [FAST.channels, *FAST.widths])
        voice, summaries = torch.split(summaries, [campplus.EMBEDDING, summary.shape[1]], 1)
        by_voice = 1 - torch.cosine_similarity(self.network.embed(summary), voice)
        return (
            torch.stack([part.mean() for part in parts]).sum(),
            (((summary - summaries) / self.summary_scale.to(self.device)) ** 2).mean(),
            by_voice.mean(),
        )


def _spread(values: Tensor) -> Tensor:
    """Keep values that hardly ever change from weighing more than all others."""
    return values.clamp_min(float(0.1 * values.mean()))


def distil(
    given: Lessons,
    network: CamPlus,
    folder: Path,
    epochs: int,
    *,
    learning_rate: float = LEARNING_RATE,
    label: str | None = None,
) -> CamPlus:
    """Teach a student; a killed run is resumed from its last epoch.

    Args:
        given: what is learnt.
        network: the student as it starts.
        folder: for ``checkpoints/``, ``curves.csv`` and ``curves.png``.
        epochs: times that every window is seen.
        learning_rate: the highest.
        label: of a progress line on standard error.

    Raises:
        ManifestError: if there is nothing to learn from, or no speaker is held out.
    """
    lightning.seed_everything(SEED, workers=True, verbose=False)
    rows, others = np.flatnonzero(~given.aside), np.flatnonzero(given.aside & given.recorded)
    if not len(rows) or not len(others):
        raise ManifestError(
            f"{len(rows)} windows of training speakers and {len(others)} of held-out speakers, expected some of both. "
            f"One in {UNSEEN} speakers is held out: use a manifest with a few hundred speakers."
        )
    loader = student.loader_of(rows, BATCH, SEED)
    module = Distillation(network, given, len(loader) * epochs, learning_rate)
    student.teach(module, loader, others, folder, epochs, title="fast encoder", precision=precision(), label=label)
    return module.network.cpu().eval()


def precision() -> str:
    """Choose bfloat16 for products where the processor or the GPU has it in hardware: six times as fast as without on a
    processor with AMX, and the rounding is below that of the 8 bits which the encoder has to live with anyway."""
    if torch.cpu.get_capabilities().get("amx_bf16") and not torch.cuda.is_available():
        return "bf16-mixed"
    return schedule.precision_of("auto")


def without(table: pl.DataFrame, given: Lessons, names: Sequence[str]) -> Lessons:
    """Leave out corpora or releases, and every clip of their speakers elsewhere.

    Args:
        table: whose clips the lessons are of.
        given: lessons.
        names: as :func:`voxtrait.training.study.cross_corpus.held_out` calls them.

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


def main() -> None:
    """Teach a fast encoder on the train and validation speakers of a manifest, and write its graph."""
    parser = argparse.ArgumentParser(description="Teach the fast encoder, and write OUT/encoder.onnx.")
    parser.add_argument("manifest", type=Path, help="table with splits")
    parser.add_argument("encoder", type=Path, help="graph of CAM++: encoder.onnx of a run of the recipe base")
    parser.add_argument("out", type=Path, help="working folder; a second run resumes the first")
    parser.add_argument("--epochs", type=int, default=8, help="[default: 8]")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE, help=f"[default: {LEARNING_RATE}]")
    parser.add_argument("--without", action="append", default=[], metavar="SET", help="corpus or release to leave out")
    parser.add_argument("--lessons", type=Path, help="folder of the teacher's answers [default: OUT]")
    arguments = parser.parse_args()
    table = manifest.with_absolute_paths(manifest.read(arguments.manifest), arguments.manifest.parent).sort("clip_id")
    known = table.filter(pl.col("split").is_in(["train", "validation"]))
    place = arguments.lessons or arguments.out
    given = lessons(known, arguments.encoder, place, jobs=batch.default_jobs(), label="teacher")
    if arguments.without:
        given = without(known, given, arguments.without)
    network = distil(
        given,
        beginner(campplus.pretrained()),
        arguments.out,
        arguments.epochs,
        learning_rate=arguments.learning_rate,
        label="distillation",
    )
    seen = np.flatnonzero(~given.aside & given.recorded)[:: max(1, len(given.clip) // 500)][:96]
    real = np.flatnonzero(given.aside & given.recorded)[:48]
    parts = [[given.windows[row : row + 1].astype(np.float32) for row in rows] for rows in (seen, real)]
    with atomic_path(arguments.out / "encoder.onnx") as part:
        part.write_bytes(assembly.graph(network, *parts))
    print(json.dumps({"windows": len(given.windows), "clips": known.height, "held out": int(given.aside.sum())}))


if __name__ == "__main__":
    main()
