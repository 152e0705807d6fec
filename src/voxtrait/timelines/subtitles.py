"""Writes SRT subtitles with speakers, and reads turns from SRT and WebVTT."""

import html
import re
from collections.abc import Iterator
from typing import Final

from voxtrait.errors import OptionError, clipped
from voxtrait.timelines.naming import bare, is_speaker, label
from voxtrait.timelines.reading import Turn, problem, seconds, segment
from voxtrait.timelines.records import Segment, Speaker, Timeline

MUSIC: Final = "♪"
_TIMES: Final = re.compile(r"\s*(\d[\d:.,]*)\s*-->\s*(\d[\d:.,]*)(?:\s.*)?")
LONGEST: Final = 1000  # signs of a line in which a name is looked for
_VOICE: Final = re.compile(r"<v(?:\.[^\s>.]+)*[ \t]+([^>]+)>")
_TAG: Final = re.compile(r"<[^>]*>|\{\\[^}]*\}")
_BRACKETS: Final = re.compile(r"\[([^\[\]]{1,60})\]:?\s*\S.*")
_COLON: Final = re.compile(r"(?P<name>[^:\[\]?!;]{1,60}?)\s*:(?:\s.*)?")
_OWN: Final = re.compile(r".*\S \((?:female|male|unsure)(?:, \d+)?\)")
_BARE: Final = re.compile(r"(?:S|SPEAKER_)\d+")


def write(timeline: Timeline) -> str:
    r"""Return SRT with one cue per turn: name, gender and age of the speaker, and ``♪`` for music.

    Examples:
        >>> talk = Timeline("talk.mp3", "ok", None, 9.0, 4.0, (Speaker("S1", 4.0, "female", 0.99, 41.2),),
        ...     (Segment(1.0, 5.25, "S1"),), "voxtrait-base 2.2")
        >>> print(write(talk))
        1
        00:00:01,000 --> 00:00:05,250
        S1 (female, 41)
        <BLANKLINE>
    """
    labels = {one.speaker: label(one) for one in timeline.speakers}
    cues = []
    for number, one in enumerate(timeline.segments, start=1):
        text = MUSIC if one.speaker is None else labels.get(one.speaker) or label(Speaker(one.speaker, 0.0))
        cues.append(f"{number}\n{_clock(one.start_s)} --> {_clock(one.end_s)}\n{text}\n")
    return "\n".join(cues)


def _clock(time_s: float) -> str:
    minutes, milliseconds = divmod(round(time_s * 1000), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d},{milliseconds % 1000:03d}"


def read(file: str, text: str) -> Iterator[Turn]:
    r"""Yield the turns of SRT or WebVTT subtitles.

    A cue names its speaker as ``<v Anna>``, ``Anna: text``, ``[Anna] text``, or as :func:`write` does. A cue with
    several speakers gives a turn to each. Cues without a speaker are skipped.

    Raises:
        OptionError: if a cue has no valid times, or no cue names a speaker.

    Examples:
        >>> cues = "1\n00:00:01,000 --> 00:00:02,500\nAnna: Hello.\n\n2\n00:00:03,000 --> 00:00:04,000\n[Ben] Hi."
        >>> [(turn.segment.start_s, turn.segment.speaker) for turn in read("a.srt", cues)]
        [(1.0, 'Anna'), (3.0, 'Ben')]
    """
    lines = text.splitlines()
    places = [place for place, line in enumerate(lines) if "-->" in line]
    if not places:
        raise problem(file, "line 1", clipped(lines[0] if lines else ""), "cues with times such as 00:00:01,000 --> …")
    named = False
    for place in places:
        where = f"line {place + 1}"
        times = _TIMES.fullmatch(lines[place])
        if times is None:
            raise problem(file, where, clipped(lines[place]), "times such as 00:00:01,000 --> 00:00:02,500")
        start, end = (
            seconds(file, where, part, what) for part, what in zip(times.groups(), ("start", "end"), strict=True)
        )
        cue = _body(lines, place)
        names = _speakers(cue)
        named = named or bool(names) or any(line.strip() == MUSIC for line in cue)
        for name in names:
            turn: Segment | None = segment(file, where, start, end, name)
            if turn is not None:
                yield Turn(turn)
    if not named:
        raise OptionError(f"{file}: no cue names a speaker. Expected cues such as “Anna: text” or <v Anna>text.")


def _body(lines: list[str], place: int) -> list[str]:
    found = []
    for at in range(place + 1, len(lines)):
        if not lines[at].strip() or "-->" in lines[at]:
            break
        found.append(lines[at][:LONGEST])
    return found


def _speakers(cue: list[str]) -> list[str]:
    """Return the names in the text of a cue, each once."""
    voices = [html.unescape(name).strip() for line in cue for name in _VOICE.findall(line)]
    found = voices or [name for line in cue if (name := _speaker(_TAG.sub("", line).strip())) is not None]
    return [name for name in dict.fromkeys(bare(name) for name in found) if is_speaker(name)]


def _speaker(line: str) -> str | None:
    line = line.removeprefix("-").removeprefix("–").strip()
    if _OWN.fullmatch(line) or _BARE.fullmatch(line):
        return line
    if (bracketed := _BRACKETS.fullmatch(line)) is not None:
        return bracketed[1].strip()
    if (before := _COLON.fullmatch(line)) is not None:
        name = before["name"].strip()
        # "he said this: …" is a sentence, "Anna B.: …" and "speaker_0: …" are names
        if name and (" " not in name or not name[0].islower()):
            return name
    return None
