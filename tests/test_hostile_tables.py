"""Tables that mean no good: paths that lead out of the corpus, absurd sizes, and text that is none."""

import gzip
import json
import struct
from pathlib import Path

import polars as pl
import pytest

from public_corpora import put
from test_corpora_hugging_face import FEATURES, saved, shard
from voxtrait import manifest, storage
from voxtrait.corpora import archives, delimited, detect, import_corpora
from voxtrait.corpora import table as tables
from voxtrait.corpora.importing import OUTSIDE
from voxtrait.corpora.layouts import hugging_face
from voxtrait.errors import AudioMissingError, CorpusError, ManifestError, StorageError
from voxtrait.manifest import parquet

OUT = (
    "../../etc/passwd",
    "a/../../x.mp3",
    "..",
    "../x.mp3",
    "..\\..\\etc\\passwd",
    "a\\..\\..\\x.mp3",
    "\0.mp3",
    "a\0/x.mp3",
)
IN = ("a/../b.mp3", "..a.mp3", "a..b/c.mp3", "./x.mp3", "C:\\x.mp3", "\\\\host\\share\\x.mp3", "a/..b/c.mp3")


def listed(folder: Path, *names: str, name: str = "metadata.csv", column: str = "file_name") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({column: names, "gender": ["female"] * len(names)}).write_csv(folder / name)
    return folder


def test_paths_that_lead_out_of_a_corpus_are_dropped_and_counted(tmp_path: Path) -> None:
    put(tmp_path / "passwd.mp3", "secret")
    result = import_corpora([listed(tmp_path / "voices", *OUT, *IN)], tables_only=True)
    assert result.total.dropped == {OUTSIDE: len(OUT)}
    assert result.table.height == len(IN)
    assert all(path.startswith(f"{tmp_path}/voices/") for path in result.table["path"])
    assert result.sources[0].examples[OUTSIDE][0] == "../../etc/passwd"


def test_another_spelling_does_not_lead_out_either(tmp_path: Path) -> None:
    put(tmp_path / "private" / "Diary.wav", b"RIFF")
    result = import_corpora(
        [listed(tmp_path / "voices", "..\\private\\diary.mp3", "x/../../private/diary.mp3", "b.mp3")]
    )
    assert result.table["path"].to_list() == [f"{tmp_path}/voices/b.mp3"]


def test_a_table_that_the_user_names_may_be_beside_its_clips(tmp_path: Path) -> None:
    put(tmp_path / "audio" / "a.wav")
    folder = listed(tmp_path / "tables", "../audio/a.wav", "/elsewhere/b.wav", name="clips.csv", column="path")
    result = import_corpora([folder / "clips.csv"], tables_only=True)
    assert sorted(result.table["path"]) == ["/elsewhere/b.wav", f"{folder}/../audio/a.wav"]
    nul = listed(tmp_path / "nul", "a\0.wav", "b.wav", name="clips.csv", column="path")
    assert import_corpora([nul / "clips.csv"], tables_only=True).total.dropped == {OUTSIDE: 1}


def test_an_archive_with_such_a_table(tmp_path: Path) -> None:
    from test_hostile_archives import HEAD, ROOT, ROW, member, tar

    rows = ROW + ROW.replace("common_voice_en_1.mp3", "../../../x/../../evil.mp3")
    path = tar(tmp_path / "a.tar", [member(f"{ROOT}/validated.tsv", (HEAD + rows).encode())], "w")
    with archives.opened(path) as found:
        assert found.tables.is_dir()
    result = import_corpora([path])
    assert result.total.dropped == {OUTSIDE: 1}
    assert result.table.height == 1


@pytest.mark.parametrize(
    "name",
    ["../x", "/tmp/x", "a/b", "..", ".hidden", "", "a\0b", 7, None, ["a"]],
)
def test_a_dataset_cannot_name_files_elsewhere(name: object, tmp_path: Path) -> None:
    """A split becomes part of the path to which audio is extracted."""
    saved(tmp_path / "d" / "train", shard((b"RIFF", "a.wav", "s1", 0, 30)))
    put(tmp_path / "d" / "dataset_dict.json", json.dumps({"splits": [name]}))
    with pytest.raises(CorpusError, match="names the split or file"):
        import_corpora([tmp_path / "d"])
    (tmp_path / "d" / "dataset_dict.json").unlink()
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": name}
    put(tmp_path / "d" / "train" / "state.json", json.dumps(state))
    (source,) = detect.find(tmp_path / "d")
    if name in ("", None):
        assert import_corpora([tmp_path / "d"]).table.height == 1
    else:
        with pytest.raises(CorpusError, match="names the split or file"):
            hugging_face.extract(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    put(tmp_path / "d" / "train" / "state.json", json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(CorpusError, match="names the split or file"):
        import_corpora([tmp_path / "d"])


@pytest.mark.parametrize("change", ['{"splits": 7}', '{"splits": {"a": 1}}', "[" * 5000, '{"splits": [1', "7"])
def test_a_dataset_whose_json_is_none(change: str, tmp_path: Path) -> None:
    saved(tmp_path / "d" / "train", shard((b"RIFF", "a.wav", "s1", 0, 30)))
    put(tmp_path / "d" / "dataset_dict.json", change)
    with pytest.raises(CorpusError, match=r"dataset_dict\.json"):
        import_corpora([tmp_path / "d"])


def test_a_dataset_without_rows(tmp_path: Path) -> None:
    saved(tmp_path / "d", shard((b"RIFF", "a.wav", "s1", 0, 30)).clear())
    with pytest.raises(CorpusError, match=r"/d has no rows$"):
        import_corpora([tmp_path / "d"])


def test_classes_that_are_no_list_of_names(tmp_path: Path) -> None:
    saved(tmp_path / "d", shard((b"RIFF", "a.wav", "s1", 0, 30)))
    for names in (7, "female", {"a": 1}, None):
        features = FEATURES | {"gender": {"names": names, "_type": "ClassLabel"}}
        put(tmp_path / "d" / "dataset_info.json", json.dumps({"features": features}))
        assert import_corpora([tmp_path / "d"]).table.height == 1
    put(
        tmp_path / "d" / "dataset_info.json",
        json.dumps({"features": {"gender": {"names": [1, 2], "_type": "ClassLabel"}}}),
    )
    assert import_corpora([tmp_path / "d"]).table["gender"].to_list() == ["1"]


@pytest.mark.parametrize(
    "url",
    [
        "reference::https://host/refs.json", "simplecache::https://host/a.mp3", "zip://a.mp3::https://host/a.zip",
        "file:///etc/passwd", "local:///etc/passwd", "github://a:b@c/d.mp3", "data://text", "/corpus/http://host/a.mp3",
        "dir::file:///etc",
    ],
)  # fmt: skip
def test_urls_that_reach_files_caches_and_chains_are_refused(url: str) -> None:
    """fsspec would open them, and a table of somebody else may have them."""
    pytest.importorskip("fsspec")
    with pytest.raises((StorageError, AudioMissingError), match=r"cannot be opened: .* is not one of abfs, "):
        storage.read(url)


# --- sizes


def test_a_header_of_a_million_columns_ends_at_once(tmp_path: Path) -> None:
    for name in ("a.csv", "a.tsv"):
        put(tmp_path / name, ("," if name == "a.csv" else "\t").join(f"c{at}" for at in range(200_000)) + "\n1\n")
        with pytest.raises(CorpusError, match=r"has 200,000 columns\. Expected at most 2,000\."):
            import_corpora([tmp_path / name])
    names = ["path", *["x"] * 1500]
    put(tmp_path / "b.csv", ",".join(names) + "\n" + ",".join(["a.wav"] * 1501) + "\n")
    assert import_corpora([tmp_path / "b.csv"], tables_only=True).table.height == 1


def test_lines_with_a_field_of_their_own_each_make_no_square_table(tmp_path: Path) -> None:
    for name, line in {
        "a.jsonl": '{"path": "a.wav", "k%d": 1}\n',
        "b.jsonl": '{"path": "a", "more": {"k%d": {}}}\n',
    }.items():
        put(tmp_path / name, "".join(line % at for at in range(30_000)))
        with pytest.raises(CorpusError, match=r"has more than 2,000 different fields\."):
            import_corpora([tmp_path / name])
    put(tmp_path / "c.jsonl", '{"path": "a\\": b.wav", "text": "\\"x\\": 1"}\n')
    assert import_corpora([tmp_path / "c.jsonl"], tables_only=True).table["sentence"].to_list() == ['"x": 1']
    put(tmp_path / "list.txt", "\t".join(["a.wav", *map(str, range(30_000))]))
    with pytest.raises(CorpusError, match=r"a line of 30,001 fields\. Expected at most 100\."):
        import_corpora([tmp_path / "list.txt"])


@pytest.mark.parametrize(
    ("text", "rows", "bad"),
    [
        ("a\nx\n\ny\n", [("x",), ("y",)], []),
        ("a\n\nx\n", [("x",)], []),
        ("a\tb\nx\ty\n\nz\tw\n", [("x", "y"), ("z", "w")], []),
        ("a\tb\n\n\tx\ty\n", [], [3]),  # as many separators as two good lines
        ("a\tb\nx\ty\tq\n\nz\tw\n", [("z", "w")], [2]),
    ],
)
def test_blank_lines_do_not_hide_lines_with_too_many_fields(
    text: str, rows: list[tuple[str, ...]], bad: list[int], tmp_path: Path
) -> None:
    (tmp_path / "t.tsv").write_text(text)
    lines: list[int] = []
    table, unreadable = delimited.read(tmp_path / "t.tsv", bad_lines=lines)
    assert (table.rows(), unreadable, lines) == (rows, len(bad), bad)


def test_json_lines_that_swell_end_at_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = b'{"id": "c", "recording": {"id": "r", "sources": [{"type": "file", "source": "a.wav"}]}}\n'
    file = put(tmp_path / "m" / "x_cuts.jsonl.gz", gzip.compress(line * 5))
    assert import_corpora([file], tables_only=True).table.height == 1
    monkeypatch.setattr(tables, "SPARE_BYTES", 1000)
    file.write_bytes(gzip.compress(line + b" " * 1_000_000))
    with pytest.raises(CorpusError, match="expands to more than 200 times its size"):
        import_corpora([file])
    monkeypatch.setattr(tables, "_CHUNK", 10)
    monkeypatch.setattr(tables, "LONGEST_LINE", 50)
    file.write_bytes(gzip.compress(line))
    with pytest.raises(CorpusError, match="a line of more than 50 bytes"):
        import_corpora([file])


def footer(file: Path) -> tuple[bytes, int]:
    data = file.read_bytes()
    size = int.from_bytes(data[-8:-4], "little")
    return data, len(data) - 8 - size


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "all.parquet"
    rows = pl.DataFrame({"path": [f"{at}.wav" for at in range(500)], "gender": ["female", None] * 250})
    manifest.write(manifest.conform(rows), file)
    assert manifest.read(file).height == 500
    return file


def test_a_parquet_file_that_states_more_than_it_has_is_refused(table: Path) -> None:
    """Polars would take the memory: its process is aborted."""
    data, at = footer(table)
    zigzag = {rows: parquet_varint(rows << 1) for rows in (500, 2**40, 2**62)}
    assert data.count(zigzag[500], at) > 10
    for rows in (2**40, 2**62):
        changed = data[:at] + data[at:-8].replace(zigzag[500], zigzag[rows])
        table.write_bytes(changed + struct.pack("<I", len(changed) - at) + b"PAR1")
        with pytest.raises(ManifestError, match=r"cannot be read as a manifest: it (states|has a page)"):
            manifest.read(table)
        with pytest.raises(CorpusError, match=r"cannot be read as a table: it (states|has a page)"):
            import_corpora([table])
        assert manifest.history(table) == []


def parquet_varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def test_every_byte_of_the_headers_may_change(table: Path) -> None:
    data, at = footer(table)
    refused = 0
    for place in range(at, len(data), 7):
        table.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            parquet.check(table)
        except parquet.DamagedError:
            refused += 1
    assert refused > 50
    for content in (
        b"",
        b"PAR1",
        b"PAR1PAR1PAR1",
        b"PAR1" + b"\xff" * 4 + b"PAR1",
        b"PAR1" + b"\x1c" * 64 + b"\x40\0\0\0PAR1",
    ):
        table.write_bytes(content)
        with pytest.raises(ManifestError, match="cannot be read as a manifest: "):
            manifest.read(table)


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "lz4", "brotli", "uncompressed"])
@pytest.mark.parametrize("page", [None, 1000])
def test_what_polars_writes_passes(compression: str, page: int | None, tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    deep = [{"a": [{"b": 1.5}]}, None, None]
    rows = pl.DataFrame(
        {"text": [None, "", "x" * 3000] * 700, "many": [[1, 2], [], None] * 700, "deep": deep * 700,
         "none": [None] * 2100, "yes": [True] * 2100, "sound": [b"\0" * 100] * 2100}
    )  # fmt: skip
    rows.write_parquet(file, compression=compression, data_page_size=page, row_group_size=500)  # type: ignore[arg-type]
    assert pl.read_parquet(parquet.checked(file)).equals(rows)
    pl.DataFrame({"a": []}).write_parquet(file)
    parquet.check(file)
    pl.DataFrame({"a": ["same"] * 1_000_000}).write_parquet(file, compression=compression)  # type: ignore[arg-type]
    parquet.check(file)


def test_a_note_has_an_end(tmp_path: Path) -> None:
    from public_corpora import vctk
    from voxtrait.errors import LONGEST

    root = vctk(tmp_path)
    table = next(root.rglob("speaker-info.txt"))
    table.write_text(table.read_text() + "".join(f"{'p' * 3000}{at} 23 F English\n" for at in range(5)))
    put(next(root.rglob("p*_*.flac")).parent / f"{'q' * 200}\x1b_001_mic1.flac")
    result = import_corpora([root], tables_only=True)
    assert all(len(text) <= LONGEST and "\x1b" not in text for text in (*result.notes, *result.failures))
