"""Reads images from shards, with a limited number of shards in memory."""

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
from voxtrait.errors import DecodeError, ManifestError
from voxtrait.features import Array, FrontEnd, decode_png, network_input
from voxtrait.labels import AGE_GROUPS


def read_table(folder: Path, task: str) -> pl.DataFrame:
    """List the images of a task in a folder of shards.

    Returns:
        The columns of :func:`~voxtrait.training.pictures.folders.read_folder`, with ``age_group``, ``file`` (the shard)
        and ``row`` (the row in it). ``path`` is that of the loose image. Training clips are sorted by ``path``, so that
        rows have the same numbers as those of loose images. The others have the order of the shards.

    Raises:
        ManifestError: if the folder of shards is incomplete, or has no images of this task for training or validation.
    """
    table = shards.read(folder)
    label = pl.col("gender")
    if task == "age":
        label = label + "_" + pl.when(pl.col("age_group").is_in(AGE_GROUPS)).then("age_group")
    table = table.with_columns(label=label).filter(pl.col("label").is_not_null())
    found = set(table["split"])
    if not {"train", "validation"} <= found:
        raise ManifestError(
            f"No {task} images for training and validation in the shards of {folder}. Found "
            f"{', '.join(sorted(found)) or 'none'}. Run 'voxtrait corpus split', then pack again."
        )
    path = pl.concat_str(pl.lit(str(folder.resolve())), "split", pl.lit(task), "label", "name", separator="/")
    columns = ("path", "label", "split", "clip_id", "speaker_id", "age_years", "age_group", "file", "row")
    table = table.with_columns(path=path).select(columns)
    training = pl.col("split") == "train"
    return pl.concat([table.filter(training).sort("path"), table.filter(~training).sort("file", "row")])


class ShardPictures(Dataset[tuple[Tensor, int, float]]):
    """Dataset of images in shards as network inputs, with class index and weight.

    Args:
        table: table with ``file``, ``row`` and ``label``, without rows of other classes.
        classes: names of the classes; their order gives the class index.
        weights: ``(rows,)``.
        front_end: front end that gives size and shrinking.
        holds: maximum shards in memory; the least recently used one is dropped first.
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
        file, row = int(self.file[at]), int(self.row[at])
        try:
            drawn = decode_png(shards.picture_at(self._pictures(file), row, self.files[file]))
        except DecodeError as error:
            raise DecodeError(f"{self.files[file]}, row {row}: {error}") from None
        return torch.from_numpy(network_input(drawn, self.front_end)), int(self.labels[at]), float(self.weights[at])

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the shards in memory, because a reading process loads its own."""
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
    """Return the number of shards with ``buffer`` images, at least 1."""
    largest = table.select(pl.col("row").max() + 1).item() or 1
    return max(1, buffer // int(largest))


def unpack(table: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Write the images of a table as single files, for the evaluation.

    Args:
        table: table with ``path``, ``file`` and ``row``.
        folder: folder for the files, which keep the last four parts of ``path``.

    Returns:
        The table with the new ``path`` of each image.
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
                    part.write_bytes(shards.picture_at(pictures, row, str(file)))
    return table
