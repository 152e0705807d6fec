"""The one inference path: a signal, a file or many files to predictions, by a bundle's front end, graph and decision.

::

    file ─ audio.load ─► signal ─ inputs ─► array ─ run ─► logits ─ decide ─► answers ─► Prediction
"""

import dataclasses
import importlib.metadata
import os
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from voxtrait import batch, decision, features, speech
from voxtrait.audio import SAMPLING_RATE, Signal, atomic_path, check_signal, resample, to_mono
from voxtrait.audio import load as load_audio
from voxtrait.bundle import Bundle
from voxtrait.bundle import load as load_bundle
from voxtrait.errors import AudioMissingError, BundleError, OptionError, VoxtraitError
from voxtrait.features import Array
from voxtrait.labels import AGE_GROUPS, JOINT_CLASSES

SHORTEST_S: Final = 0.7  # seconds of speech below which no answer is given
PICTURE_SUFFIX: Final = ".png"


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a voice presents as in one clip; the fields and their order are the contract's.

    ``status`` is ``ok``, ``no_speech``, ``too_short`` or ``error``; all but ``ok`` leave the fields from ``gender``
    to ``age_groups`` ``None`` and say why in ``message``. What a bundle cannot tell is ``None`` too.
    """

    path: str | None
    status: str
    message: str | None
    duration_s: float | None  # seconds
    speech_s: float | None  # seconds
    gender: str | None  # female, male, or unsure
    p_female: float | None  # calibrated
    age_years: float | None
    age_low: float | None  # 80 % interval, years
    age_high: float | None
    age_group: str | None
    age_groups: Mapping[str, float] | None  # sums to 1
    model: str
    joint_class: str | None = None  # the class that an age network of joint classes names; for evaluation, not printed

    def to_dict(self) -> dict[str, Any]:
        """Give the fields in the contract's order, probabilities to 4 digits, seconds and years to 2."""
        values = {name: getattr(self, name) for name in FIELDS}
        if self.path is not None:  # a name that is not UTF-8 could not be printed or stored
            values["path"] = os.fsencode(self.path).decode("utf-8", "replace")
        for name, value in values.items():
            if isinstance(value, float):
                values[name] = round(value, 4 if name == "p_female" else 2)
        if self.age_groups is not None:
            values["age_groups"] = {group: round(share, 4) for group, share in self.age_groups.items()}
        return values


FIELDS: Final = tuple(field.name for field in dataclasses.fields(Prediction) if field.name != "joint_class")
TABLE_SUFFIXES: Final = (".parquet", ".csv", ".jsonl")
CSV_FIELDS: Final = tuple(name for name in FIELDS if name != "age_groups")


class Recognizer:
    """A bundle at work.

    Args:
        bundle: what to use.
        threads: of the graph's runtime; with several processes one each is fastest.

    Raises:
        BundleError: if the graph does not fit what the bundle says of it.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        self.bundle = bundle
        self.threads = threads
        self._session: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process without the session, which is opened there."""
        return {"bundle": self.bundle, "threads": self.threads, "_session": None}

    def inputs(self, signal: npt.ArrayLike, sampling_rate: int = SAMPLING_RATE) -> Array:
        """First step, front end: signal → what the graph sees, ``(1, *front_end.input_shape)``, float32."""
        front_end = self.bundle.front_end
        drawn = features.picture(signal, sampling_rate, front_end=front_end)
        return features.network_input(drawn, front_end)[None]

    def run(self, inputs: Array) -> dict[str, Array]:
        """Second step, graph: ``(n, *front_end.input_shape)`` → logits ``(n, classes)`` a task."""
        session = self._open()
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {session.get_inputs()[0].name: inputs}), strict=True))

    def decide(self, logits: Mapping[str, npt.ArrayLike]) -> list[dict[str, Any]]:
        """Third step, decision: logits ``(n, classes)`` a task → the answers of each row, ``gender`` to
        ``age_groups``."""
        n = len(np.asarray(next(iter(logits.values()))))
        answers: list[dict[str, Any]] = [
            dict.fromkeys(FIELDS[FIELDS.index("gender") : FIELDS.index("model")]) for _ in range(n)
        ]
        shares = {task: self._probabilities(task, values) for task, values in logits.items()}
        for row, answer in enumerate(answers):
            if "gender" in shares:
                p_female = float(decision.female_probability(shares["gender"][row]))
                answer["p_female"] = p_female
                answer["gender"] = decision.describe_gender(p_female, self.bundle.calibration["gender"]["unsure"])
            if "age" in shares:
                groups = decision.group_probabilities(shares["age"][row], self.bundle.outputs["age"])
                answer |= decision.age_answer(groups, self.bundle.calibration["age"]["tail"])
                # as the network was trained, with rare classes weighing more: before the prior is put back
                likeliest = self.bundle.outputs["age"][int(np.argmax(np.asarray(logits["age"])[row]))]
                answer["joint_class"] = likeliest if likeliest in JOINT_CLASSES else None
        return answers

    def predict(
        self, source: "str | os.PathLike[str] | BytesIO | npt.ArrayLike", sampling_rate: int | None = None
    ) -> Prediction:
        """Say what a voice presents as.

        Args:
            source: a file of audio (or a picture that ``voxtrait images`` drew), a ``BytesIO`` with one, or a signal
                ``(samples,)`` or ``(channels, samples)``.
            sampling_rate: of a signal, in Hz; needed there and only there.

        Returns:
            The prediction; files that cannot be used have status ``error`` rather than raise.

        Raises:
            SignalError: if an array is no signal.
            ValueError: if an array comes without its sampling rate.
        """
        if not isinstance(source, str | os.PathLike | BytesIO):
            if sampling_rate is None:
                raise ValueError(
                    "got a signal without its sampling rate, expected predict(signal, sampling_rate=16000)"
                )
            mono = to_mono(check_signal(source))
            return self._predict_signal(None, resample(mono, sampling_rate, SAMPLING_RATE))
        path = None if isinstance(source, BytesIO) else os.fspath(source)
        try:
            if path is not None and path.lower().endswith(PICTURE_SUFFIX):
                return self._predict_picture(path)
            return self._predict_signal(path, check_signal(load_audio(source)[0]))
        except BundleError:  # no fault of the file, and the same for the next one
            raise
        except (VoxtraitError, OSError) as error:
            return self._without_answer(path, "error", str(error))

    def predict_many(
        self, paths: "Sequence[str | os.PathLike[str] | BytesIO]", *, jobs: int = 1, label: str | None = None
    ) -> Iterator[Prediction]:
        """Predict files in order, in processes, with memory that does not grow with their number.

        Args:
            paths: audio files, or ``BytesIO`` with one.
            jobs: processes.
            label: of a progress line on standard error; ``None`` for none.
        """
        return batch.run(self.predict, _as_items(paths), jobs=jobs, on_crash=self._crashed, label=label)

    def predict_shards(
        self,
        paths: "Sequence[str | os.PathLike[str] | BytesIO]",
        folder: str | os.PathLike[str],
        *,
        jobs: int = 1,
        label: str | None = None,
    ) -> list[Path]:
        """Predict files as :func:`predict_many` does, into Parquet shards; a killed run goes on where it was.

        Args:
            paths: as for :func:`predict_many`.
            folder: where the shards lie, and nothing else; remove it when their content is elsewhere.
            jobs: processes; the shards do not depend on it.
            label: of a progress line on standard error; ``None`` for none.

        Returns:
            The shards in order: one row a file, the fields of a prediction and ``joint_class``.
        """
        return batch.run_sharded(
            self.predict,
            _as_items(paths),
            folder,
            row=lambda one: one.to_dict() | {"joint_class": one.joint_class},
            schema=table_schema(),
            settings=f"voxtrait {importlib.metadata.version('voxtrait')} {self.bundle.fingerprint}",
            jobs=jobs,
            on_crash=self._crashed,
            label=label,
        )

    def embed(self, source: "str | os.PathLike[str] | BytesIO") -> Array:
        """Give the speaker embedding, where the bundle has one.

        Raises:
            BundleError: if it has none.
        """
        raise BundleError(
            f"{self.bundle.title} has no speaker embedding: its graph puts out {', '.join(self.bundle.outputs)}"
        )

    def _predict_signal(self, path: str | None, signal: Signal) -> Prediction:
        duration = len(signal) / SAMPLING_RATE
        spoken = speech.speech_seconds(signal)
        if duration < SHORTEST_S or 0 < spoken < SHORTEST_S:
            message = f"{min(spoken, duration):.2f} s of speech, expected at least {SHORTEST_S} s"
            return self._without_answer(path, "too_short", message, duration, spoken)
        if spoken == 0:
            return self._without_answer(path, "no_speech", "no speech was found", duration, spoken)
        (answer,) = self.decide(self.run(self.inputs(signal)))
        return Prediction(path, "ok", None, duration, spoken, model=self.bundle.title, **answer)

    def _predict_picture(self, path: str) -> Prediction:
        if not Path(path).is_file():
            raise AudioMissingError(f"no such file: {path}")
        drawn = features.decode_png(Path(path).read_bytes())
        (answer,) = self.decide(self.run(features.network_input(drawn, self.bundle.front_end)[None]))
        return Prediction(path, "ok", None, None, None, model=self.bundle.title, **answer)

    def _crashed(self, item: str | BytesIO, why: str) -> Prediction:
        return self._without_answer(None if isinstance(item, BytesIO) else item, "error", why)

    def _without_answer(
        self, path: str | None, status: str, message: str, duration: float | None = None, spoken: float | None = None
    ) -> Prediction:
        answer = dict.fromkeys(FIELDS[FIELDS.index("gender") : FIELDS.index("model")])
        return Prediction(path, status, message, duration, spoken, model=self.bundle.title, **answer)

    def _probabilities(self, task: str, logits: npt.ArrayLike) -> decision.Floats:
        calibration = self.bundle.calibration[task]
        return decision.probabilities(logits, calibration["temperature"], calibration["bias"])

    def _open(self) -> Any:
        if self._session is None:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = self.threads
            options.inter_op_num_threads = 1
            options.log_severity_level = 3
            try:
                session = onnxruntime.InferenceSession(self.bundle.model, options, providers=["CPUExecutionProvider"])
            except Exception as error:  # the runtime has a dozen kinds, none of them public
                raise BundleError(f"{self.bundle.model} is no graph that ONNX Runtime can open: {error}") from None
            if {output.name for output in session.get_outputs()} != set(self.bundle.outputs):
                raise BundleError(f"the graph of {self.bundle.title} does not put out {sorted(self.bundle.outputs)}")
            self._session = session
        return self._session


def table_schema() -> dict[str, Any]:
    """Give the Polars schema of predictions as a table: the fields of a prediction, and ``joint_class``."""
    import polars as pl

    texts = ("path", "status", "message", "gender", "age_group", "model", "joint_class")
    groups = pl.Struct(dict.fromkeys(AGE_GROUPS, pl.Float64))
    return {
        name: pl.String if name in texts else groups if name == "age_groups" else pl.Float64
        for name in (*FIELDS, "joint_class")
    }


def write_table(shards: Sequence[Path], target: str | os.PathLike[str]) -> None:
    """Join shards into one file by its ending: ``.parquet``, ``.csv`` (without ``age_groups``) or ``.jsonl``.

    Args:
        shards: as :meth:`Recognizer.predict_shards` gives them; bytes without a path have the path ``-``.
        target: appears only when it is whole, in memory that does not grow with its length.

    Raises:
        OptionError: if the ending is another one.
    """
    import polars as pl

    out = Path(target)
    check_table_name(out)
    table = pl.scan_parquet(list(shards)).select(FIELDS).with_columns(pl.col("path").fill_null("-"))
    with atomic_path(out) as part:
        match out.suffix.lower():
            case ".parquet":
                table.sink_parquet(part)
            case ".csv":
                table.select(CSV_FIELDS).sink_csv(part)
            case _:
                table.sink_ndjson(part)


def check_table_name(target: str | os.PathLike[str]) -> None:
    """Refuse a file name for predictions before hours are spent on them.

    Raises:
        OptionError: if the ending is not ``.parquet``, ``.csv`` or ``.jsonl``.
    """
    if Path(target).suffix.lower() not in TABLE_SUFFIXES:
        raise OptionError(
            f"got the output file {os.fspath(target)}, expected one ending in {', '.join(TABLE_SUFFIXES)}"
        )


def _as_items(paths: "Sequence[str | os.PathLike[str] | BytesIO]") -> list[str | BytesIO]:
    return [path if isinstance(path, BytesIO) else os.fspath(path) for path in paths]


def load(which: str | os.PathLike[str] | None = None, *, threads: int = 1) -> Recognizer:
    """Open a bundle for work.

    Args:
        which: a folder, the name of a shipped bundle, or ``None`` for the default one.
        threads: of the graph's runtime.

    Raises:
        BundleError: if there is no such bundle, or it cannot be trusted.
    """
    return Recognizer(load_bundle(which), threads=threads)
