"""Layout of the Speech Accent Archive on Kaggle: an English paragraph read by 2,140 people from 177 countries.

Source: https://www.kaggle.com/datasets/rtatman/speech-accent-archive, from https://accent.gmu.edu (Weinberger, George
Mason University). Licence: CC BY-NC-SA 4.0, non-commercial.

Tree::

    speech-accent-archive/
        speakers_all.csv
        recordings/recordings/afrikaans1.mp3        or recordings/afrikaans1.mp3
        reading-passage.txt                         the text that all speakers read; becomes ``sentence``

Columns: ``age,age_onset,birthplace,filename,native_language,sex,speakerid,country,file_missing?`` and some
empty columns. ``accent`` is the native language; the others keep their names.

Known problems:

- One gender is ``famale``. Unknown ages are 0; these are removed.
- ``file_missing?`` is TRUE if the archive has no recording. These rows are kept, and ``corpus check`` reports them.
- ``filename`` has no ending. All speakers read the same text, so all splits share it.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait.corpora import delimited, trees
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

LAYOUT: Final = "Speech Accent Archive"
EXPECTED: Final = "Speech Accent Archive on Kaggle: speakers_all.csv, and recordings/"
TABLE: Final = "speakers_all.csv"
PASSAGE: Final = "reading-passage.txt"

_COLUMNS: Final = {
    "file": ("filename",),
    "speaker_id": ("speakerid",),
    "gender": ("sex",),
    "age": ("age",),
    "accent": ("native_language",),
}


def find(listing: Listing) -> Source | None:
    """Recognise a folder by the name of its table.

    Examples:
        >>> find(Listing(Path("archive"), frozenset({TABLE}), frozenset({"recordings"}))).locale
        'en'
    """
    return Source(LAYOUT, listing.folder, "speech-accent-archive", None, "en") if TABLE in listing.files else None


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the table.

    Args:
        source: a result of :func:`find`.
        tables: ignored.

    Raises:
        CorpusError: if the table has no columns ``filename`` and ``sex``, or is not a table.
    """
    path = source.folder / TABLE
    bad_lines: list[int] = []
    reasons: Counter[str] = Counter()
    table, unreadable = delimited.read(path, bad_lines=bad_lines, reasons=reasons)
    if not {"filename", "sex"} <= set(table.columns):
        raise CorpusError(
            f"{path} has the columns {delimited.shown(table.columns)}. Expected 'age', 'filename', 'native_language', "
            "'sex', 'speakerid', … Download it again."
        )
    stray = [name for name in table.columns if name.startswith("column_") and table[name].null_count() == table.height]
    rows, nameless = drop_nameless(rename(table.drop(stray), _COLUMNS))
    stem = pl.col("file").str.strip_chars().str.replace(r"(?i)\.mp3$", "")
    years = pl.col("age").str.strip_chars().cast(pl.Float64, strict=False)
    zero_ages = rows.filter(years == 0).height
    folder = "recordings/recordings" if (source.folder / "recordings" / "recordings").is_dir() else "recordings"
    rows = rows.with_columns(
        stem=stem,
        file=pl.lit(f"{folder}/") + stem + ".mp3",
        age=pl.when((years != 0).fill_null(True)).then(pl.col("age")),
        speaker_id="speech-accent-archive-" + pl.col("speaker_id").str.strip_chars(),
    )
    audio, closed = trees.files_below(source.folder / folder)
    there = pl.DataFrame({"file": [f"{folder}/{name}" for name in audio]}, {"file": pl.String})
    more = there.join(rows, on="file", how="anti", maintain_order="left")
    more = more.with_columns(stem=without_suffix("file")).with_columns(file_name("stem"))
    rows = pl.concat([rows, more], how="diagonal")
    rows = rows.with_columns(locale=pl.lit(source.locale), sentence=pl.lit(_passage(source.folder), pl.String))
    notes = [f"has {counted(zero_ages, 'age')} of 0, read as unknown"] if zero_ages else []
    notes += [f"has {counted(more.height, 'recording')} not listed in {TABLE}"] if more.height else []
    dropped = {UNREADABLE: unreadable, **nameless}
    examples = {UNREADABLE: [f"{TABLE}:{line}" for line in bad_lines]}
    return Rows(complete(rows), [TABLE], dropped, notes, examples, closed, reasons)


def _passage(folder: Path) -> str | None:
    path = folder / PASSAGE
    return " ".join(" ".join(trees.lines_of(path)).split()) if path.is_file() else None
