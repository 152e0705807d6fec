"""Folders made from clips: WAVs, pictures, and shards of pictures."""

from voxtrait.derived.folders import (
    Rows,
    Summary,
    absolute,
    claim,
    class_folders,
    find_pictures,
    finished,
    gather,
    labelled_clips,
    mirrored_names,
    places_of,
    read_settings,
    shown,
    sources,
    walk_class_folders,
)

__all__ = [
    "Rows",
    "Summary",
    "absolute",
    "claim",
    "class_folders",
    "find_pictures",
    "finished",
    "gather",
    "labelled_clips",
    "mirrored_names",
    "places_of",
    "read_settings",
    "shown",
    "sources",
    "walk_class_folders",
]
