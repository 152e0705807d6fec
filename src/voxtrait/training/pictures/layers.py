"""Layers for distributed training: several processes compute the same results as one process with the whole batch.

Batch normalisation computes its statistics over the clips of all ranks, weighted by their numbers. Dropout draws the
mask of the whole batch on every rank and uses its own rows. The remaining difference is the order in which
floating-point numbers are added.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from voxtrait.training.ranks import Share


class _Normalise(torch.autograd.Function):
    """Normalise by mean and variance over all ranks; the gradient goes through both."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        single = x.float()
        over = [0, *range(2, x.ndim)]
        count = x.numel() // x.shape[1]
        var, mean = torch.var_mean(single, over, correction=0)
        mean, var = mean.double(), var.double()
        # one message per layer; in double precision the difference of the squares keeps the precision of float32
        sums = torch.cat([count * mean, count * (var + mean**2), mean.new_tensor([count])])
        dist.all_reduce(sums)
        n = sums[-1]
        mean, square = (sums[:-1] / n).chunk(2)
        var = (square - mean**2).clamp(min=0)
        shape = [1, -1] + [1] * (x.ndim - 2)
        inverse = torch.rsqrt(var + eps).float().view(shape)
        ctx.save_for_backward(single, mean.float().view(shape), inverse, weight, n)
        y = (single - mean.float().view(shape)) * inverse * weight.view(shape) + bias.view(shape)
        ctx.mark_non_differentiable(mean, var, n)
        return y.to(x.dtype), mean, var, n

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, mean, inverse, weight, n = ctx.saved_tensors
        over = [0, *range(2, x.ndim)]
        single = gradient.float()
        normal = (x - mean) * inverse
        by_bias, by_weight = single.sum(over), (single * normal).sum(over)
        sums = torch.cat([by_bias, by_weight]).double()
        dist.all_reduce(sums)
        first, second = ((part / n).float().view(mean.shape) for part in sums.chunk(2))
        by_x = (single - first - normal * second) * inverse * weight.view(mean.shape)
        return by_x.to(gradient.dtype), by_weight, by_bias, None


class GlobalBatchNorm(_BatchNorm):
    """Batch normalisation over the clips of all ranks, for any number of dimensions.

    It computes the same as torch's ``SyncBatchNorm``, which works only on GPUs.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(n, channels, …)``."""
        if not self.training:
            return super().forward(input)
        y, mean, var, n = _Normalise.apply(input, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                step = self.momentum or 0.0
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), step)
                self.running_var.lerp_((var * n / (n - 1)).to(self.running_var.dtype), step)
        done: Tensor = y
        return done


class GlobalDropout(_DropoutNd):
    """Dropout of this rank's rows of a batch, by the mask of the whole batch.

    Args:
        p: dropout probability.
        whole_channels: whether to drop channels instead of values, like ``Dropout2d``.
    """

    def __init__(self, p: float, whole_channels: bool) -> None:
        super().__init__(p)
        self.whole_channels = whole_channels
        self.place = (0, 0)  # index of the first row in the whole batch, and number of rows in the whole batch

    def forward(self, input: Tensor) -> Tensor:
        """Drop values of ``(n, …)``, and scale up the others."""
        if not self.training or not self.p:
            return input
        first, whole = self.place
        rest = [input.shape[1], *[1] * (input.ndim - 2)] if self.whole_channels else input.shape[1:]
        mask = input.new_empty((whole, *rest)).bernoulli_(1 - self.p).div_(1 - self.p)
        return input * mask[first : first + len(input)]


def globalise(network: nn.Module, share: Share, *, cuda: bool) -> nn.Module:
    """Replace the layers that depend on the whole batch; a single process keeps all layers.

    Parameters keep their names, so the weights also fit the original network.
    """
    if share.size == 1:
        return network
    for name, layer in list(network.named_children()):
        if isinstance(layer, nn.Dropout | nn.Dropout2d):
            setattr(network, name, GlobalDropout(layer.p, isinstance(layer, nn.Dropout2d)))
        elif isinstance(layer, _BatchNorm) and not cuda:
            momentum, eps = layer.momentum, layer.eps
            new = GlobalBatchNorm(layer.num_features, eps, momentum, layer.affine, layer.track_running_stats)
            new.load_state_dict(layer.state_dict())
            setattr(network, name, new)
        else:
            globalise(layer, share, cuda=cuda)
    return nn.SyncBatchNorm.convert_sync_batchnorm(network) if cuda else network  # type: ignore[no-untyped-call]


def place(network: nn.Module, first: int, whole: int) -> None:
    """Set the rows that the layers process next: from row ``first`` of a batch of ``whole`` rows."""
    for layer in network.modules():
        if isinstance(layer, GlobalDropout):
            layer.place = (first, whole)
