"""Layout of Mozilla Common Voice, spontaneous speech: people respond to questions in their own words.

Source: https://github.com/common-voice/cv-dataset/tree/main/datasets/spontaneous-speech; the releases are at the
Mozilla Data Collective. Licence: CC0 1.0.

Tree::

    sps-corpus-3.0-2026-03-09-en/                      or sps-corpus-3.0-delta-…; its name becomes ``release``
        ss-corpus-en.tsv                               one row per recording; the name contains the locale
        ss-reported-audios-en.tsv                      recordings reported by listeners, not in the table above
        ss-corpus-en.qa-summary.json
        audios/spontaneous-speech-en-1.mp3             the recordings of both tables

Columns: ``client_id``, ``audio_file``, ``duration_ms``, ``transcription``, ``split`` (``train``, ``dev``, ``test``,
``unassigned``), ``language`` (its name, not its code), ``prompt``, ``votes``, …; since 3.0 also ``age``, ``gender``,
``accents`` and ``variant``, taken from the speaker's profile for scripted speech.

Known problems:

- There are no ages and genders before 3.0.
- ``client_id`` in the table of reported recordings is the reporting person, not the speaker, so it is not read.
- Recordings are up to several minutes long, and most have no transcription yet.
- A recording has the same file name in all releases.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import polars as pl

from voxtrait.corpora import delimited, spellings
from voxtrait.corpora.source import (
    UNREADABLE,
    Listing,
    Rows,
    Source,
    complete,
    drop_nameless,
    rename,
    without_suffix,
)
from voxtrait.errors import CorpusError

LAYOUT: Final = "Common Voice Spontaneous Speech"
EXPECTED: Final = "Common Voice Spontaneous Speech: ss-corpus-en.tsv, and audios/"
NUMBERED: Final = r"^spontaneous-speech-.+-\d+$"  # names, without ending, of the same clip in every release

_TABLE: Final = re.compile(r"ss-corpus-(?P<locale>.+)\.tsv")
_RELEASE: Final = re.compile(r"sps-corpus-\d+(?:\.\d+)?(?:-delta)?(?:-\d{4}-\d{2}-\d{2})?")
_COLUMNS: Final = {
    "file": ("audio_file",),
    "speaker_id": ("client_id",),
    "gender": ("gender",),
    "age": ("age",),
    "split": ("split",),
    "accent": ("accents", "accent"),
    "sentence": ("transcription",),
    "_ms": ("duration_ms", "duration[ms]"),
}


def find(listing: Listing) -> Source | None:
    """Recognise the folder of a locale by its table."""
    locale = next((match["locale"] for name in sorted(listing.files) if (match := _TABLE.fullmatch(name))), None)
    if locale is None:
        return None
    names = (listing.folder.name, listing.folder.parent.name)
    release = next((match[0] for name in names if (match := _RELEASE.match(name))), None)
    return Source(LAYOUT, listing.folder, "common-voice-spontaneous", release, locale)


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the tables of a folder.

    Args:
        source: a result of :func:`find`.
        tables: ignored.

    Raises:
        CorpusError: if a table has no column ``audio_file``, or is not a table.
    """
    parts, dropped, examples, names = [], {UNREADABLE: 0}, [], []
    reasons: Counter[str] = Counter()
    for path in sorted(source.folder.glob("ss-corpus-*.tsv")):
        lines: list[int] = []
        long = ("client_id", "prompt")
        table, unreadable = delimited.read(path, repeated=long, bad_lines=lines, reasons=reasons)
        if "audio_file" not in table.columns:
            raise CorpusError(
                f"{path} has the columns {delimited.shown(table.columns)}. Expected 'client_id', 'audio_file', "
                "'duration_ms', … Unpack the release again."
            )
        match = _TABLE.fullmatch(path.name)
        parts.append(rename(table, _COLUMNS).with_columns(locale=pl.lit(match["locale"] if match else None)))
        names.append(path.name)
        dropped[UNREADABLE] += unreadable
        examples += [f"{path.name}:{line}" for line in lines]
    rows, nameless = drop_nameless(pl.concat(parts, how="diagonal"))
    rows = rows.with_columns(
        stem=without_suffix("file"),
        file="audios/" + pl.col("file"),
        split=spellings.split("split"),
        duration_s=pl.col("_ms").cast(pl.Float64, strict=False) / 1000,
    ).drop("_ms")
    return Rows(complete(rows), names, {**dropped, **nameless}, examples={UNREADABLE: examples}, reasons=reasons)
