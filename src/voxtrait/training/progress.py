"""Shows the progress of a training on standard error, from its first batch."""

import sys
import time
from typing import Any, Final

import lightning
from lightning.pytorch.callbacks import Callback

from voxtrait.batch.line import Line

EVERY_S: Final = 10.0  # seconds between two lines if standard error is not a terminal


class ProgressLine(Callback):
    """Shows epoch, losses and the time left: one updated line on a terminal, otherwise a line every 10 s.

    Args:
        label: what is trained; ``None`` shows nothing.
        epochs: maximum number of epochs.
    """

    def __init__(self, label: str | None, epochs: int) -> None:
        self.label, self.epochs = label, epochs
        self.line: Line | None = None
        self.losses = ""
        self.started = self.printed = 0.0
        self.first = self.done = 0  # batches before this run, and until now in all

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the count at the batches of earlier runs."""
        self.first = self.done = trainer.current_epoch * int(trainer.num_training_batches)
        self.started = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count a batch."""
        if self.label is None:
            return
        self.done += 1
        batches = int(trainer.num_training_batches)
        at = f"epoch {trainer.current_epoch + 1}/{self.epochs}"
        if sys.stderr.isatty():
            self._move(at, batches)
        elif not self.printed or time.monotonic() - self.printed >= EVERY_S:
            self._print(f"{at}, batch {batch_idx + 1}/{batches}{self._left(batches)}")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the losses of the epoch."""
        if self.label is None:
            return
        seen = trainer.callback_metrics
        self.losses = f"loss {seen['train_loss']:.3f}, validation {seen['validation_loss']:.3f}" + (
            f", recall {seen['validation_uar']:.3f}" if "validation_uar" in seen else ""
        )
        epoch = trainer.current_epoch + 1
        batches = int(trainer.num_training_batches)
        if self.line is not None:
            self.line.remark = self.losses
            self.line.show()
        elif self.done - self.first <= batches or time.monotonic() - self.printed >= EVERY_S:
            self._print(f"epoch {epoch}/{self.epochs} done, {self.losses}{self._left(batches)}")
            self.losses = ""

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """End the line. Without a terminal, show the losses of the last epoch."""
        if self.line is not None:
            self.line.close()
        elif self.losses:
            done = trainer.current_epoch
            self._print(f"{done} epoch{'' if done == 1 else 's'} done, {self.losses}")

    def _move(self, at: str, batches: int) -> None:
        if self.line is None:
            self.line = Line("", self.epochs * batches, "batch", done=self.done - 1)
        self.line.label = f"{self.label}, {at}"
        self.line.advance()

    def _print(self, text: str) -> None:
        self.printed = time.monotonic()
        print(f"{self.label}: {text}", file=sys.stderr, flush=True)

    def _left(self, batches: int) -> str:
        """Return the maximum time left; early stopping may end the training before."""
        seconds = (time.monotonic() - self.started) / max(1, self.done - self.first)
        left = seconds * (self.epochs * batches - self.done)
        if left < EVERY_S:
            return ""
        return f", at most {left:.0f} s left" if left < 120 else f", at most {left / 60:.0f} min left"
