"""Compares inputs for CAM++ (which part of a clip): prints the age error of a ridge regression for each.

``python -m voxtrait.training.study.ablation MANIFEST`` uses at most two clips of each train and validation speaker. It
computes the summary of each input with the published weights in 32 bits. The errors are on held-out speakers, in ten
folds. A ridge regression has a closed-form solution, so the differences come from the features and not from training.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from voxtrait import batch, features, manifest, speech
from voxtrait.audio.files import load as load_audio
from voxtrait.audio.signals import SAMPLING_RATE, Signal, check_signal
from voxtrait.errors import VoxtraitError
from voxtrait.labels import AGE_GROUPS, AGE_MIDDLES
from voxtrait.training.recipe import EncoderRecipe
from voxtrait.training.voices import campplus
from voxtrait.training.voices.campplus import EMBEDDING, CamPlus
from voxtrait.training.voices.examples import fold_of

Array = npt.NDArray[np.float64]

LONGEST_S: Final = 20.0
WHOLE: Final = 10**6  # frames: longer than any clip
MOST_CLIPS: Final = 2  # maximum clips per speaker
FOLDS: Final = 10
PENALTY: Final = 1.0  # ridge penalty on standardised features, multiplied by the number of clips


@dataclasses.dataclass(frozen=True)
class Way:
    """One kind of input for CAM++."""

    part: Callable[[Signal], Signal]  # selects a part of the clip
    columns: int = WHOLE  # maximum frames of a window


def _around(signal: Signal, seconds: float) -> Signal:
    """Cut a signal from ``seconds`` before the first speech to ``seconds`` after the last speech."""
    speaking = np.flatnonzero(speech.find(signal).frames)
    if not len(speaking):
        return signal[:0]
    start, stop = speaking[0] * speech.FRAME_S - seconds, (speaking[-1] + 1) * speech.FRAME_S + seconds
    return signal[max(0, int(start * SAMPLING_RATE)) : int(stop * SAMPLING_RATE)]


WAYS: Final[dict[str, Way]] = {
    "speech and 0.2 s around it, windows of up to 6 s": Way(lambda signal: speech.find(signal).surrounded, 600),
    "… in one window": Way(lambda signal: speech.find(signal).surrounded),
    "… windows of up to 3 s": Way(lambda signal: speech.find(signal).surrounded, 300),
    "speech only": Way(lambda signal: speech.find(signal).speech, 600),
    "from the first speech to the last, pauses and all": Way(lambda signal: _around(signal, 0.0), 600),
    "… and 0.3 s on either side": Way(lambda signal: _around(signal, 0.3), 600),
    "the whole recording": Way(lambda signal: signal, 600),
}


@dataclasses.dataclass
class Summaries:
    """Job: file → its summary for every input, ``(ways, 2048)``; ``None`` for an unusable file."""

    network: CamPlus

    def __call__(self, path: str) -> npt.NDArray[np.float32] | None:
        """Return the summaries of one file."""
        torch.set_num_threads(1)
        found = []
        try:
            signal = check_signal(load_audio(path)[0])[: int(LONGEST_S * SAMPLING_RATE)]
            for way in WAYS.values():
                part = way.part(signal)
                if len(part) < SAMPLING_RATE:
                    return None
                windows = features.windows(part, features.kaldi_front_end(way.columns))
                with torch.no_grad():
                    made = self.network(torch.from_numpy(windows))
                found.append(made[:, EMBEDDING:].mean(0).numpy())
        except (VoxtraitError, OSError):
            return None
        return np.stack(found)


def sample(source: Path) -> pl.DataFrame:
    """Select clips with an age, at most two per train or validation speaker; adds the column ``years``."""
    table = manifest.with_absolute_paths(manifest.read(source), source.parent).sort("clip_id")
    middle = pl.col("age_group").replace_strict(AGE_GROUPS, AGE_MIDDLES, default=None, return_dtype=pl.Float64)
    known = table.filter(pl.col("split").is_in(["train", "validation"])).with_columns(
        years=pl.coalesce("age_years", middle), who=pl.coalesce("speaker_id", "clip_id")
    )
    few = known.drop_nulls("years").filter(pl.int_range(pl.len()).over("who") < MOST_CLIPS)
    return few.gather_every(2)


def errors(found: Array, years: Array, fold: npt.NDArray[np.int64]) -> tuple[Array, float]:
    """Estimate the ages of held-out speakers by a ridge regression.

    Args:
        found: ``(n, d)``, features.
        years: ``(n,)``.
        fold: ``(n,)``, the fold of each clip's speaker.

    Returns:
        Absolute errors ``(n,)``, and the correlation of estimates and ages.
    """
    x = (found - found.mean(0)) / (found.std(0) + 1e-4)
    estimate = np.zeros(len(years))
    for held_out in range(FOLDS):
        rest = fold != held_out
        mean, middle = x[rest].mean(0), years[rest].mean()
        seen = x[rest] - mean
        moments = seen.T @ seen + PENALTY * len(seen) * np.eye(x.shape[1])
        weights = np.linalg.solve(moments, seen.T @ (years[rest] - middle))
        estimate[~rest] = (x[~rest] - mean) @ weights + middle
    return np.abs(estimate - years), float(np.corrcoef(estimate, years)[0, 1])


def main() -> None:
    """Measure all inputs and print the table."""
    parser = argparse.ArgumentParser(description="Print the age error for several inputs of CAM++.")
    parser.add_argument("manifest", type=Path, help="manifest with splits")
    parser.add_argument("--limit", type=int, help="maximum number of clips")
    arguments = parser.parse_args()
    table = sample(arguments.manifest).head(arguments.limit) if arguments.limit else sample(arguments.manifest)
    job = Summaries(campplus.pretrained())
    jobs: Any = batch.default_jobs()
    made = list(batch.run(job, table["path"].to_list(), jobs=jobs, on_crash=lambda path, why: None, label="inputs"))
    rows = np.array([one is not None for one in made])
    found = np.stack([one for one in made if one is not None]).astype(np.float64)
    years = table["years"].to_numpy()[rows]
    settings = EncoderRecipe("ablation", members=FOLDS)
    fold = np.array([fold_of(who, settings) for who in table["who"]])[rows]
    lines = [f"Clips: {rows.sum():,}", "", "| input | age MAE | correlation | difference |", "|---|---|---|---|"]
    first: Array | None = None
    for at, name in enumerate(WAYS):
        error, correlation = errors(found[:, at], years, fold)
        first = error if first is None else first
        away = error - first
        beside = f"{away.mean():+.2f} ± {away.std() / np.sqrt(len(away)):.2f}" if at else ""
        lines.append(f"| {name} | {error.mean():.2f} | {correlation:.2f} | {beside} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
