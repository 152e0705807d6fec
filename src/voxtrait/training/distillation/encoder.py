"""Distils CAM++ into a fast encoder. It needs no labels: the student imitates the features of CAM++.

::

    clip ─► speech ─┬► as recorded ─────────────────────┐            ┌► CAM++ ────────► features of each block, summary
                    └► other speeds, rooms, noise, codecs┴► windows ─┴► fast encoder ─► the same: distances are the loss

Knowledge distillation (Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015) with hints at
every block (Romero et al., "FitNets: hints for thin deep nets", ICLR 2015). The student starts from some layers of
the teacher's blocks, with their weights (:data:`KEPT`). It processes half of the frames, and its two-dimensional part
is smaller. A recording at another speed sounds like another speaker. No label would be right for it, but the teacher's
features are, so there are more voices to learn from than speakers.

``python -m voxtrait.training.distillation.encoder MANIFEST ENCODER OUT`` trains a student. ENCODER is the graph of
CAM++, ``encoder.onnx`` in the folder of a run of the recipe ``base``. A run of ``fast`` starts from
``OUT/encoder.onnx``. ``--without`` leaves corpora out. ``docs/training.md`` has the steps.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import lightning
import numpy as np
import polars as pl
import torch
from torch import Tensor

from voxtrait import batch, manifest
from voxtrait.audio import atomic_path
from voxtrait.errors import ManifestError
from voxtrait.training import schedule
from voxtrait.training.distillation import student
from voxtrait.training.distillation.lessons import SEED, THINNED, UNSEEN, Lessons, lessons, without
from voxtrait.training.voices import assembly, campplus
from voxtrait.training.voices.campplus import FAST, CamPlus, Shape

KEPT: Final = ((0, 3, 6, 9), (0, 2, 4, 7, 9, 12, 14, 17, 19, 22), (0, 2, 4, 6, 8, 10, 12, 14))
"""Layers of each of the teacher's blocks whose weights the student starts from."""
LEARNING_RATE: Final = 1e-3
BATCH: Final = 64  # windows
HINTS: Final = 0.25  # weight of each block's features beside the summary


def beginner(large: CamPlus, shape: Shape = FAST, kept: Sequence[Sequence[int]] = KEPT) -> CamPlus:
    """Make a student that starts from some layers of a larger network's blocks.

    Args:
        large: the teacher, with the same channels before and after each block.
        shape: the sizes of the student.
        kept: indices of the teacher's layers, for each block.

    Returns:
        A network whose layers have the teacher's weights for the inputs that are left. Its two-dimensional part has
        new, random weights.
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
        network: the student.
        given: the training data.
        steps: optimiser steps of all epochs together.
        learning_rate: the highest learning rate.
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
        """Compute the loss: distances to the features, the summary and the speaker embedding of the teacher."""
        by_hint, by_summary, by_voice = self._distances(batch)
        self.log("train_loss", by_summary.detach(), on_step=False, on_epoch=True, batch_size=len(batch))
        return HINTS * by_hint + by_summary + by_voice

    def validation_step(self, batch: Tensor, at: int) -> None:
        """Compute the distance of the summaries, on windows as recorded of held-out speakers."""
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
    """Train a student; a killed run is resumed from its last epoch.

    Args:
        given: the training data.
        network: the student with its first weights.
        folder: for ``checkpoints/``, ``curves.csv`` and ``curves.png``.
        epochs: passes over all windows.
        learning_rate: the highest learning rate.
        label: of a progress line on standard error.

    Raises:
        ManifestError: if there are no windows of training speakers, or none of held-out speakers.
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
    """Choose bfloat16 for products if the processor or the GPU has it in hardware.

    On a processor with AMX it is six times as fast as float32. Its rounding error is smaller than that of the 8 bits of
    the final graph.
    """
    if torch.cpu.get_capabilities().get("amx_bf16") and not torch.cuda.is_available():
        return "bf16-mixed"
    return schedule.precision_of("auto")


def main() -> None:
    """Train a fast encoder on the train and validation speakers of a manifest, and write its graph."""
    parser = argparse.ArgumentParser(description="Train the fast encoder, and write OUT/encoder.onnx.")
    parser.add_argument("manifest", type=Path, help="manifest with splits")
    parser.add_argument("encoder", type=Path, help="graph of CAM++: encoder.onnx of a run of the recipe base")
    parser.add_argument("out", type=Path, help="working folder; a second run resumes the first")
    parser.add_argument("--epochs", type=int, default=8, help="passes over all windows [default: 8]")
    parser.add_argument(
        "--learning-rate", type=float, default=LEARNING_RATE, help=f"highest learning rate [default: {LEARNING_RATE}]"
    )
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
