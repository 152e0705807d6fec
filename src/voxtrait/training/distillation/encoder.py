"""Distils CAM++ into a fast encoder. It needs no labels: the student imitates the features of CAM++.

::

    clip ─► speech ─┬► as recorded ─────────────────────┐            ┌► CAM++ ────────► features of each block, summary
                    └► other speeds, rooms, noise, codecs┴► windows ─┴► fast encoder ─► the same: distances are the loss

Knowledge distillation (Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015) with hints at
every block (Romero et al., "FitNets: hints for thin deep nets", ICLR 2015). The student starts from some layers of
the teacher's blocks (:data:`KEPT`), refitted. It processes half of the frames, and its two-dimensional part is smaller.
A recording at another speed sounds like another speaker. The labels of the clip may be wrong for it, but the teacher's
features are right. So the student learns from more voices than there are speakers.

``python -m voxtrait.training.distillation.encoder MANIFEST ENCODER OUT`` trains a student and writes
``OUT/encoder.onnx``. ENCODER is the graph of CAM++, ``encoder.onnx`` in the folder of a run of the recipe ``base``.
``--without`` leaves corpora out. ``docs/training.md`` describes the steps.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import lightning
import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor, nn

from voxtrait import batch, manifest
from voxtrait.audio import atomic_path
from voxtrait.errors import ManifestError, OptionError
from voxtrait.training import schedule
from voxtrait.training.distillation import student
from voxtrait.training.distillation.initial import KEPT, beginner, refit
from voxtrait.training.distillation.lessons import SEED, THINNED, UNSEEN, Lessons, cut, lessons, spoken, without
from voxtrait.training.voices import assembly, campplus
from voxtrait.training.voices.campplus import FAST, CamPlus

LEARNING_RATES: Final = (3e-3, 1e-3)
EPOCHS: Final = (2, 2)
"""Both are in this order: for the part before the blocks alone, then for the whole student."""
BATCH: Final = 32  # windows
FITTED: Final = 400  # clips whose first window the initial weights are fitted to; a few more may be used
HINTS: Final = 0.25  # loss weight of the features at each point; the summary has 1


class Imitation(lightning.LightningModule):
    """Trains a student on the teacher's features.

    Args:
        network: the student.
        given: the training data.
        steps: optimiser steps of all epochs together.
        learning_rate: the highest learning rate.
    """

    def __init__(self, network: CamPlus, given: Lessons, steps: int, learning_rate: float) -> None:
        super().__init__()
        self.network, self.given, self.steps, self.learning_rate = network, given, steps, learning_rate
        some = np.flatnonzero(~given.aside)[::10]
        widths = [network.shape.channels, *network.shape.widths]
        spread = torch.from_numpy(given.hints[some].astype(np.float32)).std((0, 1))
        self.hint_scale = torch.cat([_spread(part) for part in torch.split(spread, widths)])
        self.summary_scale = _spread(torch.from_numpy(given.summaries[some, campplus.EMBEDDING :]).std(0))

    def on_train_epoch_start(self) -> None:
        """Set the sampler's epoch, so that a resumed run has the same order as an uninterrupted one."""
        self.trainer.train_dataloader.sampler.epoch = self.current_epoch

    def configure_optimizers(self) -> Any:
        """Make AdamW with a warm-up over the first fortieth of the steps, then a cosine to zero."""
        return schedule.cosine(self.network.parameters(), self.learning_rate, 1e-4, self.steps, warm=1 / 40)

    def _of(self, values: npt.NDArray[Any], rows: Tensor) -> Tensor:
        return torch.from_numpy(values[rows.cpu().numpy()]).to(self.device).float()


class FrontDistillation(Imitation):
    """Trains the part before the blocks alone.

    This part starts from random weights. Each of its outputs depends on only a third of a second. Training it alone
    takes half of the work, and the blocks keep their weights.
    """

    def training_step(self, batch: Tensor, at: int) -> Tensor:
        """Compute the loss: the distance to the teacher's features before its blocks."""
        loss = self._distance(batch)
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: Tensor, at: int) -> None:
        """Log the same distance for windows of held-out speakers, as recorded."""
        self.log("validation_loss", self._distance(batch), on_step=False, on_epoch=True, batch_size=len(batch))

    def _distance(self, batch: Tensor) -> Tensor:
        width = self.network.shape.channels
        made = self.network.first(self._of(self.given.windows, batch))[:, :, :: 2 * THINNED].transpose(1, 2)
        off = (made - self._of(self.given.hints[:, :, :width], batch)) / self.hint_scale[:width].to(self.device)
        return (off**2).mean()


class Distillation(Imitation):
    """Trains the whole student. Batch normalisations keep the means and variances from before this training."""

    def on_train_epoch_start(self) -> None:
        """Make batch normalisations use their stored means and variances instead of those of each batch."""
        super().on_train_epoch_start()
        for part in self.network.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                part.eval()

    def training_step(self, batch: Tensor, at: int) -> Tensor:
        """Compute the loss: distances to the features, the summary and the speaker embedding of the teacher.

        ``train_loss`` is the distance of the summaries alone, to compare with ``validation_loss``.
        """
        by_hint, by_summary, by_voice = self._distances(batch)
        self.log("train_loss", by_summary.detach(), on_step=False, on_epoch=True, batch_size=len(batch))
        return HINTS * by_hint + by_summary + by_voice

    def validation_step(self, batch: Tensor, at: int) -> None:
        """Log the distance of the summaries for windows of held-out speakers, as recorded."""
        self.log("validation_loss", self._distances(batch)[1], on_step=False, on_epoch=True, batch_size=len(batch))

    def _distances(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        windows, hints, summaries = (
            self._of(values, batch) for values in (self.given.windows, self.given.hints, self.given.summaries)
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
    """Raise small spreads to a tenth of the mean, so that values that hardly vary do not dominate the loss."""
    return values.clamp_min(float(0.1 * values.mean()))


def distil(
    given: Lessons,
    large: CamPlus,
    windows: Tensor,
    folder: Path,
    epochs: tuple[int, int],
    *,
    learning_rates: tuple[float, float] = LEARNING_RATES,
    label: str | None = None,
) -> CamPlus:
    """Train a student; a killed run is resumed from its last epoch.

    Args:
        given: the training data.
        large: the teacher.
        windows: ``(n, frames, bands)`` of training clips for :func:`~voxtrait.training.distillation.initial.refit`.
        folder: for ``checkpoints/``, ``curves.csv`` and ``curves.png``; ``front`` has those of the first training.
        epochs: passes over all windows: for the part before the blocks alone, then for the whole student.
        learning_rates: the highest learning rates of these two trainings.
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
    network = beginner(large, FAST, KEPT)
    parts = ((FrontDistillation, "front", folder / "front"), (Distillation, "fast encoder", folder))
    for (kind, title, place), passes, learning_rate in zip(parts, epochs, learning_rates, strict=True):
        if kind is Distillation:
            refit(network, large, windows, KEPT)
        loader = student.loader_of(rows, BATCH, SEED)
        module = kind(network, given, len(loader) * passes, learning_rate)
        now = label and f"{label}: {title}"
        student.teach(module, loader, others, place, passes, title=title, precision=precision(), label=now)
        network = module.network.cpu().eval()
    return network


def precision() -> str:
    """Choose bfloat16 for products if the GPU has it in hardware or, without a GPU, the processor has AMX.

    On a processor with AMX, bfloat16 is six times as fast as float32. Its rounding error is smaller than that of the
    final graph in 8 bits.
    """
    if torch.cpu.get_capabilities().get("amx_bf16") and not torch.cuda.is_available():
        return "bf16-mixed"
    return schedule.precision_of("auto")


def make(
    source: Path,
    encoder: Path,
    out: Path,
    *,
    epochs: tuple[int, int] = EPOCHS,
    left_out: Sequence[str] = (),
    answers: Path | None = None,
    label: str | None = None,
) -> dict[str, Any]:
    """Train a fast encoder on the train and validation speakers of a manifest, and write its graph.

    Args:
        source: the manifest, with splits.
        encoder: graph of CAM++, ``encoder.onnx`` of a run of the recipe ``base``.
        out: working folder; a second run resumes the first.
        epochs: passes over all windows, as for :func:`distil`.
        left_out: corpora or releases that the student is not trained on.
        answers: folder of the teacher's features and summaries; ``None`` for ``out``.
        label: of progress lines on standard error.

    Returns:
        The content of ``OUT/distillation.json``: settings, and the numbers of windows, clips and held-out windows.

    Raises:
        OptionError: if ``out`` holds a distillation with other settings.
        ManifestError: if there are too few speakers, or a name in ``left_out`` is unknown.
        PretrainedMissingError: if the package with the teacher's weights is not installed.
        BundleError: if the summaries of the graph in 8 bits differ too much from those of the student.
    """
    settings = {"without": sorted(left_out), "epochs": list(epochs)}
    note = out / "distillation.json"
    if note.is_file():
        found = json.loads(note.read_text("utf-8"))
        if {key: found.get(key) for key in settings} != settings:
            raise OptionError(
                f"the distillation in {out} has other settings ({note.name}): resume it with the same, or choose "
                "another OUT"
            )
    large = campplus.pretrained()
    table = manifest.with_absolute_paths(manifest.read(source), source.parent).sort("clip_id")
    known = table.filter(pl.col("split").is_in(["train", "validation"]))
    given = lessons(known, encoder, answers or out, jobs=batch.default_jobs(), label=label and "teacher")
    if left_out:
        given = without(known, given, left_out)
    out.mkdir(parents=True, exist_ok=True)
    _write(note, settings)
    learnt = np.unique(given.clip[~given.aside])
    paths = known["path"].gather(learnt[:: max(1, len(learnt) // FITTED)]).to_list()
    windows = torch.from_numpy(np.concatenate([cut(spoken(path))[:1] for path in paths]))
    network = distil(given, large, windows, out, epochs, label=label)
    seen = np.flatnonzero(~given.aside & given.recorded)[:: max(1, len(given.clip) // 500)][:96]
    real = np.flatnonzero(given.aside & given.recorded)[:48]
    parts = [[given.windows[row : row + 1].astype(np.float32) for row in rows] for rows in (seen, real)]
    with atomic_path(out / "encoder.onnx") as part:
        part.write_bytes(assembly.graph(network, *parts))
    counts = {"windows": len(given.windows), "clips": len(np.unique(given.clip)), "held_out": int(given.aside.sum())}
    said = settings | counts
    _write(note, said)
    return said


def _write(file: Path, values: dict[str, Any]) -> None:
    with atomic_path(file) as part:
        part.write_text(json.dumps(values) + "\n", "utf-8")


def main() -> None:
    """Train a fast encoder, and print its settings and numbers of windows."""
    parser = argparse.ArgumentParser(description="Train the fast encoder, and write OUT/encoder.onnx.")
    parser.add_argument("manifest", type=Path, help="manifest with splits")
    parser.add_argument("encoder", type=Path, help="graph of CAM++: encoder.onnx of a run of the recipe base")
    parser.add_argument("out", type=Path, help="working folder; a second run resumes the first")
    parser.add_argument(
        "--epochs",
        type=int,
        nargs=2,
        default=EPOCHS,
        metavar=("FRONT", "WHOLE"),
        help=f"passes over all windows: the part before the blocks, then all of it [default: {EPOCHS[0]} {EPOCHS[1]}]",
    )
    parser.add_argument("--without", action="append", default=[], metavar="SET", help="corpus or release to leave out")
    parser.add_argument("--lessons", type=Path, help="folder of the teacher's answers [default: OUT]")
    given = parser.parse_args()
    said = make(
        given.manifest,
        given.encoder,
        given.out,
        epochs=tuple(given.epochs),
        left_out=given.without,
        answers=given.lessons,
        label="distillation",
    )
    print(json.dumps(said))


if __name__ == "__main__":
    main()
