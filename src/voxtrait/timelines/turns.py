"""Reads known turns of speakers from files in the usual formats."""

import codecs
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Final

from voxtrait.errors import OptionError
from voxtrait.timelines import documents, elan, praat, rows, subtitles
from voxtrait.timelines.reading import Turn, chosen
from voxtrait.timelines.records import Segment

Reader = Callable[[str, str], Iterator[Turn]]

LARGEST: Final = 256 * 2**20  # bytes of a file

_BY_ENDING: Final[dict[str, Reader]] = {
    ".rttm": rows.rttm,
    ".textgrid": praat.read,
    ".eaf": elan.read,
    ".srt": subtitles.read,
    ".vtt": subtitles.read,
    ".json": documents.read,
    ".jsonl": documents.read,
    ".csv": rows.separated,
    ".tsv": rows.separated,
}


def read_turns(path: str | os.PathLike[str], *, recording: str | None = None) -> list[Segment]:
    """Read the turns of one recording from a file.

    The format is detected from the content, or else from the suffix of the file name. Supported are RTTM; TextGrid
    (with one interval tier, its labels are the speakers; with several, each tier is a speaker); ELAN ``.eaf``; SRT and
    WebVTT with speakers; label tracks of Audacity; JSON of voxtrait, WhisperX or pyannote, or a list of segments; and
    CSV or TSV with a header. Speakers keep their names. Parts without a speaker, such as silence and music, and turns
    of zero length are skipped.

    Args:
        path: text file in UTF-8, UTF-16 with a byte order mark, or Latin-1; or folder with one such file per recording,
            which has the name of the recording with another suffix.
        recording: path or name of the recording. Required for a folder, and for a file with the turns of several
            recordings.

    Returns:
        The turns by start. Overlapping turns stay separate.

    Raises:
        OptionError: if the file cannot be read. The message states the file, the line, and what was expected.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "talk.rttm")
        ...     _ = file.write_text("SPEAKER talk 1 0.500 1.500 <NA> <NA> Anna <NA> <NA>")
        ...     read_turns(file)
        [Segment(start_s=0.5, end_s=2.0, speaker='Anna', kind=None)]
    """
    file = _of_recording(path, recording) if Path(path).is_dir() else os.fsdecode(path)
    return chosen(file, _turns(file), recording)


def turns_of(path: str | os.PathLike[str], recordings: Sequence[str]) -> dict[str, list[Segment] | OptionError]:
    """Read the turns of several recordings, from a file that names them or a folder with a file for each.

    Args:
        path: as for :func:`read_turns`.
        recordings: paths of the recordings.

    Returns:
        Recording → its turns, or an error if it has no turns.

    Raises:
        OptionError: if the file cannot be read, or contains the turns of only one recording.
    """
    found: dict[str, list[Segment] | OptionError] = {}
    if Path(path).is_dir():
        files: dict[str, str] = {}
        for recording in recordings:
            try:
                file = _of_recording(path, recording)
                found[recording] = read_turns(file, recording=recording)
            except OptionError as error:
                found[recording] = error
                continue
            first = files.setdefault(file, recording)
            if first != recording:
                found[first] = found[recording] = OptionError(
                    f"{file} has the name of two recordings, {first} and {recording}. Expected one file for each, in "
                    "folders like those of the recordings."
                )
        return found
    name = os.fsdecode(path)
    turns = _turns(name)
    if len({turn.recording for turn in turns} - {None}) < 2:
        raise OptionError(
            f"{name} has the turns of one recording, but there are {len(recordings)} recordings. Expected an RTTM or "
            "CSV file that names the recordings, or a folder with one file for each."
        )
    for recording in recordings:
        try:
            found[recording] = chosen(name, turns, recording)
        except OptionError as error:
            found[recording] = error
    return found


def _of_recording(folder: str | os.PathLike[str], recording: str | None) -> str:
    """Return the file in a folder that belongs to a recording, from the same subfolder or else from the folder."""
    whole = PurePath(recording or "")
    below = [part for part in whole.parent.parts if part != whole.anchor]
    found: list[Path] = []
    for place in range(len(below) + 1):
        inside = Path(folder, *below[place:])
        if inside.is_dir():
            found = sorted(
                file
                for file in inside.iterdir()
                if file.stem in {whole.stem, whole.name} and file.suffix.lower() in (*_BY_ENDING, ".txt")
            )
        if found:
            break
    if len(found) != 1:
        number = f"{len(found)} files" if found else "no file"
        raise OptionError(
            f"{os.fsdecode(folder)} has {number} with the turns of {recording or 'standard input'}. Expected one, such "
            f"as {PurePath(recording or 'talk').stem}.rttm."
        )
    return os.fsdecode(found[0])


def _turns(file: str) -> list[Turn]:
    text = _text(file)
    try:
        return list(_reader(file, text)(file, text))
    except RecursionError:
        raise OptionError(f"{file} is nested too deeply. Expected a list of turns.") from None


def _text(file: str) -> str:
    try:
        size = Path(file).stat().st_size
        if size > LARGEST:
            raise OptionError(f"{file} has {size:,} bytes. Expected at most {LARGEST:,}.")
        data = Path(file).read_bytes()
    except FileNotFoundError:
        raise OptionError(f"No such file: {file}. Expected a file with the turns of speakers.") from None
    except OSError as error:
        raise OptionError(f"{file} cannot be read: {error.strerror}.") from None
    text = decoded(data)
    if text is None or ("\0" in text and not text.startswith("ooBinaryFile")):
        raise OptionError(f"{file} is a binary file or damaged text. Expected a text file with the turns of speakers.")
    if not text.strip():
        raise OptionError(f"{file} is empty. Expected a text file with the turns of speakers.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decoded(data: bytes) -> str | None:
    r"""Decode UTF-8 with or without a byte order mark, UTF-16 with one, or else Latin-1; ``None`` if damaged.

    Examples:
        >>> decoded("Zoë".encode("utf-16")), decoded("Zoë".encode("latin-1")), decoded("Zoë".encode("utf-8-sig"))
        ('Zoë', 'Zoë', 'Zoë')
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _reader(file: str, text: str) -> Reader:
    """Return the reader for the content, or else for the suffix."""
    lines = [line for line in text.lstrip().split("\n", 200)[:200] if line.strip()]
    first = next((line.lstrip() for line in lines if not line.startswith((";;", "\\"))), lines[0])
    start = "\n".join(lines[:4])
    ending = Path(file).suffix.lower()
    if first.startswith("{") or (first.startswith("[") and "-->" not in start):
        return documents.read
    if first.startswith("<"):
        return elan.read
    if first.startswith("ooBinaryFile") or "ooTextFile" in first or '"TextGrid"' in start:
        return praat.read
    if first.startswith("WEBVTT") or any("-->" in line for line in lines[:4]):
        return subtitles.read
    if rows.is_rttm(first):
        return rows.rttm
    if rows.is_label(first):
        return rows.audacity
    if ending in _BY_ENDING:
        return _BY_ENDING[ending]
    if any(first.count(mark) for mark in ",;\t|"):
        return rows.separated
    raise rows.unknown(file)
