"""Timelines in the formats of other programs, read by those programs' own readers and by ours."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from voxtrait.errors import OptionError
from voxtrait.timelines import formats
from voxtrait.timelines.records import COLUMNS, Segment, Speaker, Timeline
from voxtrait.timelines.turns import read_turns

MODEL = "voxtrait-base 2.2"
SPEAKERS = (
    Speaker("S1", 8.25, "female", 0.99, 41.0, 33.0, 50.0, "forties", {"forties": 1.0}),
    Speaker('Zoë "Z"', 5.0, "male", 0.02, 27.0, 21.0, 36.0, "twenties", {"twenties": 1.0}),
    Speaker("S3", 0.5),
)
SEGMENTS = (
    Segment(0.25, 4.5, "S1"),
    Segment(4.0, 9.0, 'Zoë "Z"'),
    Segment(9.0, 12.0, None, "music"),
    Segment(12.0, 15.0, "S1"),
    Segment(14.0, 16.0, "S1"),
    Segment(16.0, 16.5, "S3"),
)
TALK = Timeline("folder/my talk.mp3", "ok", None, 20.0, 13.25, SPEAKERS, SEGMENTS, MODEL)
LOST = Timeline("lost.mp3", "error", "No such file", None, None, (), (), MODEL)
QUIET = Timeline("quiet.mp3", "no_speech", "No speech found", 3.0, 0.0, (), (), MODEL)
NEWS = Timeline("news.mp3", "ok", None, 3.0, 1.0, (Speaker("S1", 1.0),), (Segment(1.0, 2.0, "S1"),), MODEL)

Rows = list[tuple[float, float, str | None]]


def rows(segments: Any) -> Rows:
    return [(round(one.start_s, 3), round(one.end_s, 3), one.speaker) for one in segments]


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# ---- what is written, read by others


def test_praat_reads_the_textgrid(tmp_path: Path) -> None:
    parselmouth = pytest.importorskip("parselmouth")
    grid = parselmouth.read(str(written(tmp_path, "talk.TextGrid", formats.render([TALK], "textgrid"))))
    call = parselmouth.praat.call
    tiers = call(grid, "Get number of tiers")
    assert [call(grid, "Get tier name", tier + 1) for tier in range(tiers)] == ["S1", 'Zoë "Z"', "S3", "music"]
    assert (grid.xmin, grid.xmax) == (0.0, 20.0)
    count = call(grid, "Get number of intervals", 1)
    found = [
        tuple(call(grid, f"Get {what} of interval", 1, number) for what in ("start time", "end time", "label"))
        for number in range(1, count + 1)
    ]
    assert found == [
        (0.0, 0.25, ""),
        (0.25, 4.5, "S1 female 41"),
        (4.5, 12.0, ""),
        (12.0, 16.0, "S1 female 41"),
        (16.0, 20.0, ""),
    ]
    assert call(grid, "Get label of interval", 2, 2) == 'Zoë "Z" male 27'


def test_praat_reads_the_textgrid_of_a_recording_without_speech(tmp_path: Path) -> None:
    parselmouth = pytest.importorskip("parselmouth")
    path = written(tmp_path, "quiet.TextGrid", formats.render([QUIET], "textgrid"))
    assert parselmouth.read(str(path)).xmax == 3.0
    assert read_turns(path) == []


def test_pyannote_reads_the_rttm(tmp_path: Path) -> None:
    util = pytest.importorskip("pyannote.database.util")
    path = written(tmp_path, "talk.rttm", formats.render([TALK, LOST, NEWS], "rttm", many=True))
    found = util.load_rttm(str(path))
    assert list(found) == ["my_talk", "news"]
    turns = [(round(s.start, 3), round(s.end, 3), who) for s, _, who in found["my_talk"].itertracks(yield_label=True)]
    assert turns == [(start, end, str(who).replace(" ", "_")) for start, end, who in rows(TALK.turns)]


def test_pysrt_reads_the_subtitles() -> None:
    pysrt = pytest.importorskip("pysrt")
    cues = pysrt.from_string(formats.render([TALK], "srt"))
    assert [(cue.start.ordinal / 1000, cue.end.ordinal / 1000) for cue in cues] == [
        (one.start_s, one.end_s) for one in SEGMENTS
    ]
    texts = ["S1 (female, 41)", 'Zoë "Z" (male, 27)', "♪", "S1 (female, 41)", "S1 (female, 41)", "S3 (unsure)"]
    assert [cue.text for cue in cues] == texts


def test_lhotse_reads_the_supervisions(tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    path = written(tmp_path, "talk.jsonl", formats.render([TALK, NEWS], "lhotse", many=True))
    found = list(lhotse.SupervisionSet.from_file(str(path)))
    assert [one.speaker for one in found] == [one.speaker for one in (*TALK.turns, *NEWS.turns)]
    assert (found[0].recording_id, found[0].start, found[0].end, found[0].gender) == ("my_talk", 0.25, 4.5, "female")
    assert found[0].custom == {"age_years": 41.0, "age_low": 33.0, "age_high": 50.0, "p_female": 0.99}
    assert len({one.id for one in found}) == len(found)


def test_json_is_the_contracts_object_and_a_list_for_several() -> None:
    assert json.loads(formats.render([TALK], "json")) == TALK.to_dict()
    assert [one["status"] for one in json.loads(formats.render([TALK, LOST], "json", many=True))] == ["ok", "error"]
    assert isinstance(json.loads(formats.render([TALK], "json", many=True)), list)
    lines = formats.render([TALK, LOST], "jsonl", many=True).splitlines()
    assert [json.loads(line)["path"] for line in lines] == ["folder/my talk.mp3", "lost.mp3"]


def test_csv_has_a_row_for_each_segment_and_none_for_errors() -> None:
    text = formats.render([TALK, LOST, NEWS], "csv", many=True)
    found = list(csv.DictReader(io.StringIO(text)))
    assert list(found[0]) == ["path", *COLUMNS]
    assert [row["path"] for row in found] == ["folder/my talk.mp3"] * 6 + ["news.mp3"]
    assert (found[2]["speaker"], found[2]["kind"], found[1]["speaker"]) == ("", "music", 'Zoë "Z"')
    table = pl.read_csv(text.encode())
    assert table["start_s"].to_list()[:6] == [one.start_s for one in SEGMENTS]
    assert table["age_years"].to_list()[0] == 41.0


def test_text_shows_bars_speakers_shares_and_turns() -> None:
    text = formats.text(TALK, 20)
    assert text.splitlines()[0] == "folder/my talk.mp3  0:20  3 speakers, 5 turns, 0:13 of speech"
    assert 'Zoë "Z"  ▁▁▁▁█████▁▁▁▁▁▁▁▁▁▁▁' in text
    assert "music    ▁▁▁▁▁▁▁▁▁███▁▁▁▁▁▁▁▁" in text
    assert "S1       0:08  female 0.99    41 years (33–50)" in text
    assert 'Zoë "Z"  0:05  male 0.98      27 years (21–36)' in text
    assert "0:04.0–0:09.0" in text
    assert "female  0:09  63 %" in text
    assert formats.render([LOST, QUIET], "text", many=True).splitlines() == [
        "lost.mp3  error: No such file",
        "quiet.mp3  no_speech: No speech found",
    ]


def test_text_controls_no_terminal() -> None:
    odd = Timeline("a\x1b[31m.mp3", "error", "bad\x07", None, None, (), (), MODEL)
    assert "\x1b" not in formats.text(odd)
    assert "\x07" not in formats.text(odd)


@pytest.mark.parametrize("format_", formats.SINGLE)
def test_formats_for_one_recording_refuse_several(format_: str) -> None:
    with pytest.raises(OptionError, match="Pass --out FOLDER or one recording"):
        formats.render([TALK, NEWS], format_, many=True)
    with pytest.raises(OptionError, match="Unknown format mp3"):
        formats.render([TALK], "mp3")


@pytest.mark.parametrize("format_", formats.FORMATS)
def test_recordings_without_turns_are_written(format_: str) -> None:
    for one in (LOST, QUIET):
        text = formats.render([one], format_)
        assert text == "" or text.endswith("\n")


# ---- what is written, read back


@pytest.mark.parametrize(
    ("format_", "name"),
    [(format_, f"talk{formats.ENDINGS[format_]}") for format_ in formats.FORMATS if format_ != "text"],
)
def test_turns_come_back(format_: str, name: str, tmp_path: Path) -> None:
    path = written(tmp_path, name, formats.render([TALK], format_))
    expected = rows(TALK.turns)
    if format_ == "textgrid":  # merged
        expected = [one for one in expected if one[0] != 14.0]
        expected[2] = (12.0, 16.0, "S1")
    if format_ == "rttm":
        expected = [(start, end, str(who).replace(" ", "_")) for start, end, who in expected]
    assert rows(read_turns(path)) == expected
    assert rows(read_turns(written(tmp_path, "unnamed", path.read_bytes()))) == expected  # by content alone


def test_a_textgrid_of_one_speaker_keeps_the_name(tmp_path: Path) -> None:
    path = written(tmp_path, "news.TextGrid", formats.render([NEWS], "textgrid"))
    assert rows(read_turns(path)) == [(1.0, 2.0, "S1")]


@pytest.mark.parametrize("format_", ["rttm", "csv", "json", "jsonl", "lhotse"])
def test_one_of_several_recordings_is_chosen(format_: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"all{formats.ENDINGS[format_]}", formats.render([TALK, NEWS], format_, many=True))
    assert rows(read_turns(path, recording="elsewhere/news.flac")) == [(1.0, 2.0, "S1")]
    assert len(read_turns(path, recording="folder/my talk.mp3")) == 5
    for recording in (None, "other"):
        with pytest.raises(OptionError, match=r"has 2 recordings, and .*Expected one of: .*my.talk.*news"):
            read_turns(path, recording=recording)
