"""Clips → spectrogram pictures in a few large files, for training that reads from start to end and holds little.

The tree::

    OUT_DIR/clips.parquet         a row a picture: labels, speaker, split, and in which shard it is
    OUT_DIR/pictures/*.parquet    500 pictures each, as PNG; those of one split together, training clips shuffled
    OUT_DIR/shards.json           how they were drawn

A million clips are two thousand files instead of a million, none of which has to be opened for itself. Shards are
shuffled once, when they are packed, so that each is a fair sample; training then shuffles shards, and pictures within
a few shards at a time.
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
from voxtrait.errors import ManifestError, OptionError
from voxtrait.features import FrontEnd
from voxtrait.labels import GENDERS, SPLITS
from voxtrait.manifest import naming

SETTINGS: Final = "shards.json"
TABLE: Final = "clips.parquet"
PICTURES: Final = "pictures"
_SCHEMA: Final = {"picture": pl.Binary, "seconds": pl.Float64, "message": pl.String}


@dataclasses.dataclass
class Summary(derived.Summary):
    """What a run of :func:`pack` did."""

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
    """Draw the clips of a manifest, or take the pictures of a folder, into shards; a killed run is resumed.

    Args:
        source: a manifest with splits, or a folder that ``voxtrait images`` filled from one.
        out_dir: where the shards go; made if need be.
        size: width and height in pixels; of a folder, its own are kept.
        fit: ``middle`` or ``stretch``: see :func:`voxtrait.features.picture`; of a folder, its own is kept.
        seed: of the order of the training clips.
        jobs: processes, or a :class:`voxtrait.batch.Where`.
        label: of a progress line on standard error; ``None`` shows none.

    Raises:
        NothingToDoError: if there is no clip in the source.
        OptionError: if an option is out of its range, or ``out_dir`` was made with other settings.
        ManifestError: if the table is no manifest, or has no clip with a gender and a split.

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
            f"got {place}, expected a manifest with splits, or a folder that 'voxtrait images' filled from one "
            f"(it has a {MANIFEST})"
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
    """Draw the clips of a table in order, and write the table of the pictures."""
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
    """Return whether a folder is one of shards, whole or still being packed."""
    return Path(folder, SETTINGS).is_file()


def read(folder: str | os.PathLike[str]) -> pl.DataFrame:
    """Read the table of the pictures in a folder of shards; no picture is read.

    Returns:
        One row a picture: ``file`` (of the shard), ``row`` (in it), ``name``, and the manifest's columns but ``path``
        and ``sentence``.

    Raises:
        ManifestError: if it is no such folder, or not packed to its end, or a shard is missing.
    """
    home = Path(folder)
    if not (home / TABLE).is_file():
        raise ManifestError(
            f"{home} has no {TABLE}: pack it, or go on packing it, with 'voxtrait images MANIFEST {home} --shards'"
        )
    table = pl.read_parquet(home / TABLE)
    files = sorted(str(file.resolve()) for file in (home / PICTURES).glob("part-*.parquet"))
    needed = table.select(pl.col("shard").max() + 1).item() or 0
    if len(files) < needed:
        raise ManifestError(
            f"{home / PICTURES} has {len(files)} shards, expected {needed}: pack again, 'voxtrait images … --shards'"
        )
    return table.with_columns(pl.Series("file", files, dtype=pl.Enum(files)).gather(table["shard"])).drop("shard")


def shards_front_end(folder: str | os.PathLike[str]) -> FrontEnd:
    """Read the front end that the pictures in shards were drawn with.

    Raises:
        OptionError: if the folder's settings cannot be read.
    """
    settings = derived.read_settings(folder, SETTINGS)
    if settings is None or not isinstance(settings.get("front_end"), dict):
        raise OptionError(f"{folder} has no {SETTINGS}: expected a folder that 'voxtrait images --shards' made")
    return FrontEnd.from_dict(settings["front_end"])


def pictures_of(file: str | os.PathLike[str]) -> pl.Series:
    """Read the pictures of one shard: PNG bytes, null where a clip could not be drawn.

    Raises:
        ManifestError: if the shard cannot be read.
    """
    try:
        return pl.read_parquet(Path(file), columns=["picture"])["picture"]
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ManifestError(f"the shard {file} cannot be read ({reason}): delete it, and pack again") from None


def _ordered(table: pl.DataFrame, source: Path, seed: int) -> pl.DataFrame:
    """Put clips in the order of the shards: splits apart, training clips shuffled, the others by gender and name.

    ``name`` is null where a clip is not to be packed.
    """
    wanted = pl.col("gender").is_in(GENDERS) & pl.col("split").is_in(SPLITS)
    names = naming.file_names(table["clip_id"]) + ".png"
    table = table.with_columns(pl.when(wanted).then(names).alias("name"))
    if not table["name"].count():
        raise ManifestError(f"no clip of {source} has a gender and a split: 'voxtrait corpus split' first")
    table = table.sort("clip_id")
    shuffled = pl.Series("turn", np.random.default_rng(seed).permutation(table.height))
    turn = pl.when(pl.col("split") == "train").then(shuffled)
    by_split = pl.col("split").replace_strict(SPLITS, range(len(SPLITS)), default=None)
    table = table.with_columns(turn.alias("turn"), by_split.alias("part"))
    return table.sort("part", "turn", "gender", "name", nulls_last=True).drop("turn", "part")


@dataclasses.dataclass(frozen=True)
class _Picture:
    """The job: a clip, or a picture of one, → the bytes of its picture."""

    front_end: FrontEnd

    def __call__(self, path: str) -> dict[str, Any]:
        try:
            if path.lower().endswith(".png"):
                png, seconds = Path(storage.path_of(path)).read_bytes(), 0.0
                shape, wanted = features.decode_png(png).shape, (self.front_end.n_mels, self.front_end.columns)
                if shape != wanted:
                    raise OptionError(f"{path}: got a picture of {shape}, expected {wanted}")
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
