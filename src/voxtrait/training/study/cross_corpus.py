"""Cross-corpus evaluation: accuracy of a recipe on corpora left out of training, compared with simple baselines.

``python -m voxtrait.training.study.cross_corpus RUN`` reads the summaries in the run folder of ``base``, leaves out one
corpus or release after the other, and prints a table. It uses only train and validation speakers, except with
``--test``. With ``--student`` it trains heads on a fast encoder instead, and measures only the sets that the
distillation of this encoder left out. The baselines are a pitch threshold and a constant age.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from voxtrait import batch, manifest, speech
from voxtrait.audio.files import load as load_audio
from voxtrait.audio.signals import SAMPLING_RATE, check_signal
from voxtrait.audio.writing import atomic_path
from voxtrait.errors import ManifestError, VoxtraitError
from voxtrait.evaluate import evaluate, metrics
from voxtrait.labels import AGE_GROUPS, GENDERS
from voxtrait.recognize import decision
from voxtrait.training import recipe
from voxtrait.training.calibration import ADULT_YEARS
from voxtrait.training.intervals import FEWEST_SPEAKERS
from voxtrait.training.recipe import EncoderRecipe
from voxtrait.training.run import quiet_lightning
from voxtrait.training.study import baselines
from voxtrait.training.voices.ensemble import calibrated, cross_fitted, fit, learn
from voxtrait.training.voices.examples import Clips, clips_of, examples_of
from voxtrait.training.voices.heads import Heads, JoinedHeads
from voxtrait.training.voices.summaries import summarise

TRIALS: Final[dict[str, dict[str, Any]]] = {
    "as it is": {},
    "no augmentation": {"views": 2},
    "hidden=64": {"hidden": 64},
    "input_dropout=0.7": {"input_dropout": 0.7},
    "max_epochs=30": {"max_epochs": 30},
    "learning_rate=0.0003": {"learning_rate": 3e-4},
    "group_balance=0.3": {"group_balance": 0.3},
    "ranked=0.1": {"ranked": 0.1},
    "contradicted labels kept in training": {"contradiction": 1.0},
}
"""Ablations: one change of the recipe each, measured on held-out speakers."""
LONGEST_S: Final = 20.0
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Pitch:
    """Job: file → the median pitch of its speech in Hz, or ``None`` without a pitch."""

    def __call__(self, path: str) -> float | None:
        """Return the median pitch of one file."""
        try:
            signal = check_signal(load_audio(path)[0])[: int(LONGEST_S * SAMPLING_RATE)]
            return baselines.median_pitch(speech.spoken(signal))
        except (VoxtraitError, OSError):
            return None


class Answers(NamedTuple):
    """Outputs of heads for each clip, and a calibration, fitted to these clips (held-out speakers) or the others."""

    female: Floats  # (n,), logits
    years: Floats  # (n, 100), logits
    calibration: dict[str, dict[str, Any]]  # task → the keys of a bundle


def held_out(table: pl.DataFrame) -> dict[str, Bools]:
    """Return the sets to leave out: every corpus, and each large release of Common Voice; small releases are one set.

    Args:
        table: table of clips with ``corpus`` and ``release``.

    Returns:
        Name of each set → mask ``(n,)`` of its clips.
    """
    release = pl.col("release").fill_null("")
    sets = {
        "Common Voice 6.1": release.str.contains("corpus-6.1") | (pl.col("corpus") == "cv-6.1-en-more"),
        "Common Voice 13": release.str.contains("corpus-13"),
        "Common Voice 17": release.str.contains("corpus-17"),
        "Common Voice 18 to 20": release.str.contains("corpus-(18|19|20)"),
    }
    others = table.filter(~pl.col("corpus").str.starts_with("c"))["corpus"].unique().sort()
    sets |= {name: pl.col("corpus") == name for name in others}
    masks = {name: table.select(rule).to_series().to_numpy() for name, rule in sets.items()}
    return {name: mask for name, mask in masks.items() if mask.any()}


def compare(
    settings: EncoderRecipe, clips: Clips, pitches: Floats, folder: Path, *, label: str | None = None
) -> list[dict[str, Any]]:
    """Measure the recipe and the baselines on held-out speakers, and on each set left out of training in turn.

    Args:
        settings: the recipe.
        clips: clips of train and validation speakers.
        pitches: ``(n,)``, median pitch in Hz, NaN unknown.
        folder: folder for the training runs.
        label: label of the progress lines; ``None`` shows no progress.

    Returns:
        One row per set: its clips and speakers, gender UAR and age error of recipe and baselines, 95 % intervals.
    """
    rows = []
    masks = held_out(clips.table)
    network, _ = learn(settings, clips, folder / "all", label=label and "all corpora")
    given = calibrated(network, clips)
    inside = [Answers(*cross_fitted(network, clips, clips.summaries[view]), given) for view in (0, 2)]
    everything = np.ones(len(clips.speaker), dtype=bool)
    rows.append(_row("all, held-out speakers", clips, everything, everything, inside[0], pitches))
    rows.append(_row("… each clip disturbed", clips, everything, everything, inside[1], pitches))
    for name, mask in masks.items():
        rows.append(_row(f"{name}, held-out speakers", clips, mask, everything, inside[0], pitches))
    return [*rows, *left_out(settings, clips, pitches, folder, tuple(masks), label=label)]


def left_out(
    settings: EncoderRecipe,
    clips: Clips,
    pitches: Floats,
    folder: Path,
    names: Sequence[str],
    *,
    label: str | None = None,
) -> list[dict[str, Any]]:
    """Measure the recipe and the baselines on some sets, each left out of training in turn.

    Arguments are those of :func:`compare`.

    Returns:
        One row per name, with the keys of :func:`compare`.

    Raises:
        ManifestError: if a name is not a set in these clips.
    """
    rows, masks = [], held_out(clips.table)
    if unknown := sorted(set(names) - set(masks)):
        raise ManifestError(f"Got unknown sets: {', '.join(unknown)}. Expected some of: {', '.join(masks)}.")
    for name in names:
        # a speaker of this set may have clips in another set
        rest = ~masks[name] & ~np.isin(clips.speaker, clips.speaker[masks[name]])
        some = clips.take(rest)
        network, _ = learn(settings, some, folder / name.replace(" ", "-"), label=label and f"without {name}")
        outputs = Answers(*_mean(network, clips), calibrated(network, some))
        rows.append(_row(f"{name}, left out", clips, masks[name], rest, outputs, pitches))
    return rows


def weigh(
    settings: EncoderRecipe, clips: Clips, pitches: Floats, folder: Path, *, label: str | None = None
) -> list[dict[str, Any]]:
    """Measure each ablation (``TRIALS``) on held-out speakers; arguments and rows as for :func:`compare`."""
    rows, everything = [], np.ones(len(clips.speaker), dtype=bool)
    _, contradicted = learn(settings, clips, folder / "labels", label=label and "search for wrong labels")
    for name, changes in TRIALS.items():
        tried = dataclasses.replace(settings, **changes)
        cut = dataclasses.replace(clips, summaries=clips.summaries[: tried.views])
        left_out = contradicted if tried.contradiction < 1 else None
        home = folder / name.replace(" ", "-")
        network = fit(tried, examples_of(cut, tried, left_out), home, label=label and name)
        outputs = Answers(*cross_fitted(network, clips), calibrated(network, clips))
        rows.append(_row(name, clips, everything, everything, outputs, pitches))
    return rows


def final(
    run: Path, source: Path, clips: Clips, pitches: Floats, *, jobs: int = 1, label: str | None = None
) -> list[dict[str, Any]]:
    """Measure the run's bundle, shipped bundles and baselines on test speakers, held out from all model selection.

    Args:
        run: run folder.
        source: manifest of the run.
        clips: clips of train and validation speakers, to which the baselines are fitted.
        pitches: ``(n,)``, median pitch of these clips in Hz.
        jobs: number of processes.
        label: label of the progress lines; ``None`` shows no progress.

    Returns:
        One row per bundle or baseline, with the available keys of :func:`compare`.
    """
    rows = []
    for name, which in (("this run", run / "bundle"), *((name, name) for name in ("voxtrait-base", "voxtrait-diary"))):
        report = evaluate(which, source, run / f"test-{name}", split="test", jobs=jobs, label=label and name)
        gender, age, slices = report["gender"], report["age"], report["slices"]
        adults = slices["children"]["adults"]["gender"]
        rows.append(
            {"set": name, "clips": report["n_clips"], "speakers": report["n_speakers"], "uar": gender["uar"]}
            | {"uar_adults": adults["uar"], "ece": gender["ece"], "ece_adults": adults["ece"]}
            | {key: age[key] for key in ("mae", "mae_constant", "pearson", "coverage80")}
            | {"width": age["interval_width"]}
            | {f"coverage80_{one}": slices["gender"][one]["age"]["coverage80"] for one in GENDERS}
            | {
                f"coverage80_{group}": found["age"]["coverage80"]
                for group, found in slices["age_group"].items()
                if found["n_speakers"] >= FEWEST_SPEAKERS
            }
        )
    test = manifest.with_absolute_paths(manifest.read(source), source.parent)
    test = test.filter(pl.col("split") == "test", pl.col("gender").is_in(GENDERS))
    found = batch.run(Pitch(), test["path"].to_list(), jobs=jobs, on_crash=lambda path, why: None, label=label)
    test_pitches = np.array([float("nan") if hz is None else hz for hz in found])
    threshold = _threshold(clips, pitches, np.ones(len(pitches), dtype=bool))
    truth = np.array([GENDERS.index(one) for one in test["gender"]])
    predicted = np.where(np.nan_to_num(test_pitches) >= threshold, GENDERS.index("female"), GENDERS.index("male"))
    speaker = test.select(pl.coalesce("speaker_id", "clip_id").rank("dense")).to_series().to_numpy()
    uar = metrics.bootstrap({"uar": metrics.uar(truth, predicted)}, speaker)["uar"]._asdict()
    name = f"pitch of {threshold:.0f} Hz or more is female"
    return [*rows, {"set": name, "clips": test.height, "speakers": len(np.unique(speaker)), "uar": uar}]


def _threshold(clips: Clips, pitches: Floats, trained: Bools) -> float:
    weight = np.bincount(clips.speaker)[clips.speaker] ** -1.0
    used = trained & ~np.isnan(clips.female) & ~np.isnan(pitches) & ~(clips.years < ADULT_YEARS)
    return baselines.fit_threshold(pitches[used], clips.female[used] == 1, weight[used])


def _mean(network: Heads, clips: Clips) -> tuple[Floats, Floats]:
    with torch.no_grad():
        gender, age, _ = JoinedHeads(network)(torch.from_numpy(clips.summaries[0]))
    return (2 * gender[:, GENDERS.index("female")]).double().numpy(), age.double().numpy()


def _decided(outputs: Answers, seconds: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return P(female), the estimated age and both ends of the age interval, as in prediction."""
    gender, age = outputs.calibration["gender"], outputs.calibration["age"]
    p_female = 1 / (1 + np.exp(-outputs.female / decision.temperature_at(gender, seconds)))
    shares = decision.probabilities(outputs.years, decision.temperature_at(age, seconds)[:, None])
    p_female = decision.without_childhood(p_female, shares, gender["childhood"])
    low, high = decision.interval(shares, age["tail"], p_female)
    return p_female, np.clip(decision.estimated_years(shares), low, high), low, high


def _row(name: str, clips: Clips, tested: Bools, trained: Bools, outputs: Answers, pitches: Floats) -> dict[str, Any]:
    female = outputs.female
    weight = np.bincount(clips.speaker)[clips.speaker] ** -1.0
    gendered, aged = tested & ~np.isnan(clips.female), tested & ~np.isnan(clips.years)
    threshold = _threshold(clips, pitches, trained)
    known = trained & ~np.isnan(clips.years)
    constant = baselines.constant_years(clips.years[known].astype(np.float64), weight[known])
    truth = clips.years.astype(np.float64)

    def uar(rows: Bools, is_female: Bools) -> metrics.Figure:
        index = np.where(clips.female[rows] == 1, GENDERS.index("female"), GENDERS.index("male"))
        return metrics.uar(index, np.where(is_female[rows], GENDERS.index("female"), GENDERS.index("male")))

    adult = gendered & ~(truth < ADULT_YEARS)
    p_female, guess, low, high = _decided(outputs, clips.table["speech_s"].to_numpy())

    def covered(rows: Bools) -> metrics.Figure:
        return metrics.interval_coverage(truth[rows], low[rows], high[rows])

    figures: list[tuple[str, Bools, Callable[[Bools], metrics.Figure]]] = [
        ("uar", gendered, lambda rows: uar(rows, female >= 0)),
        ("uar_adults", adult, lambda rows: uar(rows, female >= 0)),
        ("uar_pitch", gendered, lambda rows: uar(rows, np.nan_to_num(pitches) >= threshold)),
        ("mae", aged, lambda rows: metrics.mae(truth[rows], guess[rows])),
        ("mae_constant", aged, lambda rows: metrics.mae(truth[rows], np.full(int(rows.sum()), constant))),
        ("pearson", aged, lambda rows: metrics.pearson(truth[rows], guess[rows])),
        ("ece", gendered, lambda rows: metrics.ece(clips.female[rows] == 1, p_female[rows])),
        ("ece_adults", adult, lambda rows: metrics.ece(clips.female[rows] == 1, p_female[rows])),
        ("width", aged, lambda rows: metrics.mean((high - low)[rows])),
        ("coverage80", aged, covered),
        ("coverage80_female", aged & (clips.female == 1), covered),
        ("coverage80_male", aged & (clips.female == 0), covered),
    ]
    for at, group in enumerate(AGE_GROUPS):
        rows = aged & (truth // decision.DECADE == at)
        if len(np.unique(clips.speaker[rows & tested])) >= FEWEST_SPEAKERS:
            figures.append((f"coverage80_{group}", rows, covered))
    found: dict[str, Any] = {
        "set": name,
        "clips": int(tested.sum()),
        "speakers": len(np.unique(clips.speaker[tested])),
        "pitch_threshold_hz": round(float(threshold), 1),
        "constant_years": float(constant),
    }
    for key, rows, measure in figures:
        if rows.any():
            found[key] = metrics.bootstrap({key: measure(rows)}, clips.speaker[rows])[key]._asdict()
    return found


def _left_out_of(student: Path) -> list[str]:
    note = student / "distillation.json"
    names: list[str] = json.loads(note.read_text("utf-8"))["without"] if note.is_file() else []
    if not names or not (student / "encoder.onnx").is_file():
        raise ManifestError(
            f"{student} has no fast encoder made with --without. Expected encoder.onnx, and distillation.json with at "
            "least one set left out. Make one with 'python -m voxtrait.training.distillation.encoder MANIFEST OUT "
            "--without SET'."
        )
    return names


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the rows as two tables of Markdown: accuracy, and calibration if rows have it."""
    heads = {
        "uar": "gender UAR", "uar_adults": "… adults", "uar_pitch": "… by pitch alone", "mae": "age MAE",
        "mae_constant": "… constant estimate", "pearson": "correlation",
    }  # fmt: skip
    lines = ["| tested on | clips | speakers | " + " | ".join(heads.values()) + " |", "|---" * (3 + len(heads)) + "|"]
    for row in rows:
        cells = [row["set"], f"{row['clips']:,}", f"{row['speakers']:,}"]
        for key in heads:
            one = row.get(key)
            digits = 1 if key.startswith("mae") else 2 if key == "pearson" else 3
            cells.append("–" if one is None or one["value"] is None else f"{one['value']:.{digits}f}")
            if key in ("uar", "mae") and one and one["low"] is not None:
                cells[-1] += f" ({one['low']:.{digits}f}–{one['high']:.{digits}f})"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, *_calibration_lines([row for row in rows if "coverage80" in row])])


def _calibration_lines(rows: list[dict[str, Any]]) -> list[str]:
    heads = {
        "ece": "ECE", "ece_adults": "… adults", "coverage80": "interval covers", "coverage80_female": "… women",
        "coverage80_male": "… men", "width": "width, years",
    }  # fmt: skip
    lines = ["", "| tested on | " + " | ".join(heads.values()) + " | covers, by age group |", "|---" * 8 + "|"]
    for row in rows:
        found = {key: one["value"] for key, one in row.items() if isinstance(one, dict)}
        cells = [row["set"]]
        for key in heads:
            digits = 1 if key == "width" else 3 if key.startswith("ece") else 2
            cells.append(f"{found[key]:.{digits}f}" if found.get(key) is not None else "–")
        groups = [(name, found.get(f"coverage80_{name}")) for name in AGE_GROUPS]
        cells.append(", ".join(f"{name} {value:.2f}" for name, value in groups if value is not None))
        lines.append("| " + " | ".join(cells) + " |")
    return lines if rows else []


def main() -> None:
    """Measure, print the table, and write it as ``cross-corpus.json``, ``trials.json`` or ``test.json``."""
    parser = argparse.ArgumentParser(description="Leave corpora out, one after the other, and print a table.")
    parser.add_argument("run", type=Path, help="run folder of the recipe base, with its summaries")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--trials", action="store_true", help="measure changes of the recipe instead (ablations)")
    kinds.add_argument(
        "--student",
        type=Path,
        metavar="OUT",
        help="measure a fast encoder instead, on the sets that its distillation left out; "
        "OUT is the output folder of voxtrait.training.distillation.encoder",
    )
    kinds.add_argument("--test", action="store_true", help="measure bundles and baselines on the test speakers instead")
    arguments = parser.parse_args()
    run = json.loads((arguments.run / "run.json").read_text("utf-8"))
    settings = recipe.from_dict(run["recipe"])
    if not isinstance(settings, EncoderRecipe):
        raise ManifestError(f"{arguments.run} is a run of {settings.name}. Expected a run of the recipe base.")
    place, names = arguments.student or arguments.run, []
    if arguments.student:
        fast, names = recipe.load("fast"), _left_out_of(arguments.student)
        assert isinstance(fast, EncoderRecipe)
        settings = fast
    jobs, source = batch.default_jobs(), Path(run["data"])
    table = manifest.with_absolute_paths(manifest.read(source), source.parent).sort("clip_id")
    known = table.filter(pl.col("split").is_in(["train", "validation"]))
    graph = place / "encoder.onnx"
    clips = clips_of(summarise(known, graph, settings, place / "summaries", jobs=jobs, label="encoder"), settings)
    shards = batch.run_sharded(
        Pitch(), clips.table["path"].to_list(), arguments.run / "pitches", row=lambda hz: {"hz": hz},
        schema={"hz": pl.Float64}, settings="median pitch", jobs=jobs, on_crash=lambda path, why: None, label="pitch",
    )  # fmt: skip
    pitches = pl.read_parquet(shards)["hz"].fill_null(float("nan")).to_numpy()
    with quiet_lightning():
        if arguments.test:
            name, rows = "test", final(arguments.run, source, clips, pitches, jobs=jobs, label="test")
        elif arguments.student:
            name = "cross-corpus"
            rows = left_out(settings, clips, pitches, place / name, names, label=name)
        else:
            measure, name = (weigh, "trials") if arguments.trials else (compare, "cross-corpus")
            rows = measure(settings, clips, pitches, arguments.run / name, label=name)
    with atomic_path(place / f"{name}.json") as part:
        part.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    sys.stdout.write(markdown(rows) + "\n")


if __name__ == "__main__":
    main()
