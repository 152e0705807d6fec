"""Layout of VCTK: 110 speakers of English with many accents, about 400 sentences each, with ages.

Source: https://datashare.ed.ac.uk/handle/10283/3443 (version 0.92), https://datashare.ed.ac.uk/handle/10283/2651
(0.80); Yamagishi, Veaux and MacDonald, CSTR VCTK corpus, University of Edinburgh, 2019. Licence: CC BY 4.0 (0.80:
ODC-By).

Tree::

    VCTK-Corpus-0.92/
        speaker-info.txt                                ID AGE GENDER ACCENTS REGION COMMENTS, separated by blanks
        wav48_silence_trimmed/p225/p225_001_mic1.flac   and the same utterance from the other microphone: _mic2
        txt/p225/p225_001.txt                           the sentence
    VCTK-Corpus/                                        version 0.80
        wav48/p225/p225_001.wav

``region`` and ``comment`` become columns. There is no official split, and all speakers read some of the same sentences.

Two microphones recorded each utterance at the same time. Only ``mic1`` is imported (``mic2`` if that is missing), so
that no utterance is counted twice. The other files are counted as dropped, and ``other_microphone`` has their paths.
``--tables mic2`` or ``--tables mic1,mic2`` selects other microphones.

Known problems:

- Version 0.80 writes ``225`` for ``p225``, and does not list p280. Regions may have double blanks or be missing.
- p280 and p315 have no mic2; p315 has no texts.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait import storage
from voxtrait.corpora import trees
from voxtrait.corpora.source import Listing, Rows, Source, complete, file_name, rename, without_suffix
from voxtrait.errors import CorpusError, counted

LAYOUT: Final = "VCTK"
EXPECTED: Final = "VCTK: speaker-info.txt, and wav48_silence_trimmed/ (0.92) or wav48/ (0.80)"
SPEAKERS: Final = "speaker-info.txt"
RELEASES: Final = {"wav48_silence_trimmed": "0.92", "wav48": "0.80"}
MICROPHONES: Final = ("mic1", "mic2")
OTHER_MICROPHONE: Final = "same utterance from the other microphone"

_STEM: Final = r"^(?<speaker>[ps]\d+)_(?<utterance>\d+)(?:_(?<microphone>mic\d))?$"
_SPEAKER: Final = re.compile(r"(?P<id>[ps]?\d+)\s+(?P<age>\d+|\?+)\s+(?P<gender>\S+)\s*(?P<accent>\S*)\s*(?P<rest>.*)")
_COMMENT: Final = re.compile(r"\s*(\(.*\))\s*$")
_COLUMNS: Final = {
    **{name: (name,) for name in ("file", "stem", "speaker_id", "gender", "age", "accent", "locale", "sentence")},
}


def find(listing: Listing) -> Source | None:
    """Recognise a folder by its subfolder of audio, whose name gives the version.

    Examples:
        >>> find(Listing(Path("VCTK-Corpus"), frozenset({SPEAKERS}), frozenset({"wav48", "txt"}))).release
        '0.80'
    """
    for name, release in RELEASES.items():
        if name in listing.folders and (SPEAKERS in listing.files or "txt" in listing.folders):
            return Source(LAYOUT, listing.folder, "vctk", release, "en")
    return None


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """List the utterances, with the labels of their speakers.

    Args:
        source: a result of :func:`find`.
        tables: ``mic1``, ``mic2`` or both; ``None``, or other names, takes the first existing microphone of each
            utterance.

    Raises:
        CorpusError: if ``speaker-info.txt`` has another format.
    """
    folder = next(name for name, release in RELEASES.items() if release == source.release)
    found, closed = trees.files_below(source.folder / folder)
    rows = pl.DataFrame({"file": [f"{folder}/{name}" for name in found]}, {"file": pl.String})
    rows = rows.with_columns(stem=without_suffix("file")).with_columns(file_name("stem"))
    rows = rows.with_columns(pl.col("stem").str.extract_groups(_STEM).alias("_parts")).unnest("_parts")
    words = _read_words(source.folder)
    rows = pl.concat([rows, _absent(rows, words, folder)]).with_columns(
        speaker_utterance=pl.concat_str("speaker", "utterance", separator="_")
    )
    rows, others = _microphones(rows, [name for name in MICROPHONES if name in (tables or ())])
    rows = rows.join(words, on="speaker_utterance", how="left", maintain_order="left")
    notes, read_tables = [], ["folders"]
    if (source.folder / SPEAKERS).is_file():
        speakers, damaged = _read_speakers(source.folder / SPEAKERS)
        notes += [f"has {counted(damaged, 'unreadable line')} in {SPEAKERS}"] if damaged else []
        notes += trees.unknown_speakers(rows, speakers, "speaker", SPEAKERS)
        rows = rows.join(speakers, on="speaker", how="left", maintain_order="left")
        read_tables = [SPEAKERS]
    else:
        notes.append(f"has no {SPEAKERS}, so no genders and ages. Copy it from the archive of the corpus")
    rows = rows.with_columns(speaker_id="vctk-" + pl.col("speaker"), locale=pl.lit(source.locale))
    rows = rename(rows.drop("speaker", "utterance", "speaker_utterance"), _COLUMNS)
    return Rows(complete(rows), read_tables, {OTHER_MICROPHONE: others}, notes, failures=closed)


def _absent(rows: pl.DataFrame, words: pl.DataFrame, folder: str) -> pl.DataFrame:
    """Return the utterances with a text but without audio, with the columns of the rows."""
    there = rows.select(speaker_utterance=pl.concat_str("speaker", "utterance", separator="_")).drop_nulls()
    lost = words.join(there, on="speaker_utterance", how="anti", maintain_order="left").select(
        pl.col("speaker_utterance").str.extract(r"^(.*)_\d+$").alias("speaker"),
        pl.col("speaker_utterance").str.extract(r"_(\d+)$").alias("utterance"),
        microphone=pl.lit("mic1" if RELEASES[folder] == "0.92" else None, pl.String),
    )
    ending = ".flac" if RELEASES[folder] == "0.92" else ".wav"
    stem = pl.concat_str("speaker", "utterance", "microphone", separator="_", ignore_nulls=True)
    lost = lost.with_columns(stem=stem)
    lost = lost.with_columns(file=pl.lit(f"{folder}/") + pl.col("speaker") + "/" + pl.col("stem") + ending)
    return lost.select(rows.columns)


def _microphones(rows: pl.DataFrame, chosen: Sequence[str]) -> tuple[pl.DataFrame, int]:
    """Keep the selected microphones, or the first of each utterance, with the file of the other; count dropped rows."""
    one_only = pl.col("microphone").is_null()
    pairs = rows.filter(~one_only).sort("speaker_utterance", "microphone")
    mates = pairs.select("speaker_utterance", other="microphone", other_microphone="file")
    joined = pairs.join(mates, on="speaker_utterance", how="left", maintain_order="left")
    mates = joined.filter(pl.col("microphone") != pl.col("other")).unique("file", keep="first", maintain_order=True)
    pairs = pairs.join(mates.select("file", "other_microphone"), on="file", how="left", maintain_order="left")
    if chosen:
        kept = pairs.filter(pl.col("microphone").is_in(list(chosen)))
    else:
        kept = pairs.unique("speaker_utterance", keep="first", maintain_order=True)
    whole = pl.concat([kept, rows.filter(one_only)], how="diagonal")
    return whole.sort("stem"), rows.height - whole.height


def _read_words(folder: Path) -> pl.DataFrame:
    found, _ = trees.files_below(folder / "txt", (".txt",)) if (folder / "txt").is_dir() else ([], [])
    pairs = []
    for name in found:
        stem = name.rpartition("/")[2][:-4]
        if re.fullmatch(r"[ps]\d+_\d+", stem):
            text = Path(storage.path_of(str(folder / "txt" / name))).read_bytes().decode("utf-8", errors="replace")
            pairs.append((stem, " ".join(text.replace("\0", " ").split())))
    return trees.frame(("speaker_utterance", "sentence"), pairs)


def _read_speakers(path: Path) -> tuple[pl.DataFrame, int]:
    lines = [line.strip() for line in trees.lines_of(path)]
    lines = [line for line in lines if not line.upper().startswith("ID ") and line.upper() != "ID"]
    good = [match for line in lines if (match := _SPEAKER.fullmatch(line))]
    if not good:
        raise CorpusError(
            f"{path} has no line such as 'p225  23  F    English    Southern  England'. Expected one per speaker. "
            "Download it again, or move it to another folder to import without genders and ages."
        )
    return trees.frame(("speaker", "age", "gender", "accent", "region", "comment"), [_speaker(one) for one in good]), (
        len(lines) - len(good)
    )


def _speaker(match: re.Match[str]) -> tuple[str | None, ...]:
    speaker = match["id"] if match["id"][0] in "ps" else f"p{match['id']}"
    age = None if "?" in match["age"] else match["age"]
    accent, rest = match["accent"], match["rest"]
    if accent.startswith("("):  # a comment instead of an accent
        accent, rest = "", f"{accent} {rest}"
    comment = _COMMENT.search(rest)
    region = " ".join((rest[: comment.start()] if comment else rest).split())
    return speaker, age, match["gender"], accent, region, " ".join(comment[1].split()) if comment else None
