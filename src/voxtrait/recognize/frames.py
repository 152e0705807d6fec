"""Converts predictions to a data frame of Polars or pandas."""

from collections.abc import Iterable
from typing import Any, Literal

from voxtrait.errors import OptionError, OptionTypeError
from voxtrait.recognize.arguments import described
from voxtrait.recognize.prediction import FIELDS, Prediction
from voxtrait.recognize.table import table_schema


def to_frame(answers: Iterable[Prediction] | Prediction, library: Literal["polars", "pandas"] = "polars") -> Any:
    """Make a table of predictions: a row for each, in order; the columns are the fields of :meth:`Prediction.to_dict`.

    Args:
        answers: predictions, such as those of :meth:`Recognizer.predict_many`, or one of them.
        library: of the table.

    Returns:
        A ``polars.DataFrame``, or a ``pandas.DataFrame``. ``age_groups`` is a struct in the first and a dict in the
        second; a path that is ``None`` stays null.

    Raises:
        OptionTypeError: (a ``TypeError``) if something is not a prediction.
        OptionError: (a ``ValueError``) if the library is another one.
        ImportError: if pandas is wanted and not installed.

    Examples:
        >>> silent = Prediction("a.mp3", "no_speech", "no speech was found", 2.5, 0.0, *[None] * 7, "voxtrait-base 2.1")
        >>> to_frame([silent]).select("path", "status", "duration_s").rows()
        [('a.mp3', 'no_speech', 2.5)]
    """
    if library not in ("polars", "pandas"):
        raise OptionError(f"Got library {library!r}. Expected 'polars' or 'pandas'.")
    if not isinstance(answers, Prediction) and not isinstance(answers, Iterable):
        raise OptionTypeError(f"Got {described(answers)}. Expected predictions.")
    rows = [_row(one) for one in ([answers] if isinstance(answers, Prediction) else answers)]
    if library == "pandas":
        import pandas as pd

        texts = [name for name, kind in table_schema().items() if str(kind) == "String" and name in FIELDS]
        frame = pd.DataFrame(rows, columns=list(FIELDS))
        # a column of which every value is missing would have no type of its own
        numbers = {name: "float64" for name in FIELDS if name not in (*texts, "age_groups")}
        return frame.astype(numbers | dict.fromkeys(texts, "str" if pd.__version__ >= "3" else "object"))
    import polars as pl

    schema = table_schema()
    return pl.DataFrame(rows, schema={name: schema[name] for name in FIELDS}, orient="row")


def _row(one: object) -> dict[str, Any]:
    if isinstance(one, Prediction):
        return one.to_dict()
    hint = " For a timeline, call timeline.to_polars() or timeline.to_pandas()." if hasattr(one, "to_polars") else ""
    raise OptionTypeError(f"Got {described(one)} among the predictions. Expected predictions only.{hint}")
