"""Trains the spectrogram CNNs (baseline): from a recipe and a dataset to a bundle and its report, resumable."""

import contextlib
import dataclasses
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

import lightning
import numpy as np
import polars as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from voxtrait import batch, manifest
from voxtrait import bundle as bundles
from voxtrait.audio.writing import atomic_path, writing
from voxtrait.bundle import Bundle
from voxtrait.derived import shards
from voxtrait.derived.pictures import MANIFEST as PICTURES_MANIFEST
from voxtrait.derived.pictures import draw as draw_pictures
from voxtrait.derived.pictures import front_end_of
from voxtrait.derived.settings import PICTURES_SETTINGS
from voxtrait.errors import OptionError
from voxtrait.evaluate import evaluate
from voxtrait.labels import GENDERS, SPLITS, age_middle, parts_of
from voxtrait.training import calibration, export, provenance, ranks, schedule
from voxtrait.training.curves import Curves
from voxtrait.training.pictures import folders, loading, streaming
from voxtrait.training.pictures.dataset import choose_classes, soft_targets
from voxtrait.training.pictures.module import Training
from voxtrait.training.progress import ProgressLine
from voxtrait.training.ranks import Share
from voxtrait.training.recipe import Recipe
from voxtrait.training.run import Outcome, claim, data_of, headline, quiet_lightning

PARITY_PICTURES: Final = 64


def train(
    recipe: Recipe,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    jobs: int = 1,
    label: str | None = None,
) -> Outcome:
    """Train a spectrogram CNN, export it, check the export, and evaluate the bundle.

    Args:
        recipe: settings.
        data: a manifest with splits, a folder that ``voxtrait images`` wrote, or a folder of shards.
        out: run folder, for ``bundle/``, ``report/``, ``curves.csv``, ``curves.png``, ``figures.json``,
            ``checkpoints/``, and ``pictures/`` if ``data`` is a manifest.
        resume: resume the run in ``out``; if there is none, start one.
        jobs: processes that draw images and predict.
        label: label of the progress lines on standard error; ``None`` shows no progress.

    Raises:
        OptionError: if ``out`` holds another run, or another process trains there.
        ManifestError: if the dataset lacks training or validation clips of two classes.
        DiskFullError: if the disk is full; the last epoch is kept.
        WorkerError: if one of several processes that train together has ended.
    """
    folder, source = Path(out), Path(data)
    with contextlib.ExitStack() as alone, ranks.joined() as share, quiet_lightning():

        def prepare() -> Data:
            claim(folder, recipe, source, resume, write=False)
            found = _found(recipe, source, jobs, label)  # before the run folder is claimed: errors can be corrected
            if found:
                choose_classes(found.table, recipe)
            alone.enter_context(batch.claimed(folder))
            claim(folder, recipe, source, resume)
            return found or _drawn(recipe, source, folder, jobs, label)

        pictures, table, unreadable = share.lead(prepare)
        classes = choose_classes(table, recipe)
        known = table.filter(pl.col("label").is_in(classes))
        parts = {split: known.filter(pl.col("split") == split) for split in SPLITS}
        module, figures = _fit(recipe, classes, parts, folder, share, label if share.rank == 0 else None)

        def finish() -> Outcome:
            made = _export(module, recipe, classes, parts, folder)
            split = "test" if parts["test"].height else "validation"
            evaluated = source if source.is_file() else _manifest_of(pictures, known, recipe.task, split, folder)
            report = evaluate(
                made.bundle.folder,
                evaluated,
                folder / "report",
                split=split,
                allow_leak=split != "test",
                jobs=jobs,
                label=label,
            )
            whole = manifest.read(source, ("clip_id", "split")) if source.is_file() else table
            trained = parts["train"].height + parts["validation"].height
            provenance.write(source, provenance.of_pictures(whole, table, trained, unreadable), folder / "report")
            scored = dataclasses.replace(made.bundle, scores={"train": figures, **headline(report)})
            bundles.write(scored, made.graph, made.speakers)
            return Outcome(scored.folder, folder / "report", figures, report)

        return share.lead(finish)


class Exported(NamedTuple):
    """A bundle before its evaluation, and the files written with it."""

    bundle: Bundle
    graph: bytes
    speakers: list[str]


def _export(
    module: Training, recipe: Recipe, classes: tuple[str, ...], parts: dict[str, pl.DataFrame], folder: Path
) -> Exported:
    """Calibrate, export and check a network, and write its bundle without scores."""
    made = _bundle(recipe, classes, parts, _logits(module, recipe, classes, parts["validation"]), folder)
    graph = export.to_onnx(module.network, recipe.front_end.input_shape, recipe.task)
    some = loading.pictures(recipe, classes, parts["validation"].head(PARITY_PICTURES))
    seen = np.stack([picture.numpy() for picture, _, _ in (some[at] for at in range(len(some)))])
    export.check_parity(module.network, graph, seen, recipe.task)
    speakers = pl.concat([parts["train"], parts["validation"]])["speaker_id"].drop_nulls().unique().to_list()
    bundles.write(made, graph, speakers)
    return Exported(made, graph, speakers)


class Data(NamedTuple):
    """The images for training."""

    folder: Path
    table: pl.DataFrame
    unreadable: int = 0  # images that are left out


def _found(recipe: Recipe, data: Path, jobs: int, label: str | None) -> Data | None:
    """Return the images of a folder, checked to be drawn with the recipe's front end.

    For a manifest, only check its splits and classes, and return ``None``: its images are drawn later.
    """
    drawn_as = dataclasses.replace(recipe.front_end, shrink=1)
    if shards.is_packed(data):
        if shards.shards_front_end(data) != drawn_as:
            raise OptionError(
                f"The images in {data} have another size, fit or range than the recipe {recipe.name}. "
                f"Pack them again with --size {recipe.width}x{recipe.height} --fit {recipe.fit}, "
                "or --set width, height and fit."
            )
        return Data(data, streaming.read_table(data, recipe.task))
    if data.is_dir():
        if (data / PICTURES_SETTINGS).is_file() and front_end_of(data) != drawn_as:
            raise OptionError(
                f"The images in {data} have another size, fit or range than the recipe {recipe.name}. "
                f"Make them again with --size {recipe.width}x{recipe.height} --fit {recipe.fit}, "
                "or --set width, height and fit."
            )
        table = folders.read_folder(data, recipe.task)
        whole, left_out = folders.without_broken(table, drawn_as, jobs=jobs, label=label and "images")
        if left_out and label:
            print(folders.in_words(left_out, table.height), file=sys.stderr)
        folders.check_splits(whole, data, recipe.task)
        return Data(data, whole, len(left_out))
    choose_classes(folders.check_manifest(data, recipe.task), recipe)
    return None


def _drawn(recipe: Recipe, data: Path, folder: Path, jobs: int, label: str | None) -> Data:
    """Draw the images of a manifest."""
    drawn_as = dataclasses.replace(recipe.front_end, shrink=1)
    drawn = draw_pictures(data, folder / "pictures", front_end=drawn_as, jobs=jobs, label=label and "images")
    if drawn.failed and label:
        clips = "1 clip" if drawn.failed == 1 else f"{drawn.failed:,} clips"
        print(f"{clips} could not be drawn: see {folder / 'pictures' / 'failures.csv'}", file=sys.stderr)
    return Data(folder / "pictures", folders.read_folder(folder / "pictures", recipe.task))


def _fit(
    recipe: Recipe,
    classes: tuple[str, ...],
    parts: dict[str, pl.DataFrame],
    folder: Path,
    share: Share,
    label: str | None,
) -> tuple[Training, dict[str, dict[str, float]]]:
    """Train, and measure the epoch with the lowest validation loss on every split."""
    _check_enough_clips(recipe, parts, share)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    if label and (hint := schedule.unused_gpus(share)):
        print(hint, file=sys.stderr)
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    training = loading.batches(recipe, classes, parts["train"], share, shuffle=True)
    validation = loading.batches(recipe, classes, parts["validation"], share)
    targets = torch.from_numpy(soft_targets(classes, recipe))
    module = Training(recipe, targets, len(training) * recipe.max_epochs, share)
    if schedule.compiles(recipe.compile):
        module.network.compile()
    checkpoints = folder / "checkpoints"
    best = ModelCheckpoint(checkpoints, "best", monitor="validation_loss", enable_version_counter=False)
    last = ModelCheckpoint(checkpoints, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    stopping = EarlyStopping("validation_loss", patience=recipe.patience)
    running = schedule.trainer(
        recipe.max_epochs,
        folder,
        [stopping, Curves(folder, recipe.name), best, last, ProgressLine(label, recipe.max_epochs)],
        share=share,
        precision=schedule.precision_of(recipe.precision),
    )
    resumed = checkpoints / "last.ckpt"
    there, stopped = share.lead(lambda: (resumed.is_file(), _stopped_early(resumed)))
    if not stopped:
        try:
            with writing(checkpoints):
                running.fit(module, training, validation, ckpt_path=resumed if there else None, weights_only=False)
        except SystemExit as stop:  # Lightning raises it on Ctrl-C; --resume then uses the checkpoint of the last epoch
            raise schedule.interrupt_of(stop) from None
    del training, validation  # ends their reading processes
    trained = Training(recipe, targets, module.steps)  # with layers for a single process, not compiled
    state = share.lead(lambda: torch.load(checkpoints / "best.ckpt", map_location="cpu", weights_only=False))
    trained.load_state_dict(state["state_dict"])
    measuring = schedule.trainer(1, folder, [], share=share)
    figures: dict[str, dict[str, float]] = {}
    for split, table in parts.items():
        if table.height:
            (found,) = measuring.test(trained, loading.batches(recipe, classes, table, share), verbose=False)
            figures[split] = {name.removeprefix("test_"): value for name, value in found.items()}
    if share.rank == 0:
        with atomic_path(folder / "figures.json") as part:
            part.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    return trained, figures


def _check_enough_clips(recipe: Recipe, parts: dict[str, pl.DataFrame], share: Share) -> None:
    least = min([recipe.batch_size, *(table.height for table in parts.values() if table.height)])
    if share.size > least:
        raise OptionError(
            f"Got {share.size} processes, but a batch or split of {least} clip{'' if least == 1 else 's'}. "
            "Expected at least one clip per process. Start fewer processes."
        )


def _stopped_early(checkpoint: Path) -> bool:
    """Return whether early stopping ended a run at its last checkpoint: Lightning would train one more epoch first."""
    if not checkpoint.is_file():
        return False
    callbacks = torch.load(checkpoint, map_location="cpu", weights_only=False)["callbacks"]
    (stopping,) = (state for name, state in callbacks.items() if name.startswith("EarlyStopping"))
    return bool(stopping["wait_count"] >= stopping["patience"])


def _logits(module: Training, recipe: Recipe, classes: tuple[str, ...], table: pl.DataFrame) -> np.ndarray:
    """Return the logits of a table's images without augmentation: ``(rows, classes)``, float64."""
    module = module.cpu().eval()
    with torch.no_grad():
        batches = [module(pictures) for pictures, _, _ in loading.batches(recipe, classes, table)]
    return np.asarray(torch.cat(batches).double().numpy())


def _bundle(
    recipe: Recipe, classes: tuple[str, ...], parts: dict[str, pl.DataFrame], logits: np.ndarray, folder: Path
) -> Bundle:
    """Calibrate on the validation speakers, and return the bundle's description; its evaluation adds the scores."""
    validation = parts["validation"]
    truth = np.array([classes.index(label) for label in validation["label"]])
    who = validation.with_columns(who=pl.coalesce("speaker_id", "path"))
    weights = who.select(1.0 / pl.len().over("who")).to_series().to_numpy()
    if recipe.task == "gender":
        fitted = calibration.calibrate_gender(logits, truth, weights)
    else:
        middles = pl.Series([age_middle(parts_of(label)[1]) for label in validation["label"]])
        years = pl.select(pl.coalesce(validation["age_years"], middles)).to_series().to_numpy()
        prior = _prior(parts["train"], classes)
        fitted = calibration.calibrate_age(logits, truth, weights, classes, prior, years)
    return Bundle(
        folder=folder / "bundle",
        name=recipe.name,
        version="1.0",
        description=recipe.description,
        front_end=recipe.front_end,
        outputs={recipe.task: classes},
        calibration={recipe.task: fitted},
        scores={},
        data=tuple(data_of(pl.concat([parts["train"], parts["validation"]]))),
        licence="Apache-2.0",
        made_with={
            "voxtrait": version("voxtrait"),
            "torch": torch.__version__,
            "recipe": json.dumps(dataclasses.asdict(recipe)),
        },
    )


def _prior(table: pl.DataFrame, classes: tuple[str, ...]) -> np.ndarray:
    """Return the share of training speakers in each class."""
    who = table.with_columns(who=pl.coalesce("speaker_id", "path")).group_by("label").agg(pl.col("who").n_unique())
    count = dict(zip(who["label"], who["who"], strict=True))
    shares = np.array([count[name] for name in classes], dtype=np.float64)
    return np.asarray(shares / shares.sum())


def _manifest_of(pictures: Path, table: pl.DataFrame, task: str, split: str, folder: Path) -> Path:
    """Write a manifest whose files are the images themselves, for a dataset of class folders or shards."""
    if "file" in table.columns:
        table = streaming.unpack(table.filter(pl.col("split") == split), folder / "pictures")
    elif (pictures / PICTURES_MANIFEST).is_file():
        return pictures / PICTURES_MANIFEST
    labels = table["label"].to_list()
    genders = labels if task == "gender" else [parts_of(label)[0] for label in labels]
    groups: list[str | None]
    if task != "gender":
        groups = [parts_of(label)[1] for label in labels]
    else:  # shards have the age groups too, from which the report takes the adults
        groups = table["age_group"].to_list() if "age_group" in table.columns else [None] * len(labels)
    assert set(genders) <= set(GENDERS)
    rows = table.select(
        pl.coalesce("clip_id", "path").alias("clip_id"), "path", "speaker_id", "split", "age_years"
    ).with_columns(pl.Series("gender", genders), pl.Series("age_group", groups, dtype=pl.String))
    file = folder / "pictures.csv"
    manifest.write(rows, file)
    return file
