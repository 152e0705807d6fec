"""Runs the whole pipeline on synthetic voices, and prints the command line of each step.

The demo calls the functions that the commands call. A second run in the same folder reuses complete clips, WAV files,
images and trainings. If another version or other settings made the folder, the demo removes only its own files there,
and starts again.
"""

import dataclasses
import json
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import polars as pl

from voxtrait import batch, bundle, corpora, integrity, manifest, recognize, synthetic
from voxtrait.audio.writing import atomic_path
from voxtrait.derived import convert, pictures
from voxtrait.derived.folders import Summary as Derived
from voxtrait.errors import OptionError
from voxtrait.evaluate import evaluate
from voxtrait.labels import whole_years
from voxtrait.manifest import splitting
from voxtrait.training import recipe as recipes
from voxtrait.training import require_extra

STAMP: Final = "demo.json"
RELEASE: Final = "cv-corpus-0.1-synthetic"
_OURS: Final = (RELEASE, "all.parquet", "split.parquet", "stats.png", "wav", "pictures", "gender", "age", "report")

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Plan:
    """Settings of a demo run. The defaults take under two minutes on two cores."""

    speakers: int = 84  # six per gender and decade
    clips: int = 4  # per speaker
    seconds: tuple[float, float] = (3.0, 4.5)  # shortest and longest clip
    seed: int = 1
    sizes: str = "50/20/30"  # 25 test voices, more than usual, so that one or two do not change the result
    # as for `voxtrait train --set`: small images and batches, because there are few clips and little time; one thread,
    # because with such a small network two threads wait for each other on a busy machine
    gender: tuple[str, ...] = ("max_epochs=10", "shrink=4", "batch_size=16", "dropout=0.1", "threads=1")
    age: tuple[str, ...] = ("max_epochs=12", "shrink=4", "batch_size=16", "dropout=0.1", "threads=1", "min_speakers=5")
    shown: int = 4  # clips that are predicted at the end
    least_uar: float = 0.9  # required gender UAR on unseen voices


@dataclasses.dataclass(frozen=True)
class Step:
    """One step: title, command, result and duration in seconds."""

    title: str
    command: str | None
    result: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Summary:
    """The results of a demo run, and the paths of its files."""

    out: str
    passed: bool
    verdict: str
    gender_uar: dict[str, float]  # value, low, high: of the bundle, on the test voices
    least_uar: float
    age_group_uar: dict[str, float] | None
    paths: dict[str, str]
    predictions: list[dict[str, Any]]
    steps: list[Step]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as values for JSON."""
        return dataclasses.asdict(self)

    def rows(self) -> list[dict[str, str]]:
        """Return the main results as rows with ``what`` and ``value``."""
        uar = self.gender_uar
        rows = [("gender UAR", f"{uar['value']:.3f} ({uar['low']:.3f}–{uar['high']:.3f}), required {self.least_uar}")]
        if self.age_group_uar:
            rows.append(("age group UAR", f"{self.age_group_uar['value']:.3f}"))
        rows += [*self.paths.items(), ("passed", "yes" if self.passed else "no")]
        return [{"what": what, "value": value} for what, value in rows]


def run(
    out_dir: str | Path,
    *,
    jobs: int = 1,
    say: Say = lambda line: None,
    progress: bool = False,
    plan: Plan | None = None,
) -> Summary:
    """Run the whole pipeline, from synthetic voices to predictions.

    Args:
        out_dir: folder for all results; created if it does not exist.
        jobs: number of processes.
        say: function that is called with each line of the output.
        progress: whether to show progress lines on standard error.
        plan: settings; ``None`` for the defaults.

    Returns:
        The results, and the paths of the files.

    Raises:
        MissingExtraError: if torch and Lightning are not installed.
        OptionError: if ``out_dir`` is neither empty nor the folder of a demo.
    """
    require_extra()
    plan = plan or Plan()
    out = Path(out_dir)
    kept = _claim(out, plan)
    tour = _Tour(out, plan, jobs, say, progress)
    say("Synthetic voices test the pipeline. They do not measure accuracy on real voices.")
    if kept:
        say(f"{out} contains an earlier demo. Its complete results are kept.")
    return tour.go()


def _claim(out: Path, plan: Plan) -> bool:
    """Prepare a folder for this plan. Return whether it already contains a demo with the same plan."""
    trainings = {
        task: dataclasses.asdict(recipes.load(f"diary-{task}", getattr(plan, task))) for task in ("gender", "age")
    }
    wanted = {
        "voxtrait": version("voxtrait"),
        "folder": str(out.resolve()),  # trainings store the path of their data
        "plan": {key: value for key, value in dataclasses.asdict(plan).items() if key not in ("least_uar", "shown")},
        "recipes": trainings,
    }
    text = json.dumps(wanted, indent=1) + "\n"
    stamp = out / STAMP
    if stamp.is_file():
        if stamp.read_text("utf-8") == text:
            return True
        for name in _OURS:
            path = out / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    elif out.exists() and any(out.iterdir()):
        raise OptionError(f"{out} is not empty and contains no demo. Use another folder with --out.")
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(stamp) as part:
        part.write_text(text, "utf-8")
    return False


class _Tour:
    """The steps in order, and the values that they pass to later steps."""

    def __init__(self, out: Path, plan: Plan, jobs: int, write_line: Say, progress: bool) -> None:
        self.out, self.plan, self.jobs, self.write_line, self.progress = out, plan, jobs, write_line, progress
        self.steps: list[Step] = []
        self.problems: list[str] = []
        self.figures: dict[str, Any] = {}  # task → the figures of its training's report
        self.all, self.split = out / "all.parquet", out / "split.parquet"

    def go(self) -> Summary:
        """Run all steps."""
        start = time.perf_counter()
        self.make_voices()
        self.import_corpus()
        self.split_speakers()
        self.check()
        self.count()
        self.convert()
        self.draw()
        self.check_derived()
        for task in ("gender", "age"):
            self.train(task)
        report = self.evaluate()
        predictions = self.predict()
        return self.summary(report, predictions, time.perf_counter() - start)

    def make_voices(self) -> None:
        plan = self.plan
        with self.step(f"Create {plan.speakers} synthetic voices in the layout of Common Voice", None) as emit:
            voices = synthetic.cohort(plan.speakers, plan.seed)
            release = synthetic.write_common_voice(
                self.out, voices, plan.clips, plan.seed, RELEASE, jobs=self.jobs, seconds=plan.seconds
            )
            emit(f"{plan.speakers * plan.clips} mp3 files in {release}; a real, unpacked release works the same way")

    def import_corpus(self) -> None:
        release = self.out / RELEASE
        with self.step("Import the release into a manifest", ["corpus", "import", release, self.all]) as emit:
            measure = partial(batch.run, corpora.duration_of, jobs=1, on_crash=lambda path, why: None)
            found = corpora.import_corpora([release], measure=measure)
            manifest.write(manifest.with_relative_paths(found.table, self.out), self.all)
            total = found.total
            emit(f"{total.rows} rows, {total.kept} kept, {total.gender} with gender, {total.age} with age: {self.all}")

    def split_speakers(self) -> None:
        sizes, seed = self.plan.sizes, self.plan.seed
        command = ["corpus", "split", self.all, self.split, "--sizes", sizes, "--seed", seed]
        with self.step("Split the manifest by speakers", command) as emit:
            table = splitting.split(manifest.read(self.all), splitting.parse_sizes(sizes), seed=seed)
            manifest.write(table, self.split)
            speakers = table.group_by("split").agg(pl.col("speaker_id").n_unique())
            counts = dict(speakers.iter_rows())
            shares = ", ".join(f"{counts[name]} {name}" for name in ("train", "validation", "test") if name in counts)
            emit(f"speakers: {shares}; leakage: {splitting.leakage(table)['verdict']}: {self.split}")

    def check(self) -> None:
        with self.step("Check files, labels and splits", ["corpus", "check", self.split]) as emit:
            self.report_check(integrity.check(self.split, jobs=self.jobs, label=self.label("check")), emit)

    def count(self) -> None:
        plot = self.out / "stats.png"
        with self.step("Count clips, speakers and hours", ["corpus", "stats", self.split, "--plot", plot]) as emit:
            table = manifest.read(self.split)
            corpora.picture(table, plot)
            hours = float(table["duration_s"].sum()) / 3600
            emit(f"{table.height} clips, {table['speaker_id'].n_unique()} speakers, {hours:.2f} hours: {plot}")

    def convert(self) -> None:
        wav = self.out / "wav"
        with self.step("Convert mp3 to WAV", ["convert", self.split, wav]) as emit:
            emit(self.derived(convert.convert(self.split, wav, jobs=self.jobs, label=self.label("convert"))))

    def draw(self) -> None:
        folder = self.out / "pictures"
        with self.step("Draw spectrogram images from the mp3 files", ["images", self.split, folder]) as emit:
            emit(self.derived(pictures.draw(self.split, folder, jobs=self.jobs, label=self.label("images"))))

    def check_derived(self) -> None:
        wav, folder = self.out / "wav", self.out / "pictures"
        command = ["corpus", "check", self.split, "--tables-only", "--wav", wav, "--images", folder]
        with self.step("Compare the WAV files and images with the manifest", command) as emit:
            self.report_check(
                integrity.check(self.split, tables_only=True, wav=wav, images=folder, jobs=self.jobs), emit
            )

    def train(self, task: str) -> None:
        from voxtrait.training import train

        name, folder, settings = f"diary-{task}", self.out / task, getattr(self.plan, task)
        overrides = [word for setting in settings for word in ("--set", setting)]
        command = ["train", name, "--data", self.out / "pictures", "--out", folder, *overrides, "--resume"]
        with self.step(f"Train a spectrogram CNN (baseline) for {task}", command) as emit:
            settled = recipes.load(name, settings)
            made = train(settled, self.out / "pictures", folder, resume=True, jobs=self.jobs, label=self.label(name))
            self.figures[task] = made.evaluation[task]
            recall = ", ".join(f"{split} {values['uar']:.3f}" for split, values in made.figures.items())
            emit(f"UAR: {recall}: {made.bundle}, {folder / 'curves.png'}")

    def evaluate(self) -> dict[str, Any]:
        model, folder = self.out / "gender" / "bundle", self.out / "report"
        command = ["evaluate", model, self.split, "--out", folder]
        with self.step("Evaluate the bundle on unseen voices", command) as emit:
            report = evaluate(model, self.split, folder, split="test", jobs=self.jobs, label=self.label("evaluate"))
            uar = report["gender"]["uar"]
            emit(f"{report['n_speakers']} voices, gender UAR {uar['value']:.3f}: {folder / 'report.html'}")
        return dict(report)

    def predict(self) -> list[dict[str, Any]]:
        clips = self.some_clips()
        paths = clips["path"].to_list()
        predictions = []
        models: list[tuple[str, Path | None]] = [
            ("Predict with the bundle just trained", self.out / "gender" / "bundle")
        ]
        if bundle.shipped():  # a source tree may not have its bundle yet
            models.append(("Predict with the shipped bundle, which was trained on real voices", None))
        for title, model in models:
            options = [] if model is None else ["--model", model]
            with self.step(title, [*paths, *options]) as emit:
                found = list(recognize.load(model).predict_many(paths))
                emit("\n".join(map(_line, clips.iter_rows(named=True), found)))
                predictions += [prediction.to_dict() for prediction in found]
        self.write_line("\nYour own recordings:\n    $ voxtrait my-recording.mp3")
        return predictions

    def some_clips(self) -> pl.DataFrame:
        """Return one clip from each of a few test voices, women and men in turn."""
        table = manifest.with_absolute_paths(manifest.read(self.split), self.out)
        table = table.filter((pl.col("split") == "test") & pl.col("gender").is_not_null()).sort("clip_id")
        table = table.unique("speaker_id", keep="first", maintain_order=True)
        turn = pl.int_range(pl.len()).over("gender")
        chosen = table.with_columns(turn=turn).sort("turn", "gender").head(self.plan.shown)
        here = pl.lit(str(self.out)) + pl.col("path").str.strip_prefix(str(self.out.resolve()))
        return chosen.select(here.alias("path"), "gender", "age_group")

    def summary(self, report: dict[str, Any], predictions: list[dict[str, Any]], seconds: float) -> Summary:
        uar, least = report["gender"]["uar"], self.plan.least_uar
        if uar["value"] < least:
            self.problems.append(f"gender UAR {uar['value']:.3f} on unseen synthetic voices, expected at least {least}")
        verdict = "; ".join(self.problems) or f"all steps done in {seconds:.0f} s; gender UAR {uar['value']:.3f}"
        paths = {
            "release": self.out / RELEASE,
            "manifest": self.split,
            "statistics": self.out / "stats.png",
            "wav": self.out / "wav",
            "pictures": self.out / "pictures",
            "gender bundle": self.out / "gender" / "bundle",
            "age bundle": self.out / "age" / "bundle",
            "report": self.out / "report" / "report.html",
        }
        return Summary(
            out=str(self.out),
            passed=not self.problems,
            verdict=verdict,
            gender_uar=uar,
            least_uar=least,
            age_group_uar=self.figures["age"]["group_uar"],
            paths={name: str(path) for name, path in paths.items()},
            predictions=predictions,
            steps=self.steps,
            seconds=round(seconds, 1),
        )

    @contextmanager
    def step(self, title: str, command: Sequence[Any] | None) -> Iterator[Say]:
        """Print a step and its command; print its result and its duration when the context ends."""
        line = None if command is None else shlex.join(["voxtrait", *map(str, command)])
        self.write_line(f"\n{len(self.steps) + 1}. {title}")
        if line:
            self.write_line(f"    $ {line}")
        start = time.perf_counter()
        results: list[str] = []
        yield results.append
        seconds = time.perf_counter() - start
        result = "\n".join(results)
        self.write_line("\n".join(f"    {line}" for line in result.splitlines()) + f"    [{seconds:.1f} s]")
        self.steps.append(Step(title, line, result, round(seconds, 2)))

    def label(self, text: str) -> str | None:
        return text if self.progress else None

    def report_check(self, report: integrity.Report, emit: Say) -> None:
        """Report the findings of a check. A fatal finding fails the demo."""
        rows = report.rows()
        if report.fatal:
            self.problems.append("corpus check found " + ", ".join(f"{row['count']} {row['problem']}" for row in rows))
        emit(", ".join(f"{row['problem']}: {row['count']} ({row['severity']})" for row in rows) or "no problem found")

    def derived(self, summary: Derived) -> str:
        """Describe a derived folder. A failed clip fails the demo."""
        if summary.failed:
            clips = "1 clip" if summary.failed == 1 else f"{summary.failed} clips"
            self.problems.append(f"{clips} failed: {summary.out_dir}/failures.csv")
        return f"{summary.done} made, {summary.kept} skipped (already done), {summary.failed} failed: {summary.out_dir}"


def _line(clip: dict[str, Any], prediction: recognize.Prediction) -> str:
    """Format the labels of a synthetic voice and its prediction as one line."""
    made = f"{clip['gender']}, {clip['age_group'] or 'age unknown'}"
    if prediction.gender is None:
        return f"synthesised as {made}; predicted: {prediction.status}, {prediction.message}"
    age = (
        ""
        if prediction.age_years is None
        else f", {whole_years(prediction.age_years)} years ({prediction.age_low:.0f}–{prediction.age_high:.0f})"
    )
    return f"synthesised as {made}; predicted: {prediction.gender} (p_female {prediction.p_female:.3f}){age}"
