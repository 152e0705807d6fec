"""Writes timelines as Praat TextGrid files, and reads turns from the long and the short text format."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from voxtrait.errors import OptionError, clipped
from voxtrait.timelines.naming import is_speaker, one_line
from voxtrait.timelines.reading import Turn, problem, seconds, segment
from voxtrait.timelines.records import Segment, Speaker, Timeline

MUSIC: Final = "music"
EMPTY: Final = "speakers"  # name of the empty tier of a recording without speech: Praat needs a tier
_TOKEN: Final = re.compile(r'"(?P<text>(?:[^"]|"")*)"|(?P<comment>![^\n]*)|(?P<open>")|(?P<word>[^\s"]+)')
_DIGITS: Final = 18  # of a count
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_DESCRIBED: Final = re.compile(r"(?:female|male|unsure)(?: \d+)?")


def write(timeline: Timeline) -> str:
    """Return a TextGrid in the long text format, with one interval tier per speaker, and one for music, if any.

    The intervals of a tier cover the whole recording. Overlapping turns of one speaker are merged. A recording without
    speech gives one empty tier; a recording without a duration (status ``error``) gives an empty text.

    Examples:
        >>> talk = Timeline("talk.mp3", "ok", None, 9.0, 4.0, (Speaker("S1", 4.0, "female", 0.99, 41.2),),
        ...     (Segment(1.0, 5.0, "S1"),), "voxtrait-base 2.2")
        >>> print(write(talk).splitlines()[10].strip())
        name = "S1"
        >>> [line.strip() for line in write(talk).splitlines() if "text" in line]
        ['text = ""', 'text = "S1 female 41"', 'text = ""']
    """
    if timeline.duration_s is None:
        return ""
    stop = max([timeline.duration_s, *(one.end_s for one in timeline.segments)])
    tiers = [
        (one.speaker, _described(one), [turn for turn in timeline.segments if turn.speaker == one.speaker])
        for one in timeline.speakers
    ]
    music = [one for one in timeline.segments if one.kind == MUSIC]
    if music:
        tiers.append((MUSIC, MUSIC, music))
    if not tiers:
        tiers.append((EMPTY, "", []))
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0", f"xmax = {_time(stop)}", "tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, label, turns) in enumerate(tiers, start=1):
        intervals = list(_tiles(turns, label, stop))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(name)}"]
        lines += ["        xmin = 0", f"        xmax = {_time(stop)}", f"        intervals: size = {len(intervals)}"]
        for place, (start, end, text) in enumerate(intervals, start=1):
            lines += [f"        intervals [{place}]:", f"            xmin = {start}", f"            xmax = {end}"]
            lines.append(f"            text = {_quoted(text)}")
    return "\n".join(lines) + "\n"


def _described(speaker: Speaker) -> str:
    years = None if speaker.age_years is None else f"{speaker.age_years:.0f}"
    return " ".join(part for part in (speaker.speaker, speaker.gender, years) if part)


def _time(seconds_: float) -> str:
    return f"{seconds_:.6f}".rstrip("0").rstrip(".") or "0"


def _quoted(text: str) -> str:
    return '"' + one_line(text).replace('"', '""') + '"'


def _tiles(turns: list[Segment], label: str, stop: float) -> Iterator[tuple[str, str, str]]:
    merged: list[list[float]] = []
    for one in sorted(turns, key=lambda one: one.start_s):
        start, end = round(max(one.start_s, 0.0), 6), round(one.end_s, 6)
        if merged and start < merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        elif end > start:
            merged.append([start, end])
    reached, last = 0.0, round(stop, 6)
    for start, end in merged:
        if start > reached:
            yield _time(reached), _time(start), ""
        yield _time(start), _time(end), label
        reached = end
    if reached < last:
        yield _time(reached), _time(last), ""


class _Token(NamedTuple):
    line: int
    value: str
    kind: str  # text, number or flag


def read(file: str, text: str) -> Iterator[Turn]:
    """Yield the turns of a TextGrid.

    With one interval tier, its labels are the speakers. With several, each tier is the speaker of that name, and every
    interval with a label is a turn. Point tiers, and the tier ``music`` of :func:`write`, are skipped, and so are empty
    intervals and labels of silence, noise or music.

    Raises:
        OptionError: if the file is not a TextGrid in a text format, or is damaged.

    Examples:
        >>> short = 'File type = "ooTextFile"\\n"TextGrid"\\n0\\n9\\n<exists>\\n1\\n'
        >>> short += '"IntervalTier"\\n"who"\\n0\\n9\\n2\\n0\\n5\\n"Anna"\\n5\\n9\\n""\\n'
        >>> [turn.segment for turn in read("a.TextGrid", short)]
        [Segment(start_s=0.0, end_s=5.0, speaker='Anna', kind=None)]
    """
    tiers = [(name, found) for name, found in _tiers(file, text) if not _is_music(name, found)]
    for name, intervals in tiers:
        for line, start, end, label in intervals:
            if not is_speaker(label):
                continue
            speaker = name if len(tiers) > 1 or _is_own(name, label) else label
            if speaker.strip():
                turn = segment(file, f"line {line}", start, end, speaker.strip())
                if turn is not None:
                    yield Turn(turn)


def _is_own(name: str, label: str) -> bool:
    """Return whether a label is one of :func:`write`: name of the tier, gender and age."""
    return label == name or (label.startswith(f"{name} ") and bool(_DESCRIBED.fullmatch(label[len(name) + 1 :])))


def _is_music(name: str, intervals: list[tuple[int, float, float, str]]) -> bool:
    return name == MUSIC and all(label in ("", MUSIC) for _, _, _, label in intervals)


def _tokens(file: str, text: str) -> Iterator[_Token]:
    line, counted = 1, 0  # lines are counted as the text is read, because there may be a million intervals
    for found in _TOKEN.finditer(text):
        line, counted = line + text.count("\n", counted, found.start()), found.start()
        if found["text"] is not None:
            yield _Token(line, found["text"].replace('""', '"'), "text")
        elif found["open"] is not None:
            raise problem(file, f"line {line}", "a quotation mark that is not closed", "a closed text")
        elif found["word"] is not None:
            word = found["word"]
            if _NUMBER.fullmatch(word):
                yield _Token(line, word, "number")
            elif word in ("<exists>", "<absent>"):
                yield _Token(line, word, "flag")


class _Reader:
    """Reads the values of a text file of Praat one after the other, and skips everything else, as Praat does."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text, self.tokens = file, text, _tokens(file, text)

    def next(self, kind: str, what: str) -> _Token:
        token = next(self.tokens, None)
        if token is None:
            last = self.text.rstrip().count("\n") + 1
            raise problem(self.file, f"line {last}", "the end of the file", what)
        if token.kind != kind:
            raise problem(self.file, f"line {token.line}", clipped(token.value), what)
        return token

    def count(self, what: str) -> int:
        token = self.next("number", what)
        if not token.value.isdigit() or len(token.value) > _DIGITS:
            raise problem(self.file, f"line {token.line}", clipped(token.value), what)
        return int(token.value)

    def time(self, what: str) -> tuple[int, float]:
        token = self.next("number", f"the {what} of an interval")
        return token.line, seconds(self.file, f"line {token.line}", token.value, what)


def _tiers(file: str, text: str) -> list[tuple[str, list[tuple[int, float, float, str]]]]:
    if text.startswith("ooBinaryFile"):
        raise OptionError(f"{file} is a binary TextGrid. Save it as a text file in Praat.")
    reader = _Reader(file, text)
    reader.next("text", "the file type of Praat")
    kind = reader.next("text", "the object class TextGrid")
    if kind.value != "TextGrid":
        raise problem(file, f"line {kind.line}", f"object class {clipped(kind.value)}", "TextGrid")
    reader.next("number", "the start of the recording")
    reader.next("number", "the end of the recording")
    if reader.next("flag", "<exists>").value == "<absent>":
        return []
    found = []
    for _ in range(reader.count("the number of tiers")):
        class_ = reader.next("text", "the class of a tier")
        name = reader.next("text", "the name of a tier").value
        reader.next("number", "the start of a tier")
        reader.next("number", "the end of a tier")
        size = reader.count("the number of intervals")
        if class_.value == "IntervalTier":
            intervals = []
            for _ in range(size):
                (line, start), (_, end) = reader.time("start"), reader.time("end")
                intervals.append((line, start, end, reader.next("text", "the label of an interval").value.strip()))
            found.append((name, intervals))
        elif class_.value == "TextTier":
            for _ in range(size):
                reader.next("number", "the time of a point")
                reader.next("text", "the label of a point")
        else:
            raise problem(file, f"line {class_.line}", f"tier class {clipped(class_.value)}", "IntervalTier, TextTier")
    return found
