"""Finds what splits or manifests share: speakers, clips, file contents, recordings and sentences."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from voxtrait import batch, derived, storage
from voxtrait.errors import NothingToDoError, counted
from voxtrait.fingerprint import LONGEST_S
from voxtrait.integrity.examination import STATES, UNHEARD
from voxtrait.integrity.recordings import near_duplicate_groups, with_contents
from voxtrait.integrity.report import EXAMPLES
from voxtrait.integrity.surveying import FileStates, examine_files
from voxtrait.labels import SPLITS
from voxtrait.manifest.splitting import NO_LEAK, UNKNOWN_LEAK

_NAMES: Final = {  # singular and plural of each kind
    "speakers": ("speaker", "speakers"),
    "clips": ("clip", "clips"),
    "file contents": ("file content", "file contents"),
    "near-duplicates": ("near-duplicate recording", "near-duplicate recordings"),
    "sentences": ("sentence", "sentences"),
}
LEAKS: Final = ("speakers", "clips", "file contents", "near-duplicates")
"""The kinds that must not be shared. Sentences may be shared, and are only reported."""


@dataclasses.dataclass(frozen=True)
class Shared:
    """What more than one side has, for one kind."""

    what: str  # speakers, clips, file contents, near-duplicates, sentences
    count: int | None  # number of shared speakers, clips, …; None: not checked
    clips: int | None = None  # number of their clips, on all sides
    speakers: int | None = None  # number of speakers of these clips; None: no speaker ids
    examples: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Leakage:
    """Result of :func:`leakage`: what the splits of a manifest, or two manifests, share."""

    sides: dict[str, int]  # name of the side → number of clips
    shared: tuple[Shared, ...]
    nameless: int  # clips without speaker id
    not_looked_at: tuple[str, ...]

    @property
    def leaks(self) -> bool:
        """Whether results on one side are inflated after training on another."""
        return any(one.count for one in self.shared if one.what in LEAKS)

    @property
    def verdict(self) -> str:
        """``none``, ``none in the tables``, ``shared: 3 speakers, 1 clip``, or ``unknown: …`` without speaker ids."""
        found = [
            f"{one.count} {_NAMES[one.what][one.count != 1]}" for one in self.shared if one.what in LEAKS and one.count
        ]
        clips = sum(self.sides.values())
        if found:
            return f"shared: {', '.join(found)}"
        if self.nameless:
            have = "has" if self.nameless == 1 else "have"
            return (
                UNKNOWN_LEAK
                if self.nameless == clips
                else f"unknown: {self.nameless} of {clips} clips {have} no speaker id"
            )
        return NO_LEAK if all(one.count is not None for one in self.shared) else "none in the tables"

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per kind: ``shared``, ``count``, ``clips``, ``speakers``, ``examples``; ``None``: unknown."""
        return [
            {"shared": one.what, **{name: getattr(one, name) for name in ("count", "clips", "speakers")}}
            | {"examples": list(one.examples)}
            for one in self.shared
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON-ready values."""
        return {
            "verdict": self.verdict,
            "leaks": self.leaks,
            "sides": self.sides,
            "clips_without_speaker_id": self.nameless,
            "shared": self.rows(),
            "not_looked_at": list(self.not_looked_at),
        }


def leakage(
    manifest: str | os.PathLike[str],
    other: str | os.PathLike[str] | None = None,
    *,
    names: Sequence[str | os.PathLike[str]] = (),
    tables_only: bool = False,
    jobs: batch.Jobs = 1,
    label: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Leakage:
    """Find what the splits of a manifest share, or what two manifests share.

    Speakers are compared by id, clips by path, file contents by bytes, near-duplicates by acoustic fingerprint
    (``voxtrait.fingerprint``), and sentences by text.

    Args:
        manifest: a manifest. Without ``other``, its splits are compared, and rows without a split are ignored.
        other: a second manifest, compared with all rows of the first.
        names: names of the two manifests in messages, if not their file names.
        tables_only: open no audio; file contents and near-duplicates are then not compared.
        jobs: number of worker processes, or a :class:`voxtrait.batch.Where`.
        label: shown before the progress line on standard error; ``None`` shows no progress.
        cache: a folder that stores the state of each file. It may be shared with :func:`voxtrait.integrity.check`.

    Raises:
        ManifestError: if a file is not a manifest.
        NothingToDoError: if there are fewer than two splits, or a manifest has no rows.

    Examples:
        >>> import tempfile
        >>> rows = "path,speaker_id,sentence,split\\na.mp3,x,hello,train\\nb.mp3,x,hello,test\\nc.mp3,y,hello,test\\n"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "all.csv").write_text(rows)
        ...     found = leakage(f"{folder}/all.csv", tables_only=True)
        >>> found.verdict, found.leaks, found.sides
        ('shared: 1 speaker', True, {'train': 1, 'test': 2})
        >>> [(one.what, one.count, one.clips, one.speakers) for one in found.shared if one.count]
        [('speakers', 1, 2, 1), ('sentences', 1, 3, 2)]
    """
    rows, sides = _sides(manifest, other, *names)
    unseen: list[str] = []
    groups: dict[str, pl.DataFrame | None]
    if tables_only:
        unseen.append("audio, so no file contents and no near-duplicates")
        groups = {"file contents": None, "near-duplicates": None}
    else:
        files = rows.select("path").unique(maintain_order=True)
        states = examine_files(files["path"], jobs=jobs, label=label, cache=Path(cache) if cache else None)
        found = with_contents(files.with_columns(**states.columns()))
        unseen += _not_examined(states)
        groups = {
            "file contents": rows.join(found.select("path", key="content"), on="path", how="left"),
            "near-duplicates": rows.join(
                near_duplicate_groups(found, states).select("path", key="recording"), on="path", how="left"
            ),
        }
    tables = {name: rows.with_columns(key=pl.col(key)) for name, key in (("speakers", "speaker_id"), ("clips", "path"))}
    sentences = {"sentences": rows.with_columns(key=pl.col("sentence"))}
    shared = [_shared(name, table) for name, table in (tables | groups | sentences).items()]
    nameless = rows["speaker_id"].null_count()
    if nameless:
        unseen.append(f"speakers of {counted(nameless, 'clip')} without a speaker id")
    if without := rows["sentence"].null_count():
        unseen.append(f"sentences of {counted(without, 'clip')} (missing in the manifest)")
    return Leakage(sides, tuple(shared), nameless, tuple(unseen))


def _sides(
    manifest: str | os.PathLike[str],
    other: str | os.PathLike[str] | None,
    first_name: str | os.PathLike[str] | None = None,
    second_name: str | os.PathLike[str] | None = None,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the rows with their ``side``, and the number of rows on each side."""
    columns = ("clip_id", "path", "speaker_id", "sentence")
    first = derived.labelled_clips(manifest).table
    if other is None:
        rows = first.select(*columns, side="split").filter(pl.col("side").is_not_null())
        names = [name for name in SPLITS if name in rows["side"].unique()]
        if len(names) < 2:
            raise NothingToDoError(
                f"{first_name or manifest} has {'only one split' if names else 'no split'}. Split it first (voxtrait "
                "corpus split), or give a second manifest to compare it with."
            )
    else:
        second = derived.labelled_clips(other).table
        named = [storage.text_of(first_name or manifest), storage.text_of(second_name or other)]
        names = [Path(name).name for name in named]
        if names[0] == names[1]:
            names = [named[0], f"{named[1]} (2)" if named[0] == named[1] else named[1]]
        rows = pl.concat(
            table.select(*columns, side=pl.lit(name)) for name, table in zip(names, (first, second), strict=True)
        )
        for name, table in zip(named, (first, second), strict=True):
            if not table.height:
                raise NothingToDoError(f"{name} has no rows.")
    counts = dict(rows.group_by("side").len().iter_rows())
    return rows, {name: counts[name] for name in names}


def _shared(what: str, table: pl.DataFrame | None) -> Shared:
    """Count the values of ``key`` that are on more than one side."""
    if table is None:
        return Shared(what, None)
    known = table.filter(pl.col("key").is_not_null())
    both = known.group_by("key").agg(sides=pl.col("side").unique()).filter(pl.col("sides").list.len() > 1)
    clips = known.join(both, on="key", how="semi")
    some = both.sort("key").head(EXAMPLES).with_columns(pl.col("sides").list.sort().list.join(", "))
    speakers = clips["speaker_id"].drop_nulls().n_unique() if clips["speaker_id"].count() or not clips.height else None
    return Shared(what, both.height, clips.height, speakers, tuple(_examples(what, some, clips)))


def _examples(what: str, some: pl.DataFrame, clips: pl.DataFrame) -> Iterator[str]:
    for key, sides in some.iter_rows():
        if what in ("file contents", "near-duplicates"):  # their keys are row numbers: show clip ids instead
            key = " = ".join(clips.filter(pl.col("key") == key)["clip_id"].unique().sort().head(EXAMPLES))
        yield f"{key} ({sides})"


def _not_examined(states: FileStates) -> Iterator[str]:
    for state in STATES:
        if state in UNHEARD and (count := states.counts[state]):
            yield f"{counted(count, 'file')} {state}"
    if long := sum(seconds > LONGEST_S for seconds in states.seconds):
        yield f"near-duplicates after the first {LONGEST_S:.0f} s of {counted(long, 'recording')}"
