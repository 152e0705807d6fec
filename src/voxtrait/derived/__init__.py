"""Derives folders from clips: WAV files, spectrogram images, and shards of images."""

from voxtrait.errors import require_corpus

require_corpus("converting and drawing")

from voxtrait.derived.changes import changed_ns, check_unchanged
from voxtrait.derived.folders import (
    Rows,
    Summary,
    absolute,
    class_folders,
    find_pictures,
    gather,
    labelled_clips,
    mirrored_names,
    places_of,
    reason_of,
    shown,
    sources,
    target_of,
    walk_class_folders,
)
from voxtrait.derived.settings import claim, finished, read_settings, remove_what_crashed

__all__ = [
    "Rows",
    "Summary",
    "absolute",
    "changed_ns",
    "check_unchanged",
    "claim",
    "class_folders",
    "find_pictures",
    "finished",
    "gather",
    "labelled_clips",
    "mirrored_names",
    "places_of",
    "read_settings",
    "reason_of",
    "remove_what_crashed",
    "shown",
    "sources",
    "target_of",
    "walk_class_folders",
]
