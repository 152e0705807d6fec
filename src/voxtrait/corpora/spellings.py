"""The corpora's own spellings of gender and age, translated on import into the vocabulary of :mod:`voxtrait.labels`.

Only spellings are translated. ``transgender``, ``non-binary``, ``do_not_wish_to_say``, ``other`` and whatever else
people call themselves stay as they were written, and nothing later takes them for ``female`` or ``male``.
"""

from typing import Final

import polars as pl

from voxtrait.labels import AGE_GROUPS

GENDER_SPELLINGS: Final = {
    "f": "female",
    "female": "female",
    "female_feminine": "female",  # Common Voice since 17.0
    "m": "male",
    "famale": "female",  # Speech Accent Archive, once
    "male": "male",
    "male_masculine": "male",
}
"""Lower-case spelling → gender; what is not here is a self-description and stays."""

AGE_SPELLINGS: Final = {
    **{group: group for group in AGE_GROUPS},
    **{f"{10 * i}s": group for i, group in enumerate(AGE_GROUPS) if i},
    **{f"{10 * i}-{10 * i + 9}": group for i, group in enumerate(AGE_GROUPS)},
    "fourties": "forties",  # Common Voice, in every release so far
    "under ten": "under_ten",
}
"""Lower-case spelling of a decade → age group."""

SPLIT_SPELLINGS: Final = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""Lower-case spelling of a split → split, as folders and tables name it."""


def gender(column: str) -> pl.Expr:
    """Translate a column of genders; self-descriptions stay verbatim, blanks become null.

    Examples:
        >>> pl.DataFrame({"g": ["male_masculine", "F", "Non-binary", " "]}).select(gender("g"))["g"].to_list()
        ['male', 'female', 'Non-binary', None]
    """
    clean = _clean(column)
    written = pl.when(clean != "").then(pl.col(column))
    return clean.replace_strict(GENDER_SPELLINGS, default=written, return_dtype=pl.String).alias(column)


def age_years(column: str) -> pl.Expr:
    """Read a column of ages as years, Float64; decades and what is no age of a person (under 0, 130 and over) become
    null.

    Examples:
        >>> pl.DataFrame({"a": ["34", "fourties", "400"]}).select(age_years("a"))["a"].to_list()
        [34.0, None, None]
    """
    years = _clean(column).cast(pl.Float64, strict=False)
    return pl.when((years >= 0) & (years < 130)).then(years).alias(column)


def age_group(column: str) -> pl.Expr:
    """Translate a column of ages, in decades or in years, to age groups; what is neither becomes null.

    Examples:
        >>> pl.DataFrame({"a": ["34", "fourties", "104", "old"]}).select(age_group("a"))["a"].to_list()
        ['thirties', 'forties', 'nineties', None]
    """
    decade = (age_years(column) // 10).clip(0, len(AGE_GROUPS) - 1).cast(pl.Int64)
    from_years = decade.replace_strict(dict(enumerate(AGE_GROUPS)), default=None, return_dtype=pl.String)
    from_words = _clean(column).replace_strict(AGE_SPELLINGS, default=None, return_dtype=pl.String)
    return pl.coalesce(from_words, from_years).alias(column)


def split(column: str) -> pl.Expr:
    """Translate a column of split names; others become null.

    Examples:
        >>> pl.DataFrame({"s": ["dev", "Train", "holdout"]}).select(split("s"))["s"].to_list()
        ['validation', 'train', None]
    """
    return _clean(column).replace_strict(SPLIT_SPELLINGS, default=None, return_dtype=pl.String).alias(column)


def _clean(column: str) -> pl.Expr:
    return pl.col(column).str.strip_chars().str.to_lowercase()
