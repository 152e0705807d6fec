"""Writes Kaldi data folders that ``utils/validate_data_dir.sh`` accepts."""

from pathlib import Path
from typing import Final
from urllib.parse import quote

import polars as pl

from voxtrait.audio.writing import atomic_path
from voxtrait.corpora import placing
from voxtrait.corpora.layouts.kaldi import NO_LABELS
from voxtrait.corpora.table import as_text
from voxtrait.labels import GENDERS
from voxtrait.manifest import naming

FOLDERS: Final = {"validation": "dev"}
_STANDARD: Final = ("spk", "gender", "age", "dur", "lang")
_ODD: Final = r'[\x00-\x1f\x7f]|^[\s"]|\s$'  # a value that a line cannot store exactly
_BLANKS: Final = r"[\s\x00-\x1f\x7f\x{0085}]+"  # rejected by validate_text.pl, or taken for a line end by other tools


def write(rows: pl.DataFrame, out: Path) -> list[str]:
    """Write data folders that ``utils/validate_data_dir.sh`` accepts: one per split, or ``out`` itself.

    Utterances are named after speaker and clip. Columns without a Kaldi file of their own are written to ``utt2…``
    files.

    Args:
        rows: rows of a manifest, with absolute paths that are valid in ``wav.scp``: see :func:`holds`.
        out: the folder.

    Returns:
        The path of each ``wav.scp``, relative to ``out``.
    """
    written = []
    for split, part in placing.by_split(rows, FOLDERS):
        folder = out / split
        folder.mkdir(parents=True, exist_ok=True)
        _write_folder(_with_ids(part), folder)
        written.append(f"{split}/wav.scp".lstrip("/"))
    return written


def holds(path: str) -> pl.Expr:
    """Return whether a path is valid in ``wav.scp``: one line, without blanks or ``|`` at its end."""
    return ~pl.col(path).str.contains(r"[\n\r]|[ \t|]$|(?i)\.ark:\d+$")


def _with_ids(rows: pl.DataFrame) -> pl.DataFrame:
    """Add ``_utt``, ``_spk``, and ``_at``, the position of the row in an order in which both ids ascend.

    The id of an utterance begins with that of its speaker. The rows are not sorted: sorting each file by a number takes
    less memory than sorting the table by names.
    """
    names = naming.file_names(rows["clip_id"], any_disk=True)
    for strict in (False, True):
        ids = pl.DataFrame(
            {"known": _tokens(rows["speaker_id"], strict), "alone": _tokens(names, strict), "name": names}
        )
        speaker = pl.coalesce("known", "alone")
        ids = ids.select(
            pl.coalesce(pl.col("known") + "-" + pl.col("name"), "alone").alias("_utt"), speaker.alias("_spk")
        )
        order = ids["_utt"].arg_sort()
        if ids["_spk"].gather(order).is_sorted() and not ids["_utt"].is_duplicated().any():
            break
    places = pl.DataFrame({"row": order, "_at": pl.int_range(len(order), eager=True)}).sort("row")["_at"]
    return rows.with_columns(*ids, places)


def _tokens(ids: pl.Series, strict: bool) -> pl.Series:
    """Return ids as single words; other ids are replaced by hashed names.

    With ``strict``, only ids whose characters sort after the hyphen that follows them are kept: otherwise ``a`` and
    ``a-b``, each followed by ``-``, could be sorted in another order than alone.
    """
    allowed = r"[^\w.=]" if strict else r"[^\w.=-]"
    unique = ids.drop_nulls().unique()
    odd = unique.filter(unique.str.contains(allowed) | (unique.str.len_bytes() > 64) | unique.str.contains(r"^[-.]"))
    if not odd.len():
        return ids
    made = [naming.hashed_name(one, allowed, 24).replace("-", "_") for one in odd]
    return ids.replace(odd, pl.Series(made, dtype=pl.String))


def _write_folder(rows: pl.DataFrame, folder: Path) -> None:
    spk = pl.col("_spk")
    _write_known(rows, folder / "wav.scp", pl.col("path"), as_is=True)
    _write_known(rows, folder / "utt2spk", spk)
    _write(folder / "spk2utt", rows.group_by("_spk").agg(pl.col("_utt").sort().str.join(" ")).sort("_spk"), "_utt")
    named = rows.select("_spk", "speaker_id").filter(pl.col("speaker_id") != spk).unique("_spk").sort("_spk")
    if named.height:
        _write(folder / "spk2_speaker", named.select("_spk", _line("speaker_id")), "speaker_id")
    _write_gender(rows, folder)
    years = pl.col("age_years").cast(pl.String)
    _write_known(rows, folder / "utt2age", pl.coalesce(years, "age_group", *(["age"] if "age" in rows.columns else [])))
    if rows["sentence"].count():
        sentence = pl.col("sentence")
        text = sentence.str.replace_all(_BLANKS, " ").str.strip_chars(" ").str.replace_all(r"<+(/?s)>+", "${1}")
        text = text.str.replace_all("#0", "# 0", literal=True)
        _write_known(rows, folder / "text", text.fill_null(""), as_is=True)
        _write_known(rows, folder / "utt2sentence", pl.when(text != sentence).then(sentence))
    if rows["duration_s"].count():
        whole = not rows["duration_s"].has_nulls() and bool((rows["duration_s"] > 0).all())
        _write_known(rows, folder / ("utt2dur" if whole else "utt2duration_s"), pl.col("duration_s"))
    if rows["locale"].count():
        whole = not rows["locale"].has_nulls() and not rows["locale"].str.contains(_ODD).any()
        _write_known(rows, folder / ("utt2lang" if whole else "utt2locale"), pl.col("locale"))
    parts = pl.concat_str([pl.col(name).fill_null("-") for name in ("corpus", "release", "locale")], separator="/")
    if not rows.select(pl.col("clip_id").str.starts_with(parts + "/").all()).item():
        for name in ("corpus", "release", *(() if rows["locale"].count() else ("locale",))):
            _write_known(rows, folder / f"utt2{name}", pl.col(name), even_empty=True)
    for name in (name for name in rows.columns if name not in _DONE):
        _write_known(as_text(rows.select("_utt", "_at", name)), folder / f"utt2{_file_part(name)}", pl.col(name))


_DONE: Final = (
    "_utt", "_spk", "_at", "path", "place", "split", "speaker_id", "gender", "age_group", "age_years", "age",
    "sentence", "duration_s", "locale", "corpus", "release",
)  # fmt: skip


def _write_gender(rows: pl.DataFrame, folder: Path) -> None:
    """Write ``spk2gender`` if all clips of each speaker have the same gender, m or f; otherwise ``utt2gender``."""
    letters = pl.col("gender").replace_strict({gender: gender[0] for gender in GENDERS}, default=None)
    speakers = rows.group_by("_spk").agg(letter=letters.first(), alike=pl.col("gender").n_unique() == 1).sort("_spk")
    if speakers["alike"].all() and not speakers["letter"].has_nulls():
        _write(folder / "spk2gender", speakers.select("_spk", "letter"), "letter")
    else:
        _write_known(rows, folder / "utt2gender", pl.coalesce(letters, "gender"))


def _file_part(column: str) -> str:
    """Return a column's name for use in a file name, different from Kaldi's own files."""
    text = quote(column, safe="").replace(".", "%2E")
    reserved = (*_STANDARD, *NO_LABELS, "sentence", "duration_s", "_speaker")
    return f"%{ord(text[0]):02X}{text[1:]}" if column in reserved else text


def _line(name: str) -> pl.Expr:
    """Return values as one line each; values that a line cannot store exactly become JSON strings."""
    head = len(f'{{"{name}":')
    encoded = pl.struct(pl.col(name).alias(name)).struct.json_encode().str.slice(head).str.strip_suffix("}")
    return pl.when(pl.col(name).str.contains(_ODD)).then(encoded).otherwise(pl.col(name))


def _write_known(
    rows: pl.DataFrame, path: Path, value: pl.Expr, *, as_is: bool = False, even_empty: bool = False
) -> None:
    """Write the known values, one per utterance; with ``as_is``, no value is written as JSON."""
    known = rows.select("_utt", "_at", value.cast(pl.String).alias("_value")).filter(pl.col("_value").is_not_null())
    if not known.height and not even_empty:
        return
    odd = not as_is and bool(known["_value"].str.contains(_ODD).any())
    lines = known.select("_utt", "_at", _line("_value") if odd else "_value").sort("_at")
    _write(path, lines.select("_utt", "_value"), "_value")


def _write(path: Path, rows: pl.DataFrame, value: str) -> None:
    """Write lines with a key, the first column, and a value."""
    with atomic_path(path) as part:
        rows.select(pl.concat_str(rows.columns[0], value, separator=" ")).write_csv(
            part, include_header=False, quote_style="never", separator="\x1f"
        )
