"""Small corpora and signals for the tests, all made up: nothing here was ever said by anybody."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from voxtrait import manifest
from voxtrait.synthetic import cohort, write_common_voice

RELEASE = "cv-corpus-0.1-synthetic"
LOCALE = "en"
TABLES = {  # columns of Common Voice's tables: releases 5 to 12, 13 to 16, from 17
    10: ["client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accent", "locale", "segment"],
    13: [
        "client_id",
        "path",
        "sentence_id",
        "sentence",
        "sentence_domain",
        "up_votes",
        "down_votes",
        "age",
        "gender",
        "accents",
        "variant",
        "locale",
        "segment",
    ],
}
TABLES[11] = [*TABLES[10][:7], "accents", "variant", *TABLES[10][8:]]
Fault = Literal["absent", "empty", "truncated", "text", "unlisted"]


def tone(
    seconds: float = 1.0, hz: float = 440.0, sampling_rate: int = 16_000, level: float = 0.5
) -> npt.NDArray[np.float32]:
    """A sine, ``(samples,)``; ``level`` is its peak."""
    times = np.arange(round(seconds * sampling_rate)) / sampling_rate
    return (level * np.sin(2 * np.pi * hz * times)).astype(np.float32)


def tiny_release(
    folder: Path,
    speakers: int = 4,
    clips: int = 2,
    *,
    seed: int = 1,
    seconds: tuple[float, float] = (1.0, 1.5),
    blank: float = 0.0,
    release: str = RELEASE,
    locale: str = LOCALE,
) -> Path:
    """A Common Voice release of synthetic voices, ``folder/release``: gender alternates, decades rise in pairs."""
    return write_common_voice(
        folder, cohort(speakers, seed), clips, seed, release, locale, seconds=seconds, blank=blank
    )


def clips_of(release: Path, locale: str = LOCALE) -> list[Path]:
    """The clips of a release, by name."""
    return sorted((release / locale / "clips").glob("*.mp3"))


def read_table(path: Path) -> pl.DataFrame:
    """A table as Common Voice writes it: tabs, never quoted, everything text."""
    return pl.read_csv(path, separator="\t", quote_char=None, infer_schema=False).fill_null("")


def write_table(path: Path, rows: Iterable[Mapping[str, str]], columns: list[str] = TABLES[13]) -> Path:
    """Write a table as Common Voice does; what a row does not name is empty."""
    lines = ["\t".join(columns), *("\t".join(row.get(column, "") for column in columns) for row in rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def break_clip(clip: Path, fault: Fault) -> Path:
    """Do to a clip what happens to clips; gives the file that the fault is about."""
    match fault:
        case "absent":
            clip.unlink()
        case "empty":
            clip.write_bytes(b"")
        case "truncated":
            data = clip.read_bytes()
            clip.write_bytes(data[: len(data) // 2])
        case "text":
            clip.write_text("This is no audio.\n", encoding="utf-8")
        case "unlisted":
            extra = clip.with_name(f"extra_{clip.name}")
            extra.write_bytes(clip.read_bytes())
            return extra
    return clip


def tiny_manifest(folder: Path, speakers: int = 6, clips: int = 2, *, split: bool = True, **options: object) -> Path:
    """A release and its manifest, ``folder/manifest.parquet``, made without the importer.

    With ``split``, speakers go to train, validation and test two by two, so that each split has both genders.
    """
    release = tiny_release(folder, speakers, clips, **options)  # type: ignore[arg-type]
    table = read_table(release / LOCALE / "validated.tsv")
    order = {speaker: at for at, speaker in enumerate(table["client_id"].unique(maintain_order=True))}
    splits = ("train", "validation", "test")
    rows = [
        {
            "clip_id": f"common-voice/{release.name}/{LOCALE}/{Path(row['path']).stem}",
            "path": f"{release.name}/{LOCALE}/clips/{row['path']}",
            "speaker_id": row["client_id"],
            "gender": row["gender"].split("_")[0] or None,
            "age_group": row["age"].replace("fourties", "forties") or None,
            "split": splits[order[row["client_id"]] // 2 % 3] if split else None,
            "corpus": "common-voice",
            "release": release.name,
            "locale": LOCALE,
            "sentence": row["sentence"],
        }
        for row in table.iter_rows(named=True)
    ]
    path = folder / "manifest.parquet"
    manifest.write(pl.DataFrame(rows, schema_overrides={"split": pl.String}), path)
    return path
