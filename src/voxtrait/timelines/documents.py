"""Reads turns from JSON: timelines of voxtrait, WhisperX and pyannote, lists of segments, and JSON Lines."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from voxtrait.errors import OptionError, clipped
from voxtrait.timelines.naming import is_speaker
from voxtrait.timelines.reading import Turn, problem, seconds, segment

START: Final = ("start", "start_s", "onset", "begin", "start_time", "tmin")
END: Final = ("end", "end_s", "stop", "end_time", "tmax")
LENGTH: Final = ("duration", "duration_s", "dur")
SPEAKER: Final = ("speaker", "speaker_id", "label", "labels", "spk", "participant", "tier", "name", "track")
RECORDING: Final = ("recording", "recording_id", "path", "file", "filename", "audio_filepath", "uri")
OFFSET: Final = "offset"  # an end beside "onset", otherwise a start

_LISTS: Final = ("segments", "diarization", "content", "supervisions")


def turn_of(file: str, where: str, fields: Mapping[str, Any], recording: str | None = None) -> Turn | None:
    """Return the turn in the fields of one segment; ``None`` for a segment without a speaker or of zero length.

    Args:
        file: name of the file, for the error message.
        where: line or number of the segment, for the error message.
        fields: lower-case name → value: a start, an end or a duration, and a speaker.
        recording: name of the recording, unless the fields contain it.

    Raises:
        OptionError: if a time is missing or not valid.

    Examples:
        >>> turn_of("a.csv", "line 2", {"onset": "0.5", "duration": "2", "label": "Anna"})
        Turn(segment=Segment(start_s=0.5, end_s=2.5, speaker='Anna', kind=None), recording=None)
    """
    speaker = next((fields[name] for name in SPEAKER if name in fields), None)
    if speaker is None or not is_speaker(str(speaker)) or fields.get("kind") == "music":
        return None
    if not isinstance(speaker, str | int):
        raise problem(file, where, f"speaker {clipped(speaker)}", "a name")
    start, end, length = (_first(fields, names) for names in (START, END, LENGTH))
    if start is None:
        start = fields.get(OFFSET)
    elif end is None:
        end = fields.get(OFFSET)
    if start is None or (end is None and length is None):
        raise problem(
            file, where, f"only the fields {clipped(', '.join(fields) or 'none')}", "start, end or duration, speaker"
        )
    start_s = seconds(file, where, start, "start")
    end_s = start_s + seconds(file, where, length, "duration") if end is None else seconds(file, where, end, "end")
    found = segment(file, where, start_s, end_s, str(speaker).strip())
    named = _first(fields, RECORDING)
    return None if found is None else Turn(found, recording if named is None else str(named))


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)


def read(file: str, text: str) -> Iterator[Turn]:
    r"""Yield the turns of a JSON or JSON Lines file.

    Supported are one or more timelines of voxtrait; ``{"segments": [...]}`` of WhisperX; ``{"diarization": [...]}`` and
    ``{"content": [...]}`` of pyannote; lists of segments; and one segment or timeline per line, such as supervisions of
    Lhotse. Segments without a speaker are skipped.

    Raises:
        OptionError: if the file is not JSON, has no list of segments, or no segment has a speaker.

    Examples:
        >>> [turn.segment for turn in read("a.json", '[{"start": 0.5, "end": 2, "speaker": "Anna"}]')]
        [Segment(start_s=0.5, end_s=2.0, speaker='Anna', kind=None)]
    """
    entries = [
        (where, _flat(file, where, one), recording) for where, one, recording in _entries(file, _parsed(file, text))
    ]
    if entries and not any(name in fields for _, fields, _ in entries for name in SPEAKER):
        raise OptionError(f"{file}: no segment names a speaker. Expected segments with start, end and speaker.")
    for where, fields, recording in entries:
        turn = turn_of(file, where, fields, recording)
        if turn is not None:
            yield turn


def _parsed(file: str, text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise OptionError(f"{file} is JSON that is nested too deeply. Expected a list of segments.") from None
    except ValueError as error:
        whole = error
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            lines += [json.loads(line)] if line.strip() else []
        except (ValueError, RecursionError):
            if lines:
                raise problem(file, f"line {number}", clipped(line), "one JSON object") from None
            where = f"line {whole.lineno}" if isinstance(whole, json.JSONDecodeError) else "line 1"
            raise problem(file, where, "damaged JSON", "a JSON object or list") from None
    return lines


def _entries(
    file: str, value: Any, where: str = "", recording: str | None = None
) -> Iterator[tuple[str, Any, str | None]]:
    """Yield each segment with its place in the file and its recording."""
    if isinstance(value, dict):
        named = _first(value, RECORDING)
        recording = recording if named is None else str(named)
        if isinstance(value.get("output"), dict):  # a job of pyannoteAI
            value = value["output"]
        held = next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
        if held is None:
            expected = "a list named segments, diarization or content"
            raise problem(file, where or "line 1", f"an object with {clipped(', '.join(value) or 'nothing')}", expected)
        value = held
    if not isinstance(value, list):
        raise problem(file, where or "line 1", clipped(value), "a list of segments")
    for number, one in enumerate(value, start=1):
        place = f"{where}{', ' if where else ''}segment {number}"
        if not where and isinstance(one, dict) and any(isinstance(one.get(name), list) for name in _LISTS):
            yield from _entries(file, one, f"recording {number}", recording)
        else:
            yield place, one, recording


def _flat(file: str, where: str, one: Any) -> dict[str, Any]:
    """Return the fields of a segment by lower-case name; ``{"segment": {"start", "end"}, …}`` is unfolded."""
    if not isinstance(one, dict):
        raise problem(file, where, clipped(one), "an object with start, end and speaker")
    fields = {name.lower(): value for name, value in one.items()}
    inner = fields.pop("segment", None)
    return fields | inner if isinstance(inner, dict) else fields
