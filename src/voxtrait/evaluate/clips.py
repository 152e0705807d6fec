"""Which clips are evaluated, their true labels, and whether the bundle was trained on their speakers."""

import contextlib
import dataclasses
import hashlib
from pathlib import Path
from typing import Any, Final

import polars as pl

from voxtrait.bundle import Bundle, hash_speaker
from voxtrait.errors import LeakageError, NothingToDoError, OptionError
from voxtrait.labels import AGE_GROUPS, AGE_MIDDLES, GENDERS, SPLITS
from voxtrait.manifest.table import SPLIT_UNIT, with_absolute_paths

ALL: Final = "all"
PREDICTION_COLUMNS: Final = (
    *("clip_id", "path", "true_gender", "true_age_group", "true_age_years", "status", "message"),
    *("duration_s", "speech_s", "gender", "p_female", "age_years", "age_low", "age_high", "age_group"),
    *("joint_class", "snr_db", "model"),
)
"""Columns of ``predictions.csv``: true labels, then the fields of the prediction."""


@dataclasses.dataclass(frozen=True)
class Leakage:
    """What is known about speakers and clips that the bundle may have been trained on."""

    verdict: str  # "none", or "unknown: …", or "shared: …"
    banners: tuple[str, ...]  # sentences at the top of the report
    checks: dict[str, Any] = dataclasses.field(
        default_factory=dict
    )  # speakers, contents, sentences: with what, how many


def choose(table: pl.DataFrame, split: str | None) -> tuple[pl.DataFrame, str]:
    """Take the rows of a split.

    Args:
        table: a manifest.
        split: ``train``, ``validation``, ``test``, ``all``, or ``None``: ``test`` where there are splits, else ``all``.

    Returns:
        The rows and the name of what they are.

    Raises:
        OptionError: if ``split`` is none of these.
        NothingToDoError: if there is no such row.
    """
    if split not in (None, ALL, *SPLITS):
        raise OptionError(f"got the split {split!r}, expected one of {', '.join((*SPLITS, ALL))}")
    name = split or ("test" if table["split"].null_count() < table.height else ALL)
    rows = table if name == ALL else table.filter(pl.col("split") == name)
    if not rows.height:
        found = ", ".join(table["split"].drop_nulls().unique().sort()) or "none"
        raise NothingToDoError(f"no clip of split '{name}' in the manifest (it has: {found}): choose with --split")
    return rows, name


def with_truth(table: pl.DataFrame, tasks: tuple[str, ...]) -> pl.DataFrame:
    """Keep the rows with a label of one of the tasks, and add their true labels in columns of one spelling.

    Years come from ``age_years`` where known and else from the middle of the age group. The clips of a person
    share ``speaker``, a number; a clip without a speaker id is taken for a person of its own.

    Returns:
        ``clip_id path speaker_id corpus release locale true_gender true_age_group true_age_years years_known speaker``,
        and ``split_unit`` where the manifest has it. ``years_known`` is false where the years are a middle.
    """
    years = pl.col("age_years").is_between(0, 130, closed="left")
    middle = pl.col("age_group").replace_strict(AGE_GROUPS, AGE_MIDDLES, default=None, return_dtype=pl.Float64)
    decade = (pl.col("true_age_years") // 10).clip(0, len(AGE_GROUPS) - 1).cast(pl.Int64)
    kept = table.with_columns(
        pl.when(pl.col("gender").is_in(GENDERS)).then("gender").alias("true_gender"),
        pl.when(years).then("age_years").otherwise(middle).alias("true_age_years"),
        years.fill_null(False).alias("years_known"),
        pl.coalesce("speaker_id", pl.lit("\0") + pl.col("clip_id")).rank("dense").cast(pl.Int64).alias("speaker"),
    ).with_columns(
        decade.replace_strict(range(len(AGE_GROUPS)), AGE_GROUPS, default=None, return_dtype=pl.String).alias(
            "true_age_group"
        )
    )
    truths = {"gender": "true_gender", "age": "true_age_years"}
    labelled = kept.filter(pl.any_horizontal(pl.col(truths[task]).is_not_null() for task in tasks))
    names = ["clip_id", "path", "speaker_id", "corpus", "release", "locale"]
    more = [SPLIT_UNIT] if SPLIT_UNIT in table.columns else []
    truth = ["true_gender", "true_age_group", "true_age_years", "years_known"]
    return labelled.select(*names, *truth, "speaker", *more)


def examine(
    clips: pl.DataFrame,
    whole: pl.DataFrame,
    split: str,
    bundle: Bundle,
    *,
    allow_leak: bool,
    folder: Path | None = None,
) -> Leakage:
    """Find out whether the bundle may have been trained on these people, or on these very clips.

    Files of another split with the same bytes are counted in the verdict and in a banner; sentences that another split
    has too are counted. Copies under other bytes are what ``voxtrait corpus leakage`` is for.

    Args:
        clips: those to be evaluated, with ``speaker_id``.
        whole: the manifest they come from.
        split: their name in it.
        bundle: with the hashes of the speakers it was trained and selected on.
        allow_leak: report what is shared instead of refusing.
        folder: of the manifest, which relative paths start from; ``None`` opens no file.

    Raises:
        LeakageError: if a speaker is shared and ``allow_leak`` is not given.
    """
    known = bundle.speakers()
    ids = clips["speaker_id"].drop_nulls().unique()
    trained_on = ids.filter(pl.Series([hash_speaker(one) in known for one in ids], dtype=pl.Boolean))
    others = whole.filter(pl.col("split") != split) if split != ALL else whole.clear()
    both = ids.filter(ids.is_in(others["speaker_id"].drop_nulls().unique().implode()))
    shared = [
        _count(clips, trained_on) + f" that {bundle.title} was trained or chosen on" if trained_on.len() else "",
        _count(clips, both) + " who are in another split of the manifest too" if both.len() else "",
    ]
    found = [text for text in shared if text]
    if found and not allow_leak:
        raise LeakageError(
            f"{'; '.join(found)}: figures on people a model knows are too good to be true. Choose other clips with "
            "--split, or say --allow-leak to get a report that is marked"
        )
    where = ["other splits of the manifest"] if others.height else []
    trained = [f"speakers of {bundle.title}"] if known else []
    n_speakers = pl.concat([trained_on, both]).n_unique() if trained or where else None
    checks = {
        "speakers": {
            "compared_with": trained + where, "shared": n_speakers, "unknown": clips["speaker_id"].null_count()
        },
        "contents": _contents(clips, others, folder) | {"compared_with": where if folder else []},
        "sentences": _sentences(clips, whole, others) | {"compared_with": where},
    }  # fmt: skip
    if same := checks["contents"]["shared"]:
        found.append(f"{same} of {clips.height} clips {'has' if same == 1 else 'have'} the same bytes in another split")
    doubts = _doubts(clips, known)
    verdict = f"shared: {'; '.join(found)}" if found else f"unknown: {doubts[0]}" if doubts else "none"
    banners = [f"These figures are too good to be true: {text}." for text in found]
    banners += [
        f"Nobody can say whether the model knows these voices ({text}): figures may be too good." for text in doubts
    ]
    return Leakage(verdict, tuple(banners), checks)


def _contents(clips: pl.DataFrame, others: pl.DataFrame, folder: Path | None) -> dict[str, Any]:
    """Count the clips whose bytes are in the other splits too; only files of one size are read at all."""
    if folder is None or not others.height:
        return {"shared": None, "unknown": None}
    here, there = (
        with_absolute_paths(table.select("path"), folder).with_columns(
            size=pl.col("path").map_elements(_size, return_dtype=pl.Int64)
        )
        for table in (clips, others)
    )
    mine = here.filter(pl.col("size") > 0).join(there, on="size", how="semi")
    theirs = there.join(mine, on="size", how="semi").unique("path")
    contents = {_digest(path) for path in theirs["path"]} - {None}
    shared = sum(_digest(path) in contents for path in mine["path"]) if contents else 0
    return {"shared": shared, "unknown": here["size"].null_count()}


def _size(path: str) -> int | None:
    with contextlib.suppress(OSError):
        return Path(path).stat().st_size
    return None


def _digest(path: str) -> bytes | None:
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    return None


def _sentences(clips: pl.DataFrame, whole: pl.DataFrame, others: pl.DataFrame) -> dict[str, Any]:
    """Count the sentences of these clips that are read in the other splits too."""
    read = whole.join(clips, on="clip_id", how="semi")["sentence"]
    shared = read.drop_nulls().unique().is_in(others["sentence"].drop_nulls().unique().implode()).sum()
    return {"shared": int(shared) if others.height else None, "unknown": read.null_count()}


def _count(clips: pl.DataFrame, speakers: pl.Series) -> str:
    n = clips.filter(pl.col("speaker_id").is_in(speakers.implode())).height
    return f"{n} of {clips.height} clips are of {speakers.len()} speaker{'s' if speakers.len() != 1 else ''}"


def _doubts(clips: pl.DataFrame, known: frozenset[str]) -> list[str]:
    doubts = []
    without = clips["speaker_id"].null_count()
    if without:
        doubts.append(
            "no speaker ids" if without == clips.height else f"{without} of {clips.height} clips have no speaker id"
        )
    if not known:
        doubts.append("the bundle lists no speakers")
    if SPLIT_UNIT in clips.columns and (clips[SPLIT_UNIT] == "clip").any():
        doubts.append("the manifest was split by clip, not by speaker")
    return doubts
