"""Layout of CREMA-D: 7,442 clips of 91 actors who speak twelve sentences in six emotions, with ages in years.

Source: https://github.com/CheyneyComputerScience/CREMA-D; Cao et al., CREMA-D: Crowd-sourced emotional multimodal
actors dataset, IEEE Trans. Affective Computing 5, 2014. Licence: Open Database License 1.0 (contents: DbCL 1.0).

Tree::

    CREMA-D/
        VideoDemographics.csv               ActorID, Age, Sex, Race, Ethnicity
        SentenceFilenames.csv               all clips; missing clips get a row too
        AudioWAV/1001_DFA_ANG_XX.wav        actor, sentence, emotion, level
        AudioMP3/1001_DFA_ANG_XX.mp3        the same clips, used if missing in AudioWAV

``emotion`` and ``emotion_level`` are those that the actor was asked for, as words. Race and ethnicity are kept as extra
columns. There is no official split.

Known problems:

- ``1076_MTI_SAD_XX`` is silent or empty.
- Mirrors such as Kaggle's have only AudioWAV. Genders and ages are then null until VideoDemographics.csv is added.
- After cloning without Git LFS, the audio files are small text files; ``corpus check`` reports them as undecodable.
- All actors speak the same sentences, so all splits share them. Shouted anger has a high pitch for any gender.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait.corpora import delimited, trees
from voxtrait.corpora.source import Listing, Rows, Source, complete, file_name, rename, without_suffix
from voxtrait.errors import CorpusError, counted

LAYOUT: Final = "CREMA-D"
EXPECTED: Final = "CREMA-D: VideoDemographics.csv, and AudioWAV/ or AudioMP3/"
TABLE: Final = "VideoDemographics.csv"
CLIPS: Final = "SentenceFilenames.csv"
FOLDERS: Final = ("AudioWAV", "AudioMP3")
TWIN: Final = "same clip in AudioMP3"
SENTENCES: Final = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
EMOTIONS: Final = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
LEVELS: Final = {"LO": "low", "MD": "medium", "HI": "high"}  # XX: unspecified

_STEM: Final = r"^(?<actor>\d{4})_(?<_sentence>[A-Z]{3})_(?<_emotion>[A-Z]{3})_(?<_level>[A-Z]{2})$"
_CLIP: Final = re.compile(r"\d{4}_[A-Z]{3}_[A-Z]{3}_[A-Z]{2}\.(wav|mp3)")
_COLUMNS: Final = {
    **{name: (name,) for name in ("file", "stem", "speaker_id", "locale", "sentence")},
    "gender": ("sex",),
    "age": ("age",),
}


def find(listing: Listing) -> Source | None:
    """Recognise the root folder, or a folder of audio, by the names of the clips.

    Examples:
        >>> find(Listing(Path("CREMA-D"), frozenset({TABLE}), frozenset({"AudioWAV"}))).corpus
        'crema-d'
    """
    folder = listing.folder
    if TABLE not in listing.files and not any(_has_clips(folder / name) for name in FOLDERS if name in listing.folders):
        if folder.name not in FOLDERS or not _has_clips(folder):
            return None
        folder = folder.parent if (folder.parent / TABLE).is_file() else folder
    return Source(LAYOUT, folder, "crema-d", None, "en")


def _has_clips(folder: Path) -> bool:
    return any(_CLIP.fullmatch(name) for name in Listing.of(folder).files)


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """List the clips, with the labels of their actors.

    Args:
        source: a result of :func:`find`.
        tables: ignored.

    Raises:
        CorpusError: if a table lacks columns, or is not a table.
    """
    rows, closed = _clips(source.folder)
    twins = rows.height - rows["stem"].n_unique()
    rows = rows.unique("stem", keep="first", maintain_order=True)
    rows = rows.with_columns(pl.col("stem").str.extract_groups(_STEM).alias("_parts")).unnest("_parts")
    rows = rows.with_columns(
        speaker_id="crema-d-" + pl.col("actor"),
        sentence=_word("_sentence", SENTENCES),
        emotion=_word("_emotion", EMOTIONS),
        emotion_level=_word("_level", LEVELS),
        locale=pl.lit(source.locale),
    ).drop("_sentence", "_emotion", "_level")
    notes, read_tables = [], ["folders"]
    if (source.folder / TABLE).is_file():
        actors, damaged = _read_actors(source.folder / TABLE)
        notes += [f"has {counted(damaged, 'unreadable line')} in {TABLE}"] if damaged else []
        notes += trees.unknown_speakers(rows, actors, "actor", TABLE)
        rows = rows.join(actors, on="actor", how="left", maintain_order="left")
        read_tables = [TABLE]
    else:
        notes.append(f"has no {TABLE}, so no genders and ages. Copy it from the authors' repository to this folder")
    dropped = {TWIN: twins}
    return Rows(complete(rename(rows.drop("actor"), _COLUMNS)), read_tables, dropped, notes, failures=closed)


def _word(column: str, words: dict[str, str]) -> pl.Expr:
    return pl.col(column).replace_strict(words, default=None, return_dtype=pl.String)


def _clips(folder: Path) -> tuple[pl.DataFrame, list[str]]:
    """Return ``file`` and ``stem`` of the clips in WAV, in MP3 and in the list, in this order; and the failures."""
    files: list[str] = []
    closed: list[str] = []
    there = [name for name in FOLDERS if (folder / name).is_dir()]
    for name in there or [""]:
        found, bad = trees.files_below(folder / name)
        files += [f"{name}/{path}" if name else path for path in found]
        closed += bad
    rows = pl.DataFrame({"file": files}, {"file": pl.String})
    rows = rows.with_columns(stem=without_suffix("file")).with_columns(file_name("stem"))
    if not (folder / CLIPS).is_file():
        return rows, closed
    table, _ = delimited.read(folder / CLIPS)
    if "Filename" not in table.columns:
        raise CorpusError(
            f"{folder / CLIPS} has the columns {delimited.shown(table.columns)}. Expected 'Stimulus_Number', "
            "'Filename'. Download it again."
        )
    listed = table.select(stem=pl.col("Filename").str.strip_chars()).drop_nulls().unique(maintain_order=True)
    absent = listed.filter(pl.col("stem") != "").join(rows, on="stem", how="anti", maintain_order="left")
    at, ending = ("AudioMP3", "mp3") if there == ["AudioMP3"] else ("AudioWAV", "wav")
    absent = absent.select(file=pl.lit(f"{at}/") + pl.col("stem") + f".{ending}", stem="stem")
    return pl.concat([rows, absent]), closed


def _read_actors(path: Path) -> tuple[pl.DataFrame, int]:
    table, damaged = delimited.read(path)
    if not {"ActorID", "Age", "Sex"} <= set(table.columns):
        raise CorpusError(
            f"{path} has the columns {delimited.shown(table.columns)}. Expected 'ActorID', 'Age', 'Sex', 'Race', "
            "'Ethnicity'. Download it again."
        )
    actors = table.rename({"ActorID": "actor"}).with_columns(pl.col("actor").str.strip_chars())
    return actors.drop_nulls("actor").unique("actor", keep="first", maintain_order=True), damaged
