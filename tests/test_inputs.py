"""What people and other libraries hand over as sound gives the answer of the same sound as a plain array."""

import array
import dataclasses
import gzip
import io
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import soundfile

import voxtrait
from voxtrait import synthetic
from voxtrait.errors import OptionError, OptionTypeError, SignalError, SourceError
from voxtrait.recognize import Prediction, Recognizer
from voxtrait.recognize.inputs import taken

RATE = 16_000


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return voxtrait.load("voxtrait-fast")


@pytest.fixture(scope="module")
def ints() -> np.ndarray:
    """A made-up voice as integers of 16 bits."""
    wave = synthetic.speak(synthetic.draw_voice("female", 34, seed=1), 2.5, seed=1)
    return np.round(20_000 * wave / np.abs(wave).max()).astype(np.int16)


@pytest.fixture(scope="module")
def wav(ints: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "voice.wav"
    soundfile.write(path, ints, RATE)
    return path


@pytest.fixture(scope="module")
def expected(model: Recognizer, ints: np.ndarray) -> Prediction:
    answer = model.predict((ints / 32768).astype(np.float32), RATE)
    assert answer.status == "ok" and answer.p_female is not None
    return answer


class Decoder:
    """As torchcodec's decoder, and the class of datasets 4 and later above it, which averages under ["array"]."""

    def __init__(self, wav: Path) -> None:
        self.wav = wav
        self.metadata = SimpleNamespace(path=str(wav))

    def get_all_samples(self) -> Any:
        import torch

        data, rate = soundfile.read(self.wav, dtype="float32", always_2d=True)
        return SimpleNamespace(data=torch.from_numpy(data.T.copy()), pts_seconds=0.0, sample_rate=rate)

    def __getitem__(self, key: str) -> Any:
        raise AssertionError("the samples are asked for once")


def reading(handle: Any) -> Any:
    handle.read(10)  # as who looks what it is
    return handle


FILES: dict[str, Callable[[Path], Any]] = {
    "path": lambda wav: wav,
    "text": str,
    "bytes": lambda wav: wav.read_bytes(),
    "bytearray": lambda wav: bytearray(wav.read_bytes()),
    "memoryview": lambda wav: memoryview(wav.read_bytes()),
    "BytesIO": lambda wav: BytesIO(wav.read_bytes()),
    "open": lambda wav: wav.open("rb"),
    "open, unbuffered": lambda wav: wav.open("rb", buffering=0),
    "open, begun": lambda wav: reading(wav.open("rb")),
    "gzip": lambda wav: gzip.open(zipped(wav)),  # noqa: SIM115 - the test closes it
    "datasets, bytes": lambda wav: {"bytes": wav.read_bytes(), "path": None},
    "datasets, path": lambda wav: {"bytes": None, "path": str(wav)},
    "datasets, both": lambda wav: {"bytes": wav.read_bytes(), "path": "voice.wav"},
    "upload": lambda wav: upload(wav),
    "temporary": lambda wav: temporary(wav),
    "decoder": Decoder,
    "decoded": lambda wav: Decoder(wav).get_all_samples(),
    "soundfile": lambda wav: soundfile.read(wav),
}


def zipped(wav: Path) -> Path:
    target = wav.with_suffix(".gz")
    target.write_bytes(gzip.compress(wav.read_bytes()))
    return target


def upload(wav: Path) -> Any:
    from starlette.datastructures import UploadFile

    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115 - the test closes it
    file.write(wav.read_bytes())
    file.seek(0)
    return UploadFile(file, filename="upload.wav")


def temporary(wav: Path) -> Any:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - the test closes it
    file.write(wav.read_bytes())
    return file


def close(thing: Any) -> None:
    """Close what a test opened; an upload closes asynchronously."""
    file = thing.file if type(thing).__name__ == "UploadFile" else thing
    if hasattr(file, "close"):
        file.close()


@pytest.mark.parametrize("name", FILES)
def test_files_in_every_form(model: Recognizer, wav: Path, expected: Prediction, name: str) -> None:
    source = FILES[name](wav)
    answer = model.predict(source)
    close(source)
    assert dataclasses.replace(answer, path=None) == expected
    paths = {"datasets, both": "voice.wav", "upload": "upload.wav"}
    if name in ("path", "text", "open", "open, unbuffered", "open, begun", "datasets, path", "decoder", *paths):
        assert answer.path == paths.get(name, str(wav))


def test_an_open_file_on_disk_is_not_read_into_memory(wav: Path) -> None:
    with wav.open("rb") as file:
        assert taken(file) == str(wav)
    moved = wav.with_name("moved.wav")
    moved.write_bytes(wav.read_bytes())
    with moved.open("rb") as file:
        moved.unlink()
        content = taken(file)  # its name leads nowhere any more
    assert isinstance(content, BytesIO) and content.getvalue() == wav.read_bytes()


def torch_of(values: np.ndarray, kind: str) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).to(getattr(torch, kind))


SIGNALS: dict[str, Callable[[np.ndarray], Any]] = {
    "int16": lambda ints: ints,
    "int16 of another byte order": lambda ints: ints.astype(">i2"),
    "int32, full scale": lambda ints: ints.astype(np.int32) << 16,
    "int32, full scale and very quiet": lambda ints: ints.astype(np.int32) << 10,
    "int32 with 16 bits": lambda ints: ints.astype(np.int32),
    "int64": lambda ints: ints.astype(np.int64),
    "int64 with 24 bits": lambda ints: ints.astype(np.int64) << 8,
    "int64 with 32 bits": lambda ints: ints.astype(np.int64) << 16,
    "uint16": lambda ints: (ints.astype(np.int32) + 32768).astype(np.uint16),
    "list of integers": lambda ints: ints.tolist(),
    "tuple of integers": lambda ints: tuple(ints.tolist()),
    "list of floats": lambda ints: (ints / 32768).tolist(),
    "array module": lambda ints: array.array("h", ints.tolist()),
    "memoryview": lambda ints: memoryview(array.array("h", ints.tolist())),
    "float64": lambda ints: ints / 32768,
    "float32 with 16 bits": lambda ints: ints.astype(np.float32),
    "float64 with 32 bits": lambda ints: ints.astype(np.float64) * 65536,
    "(1, samples)": lambda ints: ints[None],
    "(frames, 1)": lambda ints: ints[:, None],
    "(frames, 2)": lambda ints: np.stack([ints, ints], axis=1),
    "(2, samples)": lambda ints: np.stack([ints, ints]),
    "list of frames": lambda ints: np.stack([ints, ints], axis=1).tolist(),
    "torch, int16": lambda ints: torch_of(ints, "int16"),
    "torch, float32": lambda ints: torch_of(ints / 32768, "float32"),
    "torch, gradient": lambda ints: torch_of(ints / 32768, "float32").requires_grad_(),
    "pandas": lambda ints: pd.Series(ints),
    "polars": lambda ints: pl.Series(ints),
}
ROUNDED: dict[str, Callable[[np.ndarray], Any]] = {
    "uint8": lambda ints: ((ints >> 8) + 128).astype(np.uint8),
    "int8": lambda ints: (ints >> 8).astype(np.int8),
    "int32, 32 bits": lambda ints: (ints.astype(np.int32) << 16) + 1,
    "int32 with 24 bits": lambda ints: (ints.astype(np.int32) << 8) + 1,
    "int32 with 24 bits and quiet": lambda ints: (ints.astype(np.int32) << 3) + 1,
    "float16": lambda ints: (ints / 32768).astype(np.float16),
    "torch, bfloat16": lambda ints: torch_of(ints / 32768, "bfloat16"),
    "12 bits as integers": lambda ints: (ints >> 4).tolist(),
    "far too loud": lambda ints: ints / 4096,
}


@pytest.mark.parametrize("name", SIGNALS)
def test_signals_in_every_form(model: Recognizer, ints: np.ndarray, expected: Prediction, name: str) -> None:
    before = ints.copy()
    answer = model.predict(SIGNALS[name](ints), sampling_rate=RATE)
    np.testing.assert_array_equal(ints, before)
    assert (answer.status, answer.path, answer.duration_s) == ("ok", None, expected.duration_s)
    assert answer.p_female == pytest.approx(expected.p_female, abs=1e-4)
    assert answer.age_years == pytest.approx(expected.age_years, abs=0.01)


@pytest.mark.parametrize("name", ROUNDED)
def test_signals_with_fewer_bits(model: Recognizer, ints: np.ndarray, expected: Prediction, name: str) -> None:
    answer = model.predict(ROUNDED[name](ints), sampling_rate=RATE)
    assert answer.p_female == pytest.approx(expected.p_female, abs=0.05)
    assert answer.age_years == pytest.approx(expected.age_years, abs=3)


PAIRS: dict[str, Callable[[np.ndarray], Any]] = {
    "Gradio": lambda ints: (RATE, ints),
    "Gradio, stereo": lambda ints: (RATE, np.stack([ints, ints], axis=1)),
    "JSON": lambda ints: [RATE, ints.tolist()],
    "librosa": lambda ints: ((ints / 32768).astype(np.float32), RATE),
    "librosa's rate as float": lambda ints: ((ints / 32768).astype(np.float32), 16000.0),
    "torchaudio": lambda ints: (torch_of(ints[None] / 32768, "float32"), RATE),
    "loader": lambda ints: (torch_of(ints[None], "int16"), torch_of(np.array([RATE]), "int64")[0]),
    "NumPy's rate": lambda ints: (np.int32(RATE), ints),
    "datasets": lambda ints: {"array": ints / 32768, "sampling_rate": RATE, "path": "voice.wav"},
    "datasets, list": lambda ints: {"array": (ints / 32768).tolist(), "sampling_rate": RATE},
    "pipeline": lambda ints: {"raw": ints / 32768, "sampling_rate": RATE},
}


@pytest.mark.parametrize("name", PAIRS)
def test_signals_with_their_rate(model: Recognizer, ints: np.ndarray, expected: Prediction, name: str) -> None:
    source = PAIRS[name](ints)
    answer = model.predict(source)
    assert answer.p_female == pytest.approx(expected.p_female, abs=1e-4)
    assert answer.path == ("voice.wav" if name == "datasets" else None)
    assert model.predict(source, sampling_rate=RATE) == answer
    with pytest.raises(OptionError, match=r"sampling_rate 8000 for a signal that has 16000 Hz"):
        model.predict(source, sampling_rate=8000)


def test_embed_and_timeline_take_the_same(model: Recognizer, ints: np.ndarray, wav: Path) -> None:
    vector = model.embed(wav)
    for source in ((RATE, ints), {"array": ints, "sampling_rate": RATE}, wav.read_bytes(), Decoder(wav)):
        np.testing.assert_allclose(model.embed(source), vector, atol=1e-5)
    talk = voxtrait.timeline(wav, model=model)
    assert talk.status == "ok" and len(talk.turns) >= 1
    for source in ((RATE, ints), {"bytes": wav.read_bytes(), "path": str(wav)}, Decoder(wav)):
        found = voxtrait.timeline(source, model=model)
        assert (found.segments, found.duration_s) == (talk.segments, talk.duration_s)
    assert found.path == str(wav)
    both = (RATE, np.stack([np.append(ints, 0 * ints), np.append(0 * ints, ints)], axis=1))
    assert len(voxtrait.timeline(both, model=model, channels=True).speakers) == 2
    with pytest.raises(SourceError, match="Got None"):
        voxtrait.timeline(None, model=model)  # type: ignore[arg-type]


def test_features_take_lists_and_tensors(ints: np.ndarray) -> None:
    drawn = voxtrait.features.picture(ints, sampling_rate=RATE)
    for same in (ints.tolist(), torch_of(ints / 32768, "float32").requires_grad_(), ints[:, None]):
        np.testing.assert_array_equal(voxtrait.features.picture(same, sampling_rate=RATE), drawn)
        assert voxtrait.features.log_mel(same, sampling_rate=RATE).shape[0] == 288


X = np.zeros(RATE, np.float32)
MISTAKES: list[tuple[Any, Any, type[Exception], str]] = [
    (None, None, SourceError, r"Got None\. Expected a file"),
    (None, RATE, SourceError, r"Got None\. Expected a file"),
    (3, None, SourceError, r"Got 3 \(int\)"),
    (True, RATE, SourceError, r"Got True \(bool\)"),
    (object(), RATE, SourceError, "Got an object of type object"),
    (["a.mp3", "b.mp3"], None, SourceError, r"Got a list of str\. .*call predict_many"),
    ([Path("a.mp3")], None, SourceError, r"call predict_many"),
    (np.array(["a.mp3", "b.mp3"]), None, SourceError, r"shape \(2,\)\. .*call predict_many"),
    (pd.Series(["a.mp3", "b.mp3"]), None, SourceError, "type Series.*call predict_many"),
    ({"a.mp3", "b.mp3"}, None, SourceError, "Got a set of str.*call predict_many"),
    ((one for one in ["a.mp3"]), None, SourceError, "type generator.*call predict_many"),
    ([(RATE, X), (RATE, X[:-1])], None, SourceError, "list of tuple.*call predict_many"),
    ([X, X[:-1]], RATE, SourceError, "list of ndarray of different lengths.*call predict_many"),
    ([{"array": X, "sampling_rate": RATE}], None, SourceError, "list of dict.*call predict_many"),
    (("a.mp3", 16000), None, SourceError, "Got a tuple of str, int"),
    ({"text": "no sound"}, None, SourceError, "Got a dict with the keys text"),
    ({"audio": {"array": X}, "text": ""}, None, SourceError, "keys audio, text. Pass its value 'audio'"),
    ({"path": 3}, None, SourceError, r"a dict whose path is 3 \(int\)"),
    ({"bytes": 3}, None, SourceError, r"a dict whose bytes is 3 \(int\)"),
    ({}, None, SourceError, "Got an empty dict"),
    (io.StringIO("text"), None, SourceError, "opened as text. Open it with mode 'rb'"),
    ([None, None], RATE, SourceError, "Got a list of NoneType"),
    (X, None, OptionError, r"without its sampling rate\. Expected predict\(signal, sampling_rate=16000\)"),
    ({"array": X}, None, OptionError, "without its sampling rate"),
    (X, "16000", OptionTypeError, r"Got sampling_rate '16000' \(str\)"),
    ("a.mp3", "16000", OptionTypeError, r"Got sampling_rate '16000' \(str\)"),
    ({"array": X, "sampling_rate": "16k"}, None, OptionTypeError, r"Got sampling_rate '16k' \(str\)"),
    (RATE, X, OptionTypeError, r"Got sampling_rate an object of type ndarray and shape \(16000,\)"),
    (X, True, OptionTypeError, r"Got sampling_rate True \(bool\)"),
    (X, 16, OptionError, "Got sampling_rate 16. Expected a number in Hz, from 1000"),
    (X, 0, OptionError, "Got sampling_rate 0"),
    (X, -16000, OptionError, "Got sampling_rate -16000"),
    (X, 16000.5, OptionError, "Got sampling_rate 16000.5. Expected a whole number"),
    (X, float("nan"), OptionError, "Got sampling_rate nan"),
    (X > 0, RATE, SignalError, "Got an array of bool"),
    ([True, False], RATE, SignalError, "Got an array of bool"),
    (X.astype(complex), RATE, SignalError, "Got an array of complex128"),
    ([], RATE, SignalError, r"shape \(0,\)"),
    (X.reshape(1, 1, -1), RATE, SignalError, r"shape \(1, 1, 16000\)"),
    (np.zeros((1000, 40)), RATE, SignalError, r"shape \(1000, 40\)\. Expected \(channels, samples\)\. Transpose it"),
    (np.zeros((80, 300)), RATE, SignalError, r"shape \(80, 300\)\. .*at most 64 channels"),
    (np.full(RATE, 1e12), RATE, SignalError, r"Got samples up to 1e\+12\. Expected floats in \[-1, 1\]"),
]


@pytest.mark.parametrize(("source", "rate", "kind", "message"), MISTAKES, ids=[str(k) for k in range(len(MISTAKES))])
def test_a_mistake_says_what_was_got(
    model: Recognizer, source: Any, rate: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        model.predict(source, rate)
    builtin = TypeError if kind in (SourceError, OptionTypeError) else ValueError
    assert issubclass(kind, builtin) and issubclass(kind, voxtrait.VoxtraitError)


def test_files_that_are_closed_or_text(model: Recognizer, wav: Path) -> None:
    with wav.open("rb") as file:
        pass
    with pytest.raises(SourceError, match=r"voice\.wav closed"):
        model.predict(file)
    with wav.open(encoding="latin-1") as text, pytest.raises(SourceError, match=r"voice\.wav opened as text"):
        model.predict(text)


def test_content_that_is_no_audio_is_an_answer(model: Recognizer, ints: np.ndarray, tmp_path: Path) -> None:
    assert model.predict(b"").status == model.predict(BytesIO()).status == "error"
    raw = model.predict(ints.tobytes(), sampling_rate=RATE)
    assert raw.status == "error" and "np.frombuffer(data, np.int16)" in str(raw.message)
    named = model.predict({"bytes": b"no audio", "path": "row.mp3"})
    assert (named.path, named.status) == ("row.mp3", "error") and "row.mp3" in str(named.message)

    class Damaged:
        def get_all_samples(self) -> Any:
            raise RuntimeError("Could not push packet to decoder: Invalid data")

    answer = model.predict(Damaged())
    assert answer.status == "error" and "damaged: Could not push packet" in str(answer.message)
    assert voxtrait.timeline(Damaged(), model=model).status == "error"
