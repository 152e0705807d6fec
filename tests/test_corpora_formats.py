"""Tables, AudioFolder and damaged files that ``corpus import`` reads, on small trees made here."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voxtrait.audio.writing import write_wav
from voxtrait.corpora import detect, import_corpora
from voxtrait.errors import CorpusError

WANTED = ("clip_id", "speaker_id", "gender", "age_group", "split", "locale", "sentence")


def files(folder: Path, **texts: str) -> Path:
    """Write text files; ``__`` in a name stands for a point."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


def wav(path: Path, seconds: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, np.zeros(int(8000 * seconds), np.float32), 8000)
    return path


def layouts(path: Path) -> list[str]:
    return [source.layout for source in detect.find(path)]


def got(path: Path, *columns: str) -> list[tuple[Any, ...]]:
    return import_corpora([path], tables_only=True).table.select(columns or WANTED).rows()


def lines(path: Path, *records: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet"])
def test_audio_folder_in_every_kind_of_table(tmp_path: Path, name: str) -> None:
    table = pl.DataFrame({"file_name": ["./a.wav", "b.wav"], "gender": ["M", "F"], "age": [34, 8], "tags": ["x", None]})
    folder = tmp_path / "mine" / "train"
    folder.mkdir(parents=True)
    match name.rpartition(".")[2]:
        case "csv":
            table.write_csv(folder / name)
        case "tsv":
            table.write_csv(folder / name, separator="\t")
        case "jsonl":
            table.write_ndjson(folder / name)
        case _:
            table.write_parquet(folder / name)
    assert layouts(tmp_path) == ["AudioFolder"]
    assert got(tmp_path, "path", "gender", "age_group", "split", "tags") == [
        (f"{folder}/a.wav", "male", "thirties", "train", "x"),
        (f"{folder}/b.wav", "female", "under_ten", "train", None),
    ]


@pytest.mark.parametrize("column", ["path", "file", "file_name", "filename", "audio", "audio_path", "wav"])
def test_a_table_with_any_name_for_its_files(tmp_path: Path, column: str) -> None:
    path = files(tmp_path, my_clips__csv=f"id,{column},Sex,age\n7, x/a.wav,F,34\n8,/y/b.wav,other,old\n9,,M,\n")
    result = import_corpora([path / "my_clips.csv"], tables_only=True)
    assert result.table.select("clip_id", "path", "gender", "age_group", "id").rows() == [
        ("my_clips/-/-/a", f"{tmp_path}/x/a.wav", "female", "thirties", "7"),
        ("my_clips/-/-/b", "/y/b.wav", "other", None, "8"),
    ]
    assert result.total.dropped == {"no file name": 1}


def test_a_table_named_after_a_split_and_json_lines_with_damage(tmp_path: Path) -> None:
    path = tmp_path / "voices" / "dev.jsonl"
    path.parent.mkdir()
    path.write_text(
        '{"audio": "a.wav", "text": "one"}\n{"audio": "b.wav", "text": \n\n{"audio": "c.wav", "n": {"k": [1]}}\n'
    )
    result = import_corpora([path], tables_only=True)
    assert result.table.select("clip_id", "split", "sentence", "n").rows() == [
        ("voices/-/-/a", "validation", "one", None),
        ("voices/-/-/c", "validation", None, '{"k":[1]}'),
    ]
    assert result.total.dropped == {"unreadable row": 1}


def test_tables_that_are_none_say_what_was_expected(tmp_path: Path) -> None:
    files(tmp_path, a__csv="name,gender\nx,F\n", b__jsonl="no json\n", c__parquet="no parquet", d__csv="")
    for name, what in (
        ("a.csv", "Expected one with the clip's file"),
        ("b.jsonl", r"has no JSON objects\. Expected one per line and clip"),
        ("c.parquet", "cannot be read as a table"),
        ("d.csv", "is empty"),
    ):
        with pytest.raises(CorpusError, match=what):
            import_corpora([tmp_path / name], tables_only=True)
    (tmp_path / "clips").mkdir()
    files(tmp_path, validated__tsv="client_id\tpath\n")
    with pytest.raises(CorpusError, match=r"one table of a Common Voice release\. Import its folder"):
        import_corpora([tmp_path / "validated.tsv"], tables_only=True)


@pytest.mark.parametrize(
    "name",
    ["wav.scp", "utt2spk", "text", "a_recordings.jsonl", "a_cuts.jsonl.gz", "m.jsonl", "m.csv", "m.tsv", "m.parquet"],
)
def test_any_bytes_import_or_give_one_clear_error(tmp_path: Path, name: str) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join)))
    def run(data: bytes) -> None:
        folder = files(tmp_path / name.replace(".", "_"), **({} if "." in name else {"wav__scp": "a /x/a.wav\n"}))
        (folder / name).write_bytes(data)
        try:
            import_corpora([folder / name if name.startswith("m.") else folder], tables_only=True)
        except CorpusError as error:
            assert str(folder) in str(error)

    run()


# pieces of all these formats, put together at random
PIECES = (
    *(
        b"path",
        b"a",
        b"x.wav",
        b",",
        b"\t",
        b" ",
        b"\n",
        b"\r\n",
        b'"',
        b"{",
        b"}",
        b"[]",
        b"null",
        b"|",
        b"\xff",
        b"\0",
    ),
    *(b'{"id": "a", "sources": ', b'[{"type": "file", "source": "a.wav"}]', b'{"path": "a.wav"}\n', b"PAR1"),
)
