"""Makes the fast encoder: a student whose weights are fitted to CAM++'s outputs by least squares.

::

    clip ─► speech ─┬► as recorded ───────────────┬► loudest 2 s ───┬► CAM++ ──► outputs of each convolution
                    └► room, noise, codec, phone ─┘                 └► student ─► the same: fitted, first to last

The student has fewer layers and channels, and half of the frames. :mod:`voxtrait.training.distillation.least_squares`
makes it. No labels are used. The only targets are the teacher's outputs.

``python -m voxtrait.training.distillation.encoder MANIFEST OUT`` writes ``OUT/encoder.onnx``; ``--without`` leaves
corpora out. ``docs/how-to/training.md`` describes the steps.
"""

import argparse
import dataclasses
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import torch

from voxtrait import audio, batch, features, manifest, speech
from voxtrait.audio.signals import SAMPLING_RATE, check_signal
from voxtrait.audio.writing import atomic_path
from voxtrait.errors import ManifestError, OptionError, VoxtraitError
from voxtrait.features import Array, FrontEnd
from voxtrait.training.distillation.least_squares import compress
from voxtrait.training.study.cross_corpus import held_out
from voxtrait.training.voices import assembly, campplus
from voxtrait.training.voices.acoustics import Chances, disturb
from voxtrait.training.voices.campplus import CamPlus
from voxtrait.training.voices.summaries import Recordings

CLIPS: Final = 1600  # maximum clips for fitting the weights; each gives two windows
FEWEST: Final = 300  # minimum windows for fitting
GRAPH_WINDOWS: Final = 144  # two in three give the activation ranges for 8 bits, the others check the graph
LONGEST_S: Final = 20.0
DISTURBED_S: Final = 4.5  # maximum seconds of a clip to augment: longer ones take more time
BABBLERS: Final = 4  # recordings mixed into babble
CHANCES: Final = Chances()
SEED: Final = 7
FRAMES: Final = features.kaldi_front_end(200, chosen_from=600)
"""The teacher's front end. Its every second frame is nearly equal to a frame of the recipe ``fast``."""


@dataclasses.dataclass
class Windows:
    """Job: file → two windows for the teacher, as recorded and augmented, ``(200, 80)`` each."""

    others: Sequence[str]  # files for babble
    front_end: FrontEnd = FRAMES

    def __call__(self, path: str) -> list[Array]:
        """Return the windows of one file: none for an unusable file or one with too little speech."""
        stem = int.from_bytes(hashlib.blake2b(Path(path).stem.encode(), digest_size=6).digest(), "big")
        rng = np.random.default_rng([SEED, stem])
        try:
            signal = check_signal(audio.load(path)[0])[: int(LONGEST_S * SAMPLING_RATE)]
            spoken = speech.find(signal).surrounded
            first = features.windows(spoken, self.front_end)
            if first.shape[1] < self.front_end.columns:
                return []
            chosen = rng.choice(len(self.others), min(BABBLERS, len(self.others)), replace=False)
            babble = Recordings([self.others[int(at)] for at in chosen])
            disturbed = disturb(spoken[: int(DISTURBED_S * SAMPLING_RATE)], babble, rng, CHANCES)
        except (VoxtraitError, OSError, RuntimeError):  # RuntimeError: a codec of libsndfile's
            return []
        return [first[0], features.windows(disturbed, self.front_end)[0]]


def make(source: Path, out: Path, *, left_out: Sequence[str] = (), jobs: int = 1, label: str | None = None) -> Path:
    """Make a fast encoder from CAM++ and clips of train and validation speakers, and write its graph.

    Args:
        source: manifest with splits.
        out: folder for ``encoder.onnx`` and the settings, ``distillation.json``. A finished encoder is kept.
        left_out: corpora or releases to leave out, with all other clips of their speakers.
        jobs: number of processes that read clips.
        label: label of the progress line on standard error; ``None`` shows no progress.

    Returns:
        The path of the graph.

    Raises:
        OptionError: if ``out`` holds an encoder made with other settings.
        ManifestError: if there are too few clips, or a name in ``left_out`` is unknown.
        PretrainedMissingError: if the package with the teacher's weights is not installed.
        BundleError: if the summaries of the graph in 8 bits differ too much from those of the student.
    """
    file, note, settings = out / "encoder.onnx", out / "distillation.json", {"without": sorted(left_out)}
    if file.is_file():
        if not note.is_file() or json.loads(note.read_text("utf-8")) != settings:
            raise OptionError(f"{file} was made with other settings ({note.name}). Choose another folder.")
        return file
    large = campplus.pretrained()
    table = manifest.with_absolute_paths(manifest.read(source), source.parent).sort("clip_id")
    known = without(table.filter(pl.col("split").is_in(["train", "validation"])), left_out)
    paths = spread(known["path"].to_list(), CLIPS)
    job = Windows(known["path"].gather_every(7).to_list(), FRAMES)
    found = list(batch.run(job, paths, jobs=jobs, on_crash=lambda path, why: [], label=label, unit="clip"))
    # all recorded windows first, then all disturbed ones: every n-th window of the list then includes both kinds
    windows = [window for kind in (slice(0, 1), slice(1, 2)) for of_clip in found for window in of_clip[kind]]
    if len(windows) < FEWEST:
        raise ManifestError(
            f"Got {len(windows)} windows of {FRAMES.columns / 100} s of speech from {len(paths)} "
            f"clip{'' if len(paths) == 1 else 's'}. Expected {FEWEST} or more. Use a manifest with more clips."
        )
    if label:
        print(f"{label}: fitting to {len(windows)} windows; this takes a few minutes", file=sys.stderr)
    small = compress(large, torch.from_numpy(np.stack(windows)))
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(note) as part:
        part.write_text(json.dumps(settings) + "\n", "utf-8")
    with atomic_path(file) as part:
        part.write_bytes(graph(small, windows))
    return file


def graph(small: CamPlus, windows: Sequence[Array]) -> bytes:
    """Write a student as a graph in 8 bits.

    Args:
        small: the student.
        windows: windows for the teacher, ``(frames, bands)`` each.

    Raises:
        BundleError: if its summaries differ too much from those of the student.
    """
    some = [np.ascontiguousarray(one[None, ::2]) for one in windows[:: max(1, len(windows) // GRAPH_WINDOWS)]]
    checked = some[::3]
    return assembly.graph(small, [one for at, one in enumerate(some) if at % 3], checked)


def spread(paths: Sequence[str], most: int) -> list[str]:
    """Select at most ``most`` files, evenly spaced from the first to the last, because files of a corpus are adjacent.

    Examples:
        >>> spread(["a", "b", "c", "d", "e", "f", "g"], 3)
        ['a', 'd', 'g']
    """
    return [paths[int(at)] for at in np.linspace(0, len(paths) - 1, min(most, len(paths)))]


def without(table: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Leave out corpora or releases, and their speakers' clips in others.

    Args:
        table: a manifest's rows.
        names: keys of :func:`voxtrait.training.study.cross_corpus.held_out`.

    Raises:
        ManifestError: if a name is not one of them.
    """
    sets = held_out(table)
    if unknown := sorted(set(names) - set(sets)):
        raise ManifestError(f"Got unknown sets: {', '.join(unknown)}. Expected some of: {', '.join(sets)}.")
    if not names:
        return table
    left_out = np.any([sets[name] for name in names], axis=0)
    speakers = table.filter(pl.Series(left_out))["speaker_id"].drop_nulls().unique()
    left_out |= table["speaker_id"].is_in(speakers.implode()).fill_null(False).to_numpy()
    return table.filter(pl.Series(~left_out))


def main() -> None:
    """Make a fast encoder, and print its path."""
    parser = argparse.ArgumentParser(description="Make the fast encoder from CAM++, and write OUT/encoder.onnx.")
    parser.add_argument("manifest", type=Path, help="manifest with splits")
    parser.add_argument("out", type=Path, help="folder to write the encoder to")
    parser.add_argument("--without", action="append", default=[], metavar="SET", help="corpus or release to leave out")
    given = parser.parse_args()
    print(make(given.manifest, given.out, left_out=given.without, jobs=batch.default_jobs(), label="windows"))


if __name__ == "__main__":
    main()
