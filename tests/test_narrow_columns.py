"""Tables of millions of rows: a column with one value takes no memory per row, and stays what it is."""

import polars as pl
import pytest

from voxtrait.manifest.narrow import joined

ROWS = 100_000


@pytest.mark.parametrize("value", ["common-voice", "", None, 30.5])
def test_a_column_with_one_value_stores_it_once(value: object) -> None:
    kind = pl.Float64 if isinstance(value, float) else pl.String
    names = pl.Series("clip", range(ROWS)).cast(pl.String)
    table = joined([names, pl.Series("same", [value] * ROWS, dtype=kind)])
    assert table.select("same").estimated_size() < 100
    order = names.sort(descending=True).head(3)
    found = table.filter(pl.col("clip").is_in(order.implode())).select("same", "clip")
    assert found.schema == {"same": kind, "clip": pl.String}
    assert found["same"].to_list() == [value] * 3
    assert table["same"].to_list() == [value] * ROWS


@pytest.mark.parametrize(
    "columns",
    [
        {"a": ["x", "x"], "b": ["x", "x"]},  # each with one value
        {"a": ["x", None]},
        {"a": [None, "x", "x"], "b": ["x", "y", "x"]},
        {"a": [float("nan"), float("nan")], "b": [1.0, float("nan")]},
        {"a": [7, 7], "b": [["x"], ["x"]]},  # types that are left alone
        {"a": []},
        {"a": ["x"], "b": [None]},
        {},
    ],
)
def test_a_table_is_the_same_with_and_without(columns: dict[str, list[object]]) -> None:
    table = pl.DataFrame(columns)
    assert joined(table.get_columns()).equals(table)
    assert joined(table.get_columns()).schema == table.schema
