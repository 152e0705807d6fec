"""Measures speaker verification with the embeddings of bundles: equal error rates on Common Voice.

python benchmarks/verification.py [SPEECH] [--model BUNDLE ...] [--jobs 2] [--unseen] [--limit SPEAKERS]

SPEECH is a folder of corpora (default: VOXTRAIT_SPEECH, or ../shared/corpora). All clips of its Common Voice speakers
with at least two clips are embedded, and all pairs of clips are compared by their cosine. The equal error rate is that
of voxtrait.evaluate.metrics. Each speaker has the same weight in the same-speaker pairs, and each pair of speakers in
the different-speaker pairs. Intervals are 95 % bootstrap intervals over speakers. Prints a Markdown table.

Different speakers are compared twice: all of them, and only clips of one corpus release and one gender (female or
male), which is harder.

Results on training speakers are better than on unseen speakers. The table counts the training speakers. --unseen
leaves out every speaker that any of the bundles was trained on.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pairs
import polars as pl
import threadpoolctl
from clips import SPEECH
from speed import window_bundles

from voxtrait import batch, recognize
from voxtrait.bundle import hash_speaker
from voxtrait.corpora import import_corpora
from voxtrait.corpora.detect import find
from voxtrait.errors import AudioError, NothingToDoError, VoxtraitError
from voxtrait.evaluate.metrics import equal_error_rate
from voxtrait.labels import GENDERS

COMMON_VOICE = ("common-voice", "cv-")
SEED = 0  # random seed of --limit
COLUMNS = (
    *("bundle", "pair kind", "EER", "95 % interval", "threshold", "speakers", "seen in training", "clips"),
    *("same-speaker pairs", "different-speaker pairs"),
)


@dataclass(frozen=True)
class Embed:
    """Job: file → its embedding, or ``None`` if it has no speech or cannot be decoded."""

    model: recognize.Recognizer

    def __call__(self, path: str) -> np.ndarray | None:
        try:
            return self.model.embed(path)
        except AudioError:
            return None


def clips_of(speech: Path) -> pl.DataFrame:
    """Import all clips of Common Voice whose speaker is known."""
    folders = [source.folder for source in find(speech) if source.corpus.startswith(COMMON_VOICE)]
    if not folders:
        raise NothingToDoError(f"No Common Voice in {speech}. Expected folders such as cv-corpus-6.1-2020-12-11.")
    return import_corpora(folders).table.filter(pl.col("speaker_id").is_not_null())


def selected(table: pl.DataFrame, seen: set[str], limit: int | None) -> pl.DataFrame:
    """Keep speakers with at least two clips whose hash is not in ``seen``, at most ``limit`` of them, at random."""
    table = several(table)
    speakers = table["speaker_id"].unique().sort().to_list()
    speakers = [one for one in speakers if hash_speaker(one) not in seen]
    if limit is not None and limit < len(speakers):
        speakers = np.random.default_rng(SEED).choice(speakers, limit, replace=False).tolist()
    return table.filter(pl.col("speaker_id").is_in(speakers))


def several(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(pl.len().over("speaker_id") >= 2)


def embedded(model: recognize.Recognizer, paths: list[str], jobs: int) -> list[np.ndarray | None]:
    label = f"{model.bundle.title}: embedding"
    return list(batch.run(Embed(model), paths, jobs=jobs, on_crash=lambda path, why: None, label=label, unit="clip"))


def groups_of(table: pl.DataFrame) -> np.ndarray:
    """Number each corpus release and gender; -1 for clips that are neither female nor male."""
    key = pl.concat_str("corpus", "release", "gender", separator="/", ignore_nulls=True).rank("dense").cast(pl.Int64)
    known = pl.col("gender").is_in(GENDERS).fill_null(False)
    return table.select(group=pl.when(known).then(key).otherwise(-1))["group"].to_numpy()


def rows_of(model: recognize.Recognizer, table: pl.DataFrame, embeddings: np.ndarray) -> list[list[str]]:
    """Measure one bundle: one row for each kind of different-speaker pairs."""
    ids, speakers = np.unique(table["speaker_id"].to_numpy().astype(str), return_inverse=True)
    known = model.bundle.speakers()
    trained = sum(hash_speaker(str(one)) in known for one in ids)
    scores = pairs.cosines(embeddings)
    same = pairs.same_speaker(scores, speakers)
    drawn = pairs.draw(len(ids))
    rows = []
    for kind, groups in (("all different speakers", None), ("same gender and release", groups_of(table))):
        other = pairs.different_speakers(scores, speakers, groups)
        if len(other.scores):
            found = equal_error_rate(same.scores, other.scores, same.weights, other.weights)
            low, high = pairs.interval(same, other, drawn)
            figures = [f"{found.rate:.2%}", f"{low:.2%} to {high:.2%}", f"{found.threshold:.3f}"]
        else:
            figures = ["–"] * 3
        counts = (len(ids), trained, table.height, len(same.scores), len(other.scores))
        rows.append([model.bundle.title, kind, *figures, *(f"{count:,}" for count in counts)])
    return rows


def markdown(rows: list[list[str]]) -> str:
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, nargs="?", default=SPEECH, help="folder of corpora")
    parser.add_argument(
        "--model", nargs="+", action="extend", metavar="BUNDLE", help="folder or name; default: all shipped encoders"
    )
    parser.add_argument("--jobs", type=int, default=2, help="number of processes, one thread each")
    parser.add_argument("--unseen", action="store_true", help="use only speakers held out from training all bundles")
    parser.add_argument("--limit", type=int, metavar="SPEAKERS", help="maximum number of speakers, drawn at random")
    given = parser.parse_args()
    models = [recognize.load(one) for one in given.model or window_bundles()]
    for model in models:
        if model.bundle.head is None:
            parser.error(f"{model.bundle.title} has no speaker embedding. Expected a bundle of windows.")
    seen = {one for model in models for one in model.bundle.speakers()} if given.unseen else set()
    table = selected(clips_of(given.speech), seen, given.limit)
    found = [embedded(model, table["path"].to_list(), given.jobs) for model in models]
    # the same clips for all bundles
    usable = np.array([all(one is not None for one in clip) for clip in zip(*found, strict=True)], dtype=bool)
    table = table.with_row_index("clip").filter(usable)
    kept = several(table)
    if kept["speaker_id"].n_unique() < 2:
        raise NothingToDoError(f"Fewer than two speakers with two usable clips in {given.speech}.")
    print(
        f"Clips left out (no usable speech, or the only one of a speaker): {len(usable) - kept.height}", file=sys.stderr
    )
    rows = []
    with threadpoolctl.threadpool_limits(given.jobs):
        for model, vectors in zip(models, found, strict=True):
            rows += rows_of(model, kept, np.stack([vectors[clip] for clip in kept["clip"]]))
    print(markdown(rows))


if __name__ == "__main__":
    try:
        main()
    except VoxtraitError as error:
        sys.exit(f"verification.py: {error}")
