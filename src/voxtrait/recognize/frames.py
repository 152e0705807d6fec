"""Converts predictions to a data frame of Polars or pandas."""

from collections.abc import Iterable
from typing import Any, Literal

from voxtrait.errors import OptionError, OptionTypeError
from voxtrait.recognize.arguments import described
from voxtrait.recognize.prediction import FIELDS, Prediction
from voxtrait.recognize.table import TEXTS, table_schema


def to_frame(answers: Iterable[Prediction] | Prediction, library: Literal["polars", "pandas"] = "polars") -> Any:
    """Convert predictions to a data frame of Polars or pandas, with one row per prediction, in order.

    The columns are the fields of :meth:`voxtrait.Prediction.to_dict`.

    Args:
        answers: predictions, such as those of :meth:`voxtrait.Recognizer.predict_many`, or one prediction.
        library: ``polars`` or ``pandas``.

    Returns:
        A ``polars.DataFrame`` or a ``pandas.DataFrame``. ``age_groups`` is a struct in Polars and a dict in pandas. A
        path of ``None`` is null.

    Raises:
        OptionTypeError: (a ``TypeError``) if an item is not a prediction.
        OptionError: (a ``ValueError``) if the library is unknown.
        ImportError: if pandas is requested and not installed.
        MissingExtraError: if Polars is requested and the extra ``[corpus]`` is not installed.

    Examples:
        >>> silent = Prediction("a.mp3", "no_speech", "no speech was found", 2.5, 0.0, *[None] * 7, "voxtrait-base 2.2")
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

        texts = [name for name in TEXTS if name in FIELDS]
        frame = pd.DataFrame(rows, columns=list(FIELDS))
        # a column without any value would have no type
        numbers = {name: "float64" for name in FIELDS if name not in (*texts, "age_groups")}
        return frame.astype(numbers | dict.fromkeys(texts, "str" if pd.__version__ >= "3" else "object"))
    schema = table_schema()
    import polars as pl

    return pl.DataFrame(rows, schema={name: schema[name] for name in FIELDS}, orient="row")


def _row(one: object) -> dict[str, Any]:
    if isinstance(one, Prediction):
        return one.to_dict()
    hint = " For a timeline, call timeline.to_polars() or timeline.to_pandas()." if hasattr(one, "to_polars") else ""
    raise OptionTypeError(f"Got {described(one)} among the predictions. Expected predictions only.{hint}")
