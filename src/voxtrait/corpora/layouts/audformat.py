"""Databases in audformat, audEERING's format: a header in YAML and tables of labels.

Source: https://audeering.github.io/audformat/. Licence: the header's, field ``license``.

Tree::

    my-db/
        db.yaml                   schemes, splits, and which columns each table has
        db.files.parquet          or .csv: filewise (``file``) or segmented (``file``, ``start``, ``end``) tables
        db.speaker.csv            a misc table: what is known of each speaker
        audio/001.wav             files are named relative to the folder

Columns are recognised by their names, or by those of their schemes: ``speaker``, ``gender``, ``age``, ``language``,
``transcription``, ``duration`` …. Where a scheme's labels hold more (a speaker's gender and age), that counts as the
label of each of the speaker's files. A table's split fills ``split``. Needs the extra ``[audformat]``.

Known dirt:

- A clip is a file: of a file with several segments, or in several tables, those labels stay in which all agree.
- ``age`` is years as a number in one database, and a decade or a class such as ``young`` in another.
- Genders may be ``child`` or ``other`` beside ``female`` and ``male``: kept as written.
- Languages are in the header for the whole database, as three letters.
- Databases of audb have pickled copies of their tables. Reading a pickle, or a header with Python's own tags, runs
  code: neither is ever opened.
"""

import contextlib
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from voxtrait.corpora import placing, spellings
from voxtrait.corpora.layouts import kaldi
from voxtrait.corpora.source import Listing, Rows, Source, complete, drop_nameless, rename
from voxtrait.corpora.table import MANIFEST_COLUMNS, as_text, with_stem
from voxtrait.errors import CorpusError, MissingExtraError
from voxtrait.labels import AGE_GROUPS, GENDERS
from voxtrait.manifest.table import SPLIT_UNIT

LAYOUT: Final = "audformat"
EXPECTED: Final = "audformat: db.yaml beside db.….csv or db.….parquet"
FOLDERS: Final = {"validation": "dev"}

_MARK: Final = "voxtrait"  # in the header of a column: its name in the manifest
_COLUMNS: Final = {
    "file": ("file",),
    "clip_id": ("clip_id",),
    "corpus": ("corpus",),
    "release": ("release",),
    "speaker_id": ("speaker_id", "speaker", "speaker id"),
    "gender": ("gender", "sex"),
    "age": ("age_years", "age", "age_group"),
    "split": ("_split",),
    "locale": ("locale", "language"),
    "accent": ("accent", "accents"),
    "duration_s": ("duration_s", "duration"),
    "sentence": ("sentence", "transcription", "text"),
}
HEADER: Final = "db.yaml"
_TABLES: Final = (".csv", ".parquet")
_WRITTEN_AS: Final = {"speaker_id": "speaker", "age_years": "age", "locale": "language", "sentence": "transcription"}
_DTYPES: Final = {pl.Boolean: "bool", pl.Float64: "float", pl.Float32: "float", pl.Int64: "int", pl.Int32: "int"}


def find(listing: Listing) -> Source | None:
    """Recognise a folder with a header and at least one table."""
    is_table = any(name.startswith("db.") and name.endswith(_TABLES) for name in listing.files)
    if HEADER not in listing.files or not is_table:
        return None
    return Source(LAYOUT, listing.folder, listing.folder.name)


def _library() -> Any:
    try:
        import audformat
    except ImportError:
        raise MissingExtraError("audformat", "audformat") from None
    return audformat


def require() -> None:
    """Make sure that the library is there, before any work is done.

    Raises:
        MissingExtraError: if it is not.
    """
    _library()


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the tables of a database.

    Args:
        source: as :func:`find` gives it.
        tables: has no meaning here.

    Raises:
        MissingExtraError: if audformat is not installed.
        CorpusError: if the library cannot read the database.
    """
    library = _library()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the library does that pandas no longer likes
            with _opened(library, source.folder) as database:
                names = list(database.tables)
                parts = [_table(database, name) for name in names]
                languages = list(database.languages)
    except Exception as error:  # the library raises whatever YAML, pandas and Arrow do
        why = str(error).partition("\n")[0]
        raise CorpusError(f"{source.folder} cannot be read as an audformat database: {why}") from None
    if not parts:
        raise CorpusError(f"{source.folder}/db.yaml names no table of files, expected at least one")
    together = pl.concat(parts, how="diagonal")
    rows, shared = kaldi.one_a_recording(_merged(together), "file")
    rows, nameless = drop_nameless(rename(rows.drop("utterances", strict=False), _names_of(rows.columns)))
    one_language = languages[0] if len(languages) == 1 and not rows["locale"].count() else None
    rows = rows.with_columns(
        pl.col("duration_s").cast(pl.Float64, strict=False),
        spellings.split("split"),
        locale=pl.coalesce("locale", pl.lit(one_language, pl.String)),
    )
    notes = [f"has {shared} files whose labels differ between segments or tables: those are null"] if shared else []
    repeated = {"further segment or table of a file": together.height - rows.height - sum(nameless.values())}
    return Rows(complete(with_stem(rows)), names, {**nameless, **repeated}, notes)


@contextlib.contextmanager
def _opened(library: Any, folder: Path) -> Iterator[Any]:
    """Open a database without anything in it that could run code; its tables are read until the end of the block."""
    import yaml

    with (folder / HEADER).open(encoding="utf-8") as file:
        yaml.safe_load(file)  # fails on Python's own tags, which the library would follow
    with tempfile.TemporaryDirectory(prefix="voxtrait-") as plain:
        for path in [folder / HEADER, *(path for path in folder.glob("db.*") if path.name.endswith(_TABLES))]:
            Path(plain, path.name).symlink_to(path.resolve())
        yield library.Database.load(plain)


def _names_of(columns: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """The names that columns are looked up by: a manifest's own where it has been one, else the usual ones."""
    own = {**MANIFEST_COLUMNS, "file": ("file",), "split": ("_split",)}
    if SPLIT_UNIT in columns:
        own[SPLIT_UNIT] = (SPLIT_UNIT,)
    return own if "clip_id" in columns else _COLUMNS


def _table(database: Any, name: str) -> pl.DataFrame:
    """One table as text, under the names that a manifest or a scheme has for its columns."""
    table = database[name]
    frame = table.get()
    out: dict[str, list[str | None]] = {"file": [str(file) for file in frame.index.get_level_values("file")]}
    for at, column in table.columns.items():
        own = dict(column.meta).get(_MARK) if column.meta else None
        scheme = column.scheme_id if (column.scheme_id or "").lower() in _KNOWN else at
        known = own or (at if at.lower() in _KNOWN or scheme in out else scheme)
        out[known] = _texts(frame[at])
        for field in _fields(database, column):
            if field not in out and field not in table.columns:
                out[field] = _texts(table[at].get(map=field))
    split = database.splits[table.split_id].type if table.split_id in database.splits else table.split_id
    return pl.DataFrame({**out, "_split": [split] * len(frame)}, schema=dict.fromkeys([*out, "_split"], pl.String))


_KNOWN: Final = frozenset(name for names in _COLUMNS.values() for name in names)


def _texts(values: Any) -> list[str | None]:
    """Make a pandas column text, its missing values null, lengths of time seconds and whole numbers whole."""
    if values.dtype.kind == "m":
        values = values.dt.total_seconds()
    missing = values.isna()
    return [None if gone else str(value) for value, gone in zip(values.tolist(), missing, strict=True)]


def _fields(database: Any, column: Any) -> list[str]:
    """What a column's labels hold beside themselves: the columns of a misc table, or the keys of records."""
    scheme = database.schemes.get(column.scheme_id)
    labels = None if scheme is None else scheme.labels
    if isinstance(labels, str) and labels in database.misc_tables:
        return list(database.misc_tables[labels].columns)
    if isinstance(labels, dict):
        return list(dict.fromkeys(key for one in labels.values() if isinstance(one, Mapping) for key in one))
    return []


def _merged(rows: pl.DataFrame) -> pl.DataFrame:
    """Fill a file's nulls in one table with its values in another, so that only contradictions differ."""
    names = [name for name in rows.columns if name != "file"]
    filled = [pl.col(name).fill_null(pl.col(name).drop_nulls().first().over("file")) for name in names]
    return rows.with_columns(filled).unique(maintain_order=True)


def write(rows: pl.DataFrame, out: Path, name: str) -> list[str]:
    """Write a database: ``db.yaml``, and a filewise table a split, as Parquet.

    Args:
        rows: of a manifest, with ``place``, the clip's file below ``out``, or null where ``path`` stays its file.
        out: the folder.
        name: of the database.

    Returns:
        The tables, and the header last.

    Raises:
        MissingExtraError: if audformat is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in read
        return _write(_library(), rows, out, name)


def _write(library: Any, rows: pl.DataFrame, out: Path, name: str) -> list[str]:
    database = library.Database(name, source="voxtrait", usage="unrestricted", description="A manifest of voxtrait.")
    columns = [one for one in rows.columns if one not in ("path", "place", "split") and rows[one].count()]
    names = {one: _WRITTEN_AS.get(one, one) for one in columns}
    rows = _plain(rows)
    for one in columns:  # an extra column may be called as one of the format's own
        if one not in _WRITTEN_AS and names[one] in _WRITTEN_AS.values():
            names[one] = f"source_{one}"
        database.schemes[names[one]] = _scheme(library, rows[one])
    parts = list(placing.by_split(rows, FOLDERS))
    for split, part in parts:
        if split and split != placing.UNSPLIT:
            database.splits[split] = library.Split(type=split)
        files = part.select(pl.coalesce("place", "path"))[:, 0].to_list()
        table = library.Table(
            library.filewise_index(files), split_id=split if split and split != placing.UNSPLIT else None
        )
        database[split or "files"] = table
        for one in columns:
            table[names[one]] = library.Column(scheme_id=names[one], meta={_MARK: one})
            table[names[one]].set(part[one].to_list())
    database.save(str(out), storage_format="parquet")
    return [*(f"db.{split or 'files'}.parquet" for split, _ in parts), "db.yaml"]


def _plain(rows: pl.DataFrame) -> pl.DataFrame:
    other = [name for name, kind in rows.schema.items() if kind not in _DTYPES and kind != pl.String]
    return rows.with_columns(as_text(rows.select(other)))


def _scheme(library: Any, values: pl.Series) -> Any:
    if values.name == "gender":
        return library.Scheme("str", labels=[*GENDERS, *sorted(set(values.drop_nulls().unique()) - set(GENDERS))])
    if values.name == "age_group":
        return library.Scheme("str", labels=list(AGE_GROUPS))
    return library.Scheme(_DTYPES.get(type(values.dtype), "str") if values.dtype != pl.String else "str")
