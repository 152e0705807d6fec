"""Layout of AudioMNIST: 30,000 spoken English digits of 60 people, with gender, age and accent.

Source: https://github.com/soerenab/AudioMNIST; Becker et al., AudioMNIST: Exploring explainable artificial
intelligence for audio analysis on a simple benchmark, J. Franklin Inst. 361, 2024. Licence: MIT.

Tree::

    AudioMNIST/data/
        audioMNIST_meta.txt             JSON: "01" → accent, age, gender, native speaker, origin, recordingdate, …
        01/0_01_0.wav                   digit, speaker, repetition

The authors evaluate gender on 24 speakers, half of them women, in four folds with 12 speakers for training, 6 for
validation and 6 for testing, all disjoint (their ``audiomnist/train/splits.py``). The columns ``gender_fold_0`` …
``gender_fold_3`` contain ``train``, ``validation`` or ``test``, and null for the other 36 speakers. To get the manifest
of a fold: ``table.with_columns(split="gender_fold_0").drop_nulls("split")``. ``split`` itself is null.

Known problems:

- The age of speaker 45 is 1234. It is read as unknown, and kept in the extra column ``age``.
- The first versions of the table lack speakers 17, 22 and 34; their clips then have no labels.
- Ages are both numbers and texts. Only 12 of the 60 speakers are women.
"""

import json
from collections.abc import Sequence
from typing import Final

import polars as pl

from voxtrait.corpora import trees
from voxtrait.corpora.source import Listing, Rows, Source, complete, file_name, rename, without_suffix
from voxtrait.errors import CorpusError

LAYOUT: Final = "AudioMNIST"
EXPECTED: Final = "AudioMNIST: audioMNIST_meta.txt, and 01/ … 60/"
TABLE: Final = "audioMNIST_meta.txt"
WORDS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GENDER_TEST_GROUPS: Final = (
    (58, 59, 60, 7, 23, 38),
    (36, 47, 56, 2, 44, 50),
    (26, 12, 57, 25, 37, 45),
    (43, 28, 52, 48, 53, 41),
)
"""The test speakers of each fold. The validation speakers are the test speakers of the previous fold."""

_COLUMNS: Final = {
    **{name: (name,) for name in ("file", "stem", "speaker_id", "locale", "sentence")},
    **{name: (name,) for name in ("gender", "age", "accent")},
}


def find(listing: Listing) -> Source | None:
    """Recognise the folder by the name of its table."""
    return Source(LAYOUT, listing.folder, "audiomnist", None, "en") if TABLE in listing.files else None


def gender_split(fold: int) -> dict[int, str]:
    """Return the authors' split of speakers for a fold of the gender task.

    Args:
        fold: 0 to 3.

    Raises:
        CorpusError: if the number of the fold is not 0 to 3.

    Examples:
        >>> split = gender_split(0)
        >>> split[58], split[43], split[36], 1 in split
        ('test', 'validation', 'train', False)
    """
    folds = len(GENDER_TEST_GROUPS)
    if not 0 <= fold < folds:
        raise CorpusError(f"Got the fold {fold} of AudioMNIST's gender task. Expected 0 to {folds - 1}.")
    split = {speaker: "train" for group in GENDER_TEST_GROUPS for speaker in group}
    split |= dict.fromkeys(GENDER_TEST_GROUPS[fold - 1], "validation")
    return split | dict.fromkeys(GENDER_TEST_GROUPS[fold], "test")


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """List the clips, with the labels of their speakers.

    Args:
        source: a result of :func:`find`.
        tables: ignored.

    Raises:
        CorpusError: if the table is not a JSON object of speakers.
    """
    speakers = _read_speakers(source)
    found, closed = trees.files_below(source.folder)
    rows = pl.DataFrame({"file": found}, {"file": pl.String})
    rows = rows.with_columns(stem=without_suffix("file")).with_columns(file_name("stem"))
    parts = pl.col("stem").str.extract_groups(r"^(?<digit>[0-9])_(?<speaker>\d{2})_(?<repetition>\d+)$")
    rows = rows.with_columns(parts.alias("_parts")).unnest("_parts")
    notes = trees.unknown_speakers(rows, speakers, "speaker", TABLE)
    rows = rows.join(speakers, on="speaker", how="left", maintain_order="left")
    number = pl.col("speaker").cast(pl.Int64, strict=False)
    folds = {
        f"gender_fold_{fold}": number.replace_strict(gender_split(fold), default=None, return_dtype=pl.String)
        for fold in range(len(GENDER_TEST_GROUPS))
    }
    word = pl.col("digit").replace_strict({str(at): word for at, word in enumerate(WORDS)}, default=None)
    rows = rows.with_columns(
        **folds, sentence=word, speaker_id="audiomnist-" + pl.col("speaker"), locale=pl.lit(source.locale)
    )
    return Rows(complete(rename(rows.drop("speaker"), _COLUMNS)), [TABLE], notes=notes, failures=closed)


def _read_speakers(source: Source) -> pl.DataFrame:
    path = source.folder / TABLE
    content = "\n".join(trees.lines_of(path))
    try:
        speakers = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path} is not JSON ({error}). Expected an object of speakers. Download it again.") from None
    if not isinstance(speakers, dict) or not all(isinstance(one, dict) for one in speakers.values()):
        raise CorpusError(
            f'{path} has another structure than expected: {{"01": {{"age": …, "gender": …}}, …}}. Download it again.'
        )
    own = sorted({name for one in speakers.values() for name in one} - {"speaker"})
    text = [[_text(key.zfill(2)), *(_text(one.get(name)) for name in own)] for key, one in speakers.items()]
    return trees.frame(("speaker", *(_text(name) or "" for name in own)), text)


def _text(value: object) -> str | None:
    return None if value is None else str(value).encode("utf-8", errors="replace").decode()
