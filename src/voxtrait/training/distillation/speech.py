"""Trains the quick speech detector on the probabilities of Silero's network for each 32 ms, without labels.

::

    clip ─┬► as recorded ──────────────────┐          ┌► Silero's network ─► probabilities
          ├► rooms, noise, codecs ─────────┼► level ──┤                            │ cross-entropy
          └► music and machines under it ──┘          └► power, 32 bands ─► convolutions over 3 s
    synthetic sounds without speech ───────┘

``python -m voxtrait.training.distillation.speech MANIFEST OUT`` trains it on the train and validation speakers of a
manifest and on synthetic sounds (``voxtrait.synthetic.sounds``), and writes ``OUT/quick_16k.onnx``. The package ships
that graph beside Silero's in ``voxtrait/speech``.
"""

import argparse
import dataclasses
import json
import zlib
from pathlib import Path
from typing import Any, Final

import lightning
import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor, nn

from voxtrait import audio, batch, features, manifest
from voxtrait.audio.signals import SAMPLING_RATE, Signal, check_signal
from voxtrait.audio.writing import atomic_path
from voxtrait.errors import VoxtraitError
from voxtrait.features import FrontEnd
from voxtrait.speech import detector, network, quick
from voxtrait.synthetic import sounds
from voxtrait.training import export, schedule
from voxtrait.training.distillation import student
from voxtrait.training.voices.acoustics import Chances, disturb, mix
from voxtrait.training.voices.summaries import Recordings

LONGEST_S: Final = 12.0
SOUNDS: Final = 60  # synthetic sounds of each kind
EVERY: Final = 2  # use every second clip of the manifest: using all of them gives no better student
UNHEARD: Final = 10  # one item in 10 is held out
CHANCES: Final = Chances(codec=0.15)
UNDER_DB: Final = (-5.0, 25.0)  # dB of a voice over the music and machine noise mixed into it
BANDS: Final = 32
CHANNELS: Final = 64
DILATIONS: Final = (1, 2, 4, 8)  # dilations of the convolutions over seven frames: 3 s of context in all
FRAMES: Final = 160  # frames of an example: 5 s
LEARNING_RATE: Final = 3e-3
BATCH: Final = 64  # examples
SEED: Final = 11
SCHEMA: Final = {"bands": pl.Binary, "shares": pl.Binary}
"""Schema of an item's features: float16 ``(n, 32)`` log powers, and ``(n,)`` probabilities."""
SOUND: Final = "sound:"


def bank() -> npt.NDArray[np.float32]:
    """Compute the mel filters of the quick detector's frames, ``(257, 32)``, with the front end's parameters."""
    front_end = FrontEnd(
        n_fft=network.FRAME, window_length=network.FRAME, n_mels=BANDS, norm="area", compression="none", scaled=False
    )
    return np.ascontiguousarray(features.filters(front_end).T)


@dataclasses.dataclass
class Answers:
    """Job: file, or name of a synthetic sound → bands and the probabilities of Silero's network."""

    others: list[str]  # files for babble

    def __call__(self, item: str) -> dict[str, bytes]:
        """Compute bands and probabilities of one item in all its forms; an unusable item has empty ones."""
        rng = np.random.default_rng([SEED, zlib.crc32(Path(item).name.encode())])
        bands: list[npt.NDArray[np.float32]] = []
        shares: list[npt.NDArray[np.float32]] = []
        try:
            forms = [self._sound(item, rng)] if item.startswith(SOUND) else self._forms(item, rng)
        except (VoxtraitError, OSError, RuntimeError):  # RuntimeError: a codec of libsndfile's
            forms = []
        for signal in forms:
            whole = signal[: len(signal) // network.FRAME * network.FRAME]
            level = detector.loud_dbfs(detector.powers(whole)) if len(whole) else -np.inf
            if level < detector.QUIETEST_DBFS:
                continue
            gain = 10 ** ((detector.TARGET_DBFS - level) / 20)
            bands.append(np.log(quick.powers(whole, gain) @ bank() + TINY))
            shares.append(network.probabilities(whole, network.start(), gain)[0])
        if not bands:
            return dict.fromkeys(SCHEMA, b"")
        return {
            "bands": np.concatenate(bands).astype(np.float16).tobytes(),
            "shares": np.concatenate(shares).astype(np.float16).tobytes(),
        }

    def _forms(self, path: str, rng: np.random.Generator) -> list[Signal]:
        signal = check_signal(audio.load(path)[0])[: int(LONGEST_S * SAMPLING_RATE)]
        chosen = rng.choice(len(self.others), min(2, len(self.others)), replace=False)
        disturbed = disturb(signal, Recordings([self.others[int(at)] for at in chosen]), rng, CHANCES)
        under = self._sound(f"{SOUND}{rng.choice(sounds.KINDS)}", rng)
        return [signal, disturbed, mix(signal, np.resize(under, len(signal)), rng.uniform(*UNDER_DB))]

    def _sound(self, item: str, rng: np.random.Generator) -> Signal:
        return sounds.sound(item.removeprefix(SOUND).partition(":")[0], rng.uniform(2, 8), rng)


TINY: Final = 1e-6


class QuickNetwork(nn.Module):
    """Power spectra → the logit of speech in each frame, by convolutions over 1.5 s before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.bank: Tensor
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("bank", torch.from_numpy(bank()))
        self.register_buffer("mean", torch.zeros(BANDS))
        self.register_buffer("scale", torch.ones(BANDS))
        # over planes of one row: the runtime has kernels for them that are twice as fast as those for lines
        self.first = nn.Conv2d(BANDS, CHANNELS, (1, 5), padding=(0, 2))
        self.along = nn.ModuleList(
            nn.Conv2d(CHANNELS, CHANNELS, (1, 7), padding=(0, 3 * by), dilation=(1, by), groups=CHANNELS)
            for by in DILATIONS
        )
        self.across = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 1) for _ in DILATIONS)
        self.last = nn.Conv2d(CHANNELS, 1, 1)

    def forward(self, powers: Tensor) -> Tensor:
        """Map the spectra of one signal, ``(n, 257)``, to logits ``(n,)``."""
        return self.logits(torch.log(powers @ self.bank + TINY).T[None])[0]

    def logits(self, bands: Tensor) -> Tensor:
        """Map log powers ``(signals, 32, n)`` to logits ``(signals, n)``."""
        x = torch.relu(self.first(((bands - self.mean[:, None]) / self.scale[:, None])[:, :, None]))
        for along, across in zip(self.along, self.across, strict=True):
            x = x + torch.relu(across(along(x)))
        found: Tensor = self.last(x)
        return found[:, 0, 0]


@dataclasses.dataclass(frozen=True)
class Lessons:
    """Examples of one length, padded: bands, Silero's probabilities, and which frames count."""

    bands: npt.NDArray[np.float16]  # (n, 32, 160)
    shares: npt.NDArray[np.float16]  # (n, 160)
    counts: npt.NDArray[np.bool_]  # (n, 160)
    aside: npt.NDArray[np.bool_]  # (n,)


def lessons(paths: list[str], folder: Path, *, jobs: int = 1, label: str | None = None) -> Lessons:
    """Compute Silero's probabilities for clips and synthetic sounds; a killed run is resumed where it stopped.

    Args:
        paths: paths of clips, none of them of test speakers.
        folder: folder for the shards.
        jobs: number of processes.
        label: label of the progress line on standard error; ``None`` shows no progress.
    """
    items = [*paths, *(f"{SOUND}{kind}:{number}" for kind in sounds.KINDS for number in range(SOUNDS))]
    nothing = dict.fromkeys(SCHEMA, b"")
    shards = batch.run_sharded(
        Answers(paths[::7]),
        items,
        folder,
        row=lambda row: row,
        schema=SCHEMA,
        settings=repr((LONGEST_S, SEED, CHANCES, UNDER_DB)),
        jobs=jobs,
        on_crash=lambda path, why: nothing,
        label=label,
        unit="item",
    )
    bands, shares, counts, aside = [], [], [], []
    for item, row in zip(items, pl.read_parquet(shards).iter_rows(named=True), strict=True):
        given = np.frombuffer(row["bands"], np.float16).reshape(-1, BANDS)
        probabilities = np.frombuffer(row["shares"], np.float16)
        for at in range(0, len(given), FRAMES):
            size = len(given[at : at + FRAMES])
            bands.append(np.pad(given[at : at + FRAMES].T, ((0, 0), (0, FRAMES - size)), mode="edge"))
            shares.append(np.pad(probabilities[at : at + FRAMES], (0, FRAMES - size)))
            counts.append(np.arange(FRAMES) < size)
            aside.append(student.kept_aside(item, UNHEARD))
    return Lessons(np.stack(bands), np.stack(shares), np.stack(counts), np.array(aside))


class Teaching(student.StudentTraining):
    """The quick detector with its loss: the cross-entropy to Silero's probabilities."""

    def __init__(self, given: Lessons, steps: int) -> None:
        super().__init__()
        self.network = QuickNetwork()
        self.given, self.steps = given, steps
        some = torch.from_numpy(given.bands[~given.aside][::10].astype(np.float32))
        self.network.mean.copy_(some.mean((0, 2)))
        self.network.scale.copy_(some.std((0, 2)))

    def configure_optimizers(self) -> Any:
        """Return AdamW with a warm-up over the first twentieth of the steps, then a cosine to zero."""
        return schedule.cosine(self.network.parameters(), LEARNING_RATE, 1e-3, self.steps, warm=1 / 20)

    def loss(self, batch: Tensor) -> Tensor:
        """Compute the loss of a batch of rows."""
        rows = batch.cpu().numpy()
        bands, shares = (
            torch.from_numpy(values[rows]).to(self.device).float() for values in (self.given.bands, self.given.shares)
        )
        counts = torch.from_numpy(self.given.counts[rows]).to(self.device)
        each = nn.functional.binary_cross_entropy_with_logits(self.network.logits(bands), shares, reduction="none")
        return each[counts].mean()


def teach(given: Lessons, folder: Path, epochs: int, *, label: str | None = None) -> QuickNetwork:
    """Train the quick detector; a killed run is resumed after its last epoch.

    Args:
        given: examples to train on.
        folder: folder for ``checkpoints/``, ``curves.csv`` and ``curves.png``.
        epochs: number of epochs.
        label: label of the progress line on standard error; ``None`` shows no progress.
    """
    lightning.seed_everything(SEED, workers=True, verbose=False)
    loader = student.loader_of(np.flatnonzero(~given.aside), BATCH, SEED)
    module = Teaching(given, len(loader) * epochs)
    student.teach(
        module, loader, np.flatnonzero(given.aside), folder, epochs, title="quick speech detector", label=label
    )
    return module.network.cpu().eval()


def graph(taught: QuickNetwork, real: npt.NDArray[np.float32]) -> bytes:
    """Write the detector as a graph: input ``powers`` ``(n, 257)``, output ``logits`` ``(n,)``.

    Args:
        taught: the trained detector.
        real: ``(n, 257)``, spectra for checking the graph.

    Raises:
        BundleError: if the graph differs from the network.
    """
    made = export.to_onnx(taught, (quick.BINS,), "logits", name="powers")
    export.check_parity(taught, made, real, "logits", name="powers")
    return made


def main() -> None:
    """Train the quick detector, and write its graph."""
    parser = argparse.ArgumentParser(description="Train the quick speech detector, and write OUT/quick_16k.onnx.")
    parser.add_argument("manifest", type=Path, help="manifest with splits")
    parser.add_argument("out", type=Path, help="working folder; run again to resume an interrupted run")
    parser.add_argument("--epochs", type=int, default=15, help="number of epochs [default: 15]")
    arguments = parser.parse_args()
    table = manifest.with_absolute_paths(manifest.read(arguments.manifest), arguments.manifest.parent).sort("clip_id")
    known = table.filter(pl.col("split").is_in(["train", "validation"]))["path"].to_list()[::EVERY]
    given = lessons(known, arguments.out / "answers", jobs=batch.default_jobs(), label="teacher")
    trained = teach(given, arguments.out, arguments.epochs, label="quick speech detector")
    real = quick.powers(np.resize(audio.load(known[0])[0], 100 * network.FRAME), 1.0)
    with atomic_path(arguments.out / quick.GRAPH) as part:
        part.write_bytes(graph(trained, real))
    print(json.dumps({"examples": len(given.aside), "aside": int(given.aside.sum()), "clips": len(known)}))


if __name__ == "__main__":
    main()
