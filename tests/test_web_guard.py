"""Who may ask, under which name: hosts, origins, tokens, and what every answer says to a browser."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")

from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import voxtrait
from odd_jobs import odd
from voxtrait import bundle
from voxtrait.errors import OptionError
from voxtrait.web import Settings, create_app, is_loopback, read_token
from voxtrait.web.pool import Pool

TOKEN = "a-token-of-some-length"


def client_of(**settings: Any) -> TestClient:
    """Without a start: no worker is needed to be sent away."""
    app = create_app(None, Settings(workers=1, **settings))
    return TestClient(app, base_url="http://localhost:8000")


@pytest.fixture(scope="module")
def guarded() -> Iterator[TestClient]:
    app = create_app(None, Settings(workers=1, token=TOKEN))
    app.state.server.pool = Pool(odd, 1, 20)
    with TestClient(app, base_url="http://localhost:8000") as client:
        yield client


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000", "[::1]", "voices.example:443"]
)
def test_the_server_answers_to_its_names(host: str) -> None:
    client = client_of(hosts=frozenset({"voices.example"}))
    assert client.get("/v1/limits", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.7", "127.0.0.1.evil.example:8000", ""]
)
@pytest.mark.parametrize("path", ["/", "/v1/limits", "/healthz", "/static/app.js", "/openapi.json"])
def test_and_to_no_other(host: str, path: str) -> None:
    response = client_of().get(path, headers={"Host": host})
    assert (response.status_code, response.json()["error"]["code"]) == (421, "wrong_host")


def test_on_another_address_numbers_are_names_too() -> None:
    client = client_of(local=False)
    assert client.get("/healthz", headers={"Host": "10.0.0.7:8000"}).status_code in (200, 503)
    assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:9000", "http://127.0.0.1:8000"])
def test_pages_of_others_send_nothing(origin: str) -> None:
    response = client_of().post("/v1/predict", headers={"Origin": origin}, files={"file": b"abc"})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "cross_origin")


def test_no_page_of_others_reads_an_answer() -> None:
    response = client_of().get("/v1/limits", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in response.headers
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert client_of().options("/v1/predict", headers={"Origin": "https://evil.example"}).status_code == 405


@pytest.mark.parametrize("given", [None, "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ö"])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/limits", "/metrics"])
def test_without_the_token_there_is_no_answer(guarded: TestClient, path: str, given: str | None) -> None:
    response = guarded.get(path, headers={"Authorization": given.encode()} if given else {})
    assert (response.status_code, response.json()["error"]["code"]) == (401, "token")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_with_the_token_there_is(guarded: TestClient) -> None:
    said = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.get("/v1/limits", headers=said).json()["auth"] is True
    assert guarded.post("/v1/predict", headers=said, files={"file": b"hello"}).json()["said"] == "hello"
    assert guarded.get("/metrics", headers=said).status_code == 200


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/model-card", "/healthz", "/openapi.json"])
def test_the_page_needs_no_token(guarded: TestClient, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_a_live_voice_needs_the_token_too(guarded: TestClient) -> None:
    for offered in ([], ["voxtrait"], ["voxtrait", "token.wrong"]):
        with (
            pytest.raises(WebSocketDisconnect) as refused,
            guarded.websocket_connect("ws://localhost:8000/v1/live", subprotocols=offered),
        ):
            pass
        assert (refused.value.code, refused.value.reason) == (1008, "token")
    with guarded.websocket_connect(
        "ws://localhost:8000/v1/live", subprotocols=["voxtrait", f"token.{TOKEN}"]
    ) as socket:
        assert socket.accepted_subprotocol == "voxtrait"


def test_a_live_voice_comes_from_the_own_page_only() -> None:
    client = client_of()
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        client.websocket_connect("ws://localhost:8000/v1/live", headers={"Origin": "https://evil.example"}),
    ):
        pass
    assert (refused.value.code, refused.value.reason) == (1008, "cross_origin")


@pytest.mark.parametrize("path", ["/", "/model-card", "/static/app.js", "/v1/limits", "/nothing"])
def test_every_answer_is_strict_to_browsers(path: str) -> None:
    response = client_of().get(path)
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["permissions-policy"].startswith("microphone=(self)")
    assert response.headers["cross-origin-opener-policy"] == "same-origin"
    assert len(response.headers["x-request-id"]) == 16
    assert "server" not in response.headers


def test_files_of_the_page_are_served_as_they_are() -> None:
    client = client_of()
    kinds = {
        "app.js": "text/javascript; charset=utf-8",
        "page.css": "text/css; charset=utf-8",
        "favicon.svg": "image/svg+xml",
        "onest-latin.woff2": "font/woff2",
        "onest.LICENSE.txt": "text/plain; charset=utf-8",
    }
    for name, kind in kinds.items():
        found = client.get(f"/static/{name}")
        file = Path(voxtrait.__file__).parent / "web" / "page" / name
        assert hashlib.sha256(found.content).digest() == hashlib.sha256(file.read_bytes()).digest()
        assert (found.headers["content-type"], found.headers["cache-control"]) == (kind, "no-cache")
        again = client.get(f"/static/{name}", headers={"If-None-Match": found.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert client.get("/").headers["content-type"] == "text/html; charset=utf-8"
    assert client.head("/").status_code == 200


def test_the_card_is_a_page_with_figures_and_what_it_must_not_be_used_for() -> None:
    text = client_of().get("/model-card").text
    assert f"<h1>{bundle.load().title}</h1>" in text and bundle.load().name == "voxtrait-base"
    uar = bundle.load().scores["gender"]["uar"]
    said = f"{uar['value']:.3f} ({uar['low']:.3f}–{uar['high']:.3f})"
    assert f"<td>gender: mean recall of women and men (UAR)</td><td>{said}</td>" in text
    assert "Decisions about a person: access, employment, credit, insurance, policing, medical questions." in text
    (started,) = bundle.load().pretrained
    assert "CAM++" in started["name"] and f"<li>{started['name']}, Apache-2.0: {started['source']}</li>" in text
    assert "style=" not in text and "<style" not in text and "<script>" not in text


def test_the_card_has_gender_and_age_by_group() -> None:
    text = client_of().get("/model-card").text
    scores = bundle.load().scores
    by_group = scores["gender"]["by_group"]
    assert {"female_adults", "male_adults"} <= set(by_group)
    for group, row in by_group.items():
        shares = [f"{100 * row[name]:.1f} %" if name in row else "–" for name in ("recall", "wrong_sure")]
        cells = [group.replace("_", " "), str(row["n_clips"]), str(row["n_speakers"]), *shares]
        assert f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" in text
    assert '<section id="uses">' in text  # where the page's link leads
    for group, row in scores["age"]["by_group"].items():
        assert f"<td>{group}</td><td>{row['n_clips']}</td><td>{row['n_speakers']}</td><td>{row['mae']:.1f}</td>" in text


def test_which_addresses_are_this_machine() -> None:
    assert [is_loopback(host) for host in ("::1", "127.3.4.5", "0.0.0.0", "::", "192.168.0.1")] == [
        True, True, False, False, False
    ]  # fmt: skip


@pytest.mark.parametrize("token", ["", "short", "with a space in it", "ünïcödé-ünïcödé-ünïcödé", "x" * 513])
def test_tokens_that_are_none(token: str) -> None:
    with pytest.raises(OptionError, match="expected 16 to 512"):
        Settings(token=token)


def test_a_token_is_the_first_word_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n# rotated in May\n")
    assert read_token(tmp_path / "token") == TOKEN
    with pytest.raises(OptionError, match=r"cannot be read: .*No such file"):
        read_token(tmp_path / "other")


@pytest.mark.parametrize(
    "wrong", [{"timeout_s": 0}, {"queue": -1}, {"max_seconds": -1}, {"workers": -1}, {"live_sessions": 0}]
)
def test_limits_that_are_none(wrong: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="expected"):
        Settings(**wrong)  # type: ignore[arg-type]
