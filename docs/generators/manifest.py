"""Makes reference/manifest.md: the columns of a manifest, from its schema."""

from collections.abc import Iterator

from generators.fields import constant_keys, page, prose, split_null, table
from voxtrait import manifest
from voxtrait.labels import AGE_GROUPS, UNKNOWN_WORDS
from voxtrait.manifest import table as source

SHOWN = ("nan", "null", "none", "n/a", "-", "unknown")  # of the words for "not known"


def lines() -> Iterator[str]:
    """Yield the lines of the page."""
    yield from page(
        "Manifest columns",
        "A manifest is one table with one row per clip. It is a Parquet file (`.parquet`), a CSV file (`.csv`) or a "
        "TSV file (`.tsv`). These columns are always there, in this order. Extra columns of a corpus follow under "
        "their own names.",
        "Unknown values are null (in CSV and TSV: empty), never an empty text.",
    )
    yield ""
    rows = []
    for name, _, _, comment in constant_keys(source, "SCHEMA"):
        what, null = split_null(comment)
        rows.append((f"`{name}`", str(source.SCHEMA[name].__name__), what, null or "never"))
    yield from table(("column", "type", "meaning", "null"), rows)
    yield from ("", "## Values", "")
    assert set(SHOWN) <= UNKNOWN_WORDS
    yield from prose(f"The age groups are {', '.join(f'`{group}`' for group in AGE_GROUPS)}.")
    yield ""
    yield from prose(
        f'In {", ".join(f"`{name}`" for name in source.LABELS)}, words for "not known" are read as null, in upper or '
        f"lower case: {', '.join(f'`{word}`' for word in SHOWN)} and {len(UNKNOWN_WORDS) - len(SHOWN)} others "
        "(`voxtrait.labels.UNKNOWN_WORDS`). Other columns keep them."
    )
    yield from ("", "## Extra columns of voxtrait", "")
    yield from prose(
        f"`{manifest.SPLIT_UNIT}` is `clip` if the split was made without speaker ids (`--allow-leak`). "
        "`decided` names the decision of `corpus audit` that changed the row."
    )
    yield ""
    yield from prose(
        "A manifest in Parquet also carries its funnel: what each step dropped, and why. `voxtrait corpus funnel` "
        "prints it."
    )
