"""Selects the clips to evaluate, reads their true labels, and checks them for leakage from the training set."""

import contextlib
import dataclasses
import hashlib
from pathlib import Path
from typing import Any, Final

import polars as pl

from voxtrait.bundle import Bundle, hash_speaker
from voxtrait.errors import LeakageError, NothingToDoError, OptionError, counted
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
    """Speakers and clips shared with the training set of the bundle or with other splits.

    Attributes:
        verdict: ``"none"``, ``"unknown: …"`` or ``"shared: …"``.
        banners: warnings at the top of the report.
        checks: for ``speakers``, ``contents`` and ``sentences``: what they were compared with, and how many are shared.
    """

    verdict: str
    banners: tuple[str, ...]
    checks: dict[str, Any] = dataclasses.field(default_factory=dict)


def choose(table: pl.DataFrame, split: str | None) -> tuple[pl.DataFrame, str]:
    """Return the rows of a split.

    Args:
        table: a manifest.
        split: ``train``, ``validation``, ``test``, ``all``, or ``None``: ``test`` if there are splits, else ``all``.

    Returns:
        The rows, and the name of the split.

    Raises:
        OptionError: if ``split`` has another value.
        NothingToDoError: if the split has no rows.
    """
    if split not in (None, ALL, *SPLITS):
        raise OptionError(f"got the split {split!r}, expected one of {', '.join((*SPLITS, ALL))}")
    name = split or ("test" if table["split"].null_count() < table.height else ALL)
    rows = table if name == ALL else table.filter(pl.col("split") == name)
    if not rows.height:
        found = ", ".join(table["split"].drop_nulls().unique().sort()) or "none"
        raise NothingToDoError(f"no clips in split '{name}'. Splits of the manifest: {found}. Select one with --split")
    return rows, name


def with_truth(table: pl.DataFrame, tasks: tuple[str, ...]) -> pl.DataFrame:
    """Return the rows with a label of one of the tasks, with columns of their true labels.

    Years come from ``age_years`` if known, otherwise from the middle of the age group. The clips of one speaker
    share a number in ``speaker``. A clip without a speaker id counts as its own speaker.

    Returns:
        ``clip_id path speaker_id corpus release locale true_gender true_age_group true_age_years years_known speaker``,
        and ``split_unit`` if the manifest has it. ``years_known`` is false where the years come from the age group.
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
    """Check whether the bundle may have been trained on these speakers or clips.

    Files with the same bytes in another split are counted in the verdict and in a banner. Sentences that also occur
    in another split are only counted. To find copies with different bytes, use ``voxtrait corpus leakage``.

    Args:
        clips: clips to evaluate, with ``speaker_id``.
        whole: the manifest that the clips come from.
        split: name of their split.
        bundle: bundle with the hashes of the speakers used for its training and model selection.
        allow_leak: report shared speakers instead of raising an error.
        folder: folder of the manifest, for relative paths; ``None`` to open no files.

    Raises:
        LeakageError: if a speaker is shared and ``allow_leak`` is false.
    """
    known = bundle.speakers()
    ids = clips["speaker_id"].drop_nulls().unique()
    trained_on = ids.filter(pl.Series([hash_speaker(one) in known for one in ids], dtype=pl.Boolean))
    others = whole.filter(pl.col("split") != split) if split != ALL else whole.clear()
    both = ids.filter(ids.is_in(others["speaker_id"].drop_nulls().unique().implode()))
    shared = [
        _count(clips, trained_on, f"used for the training or model selection of {bundle.title}"),
        _count(clips, both, "also found in another split of the manifest"),
    ]
    found = [text for text in shared if text]
    if found and not allow_leak:
        raise LeakageError(
            f"leakage: {'; '.join(found)}. Results on such speakers are inflated. Select other clips with --split, or "
            "pass --allow-leak to get a report marked as leaked"
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
        verb = "has" if same == 1 else "have"
        found.append(f"{same} of {counted(clips.height, 'clip')} {verb} the same bytes in another split")
    doubts = _doubts(clips, known)
    verdict = f"shared: {'; '.join(found)}" if found else f"unknown: {doubts[0]}" if doubts else "none"
    banners = [f"These figures are inflated by leakage: {text}." for text in found]
    banners += [f"Leakage is unknown ({text}): these figures may be inflated." for text in doubts]
    return Leakage(verdict, tuple(banners), checks)


def _contents(clips: pl.DataFrame, others: pl.DataFrame, folder: Path | None) -> dict[str, Any]:
    """Count the clips whose bytes also occur in other splits. Only files with equal sizes are read."""
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
    """Count the sentences of these clips that also occur in other splits."""
    read = whole.join(clips, on="clip_id", how="semi")["sentence"]
    shared = read.drop_nulls().unique().is_in(others["sentence"].drop_nulls().unique().implode()).sum()
    return {"shared": int(shared) if others.height else None, "unknown": read.null_count()}


def _count(clips: pl.DataFrame, speakers: pl.Series, words: str) -> str:
    if not speakers.len():
        return ""
    n = clips.filter(pl.col("speaker_id").is_in(speakers.implode())).height
    verb = "is" if n == 1 else "are"
    return f"{n} of {counted(clips.height, 'clip')} {verb} from {counted(speakers.len(), 'speaker')} {words}"


def _doubts(clips: pl.DataFrame, known: frozenset[str]) -> list[str]:
    doubts = []
    without = clips["speaker_id"].null_count()
    if without:
        doubts.append(
            "no speaker ids"
            if without == clips.height
            else f"{without} of {counted(clips.height, 'clip')} without a speaker id"
        )
    if not known:
        doubts.append("the bundle lists no speakers")
    if SPLIT_UNIT in clips.columns and (clips[SPLIT_UNIT] == "clip").any():
        doubts.append("the manifest was split by clip, not by speaker")
    return doubts
