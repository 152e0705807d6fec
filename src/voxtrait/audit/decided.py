"""Decisions that were made before: what they change for the audit, and what need not be asked again."""

import dataclasses

import numpy as np
import polars as pl

from voxtrait.audit.heads import Bools
from voxtrait.corpora import decisions as files

ABOUT = {"gender": "gender", "age": "age_group"}  # task → what a decision calls its label


@dataclasses.dataclass(frozen=True)
class Decided:
    """A manifest as decided, row for row the one before.

    Attributes:
        table: removed rows are there, without labels and without speaker.
        kept: ``(clips,)``, which rows are not removed.
        done: task → ``(clips,)``, whose label somebody has decided on.
        one: ids found to be one person, or that nobody can tell.
        apart: pairs of ids, in both orders, that are two people, or that nobody can tell.
        counts: as :class:`voxtrait.corpora.decisions.Applied` has them.
    """

    table: pl.DataFrame
    kept: Bools
    done: dict[str, Bools]
    one: frozenset[str]
    apart: frozenset[tuple[str, str]]
    counts: dict[str, int]


def decide(table: pl.DataFrame, made: pl.DataFrame | None) -> Decided:
    """Apply decisions to a manifest that is being audited.

    Args:
        table: the manifest.
        made: as :func:`voxtrait.corpora.decisions.read` gives them; ``None`` for none.

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
    """Which rows of a manifest decisions are about."""
    ids = {scope: some.filter(pl.col("scope") == scope)["id"].unique().implode() for scope in files.SCOPES}
    mask = table.select(
        pl.col("clip_id").is_in(ids["clip"]) | pl.col("speaker_id").is_in(ids["speaker"]).fill_null(False)
    )
    return np.asarray(mask.to_series().to_numpy(), dtype=np.bool_)
