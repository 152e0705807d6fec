"""Pictures from shards: read shard by shard, a few held at a time, never all of them."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.utils.data import Dataset

from voxtrait.audio.writing import atomic_path
from voxtrait.derived import shards
from voxtrait.errors import ManifestError
from voxtrait.features import Array, FrontEnd, decode_png, network_input
from voxtrait.labels import AGE_GROUPS


def read_table(folder: Path, task: str) -> pl.DataFrame:
    """List the pictures of a task in a folder of shards.

    Returns:
        As :func:`~voxtrait.training.pictures.folders.read_folder` lists loose ones, with ``file`` (of the
        shard) and ``row`` (in it); ``path`` is that of the loose picture. Training clips are sorted by
        ``path``, so that rows have the same numbers as those of loose pictures. The others have the order of the
        shards.

    Raises:
        ManifestError: if it is no whole folder of shards, or has no pictures of this task for training or validation.
    """
    table = shards.read(folder)
    label = pl.col("gender")
    if task == "age":
        label = label + "_" + pl.when(pl.col("age_group").is_in(AGE_GROUPS)).then("age_group")
    table = table.with_columns(label=label).filter(pl.col("label").is_not_null())
    found = set(table["split"])
    if not {"train", "validation"} <= found:
        raise ManifestError(
            f"no pictures of {task} for training and validation in the shards of {folder}, found only "
            f"{sorted(found) or 'none'}: make a split with 'voxtrait corpus split', then pack again"
        )
    path = pl.concat_str(pl.lit(str(folder.resolve())), "split", pl.lit(task), "label", "name", separator="/")
    columns = ("path", "label", "split", "clip_id", "speaker_id", "age_years", "file", "row")
    table = table.with_columns(path=path).select(columns)
    training = pl.col("split") == "train"
    return pl.concat([table.filter(training).sort("path"), table.filter(~training).sort("file", "row")])


class ShardPictures(Dataset[tuple[Tensor, int, float]]):
    """Pictures from shards as the network sees them, with class index and weight.

    Args:
        table: ``file``, ``row`` and ``label``.
        classes: their order is the class index; rows of other classes must have been left out.
        weights: ``(rows,)``.
        front_end: gives size and shrinking.
        holds: shards in memory at a time; the one used longest ago goes first.
    """

    def __init__(
        self, table: pl.DataFrame, classes: tuple[str, ...], weights: Array, front_end: FrontEnd, holds: int
    ) -> None:
        kind = table.schema["file"]
        assert isinstance(kind, pl.Enum)
        self.files = kind.categories.to_list()
        self.file = table["file"].to_physical().to_numpy().astype(np.int64)
        self.row = table["row"].to_numpy().astype(np.int64)
        numbers = {name: at for at, name in enumerate(classes)}
        self.labels = table["label"].replace_strict(numbers, return_dtype=pl.Int64).to_numpy()
        self.weights, self.front_end, self.holds = weights, front_end, holds
        self.held: OrderedDict[int, pl.Series] = OrderedDict()

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, at: int) -> tuple[Tensor, int, float]:
        drawn = decode_png(self._pictures(int(self.file[at]))[int(self.row[at])])
        return torch.from_numpy(network_input(drawn, self.front_end)), int(self.labels[at]), float(self.weights[at])

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the shards in memory: a reading process loads its own."""
        return self.__dict__ | {"held": OrderedDict()}

    def _pictures(self, file: int) -> pl.Series:
        if file in self.held:
            self.held.move_to_end(file)
        else:
            while len(self.held) >= self.holds:
                self.held.popitem(last=False)
            self.held[file] = shards.pictures_of(self.files[file])
        return self.held[file]


def window_of(table: pl.DataFrame, buffer: int) -> int:
    """Return how many shards hold ``buffer`` pictures, at least one."""
    largest = table.select(pl.col("row").max() + 1).item() or 1
    return max(1, buffer // int(largest))


def unpack(table: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Write pictures of a table loose, for the evaluation, which opens files.

    Args:
        table: ``path``, ``file`` and ``row``.
        folder: where they go, under the last four parts of ``path``.

    Returns:
        The table with the new ``path`` of each picture.
    """
    parts = pl.col("path").str.split("/").list.tail(4).list.join("/")
    table = table.with_columns(path=pl.lit(f"{folder.resolve()}/") + parts)
    for (file,), rows in table.group_by("file", maintain_order=True):
        pictures = shards.pictures_of(str(file))
        for path, row in rows.select("path", "row").iter_rows():
            target = Path(path)
            if not target.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(target) as part:
                    part.write_bytes(pictures[row])
    return table
