"""Speech Accent Archive, as it is on Kaggle: one English paragraph read by 2140 people from 177 countries.

Source: https://www.kaggle.com/datasets/rtatman/speech-accent-archive, from https://accent.gmu.edu (Weinberger, George
Mason University). Licence: CC BY-NC-SA 4.0, so no commercial use.

Tree::

    speech-accent-archive/
        speakers_all.csv
        recordings/recordings/afrikaans1.mp3        or, unpacked once less, recordings/afrikaans1.mp3
        reading-passage.txt                         what everyone reads: it becomes ``sentence``

Columns: ``age,age_onset,birthplace,filename,native_language,sex,speakerid,country,file_missing?`` and stray empty
ones. ``accent`` is the native language; the others stay under their own names.

Known dirt:

- One ``famale``; ages of 0 where nobody asked, which are taken out.
- ``file_missing?`` is TRUE where the archive has no recording: those rows stay, and ``corpus check`` names them.
- ``filename`` has no ending. Everyone reads the same words, so any split shares its sentence.
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
from voxtrait.errors import CorpusError

LAYOUT: Final = "Speech Accent Archive"
EXPECTED: Final = "Speech Accent Archive on Kaggle: speakers_all.csv beside recordings/"
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
    """Recognise the folder by the name of its table.

    Examples:
        >>> find(Listing(Path("archive"), frozenset({TABLE}), frozenset({"recordings"}))).locale
        'en'
    """
    return Source(LAYOUT, listing.folder, "speech-accent-archive", None, "en") if TABLE in listing.files else None


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the table.

    Args:
        source: as :func:`find` gives it.
        tables: has no meaning here.

    Raises:
        CorpusError: if the table has no columns ``filename`` and ``sex``, or is no table.
    """
    path = source.folder / TABLE
    bad_lines: list[int] = []
    reasons: Counter[str] = Counter()
    table, unreadable = delimited.read(path, bad_lines=bad_lines, reasons=reasons)
    if not {"filename", "sex"} <= set(table.columns):
        raise CorpusError(
            f"{path} has the columns {delimited.shown(table.columns)}, expected 'age', 'filename', 'native_language', "
            "'sex', 'speakerid', …: download it again"
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
    notes = [f"has {zero_ages} ages of 0, taken out"] if zero_ages else []
    notes += [f"has {more.height} recordings that are not in {TABLE}"] if more.height else []
    dropped = {UNREADABLE: unreadable, **nameless}
    examples = {UNREADABLE: [f"{TABLE}:{line}" for line in bad_lines]}
    return Rows(complete(rows), [TABLE], dropped, notes, examples, closed, reasons)


def _passage(folder: Path) -> str | None:
    path = folder / PASSAGE
    return " ".join(" ".join(trees.lines_of(path)).split()) if path.is_file() else None
