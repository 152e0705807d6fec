"""Training of student networks: held-out rows, batches, and a training that resumes after a kill."""

import hashlib
from pathlib import Path
from typing import Any, Final

import lightning
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from voxtrait.training import schedule
from voxtrait.training.curves import Curves
from voxtrait.training.progress import ProgressLine
from voxtrait.training.run import quiet_lightning
from voxtrait.training.schedule import EpochSampler

LOOKED_AT: Final = 256  # held-out rows per validation batch


def kept_aside(name: str, one_in: int) -> bool:
    """Return whether a speaker or an item is held out from training, by a hash of its name.

    Examples:
        >>> [kept_aside(f"speaker-{number}", 3) for number in range(4)]
        [False, False, True, False]
    """
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big") % one_in == 0


def loader_of(rows: npt.NDArray[np.int64], batch: int, seed: int) -> "DataLoader[Any]":
    """Return a loader of rows in batches, in an order that depends only on seed and epoch."""
    return DataLoader(
        torch.from_numpy(rows),  # type: ignore[arg-type]
        batch_size=batch,
        sampler=EpochSampler(len(rows), seed),
        drop_last=len(rows) > batch,
    )


class StudentTraining(lightning.LightningModule):
    """A student with its loss. A subclass has ``loss`` and ``configure_optimizers``."""

    def on_train_epoch_start(self) -> None:
        """Set the sampler's epoch, so that a resumed run has the same order as an uninterrupted one."""
        self.trainer.train_dataloader.sampler.epoch = self.current_epoch

    def training_step(self, batch: Tensor, at: int) -> Tensor:
        """Return the loss of a batch of rows."""
        loss = self.loss(batch)
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: Tensor, at: int) -> None:
        """Measure the loss on held-out rows."""
        self.log("validation_loss", self.loss(batch), on_step=False, on_epoch=True, batch_size=len(batch))

    def loss(self, batch: Tensor) -> Tensor:
        """Compute the loss of a batch of rows."""
        raise NotImplementedError


def teach(
    module: StudentTraining,
    loader: "DataLoader[Any]",
    aside: npt.NDArray[np.int64],
    folder: Path,
    epochs: int,
    *,
    title: str,
    label: str | None = None,
) -> None:
    """Train a module; a killed run is resumed after its last epoch.

    Args:
        module: student with its loss.
        loader: result of :func:`loader_of`.
        aside: held-out rows.
        folder: folder for ``checkpoints/``, ``curves.csv`` and ``curves.png``.
        epochs: number of epochs.
        title: title of the learning curves.
        label: label of the progress line on standard error; ``None`` shows no progress.
    """
    others: DataLoader[Any] = DataLoader(torch.from_numpy(aside), batch_size=LOOKED_AT)  # type: ignore[arg-type]
    folder.mkdir(parents=True, exist_ok=True)
    last = ModelCheckpoint(folder / "checkpoints", "last", save_on_train_epoch_end=True, enable_version_counter=False)
    with quiet_lightning():
        running = schedule.trainer(
            epochs,
            folder,
            [Curves(folder, title, ("loss",), keeps_best=False), last, ProgressLine(label, epochs)],
            clip=1.0,
        )
        resumed = folder / "checkpoints" / "last.ckpt"
        running.fit(module, loader, others, ckpt_path=resumed if resumed.is_file() else None, weights_only=False)
