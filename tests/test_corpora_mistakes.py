"""What people give that is no corpus yet, and tables that are damaged as a whole: the reason and the cure are said."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from factories import tone
from voxtrait.audio.writing import write_wav
from voxtrait.cli import root
from voxtrait.corpora import import_corpora
from voxtrait.corpora.importing import REPEATED

HEADER = "client_id\tpath\tsentence\tage\tgender\n"


def wav(path: Path, hz: float = 440.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, tone(0.2, hz), 16_000)
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(root, [*map(str, args)])


def validated(folder: Path, content: str, encoding: str = "utf-8") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "validated.tsv").write_bytes((HEADER + content).encode(encoding))
    return folder


@pytest.mark.parametrize(
    ("content", "encoding", "said"),
    [
        (
            "s\ta.mp3\tcafé\t\tmale\n" * 3,
            "latin-1",
            "3 rows dropped (unreadable row: not UTF-8): {0}:2, {0}:3, {0}:4; save the",
        ),
        ("s\ta.mp3\tmale\n", "utf-8", "1 row dropped (unreadable row: 3 columns, expected 5): {0}:2"),
        (
            "s\ta.mp3\tx\t\tmale\tus\n" * 7,
            "utf-8",
            "7 rows dropped (unreadable row: 6 columns, expected 5): {0}:2, {0}:3",
        ),
        (
            's\ta.mp3\t"two\nlines"\t\tmale\n' * 2,
            "utf-8",
            "4 rows dropped (unreadable row: line break inside quotes): {0}:2, {0}:3, {0}:4, {0}:5",
        ),
        (
            "s\ta.mp3\tcafé\t\tmale\nx\n",
            "latin-1",
            "2 rows dropped (unreadable row: not UTF-8, 1 column, expected 5): {0}:2",
        ),
    ],
)
def test_a_table_of_unreadable_rows_says_which_and_why(content: str, encoding: str, said: str, tmp_path: Path) -> None:
    folder = validated(tmp_path / "fr", content, encoding)
    result = run("corpus", "import", folder, tmp_path / "all.csv")
    assert result.exit_code == 2
    assert said.format(folder / "validated.tsv") in result.stderr
    assert "the tables have no rows" not in result.stderr
    assert not (tmp_path / "all.csv").exists()
    validated(folder, content + "s\tb.mp3\tgood\t\tfemale\n", encoding)
    result = run("corpus", "import", folder, tmp_path / "all.csv", "--tables-only")
    assert result.exit_code == 0
    assert " unreadable: " in result.stderr
    assert "such as validated.tsv:2" in result.stderr


def test_rows_that_name_no_file_are_said_and_an_empty_table_is_called_empty(tmp_path: Path) -> None:
    result = run("corpus", "import", validated(tmp_path / "fr", "s\t\tx\t\tmale\n"), tmp_path / "all.csv")
    assert "1 row dropped (no file name)" in result.stderr
    result = run("corpus", "import", validated(tmp_path / "fr", ""), tmp_path / "all.csv")
    assert "the tables have no rows" in result.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.tsv", b"file_name\tgender\tsentence\ra.wav\tfemale\tone\rb.wav\tmale\ttwo\r"),
        ("metadata.csv", b"file_name,gender,sentence\ra.wav,female,one\rb.wav,male,two"),
        ("metadata.csv", b'file_name,gender,sentence\ra.wav,female,"o,ne"\rb.wav,male,two'),
        ("metadata.tsv", b"file_name\tgender\tsentence\na.wav\tfemale\tone\rb.wav\tmale\ttwo\r"),
        ("metadata.csv", b"file_name;gender;sentence\na.wav;female;one\nb.wav;male;two\n"),
        ("metadata.csv", b"file_name\tgender\tsentence\na.wav\tfemale\tone\nb.wav\tmale\ttwo\n"),
        ("metadata.tsv", b"file_name,gender,sentence\na.wav,female,one\nb.wav,male,two\n"),
        ("metadata.csv", b'file_name;gender;sentence\n"a.wav";"female";"one; one"\nb.wav;male;two\n'),
        ("metadata.tsv", "file_name\tgender\tsentence\r\na.wav\tfemale\tone\r\nb.wav\tmale\té\r\n".encode("utf-16")),
    ],
)
def test_line_ends_separators_and_encodings_of_other_programs(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    result = import_corpora([tmp_path], tables_only=True)
    assert result.table.select("path", "gender").rows() == [
        (f"{tmp_path}/a.wav", "female"),
        (f"{tmp_path}/b.wav", "male"),
    ]


def test_a_return_inside_a_text_ends_no_line(tmp_path: Path) -> None:
    folder = validated(tmp_path / "fr", "s\ta.mp3\tone\rtwo\t\tmale\nbroken\n")
    table = import_corpora([folder], tables_only=True).table
    assert table["sentence"].to_list() == ["one\rtwo"]


def test_quotes_that_are_never_closed_say_which_lines_are_lost(tmp_path: Path) -> None:
    lines = "".join(f"{at}.wav,female\n" for at in range(8))
    (tmp_path / "metadata.csv").write_text(f'file_name,gender\na.wav,male\n"b.wav,male\n{lines}')
    result = import_corpora([tmp_path], tables_only=True)
    assert result.table.height == 1
    assert list(result.sources[0].reasons) == ["1 column, expected 2, quotes span lines 3 to 11"]


def test_json_lines_name_their_damage(tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.wav"}\n\nno json\n{"file_name": "b.wav"}\n[1]\n')
    source = import_corpora([tmp_path], tables_only=True).sources[0]
    assert source.examples == {"unreadable row": ["metadata.jsonl:3", "metadata.jsonl:5"]}
    assert source.reasons == {"not a JSON object": 2}


def test_a_folder_of_audio_is_told_what_to_put_beside_it(tmp_path: Path) -> None:
    wav(tmp_path / "talks" / "day 1" / "b.wav")
    wav(tmp_path / "talks" / "a.wav")
    result = run("corpus", "import", tmp_path / "talks", tmp_path / "all.csv")
    assert result.exit_code == 2
    assert "it contains 2 audio files, but no labels. Add a file metadata.csv" in result.stderr
    assert "file_name,gender,age,speaker_id\n  a.wav,female,34,anna" in result.stderr
    assert f"voxtrait {tmp_path}/talks" in result.stderr
    assert "Kaldi" not in result.stderr  # none of the list of layouts, which has no answer here
    (tmp_path / "talks" / "metadata.csv").write_text("file_name,gender,age,speaker_id\na.wav,female,34,anna\n")
    assert run("corpus", "import", tmp_path / "talks", tmp_path / "all.csv").exit_code == 0
    single = run("corpus", "import", tmp_path / "talks" / "a.wav", tmp_path / "all.csv")
    assert single.exit_code == 2
    assert "is an audio file. Expected a corpus. Import its folder, with a file metadata.csv" in single.stderr


def test_a_table_of_another_name_beside_audio_is_named(tmp_path: Path) -> None:
    wav(tmp_path / "mine" / "a.wav")
    (tmp_path / "mine" / "labels.csv").write_text("file_name,gender\na.wav,F\n")
    result = run("corpus", "import", tmp_path / "mine", tmp_path / "all.csv")
    assert "If labels.csv describes them, import that file instead of the folder, or rename it" in result.stderr
    assert run("corpus", "import", tmp_path / "mine" / "labels.csv", tmp_path / "all.csv").exit_code == 0


def test_tables_in_any_folder_of_an_audio_folder_are_read_and_what_has_no_split_is_said(tmp_path: Path) -> None:
    for folder in ("", "train", "dev", "custom", "train/en", "custom/deep/er", "unsplit"):
        wav(tmp_path / "mine" / folder / "a.wav")
        (tmp_path / "mine" / folder / "metadata.csv").write_text("file_name,gender\na.wav,F\n")
    (tmp_path / "mine" / "notes").mkdir()
    (tmp_path / "mine" / "notes" / "metadata.csv").write_text("id|text\n1|x\n")
    result = import_corpora([tmp_path / "mine"])
    splits = {
        path.removeprefix(f"{tmp_path}/mine/"): split for path, split in result.table["path", "split"].iter_rows()
    }
    assert splits == {
        "a.wav": None,
        "train/a.wav": "train",
        "train/en/a.wav": "train",
        "dev/a.wav": "validation",
        "custom/a.wav": None,
        "custom/deep/er/a.wav": None,
        "unsplit/a.wav": None,
    }
    assert [note.partition(" (")[0] for note in result.notes] == [
        f"{tmp_path}/mine has 1 row without a split in custom/metadata.csv: custom is not a split",
        f"{tmp_path}/mine has 1 row without a split in custom/deep/er/metadata.csv: custom is not a split",
    ]
    assert len(result.failures) == 1
    assert "notes/metadata.csv has the columns 'id|text'. Expected 'file_name'" in result.failures[0]
    assert run("corpus", "import", tmp_path / "mine", tmp_path / "all.csv").exit_code == 1


def test_a_clip_in_two_tables_of_an_audio_folder_is_one(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "metadata.csv").write_text("file_name,gender,mood\ntrain/a.wav,F,glad\n")
    (tmp_path / "train" / "metadata.csv").write_text("file_name,gender\na.wav,F\n")
    result = import_corpora([tmp_path], tables_only=True)
    assert result.total.dropped == {REPEATED: 1}
    assert result.table["mood"].to_list() == ["glad"]


def test_one_file_with_both_genders_is_a_failure_of_the_import(tmp_path: Path) -> None:
    wav(tmp_path / "mine" / "a.wav")
    (tmp_path / "mine" / "metadata.csv").write_text("file_name,gender\na.wav,F\na.wav,man\na.wav,F\n")
    for command in (("import", tmp_path / "mine", tmp_path / "all.csv"), ("check", tmp_path / "mine")):
        result = run("corpus", *command)
        assert result.exit_code == 1
        assert (
            "has 1 clip labelled both female and male, such as mine/-/-/a. Only one row of a clip is kept"
            in result.stderr
        )
    (tmp_path / "mine" / "metadata.csv").write_text("file_name,gender\na.wav,F\na.wav,woman\na.wav,other\n")
    assert run("corpus", "import", tmp_path / "mine", tmp_path / "all.csv").exit_code == 0


@pytest.mark.parametrize(
    ("rows", "fatal"),
    [
        ("a.wav,female\na.wav,male\n", {"files with both genders"}),
        ("a.wav,female\nb.wav,male\n", {"file contents with both genders"}),
        ("a.wav,female\na.wav,female\nb.wav,female\n", set()),
        ("a.wav,female\nb.wav,other\na.wav,\n", set()),
        ("a.wav,female\nc.wav,male\n", set()),
    ],
)
def test_check_calls_both_genders_on_one_file_fatal(rows: str, fatal: set[str], tmp_path: Path) -> None:
    wav(tmp_path / "a.wav")
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    wav(tmp_path / "c.wav", 300.0)
    lines = [f"{at},{row}\n" for at, row in enumerate(rows.splitlines())]
    (tmp_path / "all.csv").write_text("clip_id,path,gender\n" + "".join(lines))
    result = run("corpus", "check", tmp_path / "all.csv", "--format", "csv")
    found = {line.partition(",")[0] for line in result.stdout.splitlines() if ",fatal," in line}
    assert (found, result.exit_code) == (fatal, int(bool(fatal)))
    result = run("corpus", "check", tmp_path / "all.csv", "--tables-only")
    assert result.exit_code == int("files with both genders" in fatal)
