"""Turns of speakers from the formats of other programs; broken files."""

import json
from pathlib import Path

import pytest

from test_timeline_formats import Rows, rows, written
from textgrids import LONG_GRID, SHORT_GRID
from voxtrait.errors import OptionError
from voxtrait.timelines.turns import read_turns

CONVERSATION: Rows = [(0.5, 2.0, "Anna B."), (1.75, 4.25, "SPEAKER_01"), (5.0, 6.125, "Anna B.")]
ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
<TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2000"/>
<TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="1750"/><TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="4250"/>
<TIME_SLOT TIME_SLOT_ID="ts5" TIME_VALUE="5000"/><TIME_SLOT TIME_SLOT_ID="ts6" TIME_VALUE="6125"/>
<TIME_SLOT TIME_SLOT_ID="ts7"/>
</TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="default-lt" PARTICIPANT="Anna B." TIER_ID="A">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>hi</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts5" TIME_SLOT_REF2="ts6">
<ANNOTATION_VALUE/></ALIGNABLE_ANNOTATION></ANNOTATION>
</TIER>
<TIER LINGUISTIC_TYPE_REF="words" PARENT_REF="A" TIER_ID="A-words">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a4" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts7">
<ANNOTATION_VALUE>h</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
</TIER>
<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="SPEAKER_01">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
<ANNOTATION_VALUE>x</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
</TIER>
</ANNOTATION_DOCUMENT>
"""
LABELS = (
    "0.500000\t2.000000\tAnna B.\n\\\t100.0\t200.0\n1.75\t4.25\tSPEAKER_01\n5,000000\t6,125000\tAnna B.\n7\t8\tmusic\n"
)
SRT = """1
00:00:00,500 --> 00:00:02,000
Anna B.: Well, this is it:
a day.

2
00:00:01,750 --> 00:00:04,250
<i>[SPEAKER_01]</i> No.

3
00:00:05,000 --> 00:00:06,125
Anna B. (female, 41)

4
00:00:06,500 --> 00:00:07,000
he said this: nothing
"""
VTT = """WEBVTT - a talk

NOTE by hand

STYLE
::cue { color: red }

00:00.500 --> 00:02.000 align:start
<v Anna B.>Well, this</v> is it.

second
00:00:01.750 --> 00:00:04.250
<v.loud SPEAKER_01>No.

00:05.000 --> 00:06.125
- Anna B.: Yes
"""
DICTS = [{"start": start, "end": end, "speaker": who} for start, end, who in CONVERSATION]
CASES: dict[str, str | bytes] = {
    "talk.rttm": ";; made by hand\nSPKR-INFO talk 1 <NA> <NA> <NA> unknown Anna_B. <NA>\n"
    + "".join(
        f"SPEAKER talk 1 {start:.3f} {end - start:.3f} <NA> <NA> {str(who).replace(' ', '_')} <NA> <NA>\r\n"
        for start, end, who in CONVERSATION
    ),
    "long.TextGrid": LONG_GRID,
    "long16.TextGrid": LONG_GRID.encode("utf-16"),
    "short.TextGrid": SHORT_GRID.replace("\n", "\r\n"),
    "short8.TextGrid": SHORT_GRID.encode("utf-8-sig"),
    "talk.eaf": ELAN,
    "labels.txt": LABELS,
    "talk.srt": SRT,
    "talk.vtt": VTT,
    "whisperx.json": json.dumps({"segments": [*DICTS, {"start": 7, "end": 8, "text": "?"}], "word_segments": []}),
    "pyannote.json": json.dumps({"diarization": DICTS, "confidence": {}}),
    "job.json": json.dumps({"jobId": "x", "status": "succeeded", "output": {"diarization": DICTS}}),
    "annotation.json": json.dumps(
        {
            "pyannote": "Annotation",
            "content": [
                {"segment": {"start": start, "end": end}, "track": number, "label": who}
                for number, (start, end, who) in enumerate(CONVERSATION)
            ],
        }
    ),
    "list.json": json.dumps(DICTS),
    "lines.jsonl": "\n".join(json.dumps(one) for one in DICTS),
    "talk.csv": "Start,End,Speaker,Text\n" + "".join(f'{s},{e},{who},"a, b"\n' for s, e, who in CONVERSATION),
    "onset.csv": "LABEL;ONSET;DURATION\n" + "".join(f"{who};{s};{e - s}\n" for s, e, who in CONVERSATION),
    "talk.tsv": "speaker\tonset\toffset\n" + "".join(f"{who}\t{s}\t{e}\n" for s, e, who in CONVERSATION),
    "latin.txt": b"start\tend\tspeaker\tnote\n"
    + "".join(f"{s}\t{e}\t{who}\tZoë\n" for s, e, who in CONVERSATION).encode("latin-1"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ending", ["kept", "lost"])
def test_the_same_conversation_from_every_format(name: str, ending: str, tmp_path: Path) -> None:
    path = written(tmp_path, name if ending == "kept" else "turns", CASES[name])
    expected = CONVERSATION
    if name.endswith(".rttm"):
        expected = [(start, end, str(who).replace(" ", "_")) for start, end, who in expected]
    if name.endswith(".srt"):  # "[SPEAKER_01] No." between tags
        assert rows(read_turns(path))[1][2] == "SPEAKER_01"
    assert rows(read_turns(path)) == expected


def test_labels_are_the_speakers_of_a_textgrid_with_one_tier(tmp_path: Path) -> None:
    grid = SHORT_GRID.split('"IntervalTier"\n"SPEAKER_01"')[0].replace("<exists>\n2", "<exists>\n1")
    assert rows(read_turns(written(tmp_path, "a.TextGrid", grid))) == [(0.5, 2.0, "a"), (5.0, 6.125, "b")]


@pytest.mark.parametrize("kind", ["textgrid", "eaf", "vtt"])
def test_files_that_other_libraries_write(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"made.{kind}"
    if kind == "textgrid":
        textgrid = pytest.importorskip("textgrid")
        grid = textgrid.TextGrid(maxTime=8.0)
        for name in ("Anna B.", "SPEAKER_01"):
            tier = textgrid.IntervalTier(name=name, maxTime=8.0)
            for start, end, who in CONVERSATION:
                if who == name:
                    tier.add(start, end, "x")
            grid.append(tier)
        grid.write(str(path))
    elif kind == "eaf":
        elan = pytest.importorskip("pympi").Elan.Eaf()
        elan.remove_tier("default")
        for name in ("Anna B.", "SPEAKER_01"):
            elan.add_tier(name)
        for start, end, who in CONVERSATION:
            elan.add_annotation(who, round(start * 1000), round(end * 1000), "x")
        elan.to_file(str(path))
    else:
        webvtt = pytest.importorskip("webvtt")
        made = webvtt.WebVTT()
        for start, end, who in CONVERSATION:
            made.captions.append(webvtt.Caption(f"00:00:{start:06.3f}", f"00:00:{end:06.3f}", f"<v {who}>x</v>"))
        made.save(str(path))
    assert rows(read_turns(path)) == CONVERSATION


# ---- what is wrong

BOMB = '<!DOCTYPE a [<!ENTITY b "c">]><ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>'
BROKEN: dict[str, tuple[str, str | bytes, str]] = {
    "empty": ("a.rttm", "", "is empty"),
    "blank": ("a.srt", "\ufeff \n", "is empty"),
    "binary": ("a.rttm", b"ID3\x04\x00\x00\xff\xfb\x90", "binary file or damaged text"),
    "half a character": ("a.csv", b"\xff\xfea", "binary file or damaged text"),
    "prose": ("a.txt", "We met at noon", "unknown format"),
    "rttm fields": ("a.rttm", "SPEAKER talk 1 0.5\n", "line 1: got 4 fields, expected SPEAKER file"),
    "rttm prose": ("a.rttm", "hello there", "line 1: got 'hello there', expected an RTTM line"),
    "rttm start": ("a.rttm", "SPEAKER t 1 x 1 <NA> <NA> S1", "line 1: got start 'x', expected a finite, non-negative"),
    "rttm negative": ("a.rttm", "\nSPEAKER t 1 -1 1 <NA> <NA> S1", "line 2: got start '-1'"),
    "rttm duration": ("a.rttm", "SPEAKER t 1 1 -1 <NA> <NA> S1", "line 1: got duration '-1'"),
    "rttm nan": ("a.rttm", "SPEAKER t 1 nan 1 <NA> <NA> S1", "line 1: got start 'nan'"),
    "rttm huge": ("a.rttm", "SPEAKER t 1 1e999 1 <NA> <NA> S1", "line 1: got start '1e999'"),
    "labels": ("a.txt", "0.0\t1.0\tA\nB\n", "line 2: got 'B', expected start, end and label"),
    "labels reversed": ("a.txt", "3.0\t1.0\tA\n", "line 1: got end 1 s before start 3 s"),
    "csv header": ("a.csv", "a,b,c\n1,2,3\n", "line 1: got 'a, b, c', expected a header with the columns"),
    "csv no end": ("a.csv", "start,speaker\n1,A\n", "line 1: got 'start, speaker'"),
    "csv short": ("a.csv", "start,end,speaker\n1,2\n", "line 2: got 2 columns, expected 3"),
    "csv time": ("a.csv", "start,end,speaker\n1,2,A\n3,soon,A\n", "line 3: got end 'soon'"),
    "csv reversed": ("a.csv", "start,end,speaker\n3,2,A\n", "line 2: got end 2 s before start 3 s"),
    "csv missing": ("a.csv", "start,end,speaker\n3,,A\n", "line 2: got only the fields 'start, end, speaker'"),
    "json": ("a.json", '{"segments": [\n{]}', "line 2: got damaged JSON"),
    "json other": ("a.json", '{"a": 1}', "got an object with 'a', expected a list named segments"),
    "json number": ("a.json", "[1]", "segment 1: got 1, expected an object"),
    "json scalar": ("a.json", "3", "line 1: got 3, expected a list of segments"),
    "json nan": ("a.json", '[{"start": NaN, "end": 1, "speaker": "A"}]', "segment 1: got start nan"),
    "json bool": ("a.json", '[{"start": true, "end": 1, "speaker": "A"}]', "segment 1: got start True"),
    "json big": ("a.json", f'[{{"start": 0, "end": 1{"0" * 400}, "speaker": "A"}}]', "segment 1: got end 1000"),
    "json speaker": ("a.json", '[{"start": 0, "end": 1, "speaker": {}}]', "segment 1: got speaker {}"),
    "json nobody": ("a.json", '{"segments": [{"start": 0, "end": 1, "text": "hi"}]}', "no segment names a speaker"),
    "json deep": ("a.json", "[" * 200_000, "nested too deeply"),
    "jsonl": ("a.jsonl", '{"start": 0, "end": 1, "speaker": "A"}\n{"start"', "line 2: got"),
    "srt": ("a.srt", "1\n00:00:01 -> 2\nAnna: hi\n", "expected cues with times"),
    "srt times": ("a.srt", "1\nnow --> then\nAnna: hi\n", "line 2: got 'now --> then'"),
    "srt clock": ("a.srt", "1\n1:2:3:4 --> 00:00:09,000\nAnna: hi\n", "line 2: got start '1:2:3:4'"),
    "srt reversed": ("a.srt", "1\n00:00:05,000 --> 00:00:01,000\nAnna: hi\n", "line 2: got end 1 s before start 5 s"),
    "srt nobody": ("a.srt", "1\n00:00:00,000 --> 00:00:01,000\nhello\n", "no cue names a speaker"),
    "eaf": ("a.eaf", "<ANNOTATION_DOCUMENT>\n<TIER>", "line 2: got no element found"),
    "eaf text": ("a.eaf", "hello", "line 1: got"),
    "eaf root": ("a.eaf", "<html/>", "root element 'html'"),
    "eaf doctype": ("a.eaf", BOMB, "document type declaration, which is refused"),
    "eaf slot": ("a.eaf", ELAN.replace('TIME_SLOT_ID="ts4"', 'TIME_SLOT_ID="ts9"'), "time slot 'ts4' without a time"),
    "eaf time": ("a.eaf", ELAN.replace('"4250"', '"x"'), "got end in milliseconds 'x'"),
    "eaf units": ("a.eaf", ELAN.replace('"milliseconds"', '"PAL-frames"'), "times in 'PAL-frames'"),
    "grid binary": ("a.TextGrid", b"ooBinaryFile\x08TextGrid\x00\x00", "binary TextGrid"),
    "grid other": ("a.TextGrid", LONG_GRID.replace('"TextGrid"', '"Sound 2"'), "object class 'Sound 2'"),
    "grid short": ("a.TextGrid", LONG_GRID.replace('"Ach so!"', '"Ach so'), "got a quotation mark that is not closed"),
    "grid end": ("a.TextGrid", "\n".join(LONG_GRID.splitlines()[:20]), "line 20: got the end of the file"),
    "grid count": ("a.TextGrid", LONG_GRID.replace("size = 3", "size = 3.5"), "line 7: got '3.5', expected the number"),
    "grid order": ("a.TextGrid", LONG_GRID.replace("xmin = 1.75", "xmin = 7"), "got end 4.25 s before start 7 s"),
    "grid tier": ("a.TextGrid", LONG_GRID.replace('"TextTier"', '"SpellTier"'), "tier class 'SpellTier'"),
    "grid prose": ("a.TextGrid", "hello", "got the end of the file, expected the file type"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_give_one_clear_error(case: str, tmp_path: Path) -> None:
    name, content, expected = BROKEN[case]
    path = written(tmp_path, name, content)
    with pytest.raises(OptionError) as caught:
        read_turns(path)
    message = str(caught.value)
    assert expected in message
    assert message.startswith(str(path))
    assert "\n" not in message
    assert message.endswith(".")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="No such file"):
        read_turns(tmp_path / "none.rttm")
    with pytest.raises(OptionError, match="has no file with the turns"):
        read_turns(tmp_path)


def test_turns_of_zero_length_are_dropped(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "start,end,speaker\n3,4,A\n1,1,A\n0,1,B\n2,3,\n")
    assert rows(read_turns(path)) == [(0.0, 1.0, "B"), (3.0, 4.0, "A")]
