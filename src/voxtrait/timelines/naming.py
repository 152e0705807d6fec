"""Formats and parses labels of speakers and identifiers of recordings."""

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from voxtrait import storage
from voxtrait.labels import whole_years
from voxtrait.timelines.records import UNSURE, Speaker, Timeline

NOT_SPEAKERS: Final = frozenset({"", "music", "silence", "sil", "noise", "noenergy", "♪"})
"""Labels, in lower case, that mark a part without a speaker."""

_ATTRIBUTES: Final = re.compile(r"(?P<name>.*\S) \((?:female|male|unsure)(?:, \d+)?\)")


def label(speaker: Speaker) -> str:
    """Return name, gender and age of a speaker in one line.

    Examples:
        >>> label(Speaker("S1", 9.0, "female", 0.99, 41.2))
        'S1 (female, 41)'
        >>> label(Speaker("S2", 0.4))
        'S2 (unsure)'
    """
    years = "" if speaker.age_years is None else f", {whole_years(speaker.age_years)}"
    return f"{one_line(speaker.speaker)} ({speaker.gender or UNSURE}{years})"


def bare(text: str) -> str:
    """Return the name in a label, without the gender and age that :func:`label` adds.

    Examples:
        >>> bare("S1 (female, 41)"), bare("Anna (host)")
        ('S1', 'Anna (host)')
    """
    found = _ATTRIBUTES.fullmatch(text.strip())
    return found["name"] if found else text.strip()


def is_speaker(text: str | None) -> bool:
    """Return whether a label names a speaker, and not silence, noise or music.

    Examples:
        >>> is_speaker("Anna"), is_speaker("Music"), is_speaker(None)
        (True, False, False)
    """
    return text is not None and text.strip().lower() not in NOT_SPEAKERS


def one_line(text: str) -> str:
    r"""Return a text with each run of white space replaced by one space.

    Examples:
        >>> one_line("Anna\tB.\n")
        'Anna B.'
    """
    return " ".join(text.split())


def token(text: str) -> str:
    """Return a text without white space, for formats whose fields are separated by it.

    Examples:
        >>> token("Anna B."), token("")
        ('Anna_B.', '_')
    """
    return "_".join(text.split()) or "_"


def shown_path(timeline: Timeline) -> str:
    """Return the path of a recording as valid Unicode; ``recording`` for an array without a path."""
    return "recording" if timeline.path is None else storage.text_of(timeline.path)


def file_ids(timelines: Sequence[Timeline]) -> list[str]:
    """Return one identifier for each recording.

    The identifier is the file name without its suffix. If two different recordings share it, all identifiers are paths
    without suffix; if these are not unique either, they are whole paths. White space is replaced by ``_``.

    Examples:
        >>> made = [Timeline(path, "ok", None, 1.0, 0.0, (), (), "m") for path in ("a/my talk.mp3", "b/my talk.mp3")]
        >>> file_ids(made[:1]), file_ids(made)
        (['my_talk'], ['a/my_talk', 'b/my_talk'])
    """
    paths = [shown_path(one) for one in timelines]
    for made in (
        [token(PurePath(path).stem) for path in paths],
        [token(str(PurePath(path).with_suffix(""))) if PurePath(path).name else token(path) for path in paths],
    ):
        if len(set(made)) == len(set(paths)):
            return made
    return [token(path) for path in paths]
