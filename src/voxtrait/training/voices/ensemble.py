"""Trains the recipes ``base`` and ``fast``: heads on a frozen speaker encoder, from a manifest to a bundle and report.

Speaker folds replace a validation split. The clips of ``train`` and ``validation`` together are divided into as many
folds as the ensemble has members. Each fold is held out from one member, and calibration is fitted to the predictions
of that member. ``test`` speakers are used only for the report.
"""

import contextlib
import dataclasses
import importlib.util
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import lightning
import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from voxtrait import batch, features, manifest, speech
from voxtrait import bundle as bundles
from voxtrait.audio.files import load as load_audio
from voxtrait.audio.signals import SAMPLING_RATE
from voxtrait.audio.writing import atomic_path, writing
from voxtrait.bundle import Bundle
from voxtrait.errors import ManifestError, PretrainedMissingError, VoxtraitError
from voxtrait.evaluate import evaluate
from voxtrait.features import Array
from voxtrait.labels import GENDERS, YEARS
from voxtrait.training import calibration, provenance, schedule
from voxtrait.training.calibration import HeldOut
from voxtrait.training.curves import Curves
from voxtrait.training.progress import ProgressLine
from voxtrait.training.recipe import EncoderRecipe
from voxtrait.training.run import Outcome, claim, data_of, headline, quiet_lightning
from voxtrait.training.schedule import EpochSampler
from voxtrait.training.voices import assembly, campplus, heads
from voxtrait.training.voices.examples import Clips, clips_of, contradictions, examples_of
from voxtrait.training.voices.heads import Examples, Heads, HeadTraining
from voxtrait.training.voices.summaries import SHORT_S, summarise

VERSIONS: Final = {"campplus": "2.5", "fast": "2.4"}
"""Versions of the bundles, by encoder. 1 had another encoder, 2.0 one tail for all ages, the results of 2.1 depended on
the processor, fast 2.2 had windows of 1.5 s, and base 2.2 summarised the features after the last transition. Base 2.4
had one network a member, and base 2.4 and fast 2.3 had smaller tails. There was no base 2.3."""
ENCODER: Final = "encoder.onnx"  # file in the run folder
PARITY_CLIPS: Final = 48
RANGE_CLIPS: Final = 96  # clips that give the range of every activation
SHORTEST_S: Final = 0.7  # minimum seconds of speech of such a clip
CHILDHOOD_YEARS: Final = 13.0  # below this age, voices of girls and boys hardly differ (docs/notes/results.md)


def train(
    recipe: EncoderRecipe,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    jobs: int = 1,
    label: str | None = None,
) -> Outcome:
    """Train heads on a speaker encoder, export them, check the export, and evaluate the bundle.

    Args:
        recipe: settings.
        data: a manifest with splits.
        out: run folder, for ``bundle/``, ``report/``, ``curves.csv``, ``curves.png``, ``figures.json``,
            ``summaries/``, ``contradicted.csv``.
        resume: resume the run in ``out``; if there is none, start one.
        jobs: processes that summarise the clips and predict.
        label: label of the progress lines on standard error; ``None`` shows no progress.

    Raises:
        OptionError: if ``out`` holds another run.
        ManifestError: if ``data`` is not a manifest with training clips.
        PretrainedMissingError: if the package with the encoder's weights is not installed.
    """
    folder, source = Path(out), Path(data)
    if source.is_dir():
        raise ManifestError(
            f"Got the folder {source}. The recipe {recipe.name} needs a manifest. Make one with "
            "'voxtrait corpus import' and 'voxtrait corpus split'."
        )
    claim(folder, recipe, source, resume, write=False)
    with quiet_lightning(), contextlib.ExitStack() as alone:
        table = manifest.with_absolute_paths(manifest.read(source), source.parent).sort("clip_id")
        known = table.filter(pl.col("split").is_in(["train", "validation"]))
        if not known.height:
            raise ManifestError(f"No train/validation split in {source}. Run 'voxtrait corpus split' first.")
        alone.enter_context(batch.claimed(folder))
        claim(folder, recipe, source, resume)
        graph = encoder_graph(known, folder, recipe)
        summarised = summarise(known, graph, recipe, folder / "summaries", jobs=jobs, label=label and "encoder")
        clips = clips_of(summarised, recipe)
        network, contradicted = learn(recipe, clips, folder, label=label)
        made = describe(recipe, clips, calibrated(network, clips), folder / "bundle")
        head = heads.graph(network, clips.summaries[0, :PARITY_CLIPS])
        speakers = clips.table["speaker_id"].drop_nulls().unique().to_list()
        bundles.write(made, graph.read_bytes(), speakers, head=head)
        with atomic_path(folder / "contradicted.csv") as part:
            clips.table.filter(pl.Series(contradicted)).select("clip_id", "speaker_id", "gender").write_csv(part)
        split = "test" if (table["split"] == "test").any() else "validation"
        report = evaluate(
            made.folder, source, folder / "report", split=split, allow_leak=split != "test", jobs=jobs, label=label
        )
        provenance.write(source, provenance.of_clips(table, summarised, len(clips.speaker)), folder / "report")
        scores = {"contradicted": int(contradicted.sum()), **headline(report)}
        bundles.write(dataclasses.replace(made, scores=scores), graph.read_bytes(), speakers, head=head)
    figures = {"held-out speakers": json.loads((folder / "figures.json").read_text("utf-8"))}
    return Outcome(made.folder, folder / "report", figures, report)


def encoder_graph(table: pl.DataFrame, folder: Path, recipe: EncoderRecipe) -> Path:
    """Write the encoder's graph into the run folder, once, because its hash is part of the shards' names.

    The graph of CAM++ is made from the published weights if their package is installed and there are enough clips.
    Otherwise it is copied from the shipped bundle. The graph of the fast encoder is always copied. A graph that is
    already in the folder is kept.

    Args:
        table: clips of training speakers, which give the range of every activation.
        folder: run folder.
        recipe: settings with the name of the encoder.

    Returns:
        The path of the graph.

    Raises:
        PretrainedMissingError: if no shipped bundle has the encoder.
    """
    file = folder / ENCODER
    if not file.is_file():
        anew = recipe.encoder == "campplus" and importlib.util.find_spec(campplus.PACKAGE) is not None
        graph = (encoder_of(recipe, table) if anew else None) or _shipped_encoder(recipe)
        with atomic_path(file) as part:
            part.write_bytes(graph)
    return file


def encoder_of(recipe: EncoderRecipe, table: pl.DataFrame) -> bytes | None:
    """Make the graph of CAM++ in 8 bits; some clips of the table give the ranges, others check the graph.

    Returns:
        The serialised model, or ``None`` if the table has too few clips with speech.
    """
    windows = speech_windows(table, recipe, RANGE_CLIPS + PARITY_CLIPS)
    if len(windows) < RANGE_CLIPS + PARITY_CLIPS:
        return None
    return assembly.graph(campplus.pretrained(), windows[PARITY_CLIPS:], windows[:PARITY_CLIPS])


def speech_windows(table: pl.DataFrame, recipe: EncoderRecipe, count: int) -> list[Array]:
    """Read the windows of ``count`` clips of a table, ``(n, frames, bands)`` each.

    The clips are spread evenly over the first half of the table, and over more of it if some are unusable.
    """
    found: list[Array] = []
    for path in table["path"].gather_every(max(1, table.height // (2 * count))):
        try:
            spoken = speech.find(load_audio(path)[0]).surrounded
        except (VoxtraitError, OSError):
            continue
        if len(spoken) >= SHORTEST_S * SAMPLING_RATE:
            found.append(features.windows(spoken, recipe.front_end))
        if len(found) == count:
            break
    return found


def _shipped_encoder(recipe: EncoderRecipe) -> bytes:
    for which in bundles.shipped():
        shipped = bundles.load(which)
        if shipped.front_end == recipe.front_end:
            return shipped.model.read_bytes()
    if recipe.encoder == "campplus":
        raise PretrainedMissingError(
            f"No shipped bundle has the encoder {recipe.encoder!r}. To make it, you need {campplus.PACKAGE} "
            f"(pip install --no-deps {campplus.PACKAGE}==0.2.2) and at least {RANGE_CLIPS + PARITY_CLIPS} "
            f"training clips with {SHORTEST_S} s of speech."
        )
    raise PretrainedMissingError(
        f"No shipped bundle has the encoder {recipe.encoder!r}. Make one with 'python -m "
        f"voxtrait.training.distillation.encoder', copy it to {ENCODER} in the run folder, and pass --resume."
    )


def learn(
    recipe: EncoderRecipe, clips: Clips, folder: Path, *, label: str | None = None
) -> tuple[Heads, npt.NDArray[np.bool_]]:
    """Train twice: first to find contradicted gender labels, then without them.

    Returns:
        The heads, and a mask ``(n,)`` of the clips whose gender labels were left out.
    """
    first = fit(
        recipe, examples_of(clips, recipe), folder / "first", label=label and f"{recipe.name}, search for wrong labels"
    )
    contradicted = contradictions(clips, cross_fitted(first, clips)[0], recipe)
    if label:
        count = int(contradicted.sum())
        print(f"Gender labels that the voice contradicts: {count:,}. They are left out of training.", file=sys.stderr)
    network = fit(recipe, examples_of(clips, recipe, contradicted), folder, label=label and recipe.name)
    figures = figures_of(clips, *cross_fitted(network, clips))
    with atomic_path(folder / "figures.json") as part:
        part.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    return network, contradicted


def fit(recipe: EncoderRecipe, examples: Examples, folder: Path, *, label: str | None = None) -> Heads:
    """Train the heads for all epochs; a killed run is resumed after its last epoch.

    Args:
        recipe: settings.
        examples: to train on.
        folder: folder for ``checkpoints/``, ``curves.csv`` and ``curves.png``.
        label: label of the progress line on standard error; ``None`` shows no progress.
    """
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    rows = torch.from_numpy(np.flatnonzero(examples.gender_weight + examples.age_weight > 0))
    loader: DataLoader[Any] = DataLoader(
        rows,  # type: ignore[arg-type]
        batch_size=recipe.batch_size,
        sampler=EpochSampler(len(rows), recipe.seed),
        drop_last=len(rows) > recipe.batch_size,
    )
    module = HeadTraining(recipe, examples, len(loader) * recipe.max_epochs)
    folder.mkdir(parents=True, exist_ok=True)
    last = ModelCheckpoint(folder / "checkpoints", "last", save_on_train_epoch_end=True, enable_version_counter=False)
    with quiet_lightning():
        running = schedule.trainer(
            recipe.max_epochs,
            folder,
            [Curves(folder, recipe.name, ("loss",), keeps_best=False), last, ProgressLine(label, recipe.max_epochs)],
        )
    resumed = folder / "checkpoints" / "last.ckpt"
    try:
        start = resumed if resumed.is_file() else None
        whole: DataLoader[Any] = DataLoader(rows, batch_size=1024)  # type: ignore[arg-type]
        with quiet_lightning(), writing(folder / "checkpoints"):
            running.fit(module, loader, whole, ckpt_path=start, weights_only=False)
    except SystemExit as stop:  # Lightning raises it on Ctrl-C; --resume then uses the checkpoint of the last epoch
        raise schedule.interrupt_of(stop) from None
    return module.network.cpu().eval()


def cross_fitted(
    network: Heads, clips: Clips, summaries: npt.NDArray[np.float32] | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Predict each clip by the member that its speaker is held out from: logits ``(n,)`` and ``(n, 100)``."""
    with torch.no_grad():
        female, years = network.members(torch.from_numpy(clips.summaries[0] if summaries is None else summaries))
    rows = np.arange(len(clips.fold))
    logs = torch.log_softmax(years, 2)
    return female.double().numpy()[clips.fold, rows], logs.double().numpy()[clips.fold, rows]


def answers(network: Heads, clips: Clips) -> list[HeldOut]:
    """Return the predictions for calibration: of whole clips, short parts, and all clips of a speaker together."""
    seconds = clips.table["speech_s"].to_numpy()
    count = np.bincount(clips.speaker)
    weight = np.ones(len(seconds))  # every clip has the same weight, as in the reports
    truth = {"female": clips.female.astype(np.float64), "years": clips.years.astype(np.float64)}
    several = count[clips.speaker] > 1
    together = np.zeros((len(count), clips.summaries.shape[2]))
    np.add.at(together, clips.speaker, clips.summaries[0] * seconds[:, None])
    total = np.bincount(clips.speaker, seconds)  # 0 for speakers without any of these clips
    pooled = (together / np.maximum(total, 1e-9)[:, None]).astype(np.float32)[clips.speaker]
    sets = (
        (clips.summaries[0], seconds, weight),
        (clips.summaries[1], np.minimum(seconds, SHORT_S), weight),
        (pooled, total[clips.speaker], np.where(several, weight, 0.0)),
    )
    return [
        HeldOut(
            *cross_fitted(network, clips, summaries),
            seconds=np.asarray(long),
            weight=np.asarray(weights),
            speaker=clips.speaker,
            **truth,
        )
        for summaries, long, weights in sets
    ]


def calibrated(network: Heads, clips: Clips) -> dict[str, dict[str, Any]]:
    """Fit the calibration to each member's predictions for its held-out speakers: task → keys that a bundle stores."""
    return calibration.calibrate_voices(answers(network, clips), CHILDHOOD_YEARS)


def figures_of(clips: Clips, female: npt.NDArray[np.float64], years: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return recall and age error on held-out speakers before calibration, with the same weight for every clip."""
    from voxtrait.evaluate import metrics
    from voxtrait.recognize import decision

    known = ~np.isnan(clips.female)
    truth = np.where(clips.female[known] == 1, GENDERS.index("female"), GENDERS.index("male"))
    predicted = np.where(female[known] >= 0, GENDERS.index("female"), GENDERS.index("male"))
    aged = ~np.isnan(clips.years)
    estimated = decision.estimated_years(decision.probabilities(years[aged]))
    return {
        "uar": float(metrics.uar(truth, predicted).value or 0.0),
        "mae": float(metrics.mae(clips.years[aged].astype(np.float64), estimated).value or 0.0),
    }


def describe(recipe: EncoderRecipe, clips: Clips, fitted: dict[str, dict[str, Any]], folder: Path) -> Bundle:
    """Return the bundle's description; its evaluation adds the scores."""
    return Bundle(
        folder=folder,
        name=recipe.name,
        version=VERSIONS[recipe.encoder],
        description=recipe.description,
        front_end=recipe.front_end,
        outputs={"gender": GENDERS, "age": YEARS},
        calibration=fitted,
        scores={},
        data=tuple(data_of(clips.table)),
        pretrained=(campplus.PRETRAINED if recipe.encoder == "campplus" else campplus.COMPRESSED,),
        licence="Apache-2.0",
        made_with={
            "voxtrait": version("voxtrait"),
            "torch": torch.__version__,
            "recipe": json.dumps(dataclasses.asdict(recipe)),
        },
    )
