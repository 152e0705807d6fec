"""The page to look, listen and decide: one HTML file that works from a disk, without network, with pictures beside it.

What is shown is text and never HTML: sentences and ids are of strangers. They travel as JSON, in which no ``<`` is
left, and are put into the page as text.
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

PICTURES: Final = "pictures"
HEARD: Final = 3  # clips of a speaker that are shown
SIZE: Final = (288, 192)  # pixels of a picture: enough to see the harmonics, in half the bytes of the usual one
SECONDS: Final = 60.0  # of a clip that are looked at for its picture
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
    """Choose what the page asks about, in its order: speakers, clips, mixed ids, pairs of ids.

    Args:
        table: the manifest.
        judged: what is doubted, of each task.
        found: the tables.
        same: as :func:`voxtrait.audit.voices.same` gives it.
        names: of the ids, by number.
        number: ``(clips,)``, the id of each.
        top: how many of each kind, and of each task.

    Returns:
        An entry each: ``kind``, ``task``, ``scope``, ``id``, its details, and the ``rows`` of clips to play.
    """
    clip_ids, made = table["clip_id"], list[Entry]()
    for task, one in judged.items():
        doubts = np.full(table.height, -1.0)
        doubts[one.clips["row"].to_numpy()] = one.clips["doubt"].to_numpy()
        several = set(one.speakers.filter(pl.col("speaker").is_duplicated())["speaker"])
        shown = one.speakers.head(top)
        for row in shown.iter_rows(named=True):
            rows = sorted(row["rows"], key=lambda at: -doubts[at])[:HEARD]
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
        groups = {"rows": rest_[:HEARD], "others": rows[:HEARD], "other_ids": others}
        made.append(
            {"kind": "mixed", "task": "speaker", "scope": "speaker", "id": row["speaker_id"], **details, **groups}
        )
    for row, (a, b) in zip(
        found.same.head(top).iter_rows(named=True), same.head(top).select("speaker", "other").iter_rows(), strict=True
    ):
        details = {name: row[name] for name in ("likeness", "n_clips", "n_other", "gender", "other_gender", "together")}
        pair = {"id": row["other_id"], "with": row["speaker_id"]}
        groups = {"rows": members[a][:HEARD], "others": members[b][:HEARD]}
        made.append({"kind": "same", "task": "speaker", "scope": "speaker", **pair, **details, **groups})
    return made


def draw(
    asked: Iterable[Entry],
    paths: pl.Series,
    folder: Path,
    *,
    jobs: int = 1,
    label: str | None = None,
) -> dict[int, str]:
    """Draw the clips of the page into ``folder/pictures``; what is there already is kept, what is not asked for goes.

    Args:
        asked: the entries.
        paths: ``(clips,)``, absolute.
        folder: of the audit.
        jobs: processes.
        label: of a progress line.

    Returns:
        The file name of each row's picture; a clip that cannot be read has none.
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
        folder: of the audit.
        asked: the entries, as :func:`entries` gives them.
        table: the manifest, with absolute paths.
        pictures: file names, as :func:`draw` gives them.
        summary: as in ``audit.json``.
        key: under which the browser keeps the decisions: :func:`key_of`.
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
    source = functools.partial(environment.loader.get_source, environment)  # type: ignore[union-attr]
    page = environment.get_template("index.html").render(
        summary=summary,
        data=Markup(harmless(data)),
        style=Markup(source("page.css")[0]),
        script=Markup(source("page.js")[0]),
    )
    with atomic_path(folder / "index.html") as part:
        part.write_text(page, "utf-8", errors="replace")


def key_of(path: str | os.PathLike[str]) -> str:
    """Give the key under which a browser keeps the decisions on a manifest: the same in every audit of it."""
    return f"voxtrait audit {_digest(os.path.realpath(path))}"


def harmless(value: Any) -> str:
    """Write JSON that is safe inside of ``<script>``, whatever texts are in it.

    Examples:
        >>> harmless({"sentence": "</script>"})
        '{"sentence":"\\\\u003c/script>"}'
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


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
    """A clip and where its picture goes; as text it is the clip."""

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
    """Give the address of a clip relative to the page, so that both can be moved together."""
    try:
        return urllib.parse.quote(Path(os.path.relpath(os.path.realpath(path), base)).as_posix())
    except ValueError:  # another drive
        return Path(path).resolve().as_uri()


def _digest(*texts: str) -> str:
    return hashlib.blake2b("\0".join(texts).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
