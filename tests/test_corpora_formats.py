"""The formats of other tools that ``corpus import`` reads, on small trees made here as their makers describe them."""

import gzip
import json
import pickle
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voxtrait.audio.writing import write_wav
from voxtrait.corpora import detect, import_corpora
from voxtrait.errors import CorpusError, MissingExtraError

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


# --- Kaldi


def test_kaldi_folders_of_splits_with_everything_beside(tmp_path: Path) -> None:
    wav(tmp_path / "mini" / "wav" / "a.wav")
    files(
        tmp_path / "mini" / "data" / "train_clean_5",
        wav__scp="s1-a wav/a.wav\ns1-b flac -c -d -s /x/b.flac |\ns2-c sph2pipe '/x/c d.sph' | sox - -t wav - |\n",
        utt2spk="s1-a s1\ns1-b s1\ns2-c s2\n",
        spk2gender="s1 f\ns2 m\n",
        text="s1-a HELLO  WORLD\ns1-b\n",
        utt2dur="s1-a 0.5\ns2-c 2.25\n",
        spk2age="s1 34\ns2 fourties\n",
        utt2lang="s1-a en\ns1-b en\ns2-c de\n",
        utt2noise="s2-c car\n",
    )
    files(tmp_path / "mini" / "data" / "dev", wav__scp="u1 /x/u1.wav\n", utt2spk="u1 u1\n")
    assert layouts(tmp_path) == ["Kaldi", "Kaldi"]
    assert got(tmp_path) == [
        ("mini/-/-/u1", None, None, None, "validation", None, None),
        ("mini/-/de/s2-c", "s2", "male", "forties", "train", "de", None),
        ("mini/-/en/s1-a", "s1", "female", "thirties", "train", "en", "HELLO  WORLD"),
        ("mini/-/en/s1-b", "s1", "female", "thirties", "train", "en", None),
    ]
    assert got(tmp_path, "path", "duration_s", "noise") == [
        ("/x/u1.wav", None, None),
        ("/x/c d.sph", 2.25, "car"),
        (f"{tmp_path}/mini/wav/a.wav", 0.5, None),
        ("/x/b.flac", None, None),
    ]


def test_kaldi_segments_are_parts_of_one_clip(tmp_path: Path) -> None:
    files(
        tmp_path / "talks",
        wav__scp="r1 /x/r1.wav\nr2 /x/r2.wav\nr3 /x/r3.wav\n",
        segments="u1 r1 0.0 1.0\nu2 r1 1.0 2.5\nu3 r2 0 1\n",
        spk2utt="a u1 u2\nb u3\n",
        spk2gender="a f\nb m\n",
        text="u1 one\nu2 two\nu3 three\n",
        utt2dur="u1 1.0\nu2 1.5\nu3 1\n",
        reco2dur="r1 9.5\n",
    )
    result = import_corpora([tmp_path], tables_only=True)
    assert result.table.select("clip_id", "speaker_id", "gender", "sentence", "utterances", "duration_s").rows() == [
        ("talks/-/-/r1", "a", "female", None, "2", 9.5),
        ("talks/-/-/r2", "b", "male", "three", None, None),
        ("talks/-/-/r3", None, None, None, None, None),
    ]
    assert "has 1 recording with several utterances. Only labels on which they agree are kept" in result.notes[0]


def test_kaldi_rows_without_one_file_are_dropped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "wav.scp").write_bytes(
        b"a /x/a.wav\nb sox /x/1.wav /x/2.wav -t wav - |\nc cat list |\nd /x/data.ark:1234\n"
        b"e\n\nf /x/\xff.wav\na /x/twice.wav\n"
    )
    result = import_corpora([tmp_path], tables_only=True)
    assert result.table["path"].to_list() == ["/x/a.wav"]
    assert result.total.dropped == {
        "unreadable row": 1,
        "no file name": 1,
        "audio inside a Kaldi archive": 1,
        "command that does not name one audio file": 2,
    }
    (tmp_path / "d" / "wav.scp").write_text("\n")
    with pytest.raises(CorpusError, match=r"has no recordings\. Expected lines with a recording and its file"):
        import_corpora([tmp_path], tables_only=True)


@pytest.mark.parametrize(
    ("command", "channel"),
    [
        ("sph2pipe -f wav -p -c 1 /x/call.sph |", 1),
        ("sph2pipe -f wav -p -c2 /x/call.sph |", 2),
        ("sox /x/call.wav -t wav - remix 2 |", 2),
        ("sox /x/call.wav -r 16000 -t wav - remix -m 1 |", 1),
        ("sox /x/call.wav -t wav - remix 1,2 |", None),
        ("sox /x/call.wav -c 1 -t wav - |", None),
        ("/x/call.wav", None),
    ],
)
def test_kaldi_commands_that_take_one_channel_are_said(command: str, channel: int | None, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "wav.scp").write_text(f"a {command}\nb /x/b.wav\n")
    result = import_corpora([tmp_path], tables_only=True)
    assert result.table["path"].to_list() == [f"/x/call.{'sph' if 'sph' in command else 'wav'}", "/x/b.wav"]
    if channel is None:
        assert "channel" not in result.table.columns and not any("one channel" in note for note in result.notes)
    else:
        assert result.table["channel"].to_list() == [channel, None]
        assert any("has 1 recording that is one channel of a file" in note for note in result.notes)


# --- Lhotse


def recording(name: str, **more: Any) -> dict[str, Any]:
    source = {"type": "file", "channels": [0], "source": f"/x/{name}.wav"}
    return {"id": name, "sources": [source], "sampling_rate": 16000, "num_samples": 32000, "duration": 2.0} | more


def supervision(name: str, of: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "recording_id": of, "start": 0.0, "duration": 1.0, "channel": 0} | more


def test_lhotse_recordings_and_supervisions(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    lines(
        folder / "c_recordings_train.jsonl.gz",
        recording("r1"),
        recording("r2", sources=[{"type": "command", "channels": [0], "source": "flac -dc /x/r2.flac"}]),
        recording("r3", sources=[{"type": "url", "channels": [0], "source": "https://x/r3.wav"}]),
        recording("r4", sources=[{"type": "file", "channels": [at], "source": f"/x/{at}.wav"} for at in (0, 1)]),
    )
    lines(
        folder / "c_supervisions_train.jsonl.gz",
        supervision("s1", "r1", text="one", language="English", speaker="p1", gender="F",
                    custom={"age": 34, "snr": 1.5}),
        supervision("s2", "r2", text="two", speaker="p2", gender="male",
                    custom={"age": "fourties", "tags": ["a", "b"]}),
        supervision("s3", "r2", text="three", speaker="p2", gender="male", custom={"age": "fourties"}),
    )  # fmt: skip
    lines(folder / "c_recordings_dev.jsonl", recording("r5"))
    assert layouts(tmp_path) == ["Lhotse"]
    result = import_corpora([tmp_path], tables_only=True)
    assert result.table.select(WANTED).rows() == [
        ("manifests/-/-/r2", "p2", "male", "forties", "train", None, None),
        ("manifests/-/-/r5", None, None, None, "validation", None, None),
        ("manifests/-/English/r1", "p1", "female", "thirties", "train", "English", "one"),
    ]
    assert result.table.select("path", "duration_s", "snr", "tags", "utterances").rows() == [
        ("/x/r2.flac", 2.0, None, None, "2"),
        ("/x/r5.wav", 2.0, None, None, None),
        ("/x/r1.wav", 2.0, "1.5", None, None),
    ]
    assert result.total.dropped == {"recording in several files": 1, "recording without a file": 1}
    assert any("has 1 recording with several supervisions. Only labels" in note for note in result.notes)
    assert any("no c_supervisions_dev.jsonl, so the clips of" in note for note in result.notes)


def test_lhotse_cuts_alone(tmp_path: Path) -> None:
    def cut(name: str, of: str, start: float = 0.0, duration: float = 2.0, **more: Any) -> dict[str, Any]:
        said = [supervision(name, of, speaker=f"p-{of}", gender="female", text=name)]
        return {"id": name, "start": start, "duration": duration, "channel": 0, "supervisions": said,
                "recording": recording(of), "type": "MonoCut"} | more  # fmt: skip

    mixed = {"id": "m", "tracks": [{"cut": cut("x", "r9")}], "type": "MixedCut"}
    path = lines(
        tmp_path / "set" / "my_cuts_test.jsonl.gz",
        cut("c1", "r1"), cut("c2", "r2", 0.0, 0.5), cut("c3", "r2", 0.5, 1.5), mixed,
    )  # fmt: skip
    assert layouts(tmp_path) == ["Lhotse"] == layouts(path)
    for place in (tmp_path, path):
        result = import_corpora([place], tables_only=True)
        assert result.table.select("clip_id", "speaker_id", "gender", "split", "sentence", "utterances").rows() == [
            ("set/-/-/r1", "p-r1", "female", "test", "c1", None),
            ("set/-/-/r2", "p-r2", "female", "test", None, "2"),
        ]
        assert result.total.dropped == {
            "cut of several recordings or no recording": 1,
            "another cut of the same recording": 1,
        }
        assert any("has 2 cuts that are a part of a recording. Their clips are" in note for note in result.notes)


def test_lhotse_files_that_are_no_manifests(tmp_path: Path) -> None:
    lines(tmp_path / "a_recordings.jsonl", {"id": 1, "path": "x"})
    with pytest.raises(CorpusError, match=r"no field 'sources'\. Expected Lhotse recordings"):
        import_corpora([tmp_path], tables_only=True)
    (tmp_path / "a_recordings.jsonl").rename(tmp_path / "a_recordings.jsonl.gz")
    with pytest.raises(CorpusError, match="cannot be read as a Lhotse manifest"):
        import_corpora([tmp_path], tables_only=True)


# --- audformat


@pytest.fixture
def database(tmp_path: Path) -> tuple[Any, Path]:
    audformat = pytest.importorskip("audformat")
    database = audformat.Database("db", source="here", languages=["deu"])
    database.schemes["speaker"] = audformat.Scheme(
        "str", labels={"s1": {"gender": "female", "age": 34}, "s2": {"gender": "other", "age": 8}}
    )
    database.schemes["transcription"] = audformat.Scheme("str")
    database.schemes["duration"] = audformat.Scheme("time")
    for split in ("train", "dev"):
        database.splits[split] = audformat.Split(type=split)
    for split, names in (("train", ["a.wav", "b.wav"]), ("dev", ["c.wav"])):
        table = audformat.Table(audformat.filewise_index([f"audio/{name}" for name in names]), split_id=split)
        database[split] = table
        table["spk"] = audformat.Column(scheme_id="speaker")
        table["spk"].set(["s1", "s2"] if split == "train" else [None])
        table["duration"] = audformat.Column(scheme_id="duration")
        table["duration"].set([timedelta(seconds=1.5)] * len(names))
    parts = audformat.segmented_index(["audio/a.wav", "audio/a.wav", "audio/b.wav"], [0, 1, 0], [1, 2, 3])
    database["segments"] = audformat.Table(parts)
    database["segments"]["transcription"] = audformat.Column(scheme_id="transcription")
    database["segments"]["transcription"].set(["one", "two", "three"])
    return database, tmp_path / "german"


@pytest.mark.parametrize("storage", ["csv", "parquet"])
def test_audformat(tmp_path: Path, storage: str, request: pytest.FixtureRequest) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library itself
        database, folder = request.getfixturevalue("database")
        database.save(str(folder), storage_format=storage)
    assert layouts(tmp_path) == ["audformat"]
    result = import_corpora([tmp_path], tables_only=True)
    assert result.table.select(WANTED).rows() == [
        ("german/-/deu/a", "s1", "female", "thirties", "train", "deu", None),
        ("german/-/deu/b", "s2", "other", "under_ten", "train", "deu", "three"),
        ("german/-/deu/c", None, None, None, "validation", "deu", None),
    ]
    assert result.table["duration_s"].to_list() == [1.5, 1.5, 1.5]
    assert result.table["path"][0] == f"{folder}/audio/a.wav"
    assert result.total.rows == result.total.kept + sum(result.total.dropped.values()) == 6


@pytest.mark.parametrize("way", ["header", "pickle"])
def test_audformat_never_runs_what_is_in_a_database(tmp_path: Path, request: pytest.FixtureRequest, way: str) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(tmp_path, "ran"),)  # type: ignore[return-value]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library itself
        database, folder = request.getfixturevalue("database")
        database.save(str(folder), storage_format="csv")
    if way == "header":
        with (folder / "db.yaml").open("a") as file:
            file.write(f"meta: !!python/object/apply:os.mkdir ['{tmp_path / 'ran'}']\n")
        with pytest.raises(CorpusError, match="cannot be read as an audformat database"):
            import_corpora([tmp_path], tables_only=True)
    else:
        for table in list(folder.glob("db.*.csv")):
            table.with_suffix(".pkl").write_bytes(pickle.dumps(Evil()))
        assert import_corpora([tmp_path], tables_only=True).table.height == 3
    assert not (tmp_path / "ran").exists()


def test_audformat_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path / "db", db__yaml="name: [", db__files__csv="file\na.wav\n")
    with pytest.raises(CorpusError, match="cannot be read as an audformat database"):
        import_corpora([tmp_path], tables_only=True)
    monkeypatch.setitem(sys.modules, "audformat", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[audformat\]'"):
        import_corpora([tmp_path], tables_only=True)


# --- AudioFolder, tables, class folders


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
