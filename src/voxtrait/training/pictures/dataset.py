"""A table of images as batches: classes, weights, targets, and the images themselves."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from voxtrait import storage
from voxtrait.errors import DecodeError, ManifestError, OptionError
from voxtrait.features import Array, FrontEnd, decode_png, network_input
from voxtrait.labels import AGE_GROUPS, GENDERS, JOINT_CLASSES, parts_of
from voxtrait.training.ranks import Share
from voxtrait.training.recipe import Recipe

NAMES: Final = {"gender": GENDERS, "age": JOINT_CLASSES}


def choose_classes(table: pl.DataFrame, recipe: Recipe) -> tuple[str, ...]:
    """Select the classes to train: both genders, or the joint classes with enough speakers.

    Without speaker ids a clip counts as a speaker.

    Raises:
        ManifestError: if fewer than two classes remain.
    """
    speakers = table.with_columns(who=pl.coalesce("speaker_id", "path")).group_by("label").agg(pl.col("who").n_unique())
    count = dict(zip(speakers["label"], speakers["who"], strict=True))
    least = 1 if recipe.task == "gender" else recipe.min_speakers
    training = set(table.filter(pl.col("split") == "train")["label"])
    classes = tuple(name for name in NAMES[recipe.task] if count.get(name, 0) >= least and name in training)
    if len(classes) < 2:
        found = ", ".join(f"{name} {count[name]}" for name in NAMES[recipe.task] if name in count) or "none"
        advice = " Lower the limit with --set min_speakers=N." if recipe.task == "age" else ""
        raise ManifestError(
            f"Got {len(classes)} {recipe.task} class{'' if len(classes) == 1 else 'es'} with "
            f"{least} or more speakers and training clips. Expected 2 or more. Speakers per class: {found}.{advice}"
        )
    return classes


def example_weights(table: pl.DataFrame, recipe: Recipe) -> Array:
    """Return clip weights with which no class and no speaker dominates; their mean is 1.

    Returns:
        ``(rows,)``, float32.
    """
    who = table.with_columns(who=pl.coalesce("speaker_id", "path"))
    by_speaker = who.select(1.0 / pl.len().over("who", "label") ** recipe.speaker_balance).to_series()
    who = who.with_columns(weight=by_speaker)
    total = who.select(pl.col("weight").sum().over("label") ** recipe.class_balance).to_series()
    weights = (by_speaker / total).to_numpy()
    return np.asarray(weights / weights.mean(), dtype=np.float32)


def soft_targets(classes: tuple[str, ...], recipe: Recipe) -> Array:
    """Return the smoothed target of each class: a part goes to the classes that it is likely confused with.

    Returns:
        ``(classes, classes)``, float32; row ``i`` is the target of class ``i`` and sums to 1.
    """
    n = len(classes)
    targets = np.eye(n)
    if recipe.task == "age" and recipe.neighbour_smoothing:
        for row, one in enumerate(classes):
            gender, group = parts_of(one)
            near = [
                column
                for column, other in enumerate(classes)
                if parts_of(other)[0] == gender
                and abs(AGE_GROUPS.index(parts_of(other)[1]) - AGE_GROUPS.index(group)) == 1
            ]
            targets[row, row] -= recipe.neighbour_smoothing * len(near) / 2
            targets[row, near] = recipe.neighbour_smoothing / 2
    return np.asarray((1 - recipe.label_smoothing) * targets + recipe.label_smoothing / n, dtype=np.float32)


class Pictures(Dataset[tuple[Tensor, int, float]]):
    """Dataset of loose images as network inputs, with class index and weight.

    Args:
        table: table with ``path`` and ``label``, without rows of other classes.
        classes: names of the classes; their order gives the class index.
        weights: ``(rows,)``.
        front_end: front end that gives size and shrinking.
        keep: whether to keep all images in memory after the first read.
    """

    def __init__(
        self, table: pl.DataFrame, classes: tuple[str, ...], weights: Array, front_end: FrontEnd, keep: bool
    ) -> None:
        self.paths = table["path"].to_list()
        self.labels = [classes.index(label) for label in table["label"]]
        self.weights = weights
        self.front_end = front_end
        self.kept = torch.stack([self._read(at) for at in range(len(self.paths))]) if keep and self.paths else None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int) -> tuple[Tensor, int, float]:
        picture = self._read(at) if self.kept is None else self.kept[at]
        return picture, self.labels[at], float(self.weights[at])

    def _read(self, at: int) -> Tensor:
        path = self.paths[at]
        try:
            drawn = decode_png(Path(storage.path_of(path)).read_bytes())
            return torch.from_numpy(network_input(drawn, self.front_end))
        except (DecodeError, OptionError) as error:  # the image was readable at the start of training
            raise type(error)(f"{path}: {error}") from None


class EpochBatches(Sampler[list[int]]):
    """Cuts the order of an ``EpochSampler`` into batches, and yields this process's rows of each batch.

    The number of processes does not change the batches. Clips that do not fill a whole batch are left out of the epoch.
    Rows in shards are shuffled within windows of whole shards, so that a reader holds only one window. The windows have
    a new order in each epoch. A window of all shards gives the same order as loose images.

    Args:
        size: number of rows.
        batch_size: rows of a batch that all processes share.
        seed: random seed of the order.
        share: which of several processes this is.
        shards: ``(size,)``, number of the shard with each row; ``None`` for loose images.
        window: number of shards in a window.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        share: Share,
        shards: npt.NDArray[np.int64] | None = None,
        window: int = 1,
    ) -> None:
        self.size, self.seed, self.epoch = size, seed, 0
        self.whole = min(batch_size, size)
        self.rows = share.rows(self.whole)
        self.shards, self.window = shards, window

    @property
    def place(self) -> tuple[int, int]:
        """Index of the first row of this process in a batch, and number of rows in the whole batch."""
        return self.rows.start, self.whole

    def __len__(self) -> int:
        return self.size // self.whole

    def __iter__(self) -> Iterator[list[int]]:
        order = self.order()
        for at in range(0, len(self) * self.whole, self.whole):
            yield order[at : at + self.whole][self.rows].tolist()

    def order(self) -> npt.NDArray[np.int64]:
        """Return the order of all rows in this epoch, ``(size,)``; it depends only on seed and ``epoch``."""
        chance = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        order = torch.randperm(self.size, generator=chance).numpy()
        if self.shards is None:
            return order
        there, number = np.unique(self.shards, return_inverse=True)
        window = np.empty(len(there), dtype=np.int64)
        window[torch.randperm(len(there), generator=chance).numpy()] = np.arange(len(there)) // self.window
        return np.asarray(order[np.argsort(window[number[order]], kind="stable")])


def fits_in_memory(n: int, recipe: Recipe) -> bool:
    """Return whether ``n`` images fit into the recipe's memory limit."""
    return n * math.prod(recipe.front_end.input_shape) * 4 <= recipe.memory_mb * 1e6
