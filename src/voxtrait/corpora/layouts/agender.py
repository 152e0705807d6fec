"""Layout of aGender, and of similar lists of recordings with age and gender.

Source: https://www.bas.uni-muenchen.de/forschung/BITS/Revalidation_aGender.html; Burkhardt et al., A database of age
and gender annotated telephone speech, LREC 2010; the lists of the Interspeech 2010 paralinguistic challenge. Licence:
Bavarian Archive for Speech Signals, for research. Lists of samples such as ``mozillacommonvoice.test.csv`` are
published by audEERING at https://zenodo.org/records/7761387.

Tree::

    agender_distribution/
        trainSampleList_train.txt  trainSampleList_devel.txt      no header; blanks between the fields
        wav_traindevel/1001/2/a11001s10.raw                       speaker, session, speaker and sentence

The source may also be a single list: ``.txt``, ``.lst``, ``.list``, ``.csv`` or ``.tsv``, separated by tabs,
semicolons, commas or blanks, with or without a header (``file``, ``speaker``, ``age``, ``gender``, ``class``). Without
a header, the columns are recognised by their values: names of audio files; ``f``, ``m``, ``x``; the classes C, YF, YM,
AF, AM, SF, SM. The age is the column next to the gender. The speaker is the column that the path repeats, or the first
other column. The remaining columns are kept as ``column_3`` ….

``split`` is taken from names such as ``…_devel.txt`` or ``….test.csv``, if the lists have speakers and share none of
them. ``class`` becomes a column. It spans decades (youth is 15 to 24), so it does not fill ``age``.

Known problems:

- aGender's audio is ``.raw``: 8 kHz, 16 bit, without a header, so programs cannot open it without these parameters. The
  manifest therefore names the ``.wav`` of the same name, in the same folder or in ``wav/``, ``clips/`` or ``audio/``,
  and ``corpus check`` reports those that do not exist yet. An ``.mp3`` in place of a listed ``.wav`` is found too.
- Children's gender is ``x`` or ``child``, which is kept as written; ``w`` is German for female.
- The test part of the challenge is masked: no ages, no genders.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait import storage
from voxtrait.audio import SUFFIXES
from voxtrait.corpora import spellings, trees
from voxtrait.corpora.source import (
    UNREADABLE,
    Listing,
    Rows,
    Source,
    complete,
    drop_nameless,
    file_name,
    rename,
    without_suffix,
)
from voxtrait.errors import CorpusError, counted
from voxtrait.labels import UNKNOWN_WORDS

LAYOUT: Final = "aGender list"
EXPECTED: Final = "aGender: trainSampleList_train.txt, trainSampleList_devel.txt"
EXPECTED_FILE: Final = "a list like aGender's (.txt, .lst, .csv, .tsv): file, speaker, age, gender, header or none"
ENDINGS: Final = (".txt", ".lst", ".list", ".csv", ".tsv")
GENDERS: Final = frozenset((*spellings.GENDER_SPELLINGS, "x", "child"))
CLASSES: Final = frozenset(("C", "YF", "YM", "AF", "AM", "SF", "SM"))
OLDEST: Final = 120  # years: maximum in a column of ages
CONVERT: Final = (
    "Convert each to a .wav of the same name, for example with: sox -t raw -r 8000 -e signed -b 16 -c 1 one.raw one.wav"
)
CORPORA: Final = {"mozillacommonvoice": "common-voice", "agender": "agender"}

_SAMPLES: Final = re.compile(r"(?i)trainsamplelist\w*\.txt")
_PUBLISHED: Final = re.compile(r"(?i)(agender|mozillacommonvoice|timit|voxceleb\d?)\.(train|devel|dev|test)\.csv")
_AUDIO: Final = r"(?i)\.(raw|" + "|".join(sorted(suffix[1:] for suffix in SUFFIXES)) + r")$"
_RAW: Final = r"(?i)\.raw$"
_PLACES: Final = ("", "wav", "clips", "audio")  # folders searched for audio that is not at its listed path
MOST_COLUMNS: Final = 100  # of a list; aGender has 8
_COLUMNS: Final = {
    "file": ("file", "path", "filename", "file_name", "audio", "wav"),
    "speaker_id": ("speaker", "speaker_id", "speakerid", "spk", "client_id"),
    "gender": ("gender", "sex"),
    "age": ("age", "age_years", "speaker_age"),
    "sentence": ("sentence", "text", "transcription"),
}


def find(listing: Listing) -> Source | None:
    """Recognise a folder by the lists of the challenge, or by those of audEERING.

    Examples:
        >>> find(Listing(Path("agender"), frozenset({"trainSampleList_train.txt"}), frozenset())).locale
        'de'
    """
    names = _lists(listing.files)
    return _source(listing.folder, names) if names else None


def find_file(path: Path) -> Source | None:
    """Recognise a list by its name, by a first line with an audio file and other fields, or by a header."""
    if path.suffix.lower() not in ENDINGS:
        return None
    if not _lists([path.name]):
        try:
            with path.open("rb") as file:
                first = file.readline(1 << 16).decode("utf-8-sig").strip()
        except (OSError, UnicodeDecodeError):
            return None
        fields = _fields(first, _separator(first))
        is_list = len(fields) > 1 and any(re.search(_AUDIO, field) for field in fields)
        # .csv and .tsv files with a header have another layout
        if not is_list and (path.suffix.lower() in (".csv", ".tsv") or not _is_header(fields)):
            return None
    return _source(path.parent, [path.name], path)


def _is_header(fields: Sequence[str]) -> bool:
    names = {field.lower() for field in fields}
    labels = {name for column in ("speaker_id", "gender", "age") for name in _COLUMNS[column]}
    return bool(names & set(_COLUMNS["file"]) and names & labels)


def _lists(names: Sequence[str] | frozenset[str]) -> list[str]:
    return sorted(name for name in names if _SAMPLES.fullmatch(name) or _PUBLISHED.fullmatch(name))


def _source(folder: Path, names: Sequence[str], file: Path | None = None) -> Source:
    corpus = Path(names[0]).stem
    if _SAMPLES.fullmatch(names[0]):
        corpus = "agender"
    elif match := _PUBLISHED.fullmatch(names[0]):
        corpus = CORPORA.get(match[1].lower(), match[1].lower())
    return Source(LAYOUT, folder, corpus, None, "de" if corpus == "agender" else None, file=file)


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the lists.

    Args:
        source: a result of :func:`find` or :func:`find_file`.
        tables: ignored.

    Raises:
        CorpusError: if a list has no column of audio files, or is not text.
    """
    names = [source.file.name] if source.file else _lists(Listing.of(source.folder).files)
    parts, damaged = [], 0
    for rank, name in enumerate(names):
        table, bad = _read_list(source.folder / name)
        damaged += bad
        table = rename(table, _COLUMNS)
        parts.append(table.with_columns(list=pl.lit(name), table_rank=pl.lit(rank, pl.Int32), split=_split_of(name)))
    rows, nameless = drop_nameless(pl.concat(parts, how="diagonal"))
    rows = rows.with_columns(pl.col("file").str.strip_chars().str.replace_all("\\", "/", literal=True))
    rows = rows.with_columns(pl.col("file").str.replace(r"^(\./)+", ""))
    raw = int(rows["file"].str.contains(_RAW).sum())
    rows = _with_stem(rows).with_columns(file=_resolved(source.folder, rows["file"]))
    notes = [f"lists {counted(raw, '.raw file')}, without a header. {CONVERT}"] if raw else []
    if rows["speaker_id"].null_count() == rows.height and source.corpus == "agender":
        rows = rows.with_columns(speaker_id=pl.col("file").str.extract(r"(?:^|/)(\d+)/\d+/[^/]+$"))
    if rows["speaker_id"].null_count() == rows.height:
        notes.append("has no speaker ids")
    rows, note = _with_split(rows)
    short = pl.col("speaker_id").str.len_chars() < 16  # numbers and codes; a hash is unique worldwide
    prefixed = pl.when(short).then(pl.lit(f"{source.corpus}-") + pl.col("speaker_id")).otherwise(pl.col("speaker_id"))
    from_name = pl.col("stem").str.extract(r"^common_voice_([A-Za-z-]+)_\d+$")
    locale = pl.coalesce(pl.lit(source.locale, pl.String), from_name)
    rows = rows.with_columns(speaker_id=prefixed, locale=locale)
    return Rows(complete(rows), names, {UNREADABLE: damaged, **nameless}, [*notes, *note])


def _separator(line: str) -> str | None:
    return next((mark for mark in "\t;," if mark in line), None)


def _fields(line: str, separator: str | None) -> list[str]:
    return [field.strip().strip('"') for field in line.split(separator)]


def _read_list(path: Path) -> tuple[pl.DataFrame, int]:
    """Read one list as text columns, and count the lines with another number of fields than the first."""
    lines = trees.lines_of(path)
    separator = _separator(lines[0])
    rows = [_fields(line, separator) for line in lines]
    header = None if any(re.search(_AUDIO, field) for field in rows[0]) else [name.lower() for name in rows.pop(0)]
    if header is not None and not set(header) & set(_COLUMNS["file"]):
        raise CorpusError(
            f"{path} begins with {lines[0][:100]!r}. Expected a line with an audio file, or a header with "
            "'file', 'speaker', 'age', 'gender'."
        )
    width = len(header or rows[0])
    if width > MOST_COLUMNS:
        raise CorpusError(f"{path} begins with a line of {width:,} fields. Expected at most {MOST_COLUMNS}.")
    good = [row for row in rows if len(row) == width]
    names = [f"column_{at + 1}" for at in range(width)]
    table = pl.DataFrame(good, schema=dict.fromkeys(names, pl.String), orient="row")
    table = table.with_columns(pl.all().replace("", None))
    if header is None:
        return table.rename(_columns_by_values(table)), len(rows) - len(good)
    own = {
        name: names[header.index(name)] for name in header if name
    }  # of columns with the same name, the first is read
    return table.select(pl.col(column).alias(name) for name, column in own.items()), len(rows) - len(good)


def _columns_by_values(table: pl.DataFrame) -> dict[str, str]:
    """Recognise the columns of a list without a header by their values."""
    names = table.columns
    file = next(name for name in names if re.search(_AUDIO, table[name][0] or ""))
    left = [name for name in names if name != file and table[name].count()]
    gender = next((name for name in left if _are_genders(table[name].str.to_lowercase())), None)
    kind = next((name for name in left if _all_in(table[name], CLASSES)), None)
    left = [name for name in left if name not in (gender, kind)]
    repeats = [name for name in left if _is_in_path(table, file, name)]  # ids of speakers and sessions, not ages
    ages = [name for name in left if _are_ages(table[name]) and name not in repeats]
    at = names.index(gender) if gender else len(names)
    # aGender's lists have the age just before the gender; sessions and class numbers are numbers too
    age = min(ages, key=lambda name: (abs(names.index(name) - at), names.index(name)), default=None)
    left = [name for name in left if name != age]
    speaker = next(iter(sorted(repeats, key=lambda name: -table[name].n_unique()) or left), None)
    meanings = {file: "file", gender: "gender", kind: "class", age: "age", speaker: "speaker"}
    return {name: meaning for name, meaning in meanings.items() if name is not None}


def _all_in(values: pl.Series, known: frozenset[str]) -> bool:
    return bool(values.drop_nulls().is_in(list(known)).all())


def _are_genders(values: pl.Series) -> bool:
    return _all_in(values, GENDERS | UNKNOWN_WORDS) and bool(values.is_in(list(GENDERS)).any())


def _are_ages(values: pl.Series) -> bool:
    years = values.drop_nulls().cast(pl.Float64, strict=False)
    return not years.null_count() and bool(((years >= 0) & (years <= OLDEST)).all())


def _is_in_path(table: pl.DataFrame, file: str, name: str) -> bool:
    folders = pl.concat_str(pl.lit("/"), pl.col(file))
    inside = folders.str.contains(pl.concat_str(pl.lit("/"), pl.col(name), pl.lit("/")), literal=True)
    return bool(table.select(inside.fill_null(False).all()).item())


def _split_of(name: str) -> pl.Expr:
    words = re.split(r"[._]", name.lower().replace("devel", "dev"))
    splits = [spellings.SPLIT_SPELLINGS[word] for word in words if word in spellings.SPLIT_SPELLINGS]
    return pl.lit(splits[0] if splits else None, pl.String)


def _with_split(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Keep the splits of the lists only if all speakers are known and none is shared."""
    named = rows.drop_nulls(("speaker_id", "split"))
    shared = named.group_by("speaker_id").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1).height
    if not rows["split"].count() or (named.height and not shared):
        return rows, []
    why = f"share {counted(shared, 'speaker')}" if shared else "have no speakers"
    note = f"has lists that {why}, so split is empty. The column 'list' has their names"
    return rows.with_columns(split=pl.lit(None, pl.String)), [note]


def _with_stem(rows: pl.DataFrame) -> pl.DataFrame:
    """Name a clip by its file name if that is unique, otherwise by its path."""
    files = rows.select("file").unique().with_columns(stem=without_suffix("file")).with_columns(path="stem")
    files = files.with_columns(file_name("stem"))
    stem = pl.when(pl.col("stem").is_duplicated()).then(pl.col("path")).otherwise(pl.col("stem"))
    return rows.join(files.select("file", stem=stem), on="file", how="left", maintain_order="left")


def _resolved(folder: Path, files: pl.Series) -> pl.Series:
    """Return an existing file for each listed one: itself, or one of the same name in another format or folder."""
    listed = (
        pl.DataFrame({"file": files})
        .with_columns(stem=without_suffix("file"))
        .with_columns(name=file_name("stem"), below=pl.col("file").str.extract(r"^(.*)/[^/]*$").fill_null(""))
    )
    there = {place: _names_in(folder / place) for place in {*listed["below"].unique(), *_PLACES}}
    exact = [f"{place}/{name}" if place else name for place, names in there.items() for name in names]
    found = pl.DataFrame({"path": exact}, {"path": pl.String}).with_columns(stem=without_suffix("path"))
    audio = found.filter(pl.col("path").str.contains(_AUDIO) & ~pl.col("path").str.contains(_RAW)).sort("path")
    by_path = audio.unique("stem", keep="first", maintain_order=True)
    known = audio.filter(pl.col("path").str.extract(r"^(.*)/[^/]*$").fill_null("").is_in(list(_PLACES)))
    by_name = known.with_columns(name=file_name("stem")).unique("name", keep="first", maintain_order=True)
    listed = listed.join(by_path.rename({"path": "same"}), on="stem", how="left", maintain_order="left")
    listed = listed.join(by_name.select("name", named="path"), on="name", how="left", maintain_order="left")
    is_there = pl.col("file").is_in(exact) & ~pl.col("file").str.contains(_RAW)
    to_be = pl.col("file").str.replace(_RAW, ".wav")
    return listed.select(pl.when(is_there).then("file").otherwise(pl.coalesce("same", "named", to_be)))["file"]


def _names_in(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(storage.path_of(str(folder))) as entries:
            return frozenset(storage.text_of(entry.name) for entry in entries)
    except (OSError, ValueError):
        return frozenset()
