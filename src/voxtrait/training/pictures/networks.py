"""Spectrogram CNN (baseline): convolutions and dropout on a mel-spectrogram image."""

import torch
from torch import Tensor, nn

from voxtrait.training.recipe import Recipe


class PictureNetwork(nn.Module):
    """CNN of stages with two convolutions, each halving the image, then statistics over time and two dense layers.

    With ``spectrum``, one linear layer also maps the statistics of the image itself, the long-term average spectrum, to
    the logits: without them the network did not learn to estimate age (docs/notes/results.md).

    Means and standard deviations are computed over time only: the position in time has no information about a voice,
    the height in the image has nearly all of it (statistics pooling: Snyder et al., "X-Vectors", ICASSP 2018).

    Args:
        recipe: settings with filters, units and dropout.
        shape: shape of one input, ``(1, height, width)``.
        classes: number of logits.
    """

    def __init__(self, recipe: Recipe, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        before = shape[0]
        for depth, filters in enumerate(recipe.channels):
            stride = 2 if depth == 0 else 1  # the first stage halves the resolution: four times faster, as accurate
            size = 5 if depth == 0 else 3
            stages += [
                nn.Conv2d(before, filters, size, stride=stride, padding=size // 2, bias=False),
                nn.BatchNorm2d(filters),
                nn.ReLU(),
                nn.Conv2d(filters, filters, 3, padding=1, bias=False),
                nn.BatchNorm2d(filters),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Dropout2d(recipe.dropout / 3),
            ]
            before = filters
        self.normalise = nn.BatchNorm2d(shape[0])
        self.convolutions = nn.Sequential(*stages)
        rows = shape[1] // 2 ** (len(recipe.channels) + 1)
        self.spectrum: nn.Module | None = None
        if recipe.spectrum:
            self.spectrum = nn.Sequential(nn.BatchNorm1d(2 * shape[1]), nn.Linear(2 * shape[1], classes))
        self.classify = nn.Sequential(
            nn.Dropout(recipe.dropout),
            nn.Linear(2 * before * rows, recipe.hidden),
            nn.ReLU(),
            nn.Dropout(recipe.dropout),
            nn.Linear(recipe.hidden, classes),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Map images ``(n, 1, height, width)`` in [0, 1] to logits ``(n, classes)``."""
        # statistics in float32 even if products are bfloat16, which would lose a small spread
        maps = self.convolutions(self.normalise(pictures)).float()  # (n, filters, rows, columns)
        mean = maps.mean(dim=3)  # (n, filters, rows)
        spread = torch.sqrt(((maps - mean.unsqueeze(3)) ** 2).mean(dim=3) + 1e-5)
        pooled = torch.cat([mean, spread], dim=1).flatten(1)
        logits: Tensor = self.classify(pooled)
        if self.spectrum is not None:
            logits = logits + self.spectrum(_long_term_spectrum(pictures))
        return logits


def _long_term_spectrum(pictures: Tensor) -> Tensor:
    """Return mean (without its level) and spread of each row over the columns without padding: ``(n, 2 × height)``."""
    inside = (pictures.amax(dim=2, keepdim=True) > 0).float()  # (n, 1, 1, width)
    columns = inside.sum(dim=3).clamp(min=1)  # (n, 1, 1)
    mean = (pictures * inside).sum(dim=3) / columns  # (n, 1, height)
    spread = torch.sqrt(((pictures - mean.unsqueeze(3)) ** 2 * inside).sum(dim=3) / columns + 1e-5)
    return torch.cat([mean - mean.mean(dim=2, keepdim=True), spread], dim=1).flatten(1)
