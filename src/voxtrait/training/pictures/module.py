"""Lightning module that trains the spectrogram CNN: loss, optimiser, and the figures of an epoch."""

from typing import Any, Final

import lightning
import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassRecall

from voxtrait.training.pictures.augmentation import augment
from voxtrait.training.pictures.layers import globalise, place
from voxtrait.training.pictures.networks import PictureNetwork
from voxtrait.training.ranks import Share
from voxtrait.training.recipe import Recipe
from voxtrait.training.schedule import ALONE, cosine

Batch = tuple[Tensor, Tensor, Tensor]
STAGES: Final = {
    "train": "on_train",
    "validation": "on_validation",
    "test": "on_test",
}  # the key "train" would clash with nn.Module.train


class Training(lightning.LightningModule):
    """A network with its weighted loss.

    Args:
        recipe: settings.
        targets: ``(classes, classes)``, float32, the smoothed target of each class.
        steps: optimiser steps of all epochs together, for the cosine of the learning rate.
        share: which of several processes this is. The loss is that of the whole batch on every process.
    """

    def __init__(self, recipe: Recipe, targets: Tensor, steps: int, share: Share = ALONE) -> None:
        super().__init__()
        self.recipe = recipe
        self.steps = steps
        self.share = share
        classes = len(targets)
        network = PictureNetwork(recipe, recipe.front_end.input_shape, classes)
        self.network = globalise(network, share, cuda=torch.cuda.is_available())
        self.targets: Tensor
        self.register_buffer("targets", targets)
        figures = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(classes, average="micro"),
                "uar": MulticlassRecall(classes, average="macro"),  # unweighted average recall
            }
        )
        self.figures = nn.ModuleDict({name: figures.clone() for name in STAGES.values()})

    def forward(self, pictures: Tensor) -> Tensor:
        """Map images ``(n, 1, height, width)`` to logits ``(n, classes)``."""
        logits: Tensor = self.network(pictures)
        return logits

    def on_train_epoch_start(self) -> None:
        """Set the sampler's epoch, so that a resumed run has the same order as an uninterrupted one."""
        self.trainer.train_dataloader.batch_sampler.epoch = self.current_epoch

    def training_step(self, batch: Batch, at: int) -> Tensor:
        """Augment and classify a batch, and return its weighted loss."""
        pictures, labels, weights = batch
        # augmentation and dropout depend only on seed, epoch and batch: data loaders also draw from torch's global
        # generator, and more often in a resumed run
        chance = torch.manual_seed((self.recipe.seed * 1_000_003 + self.current_epoch) * 100_003 + at)
        decibels = self.recipe.front_end.ceiling_db - self.recipe.front_end.floor_db
        where = None
        if self.share.size > 1:
            where = self.trainer.train_dataloader.batch_sampler.place
            place(self.network, *where)
        return self._step("train", (augment(pictures, self.recipe, decibels, chance, where), labels, weights))

    def validation_step(self, batch: Batch, at: int) -> None:
        """Add a batch of validation images to the figures."""
        self._step("validation", batch)

    def test_step(self, batch: Batch, at: int) -> None:
        """Add a batch of images to the figures after training."""
        self._step("test", batch)

    def on_validation_epoch_end(self) -> None:
        """Log the figures of the epoch's training and validation; validation runs last in an epoch."""
        self._close("train", "validation")

    def on_test_epoch_end(self) -> None:
        """Log the figures of a test."""
        self._close("test")

    def configure_optimizers(self) -> Any:
        """Return AdamW with a warm-up over the first twentieth of the steps, then a cosine to zero."""
        return cosine(self.parameters(), self.recipe.learning_rate, self.recipe.weight_decay, self.steps, warm=1 / 20)

    def _step(self, stage: str, batch: Batch) -> Tensor:
        pictures, labels, weights = batch
        logits = self(pictures).float()  # from bfloat16 under mixed precision
        losses = nn.functional.cross_entropy(logits, self.targets[labels], reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        self._figures(stage).update(logits.detach(), labels)
        # weighted by the batch's weight: the epoch's figure is then the weighted mean over all clips
        own = weights.sum()
        self.log(f"{stage}_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=own, sync_dist=True)
        if stage == "train" and self.share.size > 1:
            # gradients are averaged over ranks, so each rank multiplies its part of the mean by the number of ranks
            loss = loss * own * (self.share.size / self.share.total(own))
        return loss

    def _figures(self, stage: str) -> MetricCollection:
        figures = self.figures[STAGES[stage]]
        assert isinstance(figures, MetricCollection)
        return figures

    def _close(self, *stages: str) -> None:
        for stage in stages:
            figures = self._figures(stage)
            self.log_dict({f"{stage}_{name}": value for name, value in figures.compute().items()})
            figures.reset()
