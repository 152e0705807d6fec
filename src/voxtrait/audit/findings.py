"""What an audit found, as it is written and shown."""

import dataclasses
from typing import Any

import polars as pl


@dataclasses.dataclass(frozen=True)
class Audit:
    """What an audit found."""

    summary: dict[str, Any]  # as in audit.json
    doubts: pl.DataFrame  # the columns of the CSV files
    speakers: pl.DataFrame
    mixed: pl.DataFrame
    same: pl.DataFrame
    failed: pl.DataFrame  # path, message
