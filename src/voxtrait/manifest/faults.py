"""What Polars raises for a damaged table: exceptions, and panics of its Rust code, which Python does not count as
exceptions."""

from typing import Final

import polars as pl

TABLE_ERRORS: Final = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def reason(error: BaseException) -> str:
    """Return why a table cannot be read: the first line of an error, below which Polars adds its own expressions.

    Examples:
        >>> reason(pl.exceptions.SchemaError("no column a\\n\\nResolved plan until failure"))
        'no column a'
    """
    if isinstance(error, pl.exceptions.PanicException):
        return "it is damaged"
    return str(error).partition("\n")[0][:300] or type(error).__name__
