"""What all trainings share: the optimiser with its learning rate, and Lightning's trainer, kept quiet."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn


def cosine(
    parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float, steps: int, warm: float
) -> dict[str, Any]:
    """Make AdamW with a linear warm-up and then a cosine to zero, as Lightning's ``configure_optimizers`` gives it.

    Args:
        parameters: to be learnt.
        learning_rate: the highest.
        weight_decay: AdamW's.
        steps: optimiser steps of all epochs together.
        warm: share of them for the warm-up.
    """
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)
    first = max(1, int(steps * warm + 1e-9))

    def rate(step: int) -> float:
        if step < first:
            return (step + 1) / first
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - first) / max(1, steps - first))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def trainer(epochs: int, folder: Path, callbacks: Sequence[Callback]) -> lightning.Trainer:
    """Make a trainer for one device, a GPU where there is one, that writes and says only what the callbacks do."""
    return lightning.Trainer(
        max_epochs=epochs,
        accelerator="auto",
        devices=1,
        deterministic="warn",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        callbacks=list(callbacks),
    )
