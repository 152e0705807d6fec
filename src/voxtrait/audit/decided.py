"""Applies earlier decisions to a manifest under audit, and finds the entries that are already decided."""

import dataclasses

import numpy as np
import polars as pl

from voxtrait.audit.heads import Bools
from voxtrait.corpora import decisions as files

ABOUT = {"gender": "gender", "age": "age_group"}  # task → name of its label in a decision


@dataclasses.dataclass(frozen=True)
class Decided:
    """A manifest with decisions applied; it has the same rows as before.

    Attributes:
        table: the manifest; removed rows have no labels and no speaker.
        kept: ``(clips,)``, true for rows that are not removed.
        done: task → ``(clips,)``, true for clips with a decided label.
        one: ids decided to be one person, or undecidable.
        apart: pairs of ids, in both orders, decided to be two people, or undecidable.
        counts: see :class:`voxtrait.corpora.decisions.Applied`.
    """

    table: pl.DataFrame
    kept: Bools
    done: dict[str, Bools]
    one: frozenset[str]
    apart: frozenset[tuple[str, str]]
    counts: dict[str, int]


def decide(table: pl.DataFrame, made: pl.DataFrame | None) -> Decided:
    """Apply decisions to a manifest under audit.

    Args:
        table: the manifest.
        made: the result of :func:`voxtrait.corpora.decisions.read`; ``None`` for no decisions.

    Examples:
        >>> from voxtrait.manifest import conform
        >>> clips = conform(pl.DataFrame({"path": ["a.mp3", "b.mp3"], "gender": ["male", "male"]}))
        >>> made = {"scope": ["clip", "clip"], "id": ["a", "b"], "decision": ["gender", "remove"], "value": ["", ""]}
        >>> found = decide(clips, pl.DataFrame(made))
        >>> found.kept.tolist(), found.table["gender"].to_list(), found.done["gender"].tolist()
        ([True, False], [None, None], [True, False])
    """
    n = table.height
    if made is None or not made.height:
        done = {task: np.zeros(n, dtype=np.bool_) for task in ABOUT}
        return Decided(table, np.ones(n, dtype=np.bool_), done, frozenset(), frozenset(), {})
    applied = files.apply(table, made)
    labels = ["speaker_id", "gender", "age_group", "age_years"]
    new = table.drop(labels).join(
        applied.table.select("clip_id", *labels, kept=True), on="clip_id", how="left", maintain_order="left"
    )
    decision, value, speaker = pl.col("decision"), pl.col("value"), pl.col("scope") == "speaker"
    looked = decision.is_in(["keep", "unsure"])
    done = {
        task: _rows(table, made.filter((decision == name) | (looked & value.is_in([name, ""]))))
        for task, name in ABOUT.items()
    }
    one = made.filter(speaker & looked & value.is_in(["speaker", ""]))["id"]
    pairs = made.filter(speaker & (decision.is_in(["apart", "unsure"])) & ~value.is_in(["", *files.LABELS]))
    both = {(a, b) for pair in pairs.select("id", "value").iter_rows() for a, b in (pair, pair[::-1])}
    counts = applied.changed | {"removed": sum(applied.dropped.values())}
    return Decided(
        new.drop("kept"), new["kept"].fill_null(False).to_numpy(), done, frozenset(one), frozenset(both), counts
    )


def _rows(table: pl.DataFrame, some: pl.DataFrame) -> Bools:
    """Return which rows of a manifest decisions refer to."""
    ids = {scope: some.filter(pl.col("scope") == scope)["id"].unique().implode() for scope in files.SCOPES}
    mask = table.select(
        pl.col("clip_id").is_in(ids["clip"]) | pl.col("speaker_id").is_in(ids["speaker"]).fill_null(False)
    )
    return np.asarray(mask.to_series().to_numpy(), dtype=np.bool_)
