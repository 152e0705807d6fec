"""Reads and applies decisions: a CSV file in which people who listened correct labels, or remove clips and speakers.

::

    scope,id,decision,value,note
    speaker,3f9c…,gender,male,clearly
    clip,common-voice/…/common_voice_en_1,keep,gender,
    clip,common-voice/…/common_voice_en_2,remove,,a television

``scope`` is ``clip`` or ``speaker``, ``id`` is a ``clip_id`` or a ``speaker_id``, and ``note`` is a free text. The
decisions:

==============  ==========================================  ====================================================
``decision``    ``value``                                   effect on the rows
==============  ==========================================  ====================================================
``keep``        ``gender``, ``age_group``, ``speaker``, or  none: this label is correct (empty: all labels are)
                empty
``gender``      ``female``, ``male``, or empty              sets the label; empty is unknown
``age_group``   a group such as ``forties``, or empty       sets the label, and clears ``age_years`` outside it
``speaker``     another ``speaker_id``, or empty            sets the speaker; empty is unknown
``apart``       another ``speaker_id``                      none: these are two people, even if they sound alike
``unsure``      as for ``keep``, or another ``speaker_id``  none: reviewed without a result
``remove``      empty                                       removes the rows
==============  ==========================================  ====================================================

A decision on a clip takes precedence over one on its speaker, including the removal of the speaker.
"""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from voxtrait.audio.writing import atomic_path
from voxtrait.errors import CorpusError, clipped
from voxtrait.labels import AGE_GROUPS, GENDERS
from voxtrait.manifest.table import conform

COLUMNS: Final = ("scope", "id", "decision", "value", "note")
SCOPES: Final = ("clip", "speaker")
DECIDED: Final = "decided"
"""Extra column of a manifest with the decision applied to a row, such as ``gender: male → female``."""

LABELS: Final = {"gender": "gender", "age_group": "age_group", "speaker": "speaker_id"}  # decision → column
_ABOUT: Final = (*LABELS, "")
_VALUES: Final[Mapping[str, tuple[str, ...] | None]] = {
    "keep": _ABOUT,
    "gender": (*GENDERS, ""),
    "age_group": (*AGE_GROUPS, ""),
    "speaker": None,  # any id
    "apart": None,
    "unsure": None,
    "remove": ("",),
}
DECISIONS: Final = tuple(_VALUES)
_SHOWN: Final = 5  # invalid rows named in one error
_SCHEMA: Final = {**dict.fromkeys(COLUMNS, pl.String), "line": pl.Int64}


class Applied(NamedTuple):
    """Result of :func:`apply`."""

    table: pl.DataFrame
    dropped: dict[str, int]  # reason → removed rows, for the funnel
    changed: dict[str, int]  # gender, age_group, speaker_id → changed rows; kept → confirmed rows;
    #                          matched nothing → decisions without a row


def read(path: str | os.PathLike[str]) -> pl.DataFrame:
    """Read a file of decisions.

    Returns:
        One row per decision, with ``scope``, ``id``, ``decision``, ``value`` and ``note`` as text, which may be empty,
        and ``line``, its line in the file.

    Raises:
        CorpusError: if the file cannot be read, has other columns, or has invalid or contradictory rows; the message
            names their lines.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "decisions.csv")
        ...     _ = file.write_text("scope,id,decision,value,note\\nspeaker,s1,gender,male,\\n")
        ...     read(file).drop("note", "line").rows()
        [('speaker', 's1', 'gender', 'male')]
    """
    file = Path(path)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = next(reader, [])
            _check_header(file, header)
            rows = [(row, reader.line_num) for row in reader if row]
    except FileNotFoundError:
        raise CorpusError(f"No such file of decisions: {file}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{file} cannot be read as a CSV of decisions: {error}") from None
    names = [name.strip() for name in header]
    wrong, found, before = [], [], dict[tuple[str, str, str], tuple[str, int]]()
    for row, line in rows:
        if len(row) != len(names):
            wrong.append(f"line {line}: {len(row)} fields, expected {len(names)}")
            continue
        one = {name: value for name, value in zip(names, row, strict=True) if name in COLUMNS}
        one = {"note": "", **one, "decision": one["decision"].strip(), "scope": one["scope"].strip()}
        if problem := _problem(one, line, before):
            wrong.append(f"line {line}: {problem}")
        found.append({**one, "line": line})
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise CorpusError(f"{file} has invalid rows: {'; '.join(wrong[:_SHOWN])}{more}")
    return pl.DataFrame(found, schema=_SCHEMA)


def write(decisions: pl.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write decisions to a CSV file for :func:`read`."""
    with atomic_path(path) as part:
        decisions.select(COLUMNS).write_csv(part)


def apply(table: pl.DataFrame, decisions: pl.DataFrame) -> Applied:
    """Apply decisions to a manifest; the column ``decided`` records the changes of each row.

    Args:
        table: a manifest.
        decisions: the result of :func:`read`.

    Returns:
        The manifest without the removed rows, the number of removed rows by reason, and the number of changed rows.

    Examples:
        >>> rows = [{"path": "a.mp3", "speaker_id": "s1", "gender": "male"}, {"path": "b.mp3", "speaker_id": "s1"}]
        >>> decided = {"scope": "speaker", "id": "s1", "decision": "gender", "value": "female", "note": ""}
        >>> applied = apply(conform(pl.DataFrame(rows)), pl.DataFrame([decided]))
        >>> applied.table["gender"].to_list(), applied.table["decided"].to_list()
        (['female', 'female'], ['gender: male → female', 'gender: unknown → female'])
        >>> applied.changed["gender"], applied.dropped
        (2, {})
    """
    columns = table.columns
    if DECIDED not in columns:
        table = table.with_columns(pl.lit(None, pl.String).alias(DECIDED))
    asked = table.select("clip_id", "speaker_id")
    by_id = {scope: _by_id(decisions, scope) for scope in SCOPES}
    clip = asked.join(by_id["clip"], left_on="clip_id", right_on="id", how="left", maintain_order="left")
    speaker = asked.join(by_id["speaker"], left_on="speaker_id", right_on="id", how="left", maintain_order="left")
    changed, marks = {}, []
    for name, column in LABELS.items():
        own, general = clip[f"{name}?"].fill_null(False), speaker[f"{name}?"].fill_null(False)
        new = pl.DataFrame({"new": clip[name]}).with_columns(
            pl.when(own).then("new").otherwise(pl.when(~own & general).then(speaker[name])).alias("new")
        )["new"]
        # a decision on the speaker does not change a clip with a confirmed label
        right = clip[f"{name}="].fill_null(False)
        applies = (own | (general & ~right)).alias("applies")
        old = table[column]
        differs = applies & ~old.eq_missing(new)
        changed[column] = int(differs.sum())
        frame = pl.DataFrame({"old": old, "new": new, "differs": differs})
        table = table.with_columns(frame.select(pl.when("differs").then("new").otherwise("old").alias(column)))
        mark = pl.format(f"{name}: {{}} → {{}}", pl.col("old").fill_null("unknown"), pl.col("new").fill_null("unknown"))
        marks.append(frame.select(pl.when("differs").then(mark).alias(name)))
        if name == "age_group":
            group = (pl.col("age_years") // 10).clip(0, len(AGE_GROUPS) - 1).cast(pl.Int64)
            named = group.replace_strict(range(len(AGE_GROUPS)), AGE_GROUPS, default=None, return_dtype=pl.String)
            known = applies & table.select((named == pl.col("age_group")).fill_null(False)).to_series().not_()
            table = table.with_columns(age_years=pl.when(known).then(None).otherwise("age_years"))
    made = pl.concat_str([pl.col(DECIDED), *(frame.to_series() for frame in marks)], separator="; ", ignore_nulls=True)
    table = table.with_columns(pl.when(made != "").then(made).alias(DECIDED))
    gone = {
        "removed by a decision on the clip": clip["remove?"].fill_null(False),
        "removed by a decision on the speaker": speaker["remove?"].fill_null(False) & clip["stays"].is_null(),
    }
    changed["kept"] = int((clip["kept"].fill_null(False) | speaker["kept"].fill_null(False)).sum())
    changed["matched nothing"] = unmatched(table, asked, decisions).height
    dropped = {reason: int(rows.sum()) for reason, rows in gone.items() if rows.any()}
    left = ~(gone["removed by a decision on the clip"] | gone["removed by a decision on the speaker"])
    return Applied(conform(table.filter(left)), dropped, changed)


def unmatched(table: pl.DataFrame, asked: pl.DataFrame | None, decisions: pl.DataFrame) -> pl.DataFrame:
    """Return the decisions whose id is on no row.

    Args:
        table: a manifest.
        asked: the columns ``clip_id`` and ``speaker_id`` before any change; ``None`` takes those of ``table``.
        decisions: the result of :func:`read`.
    """
    ids = table if asked is None else asked
    known = {scope: ids[f"{scope}_id"].drop_nulls().unique().implode() for scope in SCOPES}
    return decisions.filter(
        ~(
            ((pl.col("scope") == "clip") & pl.col("id").is_in(known["clip"]))
            | ((pl.col("scope") == "speaker") & pl.col("id").is_in(known["speaker"]))
        )
    )


def _by_id(decisions: pl.DataFrame, scope: str) -> pl.DataFrame:
    """Return one row per id of a scope, with all decisions on it.

    The columns are ``id``, ``stays``, ``kept``, ``remove?``, and for each label, such as gender: ``gender``, the new
    value; ``gender?``, whether there is a new value; and ``gender=``, whether the label is confirmed.
    """
    decision, value = pl.col("decision"), pl.col("value")
    keeps = decision.is_in(["keep", "unsure"])
    label = [
        one
        for name in LABELS
        for one in (
            value.filter(decision == name).last().replace("", None).alias(name),
            (decision == name).any().alias(f"{name}?"),
            (keeps & value.is_in([name, ""])).any().alias(f"{name}="),
        )
    ]
    remove, kept = (decision == "remove").any().alias("remove?"), (decision == "keep").any().alias("kept")
    some = decisions.filter(pl.col("scope") == scope)
    return some.group_by("id").agg(remove, kept, *label, stays=(decision != "remove").any().replace(False, None))


def _check_header(file: Path, header: list[str]) -> None:
    names = [name.strip() for name in header]
    missing = [name for name in COLUMNS[:4] if name not in names]
    if missing or len(set(names)) != len(names):
        raise CorpusError(
            f"{file} has the columns {', '.join(names[:8])[:200] or 'nothing'}. Expected {', '.join(COLUMNS)}."
        )


def _problem(one: Mapping[str, str], line: int, before: dict[tuple[str, str, str], tuple[str, int]]) -> str | None:
    """Describe the problem of a row, ``None`` if it is valid; the row is added to ``before`` for later rows."""
    decision, value = one["decision"], one["value"]
    if one["scope"] not in SCOPES:
        return f"got the scope {clipped(one['scope'])}, expected {' or '.join(SCOPES)}"
    if not one["id"]:
        return "no id"
    if decision not in _VALUES:
        return f"got the decision {clipped(decision)}, expected one of {', '.join(DECISIONS)}"
    if decision == "apart" and (one["scope"] != "speaker" or not value or value == one["id"]):
        return "apart needs the scope speaker, and another speaker as value"
    allowed = _VALUES[decision]
    if allowed is not None and value not in allowed:
        expected = ", ".join(filter(None, allowed)) or "no value"
        return f"got the value {clipped(value)} for {decision}, expected {expected}"
    if decision in ("apart", "unsure"):
        return None
    keeps_all = decision == "keep" and not value
    for about in (*LABELS, "remove") if keeps_all else [value if decision == "keep" else decision]:
        key = (one["scope"], one["id"], about)
        word = f"{decision} {value}" if decision != "keep" else "keep"
        earlier, where = before.setdefault(key, (word, line))
        if earlier != word:
            words = f"{clipped(word.strip())} contradicts {clipped(earlier.strip())}"
            return f"{words} on line {where} for the same {one['scope']}"
    return None
