"""What is handed to people who run the server: nginx in front of it, the clients, the unit, the container's recipe."""

import configparser
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from servers import Running, form, running, until, wav

ROOT = Path(__file__).resolve().parent.parent
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running("--workers", "2", "--quiet", "--max-upload", "2MB", "--allow-host", "voice.example") as found:
        yield found


@pytest.fixture(scope="module")
def front(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, ssl.SSLContext]]:
    """nginx with the configuration that ships, on a free port, with a certificate made here."""
    if NGINX is None or shutil.which("openssl") is None:
        pytest.skip("nginx or openssl is not installed: apt-get install nginx-light openssl")
    folder = tmp_path_factory.mktemp("nginx")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=voice.example", "-addext", "subjectAltName=DNS:voice.example,DNS:localhost",
         "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    with socket.socket() as free, socket.socket() as plain:
        free.bind(("127.0.0.1", 0))
        plain.bind(("127.0.0.1", 0))
        port, other = free.getsockname()[1], plain.getsockname()[1]
    text = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    for written, used in (
        ("server 127.0.0.1:8000;", f"server {server.url.removeprefix('http://')};"),
        ("/etc/ssl/voxtrait", str(folder)),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("listen 80;", f"listen 127.0.0.1:{other};"),
        ("client_max_body_size 101m;", "client_max_body_size 3m;"),
    ):
        assert text.count(written) >= 1, written
        text = text.replace(written, used)
    text = re.sub(r"^ *listen \[::\].*\n", "", text, flags=re.MULTILINE)
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    around = f"daemon off;\nworker_processes 2;\npid {folder}/pid;\nevents {{}}\nhttp {{\n{paths}"
    (folder / "nginx.conf").write_text(f"{around}access_log off;\n{text}\n}}\n")
    command = [NGINX, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    trusting = ssl.create_default_context(cafile=folder / "certificate.pem")

    def answers() -> bool:
        try:
            return ask(port, trusting, "/healthz")[0] == 200
        except OSError:
            return False

    until(answers)
    yield port, trusting
    process.terminate()
    process.wait(10)


def ask(
    port: int, context: ssl.SSLContext, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    request = urllib.request.Request(f"https://localhost:{port}{path}", body, headers or {})
    try:
        with urllib.request.urlopen(request, context=context, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_behind_nginx_everything_is_as_before(front: tuple[int, ssl.SSLContext], server: Running) -> None:
    port, context = front
    body, headers = form(wav())
    own = headers | {"Origin": f"https://localhost:{port}"}
    status, text = ask(port, context, "/v1/predict", body, own)
    assert (status, json.loads(text)) == server.post("/v1/predict", wav())
    assert ask(port, context, "/v1/limits", headers={"Host": "voice.example"})[0] == 200
    assert ask(port, context, "/v1/limits", headers={"Host": "other.example"})[0] == 421
    assert ask(port, context, "/v1/predict", body, headers | {"Origin": "https://other.example"})[0] == 403
    assert ask(port, context, "/")[1] == server.get("/")[1]
    assert ask(port, context, "/metrics")[0] == 404


def test_nginx_and_the_server_agree_on_what_is_too_large(front: tuple[int, ssl.SSLContext]) -> None:
    port, context = front
    for size in (2_000_001, 4_000_000):  # the first is refused by the server, the second by nginx
        body, headers = form(bytes(size))
        status, text = ask(port, context, "/v1/predict", body, headers)
        assert (status, json.loads(text)["error"]["code"]) == (413, "too_large")


def test_a_live_voice_goes_through_nginx(front: tuple[int, ssl.SSLContext]) -> None:
    pytest.importorskip("websockets")
    from websockets.sync.client import connect

    port, context = front
    with connect(f"wss://localhost:{port}/v1/live", ssl=context, origin=f"https://localhost:{port}") as socket:  # type: ignore[arg-type]
        socket.send('{"sampling_rate": 16000}')
        for _ in range(3):
            socket.send(bytes(64_000))
        socket.send('{"end": true}')
        said = [json.loads(message) for message in socket]
    assert [one["type"] for one in said] == ["columns", "estimate"] * 3 + ["final"]
    assert said[-1]["prediction"]["status"] == "no_speech"


def test_too_many_at_once_are_told_when_to_come_again(front: tuple[int, ssl.SSLContext]) -> None:
    port, context = front
    answers = [ask(port, context, "/v1/limits") for _ in range(80)]
    statuses = {status for status, _ in answers}
    assert statuses == {200, 429}
    refused = next(text for status, text in answers if status == 429)
    assert json.loads(refused)["error"]["code"] == "busy"


@pytest.mark.parametrize("client", [[sys.executable, "-X", "dev", "-W", "error", "client.py"], ["node", "client.js"]])
def test_the_clients_ask_and_tell_what_was_refused(client: list[str], server: Running, tmp_path: Path) -> None:
    if shutil.which(client[0]) is None:
        pytest.skip(f"{client[0]} is not installed")
    (tmp_path / 'a "voice".wav').write_bytes(wav())
    (tmp_path / "text.mp3").write_bytes(b"This is no audio.\n")
    files = [str(tmp_path / 'a "voice".wav'), str(tmp_path / "text.mp3")]
    command = [*client[:-1], str(ROOT / "examples" / client[-1]), "--server", server.url, *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    first, second = map(json.loads, done.stdout.splitlines())
    assert first == server.post("/v1/predict", wav())[1] | {"path": first["path"]}
    assert first["path"] in ('a "voice".wav', "a %22voice%22.wav")  # JavaScript's forms escape quotes that way
    assert (second["path"], second["error"]["code"]) == ("text.mp3", "not_audio")
    assert (done.returncode, done.stderr) == (1, "")


def test_the_unit_lets_workers_finish_and_the_container_runs_as_nobody() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "deploy" / "voxtrait.service")
    assert unit["Service"]["KillMode"] == "mixed"  # else workers get the signal too
    assert int(unit["Service"]["TimeoutStopSec"]) > 30  # seconds of grace of the server
    verify = shutil.which("systemd-analyze")
    if verify is not None:
        done = subprocess.run([verify, "verify", ROOT / "deploy" / "voxtrait.service"], capture_output=True, text=True)
        wrong = [
            line for line in done.stderr.splitlines() if "voxtrait.service" in line and "not executable" not in line
        ]
        assert wrong == []
    recipe = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    assert recipe.index("USER 65532:65532") < recipe.index("ENTRYPOINT")
    assert '"--token-file", "/run/token"' in recipe


def test_nginx_words_the_absence_of_the_server_as_one_that_passes(
    front: tuple[int, ssl.SSLContext], server: Running
) -> None:
    """The last one of this file: it ends the server."""
    port, context = front
    server.process.terminate()
    server.process.wait(20)
    body, headers = form(wav())
    time.sleep(1)  # the clients before it have used up nginx's patience
    status, text = ask(port, context, "/v1/predict", body, headers)
    assert (status, json.loads(text)["error"]["code"]) == (503, "busy")
