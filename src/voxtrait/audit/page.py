"""Writes the audit page: one HTML file for playing clips and deciding on labels, which works from a disk, offline.

Sentences and ids come from strangers and are never inserted as HTML. They are stored as JSON without ``<``, and the
page inserts them as text.
"""

import functools
import hashlib
import json
import os
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from voxtrait import audio, batch, features
from voxtrait.audio.writing import atomic_path
from voxtrait.audit.doubt import Judged
from voxtrait.audit.findings import Audit
from voxtrait.errors import VoxtraitError
from voxtrait.labels import AGE_GROUPS
from voxtrait.palette import pages

PICTURES: Final = "pictures"
SHOWN: Final = 3  # clips of a speaker on the page
SIZE: Final = (288, 192)  # pixels of a spectrogram: shows the harmonics at half the file size of the default
SECONDS: Final = 60.0  # read of a clip for its spectrogram
_OURS: Final = re.compile(r"[0-9a-f]{16}\.png")
_COLUMN: Final = {"gender": "gender", "age": "age_group"}

Entry = dict[str, Any]


def entries(
    table: pl.DataFrame,
    judged: Mapping[str, Judged],
    found: Audit,
    same: pl.DataFrame,
    names: pl.Series,
    number: np.ndarray[Any, Any],
    top: int,
) -> list[Entry]:
    """Select the entries of the page: doubted speakers, doubted clips, mixed ids, pairs of ids, in this order.

    Args:
        table: the manifest.
        judged: the ranked doubts of each task.
        found: the tables of the audit.
        same: the result of :func:`voxtrait.audit.voices.same`.
        names: the ids, by number.
        number: ``(clips,)``, number of the id of each clip.
        top: maximum number of entries of each kind and task.

    Returns:
        Entries with ``kind``, ``task``, ``scope``, ``id``, details, and the ``rows`` of the clips to play.
    """
    clip_ids, made = table["clip_id"], list[Entry]()
    for task, one in judged.items():
        doubts = np.full(table.height, -1.0)
        doubts[one.clips["row"].to_numpy()] = one.clips["doubt"].to_numpy()
        several = set(one.speakers.filter(pl.col("speaker").is_duplicated())["speaker"])
        shown = one.speakers.head(top)
        for row in shown.iter_rows(named=True):
            rows = sorted(row["rows"], key=lambda at: -doubts[at])[:SHOWN]
            name = names[row["speaker"]]
            own = name.startswith("\0")
            which = {"scope": "clip", "id": clip_ids[rows[0]]} if own else {"scope": "speaker", "id": name}
            made.append(
                {"kind": "speaker", "task": task, **which, **_details(row), "rows": rows}
                | ({"several": True} if row["speaker"] in several else {})
            )
        rest = one.clips.filter(~pl.col("speaker").is_in(shown["speaker"].implode())).head(top)
        for row in rest.iter_rows(named=True):
            at = row["row"]
            made.append(
                {"kind": "clip", "task": task, "scope": "clip", "id": clip_ids[at], **_details(row), "rows": [at]}
            )
    known = {clip: at for at, clip in enumerate(clip_ids)} if found.mixed.height else {}
    ids = {name: at for at, name in enumerate(names)} if found.mixed.height else {}
    wanted = {ids[name] for name in found.mixed["speaker_id"].head(top)}
    wanted |= {*same["speaker"].head(top), *same["other"].head(top)}
    members = _members(number, wanted)
    for row in found.mixed.head(top).iter_rows(named=True):
        others = json.loads(row["others"])
        rows = [known[clip] for clip in others]
        rest_ = [at for at in members[ids[row["speaker_id"]]] if at not in {*rows}]
        details = {name: row[name] for name in ("likeness", "n_clips", "gender")}
        groups = {"rows": rest_[:SHOWN], "others": rows[:SHOWN], "other_ids": others}
        made.append(
            {"kind": "mixed", "task": "speaker", "scope": "speaker", "id": row["speaker_id"], **details, **groups}
        )
    for row, (a, b) in zip(
        found.same.head(top).iter_rows(named=True), same.head(top).select("speaker", "other").iter_rows(), strict=True
    ):
        details = {name: row[name] for name in ("likeness", "n_clips", "n_other", "gender", "other_gender", "together")}
        pair = {"id": row["other_id"], "with": row["speaker_id"]}
        groups = {"rows": members[a][:SHOWN], "others": members[b][:SHOWN]}
        made.append({"kind": "same", "task": "speaker", "scope": "speaker", **pair, **details, **groups})
    return made


def draw(
    asked: Iterable[Entry],
    paths: pl.Series,
    folder: Path,
    *,
    jobs: batch.Jobs = 1,
    label: str | None = None,
) -> dict[int, str]:
    """Draw the spectrograms of the page into ``folder/pictures``; keep existing ones and delete unused ones.

    Args:
        asked: the entries.
        paths: ``(clips,)``, absolute paths.
        folder: folder of the audit.
        jobs: number of worker processes, or a :class:`voxtrait.batch.Where`.
        label: text of the progress line; ``None`` for no progress line.

    Returns:
        The file name of each row's spectrogram. Clips that cannot be read are left out.
    """
    home = folder / PICTURES
    home.mkdir(parents=True, exist_ok=True)
    rows = sorted({at for entry in asked for at in (*entry["rows"], *entry.get("others", ()))})
    work = [_Work(paths[at], str(home / f"{_digest(paths[at], _changed(paths[at]))}.png")) for at in rows]
    done = list(batch.run(_draw, work, jobs=jobs, on_crash=lambda item, why: False, label=label, unit="clip"))
    made = {at: Path(item.target).name for at, item, good in zip(rows, work, done, strict=True) if good}
    for file in home.iterdir():
        if _OURS.fullmatch(file.name) and file.name not in {*made.values()}:
            file.unlink()
    return made


def write(
    folder: Path,
    asked: Sequence[Entry],
    table: pl.DataFrame,
    pictures: Mapping[int, str],
    summary: Mapping[str, Any],
    key: str,
) -> None:
    """Write ``folder/index.html``.

    Args:
        folder: folder of the audit.
        asked: the entries: see :func:`entries`.
        table: the manifest, with absolute paths.
        pictures: file names of the spectrograms: see :func:`draw`.
        summary: content of ``audit.json``.
        key: key of the decisions in the browser's storage: see :func:`key_of`.
    """
    import jinja2
    from markupsafe import Markup

    shown = list(dict.fromkeys(at for entry in asked for at in (*entry["rows"], *entry.get("others", ()))))
    place = {at: index for index, at in enumerate(shown)}
    base = os.path.realpath(folder)
    clips = [
        [clip, _address(path, base), sentence or "", pictures.get(at, "")]
        for at, (clip, path, sentence) in zip(
            shown, table.select(pl.col("clip_id", "path", "sentence").gather(shown)).iter_rows(), strict=True
        )
    ]
    data = {
        "key": key,
        "pictures": PICTURES,
        "size": SIZE,
        "groups": AGE_GROUPS,
        "clips": clips,
        "entries": [
            {name: value for name, value in entry.items() if value is not None}
            | {name: [place[at] for at in entry[name]] for name in ("rows", "others") if name in entry}
            | {"key": _digest(entry["scope"], entry["kind"], entry["task"], entry["id"], entry.get("with", ""))}
            for entry in asked
        ],
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("voxtrait.audit"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["counted"] = _counted
    source = functools.partial(environment.loader.get_source, environment)  # type: ignore[union-attr]
    page = environment.get_template("index.html").render(
        summary=summary,
        mark=Markup(pages.MARK),
        data=Markup(harmless(data)),
        style=Markup(pages.style() + source("page.css")[0]),
        script=Markup(source("page.js")[0]),
    )
    with atomic_path(folder / "index.html") as part:
        part.write_text(page, "utf-8", errors="replace")


def key_of(path: str | os.PathLike[str]) -> str:
    """Return the key of a manifest's decisions in the browser's storage; the same in every audit of it."""
    return f"voxtrait audit {_digest(os.path.realpath(path))}"


def harmless(value: Any) -> str:
    """Encode JSON that is safe inside ``<script>``, whatever texts it contains.

    Examples:
        >>> harmless({"sentence": "</script>"})
        '{"sentence":"\\\\u003c/script>"}'
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _details(row: Mapping[str, Any]) -> Entry:
    years = row["years"]
    more = {"years": round(years)} if years is not None else {}
    return {
        **{name: row[name] for name in ("label", "answer", "n_clips")},
        "doubt": round(row["doubt"], 4),
        **({"child": True} if row["child"] else {}),
        **more,
    }


def _members(number: np.ndarray[Any, Any], wanted: set[int]) -> dict[int, list[int]]:
    at = np.flatnonzero(np.isin(number, np.fromiter(wanted, np.int64, len(wanted))))
    found: dict[int, list[int]] = {one: [] for one in wanted}
    for row in at:
        found[int(number[row])].append(int(row))
    return found


class _Work(str):
    """A clip and the path of its spectrogram; as text it is the clip."""

    target: str

    def __new__(cls, path: str, target: str) -> "_Work":
        self = super().__new__(cls, path)
        self.target = target
        return self

    def __reduce__(self) -> Any:
        return _Work, (str(self), self.target)


def _draw(item: _Work) -> bool:
    target = Path(item.target)
    if target.is_file():
        return True
    try:
        blocks, have = list[Any](), 0.0
        for block, rate in audio.blocks(str(item), audio.SAMPLING_RATE):
            blocks.append(block)
            have += len(block) / rate
            if have >= SECONDS:
                break
        drawn = features.picture(np.concatenate(blocks), audio.SAMPLING_RATE, size=SIZE)
        with atomic_path(target) as part:
            part.write_bytes(features.encode_png(drawn))
    except (VoxtraitError, OSError, RuntimeError, MemoryError, ValueError):
        return False
    return True


def _changed(path: str) -> str:
    try:
        status = Path(path).stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _address(path: str, base: str) -> str:
    """Return the address of a clip relative to the page, so that both can be moved together."""
    try:
        return urllib.parse.quote(Path(os.path.relpath(os.path.realpath(path), base)).as_posix())
    except ValueError:  # another drive
        return Path(path).resolve().as_uri()


def _digest(*texts: str) -> str:
    return hashlib.blake2b("\0".join(texts).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
