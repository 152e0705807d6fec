"""Shared by all training code: order of clips, optimiser, learning rate, precision, and Lightning's trainer."""

import importlib.util
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import lightning
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import nn
from torch.utils.data import Sampler

from voxtrait.audio.writing import atomic_path, create_folder
from voxtrait.errors import OptionError
from voxtrait.training.ranks import PATIENCE, Share

ALONE: Final = Share()


class EpochSampler(Sampler[int]):
    """Shuffles by seed and ``epoch`` only, so that a resumed run has the same order as an uninterrupted one.

    The module sets ``epoch``; after a resume, Lightning would call ``set_epoch`` with another number.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(self.size, generator=torch.Generator().manual_seed(self.seed * 100_003 + self.epoch))
        return iter(order.tolist())


def cosine(
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    steps: int,
    warm: float,
) -> dict[str, Any]:
    """Make AdamW with a linear warm-up and then a cosine to zero, in the form of Lightning's ``configure_optimizers``.

    Args:
        parameters: parameters to train, or groups of them, which may have an ``lr`` of their own.
        learning_rate: peak learning rate.
        weight_decay: weight decay of AdamW.
        steps: optimiser steps of all epochs together.
        warm: share of the steps for the warm-up.
    """
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)
    first = max(1, int(steps * warm + 1e-9))

    def rate(step: int) -> float:
        if step < first:
            return (step + 1) / first
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - first) / max(1, steps - first))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints like all files of voxtrait: whole under their names, also after a power failure."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        create_folder(Path(path).parent)
        with atomic_path(path) as part:
            super().save_checkpoint(checkpoint, part, storage_options)


def interrupt_of(stop: SystemExit) -> KeyboardInterrupt:
    """Return the interrupt that Lightning has replaced by the end of the program, with the number of its signal."""
    cause = stop.__context__
    return KeyboardInterrupt(*(cause.args if isinstance(cause, KeyboardInterrupt) else ()))


def trainer(
    epochs: int,
    folder: Path,
    callbacks: Sequence[Callback],
    *,
    share: Share = ALONE,
    precision: str = "32-true",
    clip: float | None = None,
) -> lightning.Trainer:
    """Make a trainer that writes and prints only through the callbacks.

    A single process uses one device: a GPU if there is one, otherwise the CPU. Of several processes, each uses its own
    GPU, or all use the CPU.

    Args:
        epochs: maximum number of epochs.
        folder: run folder.
        callbacks: Lightning callbacks.
        share: which of several processes this is; ``ALONE`` trains alone even under ``torchrun``.
        precision: Lightning's name of the precision: see :func:`precision_of`.
        clip: maximum norm of a step's gradients; ``None`` for no limit.
    """
    together: dict[str, Any] = {"accelerator": "auto", "devices": 1, "plugins": [WholeCheckpoints()]}
    if share.size > 1:
        together = {
            "accelerator": "gpu" if torch.cuda.is_available() else "cpu",
            "devices": share.local,
            "num_nodes": share.size // share.local,
            # batch normalisation has the same statistics on all ranks already; a broadcast at each validation batch
            # would wait forever if one rank has one batch more
            "strategy": DDPStrategy(broadcast_buffers=False, timeout=PATIENCE),
            "use_distributed_sampler": False,
        }
    elif dist.is_available() and dist.is_initialized():
        device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
        together["strategy"] = SingleDeviceStrategy(device)
        together["plugins"].append(LightningEnvironment())
    return lightning.Trainer(
        max_epochs=epochs,
        deterministic="warn",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        callbacks=list(callbacks),
        precision=precision,
        gradient_clip_val=clip,
        **together,
    )


def precision_of(wanted: str) -> str:
    """Return the recipe's precision, or for ``auto`` the fastest one that the hardware supports.

    Returns:
        ``bf16-mixed`` (products in bfloat16, weights and sums in float32) on GPUs that support it, else ``32-true``.

    Examples:
        >>> precision_of("bf16-mixed")
        'bf16-mixed'
    """
    if wanted != "auto":
        return wanted
    fit = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if fit else "32-true"


def compiles(wanted: str) -> bool:
    """Return whether to compile the network: the recipe's value; ``auto`` compiles on GPUs that Triton supports.

    Raises:
        OptionError: if ``yes`` is given on a CPU without a C++ compiler.
    """
    cuda = torch.cuda.is_available()
    if wanted == "auto":
        return cuda and importlib.util.find_spec("triton") is not None and torch.cuda.get_device_capability() >= (7, 0)
    # C++ compiler of `compile=yes` on a CPU. Without it, `g++`, `clang++` and `c++` are tried.
    compilers = [os.environ.get("CXX", ""), "g++", "clang++", "c++"]
    if wanted == "yes" and not cuda and not any(shutil.which(name) for name in compilers if name):
        raise OptionError("Got compile=yes, but found no C++ compiler on the PATH. Install g++, or --set compile=no.")
    return wanted == "yes"


def unused_gpus(share: Share) -> str | None:
    """Return a hint on how to use all GPUs if a single process runs on a machine with several, otherwise ``None``."""
    gpus = torch.cuda.device_count()
    if share.size > 1 or gpus < 2:
        return None
    return f"Uses 1 of {gpus} GPUs. To use all: torchrun --nproc-per-node {gpus} -m voxtrait train …"
