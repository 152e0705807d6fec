"""Layout of databases in audformat, audEERING's format: a header in YAML and tables of labels.

Source: https://audeering.github.io/audformat/. Licence: in the header, field ``license``.

Tree::

    my-db/
        db.yaml                   schemes, splits, and the columns of each table
        db.files.parquet          or .csv: filewise (``file``) or segmented (``file``, ``start``, ``end``) tables
        db.speaker.csv            a misc table: labels of each speaker
        audio/001.wav             file names are relative to the folder

Columns are recognised by their names, or by those of their schemes: ``speaker``, ``gender``, ``age``, ``language``,
``transcription``, ``duration`` …. If the labels of a scheme have fields (a speaker's gender and age), these become
labels of all files of the speaker. The split of a table fills ``split``. Requires the extra ``[audformat]``.

Known problems:

- A clip is a file. For a file with several segments or in several tables, only labels on which all agree are kept.
- ``age`` is a number of years in one database, and a decade or a class such as ``young`` in another.
- Genders may also be ``child`` or ``other``; these are kept as written.
- The header has the languages of the whole database, as three-letter codes.
- Databases of audb have pickled copies of their tables. Reading a pickle, or a header with Python tags, would run
  code, so these are never read.
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
from voxtrait.errors import CorpusError, MissingExtraError, counted
from voxtrait.labels import AGE_GROUPS, GENDERS
from voxtrait.manifest.table import SPLIT_UNIT

LAYOUT: Final = "audformat"
EXPECTED: Final = "audformat: db.yaml, and db.….csv or db.….parquet"
FOLDERS: Final = {"validation": "dev"}

_MARK: Final = "voxtrait"  # key in the metadata of a column: its name in the manifest
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
    """Check that audformat is installed, before any work is done.

    Raises:
        MissingExtraError: if it is not installed.
    """
    _library()


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the tables of a database.

    Args:
        source: a result of :func:`find`.
        tables: ignored.

    Raises:
        MissingExtraError: if audformat is not installed.
        CorpusError: if the library cannot read the database.
    """
    library = _library()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library uses deprecated functions of pandas
            with _opened(library, source.folder) as database:
                names = list(database.tables)
                parts = [_table(database, name) for name in names]
                languages = list(database.languages)
    except Exception as error:  # the library passes on all errors of YAML, pandas and Arrow
        why = str(error).partition("\n")[0]
        raise CorpusError(f"{source.folder} cannot be read as an audformat database: {why}") from None
    if not parts:
        raise CorpusError(f"{source.folder}/db.yaml names no tables of files. Expected at least one.")
    together = pl.concat(parts, how="diagonal")
    rows, shared = kaldi.one_a_recording(_merged(together), "file")
    rows, nameless = drop_nameless(rename(rows.drop("utterances", strict=False), _names_of(rows.columns)))
    one_language = languages[0] if len(languages) == 1 and not rows["locale"].count() else None
    rows = rows.with_columns(
        pl.col("duration_s").cast(pl.Float64, strict=False),
        spellings.split("split"),
        locale=pl.coalesce("locale", pl.lit(one_language, pl.String)),
    )
    contradictory = counted(shared, "file")
    notes = [f"has {contradictory} with labels that differ between segments or tables; these are empty"] * (shared > 0)
    repeated = {"further segment or table of a file": together.height - rows.height - sum(nameless.values())}
    return Rows(complete(with_stem(rows)), names, {**nameless, **repeated}, notes)


@contextlib.contextmanager
def _opened(library: Any, folder: Path) -> Iterator[Any]:
    """Open a database without parts that could run code; its tables are readable until the end of the block."""
    import yaml

    with (folder / HEADER).open(encoding="utf-8") as file:
        yaml.safe_load(file)  # fails on Python tags, which the library would execute
    with tempfile.TemporaryDirectory(prefix="voxtrait-") as plain:
        for path in [folder / HEADER, *(path for path in folder.glob("db.*") if path.name.endswith(_TABLES))]:
            Path(plain, path.name).symlink_to(path.resolve())
        yield library.Database.load(plain)


def _names_of(columns: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Return the recognised column names: those of a manifest if it was exported from one, otherwise common ones."""
    own = {**MANIFEST_COLUMNS, "file": ("file",), "split": ("_split",)}
    if SPLIT_UNIT in columns:
        own[SPLIT_UNIT] = (SPLIT_UNIT,)
    return own if "clip_id" in columns else _COLUMNS


def _table(database: Any, name: str) -> pl.DataFrame:
    """Return one table as text, with the column names of the manifest or of the schemes."""
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
    """Convert a pandas column to text: missing values to null, durations to seconds."""
    if values.dtype.kind == "m":
        values = values.dt.total_seconds()
    missing = values.isna()
    return [None if gone else str(value) for value, gone in zip(values.tolist(), missing, strict=True)]


def _fields(database: Any, column: Any) -> list[str]:
    """Return the fields of a column's labels: the columns of a misc table, or the keys of records."""
    scheme = database.schemes.get(column.scheme_id)
    labels = None if scheme is None else scheme.labels
    if isinstance(labels, str) and labels in database.misc_tables:
        return list(database.misc_tables[labels].columns)
    if isinstance(labels, dict):
        return list(dict.fromkeys(key for one in labels.values() if isinstance(one, Mapping) for key in one))
    return []


def _merged(rows: pl.DataFrame) -> pl.DataFrame:
    """Fill the nulls of a file in one table with its values in another, so that only contradictions remain."""
    names = [name for name in rows.columns if name != "file"]
    filled = [pl.col(name).fill_null(pl.col(name).drop_nulls().first().over("file")) for name in names]
    return rows.with_columns(filled).unique(maintain_order=True)


def write(rows: pl.DataFrame, out: Path, name: str) -> list[str]:
    """Write a database: ``db.yaml``, and a filewise Parquet table per split.

    Args:
        rows: rows of a manifest, with ``place``, the clip's path relative to ``out``, or null to use ``path``.
        out: the folder.
        name: name of the database.

    Returns:
        The names of the tables, and of the header as the last one.

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
    for one in columns:  # an extra column may have the name of a standard one
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
