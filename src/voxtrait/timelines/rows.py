"""Reads turns from RTTM, label tracks of Audacity, and CSV or TSV with a header."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Final

from voxtrait.errors import OptionError, clipped
from voxtrait.timelines.documents import END, LENGTH, OFFSET, SPEAKER, START, turn_of
from voxtrait.timelines.naming import bare, is_speaker
from voxtrait.timelines.reading import Turn, problem, seconds, segment

RTTM_TYPES: Final = frozenset(
    [
        "SPEAKER",
        "SPKR-INFO",
        "SEGMENT",
        "LEXEME",
        "NON-LEX",
        "NON-SPEECH",
        "NOSCORE",
        "NO_RT_METADATA",
        "FILLER",
        "EDIT",
        "IP",
        "SU",
        "CB",
        "A/P",
    ]
)
_RTTM_FIELDS = 8  # type, file, channel, start, duration, orthography, subtype, name
_LABEL: Final = re.compile(r"\s*-?\d+(?:[.,]\d+)?\t-?\d+(?:[.,]\d+)?(?:\t.*)?")


def is_rttm(line: str) -> bool:
    """Return whether a line begins like a line of RTTM.

    Examples:
        >>> is_rttm("SPEAKER talk 1 0.5 2.0 <NA> <NA> S1 <NA> <NA>"), is_rttm("SPEAKER\\tSTART\\tEND")
        (True, False)
    """
    fields = line.split()
    return len(fields) > 1 and fields[0] in RTTM_TYPES and fields[1].lower() not in (*START, *END, *LENGTH, OFFSET)


def is_label(line: str) -> bool:
    """Return whether a line is a label of Audacity: start, end and text, separated by tabs.

    Examples:
        >>> is_label("0.500000\\t2.000000\\tAnna"), is_label("start\\tend\\tspeaker")
        (True, False)
    """
    return _LABEL.fullmatch(line) is not None


def rttm(file: str, text: str) -> Iterator[Turn]:
    """Yield the turns of an RTTM file: its ``SPEAKER`` lines.

    Raises:
        OptionError: if a line has too few fields, or times that are not valid.

    Examples:
        >>> list(rttm("a.rttm", "SPEAKER talk 1 0.500 1.500 <NA> <NA> S1 <NA> <NA>"))
        [Turn(segment=Segment(start_s=0.5, end_s=2.0, speaker='S1', kind=None), recording='talk')]
    """
    for number, line in enumerate(text.splitlines(), start=1):
        where, fields = f"line {number}", line.split()
        if not fields or line.startswith((";", "#")):
            continue
        if fields[0] not in RTTM_TYPES:
            raise problem(file, where, clipped(line), "an RTTM line that starts with SPEAKER")
        if fields[0] != "SPEAKER":
            continue
        if len(fields) < _RTTM_FIELDS:
            count = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
            raise problem(file, where, count, "SPEAKER file channel start duration <NA> <NA> speaker")
        start = seconds(file, where, fields[3], "start")
        length = seconds(file, where, fields[4], "duration")
        turn = segment(file, where, start, round(start + length, 6), fields[7])
        if turn is not None and is_speaker(fields[7]) and fields[7] != "<NA>":
            yield Turn(turn, fields[1])


def audacity(file: str, text: str) -> Iterator[Turn]:
    r"""Yield the turns of a label track of Audacity: the labels are the speakers.

    Lines that start with a backslash hold frequencies and are skipped; so are labels without text and labels of
    silence, noise or music.

    Raises:
        OptionError: if a line is not a label, or has times that are not valid.

    Examples:
        >>> list(audacity("a.txt", "0.500000\t2.000000\tAnna\n\\\t100.0\t200.0\n"))
        [Turn(segment=Segment(start_s=0.5, end_s=2.0, speaker='Anna', kind=None), recording=None)]
    """
    for number, line in enumerate(text.splitlines(), start=1):
        where, fields = f"line {number}", line.split("\t")
        if not line.strip() or line.startswith("\\"):
            continue
        if len(fields) < 2:
            raise problem(file, where, clipped(line), "start, end and label, separated by tabs")
        start, end = seconds(file, where, fields[0], "start"), seconds(file, where, fields[1], "end")
        turn = segment(file, where, start, end, bare(" ".join(fields[2:])))
        if turn is not None and is_speaker(turn.speaker):
            yield Turn(turn)


def separated(file: str, text: str) -> Iterator[Turn]:
    r"""Yield the turns of a table with a header, separated by comma, semicolon, tab or vertical bar.

    Columns, in upper or lower case: ``start``, ``start_s``, ``onset``, ``begin`` or ``tmin``; ``end``, ``end_s``,
    ``offset``, ``stop`` or ``tmax``, or a ``duration``; ``speaker`` or ``label``, or another name of
    :data:`voxtrait.timelines.documents.SPEAKER`.

    Raises:
        OptionError: if a column is missing, or a row has times that are not valid.

    Examples:
        >>> list(separated("a.csv", "Speaker;Onset;Offset\nAnna;0,5;2\n"))
        [Turn(segment=Segment(start_s=0.5, end_s=2.0, speaker='Anna', kind=None), recording=None)]
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t|", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header: list[str] | None = None
    try:
        for row in reader:
            where = f"line {reader.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if header is None:
                header = [cell.strip().lower() for cell in row]
                _check(file, where, header)
                continue
            if len(row) < len(header):
                raise problem(file, where, f"{len(row)} column{'' if len(row) == 1 else 's'}", f"{len(header)}")
            turn = turn_of(file, where, dict(zip(header, (cell.strip() for cell in row), strict=False)))
            if turn is not None:
                yield turn
    except csv.Error as error:
        raise problem(file, f"line {reader.line_num}", str(error), "a table with a header") from None


def _check(file: str, where: str, header: list[str]) -> None:
    names = set(header)
    start = names & {*START, OFFSET}
    end = names & {*END, *LENGTH} or (OFFSET in names and names & {*START})
    if not (start and end and names & {*SPEAKER}):
        expected = "a header with the columns start, end (or duration) and speaker"
        raise problem(file, where, clipped(", ".join(header)), expected)


def unknown(file: str) -> OptionError:
    """Return the error for a file in an unknown format."""
    formats = "RTTM, TextGrid, ELAN, SRT, WebVTT, Audacity labels, JSON, or CSV with the columns start, end, speaker"
    return OptionError(f"{file} is in an unknown format. Expected {formats}.")
