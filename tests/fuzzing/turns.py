"""Readers of known turns: every format of other programs, and the timeline that is written from them."""

import contextlib
import json
import math
from collections.abc import Callable
from functools import partial
from typing import Final

from fuzzing import Target
from fuzzing.sound import place
from textgrids import LONG_GRID, SHORT_GRID
from voxtrait.errors import OptionError

RTTM: Final = (
    b"SPEAKER talk 1 0.500 1.500 <NA> <NA> Anna <NA> <NA>\nSPEAKER talk 1 1.75 2.5 <NA> <NA> S2 0.9 <NA>\n",
    b";; a comment\nSPKR-INFO talk 1 <NA> <NA> <NA> unknown S1 <NA>\nSPEAKER news 1 5 1.125 <NA> <NA> S1 <NA> <NA>\n",
)
EAF: Final = b"""<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" VERSION="3.0"><HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/>
<TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2000"/></TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="d" TIER_ID="one" PARTICIPANT="Anna"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1"
TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2"><ANNOTATION_VALUE>Hello &amp; so on</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>
</ANNOTATION></TIER><TIER TIER_ID="two" PARENT_REF="one"/></ANNOTATION_DOCUMENT>
"""
SRT: Final = (
    "1\n00:00:01,000 --> 00:00:02,500\nAnna: Hello.\n\n2\n00:00:03,000 --> 00:00:04,000\n[Ben] Hi.\n\n".encode(
        "utf-16"
    ),
    b"1\r\n00:00:01,000 --> 00:00:05,250\r\nS1 (male, 4)\r\n\r\n2\r\n01:00:05,250 --> 01:00:06,000\r\n\xe2\x99\xaa\r\n",
)
VTT: Final = (
    b"WEBVTT\n\n00:01.000 --> 00:02.500 align:start\n<v.loud.first Anna B.>Hello <i>there</i></v>\n\n"
    b"00:03.000 --> 00:04.000\n<v Ben>Hi.\n- Anna: {\\an8} Yes.\n",
)
JSON: Final = (
    b'{"path": "talk.mp3", "segments": [{"start_s": 0.35, "end_s": 4.62, "speaker": "S1"}, {"start_s": 30.1, "end_s": '
    b'52.8, "speaker": null, "kind": "music"}]}',
    b'{"output": {"diarization": [{"speaker": "SPEAKER_00", "start": 0.2, "end": 1.5}]}}',
    b'[{"segment": {"start": "0:01.5", "end": 2}, "track": "A", "label": "A"}, {"onset": 1, "duration": 2, "spk": 3}]',
    b'{"path": "a.wav", "segments": [{"start": 0, "end": 1, "speaker": "x"}]}\n{"path": "b.wav", "segments": []}\n',
)
CSV: Final = (
    b'recording,start,end,speaker\ntalk,0.5,2,Anna\ntalk,"1,75",4.25,"B ""x"""\nnews,5,6.125,Anna\n',
    b"Speaker;Onset;Offset\nAnna;0,5;2\n\nBen;0:02.5;00:00:03\n",
    b"\xef\xbb\xbfstart|duration|label\n0|1|music\n1|1|Ben\n",
)
LABELS: Final = (b"0.500000\t2.000000\tAnna\n\\\t100.0\t200.0\n2,5\t3\tBen (male, 30)\n",)
FORMATS: Final[dict[str, tuple[str, tuple[bytes, ...]]]] = {
    "rttm": ("a.rttm", RTTM),
    "textgrid": ("a.TextGrid", (LONG_GRID.encode(), SHORT_GRID.encode(), LONG_GRID.encode("utf-16"))),
    "eaf": ("a.eaf", (EAF,)),
    "srt": ("a.srt", SRT),
    "vtt": ("a.vtt", VTT),
    "json": ("a.json", JSON),
    "csv": ("a.csv", CSV),
    "audacity": ("a.txt", LABELS),
}
WORDS: Final[dict[str, tuple[bytes, ...]]] = {
    "rttm": (b"SPEAKER", b" ", b"1e400", b"nan", b"-1", b"<NA>", b"\n", b"99999999999"),
    "textgrid": (b'"', b'""', b"size = ", b"<exists>", b"<absent>", b"IntervalTier", b"TextTier", b"! ", b"9" * 5000),
    "eaf": (b"<!DOCTYPE x [<!ENTITY a \"aaaa\">]>", b"&a;", b"TIME_VALUE", b"TIME_SLOT_REF1", b"<TIER>", b"]]>",
            b"<![CDATA["),
    "srt": (b"-->", b"<", b"<v ", b":", b"[", b"]", b"<v.a.b.c.d", b"00:00:01,000", b"\n\n", b"99:99:99.999"),
    "vtt": (b"-->", b"<", b"<v ", b":", b"<v" + b"." * 60, b"<v" + b".a" * 60, b"&#x110000;", b"\n\n", b"WEBVTT"),
    "json": (b"[", b"{", b'"segments": ', b'"speaker": ', b"1e400", b"NaN", b"null", b"true", b'"\\ud800"', b"9" * 5000,
             b'{"segments": [' * 500, b"[" * 2000, b'"output": {', b'"start": ', b"-0.0", b"\n"),
    "csv": (b",", b";", b"\t", b"|", b'"', b"\n", b"start", b"end", b"speaker", b"duration", b"1e999", b"offset"),
    "audacity": (b"\t", b"\n", b"\\", b"1e99", b"-", b","),
}  # fmt: skip


def read(name: str, data: bytes) -> str:
    """The turns of one recording, in order and in their limits, with their parts and as text."""
    from voxtrait.timelines.given import alone
    from voxtrait.timelines.turns import read_turns, turns_of

    path = place(name)
    path.write_bytes(data)
    found = read_turns(path, recording="talk.mp3")
    for turn in found:
        assert 0 <= turn.start_s < turn.end_s, f"a turn from {turn.start_s} to {turn.end_s} s"
        assert math.isfinite(turn.end_s)
        assert turn.speaker is not None
        assert turn.speaker.strip()
    assert [turn.start_s for turn in found] == sorted(turn.start_s for turn in found)
    if found and found[-1].end_s < 10_000:
        alone(found)
    with contextlib.suppress(OptionError):
        turns_of(path, ["talk.mp3", "news.mp3"])
    json.dumps([turn.speaker for turn in found])
    return f"{len(found)} turns"


def _seeds(format_: str) -> tuple[bytes, ...]:
    return FORMATS[format_][1]


def _run(format_: str) -> Callable[[bytes], str]:
    return partial(read, FORMATS[format_][0])


TARGETS: Final = tuple(
    Target(f"turns-{one}", partial(_seeds, one), _run(one), (OptionError,), WORDS[one]) for one in FORMATS
)
