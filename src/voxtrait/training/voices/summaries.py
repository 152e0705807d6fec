"""Computes encoder summaries of clips for the heads: views of each clip as recorded, and augmented ones.

::

    file ─ audio.load ─► speech.find ─► disturb (views 2, 3, …) ─► features.windows ─► encoder graph ─► summary
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from voxtrait import batch, features, speech
from voxtrait.audio.files import load as load_audio
from voxtrait.audio.signals import SAMPLING_RATE, Signal, check_signal
from voxtrait.errors import VoxtraitError
from voxtrait.recognize.graph import Graph
from voxtrait.training.recipe import EncoderRecipe
from voxtrait.training.voices.acoustics import Chances, disturb

SHORTEST_S: Final = 0.4  # seconds of speech below which a clip is not used
SHORT_S: Final = 1.6  # seconds of view 1, as recorded: calibration for short clips is fitted to it
SHORTEST_CROP_S: Final = 1.5
LONGEST_VIEW_S: Final = 4.5  # maximum seconds of an augmented view: a chain of codecs takes longer than the encoder
TOO_LITTLE: Final = "too little speech"
BABBLERS: Final = 6  # other recordings available for babble
SETTINGS: Final = (
    *("views", "longest_s", "crop", "room", "colour", "noise", "babble", "clip", "telephone", "codec", "seed"),
)
"""The keys of a recipe that views depend on."""
SCHEMA: Final = {"speech_s": pl.Float64, "summaries": pl.List(pl.Float32), "message": pl.String}


@dataclasses.dataclass
class Summarise:
    """Job: file → its summaries, ``views × size`` values in a row; none if there is too little speech."""

    encoder: Graph
    recipe: EncoderRecipe
    others: Sequence[str]  # files for babble

    def __call__(self, path: str) -> dict[str, Any]:
        """Summarise one file; for an unusable file, ``message`` gives the reason."""
        try:
            found = self._find(path)
        except (VoxtraitError, OSError) as error:
            return {"speech_s": 0.0, "summaries": None, "message": str(error)}
        signal, seconds = found.surrounded, len(found.speech) / SAMPLING_RATE
        if seconds < SHORTEST_S:
            return {"speech_s": seconds, "summaries": None, "message": TOO_LITTLE}
        made = [self.summary(signal), self.summary(_middle(signal, SHORT_S))]
        for view in range(2, self.recipe.views):
            made.append(self.summary(self.view(signal, view, path)))
        return {"speech_s": seconds, "summaries": np.concatenate(made).tolist(), "message": None}

    def view(self, signal: Signal, view: int, path: str) -> Signal:
        """Make one augmented view of a clip's speech; it depends only on seed, clip and number of the view."""
        stem = int.from_bytes(hashlib.blake2b(Path(path).stem.encode(), digest_size=6).digest(), "big")
        rng = np.random.default_rng([self.recipe.seed, view, stem])
        seconds = len(signal) / SAMPLING_RATE
        keep = min(seconds, LONGEST_VIEW_S)
        if rng.random() < self.recipe.crop and keep > SHORTEST_CROP_S:
            keep = rng.uniform(SHORTEST_CROP_S, keep)
        start = int(rng.uniform(0.0, seconds - keep) * SAMPLING_RATE)
        part = signal[start : start + int(keep * SAMPLING_RATE)]
        chosen = rng.choice(len(self.others), size=min(BABBLERS, len(self.others)), replace=False)
        chances = Chances(**{field.name: getattr(self.recipe, field.name) for field in dataclasses.fields(Chances)})
        return disturb(part, Recordings([self.others[int(at)] for at in chosen]), rng, chances)

    def summary(self, signal: Signal) -> npt.NDArray[np.float32]:
        """Return the mean of the encoder's summaries over the windows of a signal, ``(f,)``, as in prediction."""
        windows = features.windows(signal, self.recipe.front_end)
        return np.asarray(self.encoder(windows)["summary"].mean(axis=0))

    def _find(self, path: str) -> speech.Detection:
        signal = check_signal(load_audio(path)[0])
        return speech.find(signal[: int(self.recipe.longest_s * SAMPLING_RATE)])


def _middle(signal: Signal, seconds: float) -> Signal:
    n = min(len(signal), int(seconds * SAMPLING_RATE))
    start = (len(signal) - n) // 2
    return signal[start : start + n]


class Recordings(Sequence[Signal]):
    """Recordings that are read on access, because most views have no babble."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: Any) -> Any:
        try:
            return load_audio(self.paths[at])[0]
        except (VoxtraitError, OSError):
            return np.zeros(0, dtype=np.float32)


def summarise(
    table: pl.DataFrame, encoder: Path, recipe: EncoderRecipe, folder: Path, *, jobs: int = 1, label: str | None = None
) -> pl.DataFrame:
    """Summarise all clips of a table; a killed run is resumed where it stopped.

    Args:
        table: rows of a manifest with absolute paths, in a reproducible order.
        encoder: path of the encoder's graph.
        recipe: settings with the number of views and their augmentation.
        folder: folder of the shards.
        jobs: number of processes; the result does not depend on it.
        label: label of the progress line on standard error; ``None`` shows no progress.

    Returns:
        The table with the columns of :data:`SCHEMA`.
    """
    paths = table["path"].to_list()
    # babble contains training speakers only, so that training uses no audio of the others
    babblers = table.filter(pl.col("split") == "train") if (table["split"] == "train").any() else table
    graph = Graph(encoder, [None, recipe.front_end.n_mels], {"summary": None}, name="windows", optimised=False)
    job = Summarise(graph, recipe, babblers["path"].to_list())
    settings = repr([getattr(recipe, key) for key in SETTINGS]) + hashlib.blake2b(encoder.read_bytes()).hexdigest()
    shards = batch.run_sharded(
        job,
        paths,
        folder,
        row=lambda row: row,
        schema=SCHEMA,
        settings=settings,
        jobs=jobs,
        on_crash=lambda path, why: {"speech_s": 0.0, "summaries": None, "message": why},
        label=label,
        unit="clip",
    )
    return pl.concat([table, pl.read_parquet(shards)], how="horizontal")
