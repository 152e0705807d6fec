"""Makes the fast encoder: a student fitted to CAM++'s outputs by least squares, and optionally refined by gradients.

::

    clip ─► speech ─┬► as recorded ───────────────┬► loudest 2 s ───┬► CAM++ ──► outputs of each convolution
                    └► room, noise, codec, phone ─┘  (+ random 2 s)  └► student ─► the same: fitted, first to last

The student has fewer layers and channels, and half of the frames. :mod:`voxtrait.training.distillation.least_squares`
makes it. With ``epochs``, :mod:`voxtrait.training.distillation.refinement` trains it further. No labels are used. The
only targets are the teacher's outputs.

``python -m voxtrait.training.distillation.encoder MANIFEST OUT`` writes ``OUT/encoder.onnx``; ``--without`` leaves
corpora out. ``docs/how-to/training.md`` describes the steps.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import polars as pl
import torch

from voxtrait import audio, batch, features, manifest, speech
from voxtrait.audio.signals import SAMPLING_RATE, Signal, check_signal
from voxtrait.audio.writing import atomic_path
from voxtrait.errors import ManifestError, OptionError, VoxtraitError
from voxtrait.features import Array, FrontEnd
from voxtrait.training.distillation import refinement, student
from voxtrait.training.distillation.least_squares import compress
from voxtrait.training.study.cross_corpus import held_out
from voxtrait.training.voices import assembly, campplus
from voxtrait.training.voices.acoustics import Chances, disturb
from voxtrait.training.voices.campplus import CamPlus
from voxtrait.training.voices.summaries import Recordings

Item = TypeVar("Item")
CLIPS: Final = 1600  # maximum clips for least squares; each gives two windows
PARTS: Final = 2  # windows from random places, of each clip and of its augmented form, in the refinement
FEWEST: Final = 300  # minimum windows for fitting
HELD_OUT: Final = 12  # one speaker in 12 is held out from the refinement
GRAPH_WINDOWS: Final = 144  # two in three give the activation ranges for 8 bits, the others check the graph
LONGEST_S: Final = 20.0
DISTURBED_S: Final = 4.5  # maximum seconds of a clip to augment: longer ones take more time
BABBLERS: Final = 4  # recordings mixed into babble
CHANCES: Final = Chances()
SEED: Final = 7
FRAMES: Final = features.kaldi_front_end(200, chosen_from=600)
"""The teacher's front end. Its every second frame is nearly equal to a frame of the recipe ``fast``."""
WINDOWS: Final = "windows"  # folder in the working folder, removed when the encoder is finished
SCHEMA: Final = {"windows": pl.Binary}
"""Schema of a clip's windows: float32 ``(n, frames, bands)``."""


@dataclasses.dataclass
class Windows:
    """Job: file → windows for the teacher, ``(200, 80)`` each: the loudest part, as recorded and augmented.

    Then follow ``parts`` windows from random places of the speech as recorded, and as many from the augmented speech.
    """

    others: Sequence[str]  # files for babble
    front_end: FrontEnd = FRAMES
    parts: int = 0

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
        loudest = [first[0], features.windows(disturbed, self.front_end)[0]]
        return loudest + [self.part(one, rng) for one in (spoken, disturbed) for _ in range(self.parts)]

    def part(self, signal: Signal, rng: np.random.Generator) -> Array:
        """Return the window of a random part of a signal."""
        size = self.front_end.window_length + (self.front_end.columns - 1) * self.front_end.hop_length
        start = int(rng.integers(len(signal) - size + 1))
        return np.asarray(features.windows(signal[start : start + size], self.front_end)[0])


def make(
    source: Path, out: Path, *, left_out: Sequence[str] = (), epochs: int = 0, jobs: int = 1, label: str | None = None
) -> Path:
    """Make a fast encoder from CAM++ and clips of train and validation speakers, and write its graph.

    Args:
        source: manifest with splits.
        out: folder for ``encoder.onnx`` and the settings, ``distillation.json``. A finished encoder is kept. An
            interrupted run is resumed.
        left_out: corpora or releases to leave out, with all other clips of their speakers.
        epochs: epochs of the refinement, for which all clips are used; with 0, the weights are those of least squares.
        jobs: number of processes that read clips.
        label: label of the progress line on standard error; ``None`` shows no progress.

    Returns:
        The path of the graph.

    Raises:
        OptionError: if ``out`` holds an encoder or an interrupted run with other settings or clips, or if ``epochs`` is
            negative.
        ManifestError: if there are too few clips or speakers, or a name in ``left_out`` is unknown.
        PretrainedMissingError: if the package with the teacher's weights is not installed.
        BundleError: if the summaries of the graph in 8 bits differ too much from those of the student.
    """
    if epochs < 0:
        raise OptionError(f"Got {epochs} epochs. Expected 0 or more.")
    file, note = out / "encoder.onnx", out / "distillation.json"
    settings: dict[str, Any] = {"without": sorted(left_out), "epochs": epochs}
    before = json.loads(note.read_text("utf-8")) if note.is_file() else {}
    found = {"without": before.get("without"), "epochs": before.get("epochs", 0)}
    if (before or file.is_file()) and found != settings:
        raise OptionError(
            f"{out} was made with other settings. Got {settings}, expected {found}. Use the same settings, or choose "
            "another folder."
        )
    if file.is_file():
        shutil.rmtree(out / WINDOWS, ignore_errors=True)
        return file
    large = campplus.pretrained()
    table = manifest.with_absolute_paths(manifest.read(source), source.parent).sort("clip_id")
    known = without(table.filter(pl.col("split").is_in(["train", "validation"])), left_out)
    chosen = spread(range(known.height), CLIPS)
    rows = known if epochs else known[chosen]
    parts = PARTS if epochs else 0
    of_clips, digest = windows_of(
        rows["path"].to_list(), known["path"].gather_every(7).to_list(), parts, out, jobs=jobs, label=label
    )
    some = [of_clips[at] for at in chosen] if epochs else of_clips
    # all recorded windows first, then all disturbed ones: every n-th window of the list then includes both kinds
    windows = [of_clip[kind] for kind in range(2) for of_clip in some if of_clip]
    speakers = rows.select(pl.coalesce("speaker_id", "clip_id")).to_series()
    held_out = [student.kept_aside(one, HELD_OUT) for one in speakers]
    aside = np.array([one for one, of_clip in zip(held_out, of_clips, strict=True) for _ in of_clip], bool)
    try:
        if len(windows) < FEWEST:
            raise ManifestError(
                f"Got {len(windows)} windows of {FRAMES.columns / 100} s of speech from {len(some)} "
                f"clip{'' if len(some) == 1 else 's'}. Expected {FEWEST} or more. Use a manifest with more clips."
            )
        if epochs and aside.all() == aside.any():
            raise ManifestError(
                f"Got {speakers.n_unique()} speakers, and {'all' if aside.any() else 'none'} of them are held out. "
                "Expected some for training and some held out. Use a manifest with more speakers, or 0 epochs."
            )
    except ManifestError:
        shutil.rmtree(out / WINDOWS)
        with contextlib.suppress(OSError):  # other files are in it
            out.rmdir()
        raise
    if before.get(WINDOWS, digest) != digest:
        raise OptionError(f"{out} has an interrupted run with other clips. Choose another folder.")
    with atomic_path(note) as part:
        part.write_text(json.dumps(settings | {WINDOWS: digest}) + "\n", "utf-8")
    if label:
        print(f"{label}: fitting to {len(windows)} windows; this takes a few minutes", file=sys.stderr)
    small = compress(large, torch.from_numpy(np.stack(windows)))
    if epochs:
        every = [window for of_clip in of_clips for window in of_clip]
        given = refinement.lessons(small, large, every, aside, label=label and f"{label}, teacher")
        small = refinement.refine(small, given, out, epochs, label=label and f"{label}, refinement")
    with atomic_path(file) as part:
        part.write_bytes(graph(small, windows))
    shutil.rmtree(out / WINDOWS)
    return file


def windows_of(
    paths: Sequence[str], others: Sequence[str], parts: int, folder: Path, *, jobs: int = 1, label: str | None = None
) -> tuple[list[list[Array]], str]:
    """Compute the windows of files, none for an unusable file; a killed run is resumed where it stopped.

    Args:
        paths: files.
        others: files for babble.
        parts: as in :class:`Windows`.
        folder: working folder. Each window needs 64 kB in ``windows/``.
        jobs: number of processes.
        label: label of the progress line on standard error; ``None`` shows no progress.

    Returns:
        The windows of each file, and a digest of all files and settings.
    """
    job = Windows(others, FRAMES, parts)
    babblers = digest_of(others)
    shards = batch.run_sharded(
        job,
        paths,
        folder / WINDOWS,
        row=lambda found: {"windows": np.stack(found).tobytes() if found else b""},
        schema=SCHEMA,
        settings=repr((job.front_end, parts, babblers, LONGEST_S, DISTURBED_S, BABBLERS, CHANCES, SEED)),
        jobs=jobs,
        on_crash=lambda path, why: [],
        label=label,
        unit="clip",
    )
    stored: Iterable[bytes] = pl.read_parquet(shards)["windows"] if shards else []
    found = [list(np.frombuffer(one, np.float32).reshape(-1, *FRAMES.input_shape)) for one in stored]
    return found, digest_of([shard.name for shard in shards])


def digest_of(names: Sequence[str]) -> str:
    """Return a digest of names and their order.

    Examples:
        >>> digest_of(["a", "b"]) == digest_of(["b", "a"])
        False
    """
    return hashlib.blake2b("\0".join(names).encode(), digest_size=8).hexdigest()


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


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """Select at most ``most`` items, evenly spaced from the first to the last, because clips of a corpus are adjacent.

    Examples:
        >>> spread(["a", "b", "c", "d", "e", "f", "g"], 3)
        ['a', 'd', 'g']
    """
    return [items[int(at)] for at in np.linspace(0, len(items) - 1, min(most, len(items)))]


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
    parser.add_argument(
        "--epochs",
        type=int,
        default=0,
        help="epochs of the refinement by gradients; 0 for least squares only [default: 0]",
    )
    given = parser.parse_args()
    made = make(
        given.manifest,
        given.out,
        left_out=given.without,
        epochs=given.epochs,
        jobs=batch.default_jobs(),
        label="fast encoder",
    )
    print(made)


if __name__ == "__main__":
    main()
