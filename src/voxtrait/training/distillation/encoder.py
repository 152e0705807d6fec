"""The fast encoder learns from the large one: no labels, only what the large one says of the same windows.

::

    clip ─► speech ─┬► as recorded ────────────────────────┐            ┌► large encoder ─► states, summaries ─► heads
                    └► other speeds, rooms, noise, codecs ─┴► windows ──┴► fast encoder ─► … brought near to all three

Knowledge distillation (Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015), on the states
of the top layer, on summaries, each value by its spread, and on what the heads of a run make of the summaries. A
recording at another speed is another voice, and the large encoder says what of it: that makes more voices than there
are speakers, which labels would not survive.

``python -m voxtrait.training.distillation.encoder MANIFEST RUN OUT`` teaches one, with the heads of a run of the recipe
``large``; a copy of ``OUT/fast_encoder.onnx`` as ``encoder.onnx`` in the folder of a run of ``base`` is what that one
goes on from. What it costs and gains stands in ``docs/results.md``.
"""

import argparse
import dataclasses
import hashlib
import json
import math
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
from voxtrait.errors import BundleError, ManifestError, OptionError, VoxtraitError
from voxtrait.features import Array
from voxtrait.recognize.graph import Graph
from voxtrait.training import schedule
from voxtrait.training.distillation import fast_encoder, student
from voxtrait.training.distillation.fast_encoder import COLUMNS, SLOWER, FastEncoder
from voxtrait.training.recipe import EncoderRecipe
from voxtrait.training.voices import encoder
from voxtrait.training.voices.acoustics import Chances, disturb
from voxtrait.training.voices.heads import Heads
from voxtrait.training.voices.views import Recordings

VIEWS: Final = 16  # of each clip: as recorded, and disturbed
LONGEST_S: Final = 20.0
LONGEST_VIEW_S: Final = 3.5
SHORTEST_S: Final = 0.4
SPEEDS: Final = (0.8, 1.25)
FASTER_OR_SLOWER: Final = 0.75  # share of disturbed views at another speed
DISTURBED: Final = 0.7  # share of them with a room, noise or codec
CHANCES: Final = Chances(telephone=0.15, codec=0.12)  # codecs take longest, and the heads hear more of them
UNHEARD: Final = 20  # one in so many speakers is kept aside, to see how well others are answered
LEARNING_RATE: Final = 1e-3
BATCH: Final = 128  # windows
THINNED: Final = 4  # of so many states of a window one is kept: neighbours say much the same
STATES: Final = 0.5  # weight of the states beside the summaries and the heads' answers
SEED: Final = 7
SCHEMA: Final = {"windows": pl.Binary, "states": pl.Binary, "summaries": pl.Binary, "view": pl.Binary}
"""Of a clip: float16 ``(n, 80, 40)``, ``(n, 10, 256)``; float32 ``(n, 768)``; the number of each window's view."""


@dataclasses.dataclass
class Answers:
    """The job: a file → windows of it, and what the large encoder says of them."""

    teacher: Graph
    others: list[str]  # files for babble

    def __call__(self, path: str) -> dict[str, bytes]:
        """Cut one file; one that cannot be used, or has too little speech, gives nothing."""
        found: list[tuple[Array, Array, Array, npt.NDArray[np.uint8]]] = []
        try:
            spoken = speech.spoken(check_signal(audio.load(path)[0])[: int(LONGEST_S * SAMPLING_RATE)])
            if len(spoken) >= SHORTEST_S * SAMPLING_RATE:
                stem = int.from_bytes(hashlib.blake2b(Path(path).stem.encode(), digest_size=6).digest(), "big")
                for view in range(VIEWS):
                    rng = np.random.default_rng([SEED, view, stem])
                    signal = self._disturbed(spoken, rng) if view else spoken
                    heard, seen = cut(signal, rng if view else None)
                    said = self.teacher(heard)
                    found.append((seen, said["states"], said["summary"], np.full(len(seen), view, np.uint8)))
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
        keep = min(len(spoken), int(LONGEST_VIEW_S * SAMPLING_RATE))
        start = int(rng.uniform(0, len(spoken) - keep))
        signal = spoken[start : start + keep]
        if rng.random() < FASTER_OR_SLOWER:
            low, high = map(math.log, SPEEDS)
            signal = resample(signal, SAMPLING_RATE * math.exp(rng.uniform(low, high)), SAMPLING_RATE)
        if rng.random() < DISTURBED:
            chosen = rng.choice(len(self.others), min(2, len(self.others)), replace=False)
            signal = disturb(signal, Recordings([self.others[int(at)] for at in chosen]), rng, CHANCES)
        return np.asarray(signal, dtype=np.float32)


def cut(signal: Signal, rng: np.random.Generator | None) -> tuple[Array, Array]:
    """Cut a signal into the windows of both encoders, over the same moments.

    Args:
        signal: speech at 16 kHz, ``(samples,)``.
        rng: for windows anywhere; ``None`` for those that the recogniser cuts.

    Returns:
        ``(n, 160, 40)`` for the large encoder, ``(n, 80, 40)`` for the fast one.
    """
    large, fast = features.encoder_front_end(), features.fast_encoder_front_end()
    heard = features.mel_power(signal, large).T
    seen = np.log(np.maximum(features.mel_power(signal, fast), fast.floor)).T
    columns, ratio = fast.columns, large.columns // fast.columns
    if len(seen) < columns:
        return (
            np.resize(heard[: ratio * len(seen)], (1, large.columns, large.n_mels)),
            np.resize(seen, (1, columns, fast.n_mels)),
        )
    count = max(1, math.ceil(len(seen) / columns - 0.25))
    last = len(seen) - columns
    starts = np.linspace(0, last, count).astype(int) if rng is None else np.sort(rng.integers(0, last + 1, count))
    at = np.minimum(ratio * starts[:, None] + np.arange(large.columns), len(heard) - 1)
    return np.ascontiguousarray(heard[at]), np.ascontiguousarray(seen[starts[:, None] + np.arange(columns)])


def teacher(file: Path) -> Graph:
    """Write the large encoder in 32 bits, with some of its states beside its summaries, and open it."""
    shape = features.encoder_front_end().input_shape
    model = encoder.assembled(encoder.pretrained())
    every = SLOWER * THINNED
    values = {"first": [every - 1], "past": [shape[0]], "axis": [0], "step": [every], "flat": [0, -1]}
    model.graph.initializer.extend(numpy_helper.from_array(np.array(one), name) for name, one in values.items())
    model.graph.node.extend(
        [
            helper.make_node("Slice", [f"layer{encoder.LAYERS - 1}", "first", "past", "axis", "step"], ["slower"]),
            helper.make_node("Transpose", ["slower"], ["by_window"], perm=[1, 0, 2]),
            helper.make_node("Reshape", ["by_window", "flat"], ["states"]),
        ]
    )
    size = shape[0] // every * encoder.UNITS
    model.graph.output.append(helper.make_tensor_value_info("states", TensorProto.FLOAT, ["n", size]))
    onnx.checker.check_model(model)
    with atomic_path(file) as part:
        onnx.save(model, part)
    return Graph(file, shape, {"summary": encoder.SUMMARY, "states": size}, name="windows")


@dataclasses.dataclass(frozen=True)
class Lessons:
    """What is learnt: windows with the large encoder's answers, and whose they are."""

    windows: npt.NDArray[np.float16]  # (n, 80, 40)
    states: npt.NDArray[np.float16]  # (n, 10, 256), of every fourth step
    summaries: npt.NDArray[np.float32]  # (n, 768)
    aside: npt.NDArray[np.bool_]  # (n,), of speakers kept aside
    recorded: npt.NDArray[np.bool_]  # (n,), as recorded


def lessons(table: pl.DataFrame, folder: Path, *, jobs: int = 1, label: str | None = None) -> Lessons:
    """Let the large encoder answer about all clips of a table; a killed run goes on where it was.

    Args:
        table: a manifest's rows with absolute paths, none of them of test speakers.
        folder: for the graph and the shards.
        jobs: processes.
        label: of a progress line on standard error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = table["path"].to_list()
    job = Answers(teacher(folder / "teacher.onnx"), paths[::7])
    nothing = dict.fromkeys(SCHEMA, b"")
    shards = batch.run_sharded(
        job,
        paths,
        folder / "answers",
        row=lambda row: row,
        schema=SCHEMA,
        settings=repr((VIEWS, THINNED, LONGEST_VIEW_S, CHANCES, SEED, features.fast_encoder_front_end())),
        jobs=jobs,
        on_crash=lambda path, why: nothing,
        label=label,
        unit="clip",
    )
    counts = pl.concat([pl.read_parquet(shard, columns=["view"])["view"].bin.size() for shard in shards]).to_numpy()
    total = int(counts.sum())
    columns, bands = features.fast_encoder_front_end().input_shape
    windows = np.empty((total, columns, bands), np.float16)
    states = np.empty((total, columns // COLUMNS // THINNED, encoder.UNITS), np.float16)
    summaries = np.empty((total, encoder.SUMMARY), np.float32)
    views = np.empty(total, np.uint8)
    filled: dict[str, npt.NDArray[Any]] = dict(zip(SCHEMA, (windows, states, summaries, views), strict=True))
    at = 0
    for shard in shards:  # one after the other: all of them and their join would need twice the memory
        rows = pl.read_parquet(shard)
        for name, into in filled.items():
            part = np.frombuffer(b"".join(rows[name]), into.dtype).reshape(-1, *into.shape[1:])
            into[at : at + len(part)] = part
        at += len(part)
    aside = np.array([student.kept_aside(one, UNHEARD) for one in table["speaker_id"].fill_null(table["clip_id"])])
    return Lessons(windows, states, summaries, np.repeat(aside, counts), views == 0)


def heads_of(run: Path) -> Heads:
    """Read the heads of a training run, member by member; a bundle has only their mean.

    Args:
        run: folder of a run of the recipe large.

    Raises:
        OptionError: if no such run lies there.
    """
    note, last = run / "run.json", run / "checkpoints" / "last.ckpt"
    known = json.loads(note.read_text("utf-8"))["recipe"] if note.is_file() and last.is_file() else {}
    if "members" not in known:
        raise OptionError(f"got {run}, expected the folder of a run of the recipe large: 'make model BUNDLE=large'")
    recipe = EncoderRecipe(**known)
    values = torch.load(last, map_location="cpu", weights_only=False)["state_dict"]
    heads = Heads(encoder.SUMMARY, recipe.members, recipe)
    heads.load_state_dict({name: values[f"network.{name}"] for name in heads.state_dict()})
    return heads.requires_grad_(False).eval()


class Distillation(lightning.LightningModule):
    """The fast encoder with its three losses.

    Args:
        given: what is learnt.
        heads: whose answers to both summaries are compared.
        steps: optimiser steps of all epochs together.
        learning_rate: the highest.
    """

    def __init__(self, given: Lessons, heads: Heads, steps: int, learning_rate: float = LEARNING_RATE) -> None:
        super().__init__()
        self.network = FastEncoder(encoder.pretrained())
        self.heads, self.given, self.steps, self.learning_rate = heads, given, steps, learning_rate
        some = np.flatnonzero(~given.aside)[::10]
        bands = torch.from_numpy(given.windows[some].astype(np.float32))
        self.network.mean.copy_(bands.mean((0, 1)))
        self.network.scale.copy_(bands.std((0, 1)))
        summaries = torch.from_numpy(given.summaries[some])
        self.state_scale = _spread(torch.from_numpy(given.states[some[::5]].astype(np.float32)).std((0, 1)))
        self.summary_scale = _spread(summaries.std(0))
        with torch.no_grad():
            self.answer_scale = self._answers(summaries).std((0, 1))

    def on_train_epoch_start(self) -> None:
        """Tell the sampler the epoch, so that a resumed run shuffles as an undisturbed one would."""
        self.trainer.train_dataloader.sampler.epoch = self.current_epoch

    def training_step(self, batch: Tensor, at: int) -> Tensor:
        """Give the mean squared distances to the large encoder, each value by its spread."""
        by_state, by_summary, by_answer = self._distances(batch)
        self.log("train_loss", by_summary.detach(), on_step=False, on_epoch=True, batch_size=len(batch))
        return STATES * by_state + by_summary + by_answer

    def validation_step(self, batch: Tensor, at: int) -> None:
        """Measure the summaries of windows as recorded, of speakers kept aside."""
        self.log("validation_loss", self._distances(batch)[1], on_step=False, on_epoch=True, batch_size=len(batch))

    def configure_optimizers(self) -> Any:
        """AdamW, warmed up over the first fortieth of the steps, then a cosine to zero."""
        return schedule.cosine(self.network.parameters(), self.learning_rate, 1e-4, self.steps, warm=1 / 40)

    def _distances(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = batch.cpu().numpy()
        windows, states, summaries = (
            torch.from_numpy(values[rows]).to(self.device).float()
            for values in (self.given.windows, self.given.states, self.given.summaries)
        )
        found, summary = self.network(windows)
        found = found[:, THINNED - 1 :: THINNED].float()  # of bfloat16 under mixed precision
        with torch.autocast(self.device.type, enabled=False):
            answers = ((self._answers(summary) - self._answers(summaries)) / self.answer_scale.to(self.device)) ** 2
        return (
            (((found - states) / self.state_scale.to(self.device)) ** 2).mean(),
            (((summary - summaries) / self.summary_scale.to(self.device)) ** 2).mean(),
            answers.mean(),
        )

    def _answers(self, summaries: Tensor) -> Tensor:
        """What the members say, before it is spread over years: ``(members, n, 35)``."""
        return self.heads.answers(summaries)


def _spread(values: Tensor) -> Tensor:
    """Keep values that hardly ever change, of which the embedding has some, from weighing more than all others."""
    return values.clamp_min(float(0.1 * values.mean()))


def distil(
    given: Lessons,
    heads: Heads,
    folder: Path,
    epochs: int,
    *,
    start: Path | None = None,
    learning_rate: float = LEARNING_RATE,
    label: str | None = None,
) -> FastEncoder:
    """Teach the fast encoder; a killed run goes on from its last epoch.

    Args:
        given: what is learnt.
        heads: whose answers count.
        folder: for ``checkpoints/``, ``curves.csv`` and ``curves.png``.
        epochs: times that every window is seen.
        start: a checkpoint of an earlier run whose weights are taken up; ``None`` for the large encoder's.
        learning_rate: the highest.
        label: of a progress line on standard error.

    Raises:
        ManifestError: if there is nothing to learn from, or no speaker kept aside.
    """
    lightning.seed_everything(SEED, workers=True, verbose=False)
    rows, others = np.flatnonzero(~given.aside), np.flatnonzero(given.aside & given.recorded)
    if not len(rows) or not len(others):
        raise ManifestError(
            f"got {len(rows)} windows to learn from and {len(others)} of speakers kept aside, expected some of both: "
            f"one in {UNHEARD} speakers is kept aside, so give it a few hundred"
        )
    loader = student.loader_of(rows, BATCH, SEED)
    module = Distillation(given, heads, len(loader) * epochs, learning_rate)
    if start is not None:
        module.load_state_dict(torch.load(start, map_location="cpu", weights_only=False)["state_dict"])
    student.teach(module, loader, others, folder, epochs, title="fast encoder", precision=precision(), label=label)
    return module.network.cpu().eval()


def precision() -> str:
    """Choose bfloat16 for products where the processor or the GPU has it in hardware: six times as fast as without on a
    processor with AMX, and the rounding is below that of the 8 bits which the encoder has to live with anyway."""
    if torch.cpu.get_capabilities().get("amx_bf16") and not torch.cuda.is_available():
        return "bf16-mixed"
    return schedule.precision_of("auto")


def main() -> None:
    """Teach a fast encoder on the train and validation speakers of a manifest, and write its graph."""
    parser = argparse.ArgumentParser(description="Teach the fast encoder, and write OUT/fast_encoder.onnx.")
    parser.add_argument("manifest", type=Path, help="with splits")
    parser.add_argument("run", type=Path, help="folder of a run of the recipe large, whose heads count")
    parser.add_argument("out", type=Path, help="working folder; a second run goes on where the first was stopped")
    parser.add_argument("--epochs", type=int, default=8, help="[default: 8]")
    parser.add_argument("--start", type=Path, metavar="CHECKPOINT", help="go on from the weights of another run")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE, help=f"[default: {LEARNING_RATE}]")
    arguments = parser.parse_args()
    table = manifest.with_absolute_paths(manifest.read(arguments.manifest), arguments.manifest.parent).sort("clip_id")
    known = table.filter(pl.col("split").is_in(["train", "validation"]))
    given = lessons(known, arguments.out, jobs=batch.default_jobs(), label="answers")
    heads = heads_of(arguments.run)
    network = distil(
        given,
        heads,
        arguments.out,
        arguments.epochs,
        start=arguments.start,
        learning_rate=arguments.learning_rate,
        label="distillation",
    )
    real = given.windows[given.aside & given.recorded].astype(np.float32)
    with atomic_path(arguments.out / "fast_encoder.onnx") as part:
        part.write_bytes(fast_encoder.graph(network, real))
    print(json.dumps({"windows": len(given.windows), "clips": known.height, "aside": int(given.aside.sum())}))


if __name__ == "__main__":
    main()
