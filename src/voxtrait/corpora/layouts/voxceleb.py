"""Layout of VoxCeleb 1 and 2: celebrities in interviews, with gender, and with ages from published lists.

Source: https://www.robots.ox.ac.uk/~vgg/data/voxceleb/; Nagrani, Chung and Zisserman, VoxCeleb, Interspeech 2017;
Chung, Nagrani and Zisserman, VoxCeleb2, Interspeech 2018. Licence: CC BY 4.0 for the metadata; the recordings
are from YouTube.

Tree, in any folders; only speaker, video and number at the end of the path are read::

    voxceleb/
        vox1_meta.csv  vox2_meta.csv                    here, in meta/, or above the imported folder
        vox1_dev_wav/wav/id10001/1zcIwhmdeo4/00001.wav  VoxCeleb1: id10001 and up
        vox2/dev/aac/id00012/21Uxsk56VDQ/00001.m4a      VoxCeleb2: id00012 to id09279
        final_dataframe_extended.csv  age-train.txt  age-test.txt  gender-train_set.txt  gender-test_set.txt
        utt2age.train  utt2age.test

``release`` is ``vox1`` or ``vox2``. ``split`` comes from the column Set: dev becomes train. Its speakers differ from
those of test.

Ages come from two published lists, in the folders above or in a clone of their repositories there:

- https://github.com/hechmik/voxceleb_enrichment_age_gender (Hechmi et al., ASRU 2021): ``speaker_age`` by video, with
  ``birth_year``, ``recording_year`` and a second label of gender (``enrichment_gender``). Its lists of training and
  test speakers become ``enrichment_age_split`` and ``enrichment_gender_split``.
- https://github.com/nttcslab-sp/agevoxceleb (Tawara et al., ICASSP 2021): ``agevoxceleb_age`` and
  ``agevoxceleb_split`` by clip of VoxCeleb2. ``age`` is that of the first list, otherwise that of this one.

Known problems:

- ``vox1_meta.csv`` is separated by tabs, ``vox2_meta.csv`` by commas after blanks.
- The ages are the year of upload minus the year of birth: inaccurate by about a year, and wrong for old videos.
- Gender is that of the celebrity; a few are wrong, as the second label shows.
- A clip in two formats is one clip; the second file is dropped as repeated.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait.corpora import trees
from voxtrait.corpora.source import Listing, Rows, Source, complete, rename
from voxtrait.errors import CorpusError, counted

LAYOUT: Final = "VoxCeleb"
EXPECTED: Final = "VoxCeleb: vox1_meta.csv or vox2_meta.csv, and id10001/<video>/00001.wav in any subfolder"
META: Final = ("vox1_meta.csv", "vox2_meta.csv")
ENRICHMENT: Final = "final_dataframe_extended.csv"
AGE_LISTS: Final = {"age-train.txt": "train", "age-test.txt": "test"}
GENDER_LISTS: Final = {"gender-train_set.txt": "train", "gender-test_set.txt": "test"}
CLIP_AGES: Final = {"utt2age.train": "train", "utt2age.test": "test"}
SPLITS: Final = {"dev": "train", "test": "test"}
MAX_ABOVE: Final = 3  # parent folders searched for tables, for clips in vox2/dev/aac

_BESIDE: Final = (
    "",
    "meta",
    "metadata",
    "dataset",
    "voxceleb_enrichment_age_gender/dataset",
    "voxceleb_enrichment_age_gender-main/dataset",
    "agevoxceleb",
    "agevoxceleb-master",
)
_PATH: Final = r"(?:^|/)(?<speaker>id\d{5})/(?<video>[^/]+)/(?<clip>\d{5})\.[^./]+$"
_ID: Final = re.compile(r"id\d{5}")
_CLIP: Final = re.compile(r"\d{5}\.\w+")
_COLUMNS: Final = {
    **{name: (name,) for name in ("file", "stem", "release", "speaker_id", "gender", "age", "split")},
}


def find(listing: Listing) -> Source | None:
    """Recognise a folder with the metadata, or one with speakers.

    Examples:
        >>> find(Listing(Path("vox"), frozenset(META), frozenset({"wav"}))).corpus
        'voxceleb'
    """
    tables = {*META, ENRICHMENT}
    is_root = tables & listing.files or any(
        tables & Listing.of(listing.folder / name).files for name in ("meta", "metadata") if name in listing.folders
    )
    return Source(LAYOUT, listing.folder, "voxceleb") if is_root or _has_videos(listing) else None


def _has_videos(listing: Listing) -> bool:
    """Check the first video of the first speaker: other corpora also have folders named id00001."""
    speaker = min((name for name in listing.folders if _ID.fullmatch(name)), default=None)
    videos = Listing.of(listing.folder / speaker).folders if speaker else frozenset()
    if speaker is None or not videos:
        return False
    return any(_CLIP.fullmatch(name) for name in Listing.of(listing.folder / speaker / min(videos)).files)


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """List the clips, with the labels of their speakers and videos.

    Args:
        source: a result of :func:`find`.
        tables: ignored.

    Raises:
        CorpusError: if a table lacks columns, or is not a table.
    """
    found, closed = trees.files_below(source.folder)
    rows = pl.DataFrame({"file": found}, {"file": pl.String})
    rows = rows.with_columns(pl.col("file").str.extract_groups(_PATH).alias("_parts")).unnest("_parts")
    stray = rows["clip"].null_count()
    rows = rows.drop_nulls("clip").with_columns(stem=pl.concat_str("speaker", "video", "clip", separator="/"))
    is_first = pl.col("speaker").str.slice(2).cast(pl.Int32) > 10_000
    rows = rows.with_columns(release=pl.when(is_first).then(pl.lit("vox1")).otherwise(pl.lit("vox2")))
    there = _tables(source.folder)
    rows, notes = _with_speakers(rows, [there[name] for name in META if name in there])
    rows = _with_enrichment(rows, there)
    notes += _disputed(rows)
    rows = _with_clip_ages(rows, [there[name] for name in CLIP_AGES if name in there])
    rows = rows.with_columns(
        speaker_id="voxceleb-" + pl.col("speaker"),
        age=pl.coalesce("speaker_age", "agevoxceleb_age"),
        gender=pl.coalesce("gender", "enrichment_gender"),
        split=pl.col("set").str.to_lowercase().replace_strict(SPLITS, default=None, return_dtype=pl.String),
    ).drop("speaker", "clip", "set", "speaker_age")
    dropped = {"not in id…/video/": stray}
    empty = [name for name in rows.columns if name not in _COLUMNS and rows[name].null_count() == rows.height]
    rows = rename(rows.drop(empty), _COLUMNS)
    return Rows(complete(rows), sorted(there) or ["folders"], dropped, notes, failures=closed)


def _tables(folder: Path) -> dict[str, Path]:
    """Find each table in the folder, in some known subfolders, or in a parent folder; the nearest is used."""
    names = (*META, ENRICHMENT, *AGE_LISTS, *GENDER_LISTS, *CLIP_AGES)
    found: dict[str, Path] = {}
    for place in (folder, *list(folder.parents)[:MAX_ABOVE]):
        for beside in _BESIDE:
            files = Listing.of(place / beside).files if (place / beside).is_dir() else frozenset()
            found = {name: place / beside / name for name in names if name in files} | found
    return found


def _with_speakers(rows: pl.DataFrame, paths: Sequence[Path]) -> tuple[pl.DataFrame, list[str]]:
    columns = ("speaker", "gender", "set", "nationality", "vggface_id")
    speakers = trees.frame(columns, [line for path in paths for line in _read_meta(path)])
    notes = (
        trees.unknown_speakers(rows, speakers, "speaker", " and ".join(path.name for path in paths)) if paths else []
    )
    if not paths:
        notes = [f"has no {' or '.join(META)}, so no official split. Download them from VoxCeleb's page"]
    return rows.join(speakers, on="speaker", how="left", maintain_order="left"), notes


def _read_meta(path: Path) -> Iterator[tuple[str | None, ...]]:
    header, *lines = trees.lines_of(path)
    separator = "\t" if "\t" in header else ","
    names = [name.strip().lower() for name in header.split(separator)]
    at = {
        "id": next((n for n, name in enumerate(names) if re.fullmatch(r"voxceleb\d?[ _]id", name)), None),
        "vggface": next((n for n, name in enumerate(names) if re.fullmatch(r"vggface\d?[ _]id", name)), None),
        **{name: names.index(name) if name in names else None for name in ("gender", "set", "nationality")},
    }
    if at["id"] is None or at["gender"] is None:
        raise CorpusError(
            f"{path} has the header {header[:100]!r}. Expected 'VoxCeleb1 ID', 'VGGFace1 ID', 'Gender', … Download it "
            "again."
        )
    for line in lines:
        fields = line.split(separator)
        if len(fields) == len(names):
            wanted = (at["id"], at["gender"], at["set"], at["nationality"], at["vggface"])
            yield tuple(None if n is None else fields[n] for n in wanted)


def _with_enrichment(rows: pl.DataFrame, there: dict[str, Path]) -> pl.DataFrame:
    """Add ages by video, and the training and test speakers, from Hechmi's lists."""
    lists = {split: there[name] for name, split in AGE_LISTS.items() if name in there}
    by_video = ("VoxCeleb_ID", "video_id", "speaker_age", "birth_year")
    ages = _videos([(*one, None, None) for path in lists.values() for one in _read_csv(path, by_video)])
    if ENRICHMENT in there:
        wanted = (*by_video, "recording_year", "gender")
        ages = pl.concat([_videos(list(_read_csv(there[ENRICHMENT], wanted))), ages])
    ages = ages.unique(("speaker", "video"), keep="first", maintain_order=True)
    splits = [
        (speaker, video, split)
        for split, path in lists.items()
        for speaker, video in _read_csv(path, ("VoxCeleb_ID", "video_id"))
    ]
    used = pl.DataFrame(
        splits, schema=dict.fromkeys(("speaker", "video", "enrichment_age_split"), pl.String), orient="row"
    )
    used = used.unique(("speaker", "video"), keep="last", maintain_order=True)
    people = [
        (speaker, split)
        for name, split in GENDER_LISTS.items()
        if name in there
        for speaker in _ID.findall("\n".join(trees.lines_of(there[name])))
    ]
    genders = (
        ages.drop_nulls("enrichment_gender")
        .group_by("speaker", maintain_order=True)
        .agg(pl.col("enrichment_gender").first())
    )
    rows = rows.join(ages.drop("enrichment_gender"), on=("speaker", "video"), how="left", maintain_order="left")
    rows = rows.join(used, on=("speaker", "video"), how="left", maintain_order="left")
    rows = rows.join(genders, on="speaker", how="left", maintain_order="left")
    split_of = trees.frame(("speaker", "enrichment_gender_split"), people)
    return rows.join(split_of, on="speaker", how="left", maintain_order="left")


def _disputed(rows: pl.DataFrame) -> list[str]:
    first = pl.col("gender").str.to_lowercase().str.slice(0, 1)
    second = pl.col("enrichment_gender").str.to_lowercase().str.slice(0, 1)
    people = rows.filter(first != second)["speaker"].unique().sort().to_list()
    if not people:
        return []
    named = ", ".join(people[:3]) + (", …" if len(people) > 3 else "")
    who = counted(len(people), "speaker")
    return [f"has {who} with another gender in {ENRICHMENT} ({named}). The column 'enrichment_gender' has it"]


def _videos(rows: list[tuple[str | None, ...]]) -> pl.DataFrame:
    names = ("speaker", "video", "speaker_age", "birth_year", "recording_year", "enrichment_gender")
    table = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    return table.with_columns(pl.col(names[2:]).str.replace(r"\.0$", "").replace(["", "nan"], None))


def _read_csv(path: Path, wanted: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield some columns of a large quoted table, row by row; most of it are descriptions of videos."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.reader(file)
        try:
            header = next(rows, [])
            if not set(wanted) <= set(header):
                raise CorpusError(
                    f"{path} has the columns {', '.join(header)[:100]!r}. Expected {', '.join(map(repr, wanted))}. "
                    "Download it again."
                )
            at = [header.index(name) for name in wanted]
            for row in rows:
                if len(row) == len(header):
                    yield tuple(row[n] for n in at)
        except csv.Error as error:
            raise CorpusError(f"{path} cannot be read as a table: {error}") from None


def _with_clip_ages(rows: pl.DataFrame, paths: Sequence[Path]) -> pl.DataFrame:
    """Add ages by clip from AgeVoxCeleb's lists."""
    lines = [(line.split(), CLIP_AGES[path.name]) for path in paths for line in trees.lines_of(path)]
    ages = [(fields[0], fields[1], split) for fields, split in lines if len(fields) == 2]
    table = trees.frame(("stem", "agevoxceleb_age", "agevoxceleb_split"), ages)
    return rows.join(table, on="stem", how="left", maintain_order="left")
