"""Runs the audit of a manifest: embeddings, doubts, comparison of voices, tables and page."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from voxtrait import batch, manifest
from voxtrait.audio.writing import atomic_path, create_folder
from voxtrait.audit import doubt, heads, page, tables, voices
from voxtrait.audit.decided import Decided, decide
from voxtrait.audit.embeddings import ClipEmbeddings, embed_clips
from voxtrait.audit.findings import Audit
from voxtrait.corpora import decisions as files
from voxtrait.errors import NothingToDoError, OptionError
from voxtrait.recognize import load

MODEL: Final = "voxtrait-base"  # the thresholds in docs/notes/audit.md were measured on its embeddings
TOP: Final = 200  # entries of each kind on the page
MOST_PAIRS: Final = 10_000  # pairs of ids in same.csv at most, unless ``top`` asks for more


def audit(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    bundle: str | os.PathLike[str] | None = None,
    decisions: str | os.PathLike[str] | None = None,
    top: int = TOP,
    seed: int = 0,
    jobs: batch.Jobs = 1,
    label: str | None = None,
) -> Audit:
    """Find labels and speaker ids that look wrong, and write tables and a page for review. Labels stay unchanged.

    Each clip is embedded once. The embeddings stay in ``out``: interrupted runs are resumed, and a second run with
    decisions computes no embedding again.

    Args:
        path: path of the manifest.
        out: folder for the results, created if missing: ``index.html``, ``audit.json``, ``speakers.csv``,
            ``doubts.csv``, ``mixed.csv``, ``same.csv``, ``clips.parquet``, ``embeddings.npy`` (192 values for each row
            of the manifest, float16), ``pictures/``, ``heard/``.
        bundle: a folder, the name of a shipped bundle, or ``None`` for ``MODEL``. A bundle without an embedding finds
            doubts from its own predictions, and compares no voices.
        decisions: a file of decisions (``voxtrait.corpora.decisions``), which is applied first. Decided entries are
            not listed again.
        top: maximum number of entries of each kind on the page.
        seed: random seed of the speaker folds.
        jobs: number of worker processes, or a :class:`voxtrait.batch.Where`.
        label: text of the progress lines on standard error; ``None`` for no progress lines.

    Raises:
        MissingExtraError: if scikit-learn is not installed.
        ManifestError: if the table is not a manifest.
        NothingToDoError: if the manifest is empty.
        CorpusError: if the decisions cannot be read.
        BundleError: if the bundle is damaged or incomplete.
        OptionError: if ``top`` is less than 1.
    """
    if top < 1:
        raise OptionError(f"got top {top}, expected 1 or more")
    heads.check_extra()
    whole = manifest.with_absolute_paths(manifest.read(path), Path(path).parent)
    if not whole.height:
        raise NothingToDoError(f"no clips to audit: {os.fspath(path)} is an empty table")
    made = files.read(decisions) if decisions is not None else None
    recognizer = load(bundle or MODEL)
    folder = Path(out)
    create_folder(folder)
    embedded = embed_clips(recognizer, whole["path"].to_list(), folder, jobs=jobs, label=label)
    decided = decide(whole, made)
    here = ClipEmbeddings(embedded.table, embedded.embeddings, embedded.has & decided.kept)
    who = doubt.people(decided.table)
    judged = {task: doubt.judge(task, who, here, recognizer.bundle, seed) for task in doubt.TASKS}
    asked = {task: _undecided(one, decided.done[task]) for task, one in judged.items()}
    compared = _compare(decided, here, who, max(20 * top, MOST_PAIRS), seed, label)
    tasks = _tasks(asked)
    failed = whole.select("path").with_columns(embedded.table.select("status", "message"))
    # other machines have other folders: paths in the output are relative to the manifest
    shown = manifest.with_relative_paths(decided.table, Path(path).parent)
    found = Audit(
        summary={
            "manifest": Path(path).name,
            "made_with": f"voxtrait {importlib.metadata.version('voxtrait')}",
            "model": recognizer.bundle.title,
            "seed": seed,
            "top": top,
            "n_clips": whole.height,
            "n_speakers": whole["speaker_id"].drop_nulls().n_unique(),
            "statuses": dict(embedded.table["status"].value_counts().sort("status").iter_rows()),
            "tasks": tasks,
            "mixed": {"compared": compared.ids, "ids": compared.mixed.height, "likeness_below": voices.APART},
            "same": {
                "compared": compared.ids,
                "pairs": compared.same.height,
                "likeness_from": voices.SAME,
                "likeness_from_where_genders_differ": voices.SAME_DESPITE,
            },
            "decisions": decided.counts,
            "notes": _notes(tasks, compared),
        },
        doubts=tables.doubted(shown, asked, top),
        speakers=tables.speakers(shown, asked),
        mixed=tables.mixed(compared.mixed, decided.table, compared.names),
        same=tables.same(compared.same, decided.table, compared.names, compared.counts),
        failed=failed.filter(pl.col("status") == "error").drop("status"),
    )
    _write(folder, found, tables.all_clips(shown, embedded, judged))
    entries = page.entries(decided.table, asked, found, compared.same, compared.names, who.number, top)
    pictures = page.draw(entries, decided.table["path"], folder, jobs=jobs, label=label and f"{label}: pictures")
    page.write(folder, entries, decided.table, pictures, found.summary, page.key_of(path))
    return found


def _undecided(one: doubt.Judged, done: heads.Bools) -> doubt.Judged:
    clips = one.clips.filter(pl.Series(~done[one.clips["row"].to_numpy()], dtype=pl.Boolean))
    left = set(clips.select("speaker", "label").iter_rows())
    speakers = one.speakers.filter(
        pl.Series([pair in left for pair in one.speakers.select("speaker", "label").iter_rows()], dtype=pl.Boolean)
    )
    return dataclasses.replace(one, clips=clips, speakers=speakers)


@dataclasses.dataclass(frozen=True)
class _Compared:
    """Results of the comparison of voices."""

    names: pl.Series  # ids, by number
    counts: heads.Whole  # clips of each id
    mixed: pl.DataFrame
    same: pl.DataFrame
    why: str | None  # reason why voices were not compared

    @property
    def ids(self) -> int:
        """Number of ids with an embedding."""
        return int((self.counts > 0).sum())


def _compare(
    decided: Decided, embedded: ClipEmbeddings, who: doubt.People, most: int, seed: int, label: str | None
) -> _Compared:
    known = decided.table["speaker_id"].is_not_null().to_numpy()
    everybody = pl.DataFrame({"name": who.name, "number": who.number, "female": who.female}).fill_nan(None)
    ids = everybody.group_by("number").agg(pl.col("name").first(), pl.col("female").mean() > 0.5).sort("number")
    person = np.where(known, who.number, -1)
    pooled = voices.pool(embedded, person, ids.height, seed)
    if (pooled.counts > 0).sum() < voices.FEWEST:
        why = f"voices were not compared: fewer than {voices.FEWEST} speaker ids with an embedding"
        return _Compared(ids["name"], pooled.counts, voices.no_mixed(), voices.no_same(), why)

    def progress(blocks: Iterator[int], n: int) -> Iterator[int]:
        return batch.progress(blocks, n, label and f"{label}: voices", "block")

    female = ids["female"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    mixed = voices.mixed(embedded, person, pooled, seed)
    same = voices.same(pooled, female, most + len(decided.apart), progress=progress)
    names = ids["name"].to_list()
    fresh = [names[one] not in decided.one for one in mixed["speaker"]]
    asked = [(names[a], names[b]) not in decided.apart for a, b in same.select("speaker", "other").iter_rows()]
    return _Compared(
        ids["name"],
        pooled.counts,
        mixed.filter(pl.Series(fresh, dtype=pl.Boolean)),
        same.filter(pl.Series(asked, dtype=pl.Boolean)),
        None,
    )


def _tasks(judged: Mapping[str, doubt.Judged]) -> dict[str, dict[str, Any]]:
    found = {}
    for task, one in judged.items():
        line = pl.col("doubt") >= doubt.LINE[task]
        found[task] = one.how | {
            "line": doubt.LINE[task],
            "clips": one.clips.height,
            "doubted_clips": one.clips.filter(line).height,
            "judged_speakers": one.speakers.height,
            "doubted_speakers": one.speakers.filter(line).height,
        }
    return found


def _notes(tasks: Mapping[str, Mapping[str, Any]], compared: _Compared) -> list[str]:
    notes = [
        f"{task}: labels were compared with the predictions of {one['judge']}: {one['why']}"
        for task, one in tasks.items()
        if "why" in one
    ]
    notes += [
        f"{task}: {one['not_judged']} speaker{'' if one['not_judged'] == 1 else 's'} not audited, because they were "
        f"used for the training or model selection of {one['judge']}"
        for task, one in tasks.items()
        if one["not_judged"]
    ]
    return notes + ([compared.why] if compared.why else [])


def _write(folder: Path, found: Audit, clips: pl.DataFrame) -> None:
    with atomic_path(folder / "clips.parquet") as part:
        clips.write_parquet(part)
    for name in ("doubts", "speakers", "mixed", "same"):
        tables.write_csv(getattr(found, name), folder / f"{name}.csv")
    with contextlib.suppress(FileNotFoundError):
        (folder / "audit.json").unlink()  # written last: if it exists, the other files are complete
    with atomic_path(folder / "audit.json") as part:
        part.write_text(json.dumps(found.summary, ensure_ascii=False, indent=1) + "\n", "utf-8")
