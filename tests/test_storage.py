"""Files behind URLs: names, errors in plain words, tries, sizes."""

import contextlib
import importlib
import sys
import time
from pathlib import Path

import pytest

from places import put
from voxtrait import audio, storage
from voxtrait.errors import AudioMissingError, MissingExtraError, OptionError, StorageError
from voxtrait.storage import connection, content

pytest_plugins = ["place_fixtures"]


def test_what_is_passing_is_tried_again_and_what_is_not_is_said(
    tmp_path: Path, clips: Path, web: tuple[str, list[str]]
) -> None:
    address, asked = web
    for name in ("busy.wav", "busybusy.wav", "secret.wav"):
        (tmp_path / name).write_bytes((clips / "a.wav").read_bytes())
    with pytest.raises(StorageError, match=r"busy\.wav cannot be reached: the server returned status 503"):
        storage.read(f"{address}/busy.wav")
    assert asked == ["/busy.wav"] * 3
    assert audio.load(f"{address}/busy.wav")[0].shape == (16_000,)  # it has recovered
    asked.clear()
    with pytest.raises(StorageError, match=r"Access to .*/secret\.wav refused\. Check the permissions"):
        storage.read(f"{address}/secret.wav")
    assert asked == ["/secret.wav"]
    with pytest.raises(AudioMissingError):
        storage.read(f"{address}/none.wav")
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1/a\.wav cannot be reached: the host"):
        storage.read("http://127.0.0.1:1/a.wav")


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(connection, "SILENCE_S", 0.2)
    monkeypatch.setattr(connection, "WAITS", (0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(StorageError, match=r"cannot be reached: no response within 0\.2 s"):
            storage.read(f"http://127.0.0.1:{silent.getsockname()[1]}/a.wav")
    assert 0.5 < time.monotonic() - start < 10


def test_large_files_go_by_the_disk_and_leave_nothing(
    bucket: str, clips: Path, tmp_path: Path, web: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "IN_MEMORY", 10_000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    signal_, _ = audio.load(clips / "a.wav")
    put(clips, f"{bucket}/clips")
    for url in (f"{bucket}/clips/a.wav", f"{web[0]}/clips/a.wav"):
        with storage.fetched(url) as found:
            assert isinstance(found, storage.Kept)
            assert Path(found).read_bytes() == (clips / "a.wav").read_bytes()
        assert (audio.load(url)[0] == signal_).all()
    storage.write(f"{bucket}/just.wav", bytes(20_000))  # two parts, and nothing behind them
    assert storage.read(f"{bucket}/just.wav") == bytes(20_000)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = importlib.import_module("fsspec.registry")  # fsspec.registry is what this holds, not the module
    for missing in ("fsspec.core", "s3fs"):
        with monkeypatch.context() as patch, contextlib.ExitStack() as stack:
            connection._filesystem.cache_clear()
            stack.callback(connection._filesystem.cache_clear)
            patch.setitem(sys.modules, missing, None)
            patch.setattr(registry, "registry", {})
            with pytest.raises(MissingExtraError, match=r"s3://.* needs the extra \[remote\]: pip install"):
                storage.read("s3://bucket/a.wav")
    with pytest.raises(StorageError, match="unknown://bucket cannot be opened"):
        storage.read("unknown://bucket/a.wav")


def test_names() -> None:
    assert storage.shown("https://tok@host/a.mp3?X-Amz-Credential=c&X-Amz-Signature=s&sig=x") == "https://host/a.mp3"
    assert storage.shown("abfs://container@account/a.mp3") == "abfs://container@account/a.mp3"
    assert storage.shown("ftp://me:p@w@host/a@b.mp3") == "ftp://host/a@b.mp3"
    assert storage.suffix_of("https://host/a.MP3?x=1.wav") == ".mp3"
    with pytest.raises(OptionError):
        storage.check_writable("https://host/out.csv")
