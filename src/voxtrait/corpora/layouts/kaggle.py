"""Layout of the first Common Voice on Kaggle (2017): English, CSV, without speaker ids.

Source: https://www.kaggle.com/datasets/mozillaorg/common-voice. Licence: CC0 1.0.

Tree::

    cv_corpus_v1/
        cv-valid-train.csv  cv-valid-dev.csv  cv-valid-test.csv      two votes for, none or fewer against
        cv-other-train.csv  cv-other-dev.csv  cv-other-test.csv      too few votes
        cv-invalid.csv
        cv-valid-train/sample-000000.mp3                             or, as Kaggle unpacks it,
        cv-valid-train/cv-valid-train/…

Known problems:

- There are no speaker ids, so shared speakers of splits cannot be detected. The splits share sentences.
- ``sample-000000`` is in every table, so the table is part of the clip's name.
- ``duration`` is empty; sentences are in lower case; accents are tokens such as ``us``.
- Two thirds of the clips have no gender and no age.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import polars as pl

from voxtrait.corpora import delimited
from voxtrait.corpora.source import UNREADABLE, Listing, Rows, Source, complete, drop_nameless, file_name, rename
from voxtrait.errors import CorpusError

LAYOUT: Final = "Common Voice on Kaggle"
EXPECTED: Final = "Common Voice on Kaggle: cv-valid-train.csv …, and folders of the same names"
VALIDATED: Final = {"cv-valid-train": "train", "cv-valid-dev": "validation", "cv-valid-test": "test"}
OTHER: Final = ("cv-other-train", "cv-other-dev", "cv-other-test")
CLIP_TABLES: Final = (*VALIDATED, *OTHER, "cv-invalid")

_COLUMNS: Final = {
    "file": ("filename",),
    "gender": ("gender",),
    "age": ("age",),
    "accent": ("accent",),
    "sentence": ("text",),
    "duration_s": ("duration",),
}


def find(listing: Listing) -> Source | None:
    """Recognise a folder by the names of its tables."""
    if not {f"{name}.csv" for name in CLIP_TABLES} & listing.files:
        return None
    return Source(LAYOUT, listing.folder, "common-voice", "cv_corpus_v1", "en")


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the tables.

    Args:
        source: a result of :func:`find`.
        tables: ``validated``, ``other``, ``invalidated``, or single tables such as ``cv-valid-dev`` or ``valid-dev``;
            ``None`` takes ``validated``.

    Raises:
        CorpusError: if a table has no column ``filename``, or is not a table.
    """
    wanted = [name for group in tables or ("validated",) for name in _tables_of(group)]
    there = [name for name in dict.fromkeys(wanted) if (source.folder / f"{name}.csv").is_file()]
    if not there:
        found = ", ".join(sorted(path.name for path in source.folder.glob("cv-*.csv")))
        return Rows(
            complete(pl.DataFrame()),
            notes=[f"has none of these tables. It has {found}. Name some of them with --tables"],
        )
    parts, unreadable, examples = [], 0, []
    reasons: Counter[str] = Counter()
    for rank, name in enumerate(there):
        lines: list[int] = []
        table, bad = delimited.read(source.folder / f"{name}.csv", bad_lines=lines, reasons=reasons)
        examples += [f"{name}.csv:{line}" for line in lines]
        unreadable += bad
        if "filename" not in table.columns:
            found = delimited.shown(table.columns)
            raise CorpusError(f"{source.folder / name}.csv has the columns {found}. Expected 'filename', 'text', …")
        renamed = rename(table, _COLUMNS)
        # the archive of Kaggle unpacks each folder into a folder of the same name
        folder = f"{name}/{name}" if (source.folder / name / name).is_dir() else name
        clip = file_name("file")
        parts.append(
            renamed.with_columns(
                file=pl.when(clip != "").then(pl.lit(f"{folder}/") + clip),
                stem=pl.lit(f"{name}/") + clip.str.replace(r"\.[^./]+$", ""),
                split=pl.lit(VALIDATED.get(name), pl.String),
                locale=pl.lit(source.locale),
                table_rank=pl.lit(rank, pl.Int32),
            )
        )
    rows, nameless = drop_nameless(pl.concat(parts, how="diagonal"))
    dropped = {UNREADABLE: unreadable, **nameless}
    notes = ["has no speaker ids"]
    return Rows(complete(rows), there, dropped, notes, {UNREADABLE: examples}, reasons=reasons)


def _tables_of(group: str) -> tuple[str, ...]:
    match group:
        case "validated" | "valid":
            return tuple(VALIDATED)
        case "train" | "dev" | "test":
            return (f"cv-valid-{group}",)
        case "other":
            return OTHER
        case "invalidated" | "invalid":
            return ("cv-invalid",)
        case _:
            return (group if group.startswith("cv-") else f"cv-{group}",)
