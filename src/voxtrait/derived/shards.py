"""Packs spectrogram images into a few large files (shards), for training with sequential reads and little memory.

Files::

    OUT_DIR/clips.parquet         one row per image: labels, speaker, split, and its shard
    OUT_DIR/pictures/*.parquet    500 PNG images each, ordered by split; training clips are shuffled
    OUT_DIR/shards.json           settings of the images

A million clips become two thousand files. Clips are shuffled when they are packed, so that each shard is a random
sample. Training then shuffles the shards, and the images within a few shards at a time.
"""

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from voxtrait import audio, batch, derived, features, manifest, storage
from voxtrait.audio.writing import atomic_path
from voxtrait.derived.folders import HARMLESS, Outcome
from voxtrait.derived.pictures import MANIFEST, front_end_of
from voxtrait.errors import ManifestError, OptionError, counted
from voxtrait.features import FrontEnd
from voxtrait.labels import GENDERS, SPLITS
from voxtrait.manifest import naming, parquet
from voxtrait.manifest.faults import TABLE_ERRORS, reason

SETTINGS: Final = "shards.json"
TABLE: Final = "clips.parquet"
PICTURES: Final = "pictures"
_TABLE: Final = pl.Schema(
    {"shard": pl.Int64, "row": pl.Int64, **dict.fromkeys(("name", "split", "gender", "age_group"), pl.String)}
)
_NEEDED: Final = (*_TABLE, "clip_id", "speaker_id", "age_years")
_SCHEMA: Final = {"picture": pl.Binary, "seconds": pl.Float64, "message": pl.String}


@dataclasses.dataclass
class Summary(derived.Summary):
    """Result of :func:`pack`: numbers of clips done, kept and failed, and of shards."""

    unlabelled: int = 0  # clips that are neither ``female`` nor ``male``, or in no split: not packed
    shards: int = 0


def pack(
    source: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    size: tuple[int, int] = features.PICTURE_SIZE,
    fit: features.Fit = "middle",
    seed: int = 1,
    jobs: batch.Jobs = 1,
    label: str | None = None,
) -> Summary:
    """Pack spectrogram images into shards: drawn from the clips of a manifest, or taken from a folder of images.

    Interrupted runs are resumed.

    Args:
        source: a manifest with splits, or a folder that ``voxtrait images`` wrote for one.
        out_dir: folder of the shards; created if it does not exist.
        size: width and height, in pixels; ignored for a folder of images.
        fit: ``middle`` or ``stretch``: see :func:`voxtrait.features.picture`; ignored for a folder of images.
        seed: random seed of the order of the training clips.
        jobs: number of worker processes, or a :class:`voxtrait.batch.Where`.
        label: shown before the progress line on standard error; ``None`` shows no progress.

    Returns:
        Numbers of clips packed, kept and failed, and of shards.

    Raises:
        NothingToDoError: if the source has no clips.
        OptionError: if an option is out of range, or ``out_dir`` has other settings.
        ManifestError: if the source is not a manifest, or has no clip with a gender and a split.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     audio.write_wav(f"{folder}/a.wav", np.zeros(8000, np.float32), 8000)
        ...     row = {"path": "a.wav", "gender": "female", "age_group": "fifties", "split": "train"}
        ...     manifest.write(pl.DataFrame([row]), f"{folder}/all.csv")
        ...     summary = pack(f"{folder}/all.csv", f"{folder}/out")
        ...     table = read(f"{folder}/out")
        >>> summary.done, summary.shards, table.select("name", "gender", "row").rows()
        (1, 1, [('a.png', 'female', 0)])
    """
    start = time.perf_counter()
    place, out = Path(source), Path(out_dir).resolve()
    front_end = features.picture_front_end(size, fit=fit)
    if (place / MANIFEST).is_file():
        front_end, place = front_end_of(place), place / MANIFEST
    clips = None if place.is_dir() else derived.sources(place, out_dir)
    if clips is None or not clips.labelled:
        raise OptionError(
            f"Got {place}. Expected a manifest with splits, or a folder that 'voxtrait images' wrote for one "
            f"(with {MANIFEST})."
        )
    table = _ordered(clips.table, place, seed)
    settings = {"front_end": front_end.to_dict(), "seed": seed}
    summary = Summary(os.fspath(out_dir))
    with batch.claimed(out):
        derived.claim(out, SETTINGS, settings)
        _pack(table, out, front_end, repr(settings), summary, jobs=jobs, label=label)
    summary.elapsed_s = time.perf_counter() - start
    return summary


def _pack(
    table: pl.DataFrame,
    out: Path,
    front_end: FrontEnd,
    settings: str,
    summary: Summary,
    *,
    jobs: batch.Jobs,
    label: str | None,
) -> None:
    """Draw the clips of a table in order, and write the table of images."""
    summary.unlabelled = table["name"].null_count()
    table = table.filter(pl.col("name").is_not_null())

    def count(row: dict[str, Any]) -> Mapping[str, Any]:
        summary.done += row["message"] is None
        summary.audio_s += row["seconds"]
        return row

    paths = table["path"].to_list()
    files = batch.run_sharded(
        _Picture(front_end),
        paths,
        out / PICTURES,
        row=count,
        schema=_SCHEMA,
        settings=settings,
        jobs=jobs,
        on_crash=lambda path, why: {"picture": None, "seconds": 0.0, "message": f"{path}: {why}"},
        label=label,
        unit="clip",
    )
    with storage.local_copies(files) as readable:
        drawn = pl.concat([pl.read_parquet(file, columns=["message"]) for file in readable])["message"]
    summary.kept = drawn.null_count() - summary.done
    derived.gather(_failures(paths, drawn), summary)
    summary.shards = len(files)
    at = pl.int_range(pl.len())
    packed = table.with_columns(shard=at // batch.SHARD, row=at % batch.SHARD).filter(drawn.is_null())
    columns = [*("shard", "row", "name"), *(name for name in manifest.SCHEMA if name not in ("path", "sentence"))]
    with atomic_path(out / TABLE) as part:
        packed.select(name for name in columns if name in packed.columns).write_parquet(part)


def is_packed(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder contains shards, complete or not."""
    return Path(folder, SETTINGS).is_file()


def read(folder: str | os.PathLike[str]) -> pl.DataFrame:
    """Read the table of images in a folder of shards, without the images.

    Returns:
        One row per image, with ``file`` (the shard), ``row`` (row in the shard), ``name``, and the columns of the
        manifest except ``path`` and ``sentence``.

    Raises:
        ManifestError: if the folder has no table, because it has no shards or packing was interrupted, or if a shard is
            missing.
    """
    home = Path(folder)
    if not (home / TABLE).is_file():
        raise ManifestError(
            f"{home} has no {TABLE}. To pack it, or to resume packing: voxtrait images MANIFEST {home} --shards"
        )
    try:
        table = pl.read_parquet(parquet.checked(home / TABLE)).cast(_TABLE)
        table.select(_NEEDED)
        least, needed, numberless = table.select(
            pl.min_horizontal("shard", "row").min().alias("least"),
            pl.col("shard").max() + 1,
            pl.any_horizontal(pl.col("shard", "row").is_null()).sum().alias("numberless"),
        ).row(0)
    except TABLE_ERRORS as error:
        raise ManifestError(f"{home / TABLE} cannot be read ({reason(error)}). Delete it, and pack again.") from None
    if numberless:
        raise ManifestError(
            f"{home / TABLE} is damaged: {counted(numberless, 'row has', 'rows have')} no number. "
            "Delete it, and pack again."
        )
    files = sorted(str(file.resolve()) for file in (home / PICTURES).glob("part-*.parquet"))
    if least is not None and least < 0:
        raise ManifestError(f"{home / TABLE} is damaged: it has the row number {least}. Delete it, and pack again.")
    if len(files) < (needed or 0):
        raise ManifestError(
            f"{home / PICTURES} has {counted(len(files), 'shard')}. Expected {needed}. To pack again: voxtrait images "
            f"MANIFEST {home} --shards"
        )
    return table.with_columns(pl.Series("file", files, dtype=pl.Enum(files)).gather(table["shard"])).drop("shard")


def shards_front_end(folder: str | os.PathLike[str]) -> FrontEnd:
    """Read the front end of the images in shards.

    Raises:
        OptionError: if the settings of the folder cannot be read.
        BundleError: if the front end has another version.
    """
    settings = derived.read_settings(folder, SETTINGS)
    if settings is None or not isinstance(settings.get("front_end"), dict):
        raise OptionError(f"{folder} has no {SETTINGS}. Expected a folder written by 'voxtrait images --shards'.")
    return FrontEnd.from_dict(settings["front_end"])


def pictures_of(file: str | os.PathLike[str]) -> pl.Series:
    """Read the images of one shard: PNG bytes, null where a clip failed.

    Raises:
        ManifestError: if the shard cannot be read.
    """
    try:
        return pl.read_parquet(parquet.checked(Path(file)), columns=["picture"])["picture"]
    except TABLE_ERRORS as error:
        raise ManifestError(f"The shard {file} cannot be read ({reason(error)}). Delete it, and pack again.") from None


def picture_at(pictures: pl.Series, row: int, file: str) -> bytes:
    """Return one image of :func:`pictures_of`.

    Raises:
        ManifestError: if the shard does not have the image, because it is not the shard that the table describes.
    """
    png = pictures[row] if row < len(pictures) else None
    if png is None:
        raise ManifestError(f"The shard {file} has no image in row {row}. Delete it, and pack again.")
    return bytes(png)


def _ordered(table: pl.DataFrame, source: Path, seed: int) -> pl.DataFrame:
    """Sort clips into the order of the shards: by split, training clips shuffled, the others by gender and name.

    ``name`` is null for clips that are not packed.
    """
    wanted = pl.col("gender").is_in(GENDERS) & pl.col("split").is_in(SPLITS)
    names = naming.file_names(table["clip_id"]) + ".png"
    table = table.with_columns(pl.when(wanted).then(names).alias("name"))
    if not table["name"].count():
        raise ManifestError(f"No clip of {source} has a gender and a split. Run 'voxtrait corpus split' first.")
    table = table.sort("clip_id")
    shuffled = pl.Series("turn", np.random.default_rng(seed).permutation(table.height))
    turn = pl.when(pl.col("split") == "train").then(shuffled)
    by_split = pl.col("split").replace_strict(SPLITS, range(len(SPLITS)), default=None)
    table = table.with_columns(turn.alias("turn"), by_split.alias("part"))
    return table.sort("part", "turn", "gender", "name", nulls_last=True).drop("turn", "part")


@dataclasses.dataclass(frozen=True)
class _Picture:
    """The job: return the bytes of the image of a clip; an existing image is read."""

    front_end: FrontEnd

    def __call__(self, path: str) -> dict[str, Any]:
        try:
            if path.lower().endswith(".png"):
                png, seconds = Path(storage.path_of(path)).read_bytes(), 0.0
                shape, wanted = features.decode_png(png).shape, (self.front_end.n_mels, self.front_end.columns)
                if shape != wanted:
                    raise OptionError(f"{path} has {shape[1]}×{shape[0]} pixels. Expected {wanted[1]}×{wanted[0]}.")
            else:
                signal, rate = audio.load(storage.path_of(path), self.front_end.sampling_rate)
                png = features.encode_png(features.picture(signal, rate, front_end=self.front_end))
                seconds = len(signal) / rate
            return {"picture": png, "seconds": seconds, "message": None}
        except HARMLESS as error:
            return {"picture": None, "seconds": 0.0, "message": storage.text_of(derived.reason_of(error))}


def _failures(paths: list[str], messages: pl.Series) -> Iterator[Outcome]:
    for at in messages.is_not_null().arg_true():
        yield Outcome("failed", paths[at], reason=messages[at])
