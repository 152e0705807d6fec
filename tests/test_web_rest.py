"""The REST interface in this process: answers, refusals, limits, the queue."""

import base64
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")

from starlette.testclient import TestClient

import voxtrait
from models import make_encoder_bundle
from odd_jobs import odd
from servers import RATE, form, silence, until, wav
from voxtrait import audio, bundle, features
from voxtrait.web import Settings, create_app
from voxtrait.web.pool import Pool
from voxtrait.web.upload_folder import UploadFolder

HOME = "http://localhost:8000"


@contextmanager
def client_of(settings: Settings, bundle: Any = None, job: Any = None) -> Iterator[TestClient]:
    app = create_app(bundle, settings)
    if job is not None:
        app.state.server.pool = Pool(job, settings.workers, settings.timeout_s)
    with TestClient(app, base_url=HOME, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with client_of(Settings(workers=1, max_upload_bytes=1_000_000, max_seconds=30)) as found:
        yield found


def send(client: TestClient, content: bytes, name: str = "voice.wav", path: str = "/v1/predict") -> Any:
    return client.post(path, files={"file": (name, content)})


def code_of(response: Any) -> tuple[int, str]:
    assert list(response.json()) == ["error"]
    assert list(response.json()["error"]) == ["code", "message"]
    return response.status_code, response.json()["error"]["code"]


def test_an_answer_is_the_one_that_python_gives(client: TestClient, tmp_path: Path) -> None:
    content = wav()
    response = send(client, content, "мой голос.wav")
    (tmp_path / "voice.wav").write_bytes(content)
    expected = voxtrait.load().predict(tmp_path / "voice.wav").to_dict()
    assert response.status_code == 200
    assert response.json() == expected | {"path": "мой голос.wav"}
    assert list(response.json()) == list(expected)
    assert response.json()["status"] == "ok"


def test_an_answer_is_the_one_that_the_command_gives(client: TestClient, tmp_path: Path) -> None:
    file = tmp_path / "voice.wav"
    file.write_bytes(wav(speaker=2))
    command = [sys.executable, "-m", "voxtrait", "predict", str(file), "--format", "json"]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert send(client, file.read_bytes(), str(file)).json() == said


def test_no_speech_and_too_short_are_answers(client: TestClient) -> None:
    quiet = send(client, silence(2)).json()
    assert (quiet["status"], quiet["gender"], quiet["duration_s"]) == ("no_speech", None, 2.0)
    short = send(client, silence(0.5)).json()
    assert (short["status"], short["message"]) == ("too_short", "0.00 s of speech, expected at least 0.7 s")


def test_what_is_no_audio_is_said_so_without_a_path_of_the_machine(client: TestClient) -> None:
    response = send(client, b"This is no audio.\n", "text.mp3")
    assert code_of(response) == (415, "not_audio")
    assert response.json()["error"]["message"] == (
        "the upload is not a readable audio file: it is a text file. Expected WAV, MP3, FLAC, Ogg, Opus, M4A, WebM or "
        "another audio or video file."
    )
    assert "/proc" not in response.text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", (422, "unusable")),
        (wav()[:44], (422, "unusable")),
        (wav()[:30], (422, "unusable")),
        (wav(31), (422, "too_long")),
        (bytes(1_000_001), (413, "too_large")),
    ],
)
def test_what_cannot_be_used_is_refused(client: TestClient, content: bytes, expected: tuple[int, str]) -> None:
    assert code_of(send(client, content)) == expected
    assert code_of(send(client, content, path="/v1/show")) == expected


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b"abc", "application/octet-stream", (415, "not_a_form")),
        (b"abc", "multipart/form-data", (415, "not_a_form")),
        (b"abc", "multipart/form-data; boundary=edge", (400, "malformed")),
        (form(b"abc")[0][:-12], "multipart/form-data; boundary=edge", (400, "malformed")),
        (form(b"abc")[0].replace(b'"file"', b'"other"'), "multipart/form-data; boundary=edge", (422, "no_file")),
        (b"--edge--\r\n", "multipart/form-data; boundary=edge", (422, "no_file")),
        (form(b"abc")[0][:-12] + b"\r\n" + form(b"abc")[0], "multipart/form-data; boundary=edge", (400, "malformed")),
        (form(b"abc", "y" * 9000)[0], "multipart/form-data; boundary=edge", (400, "malformed")),
    ],
)  # fmt: skip
def test_forms_that_are_none(client: TestClient, body: bytes, kind: str, expected: tuple[int, str]) -> None:
    assert code_of(client.post("/v1/predict", content=body, headers={"Content-Type": kind})) == expected


def test_a_body_that_would_have_to_be_inflated_is_refused(client: TestClient) -> None:
    body, headers = form(wav())
    response = client.post("/v1/predict", content=body, headers=headers | {"Content-Encoding": "gzip"})
    assert code_of(response) == (415, "not_a_form")


def test_other_fields_of_a_form_are_passed_over(client: TestClient) -> None:
    response = client.post("/v1/predict", files={"file": ("a.wav", wav())}, data={"note": "x" * 1000})
    assert (response.status_code, response.json()["path"]) == (200, "a.wav")
    nameless = client.post("/v1/predict", files={"file": (None, silence(1))})
    assert (nameless.status_code, nameless.json()["path"]) == (200, None)


def test_an_announced_length_is_enough_to_refuse(client: TestClient) -> None:
    _, headers = form(b"")
    response = client.post("/v1/predict", content=b"", headers=headers | {"Content-Length": "100000000"})
    assert code_of(response) == (413, "too_large")


def test_an_upload_without_a_length_is_counted_as_it_comes(client: TestClient) -> None:
    body, headers = form(bytes(3_000_000))
    pieces = (body[at : at + 50_000] for at in range(0, len(body), 50_000))
    assert code_of(client.post("/v1/predict", content=pieces, headers=headers)) == (413, "too_large")
    body, headers = form(silence(2))
    response = client.post("/v1/predict", content=iter([body[:100], body[100:]]), headers=headers)
    assert (response.status_code, response.json()["status"]) == (200, "no_speech")


def test_a_file_that_swells_meets_the_limit_of_memory() -> None:
    target = io.BytesIO()
    with soundfile.SoundFile(target, "w", 655_350, 8, format="FLAC", subtype="PCM_16") as file:
        for _ in range(60):
            file.write(np.zeros((655_350, 8), np.int16))
    with client_of(Settings(workers=1, worker_memory_bytes=100_000_000)) as client:
        response = send(client, target.getvalue(), "swelling.flac")
        assert len(target.getvalue()) < 400_000
        assert code_of(response)[0] == 422
        assert code_of(response)[1] in ("too_big", "decoder_crashed")
        assert send(client, wav()).json()["status"] == "ok"


def test_a_clip_is_shown(client: TestClient) -> None:
    content = wav(3.0)
    shown = send(client, content, path="/v1/show").json()
    assert list(shown) == ["duration_s", "shown_s", "waveform", "spectrogram"]
    assert (shown["duration_s"], shown["shown_s"], len(shown["waveform"])) == (3.0, 3.0, 600)
    signal, _ = audio.load(io.BytesIO(content))
    edges = [float(signal[24000:24080].min()), float(signal[24000:24080].max())]
    assert shown["waveform"][300] == pytest.approx(edges, abs=1e-4)
    drawn = features.decode_png(base64.b64decode(shown["spectrogram"].removeprefix("data:image/png;base64,")))
    assert np.array_equal(drawn, features.picture(signal, RATE, fit="stretch"))


def test_a_long_clip_is_shown_for_a_minute() -> None:
    with client_of(Settings(workers=1)) as client:
        shown = send(client, silence(70, 8000), path="/v1/show").json()
    assert (shown["duration_s"], shown["shown_s"], len(shown["waveform"])) == (70.0, 60.0, 600)


def test_models_limits_and_health(client: TestClient) -> None:
    models = client.get("/v1/models").json()
    assert [(model["title"], model["active"]) for model in models] == [
        (bundle.load(name).title, name == "voxtrait-base")
        for name in ("voxtrait-base", "voxtrait-diary", "voxtrait-fast")
    ]
    assert models[0]["unsure"] == bundle.load().calibration["gender"]["unsure"]
    assert "folder" not in models[0]
    assert models[0]["scores"]["gender"]["uar"]["value"] > 0.9
    assert client.get("/v1/limits").json() == {
        "max_upload_bytes": 1_000_000, "max_seconds": 30.0, "timeout_s": 60.0, "auth": False
    }  # fmt: skip
    assert client.get("/healthz").json() == {"status": "ok", "workers": 1, "version": voxtrait.__version__}


def test_another_bundle_answers_and_is_the_active_one(tmp_path: Path) -> None:
    made = make_encoder_bundle(tmp_path / "small")
    with client_of(Settings(workers=1), made.folder) as client:
        assert send(client, wav()).json()["model"] == "small 1.0"
        models = client.get("/v1/models").json()
        assert [(model["name"], model["active"]) for model in models] == [
            ("small", True), ("voxtrait-base", False), ("voxtrait-diary", False), ("voxtrait-fast", False)
        ]  # fmt: skip
        assert str(tmp_path) not in client.get("/v1/models").text
        assert "The bundle has no evaluation figures." in client.get("/model-card").text


def test_unknown_addresses_and_methods_are_json_too(client: TestClient) -> None:
    assert code_of(client.get("/nothing")) == (404, "not_found")
    assert code_of(client.post("/v1/nothing")) == (404, "not_found")
    assert code_of(client.post("/v1/predict/")) == (404, "not_found")
    assert code_of(client.get("/static/../app.py")) == (404, "not_found")
    response = client.get("/v1/predict")
    assert code_of(response) == (405, "method")
    assert response.headers["Allow"] == "POST"
    assert code_of(client.get("/docs")) == (404, "not_found")


def test_the_queue_is_bounded_and_says_when_to_come_again() -> None:
    with client_of(Settings(workers=1, queue=1), job=odd) as client:
        answers: list[Any] = []
        threads = [threading.Thread(target=lambda: answers.append(send(client, b"sleep 1"))) for _ in range(2)]
        for thread in threads:
            thread.start()
        server = client.app.state.server  # type: ignore[attr-defined]
        until(lambda: (server.pool.busy, server.pool.waiting) == (1, 1))
        refused = send(client, b"hello")
        assert code_of(refused) == (503, "busy")
        assert int(refused.headers["Retry-After"]) >= 1
        text = client.get("/metrics").text
        for line in ("voxtrait_queue_length 1.0", "voxtrait_workers_busy 1.0", "voxtrait_workers 1.0"):
            assert line in text.splitlines()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [200, 200]
        assert send(client, b"hello").status_code == 200


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (b"crash", (422, "decoder_crashed")),
        (b"leave", (422, "decoder_crashed")),
        (b"killed", (503, "interrupted")),
        (b"hang", (422, "too_slow")),
    ],
)
def test_what_happens_to_a_worker_is_a_documented_answer(word: bytes, expected: tuple[int, str]) -> None:
    patience_s = 4 if word == b"hang" else 60  # a new worker needs its time on a busy machine
    with client_of(Settings(workers=1, timeout_s=patience_s), job=odd) as client:
        assert code_of(send(client, word)) == expected
        assert send(client, b"hello").json()["said"] == "hello"
        documented = client.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]["responses"]
        examples = documented[str(expected[0])]["content"]["application/json"]["examples"]
        assert expected[1] in examples


def test_a_fault_of_our_own_is_500_and_tells_its_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    with client_of(Settings(workers=1), job=odd) as client:
        response = send(client, b"fail")
        assert code_of(response) == (500, "internal")
        assert "KeyError" not in response.text
        (record,) = [one for one in caplog.records if one.getMessage() == "internal server error"]
        assert record.__dict__["id"] == response.headers["x-request-id"]
        assert "a fault of the job's own" in str(record.exc_info)
        assert response.headers["content-security-policy"].startswith("default-src 'none'")
        assert 'voxtrait_requests_total{route="/v1/predict",status="500"} 1.0' in client.get("/metrics").text


def test_a_full_disk_is_said_and_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    from voxtrait.web.upload_folder import StoredUpload

    def full(self: StoredUpload, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with client_of(Settings(workers=1), job=odd) as client:
        with monkeypatch.context() as patch:
            patch.setattr(StoredUpload, "write", full)
            response = send(client, b"hello")
            assert code_of(response) == (503, "interrupted")
            assert response.headers["Retry-After"] == "10"
        assert send(client, b"hello").status_code == 200


def test_uploads_leave_nothing_behind(tmp_path: Path) -> None:
    with client_of(Settings(workers=1, folder=tmp_path), job=odd) as client:
        for word in (b"hello", b"crash", b"fail"):
            send(client, word)
        (folder,) = tmp_path.iterdir()
        assert [file.name for file in folder.iterdir()] == ["lock"]
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_where_files_need_names_they_are_removed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.O_TMPFILE")
    with UploadFolder(tmp_path) as uploads:
        with uploads.file() as file:
            file.write(b"abc")
            assert Path(file.place).parent == uploads.folder
            assert Path(file.place).read_bytes() == b"abc"
            assert Path(file.place).stat().st_mode & 0o777 == 0o600
        assert [one.name for one in uploads.folder.iterdir()] == ["lock"]
