"""Builds large tables in little memory: a column with one value stores it once.

A text takes 16 bytes per row even if it is null, and most of the columns that a corpus brings along are empty or have
one value, such as its name.
"""

from collections.abc import Iterable
from typing import Final

import polars as pl

NARROW: Final = (pl.String, pl.Float64)  # types that can have few values in many rows


def joined(columns: Iterable[pl.Series]) -> pl.DataFrame:
    """Join columns to a table; those of :data:`NARROW` types that have one value, or only nulls, store it once.

    Polars keeps such a column as a scalar until it is taken out of the table as a series. So code for tables of
    millions of rows uses expressions.

    Args:
        columns: columns with the same number of rows; a generator, so that each can be freed before the next is made.

    Examples:
        >>> joined([pl.Series("clip", ["a", "b"]), pl.Series("locale", ["en", "en"])]).to_dict(as_series=False)
        {'clip': ['a', 'b'], 'locale': ['en', 'en']}
    """
    names: list[str] = []
    many: list[pl.Series] = []
    one: list[pl.Expr] = []
    for column in columns:
        names.append(column.name)
        if len(column) and column.dtype in NARROW and _is_constant(column):
            one.append(pl.lit(column[0], column.dtype).alias(column.name))
            height = len(column)
        else:
            many.append(column)
    if one and not many:
        return pl.select(*one, _row=pl.int_range(height)).select(names)
    return pl.DataFrame(many).with_columns(one).select(names)


def _is_constant(column: pl.Series) -> bool:
    if column.null_count():
        return column.null_count() == len(column)
    return bool(column[0] == column[-1] and (column == column[0]).all())
