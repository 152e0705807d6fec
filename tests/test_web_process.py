"""The server as a process: its start and end, its log, its temporary files, and kills from outside."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")

from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect

from servers import form, running, silence, slow_reader, until, wav
from voxtrait.errors import install_line
from voxtrait.web.live import GOING_AWAY
from voxtrait.web.upload_folder import PREFIX, UploadFolder, remove_stale

linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")


def voxtrait_serve(*options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "voxtrait", "serve", *options], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def long_voice() -> bytes:
    """Eight minutes at 8 kHz, which take a worker some seconds."""
    body = wav(60.0, rate=8000)
    return body[:40] + (8 * (len(body) - 44)).to_bytes(4, "little") + 8 * body[44:]


def test_the_log_tells_what_was_done_and_nothing_of_whom(tmp_path: Path) -> None:
    with running("--workers", "1", "--max-upload", "1 MB") as server:
        assert server.post("/v1/predict", wav(2.0), "secret name.wav")[0] == 200
        assert server.post("/v1/predict?secret=query", b"no audio", "secret.mp3")[0] == 415
        assert server.get("/static/secret.js")[0] == 404
        assert server.post("/v1/predict", bytes(2_000_000), "secret.wav")[0] == 413
        until(lambda: len(server.log) == 4)
        first, second, third, fourth = server.log
        assert list(first) == [
            "time", "level", "event", "id", "method", "route", "status", "ms", "bytes", "audio_s"
        ]  # fmt: skip
        assert (first["method"], first["route"], first["status"]) == ("POST", "/v1/predict", 200)
        assert (first["bytes"], first["audio_s"]) == (len(wav(2.0)), 2.0)
        assert (second["status"], second["code"]) == (415, "not_audio")
        assert (third["route"], third["status"], third["code"]) == ("/static/{name}", 404, "not_found")
        assert (fourth["status"], fourth["code"], fourth["bytes"]) == (413, "too_large", 0)
        assert "secret" not in "".join(server.lines)
        assert "127.0.0.1" not in "".join(line for line in server.lines if line.startswith("{"))


def ticks(pid: int) -> int:
    """Processor time of a process so far, in hundredths of a second."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().split()[13:15]))


@linux
def test_a_worker_killed_at_work_costs_that_request_only(long_voice: bytes) -> None:
    with running("--workers", "2") as server:
        used = {pid: ticks(pid) for pid in server.workers()}
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(server.post("/v1/predict", long_voice)))
        thread.start()
        until(lambda: any(ticks(pid) >= used[pid] + 10 for pid in used))  # a tenth of a second of work
        for pid in used:  # so that it cannot end while it is looked for
            os.kill(pid, signal.SIGSTOP)
        busy = max(used, key=lambda pid: ticks(pid) - used[pid])
        os.kill(busy, signal.SIGKILL)
        for pid in used:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        assert server.post("/v1/predict", wav())[0] == 200  # the other one never noticed
        thread.join()
        ((status, said),) = answers
        assert (status, said["error"]["code"]) == (503, "interrupted")
        until(lambda: server.get("/healthz")[1]["workers"] == 2)
        assert [server.post("/v1/predict", wav())[0] for _ in range(4)] == [200] * 4
        assert 'voxtrait_worker_restarts{reason="killed"} 1.0' in server.get("/metrics")[1].splitlines()
        assert busy not in server.workers()


@linux
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_the_end_waits_for_requests_in_flight_and_leaves_nothing(
    kind: signal.Signals, long_voice: bytes, tmp_path: Path
) -> None:
    with running("--workers", "1", environment=os.environ | {"TMPDIR": str(tmp_path)}) as server:
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(server.post("/v1/predict", long_voice)))
        thread.start()
        until(lambda: "voxtrait_workers_busy 1.0" in server.get("/metrics")[1])
        assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1
        workers = server.workers()
        with connect(f"ws{server.url.removeprefix('http')}/v1/live") as live:
            live.send('{"sampling_rate": 16000}')
            until(lambda: "voxtrait_live_sessions 1.0" in server.get("/metrics")[1])
            server.process.send_signal(kind)
            with pytest.raises(ConnectionClosedOK):
                live.recv(60)
            assert live.close_code == GOING_AWAY
        thread.join()
        ((status, said),) = answers
        assert (status, said["status"], said["duration_s"]) == (200, "ok", 480.0)
        assert server.process.wait(20) == 0
        assert list(tmp_path.glob(f"{PREFIX}*")) == []
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        assert not [line for line in server.lines if "Traceback" in line]


@linux
def test_a_server_that_was_killed_leaves_no_upload_and_the_next_one_clears_its_folder(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with (
        running("--workers", "1", environment=environment) as other,
        running("--workers", "1", environment=environment) as server,
    ):
        body, headers = form(silence(60))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode()
                + body[:1_000_000]
            )
            until(lambda: "voxtrait_places_taken 1.0" in server.get("/metrics")[1])
            workers = server.workers()
            server.process.kill()
            server.process.wait()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))  # they end with their server
        left = list(tmp_path.glob(f"{PREFIX}*"))
        assert len(left) == 2
        assert sorted(file.name for folder in left for file in folder.iterdir()) == ["lock", "lock"]
        assert len(remove_stale(tmp_path)) == 1
        assert other.post("/v1/predict", wav())[0] == 200  # the living one kept its own


def test_folders_are_removed_only_when_their_server_is_gone(tmp_path: Path) -> None:
    newborn, old, linked = tmp_path / f"{PREFIX}newborn", tmp_path / f"{PREFIX}old", tmp_path / f"{PREFIX}linked"
    newborn.mkdir()
    old.mkdir()
    (old / "upload").write_bytes(b"abc")
    os.utime(old, (0, 0))
    linked.symlink_to(tmp_path)
    with UploadFolder(tmp_path) as uploads:
        assert not old.exists()
        assert newborn.exists() and linked.is_symlink() and uploads.folder.exists()
        assert remove_stale(tmp_path) == []
    assert not uploads.folder.exists()


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert voxtrait_serve("--port", port, "--workers", "1") == (
            2,
            f"voxtrait: port {port} is in use. Choose another with --port, or 0 for any free port.\n",
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "voxtrait: Other machines can reach the server at 0.0.0.0. Expected --token-file "
         "FILE, or --no-auth to allow access without a token.\n"),
        (["--token-file", "a", "--no-auth"], "voxtrait: Got --token-file and --no-auth. Expected one of them.\n"),
        (["--token-file", "/nowhere"], "voxtrait: the token file /nowhere cannot be read: "),
        (["--model", "other"], "voxtrait: No bundle at other. "),
        (["--max-upload", "much"], "Got 'much'. Expected a number of bytes, such as 100MB."),
        (["--host", "no.such.name.invalid", "--no-auth"], "voxtrait: cannot bind to http://no.such.name."),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line(options: list[str], said: str) -> None:
    status, error = voxtrait_serve(*options)
    assert status == 2
    assert said in error
    assert "Traceback" not in error


def test_a_token_from_a_file_is_needed(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\n")
    with running("--workers", "1", "--host", "0.0.0.0", "--token-file", str(tmp_path / "token"), "--quiet") as server:
        server.url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert server.get("/v1/limits")[0] == 401
        assert server.get("/v1/limits", {"Authorization": "Bearer 0123456789abcdef"})[0] == 200
        assert "0123456789abcdef" not in "".join(server.lines)


def test_slow_uploads_are_given_up_and_give_their_place_back() -> None:
    with running("--workers", "1", "--queue", "0", "--upload-timeout", "4") as server:
        body, headers = form(wav())
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as slow:
            start = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{head}\r\n"
            slow.sendall(start.encode() + body[:1000])
            until(lambda: "voxtrait_places_taken 1.0" in server.get("/metrics")[1])
            assert server.post("/v1/predict", wav())[0] == 503
            answer = slow.recv(4096).decode()
            assert answer.startswith("HTTP/1.1 408 ")
            assert json.loads(answer.partition("\r\n\r\n")[2] or slow.recv(4096))["error"]["code"] == "upload_timeout"
        assert server.post("/v1/predict", wav())[0] == 200


def test_a_refusal_reaches_a_client_that_is_still_sending() -> None:
    body, _ = form(bytes(8_000_000))
    with running("--workers", "1", "--max-upload", "1MB", "--queue", "0") as server:
        place = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        for kind, status in (("multipart/form-data; boundary=edge", 413), ("audio/wav", 415)):
            for _ in range(5):
                request = (
                    f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n"
                )
                with socket.create_connection(place, 10) as connection:
                    connection.sendall(request.encode() + body)  # all of it, before a word is read
                    assert connection.recv(12) == f"HTTP/1.1 {status}".encode()


def test_a_request_that_turns_out_to_be_malformed_is_no_error_of_the_server() -> None:
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
    refused, accepted = head % b"audio/wav", head % b"multipart/form-data; boundary=edge"
    good, bad = b"3\r\nabc\r\n", b"zz\r\nabc\r\n"
    with running("--workers", "1", "--quiet") as server:
        place = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        for parts, expected in (
            ((refused + bad,), b"HTTP/1.1 400"),  # before the application has responded
            ((accepted + bad,), b"HTTP/1.1 400"),
            ((accepted + good, bad), b"HTTP/1.1 400"),  # while it waits for the rest
            ((refused + good, bad), b"HTTP/1.1 415"),  # after it has responded
        ):
            with socket.create_connection(place, 20) as connection:
                for part in parts:
                    connection.sendall(part)
                    time.sleep(0.2)
                assert connection.recv(12) == expected
                while connection.recv(4096):  # the server closes it
                    pass
        until(lambda: "voxtrait_places_taken 0.0" in server.get("/metrics")[1])
    assert [json.loads(line)["level"] for line in server.lines] == ["warning"] * 4


@linux
def test_a_client_that_reads_no_responses_is_disconnected() -> None:
    with running("--workers", "1", "--quiet", "--timeout", "2") as server:
        with slow_reader(int(server.url.rpartition(":")[2])) as connection, pytest.raises(ConnectionError):
            begun = time.monotonic()
            while time.monotonic() - begun < 60:
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert server.get("/healthz")[0] == 200
    assert server.lines == []


def test_who_goes_away_while_waiting_is_not_worked_for(long_voice: bytes) -> None:
    with running("--workers", "1") as server:
        body, headers = form(long_voice)
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode()
        place = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        with socket.create_connection(place) as first:
            first.sendall(request + body)
            until(lambda: "voxtrait_workers_busy 1.0" in server.get("/metrics")[1])
            with socket.create_connection(place) as second:
                second.sendall(request + body)
                until(lambda: "voxtrait_queue_length 1.0" in server.get("/metrics")[1])
            until(lambda: "voxtrait_queue_length 0.0" in server.get("/metrics")[1])
            until(lambda: any(line.get("status") == 499 for line in server.log))  # a line is read after it was written
            gone = [line for line in server.log if line.get("status") == 499]
            assert [(line["route"], line["audio_s"]) for line in gone] == [("/v1/predict", 0.0)]
            assert first.recv(12) == b"HTTP/1.1 200"


def test_without_the_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['fastapi'] = None; from voxtrait.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "serve"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (
        2, "", f"voxtrait: the server needs the extra [web]: {install_line('web')}\n"
    )  # fmt: skip


def test_workers_that_cannot_start_are_one_line_and_a_bad_end() -> None:
    code = "import multiprocessing; multiprocessing.set_executable('/bin/false'); from voxtrait.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--workers", "1", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        "voxtrait: a worker process could not start (exit status 1): check that this user may run Python"
    )
    assert "Traceback" not in done.stderr


def test_quiet_says_nothing_and_the_end_is_a_good_one() -> None:
    with running("--workers", "1", "--quiet") as server:
        assert server.get("/")[0] == 200
    assert server.process.returncode == 0
    assert server.lines == []
