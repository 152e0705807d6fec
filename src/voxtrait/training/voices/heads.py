"""Gender and age from a speaker encoder's summary of a clip: an ensemble whose members are trained together, each
without its own fold of speakers.

Every speaker is held out from one member. Calibration is fitted to the predictions of that member: cross-fitting,
as in the jackknife+ of Barber et al. ("Predictive inference with the jackknife+", Annals of Statistics 2021). What is
exported is the mean of all members, as one network.
"""

import dataclasses
import math
from typing import Any, Final

import lightning
import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from voxtrait.errors import BundleError
from voxtrait.labels import YEARS
from voxtrait.training import export
from voxtrait.training.recipe import EncoderRecipe
from voxtrait.training.schedule import cosine
from voxtrait.training.voices.campplus import EMBEDDING

KNOTS: Final = 34  # of the smooth distributions over years
KNOT_YEARS: Final = 4.0  # standard deviation of the bump at each knot, in years
KNOWN_YEARS: Final = 3.0  # standard deviation of the target where the age is known in years
EDGE_YEARS: Final = 1.5  # softness of a decade's edges: people of 29 and 30 sound alike
OUTPUTS: Final = ("gender", "age", "embedding")  # of the graph
FIDELITY: Final = 0.02  # by which 8 bits may move a logit of age, on average


@dataclasses.dataclass(frozen=True)
class Examples:
    """What the heads learn from; every array has one entry a clip.

    ``summaries`` is ``(views, n, d)``: view 0 as recorded, the others disturbed. ``fold`` is the member that is
    not trained on the clip, and -1 where all are.
    """

    summaries: npt.NDArray[np.float32]  # (views, n, d)
    female: npt.NDArray[np.float32]  # (n,), 1 female, 0 male, NaN unknown
    years: npt.NDArray[np.float32]  # (n,), the middle where only the decade is known; NaN unknown
    exact: npt.NDArray[np.bool_]  # (n,), whether years are known as such
    gender_weight: npt.NDArray[np.float32]  # (n,), 0 where not used for training
    age_weight: npt.NDArray[np.float32]  # (n,)
    fold: npt.NDArray[np.int64]  # (n,)


class Heads(nn.Module):
    """An ensemble of small networks on standardised summaries, each linear with one hidden layer beside it.

    A summary starts with the speaker embedding, which the heads do not use: it is linear in the other values, and holds
    less information about age.

    Args:
        size: values of a summary.
        members: networks.
        recipe: hidden units and dropout.
    """

    def __init__(self, size: int, members: int, recipe: EncoderRecipe) -> None:
        super().__init__()
        size -= EMBEDDING
        self.mean: Tensor
        self.scale: Tensor
        self.bumps: Tensor
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        middles = torch.arange(len(YEARS)) + 0.5
        knots = torch.linspace(-5.0, 105.0, KNOTS)
        bumps = torch.exp(-0.5 * ((middles[None] - knots[:, None]) / KNOT_YEARS) ** 2)
        self.register_buffer("bumps", bumps / bumps.sum(0, keepdim=True))
        self.input_dropout, self.dropout = recipe.input_dropout, recipe.dropout
        outputs = 1 + KNOTS  # the logit of female, then the knots of age
        self.hidden = nn.Parameter(torch.randn(members, size, recipe.hidden) / math.sqrt(size))
        self.hidden_bias = nn.Parameter(torch.zeros(members, 1, recipe.hidden))
        self.deep = nn.Parameter(torch.zeros(members, recipe.hidden, outputs))
        self.linear = nn.Parameter(torch.zeros(members, size, outputs))
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def members(self, summary: Tensor) -> tuple[Tensor, Tensor]:
        """Map summaries ``(n, d)`` to each member's logits: female ``(members, n)`` and years ``(members, n, 100)``."""
        out = self.answers(summary)
        return out[..., 0], out[..., 1:] @ self.bumps

    def answers(self, summary: Tensor) -> Tensor:
        """Compute the members' outputs before those of age are spread over years: ``(n, d)`` → ``(members, n, 35)``,
        the logit of female and the knots of age."""
        x = ((summary[:, EMBEDDING:] - self.mean) / self.scale).expand(len(self.hidden), -1, -1)
        x = nn.functional.dropout(x, self.input_dropout, self.training)
        hidden = nn.functional.gelu(x @ self.hidden + self.hidden_bias)
        hidden = nn.functional.dropout(hidden, self.dropout, self.training)
        return hidden @ self.deep + x @ self.linear + self.bias


class JoinedHeads(nn.Module):
    """All members as one network, as exported: it computes their mean, with one product for their hidden units.

    The mean of the members' outputs for years is taken before the softmax. Each member's normaliser is the same for all
    years, so that the probabilities are those of the mean of log-probabilities.

    Args:
        heads: trained.
    """

    mean: Tensor  # (d,)
    gain: Tensor  # (d,)
    hidden: Tensor  # (d, members * units)
    hidden_bias: Tensor  # (1, members * units)
    deep: Tensor  # (members * units, 35)
    linear: Tensor  # (d, 35)
    bias: Tensor  # (1, 35)
    bumps: Tensor  # (34, 100)

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        members, size, _ = heads.hidden.shape
        values = {
            "mean": heads.mean,
            "gain": 1 / heads.scale,
            "hidden": heads.hidden.transpose(0, 1).reshape(size, -1),
            "hidden_bias": heads.hidden_bias.reshape(1, -1),
            "deep": heads.deep.flatten(0, 1) / members,
            "linear": heads.linear.mean(0),
            "bias": heads.bias.mean(0),
            "bumps": heads.bumps,
        }
        for name, value in values.items():
            self.register_buffer(name, value.detach().clone())

    def forward(self, summary: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the bundle's outputs: gender logits ``(n, 2)``, age logits ``(n, 100)``, embedding ``(n, 192)``."""
        x = (summary[:, EMBEDDING:] - self.mean) * self.gain
        hidden = nn.functional.gelu(x @ self.hidden + self.hidden_bias)
        out = hidden @ self.deep + x @ self.linear + self.bias
        half = out[:, :1] / 2
        embedding = summary[:, :EMBEDDING]
        embedding = embedding / torch.sqrt((embedding**2).sum(1, keepdim=True) + 1e-12)
        return torch.cat([half, -half], 1), torch.log_softmax(out[:, 1:] @ self.bumps, 1), embedding


def graph(heads: Heads, real: npt.NDArray[np.float32]) -> bytes:
    """Write the heads as a graph, the weights of the hidden units in 8 bits: they are most of what is read for a clip.

    Args:
        heads: trained.
        real: ``(n, d)``, summaries of real clips to check the graph with.

    Returns:
        The serialised model: input ``summary`` ``(n, d)``, outputs :data:`OUTPUTS`.

    Raises:
        BundleError: if the graph differs from the heads, or its quantised form by more than :data:`FIDELITY` on
            average.
    """
    joined = JoinedHeads(heads).eval()
    whole = export.to_onnx(joined, (real.shape[1],), *OUTPUTS, name="summary")
    export.check_parity(joined, whole, real, *OUTPUTS, name="summary")
    model = onnx.load_from_string(whole)
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    small = export.quantise(model, "MatMul", keep=[node.name for node in products if "hidden" not in node.input])
    # one by one, as in prediction: all rows of a call are rounded alike
    moved = [
        np.abs(export.run(small, "age", summary=row) - export.run(whole, "age", summary=row)) for row in real[:, None]
    ]
    difference = float(np.mean(moved))
    if not difference <= FIDELITY:
        raise BundleError(
            f"logits of age differ by {difference:.3f} after quantisation, expected {FIDELITY} on average"
        )
    return small


class HeadTraining(lightning.LightningModule):
    """All members with their weighted losses.

    Gender has the cross-entropy. Age has the negative log-likelihood of a soft target beside the continuous ranked
    probability score (Gneiting & Raftery, JASA 2007), which is the mean absolute error of a distribution.

    Args:
        recipe: all settings.
        examples: to train on; kept in memory.
        steps: optimiser steps of all epochs together.
    """

    def __init__(self, recipe: EncoderRecipe, examples: Examples, steps: int) -> None:
        super().__init__()
        self.recipe, self.steps = recipe, steps
        size = examples.summaries.shape[2]
        self.network = Heads(size, recipe.members, recipe)
        clean = torch.from_numpy(examples.summaries[0][:, EMBEDDING:])
        self.network.mean.copy_(clean.mean(0))
        self.network.scale.copy_(clean.std(0) + 1e-4)
        self.summaries = torch.from_numpy(examples.summaries)
        smooth = recipe.label_smoothing
        self.female = torch.nan_to_num(torch.from_numpy(examples.female)) * (1 - 2 * smooth) + smooth
        self.target = year_targets(examples.years, examples.exact)
        learns = torch.from_numpy(examples.fold)[:, None] != torch.arange(recipe.members)[None]  # (n, members)
        weights = torch.from_numpy(np.stack([examples.gender_weight, examples.age_weight])).float()[:, :, None]
        self.learnt = weights * learns  # (2, n, members): gender and age
        self.held_out = weights * ~learns

    def on_train_epoch_start(self) -> None:
        """Set the sampler's epoch, so that a resumed run has the same order as an uninterrupted one."""
        self.trainer.train_dataloader.sampler.epoch = self.current_epoch

    def training_step(self, batch: Tensor, at: int) -> Tensor:
        """Take a random view of each clip and give the loss of all members together."""
        chance = torch.manual_seed((self.recipe.seed * 1_000_003 + self.current_epoch) * 100_003 + at)
        rows = batch.cpu()
        view = torch.randint(len(self.summaries), rows.shape, generator=chance)
        loss = self._loss(self.summaries[view, rows], rows, self.learnt)
        # all members but one are trained on a clip, and that one is measured on it: per member the two curves compare
        by_member = loss.detach() / (self.recipe.members - 1)
        self.log("train_loss", by_member, on_step=False, on_epoch=True, batch_size=len(rows))
        return loss

    def validation_step(self, batch: Tensor, at: int) -> None:
        """Measure each member on the speakers that it does not learn from."""
        rows = batch.cpu()
        loss = self._loss(self.summaries[0, rows], rows, self.held_out)
        self.log("validation_loss", loss, on_step=False, on_epoch=True, batch_size=len(rows))

    def configure_optimizers(self) -> Any:
        """AdamW, warmed up over the first tenth of the steps, then a cosine to zero."""
        return cosine(self.parameters(), self.recipe.learning_rate, self.recipe.weight_decay, self.steps, warm=1 / 10)

    def _loss(self, summary: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        device = self.device
        female, years = self.network.members(summary.to(device))
        truth = self.female[rows].to(device).expand_as(female)
        gender = nn.functional.binary_cross_entropy_with_logits(female, truth, reduction="none")
        target = self.target[rows].to(device)
        logs = torch.log_softmax(years, 2)
        likelihood = -(target * logs).sum(2)
        ranked = ((logs.exp().cumsum(2) - target.cumsum(1)) ** 2).sum(2)
        age = self.recipe.likelihood * likelihood + self.recipe.ranked * ranked
        by_gender, by_age = weights[:, rows].transpose(1, 2).to(device)
        # a sum over members, so that each is trained as if it were alone
        loss: Tensor = (by_gender * gender + self.recipe.age_share * by_age * age).sum(0).mean()
        return loss


def year_targets(years: npt.NDArray[np.float32], exact: npt.NDArray[np.bool_]) -> Tensor:
    """Spread each label over the years that it covers.

    Args:
        years: ``(n,)``; the middle of the decade where only that is known; NaN gives zeros.
        exact: ``(n,)``.

    Returns:
        ``(n, 100)``, each row a distribution: a narrow bell around a known age, a soft-edged decade otherwise.
    """
    middles = torch.arange(len(YEARS)) + 0.5
    known = torch.from_numpy(np.nan_to_num(years)).float()[:, None]
    bell = torch.exp(-0.5 * ((middles[None] - known - 0.5) / KNOWN_YEARS) ** 2)
    left = torch.sigmoid((middles[None] - (known - 5)) / EDGE_YEARS)
    decade = left * torch.sigmoid((known + 5 - middles[None]) / EDGE_YEARS)
    target = torch.where(torch.from_numpy(exact)[:, None], bell, decade)
    target = target / target.sum(1, keepdim=True)
    return target * torch.from_numpy(~np.isnan(years)).float()[:, None]
