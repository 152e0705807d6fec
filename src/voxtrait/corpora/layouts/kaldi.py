r"""Layout of Kaldi data folders, also used by ESPnet, WeNet and icefall.

Source: https://kaldi-asr.org/doc/data_prep.html. Licence: that of the clips.

Tree::

    data/
        train/                    a split's name (train, dev, train_clean_5, …) fills ``split``
            wav.scp               recording → file, or a command that ends in ``|``
            segments              utterance → recording, start and end in seconds; missing if utterances are files
            utt2spk  spk2utt      utterance → speaker, and back
            spk2gender            speaker → m or f; or utt2gender, by utterance
            text                  utterance → sentence
            utt2dur  reco2dur     seconds
            utt2age  spk2age      years or a decade
            utt2lang  spk2lang    language

The corpus is named after the folder, or after its parent if the folder is a split (or after the parent of ``data/``).
Other files of the form ``utt2…`` and ``spk2…`` become columns.

Known problems:

- A command (``flac -c -d -s x.flac |``, ``sph2pipe … x.sph |``) is replaced by the audio file that it names. Commands
  that name no file or several, and audio inside a Kaldi archive (``x.ark:123``), are dropped.
- Relative paths are relative to the folder where the recipe ran, often two levels up. The nearest folder from which the
  first path exists is used.
- A clip is a file. For a recording with several utterances, only labels on which all agree are kept, and the column
  ``utterances`` has their number.
- A speaker with the name of the utterance is unknown; this is how Kaldi writes unknown speakers.
- A value is one line, so line breaks and repeated blanks of sentences are lost.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import polars as pl

from voxtrait.audio import SUFFIXES
from voxtrait.corpora import spellings
from voxtrait.corpora.source import Listing, Rows, Source, complete
from voxtrait.corpora.table import with_stem
from voxtrait.errors import CorpusError, counted
from voxtrait.manifest.table import SCHEMA

LAYOUT: Final = "Kaldi"
EXPECTED: Final = "Kaldi data folder: wav.scp, and utt2spk, spk2gender, text …"

_CHUNK: Final = 1 << 26  # bytes read at a time
NO_LABELS: Final = ("num_frames", "uniq", "warp", "max_frames", "utt", "spk")
_NAMES: Final = {
    "lang": "locale",
    "dur": "duration_s",
    "spk": "speaker_id",
    "age": "age",
    "age_years": "age",
    "age_group": "age",
}
_AUDIO: Final = r"(?i)\.(?:" + "|".join(sorted(suffix[1:] for suffix in {*SUFFIXES, ".sph"})) + r")$"
_CHANNELS: Final = (  # how commands select one channel, counted from 1
    r"sph2pipe\b[^|]*\s-c\s*(\d+)",
    r"\bremix\s+(?:-[mp]\s+)?(\d+)\s*(?:\||$)",
)
_JSON_TEXT: Final = r'^"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u(?:[0-9a-cA-CefEF][0-9a-fA-F]|[dD][0-7])[0-9a-fA-F]{2})*"$'


def find(listing: Listing) -> Source | None:
    """Recognise a folder with ``wav.scp``."""
    if "wav.scp" not in listing.files:
        return None
    folder = listing.folder
    if _split_of(folder.name) is not None and folder.parent.name:
        folder = folder.parent
        folder = folder.parent if folder.name == "data" and folder.parent.name else folder
    return Source(LAYOUT, listing.folder, folder.name)


def _split_of(folder: str) -> str | None:
    """Return the split in a folder name such as ``train``, ``dev_clean_2`` or ``test-other``."""
    return spellings.SPLIT_SPELLINGS.get(re.split(r"[-_.]", folder.lower())[0])


def read(source: Source, tables: Sequence[str] | None = None) -> Rows:
    """Read the files of a data folder.

    Args:
        source: a result of :func:`find`.
        tables: ignored.

    Raises:
        CorpusError: if ``wav.scp`` has no recordings, or a file cannot be read.
    """
    there = Listing.of(source.folder).files
    recordings, unreadable = _mapping(source.folder / "wav.scp", "reco", "file")
    if not recordings.height:
        raise CorpusError(
            f"{source.folder / 'wav.scp'} has no recordings. Expected lines with a recording and its file."
        )
    recordings, no_file = files_of(recordings)
    utterances = _utterances(source.folder, there, recordings)
    rows, shared = one_a_recording(utterances, "reco")
    rows = recordings.join(rows, on="reco", how="left", maintain_order="left").rename({"reco": "stem"})
    rows = _with_durations(rows, source.folder, there).with_columns(file=based("file", rows["file"], source.folder))
    rows = rows.with_columns(split=pl.lit(_split_of(source.folder.name), pl.String))
    notes = channel_notes(recordings)
    if shared:
        notes.append(
            f"has {counted(shared, 'recording')} with several utterances. Only labels on which they agree are kept"
        )
    return Rows(complete(_named(rows)), ["wav.scp"], {"unreadable row": unreadable, **no_file}, notes)


def _mapping(path: Path, key: str, value: str) -> tuple[pl.DataFrame, int]:
    """Read lines with a key and a value; of a repeated key, the first line is used."""
    parts, unreadable = [], 0
    try:
        for text in _texts(path):
            lines = pl.select(line=pl.lit(pl.Series([text]).str.split("\n").explode())).filter(
                pl.col("line").str.strip_chars() != ""
            )
            good = lines.filter(~pl.col("line").str.contains("\ufffd", literal=True))
            unreadable += lines.height - good.height
            pair = good.select(
                pl.col("line").str.extract(r"^[ \t\r]*([^ \t\r]+)").alias(key),
                pl.col("line").str.extract(r"^[ \t\r]*[^ \t\r]+[ \t\r]+(.*?)[ \t\r]*$").alias(value),
            )
            parts.append(pair.with_columns(pl.when(pl.col(value) != "").then(pl.col(value)).alias(value)))
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}") from None
    table = pl.concat(parts) if parts else pl.DataFrame(schema={key: pl.String, value: pl.String})
    return table.unique(key, keep="first", maintain_order=True), unreadable


def _texts(path: Path) -> Iterator[str]:
    with path.open("rb") as data:
        while chunk := data.read(_CHUNK):
            yield (chunk + data.readline()).decode(errors="replace")


def files_of(recordings: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Replace commands in ``file`` by the files that they name; drop and count the rows without a file."""
    value = pl.col("file")
    tokens = value.str.extract_all(r"""'[^']*'|"[^"]*"|[^\s'"|<>]+""").list.eval(pl.element().str.strip_chars("'\""))
    named = tokens.list.eval(pl.element().filter(pl.element().str.contains(_AUDIO))).list.unique()
    is_command = value.str.ends_with("|")
    in_archive = ~is_command & value.str.contains(r"(?i)\.ark:\d+$")
    file = pl.when(is_command).then(pl.when(named.list.len() == 1).then(named.list.first())).otherwise(value)
    said = pl.when(is_command).then(value)
    table = recordings.with_columns(
        _said=said, file=pl.when(~in_archive).then(file), _archive=in_archive, _none=value.is_null()
    )
    lost = table.filter(pl.col("file").is_null())
    dropped = {
        "no file name": lost["_none"].sum(),
        "audio inside a Kaldi archive": lost["_archive"].fill_null(False).sum(),
    }
    dropped["command that does not name one audio file"] = lost.height - sum(dropped.values())
    kept = table.filter(pl.col("file").is_not_null()).drop("_archive", "_none")
    channels = [pl.col("_said").str.extract(pattern).cast(pl.Int64) for pattern in _CHANNELS]
    if kept["_said"].is_not_null().any():
        kept = kept.with_columns(channel=pl.coalesce(channels))
        if not kept["channel"].count():
            kept = kept.drop("channel")
    kept = kept.drop("_said")
    return kept, {why: int(count) for why, count in dropped.items() if count}


def channel_notes(recordings: pl.DataFrame) -> list[str]:
    """Return a note if commands select one channel of a file."""
    count = recordings["channel"].count() if "channel" in recordings.columns else 0
    if not count:
        return []
    what = counted(count, "recording that is", "recordings that are")
    return [
        f"has {what} one channel of a file (column channel). voxtrait averages the channels of a file, which mixes "
        "different speakers. Save each channel to its own file first: sox FILE OUT remix N"
    ]


def based(column: str, files: pl.Series, folder: Path) -> pl.Expr:
    """Make relative paths absolute, based on the nearest parent folder from which the first one exists."""
    first = files.filter(~files.str.starts_with("/"))
    base = folder
    if first.len():
        places = (folder, *list(folder.parents)[:3])
        # os.path.exists, because a name in a table may be too long for a path
        base = next((up for up in places if os.path.exists(up / first[0])), folder)  # noqa: PTH110
    clean = pl.col(column).str.replace(r"^(?:\./)+", "")
    prefix = f"{base.as_posix().rstrip('/')}/"
    return pl.when(pl.col(column).str.starts_with("/")).then(pl.col(column)).otherwise(prefix + clean)


def _utterances(folder: Path, there: frozenset[str], recordings: pl.DataFrame) -> pl.DataFrame:
    """Return one row per utterance: its recording, and all labels of the utterance and its speaker."""
    if "segments" in there:
        table, _ = _mapping(folder / "segments", "utt", "reco")
        table = table.with_columns(pl.col("reco").str.extract(r"^(\S+)"))
    else:
        table = recordings.select(utt="reco", reco="reco")
    table = _joined(table, folder, there, "text", "utt", "sentence")
    table = _joined(table, folder, there, "utt2spk", "utt", "speaker_id")
    if "utt2spk" not in there and "spk2utt" in there:
        pairs, _ = _mapping(folder / "spk2utt", "speaker_id", "utt")
        pairs = pairs.with_columns(pl.col("utt").str.split(" ")).explode("utt").unique("utt", maintain_order=True)
        table = table.drop("speaker_id").join(pairs, on="utt", how="left", maintain_order="left")
    speaker = pl.when(pl.col("speaker_id") != pl.col("utt")).then("speaker_id")
    for kind, key in (("utt", "utt"), ("spk", "speaker_id")):
        for name in sorted(name for name in there if name.startswith(f"{kind}2")):
            label = name.removeprefix(f"{kind}2")
            if label not in NO_LABELS and "." not in label:
                column = _NAMES.get(label) or unquote(label)
                column = column if column in _KEPT or column not in _WORKING else f"source_{column}"
                table = _joined(table, folder, there, name, key, column)
    table = table.with_columns(
        speaker_id=pl.coalesce(pl.col("_speaker"), speaker) if "_speaker" in table.columns else speaker
    )
    return table.drop("utt", "_speaker", strict=False)


_KEPT: Final = (*SCHEMA, "age", "_speaker")
_WORKING: Final = ("utt", "reco", "file", "stem", "split", "path", "table_rank", "utterances")


def _joined(table: pl.DataFrame, folder: Path, there: frozenset[str], name: str, key: str, column: str) -> pl.DataFrame:
    """Add a column from a file; its values replace those from earlier files."""
    if name not in there:
        return table if column in table.columns else table.with_columns(pl.lit(None, pl.String).alias(column))
    pairs, _ = _mapping(folder / name, key, "_value")
    if name != "text":  # in which quotation marks are ordinary characters
        pairs = pairs.with_columns(pl.col("_value").map_batches(_plain, return_dtype=pl.String))
    joined = table.join(pairs, on=key, how="left", maintain_order="left")
    values = [one for one in (column, "_value") if one in joined.columns]
    if name in ("utt2sentence", "utt2duration_s"):  # values that the standard file could not store
        values.reverse()
    return joined.with_columns(pl.coalesce(values).alias(column)).drop("_value")


def _plain(values: pl.Series) -> pl.Series:
    """Read the values that :func:`_line` wrote as JSON."""
    quoted = values.str.contains(_JSON_TEXT).fill_null(False)
    if not quoted.any():
        return values
    return values.zip_with(~quoted, values.set(~quoted, '""').str.json_decode(pl.String))


def one_a_recording(utterances: pl.DataFrame, key: str) -> tuple[pl.DataFrame, int]:
    """Merge utterances into one row per recording; labels that differ between its utterances become null.

    Returns:
        The rows, with ``utterances``, their number as text, if any recording has several; and the number of these
        recordings.
    """
    several = utterances[key].is_duplicated()
    count = utterances.filter(several)[key].n_unique()
    if not count:
        return utterances, 0
    values = [name for name in utterances.columns if name != key]
    agreed = [pl.when(pl.col(name).n_unique() == 1).then(pl.col(name).first()).alias(name) for name in values]
    merged = utterances.filter(several).group_by(key, maintain_order=True).agg(
        *agreed, utterances=pl.len().cast(pl.String)
    )  # fmt: skip
    return pl.concat([utterances.filter(~several), merged], how="diagonal"), count


def _with_durations(rows: pl.DataFrame, folder: Path, there: frozenset[str]) -> pl.DataFrame:
    """Fill the durations of files from ``reco2dur``, or from an utterance that is the whole file."""
    if "duration_s" not in rows.columns or "segments" in there:
        rows = rows.with_columns(duration_s=pl.lit(None, pl.String))
    if "reco2dur" in there:
        lengths, _ = _mapping(folder / "reco2dur", "stem", "_length")
        rows = rows.join(lengths, on="stem", how="left", maintain_order="left")
        rows = rows.with_columns(duration_s=pl.coalesce("duration_s", "_length")).drop("_length")
    return rows.with_columns(pl.col("duration_s").cast(pl.Float64, strict=False))


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    """Restore the clip ids of rows exported from a manifest, with corpus, release and locale."""
    if "clip_id" not in rows.columns:
        return rows
    known = pl.col("clip_id").is_not_null()
    for at, name in enumerate(("corpus", "release", "locale")):
        part = pl.col("clip_id").str.extract(r"^" + r"[^/]*/" * at + r"([^/]*)/")
        if name not in rows.columns or (name == "locale" and not rows[name].count()):
            rows = rows.with_columns(pl.when(known & (part != "-")).then(part).alias(name))
    return with_stem(rows.drop("stem"))
