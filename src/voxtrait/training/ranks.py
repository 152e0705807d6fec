"""Several processes that train one network together, as ``torchrun`` starts them.

Each process is a *rank*. Without ``torchrun`` there is one, and nothing here does anything. Rank 0 leads: it alone
draws pictures, writes files, exports and evaluates, while the others wait.
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
# torchrun sees a dead process at once; the limit is for one that lives and waits while rank 0 draws a million pictures
PATIENCE: Final = timedelta(days=7)
ENDED: Final = (
    "a process of this training has ended before its time or was told to, so all of them end: start again with --resume"
)


@dataclasses.dataclass(frozen=True)
class Share:
    """Which part of the work is this process's."""

    rank: int = 0
    size: int = 1  # processes
    local: int = 1  # of them on this machine

    def rows(self, n: int) -> slice:
        """Cut ``n`` rows into consecutive parts, one a rank, of sizes that differ by one at most.

        Examples:
            >>> [Share(rank, 3).rows(8) for rank in range(3)]
            [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
        """
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """Add up a tensor over all ranks; without gradient, and the tensor itself is left alone."""
        value = value.detach()
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def lead(self, work: Callable[[], T]) -> T:
        """Call a function on rank 0 and return its result on every rank.

        Args:
            work: called on rank 0 alone; its result must be picklable.

        Raises:
            VoxtraitError: on rank 0, whatever ``work`` raises.
            SystemExit: on the other ranks, if ``work`` raised anything; rank 0 raises the error itself.
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
    """Give this process's share: all of the work, unless :func:`joined` has joined it to others."""
    if not (dist.is_available() and dist.is_initialized()):
        return Share()
    size = dist.get_world_size()
    return Share(dist.get_rank(), size, int(os.environ.get("LOCAL_WORLD_SIZE", size)))


@contextmanager
def joined() -> Iterator[Share]:
    """Join the processes that ``torchrun`` started with this one, for as long as the block lasts.

    Raises:
        OptionError: if there are more processes on a machine than GPUs.
        WorkerError: if another process has ended before its time, or this one is sent SIGTERM.
    """
    together = int(os.environ.get("WORLD_SIZE", "1")) > 1 and dist.is_available() and dist.is_torchelastic_launched()
    if not together or dist.is_initialized():
        yield share()
        return
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    gpus = torch.cuda.device_count()
    if gpus and here > gpus:
        raise OptionError(
            f"got {here} processes and {gpus} GPUs on this machine, expected a GPU each: "
            f"torchrun --nproc-per-node {gpus}, or hide the GPUs (CUDA_VISIBLE_DEVICES=)"
        )
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)
    before = signal.signal(signal.SIGTERM, _on_sigterm)  # what torchrun sends to the others when one has died
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
    """Return whether an error is that of a connection to another rank."""
    if isinstance(error, dist.DistError):
        return True
    text = str(error).lower()
    return any(word in text for word in ("gloo", "nccl", "connection closed", "connection reset", "broken pipe"))
