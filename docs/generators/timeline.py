"""Makes reference/timeline.md: the fields of a timeline and its formats, from their classes."""

from collections.abc import Iterator

from generators.fields import class_fields, constant_keys, page, prose, row_of, table
from voxtrait.timelines import formats, records


def lines() -> Iterator[str]:
    """Yield the lines of the page."""
    yield from page(
        "Timeline fields and formats",
        "`voxtrait timeline --format json`, `timeline.to_dict()` and `POST /v1/timeline` return these fields: one "
        "object for each recording. Seconds and years have 2 decimals, probabilities have 4.",
    )
    yield ""
    yield from table(("field", "type", "meaning", "null"), map(row_of, class_fields(records, "Timeline")))
    yield ""
    yield from prose(
        "After `segments`, `speaking_s` is an object with the seconds of speech by gender: `female`, `male` and "
        f"`{records.UNSURE}`. After `model`, `speaking` has the same for `gender` and for `age_group`: `seconds`, "
        f"`share`, and `low` and `high`, a 95 % bootstrap interval of the share over the turns ({records.RESAMPLES:,} "
        "resamples). Overlapping speech counts for each speaker. Speakers without a prediction count as "
        f"`{records.UNSURE}`."
    )
    yield ""
    yield from prose(
        "The last field, `female_share`, is the share of female voices in the speaking time: `share`, `low` and "
        f"`high`. Each speaker is drawn as female with the probability `p_female`, {records.RESAMPLES:,} times. "
        "`share` is the median over the draws. `low` and `high` are a 95 % interval, for which each draw also "
        "resamples the turns. It does not include errors in turns and speakers. Speakers without a prediction are left "
        "out. If no speaker has a prediction, `female_share` is null."
    )
    yield from ("", "## Speakers", "")
    yield from table(("field", "type", "meaning", "null"), map(row_of, class_fields(records, "Speaker")))
    yield ""
    yield from prose("A speaker who speaks alone for less than 0.7 s has no prediction.")
    yield from ("", "## Segments", "")
    yield from table(("field", "type", "meaning", "null"), map(row_of, class_fields(records, "Segment")))
    yield from ("", "## Columns of tables", "")
    yield from prose(
        "CSV and Parquet have one row per segment, with the fields of its speaker beside it: "
        + ", ".join(f"`{name}`" for name in ("path", *records.COLUMNS))
        + "."
    )
    yield from ("", "## Formats", "")
    yield from table(
        ("`--format`", "ending", "use", "several recordings in one file"),
        (
            (f"`{one.name}`", f"`{formats.ENDINGS[one.name]}`", one.meaning.rstrip("."), several(one.name))
            for one in constant_keys(formats, "FORMATS")
        ),
    )
    yield ""
    yield from prose(
        "The ending of `--out` sets the format: "
        + ", ".join(f"`{ending}` is `{name}`" for ending, name in formats.SUFFIXES.items())
        + ". `.parquet` is a table with the columns above; it has no `--format`."
    )
    yield ""
    yield from prose(
        "Recordings with the status `no_speech`, `too_short` or `error` are in `text`, `json` and `jsonl` only, and as "
        "a TextGrid with an empty tier if their duration is known."
    )


def several(name: str) -> str:
    """Return whether a format holds several recordings in one file."""
    return "no" if name in formats.SINGLE else "yes"
