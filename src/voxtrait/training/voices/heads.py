"""Heads: an ensemble that estimates gender and age from a speaker encoder's summary of a clip.

The members are trained together. Every speaker is held out from one member, and calibration is fitted to the
predictions of that member: cross-fitting, as in the jackknife+ of Barber et al. ("Predictive inference with the
jackknife+", Annals of Statistics 2021). The exported network is the mean of all members.
"""

import dataclasses
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
from voxtrait.training.voices.campplus import EMBEDDING, SHAPES

KNOTS: Final = 34  # knots of the smooth distributions over years
KNOT_YEARS: Final = 4.0  # standard deviation of the bump at each knot, in years
KNOWN_YEARS: Final = 3.0  # standard deviation of the target if the age is known in years
EDGE_YEARS: Final = 1.5  # softness of a decade's edges, in years: people of 29 and 30 sound alike
OUTPUTS: Final = ("gender", "age", "embedding")  # outputs of the graph
FIDELITY: Final = 0.02  # maximum mean change of an age logit by 8-bit quantisation


@dataclasses.dataclass(frozen=True)
class Examples:
    """Training data of the heads; every array has one entry per clip.

    View 0 of the summaries is as recorded, the others are augmented. ``fold`` is the member that the clip is held out
    from, or -1 if all members are trained on it.
    """

    summaries: npt.NDArray[np.float32]  # (views, n, d)
    female: npt.NDArray[np.float32]  # (n,), 1 female, 0 male, NaN unknown
    years: npt.NDArray[np.float32]  # (n,), the middle of the decade if only that is known; NaN unknown
    exact: npt.NDArray[np.bool_]  # (n,), whether the age is known in years
    gender_weight: npt.NDArray[np.float32]  # (n,), 0 if the label is not used for training
    age_weight: npt.NDArray[np.float32]  # (n,)
    fold: npt.NDArray[np.int64]  # (n,)


class Heads(nn.Module):
    """Ensemble of small networks on standardised summaries: a linear layer plus one hidden layer each.

    A member has one network, or two (``EncoderRecipe.networks``), and its outputs are their mean. Of two networks, the
    first uses all channels and is trained on clips as recorded. The second is trained on all views. With CAM++, it uses
    only the channels that the last block adds; with ``fast``, all channels. In a trial with CAM++, the first had the
    smaller error on held-out speakers, and the second on Common Voice 6.1 left out (docs/notes/results.md).

    A summary starts with the speaker embedding, which the heads do not use: it has less information about age than the
    other values.

    Args:
        size: number of values in a summary.
        members: number of members.
        recipe: settings with the number of networks, hidden units and dropout.
    """

    def __init__(self, size: int, members: int, recipe: EncoderRecipe) -> None:
        super().__init__()
        size -= EMBEDDING
        self.mean: Tensor
        self.scale: Tensor
        self.bumps: Tensor
        self.used: Tensor
        self.networks = recipe.networks
        self.register_buffer("used", _used(size, recipe).repeat_interleave(members, 0), persistent=False)
        members *= recipe.networks
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        middles = torch.arange(len(YEARS)) + 0.5
        knots = torch.linspace(-5.0, 105.0, KNOTS)
        bumps = torch.exp(-0.5 * ((middles[None] - knots[:, None]) / KNOT_YEARS) ** 2)
        self.register_buffer("bumps", bumps / bumps.sum(0, keepdim=True))
        self.input_dropout, self.dropout = recipe.input_dropout, recipe.dropout
        outputs = 1 + KNOTS  # the logit of female, then the knots of age
        self.hidden = nn.Parameter(torch.randn(members, size, recipe.hidden) / self.used.sum(1, keepdim=True).sqrt())
        self.hidden_bias = nn.Parameter(torch.zeros(members, 1, recipe.hidden))
        self.deep = nn.Parameter(torch.zeros(members, recipe.hidden, outputs))
        self.linear = nn.Parameter(torch.zeros(members, size, outputs))
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def members(self, summary: Tensor) -> tuple[Tensor, Tensor]:
        """Map summaries ``(n, d)`` to each member's logits: female ``(members, n)`` and years ``(members, n, 100)``."""
        answers = self.answers(summary)
        return self.logits(answers.reshape(self.networks, -1, *answers.shape[1:]).mean(0))

    def answers(self, summary: Tensor) -> Tensor:
        """Map summaries to the outputs of the networks: the logit of female, and the knots of age.

        Args:
            summary: ``(n, d)``, or ``(networks, n, d)`` with other summaries for each network of a member.

        Returns:
            ``(networks * members, n, 35)``: the first networks of all members, then the second ones.
        """
        x = (summary[..., EMBEDDING:] - self.mean) / self.scale
        members = len(self.hidden) // self.networks
        x = x.expand(self.networks, -1, -1)[:, None].expand(-1, members, -1, -1).flatten(0, 1)
        x = nn.functional.dropout(x, self.input_dropout, self.training)
        hidden = nn.functional.gelu(x @ (self.hidden * self.used) + self.hidden_bias)
        hidden = nn.functional.dropout(hidden, self.dropout, self.training)
        return hidden @ self.deep + x @ (self.linear * self.used) + self.bias

    def logits(self, answers: Tensor) -> tuple[Tensor, Tensor]:
        """Spread the knots of outputs ``(…, 35)`` over years: logits of female ``(…)`` and of years ``(…, 100)``."""
        return answers[..., 0], answers[..., 1:] @ self.bumps


def _used(size: int, recipe: EncoderRecipe) -> Tensor:
    """Return which values each network of a member uses, ``(networks, size, 1)``, 1 or 0.

    Args:
        size: values of a summary without the embedding.
        recipe: settings with encoder and number of networks.
    """
    used = torch.ones(recipe.networks, size, 1)
    shape = SHAPES[recipe.encoder]
    channels = size // 2  # mean and spread of each
    # in proportion, because summaries in tests are smaller
    others = channels * (shape.summarised - shape.added) // shape.summarised
    used.view(-1, 2, channels)[1:, :, :others] = 0
    return used


class JoinedHeads(nn.Module):
    """All networks as one for export: it computes their mean, with one matrix product for all hidden units.

    The networks' outputs for years are averaged before the softmax. Each network's normaliser is the same for all
    years, so the probabilities equal those of the mean of log-probabilities.

    Args:
        heads: trained heads.
    """

    mean: Tensor  # (d,)
    gain: Tensor  # (d,)
    hidden: Tensor  # (d, networks * units)
    hidden_bias: Tensor  # (1, networks * units)
    deep: Tensor  # (networks * units, 35)
    linear: Tensor  # (d, 35)
    bias: Tensor  # (1, 35)
    bumps: Tensor  # (34, 100)

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        networks, size, _ = heads.hidden.shape
        values = {
            "mean": heads.mean,
            "gain": 1 / heads.scale,
            "hidden": (heads.hidden * heads.used).transpose(0, 1).reshape(size, -1),
            "hidden_bias": heads.hidden_bias.reshape(1, -1),
            "deep": heads.deep.flatten(0, 1) / networks,
            "linear": (heads.linear * heads.used).mean(0),
            "bias": heads.bias.mean(0),
            "bumps": heads.bumps,
        }
        for name, value in values.items():
            self.register_buffer(name, value.detach().clone())

    def forward(self, summary: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map summaries to the outputs of the bundle: logits of gender ``(n, 2)``, age ``(n, 100)``, and embedding.

        The embedding is ``(n, 192)``.
        """
        x = (summary[:, EMBEDDING:] - self.mean) * self.gain
        hidden = nn.functional.gelu(x @ self.hidden + self.hidden_bias)
        out = hidden @ self.deep + x @ self.linear + self.bias
        half = out[:, :1] / 2
        embedding = summary[:, :EMBEDDING]
        embedding = embedding / torch.sqrt((embedding**2).sum(1, keepdim=True) + 1e-12)
        return torch.cat([half, -half], 1), torch.log_softmax(out[:, 1:] @ self.bumps, 1), embedding


def graph(heads: Heads, real: npt.NDArray[np.float32]) -> bytes:
    """Write the heads as a graph; the weights of the hidden units, most of the data read per clip, have 8 bits.

    Args:
        heads: trained heads.
        real: ``(n, d)``, summaries of real clips for checking the graph.

    Returns:
        The serialised model: input ``summary`` ``(n, d)``, outputs :data:`OUTPUTS`.

    Raises:
        BundleError: if the graph differs from the heads, or its quantised form by more than 0.02 (``FIDELITY``) on
            average.
    """
    joined = JoinedHeads(heads).eval()
    whole = export.to_onnx(joined, (real.shape[1],), *OUTPUTS, name="summary")
    export.check_parity(joined, whole, real, *OUTPUTS, name="summary")
    model = onnx.load_from_string(whole)
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    small = export.quantise(model, "MatMul", keep=[node.name for node in products if "hidden" not in node.input])
    # one by one, as in prediction: the rows of a call share the scale of the quantisation
    moved = [
        np.abs(export.run(small, "age", summary=row) - export.run(whole, "age", summary=row)) for row in real[:, None]
    ]
    difference = float(np.mean(moved))
    if not difference <= FIDELITY:
        raise BundleError(
            f"Age logits differ by {difference:.3f} on average after quantisation. Expected at most {FIDELITY}."
        )
    return small


class HeadTraining(lightning.LightningModule):
    """All members with their weighted losses.

    The loss of gender is the cross-entropy. The loss of age is the negative log-likelihood of a smoothed target plus
    the continuous ranked probability score, which generalises the mean absolute error to distributions (Gneiting &
    Raftery, "Strictly proper scoring rules, prediction, and estimation", JASA 2007).

    Args:
        recipe: settings.
        examples: training data, kept in memory.
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
        learns = torch.from_numpy(examples.fold)[:, None] != torch.arange(recipe.members)[None]
        learns = learns.repeat(1, recipe.networks)  # (n, networks * members)
        weights = torch.from_numpy(np.stack([examples.gender_weight, examples.age_weight])).float()[:, :, None]
        self.learnt = weights * learns  # (2, n, networks * members): gender and age
        self.held_out = weights * ~learns

    def on_train_epoch_start(self) -> None:
        """Set the sampler's epoch, so that a resumed run has the same order as an uninterrupted one."""
        self.trainer.train_dataloader.sampler.epoch = self.current_epoch

    def training_step(self, batch: Tensor, at: int) -> Tensor:
        """Draw a random view of each clip, and return the loss of all networks together.

        Of two networks, the first is trained on the clip as recorded.
        """
        chance = torch.manual_seed((self.recipe.seed * 1_000_003 + self.current_epoch) * 100_003 + at)
        rows = batch.cpu()
        view = torch.randint(len(self.summaries), rows.shape, generator=chance)
        summary = self.summaries[view, rows]
        if self.recipe.networks > 1:
            summary = torch.stack([self.summaries[0, rows], summary])
        loss = self._loss(summary, rows, self.learnt)
        # all members but one are trained on a clip, and the other one is measured on it; divided by the numbers of
        # networks, the two curves are comparable
        by_network = loss.detach() / (self.recipe.members - 1) / self.recipe.networks
        self.log("train_loss", by_network, on_step=False, on_epoch=True, batch_size=len(rows))
        return loss

    def validation_step(self, batch: Tensor, at: int) -> None:
        """Measure each network on the held-out speakers of its member."""
        rows = batch.cpu()
        loss = self._loss(self.summaries[0, rows], rows, self.held_out) / self.recipe.networks
        self.log("validation_loss", loss, on_step=False, on_epoch=True, batch_size=len(rows))

    def configure_optimizers(self) -> Any:
        """Return AdamW with a warm-up over the first tenth of the steps, then a cosine to zero."""
        return cosine(self.parameters(), self.recipe.learning_rate, self.recipe.weight_decay, self.steps, warm=1 / 10)

    def _loss(self, summary: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        device = self.device
        female, years = self.network.logits(self.network.answers(summary.to(device)))
        truth = self.female[rows].to(device).expand_as(female)
        gender = nn.functional.binary_cross_entropy_with_logits(female, truth, reduction="none")
        target = self.target[rows].to(device)
        logs = torch.log_softmax(years, 2)
        likelihood = -(target * logs).sum(2)
        ranked = ((logs.exp().cumsum(2) - target.cumsum(1)) ** 2).sum(2)
        age = self.recipe.likelihood * likelihood + self.recipe.ranked * ranked
        by_gender, by_age = weights[:, rows].transpose(1, 2).to(device)
        # a sum over networks, so that each is trained independently of the others
        loss: Tensor = (by_gender * gender + self.recipe.age_share * by_age * age).sum(0).mean()
        return loss


def year_targets(years: npt.NDArray[np.float32], exact: npt.NDArray[np.bool_]) -> Tensor:
    """Return the target distribution over years of each age label.

    Args:
        years: ``(n,)``, ages; the middle of the decade if only that is known; NaN gives zeros.
        exact: ``(n,)``, whether the age is known in years.

    Returns:
        ``(n, 100)``, one distribution per row: a narrow bell around a known age, otherwise a soft-edged decade.
    """
    middles = torch.arange(len(YEARS)) + 0.5
    known = torch.from_numpy(np.nan_to_num(years)).float()[:, None]
    bell = torch.exp(-0.5 * ((middles[None] - known - 0.5) / KNOWN_YEARS) ** 2)
    left = torch.sigmoid((middles[None] - (known - 5)) / EDGE_YEARS)
    decade = left * torch.sigmoid((known + 5 - middles[None]) / EDGE_YEARS)
    target = torch.where(torch.from_numpy(exact)[:, None], bell, decade)
    target = target / target.sum(1, keepdim=True)
    return target * torch.from_numpy(~np.isnan(years)).float()[:, None]
