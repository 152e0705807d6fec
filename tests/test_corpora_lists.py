"""Plain lists of recordings, aGender's and others', on small ones made here."""

from pathlib import Path

import pytest

from public_corpora import agender, put, read, rows, values
from voxtrait.corpora import import_corpora
from voxtrait.corpora.layouts import agender as layout
from voxtrait.errors import CorpusError


def test_agender(tmp_path: Path) -> None:
    result = import_corpora([agender(tmp_path)])
    assert values(result, "speaker_id", "gender", "age_years", "class", "split", "column_3", "locale") == {
        "a11001s10": ("agender-1001", "male", 27.0, "AM", "train", "2", "de"),
        "a11002s3": ("agender-1002", "x", 11.0, "C", "train", "1", "de"),
        "a11003s1": ("agender-1003", "female", 19.0, "YF", "validation", "1", "de"),
        "a11004s1": ("agender-1004", "female", 61.0, "SF", "train", "1", "de"),
    }
    paths = {stem: row["path"].rpartition(".")[2] for stem, row in rows(result).items()}
    assert set(paths.values()) == {"wav"}
    assert result.total.dropped == {"unreadable row": 1}
    assert result.total.present == 1  # of the other .raw nobody has made a .wav
    assert "lists 4 .raw files, without a header. Convert each to a .wav of the same name" in result.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "spk1/a.wav;spk1;34;female;AF\nspk2/b.wav;spk2;8;child;C\n",
        "spk1/a.wav\tspk1\tfemale\t34\tAF\nspk2/b.wav\tspk2\tchild\t8\tC\n",
        "class,gender,age,speaker,file\nAF,female,34,spk1,spk1/a.wav\nC,child,8,spk2,spk2/b.wav\n",
        "spk1/a.wav spk1 34 female AF\r\nspk2/b.wav spk2 8 child C\r\n",
        "\ufeffspk1/a.wav,34,female,AF,spk1\nspk2/b.wav,8,child,C,spk2",
    ],
)
def test_a_list_in_any_shape(text: str, tmp_path: Path) -> None:
    path = put(tmp_path / "agender.test.csv", text)
    assert values(read(path), "speaker_id", "gender", "age_years", "class", "split") == {
        "a": ("agender-spk1", "female", 34.0, "AF", "test"),
        "b": ("agender-spk2", "child", 8.0, "C", "test"),
    }
    path = put(tmp_path / "mine.lst", text)
    assert set(read(path).table["corpus"]) == {"mine"}


def test_the_speaker_of_a_list_is_the_column_that_the_path_repeats(tmp_path: Path) -> None:
    path = put(tmp_path / "mine.txt", "7/1/a.wav near 1 7 f 34\n8/1/b.wav far 1 8 m 61\n")
    assert values(read(path), "speaker_id", "gender", "age_years", "column_2", "column_3") == {
        "a": ("mine-7", "female", 34.0, "near", "1"),
        "b": ("mine-8", "male", 61.0, "far", "1"),
    }


def test_published_lists_of_common_voice_find_the_clips_and_give_no_split_without_speakers(tmp_path: Path) -> None:
    path = put(
        tmp_path / "mozillacommonvoice.test.csv",
        "file,age,gender\nwav/common_voice_de_1.wav,25,male\nwav/common_voice_de_2.wav,65,female\n",
    )
    put(tmp_path / "clips" / "common_voice_de_1.mp3")
    result = import_corpora([path])
    table = result.table
    assert table["clip_id"].to_list() == ["common-voice/-/de/common_voice_de_1", "common-voice/-/de/common_voice_de_2"]
    assert table["path"].to_list() == [
        f"{tmp_path}/clips/common_voice_de_1.mp3",
        f"{tmp_path}/wav/common_voice_de_2.wav",
    ]
    assert table["age_group"].to_list() == ["twenties", "sixties"]
    assert table["split"].to_list() == [None, None]
    assert table["list"].to_list() == ["mozillacommonvoice.test.csv"] * 2
    assert [note.removeprefix(f"{path} ") for note in result.notes] == [
        "has no speaker ids",
        "has lists that have no speakers, so split is empty. The column 'list' has their names",
    ]


def test_lists_that_share_a_speaker_are_no_split(tmp_path: Path) -> None:
    root = agender(tmp_path)
    put(root / "trainSampleList_devel.txt", "wav_traindevel/1001/3/a11001s1.raw 1001 3 27 m AM\n")
    result = read(root)
    assert result.table["split"].null_count() == 4
    assert "has lists that share 1 speaker, so split is empty" in result.notes[-1]


@pytest.mark.parametrize("name", ["notes.txt", "table.csv", "list.lst", "list.doc"])
def test_other_texts_are_no_lists(name: str, tmp_path: Path) -> None:
    assert layout.find_file(put(tmp_path / name, "name,speaker,age\na,b,c\n")) is None
    assert layout.find_file(put(tmp_path / "table.csv", "file,speaker,age\na.wav,b,c\n")) is None  # the table layout's
    assert layout.find_file(put(tmp_path / name, "one.wav\n")) is None
    assert layout.find_file(put(tmp_path / name, b"\xff\xfe\x00\x01")) is None


def test_a_list_with_a_header_that_names_no_file(tmp_path: Path) -> None:
    path = put(tmp_path / "agender.train.csv", "speaker,age\n1,30\n")
    with pytest.raises(CorpusError, match="Expected a line with an audio file, or a header with 'file'"):
        read(path)
