"""Data sets of Hugging Face's ``datasets`` on disk: saved ones, and clones of the hub's repositories.

Source: https://huggingface.co/docs/datasets. Licence: the data set card's.

Tree::

    my-data/                                       its name becomes ``corpus``
        dataset_dict.json                          ``save_to_disk``: a folder a split; or the next three here
        train/state.json                           names the files in order
        train/dataset_info.json                    ``features``: types, and the names of classes
        train/data-00000-of-00002.arrow            an Arrow stream
    my-repository/                                 what ``git clone`` and ``snapshot_download`` give
        data/train-00000-of-00002.parquet          or beside data/, or in a folder a configuration

Columns: audio in the column of type ``Audio``, a record of ``bytes`` and ``path`` or a path; the others as in
:mod:`voxtrait.corpora.layouts.audio_folder`. Classes (``ClassLabel``) become their names.

The audio is mostly inside these files. Such clips get the path that :func:`extract` gives them, so that a manifest
may be made before or after; the import alone reads no audio, and reads one file after another.

Known dirt:

- Clones without Git LFS hold text files of three lines instead of data.
- ``path`` inside the audio is a name from the maker's disk: it names a clip where it is unique in its split, else
  together with the clip's number.
- Classes are numbers, and -1 where they are not known. A column ``gender`` may be a class, and hold ``other``.
- A split may be called ``train.clean.100``: its first word counts.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from voxtrait import batch
from voxtrait.audio import SUFFIXES
from voxtrait.audio.writing import atomic_path
from voxtrait.corpora import spellings
from voxtrait.corpora.source import Listing, Rows, Source, complete, drop_nameless
from voxtrait.corpora.table import FILES, renamed, with_stem
from voxtrait.errors import CorpusError

LAYOUT: Final = "Hugging Face"
EXPECTED: Final = (
    "Hugging Face datasets: dataset_dict.json or state.json (save_to_disk), or data/train-00000-of-….parquet"
)
EXPECTED_FILE: Final = "a Parquet file of Hugging Face datasets, with audio inside"

_SHARD: Final = re.compile(r"(?P<split>\w[\w.]*?)-\d{5}-of-\d{5}(?:-[0-9a-f]+)?\.parquet")
_LFS: Final = b"version https://git-lfs"
_MAGIC: Final = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff": ".mp3"}
_NAME: Final = r"[^\w+=.-]"


def find(listing: Listing) -> Source | None:
    """Recognise what ``save_to_disk`` wrote, or a folder of numbered Parquet files, in ``data/`` or right there."""
    saved = "dataset_dict.json" in listing.files or {"state.json", "dataset_info.json"} <= listing.files
    return Source(LAYOUT, listing.folder, listing.folder.name) if saved or _shards(listing) else None


def find_file(path: Path) -> Source | None:
    """Recognise a Parquet file with audio inside."""
    if path.suffix.lower() != ".parquet":
        return None
    try:
        schema = pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError):
        return None
    if not any(_is_audio(kind) for kind in schema.values()):
        return None
    shard = _SHARD.fullmatch(path.name)
    return Source(LAYOUT, path.parent, path.parent.name if shard else path.stem, file=path)


def _shards(listing: Listing) -> list[Path]:
    here = [listing.folder / name for name in sorted(listing.files) if _SHARD.fullmatch(name)]
    if not here and "data" in listing.folders:
        data = Listing.of(listing.folder / "data")
        here = [data.folder / name for name in sorted(data.files) if _SHARD.fullmatch(name)]
    return here


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read everything but the audio.

    Args:
        source: as :func:`find` or :func:`find_file` gives it.
        tables: has no meaning here.

    Raises:
        CorpusError: if a file is missing or damaged, or only a pointer of Git LFS, or no column is audio.
    """
    parts = []
    for split, path, frame in _named_frames(source):
        name = path.relative_to(source.folder).as_posix()
        parts.append(frame.with_columns(_split=pl.lit(split), _of=pl.lit(name)))
    together = pl.concat(parts, how="diagonal_relaxed")
    inside = together["_inside"].sum()
    named = renamed(together.drop("_split", "_of", "_inside"), ("_file",)).with_columns(together["_split"])
    of_split = pl.col("_split").replace_strict(spellings.SPLIT_SPELLINGS, default=None, return_dtype=pl.String)
    rows = named.with_columns(split=pl.coalesce(spellings.split("split"), of_split)).drop("_split")
    rows, nameless = drop_nameless(rows)
    notes = [f"has {inside} clips inside its files: --extract FOLDER writes them out"] if inside else []
    return Rows(complete(with_stem(rows)), list(dict.fromkeys(together["_of"])), nameless, notes)


def extract(source: Source, folder: Path, label: str | None = None) -> int:
    """Write the audio inside a data set out as files, under the names that :func:`read` gives the clips.

    A killed run is resumed: a file appears when it is whole, and one of the right size stays.

    Args:
        source: as :func:`find` gives it.
        folder: where to; made if it is not there. With ``dataclasses.replace(source, home=folder)`` the rows of
            :func:`read` lead there.
        label: of the progress line, or ``None``.

    Returns:
        The number of files that were written now.

    Raises:
        CorpusError: as :func:`read`.
    """
    written = 0
    for name, data in batch.progress(_inside(source), None, label, "clip"):
        target = folder / name
        if target.is_file() and target.stat().st_size == len(data):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as part:
            part.write_bytes(data)
        written += 1
    return written


def _inside(source: Source) -> Iterator[tuple[str, bytes]]:
    for _, path, names in _named_frames(source):
        frame = _load(path, with_bytes=True).select("_bytes").with_columns(names["_file", "_inside"])
        yield from frame.filter("_inside").select("_file", "_bytes").iter_rows(buffer_size=16)


def _named_frames(source: Source) -> list[tuple[str, Path, pl.DataFrame]]:
    """Read all files without the audio: split, file, and rows with ``_file`` and whether it is ``_inside``."""
    files = list(_files(source))
    if not files:
        raise CorpusError(f"{source.shown} names no file of data, expected .arrow or .parquet files beside its JSON")
    frames = [_load(path, with_bytes=False).with_columns(_base=_base(pl.col("_path"))) for _, path, _ in files]
    splits = list(dict.fromkeys(split for split, _, _ in files))
    names = {
        split: [frame["_base"] for frame, one in zip(frames, files, strict=True) if one[0] == split] for split in splits
    }
    every = {split: pl.concat(parts).str.to_lowercase() for split, parts in names.items()}
    repeated = {split: one.filter(one.is_duplicated()).unique() for split, one in every.items()}
    numbers = dict.fromkeys(splits, 0)
    out = []
    for frame, (split, path, classes) in zip(frames, files, strict=True):
        named = _named(frame, split, numbers[split], repeated[split], path.parent)
        out.append((split, path, _with_classes(named, classes or _classes_of(path))))
        numbers[split] += frame.height
    return out


def _files(source: Source) -> Iterator[tuple[str, Path, dict[str, list[str]]]]:
    """The files of a data set in order, with their splits and, where they are known, the names of their classes."""
    if source.file:
        shard = _SHARD.fullmatch(source.file.name)
        yield (_first_word(shard["split"]) if shard else ""), source.file, {}
        return
    if (source.folder / "dataset_dict.json").is_file():
        for split in _json(source.folder / "dataset_dict.json").get("splits", []):
            yield from _saved(source.folder / str(split), str(split))
    elif (source.folder / "state.json").is_file():
        state = _json(source.folder / "state.json")
        yield from _saved(source.folder, str(state.get("_split") or ""))
    else:
        for path in _shards(Listing.of(source.folder)):
            match = _SHARD.fullmatch(path.name)
            yield _first_word(match["split"] if match else ""), path, {}


def _first_word(split: str) -> str:
    return split.partition(".")[0]


def _saved(folder: Path, split: str) -> Iterator[tuple[str, Path, dict[str, list[str]]]]:
    classes = _classes(_json(folder / "dataset_info.json").get("features"))
    for entry in _json(folder / "state.json").get("_data_files", []):
        yield _first_word(split), folder / str(entry["filename"]), classes


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path} cannot be read: {error}; expected what datasets' save_to_disk writes") from None
    if not isinstance(value, dict):
        raise CorpusError(f"{path} holds no JSON object, expected what datasets' save_to_disk writes")
    return value


def _classes(features: Any) -> dict[str, list[str]]:
    if not isinstance(features, dict):
        return {}
    kinds = {name: kind for name, kind in features.items() if isinstance(kind, dict)}
    return {
        name: kind["names"] for name, kind in kinds.items() if kind.get("_type") == "ClassLabel" and "names" in kind
    }


def _classes_of(path: Path) -> dict[str, list[str]]:
    """The names of classes that a Parquet file of the hub carries itself."""
    if path.suffix != ".parquet":
        return {}
    try:
        info = json.loads(pl.read_parquet_metadata(path).get("huggingface", "{}"))
        return _classes(info.get("info", {}).get("features"))
    except (ValueError, AttributeError, pl.exceptions.PolarsError):
        return {}


def _with_classes(frame: pl.DataFrame, classes: dict[str, list[str]]) -> pl.DataFrame:
    known = {name: names for name, names in classes.items() if name in frame.columns and frame[name].dtype.is_integer()}
    return frame.with_columns(
        pl.col(name).replace_strict(dict(enumerate(names)), default=None, return_dtype=pl.String)
        for name, names in known.items()
    )


def _is_audio(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.Struct) and {"bytes", "path"} == {one.name for one in kind.fields}


def _load(path: Path, with_bytes: bool) -> pl.DataFrame:
    """Read one file: the columns beside audio, and ``_path``, ``_inside``, ``_head``, maybe ``_bytes`` of it."""
    try:
        with path.open("rb") as data:
            if data.read(len(_LFS)) == _LFS:
                raise CorpusError(f"{path} is only a pointer to the data: run git lfs pull in its folder")
        lazy = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.read_ipc_stream(path).lazy()
        schema = lazy.collect_schema()
        audio = _audio_column(schema, path)
        struct = _is_audio(schema[audio])
        content = pl.col(audio).struct.field("bytes") if struct else pl.lit(None, pl.Binary)
        place = pl.col(audio).struct.field("path") if struct else pl.col(audio).cast(pl.String)
        picked = [
            place.alias("_path"), content.is_not_null().alias("_inside"), content.bin.slice(0, 4).alias("_head"),
            *([content.alias("_bytes")] if with_bytes else []),
        ]  # fmt: skip
        others = [name for name, kind in schema.items() if name != audio and not _is_audio(kind)]
        return lazy.select(*picked, *others).collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        why = str(error).partition("\n")[0]
        raise CorpusError(f"{path} cannot be read as data of Hugging Face datasets: {why}") from None


def _audio_column(schema: pl.Schema, path: Path) -> str:
    found = [name for name, kind in schema.items() if _is_audio(kind)]
    found += [name for wanted in ("audio", *FILES) for name in schema if name.lower() == wanted]
    if not found:
        raise CorpusError(f"{path} has the columns {', '.join(schema.names()[:8])}, expected one of audio")
    return found[0]


def _base(path: pl.Expr) -> pl.Expr:
    return path.str.replace(r"^.*[/\\]", "").str.replace_all(_NAME, "_")


def _named(frame: pl.DataFrame, split: str, first: int, repeated: pl.Series, folder: Path) -> pl.DataFrame:
    """Name each clip's file: inside, ``split/name`` as it will be written out; outside, its own path."""
    base, path = pl.col("_base").fill_null(""), pl.col("_path")
    number = (pl.int_range(pl.len()) + first).cast(pl.String).str.zfill(7)
    plain = base.str.replace(r"\.[^.]*$", "")
    own = base.str.extract(r"(\.[A-Za-z0-9]{1,5})$")
    magic = [pl.when(pl.col("_head").bin.starts_with(start)).then(pl.lit(suffix)) for start, suffix in _MAGIC.items()]
    suffix = pl.coalesce(pl.when(own.str.to_lowercase().is_in(sorted(SUFFIXES))).then(own), *magic, pl.lit(".wav"))
    many = base.str.to_lowercase().is_in(repeated.implode())
    stem = pl.when(plain.str.strip_chars(".") == "").then(number).when(many).then(number + "-" + plain).otherwise(plain)
    inside = pl.lit(f"{split}/" if split else "") + stem + suffix
    outside = pl.when(path.str.starts_with("/")).then(path).otherwise(f"{folder.as_posix()}/" + path)
    file = pl.when("_inside").then(inside).otherwise(outside)
    return frame.with_columns(_file=file).drop("_base", "_path", "_head")
