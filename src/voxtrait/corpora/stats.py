"""Counts the clips, speakers and hours of a manifest, and draws the counts."""

import os
from pathlib import Path
from typing import Any, Final

import polars as pl

from voxtrait.audio.writing import atomic_path, check_picture
from voxtrait.labels import AGE_GROUPS, GENDERS, SPLITS
from voxtrait.palette import FEMALE, MALE, OTHER, PAPER, UNSURE
from voxtrait.palette.drawing import dress

BY: Final = ("split", "gender", "age_group", "locale")
COUNTED: Final = (*BY, "clip_id", "speaker_id", "duration_s")
"""The columns that :func:`stats` and :func:`picture` use."""

LARGEST: Final = 15  # maximum number of locales drawn
FEWEST: Final = 8  # minimum number of bars with space in a plot

_COLORS: Final = {"female": FEMALE.light, "male": MALE.light, "other": OTHER.light, "unknown": UNSURE.light}
_HATCHES: Final = {"male": "//", "other": "xx", "unknown": ".."}  # for eyes and printers without colour
_ORDER: Final = {name: at for at, name in enumerate((*SPLITS, *GENDERS, *AGE_GROUPS))}


def stats(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Count the clips, speakers and hours of a manifest: in total, and by split, gender, age group and locale.

    Args:
        table: the columns ``COUNTED`` of a manifest.

    Returns:
        One row per value, with ``by`` (``all``, ``split``, ``gender``, ``age_group``, ``locale``), ``value`` (``None``,
        at the end, if unknown), ``clips``, ``speakers`` (``None`` if no clip has a speaker id) and ``hours`` (total of
        the known durations, ``None`` if all are unknown). A speaker with clips of two values counts for both.

    Examples:
        >>> table = pl.DataFrame({"split": ["test"], "gender": ["male"], "age_group": ["teens"], "locale": ["en"]})
        >>> rows = stats(table.with_columns(speaker_id=pl.lit("a"), duration_s=pl.lit(1800.0)))
        >>> rows[0]
        {'by': 'all', 'value': None, 'clips': 1, 'speakers': 1, 'hours': 0.5}
    """
    rows = [{"by": "all", "value": None, **table.select(**_counts()).row(0, named=True)}]
    for by in BY:
        counts = table.group_by(pl.col(by).alias("value")).agg(**_counts()).to_dicts()
        if by == "locale":
            counts.sort(key=lambda row: (row["value"] is None, -row["clips"], row["value"] or ""))
        else:
            counts.sort(
                key=lambda row: (row["value"] is None, _ORDER.get(row["value"], len(_ORDER)), row["value"] or "")
            )
        rows += [{"by": by, **row} for row in counts]
    return rows if table["speaker_id"].count() else [row | {"speakers": None} for row in rows]


def _counts() -> dict[str, pl.Expr]:
    known = pl.col("duration_s").is_not_null().any()
    return {
        "clips": pl.len(),
        "speakers": pl.col("speaker_id").drop_nulls().n_unique(),
        "hours": pl.when(known).then(pl.col("duration_s").sum() / 3600),
    }


def picture(table: pl.DataFrame, path: str | os.PathLike[str]) -> None:
    """Draw the number of speakers by gender in each age group, split and large locale.

    Without speaker ids, clips are counted, and the titles name them.

    Args:
        table: the columns ``COUNTED`` of a manifest.
        path: a ``.png``, ``.svg``, ``.pdf`` or ``.jpg`` file.

    Raises:
        OptionError: if the file has another ending.
    """
    file = Path(path)
    check_picture(file)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counted = "speakers" if table["speaker_id"].count() else "clips"
    known = pl.when(pl.col("gender").is_in(GENDERS)).then("gender").otherwise(pl.lit("other"))
    table = table.with_columns(gender=pl.when(pl.col("gender").is_null()).then(pl.lit("unknown")).otherwise(known))
    table = _one_gender_each(table) if counted == "speakers" else table.with_columns(speaker_id="clip_id")
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes: dict[str, Any] = figure.subplot_mosaic([["age", "locale"], ["split", "locale"]], width_ratios=[1.6, 1])
    ages = [group for group in AGE_GROUPS if group in set(table["age_group"])]
    _bars(axes["age"], _crossed(table, "age_group"), [*ages, None], f"{counted} by age group")
    splits = [split for split in SPLITS if split in set(table["split"])]
    without = [None] if table["split"].null_count() or not splits else []
    _bars(axes["split"], _crossed(table, "split"), [*splits, *without], f"{counted} by split")
    sizes = table.drop_nulls("locale").group_by("locale").agg(pl.col("speaker_id").n_unique())
    sizes = sizes.sort("speaker_id", "locale", descending=[True, False])
    largest = sizes["locale"].head(LARGEST).to_list()
    of = f", the {LARGEST} largest of {sizes.height}" if sizes.height > LARGEST else ""
    rest = [None] if table["locale"].null_count() else []
    _bars(axes["locale"], _crossed(table, "locale"), [*largest, *rest], f"{counted} by locale{of}", across=True)
    handles, names = axes["age"].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False)
    dress(figure)
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as part:
        figure.savefig(part, dpi=120, format=file.suffix[1:].lower())


def _one_gender_each(table: pl.DataFrame) -> pl.DataFrame:
    """Set the gender of all clips of a speaker to the most frequent one, so that each speaker is counted once."""
    votes = table.drop_nulls("speaker_id").group_by("speaker_id", "gender").len()
    votes = votes.sort(pl.col("gender") == "unknown", -pl.col("len").cast(pl.Int64), "gender")
    one = votes.unique("speaker_id", keep="first", maintain_order=True).drop("len")
    return table.drop("gender").drop_nulls("speaker_id").join(one, on="speaker_id", how="left")


def _crossed(table: pl.DataFrame, column: str) -> dict[tuple[str | None, str], int]:
    counts = table.group_by(column, "gender").agg(pl.col("speaker_id").n_unique())
    return {(value, gender): n for value, gender, n in counts.iter_rows()}


def _bars(
    axis: Any, counts: dict[tuple[str | None, str], int], values: list[str | None], title: str, across: bool = False
) -> None:
    """Draw stacked bars by gender; ``across`` draws horizontal bars, the first on top."""
    names = ["unknown" if value is None else value.replace("_", " ") for value in values]
    base = [0] * len(values)
    for gender, color in _COLORS.items():
        heights = [counts.get((value, gender), 0) for value in values]
        look = {"facecolor": color, "hatch": _HATCHES.get(gender, ""), "edgecolor": PAPER.light, "linewidth": 0}
        if across:
            axis.barh(names, heights, left=base, label=gender, **look)
        else:
            axis.bar(names, heights, bottom=base, label=gender, **look)
        base = [low + height for low, height in zip(base, heights, strict=True)]
    highest = max(base, default=0) or 1
    for at, total in enumerate(base):
        if across:
            axis.text(total + highest * 0.01, at, f" {total:,}", va="center", fontsize=8)
        else:
            axis.text(at, total + highest * 0.01, f"{total:,}", ha="center", va="bottom", fontsize=8)
    if across:
        axis.set_ylim(max(len(values), FEWEST) - 0.5, -0.5)  # a single locale must not fill the plot
        axis.set_xlim(0, highest * 1.15)
    else:
        axis.set_ylim(0, highest * 1.1)
    axis.set_title(title, loc="left", fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
