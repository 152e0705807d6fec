"""Computes the prediction and the speaker embedding of every clip once, and stores them so that runs can be resumed."""

import importlib.metadata
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from voxtrait import batch
from voxtrait.audio.writing import atomic_path
from voxtrait.features import Array
from voxtrait.recognize import Prediction, Recognizer

Embeddings = npt.NDArray[np.float16]

FIELDS: Final = ("status", "message", "speech_s", "snr_db", "p_female", "age_years")
EMBEDDINGS: Final = "embeddings.npy"


class ClipEmbeddings:
    """Predictions and embeddings of clips.

    Attributes:
        table: :data:`FIELDS`, one row per clip, in the order of the paths.
        embeddings: ``(clips, d)``, vectors of length 1, float16, mapped from ``embeddings.npy``: two million use a
            gigabyte of disk and no memory. Clips without an embedding have zeros.
        has: ``(clips,)``, true for clips with an embedding.
    """

    def __init__(self, table: pl.DataFrame, embeddings: Embeddings, has: npt.NDArray[np.bool_]) -> None:
        self.table = table
        self.embeddings = embeddings
        self.has = has

    def rows(self, which: npt.NDArray[np.int64]) -> Array:
        """Return the embeddings of some clips, ``(n, d)``, float32."""
        return np.asarray(self.embeddings[which], dtype=np.float32)


def embed_clips(
    recognizer: Recognizer,
    paths: Sequence[str],
    folder: str | os.PathLike[str],
    *,
    jobs: batch.Jobs = 1,
    label: str | None = None,
) -> ClipEmbeddings:
    """Predict and embed clips, into ``folder/heard`` (Parquet shards) and ``folder/embeddings.npy``.

    Interrupted runs are resumed.

    Args:
        recognizer: computes the predictions, and the embeddings if its bundle has them.
        paths: paths of the clips.
        folder: folder for the results, created if missing.
        jobs: number of worker processes, or a :class:`voxtrait.batch.Where`.
        label: text of the progress line on standard error; ``None`` for no progress line.

    Raises:
        BundleError: if the graphs do not fit the bundle.
    """
    home = Path(folder)
    bundle = recognizer.bundle
    texts = ("status", "message", "path")
    schema = {name: pl.String if name in texts else pl.Float64 for name in ("path", *FIELDS)}
    shards = batch.run_sharded(
        _Embedder(recognizer),
        paths,
        home / "heard",
        row=_row,
        schema=schema | {"embedding": pl.Binary},
        settings=f"audit 1, voxtrait {importlib.metadata.version('voxtrait')} {bundle.fingerprint}",
        jobs=jobs,
        on_crash=_Embedder.crashed,
        label=label,
        unit="clip",
    )
    size = recognizer.embedding_size or 0
    has = np.zeros(len(paths), dtype=np.bool_)
    with atomic_path(home / EMBEDDINGS) as part:
        target = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=(len(paths), size))
        for at, some in _vectors(shards):
            target[at] = np.frombuffer(b"".join(some), np.float16).reshape(-1, size)
            has[at] = True
        target.flush()
        del target
    mapped = (
        np.load(home / EMBEDDINGS, mmap_mode="r") if size and len(paths) else np.zeros((len(paths), size), np.float16)
    )
    return ClipEmbeddings(pl.read_parquet(shards, columns=list(FIELDS)), mapped, has)


def _vectors(shards: Sequence[Path]) -> Iterator[tuple[npt.NDArray[np.int64], list[bytes]]]:
    """Yield the rows of each shard that have an embedding, and their embeddings."""
    first = 0
    for shard in shards:
        column = pl.read_parquet(shard, columns=["embedding"])["embedding"]
        at = first + column.is_not_null().arg_true().to_numpy().astype(np.int64)
        if len(at):
            yield at, column.drop_nulls().to_list()
        first += column.len()


class _Embedder:
    """Job of a worker: one path → a prediction, and an embedding or ``None``."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.recognizer = recognizer

    def __call__(self, path: str) -> tuple[Prediction, bytes | None]:
        prediction, vector = self.recognizer.hear(path)
        return prediction, None if vector is None else vector.astype("<f2").tobytes()

    @staticmethod
    def crashed(path: str, why: str) -> tuple[Prediction, bytes | None]:
        nothing: dict[str, Any] = dict.fromkeys(Prediction.__dataclass_fields__)
        return Prediction(**(nothing | {"path": path, "status": "error", "message": why, "model": ""})), None


def _row(result: tuple[Prediction, bytes | None]) -> Mapping[str, Any]:
    prediction, vector = result
    fields = {name: getattr(prediction, name) for name in FIELDS}
    return {"embedding": vector} | fields | {"path": prediction.to_dict()["path"]}
