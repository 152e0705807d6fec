"""Distributed training: processes that ``torchrun`` starts train one network together.

Each process is a *rank*. Without ``torchrun`` there is one rank, and this module has no effect. Rank 0 alone draws
images, writes files, exports and evaluates, while the others wait.
"""

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, NoReturn, TypeVar

import torch
import torch.distributed as dist

from voxtrait.errors import OptionError, VoxtraitError, WorkerError

T = TypeVar("T")
# long, because the other ranks wait while rank 0 draws a million images; torchrun notices a dead process at once anyway
PATIENCE: Final = timedelta(days=7)
ENDED: Final = (
    "A process of this training run ended early or was terminated, so all processes end. Run again with --resume."
)


@dataclasses.dataclass(frozen=True)
class Share:
    """Rank and number of the processes that train together, and which rows this process has."""

    rank: int = 0
    size: int = 1  # number of processes
    local: int = 1  # processes on this machine

    def rows(self, n: int) -> slice:
        """Return this rank's part of ``n`` rows: consecutive parts, one per rank, whose sizes differ by at most one.

        Examples:
            >>> [Share(rank, 3).rows(8) for rank in range(3)]
            [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
        """
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """Return the sum of a tensor over all ranks, without gradient; the tensor itself is unchanged."""
        value = value.detach()
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def lead(self, work: Callable[[], T]) -> T:
        """Call a function on rank 0 and return its result on every rank.

        Args:
            work: function to call on rank 0; its result must be picklable.

        Raises:
            VoxtraitError: on rank 0, if ``work`` raises it; rank 0 raises any error of ``work``.
            SystemExit: on the other ranks, if ``work`` raised an error.
        """
        if self.size == 1:
            return work()
        box: list[Any] = [None, None]
        try:
            if self.rank == 0:
                box = [True, work()]
        except BaseException:
            box = [False, None]
            raise
        finally:
            dist.broadcast_object_list(box, src=0)
        if not box[0]:
            raise SystemExit(2)
        done: T = box[1]
        return done


def share() -> Share:
    """Return the share of this process: all of the work, unless :func:`joined` has joined it to others."""
    if not (dist.is_available() and dist.is_initialized()):
        return Share()
    size = dist.get_world_size()
    return Share(dist.get_rank(), size, int(os.environ.get("LOCAL_WORLD_SIZE", size)))


@contextmanager
def joined() -> Iterator[Share]:
    """Join the processes that ``torchrun`` started with this one, for the duration of the block.

    Raises:
        OptionError: if there are more processes on a machine than GPUs.
        WorkerError: if another process ended early, or this one receives SIGTERM.
    """
    together = int(os.environ.get("WORLD_SIZE", "1")) > 1 and dist.is_available() and dist.is_torchelastic_launched()
    if not together or dist.is_initialized():
        yield share()
        return
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    gpus = torch.cuda.device_count()
    if gpus and here > gpus:
        raise OptionError(
            f"Got {here} processes and {gpus} GPU{'' if gpus == 1 else 's'} on this machine. Expected a GPU for each "
            f"process. Use torchrun --nproc-per-node {gpus}, or hide the GPUs (CUDA_VISIBLE_DEVICES=)."
        )
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)
    before = signal.signal(signal.SIGTERM, _on_sigterm)  # torchrun sends it to the others after one has died
    try:
        yield share()
    except VoxtraitError:
        raise
    except RuntimeError as error:
        if not _lost(error):
            raise
        raise WorkerError(ENDED) from None
    finally:
        signal.signal(signal.SIGTERM, before)
        if dist.is_initialized():
            dist.destroy_process_group()


def _on_sigterm(*_: Any) -> NoReturn:
    raise WorkerError(ENDED)


def _lost(error: RuntimeError) -> bool:
    """Return whether an error comes from the connection to another rank."""
    if isinstance(error, dist.DistError):
        return True
    text = str(error).lower()
    return any(word in text for word in ("gloo", "nccl", "connection closed", "connection reset", "broken pipe"))
