"""The commands on files behind URLs: the same answers as on the disk, few requests, and runs that go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

import factories
import models
from places import Requests, put
from voxtrait import audio, manifest, storage
from voxtrait.cli import root
from voxtrait.recognize.recognizer import load
from voxtrait.storage import content

pytest_plugins = ["place_fixtures"]

CLIPS = 6


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(models.make_bundle(tmp_path_factory.mktemp("bundle")).folder)


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(root, [str(argument) for argument in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def read_table(data: bytes, suffix: str) -> pl.DataFrame:
    readers = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}
    return readers[suffix](data)


def test_a_prefix_gives_the_table_of_the_folder(bundle: str, bucket: str, clips: Path, store: Requests) -> None:
    url = put(clips, f"{bucket}/some/clips")
    store.lines.clear()
    there = run(url, "--model", bundle, "--format", "csv", "--quiet")
    assert store.counts() == {"LIST": 1, "GET": CLIPS}
    here = run(clips, "--model", bundle, "--format", "csv", "--quiet")
    assert here.stdout.count("\n") == CLIPS + 1
    assert there.stdout.replace(url, str(clips)) == here.stdout
    assert there.exit_code == here.exit_code == 1


def test_a_hundred_files_cost_hardly_more_requests(
    bundle: str, bucket: str, tmp_path: Path, store: Requests, clips: Path
) -> None:
    data = (clips / "a.wav").read_bytes()
    for number in range(100):
        storage.write(f"{bucket}/in/{number:03d}.wav", data)
    store.lines.clear()
    done = run(f"{bucket}/in", "--model", bundle, "--out", f"{bucket}/out.parquet", "--jobs", 2, "--quiet")
    assert (done.exit_code, done.output) == (0, "")
    counts = store.counts()
    assert counts.total() <= 110, counts
    table = pl.read_parquet(storage.read(f"{bucket}/out.parquet"))
    assert table["path"].to_list() == [f"{bucket}/in/{number:03d}.wav" for number in range(100)]
    assert table["p_female"].n_unique() == 1
    assert list(storage.listing(bucket)) == [*(f"in/{number:03d}.wav" for number in range(100)), "out.parquet"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_table_in_a_bucket(bundle: str, bucket: str, clips: Path, tmp_path: Path, suffix: str) -> None:
    url = put(clips, f"{bucket}/clips")
    done = run(url, "--model", bundle, "--out", f"{bucket}/deep/out{suffix}")
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"{bucket}/deep/out{suffix}: 1 error, 5 ok" in done.stderr
    run(url, "--model", bundle, "--out", tmp_path / f"out{suffix}", "--quiet")
    assert storage.read(f"{bucket}/deep/out{suffix}") == (tmp_path / f"out{suffix}").read_bytes()
    assert [name for name in storage.listing(bucket) if "parts" in name] == []


def test_a_killed_run_goes_on_from_the_parts_in_the_bucket(
    bundle: str, bucket: str, clips: Path, store: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = put(clips, f"{bucket}/clips")
    monkeypatch.setattr("voxtrait.batch.shards.SHARD", 2)
    sent: list[str] = []
    plain = storage.content.tried

    def tried(at: str, call: object) -> object:
        sent.append(at)
        if sum(".parts/" in one for one in sent) == 3:
            raise KeyboardInterrupt
        return plain(at, call)  # type: ignore[arg-type]

    monkeypatch.setattr(content, "tried", tried)
    command = (url, "--model", bundle, "--out", f"{bucket}/out.jsonl", "--quiet")
    killed = run(*command)
    assert killed.exit_code == 1 and "Aborted" in killed.output
    assert len([name for name in storage.listing(bucket) if name.startswith(".out.jsonl.parts/")]) == 2
    monkeypatch.setattr(content, "tried", plain)
    store.lines.clear()
    assert run(*command).exit_code == 1
    # of 3 shards 2 were there: the clips of the third are read, 3 shards joined; one shard and the table sent.
    # One more looks whether a finished table of other predictions is there
    assert store.counts() == {"LIST": 2, "GET": 2 + 3 + 1, "PUT": 2, "DELETE": 3}
    assert read_table(storage.read(f"{bucket}/out.jsonl"), ".jsonl").height == CLIPS


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_kill_9_and_run_again(bundle: str, bucket: str, clips: Path, tmp_path: Path, store: Requests) -> None:
    data = (clips / "a.wav").read_bytes()
    for number in range(30):
        (clips / f"z{number:02d}.wav").write_bytes(data)
    url = put(clips, f"{bucket}/clips")
    program = (
        "import voxtrait.batch.shards as shards; shards.SHARD = 5\n"
        "from voxtrait.cli import main\n"
        "if __name__ == '__main__': main()"
    )
    command = [sys.executable, "-c", program, url, "--model", bundle, "--jobs", "1", "--quiet"]
    process = subprocess.Popen([*command, "--out", f"{bucket}/out.csv"])
    try:
        until = time.monotonic() + 60
        while sum(".parts/" in name for name in storage.listing(bucket)) < 2 and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert "out.csv" not in storage.listing(bucket)
    store.lines.clear()
    again = subprocess.run([*command, "--out", f"{bucket}/out.csv"], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (1, "")
    # the clips of two shards are not read again, 8 are joined, and one looks whether a finished table is there
    assert store.counts()["GET"] <= CLIPS + 30 - 2 * 5 + 8 + 1
    run(url, "--model", bundle, "--out", tmp_path / "out.csv", "--quiet")
    assert storage.read(f"{bucket}/out.csv") == (tmp_path / "out.csv").read_bytes()


def test_another_content_is_predicted_again(
    bundle: str, bucket: str, clips: Path, store: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(clips, f"{bucket}/clips")
    recognizer = load(bundle)
    parts = f"{bucket}/parts"
    (before,) = recognizer.predict_shards(storage.files(f"{bucket}/clips", audio.SUFFIXES), parts)
    store.lines.clear()
    assert recognizer.predict_shards(storage.files(f"{bucket}/clips", audio.SUFFIXES), parts) == [before]
    assert store.counts() == {"LIST": 2}
    storage.write(f"{bucket}/clips/b/broken.wav", (clips / "a.wav").read_bytes())
    (after,) = recognizer.predict_shards(storage.files(f"{bucket}/clips", audio.SUFFIXES), parts)
    assert after != before
    assert list(storage.listing(parts)) == [str(after).rpartition("/")[2]]


@pytest.mark.parametrize("jobs", [1, 2])
def test_convert_into_a_bucket_and_once_more(
    bucket: str, clips: Path, tmp_path: Path, store: Requests, jobs: int
) -> None:
    url = put(clips, f"{bucket}/clips")
    store.lines.clear()
    first = run("convert", url, f"{bucket}/wav", "--rate", 8000, "--jobs", jobs, "--quiet")
    counts = store.counts()
    assert counts["PUT"] == 5 + 2  # the settings, and the failures
    assert counts["GET"] == CLIPS + 2  # the settings and failures.csv
    assert first.exit_code == 1 and f"{url}/b/broken.wav" in first.stdout
    run("convert", clips, tmp_path / "wav", "--rate", 8000, "--quiet")
    local = {file.relative_to(tmp_path / "wav").as_posix() for file in (tmp_path / "wav").rglob("*") if file.is_file()}
    assert set(storage.listing(f"{bucket}/wav")) == local
    for name in local - {"convert.json", "failures.csv"}:
        assert storage.read(f"{bucket}/wav/{name}") == (tmp_path / "wav" / name).read_bytes()
    storage.remove([f"{url}/b/broken.wav"])
    store.lines.clear()
    again = run("convert", url, f"{bucket}/wav", "--rate", 8000, "--jobs", jobs, "--format", "json", "--quiet")
    assert again.exit_code == 0 and '"kept": 5' in again.stdout
    assert store.counts() == {"LIST": 2, "GET": 1, "DELETE": 1}  # nothing read but the settings, nothing sent
    assert "failures.csv" not in storage.listing(f"{bucket}/wav")
    other = run("convert", url, f"{bucket}/wav", "--rate", 16000, "--quiet")
    assert other.exit_code == 2 and "rate: 8000 before, 16000 now" in other.stderr


def test_pictures_in_a_bucket_are_kept_moved_and_checked(bucket: str, tmp_path: Path, store: Requests) -> None:
    table = factories.tiny_manifest(tmp_path / "data", 6, 1)
    url = put(tmp_path / "data", f"{bucket}/data")
    out = f"{bucket}/pictures"
    first = run("images", f"{url}/manifest.parquet", out, "--jobs", 2, "--format", "json", "--quiet")
    assert first.exit_code == 0 and '"done": 6' in first.stdout
    run("images", table, tmp_path / "pictures", "--quiet")
    local = {str(file.relative_to(tmp_path / "pictures")) for file in (tmp_path / "pictures").rglob("*.*")}
    assert set(storage.listing(out)) == local and len(local) == 6 * 2 + 2
    for name in local:
        assert storage.read(f"{out}/{name}") == (tmp_path / "pictures" / name).read_bytes()
    store.lines.clear()
    again = run("images", f"{url}/manifest.parquet", out, "--format", "json", "--quiet")
    assert '"kept": 6' in again.stdout
    assert store.counts() == {"LIST": 1, "GET": 3, "DELETE": 1}  # manifest, settings, the pictures' own manifest
    checked = run("corpus", "check", f"{url}/manifest.parquet", "--images", out, "--jobs", 1, "--format", "json")
    assert "pictures" not in checked.stdout.partition("problems")[2]

    moved = manifest.read(table).with_columns(split=pl.lit("train"))
    manifest.write(moved, tmp_path / "data" / "manifest.parquet")
    put(tmp_path / "data", url)
    store.lines.clear()
    third = run("images", f"{url}/manifest.parquet", out, "--format", "json", "--quiet")
    assert '"moved": 4' in third.stdout and '"removed": 8' in third.stdout and '"kept": 2' in third.stdout
    assert store.counts()["GET"] == 3  # no clip was read
    assert {name.split("/")[0] for name in storage.listing(out) if name.endswith(".png")} == {"train"}
    assert len([name for name in storage.listing(out) if name.endswith(".png")]) == 12
    storage.remove([next(f"{out}/{name}" for name in storage.listing(out) if name.endswith(".png"))])
    checked = run("corpus", "check", f"{url}/manifest.parquet", "--images", out, "--jobs", 1)
    assert checked.exit_code == 1 and "images missing" in checked.stdout


def test_check_reads_a_manifest_and_its_clips_behind_urls(
    bucket: str, tmp_path: Path, store: Requests, web: tuple[str, list[str]]
) -> None:
    factories.tiny_manifest(tmp_path / "data", 6, 1)
    url = put(tmp_path / "data", f"{bucket}/data")
    command = ("corpus", "check", "--format", "json", "--jobs", 1, "--quiet")
    here = run(*command, tmp_path / "data" / "manifest.parquet")
    store.lines.clear()
    there = run(*command, f"{url}/manifest.parquet")
    assert store.counts() == {"LIST": 1, "GET": 6 + 1}
    assert there.stdout.replace(url, str(tmp_path / "data")) == here.stdout
    cached = (*command, f"{url}/manifest.parquet", "--cache", tmp_path / "cache")
    assert run(*cached).stdout == there.stdout
    store.lines.clear()
    assert run(*cached).stdout == there.stdout
    assert store.counts() == {"LIST": 2, "GET": 1}

    clip = next(name for name in storage.listing(url) if name.endswith(".mp3"))
    storage.remove([f"{url}/{clip}"])
    broken = run(*command, f"{url}/manifest.parquet")
    assert broken.exit_code == 1 and "files absent" in broken.stdout and f"{url}/{clip}" in broken.stdout
    assert run(*command, f"{web[0]}/data/manifest.parquet").stdout.replace(web[0], str(tmp_path)) == here.stdout


def test_convert_takes_a_list_of_urls_and_paths(
    bucket: str, clips: Path, tmp_path: Path, web: tuple[str, list[str]]
) -> None:
    put(clips, f"{bucket}/clips")
    (tmp_path / "list.txt").write_text(f"{bucket}/clips/a.wav\n\n{clips}/b/d.wav\n{web[0]}/clips/b/f.wav\n")
    done = run("convert", tmp_path / "list.txt", tmp_path / "wav", "--quiet")
    assert done.exit_code == 0, done.output
    names = {file.relative_to(tmp_path / "wav").as_posix() for file in (tmp_path / "wav").rglob("*.wav")}
    host = web[0].partition("://")[2]
    assert names == {f"s3/{bucket[5:]}/clips/a.wav", f"{clips}/b/d.wav".lstrip("/"), f"http/{host}/clips/b/f.wav"}
    storage.write(f"{bucket}/list.txt", b"clips/a.wav\nclips/b/d.wav\n")
    assert run("convert", f"{bucket}/list.txt", tmp_path / "two", "--quiet").exit_code == 0
    assert (tmp_path / "two" / "clips" / "b" / "d.wav").is_file()


def test_a_list_of_addresses(bundle: str, clips: Path, web: tuple[str, list[str]]) -> None:
    address, asked = web
    names = ["a.wav", "b/d.wav", "none.wav", "b/e%20%C3%A9.wav"]
    lines = "".join(f"{address}/clips/{name}\r\n" for name in names)
    listed = run("--files-from", "-", "--model", bundle, "--format", "jsonl", "--quiet", stdin=lines.encode())
    assert asked == [f"/clips/{name}" for name in names]  # one request a file
    rows = pl.read_ndjson(listed.stdout.encode())
    assert rows["path"].to_list() == lines.split()
    assert rows["status"].to_list() == ["ok", "ok", "error", "ok"]
    assert rows["message"][2] == f"no such file: {address}/clips/none.wav"
    assert listed.exit_code == 1
    plain = run(clips / "a.wav", clips / "b" / "e é.wav", "--model", bundle, "--format", "jsonl")
    assert pl.read_ndjson(plain.stdout.encode())["p_female"].to_list() == rows["p_female"].gather([0, 3]).to_list()
    refused = run(f"{address}/clips/", "--model", bundle)
    assert refused.exit_code == 2 and "clips/: web servers do not list files. Name the files" in refused.stderr
    to_web = run(clips, "--model", bundle, "--out", f"{address}/out.csv")
    assert to_web.exit_code == 2 and "Cannot write to the web server at" in to_web.stderr


def test_a_password_is_used_and_not_shown(bundle: str, clips: Path, web: tuple[str, list[str]]) -> None:
    (clips / "secret.wav").write_bytes((clips / "a.wav").read_bytes())
    url = web[0].replace("://", "://me:pass@") + "/clips/secret.wav?token=abc&part=1"
    for name, status in ((url, "ok"), (url.replace("secret", "gone"), "error")):
        done = run(name, "--model", bundle, "--format", "json")
        assert f'"status": "{status}"' in done.stdout
        assert "/clips/" in done.stdout and "part=1" in done.stdout
        assert "pass" not in done.output and "abc" not in done.output


def test_missing_buckets_and_keys(bundle: str, bucket: str, clips: Path, store: Requests) -> None:
    for arguments in (
        ("s3://no-such-bucket/clips", "--model", bundle),
        (f"{bucket}/empty", "--model", bundle),
        (clips, "--model", bundle, "--out", "s3://no-such-bucket/out.csv"),
        ("convert", clips, "s3://no-such-bucket/wav"),
        ("convert", f"{bucket}/clips", f"{bucket}/clips"),
        ("corpus", "check", f"{bucket}/none.parquet"),
    ):
        done = run(*arguments)
        assert (done.exit_code, done.stdout) == (2, ""), (arguments, done.output)
        assert done.stderr.startswith("voxtrait: ") and "Traceback" not in done.stderr
    storage.write(f"{bucket}/empty.wav", b"")
    done = run(f"{bucket}/none.wav", f"{bucket}/empty.wav", clips / "a.wav", "--model", bundle, "--format", "csv")
    assert done.exit_code == 1
    assert f"no such file: {bucket}/none.wav" in done.stdout and f"{bucket}/empty.wav is empty" in done.stdout
    assert done.stdout.count(",ok,") == 1


def test_a_plain_path_loads_nothing_of_it(clips: Path, bundle: str) -> None:
    program = (
        f"import sys; from voxtrait.recognize import load; load({bundle!r}).predict({str(clips / 'a.wav')!r}); "
        "print([name for name in ('fsspec', 's3fs', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_nothing_is_said_at_the_end(bundle: str, bucket: str, clips: Path, web: tuple[str, list[str]]) -> None:
    url = put(clips, f"{bucket}/clips")
    command = [sys.executable, "-W", "default", "-m", "voxtrait", url, f"{web[0]}/clips/a.wav", "--quiet"]
    done = subprocess.run(
        [*command, "--model", bundle, "--jobs", "2", "--format", "csv"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.count(",ok,") == 6


def test_what_is_not_written_behind_urls_is_refused(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clips)
    for arguments in (
        ("corpus", "import", clips, "s3://bucket/all.parquet"),
        ("images", clips, "s3://bucket/shards", "--shards"),
        ("convert", clips, "https://host/wav"),
        ("images", clips, "https://host/pictures"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2 and "Traceback" not in done.stderr, arguments
    assert not [file for file in clips.iterdir() if ":" in file.name]
