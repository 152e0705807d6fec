"""Builds the tables of an audit: CSV files for reading, Parquet for further processing."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from voxtrait.audio.writing import atomic_path
from voxtrait.audit.doubt import LINE, Judged
from voxtrait.audit.embeddings import ClipEmbeddings

DOUBT_COLUMNS: Final = (
    *("rank", "task", "clip_id", "speaker_id", "label", "answer", "years", "doubt", "child", "n_clips", "path"),
)
SPEAKER_COLUMNS: Final = ("rank", "task", "speaker_id", "clip_id", *DOUBT_COLUMNS[4:10])
MIXED_COLUMNS: Final = ("rank", "speaker_id", "likeness", "cosine", "n_clips", "n_others", "gender", "others")
SAME_COLUMNS: Final = (
    *("rank", "speaker_id", "other_id", "likeness", "cosine", "n_clips", "n_other"),
    *("gender", "other_gender", "together"),
)


def doubted(table: pl.DataFrame, judged: Mapping[str, Judged], top: int) -> pl.DataFrame:
    """Return ``doubts.csv``: for each task the clips above the threshold of doubt, and at least ``top``."""
    found = []
    for task, one in judged.items():
        ranked = _ranked(one.clips, task)
        some = ranked.filter((pl.col("doubt") >= LINE[task]) | (pl.col("rank") <= top))
        found.append(some.with_columns(table.select(*_named(some["row"], "clip_id", "speaker_id", "path"))))
    return pl.concat(found).select(DOUBT_COLUMNS)


def speakers(table: pl.DataFrame, judged: Mapping[str, Judged]) -> pl.DataFrame:
    """Return ``speakers.csv``: all ranked speakers of each task. Speakers without an id have a ``clip_id``."""
    found = []
    for task, one in judged.items():
        ranked = _ranked(one.speakers, task).with_columns(row=pl.col("rows").list.first())
        named = ranked.with_columns(table.select(*_named(ranked["row"], "clip_id", "speaker_id")))
        clip = pl.when(pl.col("speaker_id").is_null()).then("clip_id").alias("clip_id")
        found.append(named.with_columns(clip))
    return pl.concat(found).select(SPEAKER_COLUMNS)


def all_clips(table: pl.DataFrame, embedded: ClipEmbeddings, judged: Mapping[str, Judged]) -> pl.DataFrame:
    """Return ``clips.parquet``: every row of the manifest, with the prediction and the doubts."""
    predictions = embedded.table.rename({"p_female": "bundle_p_female", "age_years": "bundle_years"})
    labels = table.select("clip_id", "speaker_id", "path", "gender", "age_group", "age_years")
    whole = pl.concat([labels, predictions], how="horizontal").with_row_index("row")
    whole = whole.with_columns(pl.col("row").cast(pl.Int64))
    for task, one in judged.items():
        more = one.clips.select("row", pl.col("doubt").alias(f"{task}_doubt"), pl.col("years").alias("heard_years"))
        more = more.drop("heard_years") if task == "gender" else more
        whole = whole.join(more, on="row", how="left", maintain_order="left")
    return whole.drop("row")


def mixed(found: pl.DataFrame, table: pl.DataFrame, names: pl.Series) -> pl.DataFrame:
    """Return ``mixed.csv``. ``others`` is a JSON list of the clip ids of the smaller group."""
    genders = _genders(table)
    clip_ids = table["clip_id"]
    return found.with_row_index("rank", offset=1).select(
        "rank",
        pl.Series("speaker_id", names.gather(found["speaker"])),
        *("likeness", "cosine", "n_clips"),
        pl.col("others").list.len().alias("n_others"),
        pl.Series("gender", [genders.get(name) for name in names.gather(found["speaker"])], dtype=pl.String),
        pl.Series(
            "others",
            [json.dumps(clip_ids.gather(rows).to_list(), ensure_ascii=False) for rows in found["others"]],
            dtype=pl.String,
        ),
    )


def same(found: pl.DataFrame, table: pl.DataFrame, names: pl.Series, counts: np.ndarray[Any, Any]) -> pl.DataFrame:
    """Return ``same.csv``. ``together`` is true if both ids have clips in one corpus and locale, where different
    speakers sound more similar."""
    genders = _genders(table)
    a, b = names.gather(found["speaker"]), names.gather(found["other"])
    asked = pl.concat([a, b]).unique()
    places = dict(
        table.filter(pl.col("speaker_id").is_in(asked.implode()))
        .group_by("speaker_id")
        .agg(pl.concat_str("corpus", "locale", separator="/", ignore_nulls=True).unique())
        .iter_rows()
    )
    return found.with_row_index("rank", offset=1).select(
        "rank",
        a.alias("speaker_id"),
        b.alias("other_id"),
        *("likeness", "cosine"),
        pl.Series("n_clips", counts[found["speaker"].to_numpy()], dtype=pl.Int64),
        pl.Series("n_other", counts[found["other"].to_numpy()], dtype=pl.Int64),
        pl.Series("gender", [genders.get(name) for name in a], dtype=pl.String),
        pl.Series("other_gender", [genders.get(name) for name in b], dtype=pl.String),
        pl.Series("together", [bool({*places[x]} & {*places[y]}) for x, y in zip(a, b, strict=True)], dtype=pl.Boolean),
    )


def write_csv(table: pl.DataFrame, file: Path) -> None:
    """Write a table with numbers rounded to four digits; the file appears only when it is complete.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_csv(pl.DataFrame({"doubt": [0.123456]}), Path(folder, "doubts.csv"))
        ...     Path(folder, "doubts.csv").read_text()
        'doubt\\n0.1235\\n'
    """
    with atomic_path(file) as part:
        table.with_columns(pl.col(pl.Float64).round(4)).write_csv(part)


def _ranked(table: pl.DataFrame, task: str) -> pl.DataFrame:
    return table.with_row_index("rank", offset=1).with_columns(task=pl.lit(task))


def _named(rows: pl.Series, *columns: str) -> Iterable[pl.Expr]:
    return (pl.col(name).gather(rows) for name in columns)


def _genders(table: pl.DataFrame) -> dict[str, str]:
    """Return the most frequent gender label of each speaker."""
    known = table.select("speaker_id", "gender").drop_nulls()
    return dict(known.group_by("speaker_id").agg(pl.col("gender").mode().sort().first()).iter_rows())
