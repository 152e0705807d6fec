"""Measures how a split by clip inflates results: the same classifier and clips, split by clip and by speaker.

``python benchmarks/leakage.py SPEECH`` prints a table. SPEECH is a folder with Common Voice releases. The last rows are
the control: each speaker gets the age of a random speaker, so the clips have no information about age. A result above
the most frequent decade can then only come from speakers in both parts.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from voxtrait import audio, features
from voxtrait.corpora import import_corpora
from voxtrait.corpora.detect import find
from voxtrait.errors import VoxtraitError
from voxtrait.recognize import load

TEST: Final = 0.2  # share of clips or speakers
PENALTY: Final = 10.0  # C of the support vector machine

Strings = npt.NDArray[np.str_]
Floats = npt.NDArray[np.float64]


def clips_of(speech: Path, fewest: int, most: int) -> pl.DataFrame:
    """Select labelled Common Voice speakers with at least ``fewest`` clips, and the first ``most`` clips of each."""
    folders = [source.folder for source in find(speech) if source.corpus.startswith(("common-voice", "cv-"))]
    table = import_corpora(folders).table.drop_nulls(["speaker_id", "gender", "age_group"])
    table = table.filter(pl.col("gender").is_in(["female", "male"])).sort("clip_id")
    people = table.group_by("speaker_id", maintain_order=True).agg(pl.len().alias("n"))
    many = people.filter(pl.col("n") >= fewest)["speaker_id"].to_list()
    return table.filter(pl.col("speaker_id").is_in(many)).group_by("speaker_id", maintain_order=True).head(most)


def inputs(paths: list[str]) -> Iterator[tuple[Floats, Floats] | None]:
    """Yield the mean of a clip's mel spectrum over time, and its speaker embedding; ``None`` for a clip that fails."""
    model = load("voxtrait-fast")
    for path in paths:
        try:
            signal, rate = audio.load(path)
            embedding = model.embed(signal, rate)
        except VoxtraitError:
            yield None
            continue
        mel = features.log_mel(signal, sampling_rate=rate)
        yield mel.mean(axis=1).astype(np.float64), embedding.astype(np.float64)


def results(x: Floats, y: Strings, speakers: Strings, seeds: int, balanced: bool) -> dict[str, list[float]]:
    """Return the results of each seed with both splits: accuracy, or UAR where ``balanced``."""
    score = balanced_accuracy_score if balanced else accuracy_score
    kinds = {"clip": (ShuffleSplit, None), "speaker": (GroupShuffleSplit, speakers)}
    found: dict[str, list[float]] = {}
    for name, (kind, groups) in kinds.items():
        for train, test in kind(seeds, test_size=TEST, random_state=1).split(x, y, groups):
            machine = make_pipeline(StandardScaler(), SVC(C=PENALTY, random_state=1)).fit(x[train], y[train])
            found.setdefault(name, []).append(float(score(y[test], machine.predict(x[test]))))
    return found


def dealt(ages: Strings, speakers: Strings) -> Strings:
    """Permute the ages among speakers at random."""
    _, first, place = np.unique(speakers, return_index=True, return_inverse=True)
    return np.random.default_rng(1).permutation(ages[first])[place]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("speech", type=Path, help="folder with Common Voice releases")
    parser.add_argument("--fewest", type=int, default=4, help="minimum clips per speaker")
    parser.add_argument("--most", type=int, default=8, help="maximum clips per speaker")
    parser.add_argument("--seeds", type=int, default=10, help="number of splits of each kind")
    arguments = parser.parse_args()
    began = time.perf_counter()
    table = clips_of(arguments.speech, arguments.fewest, arguments.most)
    made = list(inputs(table["path"].to_list()))
    table = table.filter(pl.Series([one is not None for one in made]))
    mel, embedding = (np.stack([one[at] for one in made if one is not None]) for at in (0, 1))
    speakers, ages, genders = (table[name].to_numpy().astype(str) for name in ("speaker_id", "age_group", "gender"))
    tasks = {
        "gender, UAR": (genders, True),
        "decade of age, accuracy": (ages, False),
        "… ages dealt out at random": (dealt(ages, speakers), False),
    }
    print(f"{table.height:,} clips of {table['speaker_id'].n_unique()} speakers, {arguments.seeds} splits of each kind")
    print("\n| task | input | split by clip | split by speaker | most frequent class |\n|---|---|---|---|---|")
    for task, (labels, balanced) in tasks.items():
        usual = 0.5 if balanced else np.unique(labels, return_counts=True)[1].max() / len(labels)
        for name, x in {"mean mel spectrum": mel, "speaker embedding": embedding}.items():
            found = results(x, labels, speakers, arguments.seeds, balanced)
            shown = (f"{np.mean(one):.3f} ({min(one):.3f}–{max(one):.3f})" for one in found.values())
            print(f"| {task} | {name} | {' | '.join(shown)} | {usual:.3f} |")
    print(f"\nIn brackets: lowest and highest split. {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
