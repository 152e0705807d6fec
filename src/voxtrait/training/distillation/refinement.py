"""Refines a fitted student by gradients, so that its summaries come closer to the teacher's.

::

    windows ─┬► teacher ─────────────────────────────► mean and spread of the features, embedding ─┐
             └► student's first part ─► its blocks ──► the same ────────────────────────────► loss ┴► gradients
                (as fitted)              (trained)

Least squares fits one convolution after the other, so later ones compensate for errors of the ones before, but not the
other way round. Gradients change all blocks together. Batch normalisations keep their statistics, and the rate of each
tensor is relative to the size of its fitted values, as in Shazeer & Stern, "Adafactor: adaptive learning rates with
sublinear memory cost" (ICML 2018). Trials without these rules diverged.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import lightning
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from voxtrait import batch
from voxtrait.features import Array
from voxtrait.training import schedule
from voxtrait.training.distillation import student
from voxtrait.training.voices.campplus import CamPlus, statistics

RATE: Final = 2e-3  # peak learning rate of a tensor, in units of the root mean square of its fitted values
LEAST: Final = 0.02  # minimum root mean square for this: biases may be 0
WARM: Final = 0.02  # share of the steps for the warm-up
BATCH: Final = 32  # windows
TEACHER_BATCH: Final = 16  # windows per batch of the teacher
SPREAD: Final = 1e-3  # added to the spread of each value over the windows, so that none is 0
SEED: Final = 7


class Lessons(NamedTuple):
    """Inputs and targets of the training, one row per window."""

    first: npt.NDArray[np.float16]  # (n, channels, steps), the student's features before its blocks
    expected: npt.NDArray[np.float16]  # (n, 2 * width), mean and spread of the teacher's last features over time
    aside: npt.NDArray[np.bool_]  # (n,), held out from training


@torch.no_grad()
def lessons(
    small: CamPlus, large: CamPlus, windows: Sequence[Array], aside: npt.NDArray[np.bool_], *, label: str | None = None
) -> Lessons:
    """Compute the features before the student's blocks, and the teacher's statistics.

    Args:
        small: the student.
        large: the teacher.
        windows: windows for the teacher, ``(frames, bands)`` each. The student processes every second frame if its
            frames are twice as far apart.
        aside: ``(n,)``, windows that are held out from training.
        label: label of the progress line on standard error; ``None`` shows no progress.
    """
    frames = small.shape.frame_ms // large.shape.frame_ms

    def computed() -> Iterator[tuple[Tensor, Tensor]]:
        for at in range(0, len(windows), TEACHER_BATCH):
            part = torch.from_numpy(np.stack(windows[at : at + TEACHER_BATCH]))
            yield small.first(part[:, ::frames]).half(), statistics(large.features(part)[-1]).half()

    found = list(batch.progress(computed(), -(-len(windows) // TEACHER_BATCH), label, "batch"))
    first, expected = (torch.cat(parts).numpy() for parts in zip(*found, strict=True))
    return Lessons(first, expected, aside)


class Refinement(student.StudentTraining):
    """A student with its loss, which is the sum of two terms.

    The first is the mean square of the difference between its statistics and the teacher's, in units of their spread
    over the windows. The second is one minus the cosine of the speaker embeddings.

    Args:
        small: the student, whose blocks are trained.
        given: inputs and targets.
        steps: optimiser steps of all epochs together.
    """

    def __init__(self, small: CamPlus, given: Lessons, steps: int) -> None:
        super().__init__()
        self.network, self.given, self.steps = small, given, steps
        self.spread: Tensor
        spread = given.expected[~given.aside].astype(np.float32).std(0) + SPREAD
        self.register_buffer("spread", torch.from_numpy(spread))
        for name, parameter in small.named_parameters():
            parameter.requires_grad_(name.split(".")[0] in ("blocks", "norms", "transitions", "last_norm"))

    def train(self, mode: bool = True) -> "Refinement":
        """Keep the statistics of the batch normalisations also in training."""
        super().train(False)
        return self

    def configure_optimizers(self) -> Any:
        """Return AdamW without weight decay, with a rate for each tensor, a warm-up, then a cosine to zero."""
        groups = [
            {"params": [one], "lr": RATE * max(float(one.detach().square().mean().sqrt()), LEAST)}
            for one in self.network.parameters()
            if one.requires_grad
        ]
        return schedule.cosine(groups, RATE, 0.0, self.steps, warm=WARM)

    def loss(self, batch: Tensor) -> Tensor:
        """Compute the loss of a batch of rows."""
        rows = batch.cpu().numpy()
        first, expected = (
            torch.from_numpy(values[rows]).to(self.device).float() for values in (self.given.first, self.given.expected)
        )
        found = statistics(self.network.after(first)[-1])
        away = ((found - expected) / self.spread).square().mean()
        turned = 1 - nn.functional.cosine_similarity(self.network.embed(found), self.network.embed(expected)).mean()
        return away + turned


def refine(small: CamPlus, given: Lessons, folder: Path, epochs: int, *, label: str | None = None) -> CamPlus:
    """Train the blocks of a student; a killed run is resumed after its last epoch.

    Args:
        small: the fitted student. Its weights are changed.
        given: inputs and targets.
        folder: folder for ``checkpoints/``, ``curves.csv`` and ``curves.png``.
        epochs: number of epochs.
        label: label of the progress line on standard error; ``None`` shows no progress.

    Returns:
        The student.
    """
    lightning.seed_everything(SEED, workers=True, verbose=False)
    loader = student.loader_of(np.flatnonzero(~given.aside), BATCH, SEED)
    module = Refinement(small, given, len(loader) * epochs)
    student.teach(module, loader, np.flatnonzero(given.aside), folder, epochs, title="fast encoder", label=label)
    return module.network.cpu().eval()
