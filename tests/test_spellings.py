"""Words for "not known", and how people and programs spell gender, in tables, class folders and manifests."""

import unicodedata
from pathlib import Path

import polars as pl
import pytest

from factories import tone
from voxtrait import manifest
from voxtrait.audio.writing import write_wav
from voxtrait.corpora import import_corpora, is_foreign, spellings
from voxtrait.errors import CorpusError
from voxtrait.labels import GENDERS, UNKNOWN_WORDS

UNKNOWN = (
    *("nan", "NaN", "None", "null", "NULL", "NA", "N/A", "n/a", "<NA>"),
    *("-", "--", "?", "unknown", "Unknown", "undefined", " unknown ", "неизвестно"),
)
FEMALE = ("F", "woman", "Women", "girl", "w", "Weiblich", "féminin", "feminin", "женский", "mujer", "女", "famale")
MALE = ("M", "man", "boy", "MÄNNLICH", "maennlich", "masculin", "мужской", "hombre", "男", " male ", "male_masculine")
THEIR_OWN = ("Non-binary", "other", "transgender woman", "do_not_wish_to_say", "X", "divers", "unspecified", "fem")


def decomposed(text: str) -> str:
    """As a Mac spells the names of files."""
    return unicodedata.normalize("NFD", text)


def gender_of(*texts: str) -> list[str | None]:
    return pl.DataFrame({"g": texts}).select(spellings.gender("g"))["g"].to_list()


def test_words_of_gender_are_read_and_what_people_call_themselves_stays() -> None:
    assert gender_of(*UNKNOWN) == [None] * len(UNKNOWN)
    assert gender_of(*FEMALE, decomposed("féminin")) == ["female"] * (len(FEMALE) + 1)
    assert gender_of(*MALE, decomposed("männlich")) == ["male"] * (len(MALE) + 1)
    assert gender_of(*THEIR_OWN) == list(THEIR_OWN)


def test_no_word_has_two_meanings() -> None:
    female, male = (spellings._spellings(words, "") for words in (spellings._FEMALE, spellings._MALE))
    assert set(female) & set(male) == set()
    assert not set(spellings.GENDER_SPELLINGS) & (UNKNOWN_WORDS | set(spellings.AGE_SPELLINGS))
    assert all(one == spellings.word(one) for one in [*spellings.GENDER_SPELLINGS, *UNKNOWN_WORDS])


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet"])
def test_unknown_is_null_in_every_kind_of_table_and_a_sentence_keeps_its_words(name: str, tmp_path: Path) -> None:
    words = [*UNKNOWN, "woman"]
    table = pl.DataFrame(
        {
            "file_name": [f"{at}.wav" for at in range(len(words))],
            "gender": words,
            "age": [*UNKNOWN, "34"],
            "sentence": ["N/A"] * len(words),
            "speaker_id": [*UNKNOWN, "s1"],
        }
    )
    match name.rpartition(".")[2]:
        case "csv":
            table.write_csv(tmp_path / name)
        case "tsv":
            table.write_csv(tmp_path / name, separator="\t", quote_style="never")
        case "jsonl":
            table.write_ndjson(tmp_path / name)
        case _:
            table.write_parquet(tmp_path / name)
    result = import_corpora([tmp_path])
    rows = result.table.sort("gender", nulls_last=True)
    assert rows["gender"].to_list() == ["female", *[None] * len(UNKNOWN)]
    assert rows["age_group"].to_list() == ["thirties", *[None] * len(UNKNOWN)]
    assert rows["sentence"].unique().to_list() == ["N/A"]
    assert (result.total.gender, result.total.other_gender, result.total.age) == (1, 0, 1)
    assert "age" not in rows.columns
    assert not any("neither a decade" in note for note in result.notes)
    assert set(rows["speaker_id"]) == {*UNKNOWN, "s1"}  # somebody's name or initials may be any of them


def test_a_list_without_a_header_finds_its_column_of_genders(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.wav s1 34 Woman\nb.wav s2 41 man\nc.wav s3 29 -\n")
    table = import_corpora([tmp_path / "list.txt"]).table
    assert table.select("gender", "age_years").rows() == [("female", 34.0), ("male", 41.0), (None, 29.0)]


def test_an_unknown_age_hides_no_age_group_beside_it(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("file_name,age_years,age_group\na.wav,nan,thirties\nb.wav,41,unknown\n")
    table = import_corpora([tmp_path]).table
    assert table["age_group"].to_list() == ["thirties", "forties"]
    assert table["age_years"].to_list() == [None, 41.0]


def test_numbers_of_pandas_that_are_not_there_are_null(tmp_path: Path) -> None:
    rows = {"file_name": ["a.wav", "b.wav"], "age": [float("nan"), 34.0], "gender": ["nan", "m"]}
    pl.DataFrame(rows).write_parquet(tmp_path / "metadata.parquet")
    table = import_corpora([tmp_path]).table
    assert table.select("age_years", "gender").rows() == [(None, None), (34.0, "male")]


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_words_for_unknown_in_a_manifest_are_null(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"all{suffix}"
    header = ("clip_id", "path", "gender", "age_group", "age_years", "sentence")
    lines = [
        header,
        *((f"c{at}", f"{at}.mp3", word, word.strip(), word.strip(), "unknown") for at, word in enumerate(UNKNOWN)),
    ]
    path.write_text("".join({".csv": ",", ".tsv": "\t"}[suffix].join(line) + "\n" for line in lines))
    table = manifest.read(path)
    assert table.select("gender", "age_group", "age_years").null_count().row(0) == (len(UNKNOWN),) * 3
    assert set(table["sentence"]) == {"unknown"}
    some = manifest.read(path, ("clip_id", "gender", "age_years"))
    assert some.select("gender", "age_years").null_count().row(0) == (len(UNKNOWN),) * 2
    numbers = pl.DataFrame({"path": ["a", "b"], "age_years": [float("nan"), 3.0], "gender": ["Agender", "None"]})
    assert manifest.conform(numbers).select("age_years", "gender").rows() == [(None, "Agender"), (3.0, None)]


@pytest.mark.parametrize(
    ("header", "row", "foreign"),
    [
        ("path,gender", "a.mp3,female", False),
        ("path,gender", "a.mp3,F", True),
        ("path,gender", "a.mp3,Agender", False),
        ("path,gender,age", "a.mp3,female,34", True),
        ("file_name,gender", "a.mp3,female", True),
        ("clip_id,path,gender,client_id", "a,a.mp3,F,s", False),
        ("client_id,path,sentence", "s,a.mp3,x", True),
        ("gender,sentence", "F,x", False),
    ],
)
def test_which_tables_are_imported_in_place_of_a_manifest(header: str, row: str, foreign: bool, tmp_path: Path) -> None:
    for name, separator in (("t.csv", ","), ("t.tsv", "\t")):
        (tmp_path / name).write_text(f"{header}\n{row}\n".replace(",", separator))
        assert is_foreign(tmp_path / name) is foreign
    pl.read_csv(tmp_path / "t.csv").write_parquet(tmp_path / "t.parquet")
    assert is_foreign(tmp_path / "t.parquet") is foreign
    assert not is_foreign(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("folder", "labels"),
    [
        *((name, ("female", None)) for name in ("F", "Woman", "weiblich", decomposed("Féminin"), "женский")),
        *((name, ("male", None)) for name in ("m", "man", "Boys", "männlich")),
        ("woman_fifties", ("female", "fifties")),
        ("M-20s", ("male", "twenties")),
        ("women 30-39", ("female", "thirties")),
        ("female_unknown", ("female", None)),
        ("under_ten", (None, "under_ten")),
        ("unknown", (None, None)),
        ("unknown_fifties", None),
        ("transgender", None),
        ("home", None),
        ("", None),
    ],
)
def test_a_folder_as_a_class(folder: str, labels: tuple[str | None, str | None] | None) -> None:
    assert spellings.class_of(folder) == labels


def tree(root: Path, *folders: str) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True)
        write_wav(root / folder / "1.wav", tone(0.1), 16_000)
    return root


@pytest.mark.parametrize(
    ("female", "male"), [("F", "M"), ("Woman", "Man"), ("weiblich", "männlich"), ("femme", "homme"), ("ж", "м")]
)
@pytest.mark.parametrize("split", ["", "Train/"])
def test_class_folders_in_any_spelling(female: str, male: str, split: str, tmp_path: Path) -> None:
    root = tree(tmp_path, f"{split}{decomposed(female)}", f"{split}{male}", f"{split}unknown", f"{split}music")
    result = import_corpora([root])
    assert sorted(result.table["gender"].fill_null("?")) == ["?", *GENDERS]
    assert result.total.dropped == {"in no class folder": 1}
    assert set(result.table["split"]) == {"train" if split else None}


def test_names_of_people_and_letters_of_shelves_are_no_classes(tmp_path: Path) -> None:
    for at, folders in enumerate((("anna", "donna"), ("e", "f", "g", "m"), ("unknown", "na"))):
        with pytest.raises(CorpusError, match="No corpus in"):
            import_corpora([tree(tmp_path / str(at), *folders)])
