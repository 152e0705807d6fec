"""Defines the result of an audit: its summary and tables."""

import dataclasses
from typing import Any

import polars as pl


@dataclasses.dataclass(frozen=True)
class Audit:
    """Result of an audit."""

    summary: dict[str, Any]  # content of audit.json
    doubts: pl.DataFrame  # this and the next tables have the columns of the CSV files
    speakers: pl.DataFrame
    mixed: pl.DataFrame
    same: pl.DataFrame
    failed: pl.DataFrame  # path, message
