"""Layout of TIMIT: 630 Americans read ten sentences each, with dates of birth.

Source: https://catalog.ldc.upenn.edu/LDC93S1; Garofolo et al., TIMIT acoustic-phonetic continuous speech corpus, LDC
1993. Licence: that of the LDC, for a fee; redistribution is not allowed.

Tree, in upper or lower case, optionally below a folder ``TIMIT/`` or ``data/``::

    TRAIN/DR1/FCJF0/SA1.WAV         split, dialect region, sex and speaker, sentence; NIST SPHERE or RIFF
    TRAIN/DR1/FCJF0/SA1.TXT         first sample, last sample, sentence
    TEST/…
    DOC/SPKRINFO.TXT                ID Sex DR Use RecDate BirthDate Ht Race Edu Comments, comments after ``;``
    DOC/PROMPTS.TXT                 ``sentence (sa1)``

``split`` is that of TRAIN and TEST, which share no speakers; there is no validation split. ``age`` is in completed
years on the day of the recording. ``dialect_region``, ``height``, ``race`` and ``education`` become columns.

Known problems:

- Dates have two-digit years. ``??`` is an unknown month or day, read as the middle of the year, or an unknown date,
  which gives no age.
- The folder of a speaker is named after sex and ID (``FCJF0``); SPKRINFO has only the ID (``CJF0``). Without SPKRINFO,
  the sex is read from the folder name.
- A mirror on Kaggle has each recording twice, as ``SA1.WAV`` and ``SA1.WAV.wav``. The second is used, because all
  programs can open it.
- All speakers read the sentences SA1 and SA2, so TRAIN and TEST share them.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait.corpora import trees
from voxtrait.corpora.source import Listing, Rows, Source, complete, rename
from voxtrait.errors import CorpusError, counted

LAYOUT: Final = "TIMIT"
EXPECTED: Final = "TIMIT: TRAIN/DR1/FCJF0/SA1.WAV …, TEST/ …, and DOC/SPKRINFO.TXT"
SPEAKERS: Final = "SPKRINFO.TXT"
PROMPTS: Final = "PROMPTS.TXT"
TWIN: Final = "same recording in another file"
CENTURY: Final = 1900  # of the two-digit years: the corpus was recorded in 1986 and 1987

_PATH: Final = (
    r"(?i)^(?<split>train|test)/dr(?<dialect_region>[1-8])/(?<folder>[fm][a-z0-9]{4})/(?<prompt>[a-z]{2}\d+)\."
)
_PROMPT: Final = re.compile(r"(.*?)\s*\((\w+)\)\s*")
_SAMPLES: Final = re.compile(r"\d+\s+\d+\s+")
_DATE: Final = re.compile(r"(\d\d?|\?\?)/(\d\d?|\?\?)/(\d\d)")
_COLUMNS: Final = {
    **{name: (name,) for name in ("file", "stem", "speaker_id", "gender", "age", "split", "locale", "sentence")},
}
_FIELDS: Final = ("id", "sex", "age", "height", "race", "education")


def find(listing: Listing) -> Source | None:
    """Recognise a folder with TRAIN or TEST by the dialect regions in them."""
    for name in sorted(listing.folders):
        if name.lower() in ("train", "test"):
            regions = Listing.of(listing.folder / name).folders
            if any(re.fullmatch(r"(?i)dr[1-8]", region) for region in regions):
                return Source(LAYOUT, listing.folder, "timit", None, "en")
    return None


def age_on(recorded: str, born: str) -> int | None:
    """Return an age in completed years from two dates in the format of SPKRINFO.

    Args:
        recorded: date of the recording, ``month/day/year``, two digits each. ``??`` is an unknown month or day, read
            as the middle of the year.
        born: date of birth, in the same format.

    Returns:
        The age; ``None`` if a date is unknown or invalid, or the birth is after the recording.

    Examples:
        >>> age_on("03/03/86", "06/17/60"), age_on("01/27/86", "??/??/55"), age_on("01/27/86", "??")
        (25, 30, None)
    """
    days = [_day(text) for text in (recorded, born)]
    if days[0] is None or days[1] is None or days[1] > days[0]:
        return None
    return days[0].year - days[1].year - ((days[0].month, days[0].day) < (days[1].month, days[1].day))


def _day(text: str) -> date | None:
    if (match := _DATE.fullmatch(text.strip())) is None:
        return None
    month, day, year = match.groups()
    try:
        return date(CENTURY + int(year), 7 if month == "??" else int(month), 1 if day == "??" else int(day))
    except ValueError:
        return None


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """List the recordings, with the labels of their speakers.

    Args:
        source: a result of :func:`find`.
        tables: ignored.

    Raises:
        CorpusError: if SPKRINFO has another format.
    """
    listing = Listing.of(source.folder)
    halves = [name for name in sorted(listing.folders) if name.lower() in ("train", "test")]
    names: list[str] = []
    closed: list[str] = []
    for half in halves:
        found, bad = trees.files_below(source.folder / half, (*trees.AUDIO, ".txt"))
        names += [f"{half}/{path}" for path in found]
        closed += bad
    rows = pl.DataFrame({"file": names}, {"file": pl.String})
    rows = rows.with_columns(pl.col("file").str.extract_groups(_PATH).alias("_parts")).unnest("_parts")
    stray = rows.filter(pl.col("prompt").is_null() & ~pl.col("file").str.to_lowercase().str.ends_with(".txt")).height
    rows = rows.drop_nulls("prompt").with_columns(
        pl.col("folder", "prompt").str.to_uppercase(), pl.col("split").str.to_lowercase()
    )
    rows = rows.with_columns(stem=pl.col("folder") + "/" + pl.col("prompt"), id=pl.col("folder").str.slice(1))
    rows, twins = _one_a_recording(rows)
    notes, read_tables = [], ["folders"]
    if (path := _document(source.folder, SPEAKERS)) is not None:
        speakers, damaged = _read_speakers(path)
        notes += [f"has {counted(damaged, 'unreadable line')} in {SPEAKERS}"] if damaged else []
        notes += trees.unknown_speakers(rows, speakers, "id", SPEAKERS)
        read_tables = [SPEAKERS]
    else:
        speakers = trees.frame(_FIELDS, [])
        notes.append(f"has no {SPEAKERS}, so no ages. Genders come from folder names. Copy the file to DOC/")
    rows = rows.join(speakers, on="id", how="left", maintain_order="left")
    rows = rows.with_columns(
        sentence=_sentences(source.folder, rows),
        gender=pl.coalesce("sex", pl.col("folder").str.slice(0, 1)),
        speaker_id="timit-" + pl.col("folder"),
        locale=pl.lit(source.locale),
    ).drop("sex", "folder", "prompt", "id", "text")
    dropped = {TWIN: twins, "not in TRAIN/DR…/speaker/ or TEST/DR…/speaker/": stray}
    return Rows(complete(rename(rows, _COLUMNS)), read_tables, dropped, notes, failures=closed)


def _one_a_recording(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Keep one file per recording, with the name of its transcript as ``text``; count the other audio files."""
    is_text = pl.col("file").str.to_lowercase().str.ends_with(".txt")
    texts = rows.filter(is_text).unique("stem", keep="first", maintain_order=True)
    audio = rows.filter(~is_text)
    # the longer of SA1.WAV and SA1.WAV.wav is the converted one
    first = audio.sort("stem", pl.col("file").str.len_chars(), "file", descending=[False, True, False])
    first = first.unique("stem", keep="first", maintain_order=True)
    absent = texts.join(first, on="stem", how="anti", maintain_order="left")
    absent = absent.with_columns(pl.col("file").str.replace(r"TXT$", "WAV").str.replace(r"txt$", "wav"))
    whole = pl.concat([first, absent]).join(texts.select("stem", text="file"), on="stem", how="left")
    return whole.sort("stem"), audio.height - first.height


def _document(folder: Path, name: str) -> Path | None:
    """Find a document in the folder, in its parent, or in the DOC folder of either, in any case."""
    for place in (folder, folder.parent):
        doc = [place / one for one in sorted(Listing.of(place).folders) if one.lower() == "doc"]
        for here in (place, *doc):
            for one in sorted(Listing.of(here).files):
                if one.upper() == name:
                    return here / one
    return None


def _read_speakers(path: Path) -> tuple[pl.DataFrame, int]:
    lines = [line.split(maxsplit=9) for line in trees.lines_of(path) if not line.startswith(";")]
    good = [line for line in lines if len(line) >= 6 and line[1].upper() in ("F", "M")]
    if not good:
        raise CorpusError(
            f"{path} has no line such as 'CJF0  F  1  TRN  02/05/86  04/11/59  5'4\"  WHT  BS'. Expected one per "
            "speaker. Copy it again, or move it to another folder to import without ages."
        )
    return trees.frame(_FIELDS, list(map(_speaker, good))), len(lines) - len(good)


def _speaker(fields: list[str]) -> tuple[str | None, ...]:
    years = age_on(fields[4], fields[5])
    rest = [None if set(field) == {"?"} else field for field in [*fields[6:9], "?", "?", "?"]]
    return fields[0].upper(), fields[1].upper(), None if years is None else str(years), *rest[:3]


def _sentences(folder: Path, rows: pl.DataFrame) -> pl.Series:
    """Return the sentence of each row, from PROMPTS or else from its transcript."""
    path = _document(folder, PROMPTS)
    lines = trees.lines_of(path) if path else []
    prompts = {match[2].upper(): match[1] for line in lines if (match := _PROMPT.fullmatch(line))}
    pairs = rows.select("prompt", "text").iter_rows()
    return pl.Series(list(_spoken(folder, prompts, pairs)), dtype=pl.String)


def _spoken(folder: Path, prompts: dict[str, str], rows: Iterator[tuple[str, str | None]]) -> Iterator[str | None]:
    for prompt, text in rows:
        if prompt in prompts or text is None:
            yield prompts.get(prompt)
            continue
        try:
            words = " ".join(" ".join(trees.lines_of(folder / text)).split())
        except CorpusError:  # an empty transcript: keep the recording
            words = ""
        yield _SAMPLES.sub("", words, count=1) or None
