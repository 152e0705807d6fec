"""The file of decisions: what it may say, and what becomes of a table by it."""

from pathlib import Path

import polars as pl
import pytest

from voxtrait import manifest
from voxtrait.corpora import decisions
from voxtrait.errors import CorpusError

HEADER = "scope,id,decision,value,note\n"


def table() -> pl.DataFrame:
    return manifest.conform(
        pl.DataFrame(
            {
                "clip_id": ["a", "b", "c", "d", "e"],
                "path": [f"{name}.mp3" for name in "abcde"],
                "speaker_id": ["s1", "s1", "s2", None, "s3"],
                "gender": ["male", "male", "female", None, "male"],
                "age_group": ["twenties", "twenties", None, "teens", "forties"],
                "age_years": [23.0, None, None, 15.0, 44.0],
                "mood": ["x", "y", "z", "x", "y"],
            }
        )
    )


def applied(folder: Path, *lines: str) -> decisions.Applied:
    file = folder / "decisions.csv"
    file.write_text(HEADER + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return decisions.apply(table(), decisions.read(file))


def test_a_speakers_label_becomes_another_and_the_rows_remember(tmp_path: Path) -> None:
    new, dropped, changed = applied(tmp_path, "speaker,s1,gender,female,heard twice")
    assert new["gender"].to_list() == ["female", "female", "female", None, "male"]
    assert new["decided"].to_list() == ["gender: male → female"] * 2 + [None] * 3
    assert (dropped, changed["gender"], changed["age_group"]) == ({}, 2, 0)
    assert new.columns == [*table().columns, "decided"]


def test_the_clip_wins_over_its_speaker(tmp_path: Path) -> None:
    new, dropped, changed = applied(
        tmp_path, "speaker,s1,gender,female,", "clip,a,keep,gender,", "speaker,s3,remove,,", "clip,e,keep,,"
    )
    assert new["gender"].to_list() == ["male", "female", "female", None, "male"]
    assert (dropped, changed["gender"], changed["kept"]) == ({}, 1, 2)


def test_an_empty_value_makes_a_label_unknown(tmp_path: Path) -> None:
    new, _, changed = applied(tmp_path, "clip,c,gender,,", "speaker,s1,age_group,,")
    assert new["gender"].to_list() == ["male", "male", None, None, "male"]
    assert new["age_group"].to_list() == [None, None, None, "teens", "forties"]
    assert new["age_years"].to_list() == [None, None, None, 15.0, 44.0]
    assert new["decided"].to_list() == ["age_group: twenties → unknown"] * 2 + ["gender: female → unknown", None, None]
    assert (changed["gender"], changed["age_group"]) == (1, 2)


def test_years_outside_of_a_new_group_are_forgotten_and_others_stay(tmp_path: Path) -> None:
    new, _, changed = applied(tmp_path, "clip,a,age_group,fifties,", "clip,e,age_group,forties,")
    assert new["age_years"].to_list() == [None, None, None, 15.0, 44.0]
    assert changed["age_group"] == 1  # forties was forties


def test_removed_rows_go_and_are_counted_by_reason(tmp_path: Path) -> None:
    new, dropped, _ = applied(tmp_path, "speaker,s1,remove,,", "clip,d,remove,,noise")
    assert new["clip_id"].to_list() == ["c", "e"]
    assert dropped == {"removed by a decision on the speaker": 2, "removed by a decision on the clip": 1}


def test_clips_move_to_another_person(tmp_path: Path) -> None:
    new, _, changed = applied(tmp_path, "speaker,s2,speaker,s1,one voice", "clip,b,speaker,s1/2,", "clip,e,speaker,,")
    assert new["speaker_id"].to_list() == ["s1", "s1/2", "s1", None, None]
    assert new["decided"][2] == "speaker: s2 → s1"
    assert changed["speaker_id"] == 3


def test_two_labels_of_one_row_are_both_remembered_and_so_is_what_was_decided_before(tmp_path: Path) -> None:
    new, _, _ = applied(tmp_path, "speaker,s1,gender,female,", "clip,a,age_group,teens,")
    assert new["decided"][0] == "gender: male → female; age_group: twenties → teens"
    file = tmp_path / "more.csv"
    file.write_text(HEADER + "clip,b,gender,,\n")
    assert decisions.apply(new, decisions.read(file)).table["decided"][1] == (
        "gender: male → female; gender: female → unknown"
    )


def test_words_without_effect_change_nothing_and_ids_that_match_nothing_are_counted(tmp_path: Path) -> None:
    lines = ("speaker,s1,apart,s2,", "clip,c,unsure,gender,", "speaker,s9,gender,male,", "clip,s1,remove,,")
    new, dropped, changed = applied(tmp_path, *lines)
    assert new.drop("decided").equals(table())
    assert dropped == {}
    assert changed == {"gender": 0, "age_group": 0, "speaker_id": 0, "kept": 0, "matched nothing": 2}
    found = decisions.unmatched(table(), None, decisions.read(tmp_path / "decisions.csv"))
    assert found["line"].to_list() == [4, 5]


def test_the_file_comes_back_with_quotes_commas_and_line_breaks(tmp_path: Path) -> None:
    rows = [("clip", 'a,"b"\nc', "gender", "male", "it's, well"), ("speaker", "<script>", "keep", "", "")]
    made = pl.DataFrame(rows, schema=list(decisions.COLUMNS), orient="row")
    decisions.write(made, tmp_path / "d.csv")
    found = decisions.read(tmp_path / "d.csv")
    assert found.drop("line").equals(made)
    assert found["line"].to_list() == [3, 4]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has the columns nothing. Expected scope, id, decision, value, note"),
        ("clip_id,doubt\n", "has the columns clip_id, doubt. Expected scope"),
        (HEADER + "clip,a,gender\n", "line 2: 3 fields, expected 5"),
        (HEADER + "clip,a,gender,masculine,\n", "line 2: got the value 'masculine' for gender, expected female, male"),
        (HEADER + "clip,a,delete,,\n", "line 2: got the decision 'delete', expected one of keep, gender,"),
        (HEADER + "person,a,keep,,\n", "line 2: got the scope 'person', expected clip or speaker"),
        (HEADER + "clip,,keep,,\n", "line 2: no id"),
        (HEADER + "clip,a,remove,yes,\n", "got the value 'yes' for remove, expected no value"),
        (HEADER + "speaker,a,apart,a,\n", "apart needs the scope speaker, and another speaker as value"),
        (
            HEADER + "clip,a,gender,male,\nclip,a,gender,female,\n",
            "line 3: 'gender female' contradicts 'gender male' on line 2 for the same clip",
        ),
        (HEADER + "clip,a,keep,gender,\nclip,a,gender,female,\n", "contradicts 'keep' on line 2 for the same clip"),
        (
            HEADER + "clip,a,remove,,\nclip,a,keep,,\n",
            "line 3: 'keep' contradicts 'remove' on line 2 for the same clip",
        ),
        (HEADER + '"clip,a', "cannot be read as a CSV of decisions"),
    ],
)
def test_what_is_no_file_of_decisions_is_refused_by_line(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(CorpusError, match=why):
        decisions.read(tmp_path / "d.csv")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="No such file of decisions"):
        decisions.read(tmp_path / "none.csv")
    (tmp_path / "d.csv").write_bytes(HEADER.encode() + b"clip,\xff,keep,,\n")
    with pytest.raises(CorpusError, match="cannot be read as a CSV"):
        decisions.read(tmp_path / "d.csv")
    with pytest.raises(CorpusError, match="cannot be read"):
        decisions.read(tmp_path)


def test_many_bad_rows_are_not_all_shown(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(HEADER + "clip,a,burn,,\n" * 12)
    with pytest.raises(CorpusError, match=r"line 6: .*; and 7 more"):
        decisions.read(tmp_path / "d.csv")
