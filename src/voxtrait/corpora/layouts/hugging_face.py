"""Layout of datasets of Hugging Face's ``datasets`` on disk: saved ones, and clones of repositories on the hub.

Source: https://huggingface.co/docs/datasets. Licence: in the dataset card.

Tree::

    my-data/                                       its name becomes ``corpus``
        dataset_dict.json                          ``save_to_disk``: a folder per split; or the next three here
        train/state.json                           names of the data files, in order
        train/dataset_info.json                    ``features``: types, and the names of classes
        train/data-00000-of-00002.arrow            an Arrow stream
    my-repository/                                 from ``git clone`` or ``snapshot_download``
        data/train-00000-of-00002.parquet          or not in data/, or in a folder per configuration

Columns: the audio is in the column of type ``Audio``, a record of ``bytes`` and ``path``, or a path. The other columns
are as in :mod:`voxtrait.corpora.layouts.audio_folder`. Classes (``ClassLabel``) are replaced by their names.

Usually the audio is inside these files. Such clips get the path to which :func:`extract` writes them, so a manifest may
be made before or after the extraction. The import itself reads no audio, and reads one file at a time.

Known problems:

- After cloning without Git LFS, the data files are text files of three lines.
- ``path`` in the audio is a file name of the author. It names the clip if it is unique in its split, otherwise together
  with the number of the clip.
- Classes are numbers, with -1 for unknown. A column ``gender`` may be a class and contain ``other``.
- A split may be named ``train.clean.100``; its first word is used.
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
from voxtrait.errors import CorpusError, counted
from voxtrait.manifest import parquet
from voxtrait.manifest.faults import TABLE_ERRORS, reason

LAYOUT: Final = "Hugging Face"
EXPECTED: Final = (
    "Hugging Face datasets: dataset_dict.json or state.json (save_to_disk), or data/train-00000-of-….parquet"
)
EXPECTED_FILE: Final = "a Parquet file of Hugging Face datasets that contains audio"

_SHARD: Final = re.compile(r"(?P<split>\w[\w.]*?)-\d{5}-of-\d{5}(?:-[0-9a-f]+)?\.parquet")
_LFS: Final = b"version https://git-lfs"
_MAGIC: Final = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff": ".mp3"}
_NAME: Final = r"[^\w+=.-]"
_AUDIO: Final = {"bytes": pl.Binary(), "path": pl.String()}
_NAMED: Final = re.compile(r"\w[\w+=.-]*")


def find(listing: Listing) -> Source | None:
    """Recognise a folder of ``save_to_disk``, or one with numbered Parquet files, directly or in ``data/``."""
    saved = "dataset_dict.json" in listing.files or {"state.json", "dataset_info.json"} <= listing.files
    return Source(LAYOUT, listing.folder, listing.folder.name) if saved or _shards(listing) else None


def find_file(path: Path) -> Source | None:
    """Recognise a Parquet file that contains audio."""
    if path.suffix.lower() != ".parquet":
        return None
    try:
        schema = pl.read_parquet_schema(parquet.checked(path))
    except TABLE_ERRORS:
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
    """Read the rows, without the audio.

    Args:
        source: a result of :func:`find` or :func:`find_file`.
        tables: ignored.

    Raises:
        CorpusError: if a file is missing, damaged or a pointer of Git LFS, or has no column of audio.
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
    notes = (
        [f"has {counted(int(inside), 'clip')} inside its data files. To write them to files, pass --extract FOLDER"]
        if inside
        else []
    )
    return Rows(complete(with_stem(rows)), list(dict.fromkeys(together["_of"])), nameless, notes)


def extract(source: Source, folder: Path, label: str | None = None) -> int:
    """Write the audio inside a dataset to files, under the names of the clips in :func:`read`.

    An interrupted run is resumed: files are written atomically, and existing files of the right size are kept.

    Args:
        source: a result of :func:`find`.
        folder: output folder; created if it does not exist. To read rows with paths in it, pass
            ``dataclasses.replace(source, home=folder)`` to :func:`read`.
        label: shown before the progress line; ``None`` shows no progress.

    Returns:
        The number of files written.

    Raises:
        CorpusError: for the same reasons as in :func:`read`.
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
    """Read all files without the audio: split, file, and rows with ``_file`` and ``_inside`` (audio is stored)."""
    files = list(_files(source))
    if not files:
        raise CorpusError(
            f"{source.shown} has no data files. Expected .arrow or .parquet files next to its JSON files."
        )
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
    """Yield the files of a dataset in order, with their splits and the names of their classes, if known."""
    if source.file:
        shard = _SHARD.fullmatch(source.file.name)
        yield (_first_word(shard["split"]) if shard else ""), source.file, {}
        return
    if (source.folder / "dataset_dict.json").is_file():
        for split in _list(source.folder / "dataset_dict.json", "splits"):
            yield from _saved(source.folder / _plain(split), str(split))
    elif (source.folder / "state.json").is_file():
        state = _json(source.folder / "state.json")
        split = state.get("_split")
        yield from _saved(source.folder, _plain(split) if split else "")
    else:
        for path in _shards(Listing.of(source.folder)):
            match = _SHARD.fullmatch(path.name)
            yield _first_word(match["split"] if match else ""), path, {}


def _first_word(split: str) -> str:
    return split.partition(".")[0]


def _saved(folder: Path, split: str) -> Iterator[tuple[str, Path, dict[str, list[str]]]]:
    classes = _classes(_json(folder / "dataset_info.json").get("features"))
    for entry in _list(folder / "state.json", "_data_files"):
        yield _first_word(split), folder / _plain(entry.get("filename") if isinstance(entry, dict) else None), classes


def _list(path: Path, key: str) -> list[Any]:
    found = _json(path).get(key, [])
    if not isinstance(found, list):
        raise CorpusError(f"{path} has a {key} that is not a list. Expected a file of save_to_disk.")
    return found


def _plain(name: Any) -> str:
    """Return the name of a split or file that a dataset states, if it is a plain name: it becomes part of a path."""
    if not isinstance(name, str) or not _NAMED.fullmatch(name):
        raise CorpusError(
            f"A dataset names the split or file {ascii(name)[:100]}. Expected a name of letters, digits, points and "
            "hyphens."
        )
    return name


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CorpusError(
            f"{path} cannot be read ({error}). Expected a file written by save_to_disk of datasets."
        ) from None
    if not isinstance(value, dict):
        raise CorpusError(f"{path} is not a JSON object. Expected a file written by save_to_disk of datasets.")
    return value


def _classes(features: Any) -> dict[str, list[str]]:
    if not isinstance(features, dict):
        return {}
    kinds = {name: kind for name, kind in features.items() if isinstance(kind, dict)}
    return {
        name: list(map(str, kind["names"]))
        for name, kind in kinds.items()
        if kind.get("_type") == "ClassLabel" and isinstance(kind.get("names"), list)
    }


def _classes_of(path: Path) -> dict[str, list[str]]:
    """Return the names of classes in the metadata of a Parquet file of the hub."""
    if path.suffix != ".parquet":
        return {}
    try:
        info = json.loads(pl.read_parquet_metadata(path).get("huggingface", "{}"))
        return _classes(info.get("info", {}).get("features"))
    except (ValueError, AttributeError, RecursionError, *TABLE_ERRORS):
        return {}


def _with_classes(frame: pl.DataFrame, classes: dict[str, list[str]]) -> pl.DataFrame:
    known = {name: names for name, names in classes.items() if name in frame.columns and frame[name].dtype.is_integer()}
    return frame.with_columns(
        pl.col(name).replace_strict(dict(enumerate(names)), default=None, return_dtype=pl.String)
        for name, names in known.items()
    )


def _is_audio(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.Struct) and {one.name: one.dtype for one in kind.fields} == _AUDIO


def _load(path: Path, with_bytes: bool) -> pl.DataFrame:
    """Read one file: ``_path``, ``_inside``, ``_head`` and optionally ``_bytes`` of the audio, and other columns."""
    try:
        with path.open("rb") as data:
            if data.read(len(_LFS)) == _LFS:
                raise CorpusError(f"{path} is a Git LFS pointer without data. Run git lfs pull in its folder.")
        is_parquet = path.suffix == ".parquet"
        lazy = pl.scan_parquet(parquet.checked(path)) if is_parquet else pl.read_ipc_stream(path).lazy()
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
    except TABLE_ERRORS as error:
        raise CorpusError(f"{path} cannot be read as data of Hugging Face datasets: {reason(error)}") from None


def _audio_column(schema: pl.Schema, path: Path) -> str:
    found = [name for name, kind in schema.items() if _is_audio(kind)]
    found += [name for wanted in ("audio", *FILES) for name in schema if name.lower() == wanted]
    if not found:
        raise CorpusError(f"{path} has the columns {', '.join(schema.names()[:8])}. Expected a column of audio.")
    return found[0]


def _base(path: pl.Expr) -> pl.Expr:
    return path.str.replace(r"^.*[/\\]", "").str.replace_all(_NAME, "_")


def _named(frame: pl.DataFrame, split: str, first: int, repeated: pl.Series, folder: Path) -> pl.DataFrame:
    """Return the path of each clip: ``split/name`` for extracted audio, otherwise the path of the file."""
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
