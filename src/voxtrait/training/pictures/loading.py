"""Loads a table of images, loose or in shards, as batches for the network."""

from typing import Any

import polars as pl
from torch.utils.data import DataLoader, Subset

from voxtrait.training.pictures import streaming
from voxtrait.training.pictures.dataset import EpochBatches, Pictures, example_weights, fits_in_memory
from voxtrait.training.pictures.streaming import ShardPictures
from voxtrait.training.ranks import Share
from voxtrait.training.recipe import Recipe
from voxtrait.training.schedule import ALONE


def pictures(
    recipe: Recipe, classes: tuple[str, ...], table: pl.DataFrame, *, keep: bool = False, holds: int = 1
) -> Pictures | ShardPictures:
    """Return the images of a table, loose or in shards.

    Args:
        recipe: settings.
        classes: names of the classes; their order gives the class index.
        table: table of loose images, or with ``file`` and ``row`` for images in shards.
        keep: whether to keep loose images in memory.
        holds: maximum shards in memory.
    """
    weights = example_weights(table, recipe)
    if "file" in table.columns:
        return ShardPictures(table, classes, weights, recipe.front_end, holds)
    return Pictures(table, classes, weights, recipe.front_end, keep)


def batches(
    recipe: Recipe, classes: tuple[str, ...], table: pl.DataFrame, share: Share = ALONE, *, shuffle: bool = False
) -> DataLoader[Any]:
    """Return a loader of a table's batches: shuffled for training, or in order with each clip once."""
    streamed = "file" in table.columns
    keep = not streamed and fits_in_memory(table.height, recipe)
    workers = 0 if keep else recipe.workers
    how: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    if workers:
        how["multiprocessing_context"] = "spawn"  # no fork: Polars, which reads shards, and gloo have threads
    if not shuffle:
        table = table.sort("file", "row") if streamed else table
        dataset: Any = pictures(recipe, classes, table, keep=keep)
        own = share.rows(len(dataset))
        if share.size > 1:
            dataset = Subset(dataset, range(own.start, own.stop))
        return DataLoader(dataset, batch_size=64, **how)
    holds = streaming.window_of(table, recipe.buffer) if streamed else 1
    dataset = pictures(recipe, classes, table, keep=keep, holds=holds)
    where = dataset.file if streamed else None
    order = EpochBatches(len(dataset), recipe.batch_size, recipe.seed, share, where, holds)
    return DataLoader(dataset, batch_sampler=order, **how)
