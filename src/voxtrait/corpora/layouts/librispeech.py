"""Layout of LibriSpeech: a thousand hours of LibriVox readers, English, with genders and without ages.

Source: https://www.openslr.org/12; Panayotov et al., LibriSpeech: an ASR corpus based on public domain audio books,
ICASSP 2015. Licence: CC BY 4.0.

Tree::

    LibriSpeech/
        SPEAKERS.TXT  CHAPTERS.TXT  BOOKS.TXT              in every archive of the corpus
        train-clean-100/                                   subset; becomes ``release``
            19/198/19-198-0000.flac                        speaker, chapter, utterance
            19/198/19-198.trans.txt                        ``19-198-0000 SENTENCE IN CAPITALS``
        dev-clean/ …  test-other/ …

Columns: SPEAKERS.TXT is ``ID | SEX | SUBSET | MINUTES | NAME``, CHAPTERS.TXT ``ID | READER | MINUTES | SUBSET | PROJ.
| BOOK ID | CH. TITLE | PROJECT TITLE``, both with comments after ``;``. ``chapter_id`` and ``book_id`` become
columns, because two speakers may have read from one book.

The subsets are disjoint in speakers, so ``train-*`` is train, ``dev-*`` validation and ``test-*`` test.

Known problems:

- Names may contain the separator: speaker 60 is ``|CBW|Simon``.
- The tables list all 2,484 readers, whichever subset was unpacked.
- Genders were entered by LibriVox volunteers. There are no ages.
- LibriTTS has folders of the same names with other clips (``SPEAKERS.txt``, ``speakers.tsv``). It is not supported.
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

LAYOUT: Final = "LibriSpeech"
EXPECTED: Final = "LibriSpeech: SPEAKERS.TXT, and train-clean-100/, dev-clean/ …, or one of these folders"
SPEAKERS: Final = "SPEAKERS.TXT"
CHAPTERS: Final = "CHAPTERS.TXT"
SPLITS: Final = {"train": "train", "dev": "validation", "test": "test"}

_SUBSET: Final = re.compile(r"(train|dev|test)-(clean|other)(-\d+)?")
_TRANSCRIPT: Final = ".trans.txt"


def find(listing: Listing) -> Source | None:
    """Recognise the root folder or one subset; a subset without ``SPEAKERS.TXT`` by its first chapter.

    Examples:
        >>> find(Listing(Path("LibriSpeech"), frozenset({SPEAKERS}), frozenset({"dev-clean"}))).corpus
        'librispeech'
    """
    if "speakers.tsv" in listing.files:  # LibriTTS
        return None
    subsets = sorted(name for name in listing.folders if _SUBSET.fullmatch(name))
    is_root = subsets and (SPEAKERS in listing.files or _has_chapters(listing.folder / subsets[0]))
    is_subset = _SUBSET.fullmatch(listing.folder.name) and _has_chapters(listing.folder)
    return Source(LAYOUT, listing.folder, "librispeech", None, "en") if is_root or is_subset else None


def _has_chapters(subset: Path) -> bool:
    folder = subset
    for _ in ("speaker", "chapter"):
        numbers = sorted(name for name in Listing.of(folder).folders if name.isdecimal())
        if not numbers:
            return False
        folder /= numbers[0]
    return any(name.endswith(_TRANSCRIPT) for name in Listing.of(folder).files)


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the transcripts of all subsets, with the genders of ``SPEAKERS.TXT``.

    Args:
        source: a result of :func:`find`.
        tables: names of subsets such as ``dev-clean``; ``None``, or names of no subset, takes all.

    Raises:
        CorpusError: if ``SPEAKERS.TXT`` has another format.
    """
    listing = Listing.of(source.folder)
    subsets = {name: f"{name}/" for name in sorted(listing.folders) if _SUBSET.fullmatch(name)}
    if not subsets:
        subsets = {source.folder.name: ""}
    subsets = {name: at for name, at in subsets.items() if name in (tables or ())} or subsets
    parts, closed = [], []
    for name, at in subsets.items():
        part, bad = _read_subset(source.folder, at)
        closed += bad
        split = SPLITS[name.partition("-")[0]]
        parts.append(part.with_columns(release=pl.lit(name), split=pl.lit(split)))
    rows = pl.concat(parts).with_columns(
        speaker=pl.col("stem").str.extract(r"^(\d+)-\d+-\d+$"),
        chapter_id=pl.col("stem").str.extract(r"^\d+-(\d+)-\d+$"),
    )
    root = source.folder if SPEAKERS in listing.files else source.folder.parent
    read_tables, notes = ["trans.txt"], []
    speakers = trees.frame(("speaker", "gender"), [])
    if (root / SPEAKERS).is_file():
        speakers, damaged = _read_speakers(root / SPEAKERS)
        notes += [f"has {counted(damaged, 'unreadable line')} in {SPEAKERS}"] if damaged else []
        notes += trees.unknown_speakers(rows, speakers, "speaker", SPEAKERS)
        read_tables.insert(0, SPEAKERS)
    else:
        notes.append(f"has no {SPEAKERS}, so no genders. Copy it from an archive of the corpus")
    rows = rows.join(speakers, on="speaker", how="left", maintain_order="left")
    if (root / CHAPTERS).is_file():
        rows = rows.join(_read_chapters(root / CHAPTERS), on="chapter_id", how="left", maintain_order="left")
        read_tables.append(CHAPTERS)
    rows = rows.with_columns(speaker_id="librispeech-" + pl.col("speaker"), locale=pl.lit(source.locale))
    names = ("file", "stem", "speaker_id", "gender", "split", "release", "locale", "sentence")
    rows = rename(rows.drop("speaker"), {name: (name,) for name in names})
    return Rows(complete(rows), read_tables, notes=notes, failures=closed)


def _read_subset(folder: Path, at: str) -> tuple[pl.DataFrame, list[str]]:
    """Return ``file``, ``stem`` and ``sentence`` of the clips of a subset, from its files and transcripts."""
    found, closed = trees.files_below(folder / at, (*trees.AUDIO, _TRANSCRIPT))
    transcripts = [path for path in found if path.endswith(_TRANSCRIPT)]
    audio = pl.DataFrame({"file": [at + path for path in found if not path.endswith(_TRANSCRIPT)]}, {"file": pl.String})
    audio = audio.with_columns(stem=without_suffix("file")).with_columns(file_name("stem"))
    spoken: list[tuple[str, str, str]] = []
    for path in transcripts:
        below = at + path.rpartition("/")[0]
        text = (
            Path(storage.path_of(str(folder / at / path)))
            .read_bytes()
            .decode("utf-8", errors="replace")
            .replace("\0", "")
        )
        for line in text.split("\n"):
            stem, _, sentence = line.strip().partition(" ")
            if stem:
                spoken.append((stem, sentence.strip(), f"{below}/{stem}.flac"))
    sentences = trees.frame(("stem", "sentence", "file"), spoken)
    absent = sentences.join(audio, on="stem", how="anti", maintain_order="left")
    there = audio.join(sentences.drop("file"), on="stem", how="left", maintain_order="left")
    return pl.concat([there.select("file", "stem", "sentence"), absent.select("file", "stem", "sentence")]), closed


def _read_speakers(path: Path) -> tuple[pl.DataFrame, int]:
    lines = [line for line in trees.lines_of(path) if not line.startswith(";")]
    fields = [[field.strip() for field in line.split("|", 4)] for line in lines]
    good = [row[:2] for row in fields if len(row) >= 3 and row[0].isdecimal()]
    if not good:
        raise CorpusError(
            f"{path} has no line such as '19 | F | train-clean-100 | 25.19 | Kara Shallenberg'. Expected one per "
            "speaker. Unpack it again, or move it to another folder to import without genders."
        )
    return trees.frame(("speaker", "gender"), good), len(lines) - len(good)


def _read_chapters(path: Path) -> pl.DataFrame:
    lines = [line.split("|") for line in trees.lines_of(path) if not line.startswith(";")]
    return trees.frame(("chapter_id", "book_id"), [(line[0], line[5]) for line in lines if len(line) > 5])
