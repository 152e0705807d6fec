"""Layout of Lhotse manifests: recordings and supervisions, or cuts.

Source: https://lhotse.readthedocs.io, https://github.com/lhotse-speech/lhotse. Licence: that of the clips.

Tree::

    manifests/                                    its name becomes ``corpus``
        corpus_recordings_train.jsonl.gz          or .jsonl; id, sources, sampling_rate, num_samples, duration
        corpus_supervisions_train.jsonl.gz        recording_id, start, duration, text, language, speaker, gender, custom
        corpus_cuts_train.jsonl.gz                only if there are no recordings; both in one line

The source may also be a single file of cuts. A split in the name of a file (``train``, ``dev-clean``) fills ``split``.
``age``, ``accent`` and all other fields of ``custom`` become columns; lists and records become JSON text.

Known problems:

- A clip is a file. For a recording with several supervisions or cuts, only labels on which all agree are kept, and the
  column ``utterances`` has their number.
- Cuts of several recordings (``MixedCut``), and recordings in memory, behind a URL or in several files, are dropped. A
  command is replaced by the audio file that it names.
- Relative paths are relative to the folder where Lhotse ran. The nearest folder from which the first path exists is
  used.
- Ages are in ``custom.age`` as years in one corpus, as text in another, and in ``custom.speaker_age`` in a third.
- The durations of resampled or speed-perturbed recordings are those after the change.
"""

import gzip
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from voxtrait import batch
from voxtrait.audio.signals import SAMPLING_RATE
from voxtrait.audio.writing import atomic_path
from voxtrait.corpora import placing, spellings, table
from voxtrait.corpora.layouts import kaldi
from voxtrait.corpora.source import Listing, Rows, Source, complete, rename
from voxtrait.errors import CorpusError, counted
from voxtrait.manifest.faults import TABLE_ERRORS, reason
from voxtrait.manifest.table import SPLIT_UNIT

LAYOUT: Final = "Lhotse"
EXPECTED: Final = "Lhotse: …recordings….jsonl(.gz) and …supervisions….jsonl(.gz), or …cuts….jsonl(.gz)"
EXPECTED_FILE: Final = "Lhotse cuts: …cuts….jsonl or .jsonl.gz"
FOLDERS: Final = {"validation": "dev"}

_ENDINGS: Final = (".jsonl", ".jsonl.gz")
_COLUMNS: Final = {
    "stem": ("_recording",),
    "file": ("_file",),
    "clip_id": ("clip_id",),
    "corpus": ("corpus",),
    "release": ("release",),
    "speaker_id": ("_speaker", "speaker_id"),
    "gender": ("_gender", "sex"),
    "age": ("age_years", "age", "age_group", "speaker_age"),
    "split": ("_split",),
    "locale": ("_language",),
    "accent": ("accent", "accents"),
    "duration_s": ("duration_s", "_duration"),
    "sentence": ("_text", "sentence"),
}
_MANIFEST_COLUMNS: Final = {"age": ("age_years", "age_group", "age"), "accent": ("accent",), "sentence": ("_text",)}
_SLICE: Final = 100_000  # rows written at a time, for constant memory
_LEVEL: Final = 2  # of gzip: compresses to a fifth, in a third of the time of the default


def find(listing: Listing) -> Source | None:
    """Recognise a folder with recordings or cuts."""
    if not (_named(listing, "recordings") or _named(listing, "cuts")):
        return None
    return Source(LAYOUT, listing.folder, listing.folder.name)


def find_file(path: Path) -> Source | None:
    """Recognise a file of cuts by its name."""
    if not path.name.endswith(_ENDINGS) or "cuts" not in path.name.lower():
        return None
    return Source(LAYOUT, path.parent, path.parent.name, file=path)


def _named(listing: Listing, kind: str) -> list[str]:
    return sorted(name for name in listing.files if kind in name.lower() and name.endswith(_ENDINGS))


def _split_of(name: str) -> str | None:
    """Return the split in a file name."""
    words = name.lower().partition(".")[0].replace("-", "_").split("_")
    return next((spellings.SPLIT_SPELLINGS[word] for word in words if word in spellings.SPLIT_SPELLINGS), None)


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the manifests of a folder, or a file of cuts.

    Args:
        source: a result of :func:`find` or :func:`find_file`.
        tables: ignored.

    Raises:
        CorpusError: if a file is not a Lhotse manifest, or lacks fields of recordings or cuts.
    """
    result = Rows(pl.DataFrame())
    listing = Listing.of(source.folder)
    names = [source.file.name] if source.file else _named(listing, "recordings")
    is_cuts = bool(source.file) or not names
    parts = []
    for name in names or _named(listing, "cuts"):
        try:
            read_one = _cuts if is_cuts else _recordings
            parts.append(read_one(source.folder / name, result).with_columns(_split=pl.lit(_split_of(name), pl.String)))
        except (*TABLE_ERRORS, EOFError, zlib.error) as error:
            raise CorpusError(f"{source.folder / name} cannot be read as a Lhotse manifest: {reason(error)}") from None
        result.tables.append(name)
    together = pl.concat(parts, how="diagonal")
    own = "clip_id" in together.columns  # exported from a manifest: its extra columns are not alternatives to these
    unit = {SPLIT_UNIT: (SPLIT_UNIT,)} if SPLIT_UNIT in together.columns else {}
    rows = rename(together, {**_COLUMNS, **_MANIFEST_COLUMNS, **unit} if own else _COLUMNS)
    rows = rows.with_columns(
        pl.col("duration_s").cast(pl.Float64, strict=False), file=kaldi.based("file", rows["file"], source.folder)
    )
    result.table = complete(_with_stem(rows))
    result.dropped = {why: count for why, count in result.dropped.items() if count}
    return result


def _with_stem(rows: pl.DataFrame) -> pl.DataFrame:
    if not rows["clip_id"].count():
        return rows
    named = table.with_stem(rows.drop("stem"))["stem"]
    return rows.with_columns(stem=pl.when(pl.col("clip_id").is_null()).then("stem").otherwise(named))


def _recordings(path: Path, result: Rows) -> pl.DataFrame:
    recordings, bad = table.read_json_lines(path)
    _count(result, "unreadable row", bad)
    rows = _files(_checked(recordings, path), result)
    beside = path.with_name(path.name.replace("recordings", "supervisions"))
    if not beside.is_file():
        result.notes.append(f"has no {beside.name}, so the clips of {path.name} have no labels")
        return rows
    supervisions, bad = table.read_json_lines(beside)
    _count(result, "unreadable row", bad)
    if "recording_id" not in supervisions.columns:
        raise CorpusError(f"{beside} has no field 'recording_id'. Expected Lhotse supervisions.")
    return _labelled(rows, _flat(supervisions), result, "several supervisions")


def _checked(recordings: pl.DataFrame, path: Path) -> pl.DataFrame:
    missing = [name for name in ("id", "sources") if name not in recordings.columns]
    if missing or not isinstance(recordings["sources"].dtype, pl.List):
        raise CorpusError(f"{path} has no field {(missing or ['sources'])[0]!r}. Expected Lhotse recordings.")
    return recordings


def _files(recordings: pl.DataFrame, result: Rows) -> pl.DataFrame:
    """Find the file of each recording; drop and count the recordings without one."""
    first = pl.col("sources").list.first()
    fields = recordings["sources"].dtype.inner.fields  # type: ignore[attr-defined]
    names = {field.name for field in fields} if isinstance(fields, list) else set()
    text = first.struct.field("source").cast(pl.String) if "source" in names else pl.lit(None, pl.String)
    kind = first.struct.field("type") if "type" in names else pl.lit("file")
    length = "duration" if "duration" in recordings.columns else None
    rows = recordings.select(
        _recording=pl.col("id").cast(pl.String),
        file=pl.when(kind == "command").then(text + " |").when(kind == "file").then(text),
        _several=pl.col("sources").list.len() > 1,
        _duration=pl.col(length).cast(pl.String) if length else pl.lit(None, pl.String),
    )
    _count(result, "recording in several files", rows["_several"].sum())
    rows = rows.filter(~pl.col("_several").fill_null(True)).drop("_several")
    rows, dropped = kaldi.files_of(rows)
    for why, count in dropped.items():
        _count(result, "recording without a file" if why == "no file name" else why, count)
    result.notes.extend(kaldi.channel_notes(rows))
    return rows.rename({"file": "_file"})


def _flat(supervisions: pl.DataFrame) -> pl.DataFrame:
    """Flatten supervisions: their fields get names with an underscore, the fields of ``custom`` keep theirs."""
    own = {"speaker": "_speaker", "gender": "_gender", "language": "_language", "text": "_text"}
    columns: list[pl.Expr] = [
        (pl.col(name) if name in supervisions.columns else pl.lit(None)).cast(pl.String).alias(to)
        for name, to in own.items()
    ]
    out = supervisions.select(pl.col("recording_id").cast(pl.String).alias("_recording"), *columns)
    custom = supervisions.schema.get("custom")
    if isinstance(custom, pl.Struct):
        fields = table.as_text(supervisions["custom"].struct.unnest())
        out = out.with_columns(fields.select(pl.exclude("^_.*$")))
    return out


def _labelled(rows: pl.DataFrame, labels: pl.DataFrame, result: Rows, what: str) -> pl.DataFrame:
    merged, shared = kaldi.one_a_recording(labels, "_recording")
    if shared:
        result.notes.append(f"has {counted(shared, 'recording')} with {what}. Only labels on which they agree are kept")
    return rows.join(merged, on="_recording", how="left", maintain_order="left")


def _cuts(path: Path, result: Rows) -> pl.DataFrame:
    """Read cuts: their recordings, each once, with the labels of their supervisions."""
    cuts, bad = table.read_json_lines(path)
    _count(result, "unreadable row", bad)
    if "recording" not in cuts.columns or not isinstance(cuts.schema["recording"], pl.Struct):
        raise CorpusError(f"{path} has the fields {', '.join(cuts.columns[:8])}. Expected Lhotse cuts.")
    whole = cuts.filter(pl.col("recording").is_not_null() & pl.col("recording").struct.field("id").is_not_null())
    _count(result, "cut of several recordings or no recording", cuts.height - whole.height)
    recordings = _checked(whole["recording"].struct.unnest(), path)
    if {"start", "duration"} <= set(cuts.columns) and "duration" in recordings.columns:
        part = (whole["start"] > 0.01) | (whole["duration"] < recordings["duration"] - 0.01)
        if count := part.sum():
            cuts_ = counted(int(count), "cut that is", "cuts that are")
            result.notes.append(f"has {cuts_} a part of a recording. Their clips are the whole files")
    _count(result, "another cut of the same recording", recordings["id"].is_duplicated().sum() - _repeated(recordings))
    rows = _files(recordings.unique("id", keep="first", maintain_order=True), result)
    if not isinstance(cuts.schema.get("supervisions"), pl.List):
        return rows
    owner = whole.select(recording_id=recordings["id"], supervision="supervisions").explode("supervision")
    owner = owner.filter(pl.col("supervision").is_not_null())
    if not isinstance(owner.schema["supervision"], pl.Struct):
        return rows
    fields = owner["supervision"].struct.unnest().drop("recording_id", strict=False)
    return _labelled(rows, _flat(fields.with_columns(owner["recording_id"])), result, "several supervisions")


def _repeated(recordings: pl.DataFrame) -> int:
    """Return the number of different recordings that are repeated."""
    return recordings.filter(pl.col("id").is_duplicated())["id"].n_unique()


def _count(result: Rows, why: str, count: Any) -> None:
    result.dropped[why] = result.dropped.get(why, 0) + int(count)


Header = tuple[int, int, int]  # sampling rate in Hz, frames, channels


def header_of(path: str) -> Header | str:
    """Return sampling rate, frames and channels from the header of a file, or the reason why it cannot be read."""
    import soundfile

    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError) as error:
        return f"duration and sampling rate cannot be read: {str(error).rpartition(': ')[2]}"
    if info.frames <= 0 or info.samplerate <= 0:
        return "the file has no samples, according to its header"
    return info.samplerate, info.frames, info.channels


def with_headers(
    rows: pl.DataFrame, *, tables_only: bool, jobs: batch.Jobs, label: str | None, fail: Callable[[pl.DataFrame], None]
) -> pl.DataFrame:
    """Add ``_rate`` in Hz, ``_frames`` and ``_channels`` of each clip, and drop clips without them.

    Args:
        rows: rows of a manifest, with absolute paths.
        tables_only: open no file. Durations then come from the manifest, and the rate from its column
            ``sampling_rate``, if any; otherwise it is assumed to be 16 kHz.
        jobs: number of worker processes that read headers.
        label: shown before the progress line; ``None`` shows no progress.
        fail: called with the dropped rows, with ``reason``.
    """
    if tables_only:
        stated = (
            pl.col("sampling_rate").cast(pl.Int64, strict=False) if "sampling_rate" in rows.columns else pl.lit(None)
        )
        rate = pl.coalesce(stated, pl.lit(SAMPLING_RATE, pl.Int64))
        rows = rows.with_columns(_rate=rate, _channels=pl.lit(1, pl.Int64))
        rows = rows.with_columns(_frames=(pl.col("duration_s") * pl.col("_rate")).round().cast(pl.Int64))
        known = (rows["_frames"] > 0).fill_null(False)
        if known.all():
            return rows
        fail(rows.filter(~known).with_columns(reason=pl.lit("no duration in the manifest")))
        return rows.filter(known)
    found = batch.run(header_of, rows["path"].to_list(), jobs=jobs, on_crash=lambda path, why: why, label=label)
    heads: dict[str, list[Any]] = {"_rate": [], "_frames": [], "_channels": [], "reason": []}
    for head in found:
        for name, value in zip(
            heads, (None, None, None, head) if isinstance(head, str) else (*head, None), strict=True
        ):
            heads[name].append(value)
    whole = rows.with_columns(
        pl.Series(name, values, pl.String if name == "reason" else pl.Int64) for name, values in heads.items()
    )
    fail(whole.filter(pl.col("reason").is_not_null()))
    return whole.filter(pl.col("reason").is_null()).drop("reason")


def write(rows: pl.DataFrame, out: Path) -> list[str]:
    """Write ``recordings.jsonl.gz`` and ``supervisions.jsonl.gz``, one pair per split if clips have splits.

    Args:
        rows: rows of a manifest, with absolute paths and the columns of :func:`with_headers`.
        out: the folder.

    Returns:
        The names of the files, relative to ``out``.
    """
    written = []
    for split, part in placing.by_split(rows, FOLDERS):
        ending = f"_{split}.jsonl.gz" if split else ".jsonl.gz"
        for kind, lines in (("recordings", _recording_lines), ("supervisions", _supervision_lines)):
            with atomic_path(out / f"{kind}{ending}") as unfinished, gzip.open(unfinished, "wb", _LEVEL) as file:
                for some in part.iter_slices(_SLICE):
                    file.write(lines(some).write_ndjson().encode())
            written.append(f"{kind}{ending}")
    return written


_SECONDS: Final = pl.col("_frames") / pl.col("_rate")


def _recording_lines(rows: pl.DataFrame) -> pl.DataFrame:
    channels = pl.int_ranges(0, pl.col("_channels"))
    source = pl.struct(type=pl.lit("file"), channels=channels, source=pl.col("path"))
    return rows.select(
        id="clip_id", sources=pl.concat_list(source), sampling_rate="_rate", num_samples="_frames", duration=_SECONDS,
        channel_ids=channels,
    )  # fmt: skip


def _supervision_lines(rows: pl.DataFrame) -> pl.DataFrame:
    own = ("path", "place", "split", "speaker_id", "gender", "locale", "sentence", "_rate", "_frames", "_channels")
    # fields of Lhotse itself, and names with an underscore, would not be read back as columns
    custom = [name for name in rows.columns if name not in own]
    return rows.select(
        id="clip_id", recording_id="clip_id", start=pl.lit(0.0), duration=_SECONDS, channel=pl.lit(0),
        text="sentence", language="locale", speaker="speaker_id", gender="gender", custom=pl.struct(custom),
    )  # fmt: skip
