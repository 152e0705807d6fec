"""Checks a manifest without opening files: contradictory labels, shared speakers, and missing classes."""

import polars as pl

from voxtrait.integrity.report import FATAL, REPORTED, Report
from voxtrait.labels import AGE_GROUPS, GENDERS, SPLITS
from voxtrait.manifest import splitting


def check_table(table: pl.DataFrame, report: Report) -> None:
    """Add the findings from the manifest alone to the report; no file is opened."""
    report.add("files with both genders", FATAL, both_genders(table, "path"))
    report.add("speakers with both genders", FATAL, both_genders(table, "speaker_id"))
    _check_decades(table, report)
    _check_leakage(table, report)
    _check_classes(table, report)


def crossing(table: pl.DataFrame, key: str) -> pl.DataFrame:
    """Find the values of a column that are in more than one split: one row per value, with ``splits`` as text."""
    rows = table.select(key, "split").drop_nulls()
    # texts are listed only for the few values that need them: there may be millions of values
    several = rows.group_by(key).agg(first=pl.col("split").min(), last=pl.col("split").max())
    several = several.filter(pl.col("first") != pl.col("last"))
    found = rows.join(several, on=key, how="semi").group_by(key).agg(splits=pl.col("split").unique())
    return found.sort(key).with_columns(pl.col("splits").list.sort().list.join(", "))


def both_genders(table: pl.DataFrame, key: str) -> pl.Series:
    """List the values of a column whose rows have both genders.

    Examples:
        >>> table = pl.DataFrame({"path": ["a", "a", "b"], "gender": ["female", "male", "male"]})
        >>> both_genders(table, "path").to_list()
        ['a (female 1, male 1)']
    """
    rows = table.select(key, "gender").filter(pl.col(key).is_not_null() & pl.col("gender").is_in(GENDERS))
    counts = [(pl.col("gender") == gender).sum().alias(gender) for gender in GENDERS]
    both = rows.group_by(key).agg(counts).filter(pl.all_horizontal(pl.col(GENDERS) > 0)).sort(key)
    parts = [pl.format("{} {}", pl.lit(gender), pl.col(gender)) for gender in GENDERS]
    return _texts(both, pl.concat_str(parts, separator=", "), key)


def _check_decades(table: pl.DataFrame, report: Report) -> None:
    rows = table.select("speaker_id", "age_group").drop_nulls()
    decade = pl.col("age_group").cast(pl.Enum(AGE_GROUPS))
    ages = rows.group_by("speaker_id").agg(
        youngest=decade.min(),
        oldest=decade.max(),
        apart=decade.to_physical().cast(pl.Int8).max() - decade.to_physical().min(),
    )
    for name, severity, chosen in (
        ("speakers with decades more than one apart", FATAL, pl.col("apart") > 1),
        ("speakers with neighbouring decades", REPORTED, pl.col("apart") == 1),
    ):
        found = ages.filter(chosen).sort("speaker_id")
        report.add(name, severity, _texts(found, pl.format("{} to {}", "youngest", "oldest")))


def _check_leakage(table: pl.DataFrame, report: Report) -> None:
    leakage = splitting.leakage(table)
    for column, severity, count in (
        ("speaker_id", FATAL, leakage["n_shared_speakers"]),
        ("sentence", REPORTED, leakage["n_shared_sentences"]),
    ):
        if count:
            what = "speakers" if column == "speaker_id" else "sentences"
            cases = crossing(table, column).head(5)
            report.add(f"{what} shared between splits", severity, _texts(cases, pl.col("splits"), column), count)
    if leakage["n_without_speaker"]:
        nameless = table.filter(pl.col("speaker_id").is_null() & pl.col("split").is_not_null())["clip_id"].head(5)
        problem = "clips in a split without speaker id: shared speakers unknown"
        report.add(problem, REPORTED, nameless, leakage["n_without_speaker"])


def _check_classes(table: pl.DataFrame, report: Report) -> None:
    """Report the genders, and genders with age groups, that one split has and another lacks."""
    gender = pl.when(pl.col("gender").is_in(GENDERS)).then(pl.col("gender"))
    joint = gender + "_" + pl.col("age_group")
    rows = table.select("gender", "age_group", "split").filter(pl.col("split").is_not_null())
    present = rows["split"].unique()
    if rows.height:
        report.add("empty splits", REPORTED, [name for name in SPLITS if name not in present])
    for what, label in (("genders", gender), ("joint classes", joint)):
        seen = rows.select("split", label=label).drop_nulls().unique()
        every = seen.select("label").unique().join(present.to_frame(), how="cross")
        lacking = every.join(seen, on=["label", "split"], how="anti").sort("label", "split")
        report.add(f"{what} missing from a split", REPORTED, _texts(lacking, pl.col("split"), "label"))


def _texts(found: pl.DataFrame, note: pl.Expr, key: str = "speaker_id") -> pl.Series:
    return found.select(pl.format("{} ({})", key, note))[:, 0]
