"""What a power failure may take: every file has its name after its content is on the disk, or is made again."""

import os
from pathlib import Path

import polars as pl
import pytest

from factories import tone
from voxtrait import audio, batch, corpora, manifest
from voxtrait.audio import durability
from voxtrait.audio.writing import atomic_path, create_folder, write_wav
from voxtrait.derived import convert, pictures
from voxtrait.errors import OutputError

linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors have names on Linux only")
Event = tuple[str, str]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What is sent to the disk, and which names are given, in order; both are done all the same."""
    seen: list[Event] = []
    sync, replace = os.fsync, Path.replace

    def synced_too(descriptor: int) -> None:
        seen.append(("sent", os.readlink(f"/proc/self/fd/{descriptor}")))  # noqa: PTH115
        sync(descriptor)

    def replaced_too(part: Path, target: Path) -> Path:
        seen.append(("sent before", str(part)) if ("sent", str(part)) in seen else ("not sent", str(part)))
        found = replace(part, target)
        seen.append(("named", str(target)))
        return found

    monkeypatch.setattr(os, "fsync", synced_too)
    monkeypatch.setattr(Path, "replace", replaced_too)
    return seen


def lasting(events: list[Event]) -> dict[str, bool]:
    """Each file that was named: whether it was sent to the disk before, and its folder after."""
    found = {}
    for at, (what, name) in enumerate(events):
        if what == "named":
            found[Path(name).name] = (
                events[at - 1][0] == "sent before" and ("sent", str(Path(name).parent)) in events[at:]
            )
    return found


@linux
def test_every_writer_sends_a_file_to_the_disk_before_it_is_named(tmp_path: Path, events: list[Event]) -> None:
    table = pl.DataFrame({"path": ["a.mp3"]})
    manifest.write(table, tmp_path / "m.parquet")
    manifest.write(table, tmp_path / "m.csv")
    with atomic_path(tmp_path / "lazy.csv") as part:
        table.lazy().sink_csv(part)
    write_wav(tmp_path / "a.wav", tone(0.1), 16_000)
    audio.write_wav_blocks(tmp_path / "b.wav", [(tone(0.1), 16_000)])
    how = {"row": lambda size: {"size": size}, "schema": {"size": pl.Int64}, "settings": "1"}
    (shard,) = batch.run_sharded(len, ["a", "bc"], tmp_path / "parts", on_crash=lambda item, why: 0, **how)  # type: ignore[arg-type]
    convert.convert(tmp_path / "a.wav", tmp_path / "one.wav", rate=8000)
    names = ("m.parquet", "m.csv", "lazy.csv", "a.wav", "b.wav", shard.name, "one.wav")
    assert lasting(events) == dict.fromkeys(names, True)


@linux
def test_a_folder_of_many_files_has_a_note_until_all_are_sent(tmp_path: Path, events: list[Event]) -> None:
    (tmp_path / "in").mkdir()
    for at in range(3):
        write_wav(tmp_path / "in" / f"{at}.wav", tone(0.2), 16_000)
    events.clear()
    disks: list[list[str]] = []
    with pytest.MonkeyPatch.context() as patch:
        send = durability.sync_disk

        def sent_too(folder: Path) -> None:
            disks.append(sorted(path.name for path in Path(folder).iterdir()))
            send(folder)

        patch.setattr(durability, "sync_disk", sent_too)
        convert.convert(tmp_path / "in", tmp_path / "out", rate=8000)
        patch.setattr(durability, "EVERY_S", 0.0)
        convert.convert(tmp_path / "in", tmp_path / "out", rate=8000, overwrite=True)
    found = lasting(events)
    assert found[durability.NOTE] and found["convert.json"] and not found["0.wav"]  # one by one would take too long
    assert disks[0] == [".running", durability.NOTE, "0.wav", "1.wav", "2.wav", "convert.json"]
    assert len(disks) == 1 + 3 + 1  # once at the end; then after every file too
    assert durability.NOTE not in [path.name for path in (tmp_path / "out").iterdir()]


def spoil(file: Path) -> bytes:
    """Put zeros into the second half of a file, but not its end and its times, as after a power failure."""
    status, whole = file.stat(), file.read_bytes()
    half = len(whole) // 2
    file.write_bytes(whole[:half] + bytes(len(whole) - half - 12) + whole[-12:])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    return file.read_bytes()


@pytest.mark.parametrize(("boot", "again"), [("another", True), ("", True), ("this", False)])
@pytest.mark.parametrize("kind", ["convert", "images", "export"])
def test_after_a_power_failure_the_files_of_the_last_minute_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, boot: str, again: bool
) -> None:
    monkeypatch.setattr(durability, "_boot", lambda: "this")
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        write_wav(tmp_path / "in" / f"{name}.wav", tone(0.5), 22_050)
    manifest.write(pl.DataFrame({"path": [f"in/{name}.wav" for name in "ab"]}), tmp_path / "all.csv")
    out = tmp_path / "out"

    def make() -> None:
        match kind:
            case "convert":
                convert.convert(tmp_path / "in", out)
            case "images":
                pictures.draw(tmp_path / "in", out)
            case _:
                corpora.export(
                    manifest.with_absolute_paths(manifest.read(tmp_path / "all.csv"), tmp_path),
                    out,
                    to="audiofolder",
                    audio="copy",
                )

    make()
    made = [file for file in out.rglob("*") if file.suffix in (".wav", ".png")]
    whole = {file: file.read_bytes() for file in made}
    note = out / durability.NOTE
    note.write_text(boot)
    os.utime(note, ns=(0, 0))
    spoilt = {file: spoil(file) for file in made}
    make()
    assert {file: file.read_bytes() for file in made} == (whole if again else spoilt)
    assert not note.exists()


def test_files_from_before_the_last_minute_are_kept(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_wav(tmp_path / f"{name}.wav", tone(0.5), 22_050)
    convert.convert(tmp_path, tmp_path / "out")
    later = (tmp_path / "out" / "b.wav").stat().st_ctime_ns + 10**12
    os.utime(tmp_path / "out" / "b.wav", ns=(later, later))
    note = tmp_path / "out" / durability.NOTE
    note.touch()
    os.utime(note, ns=(later, later))
    summary = convert.convert(tmp_path, tmp_path / "out")
    assert (summary.kept, summary.done) == (1, 1)


def test_a_clip_that_was_replaced_is_derived_again(tmp_path: Path) -> None:
    source, old = tmp_path / "in" / "a.wav", tmp_path / "b.wav"
    source.parent.mkdir()
    write_wav(old, tone(0.5, 220.0), 16_000)
    os.utime(old, (0, 0))  # older than the first clip, as a file from a backup
    write_wav(source, tone(0.5), 16_000)
    runs = {"wav": convert.convert, "png": pictures.draw}
    first = {kind: (run(source.parent, tmp_path / kind).done, read(tmp_path / kind)) for kind, run in runs.items()}
    assert [run(source.parent, tmp_path / kind).kept for kind, run in runs.items()] == [1, 1]
    old.replace(source)
    for kind, run in runs.items():
        summary = run(source.parent, tmp_path / kind)
        assert (summary.done, summary.kept) == (1, 0)
        assert read(tmp_path / kind) != first[kind][1]


def read(folder: Path) -> bytes:
    (file,) = folder.rglob("a.*")
    return file.read_bytes()


@pytest.mark.parametrize("kind", ["wav", "png"])
def test_a_clip_that_changes_while_it_is_read_fails_and_is_made_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    source = tmp_path / "in" / "a.wav"
    source.parent.mkdir()
    write_wav(source, tone(0.5), 16_000)
    run = {"wav": convert.convert, "png": pictures.draw}[kind]
    name = {"wav": "blocks", "png": "load"}[kind]
    original = getattr(audio, name)

    def grow(path: str, *args: object, **more: object) -> object:
        found = original(path, *args, **more)
        found = list(found) if name == "blocks" else found
        os.utime(path)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(audio, name, grow)
        summary = run(source.parent, tmp_path / "out")
    (failure,) = summary.failures()
    assert failure["reason"] == f"{source.resolve()} changed while it was read. Run the same command again."
    assert not list((tmp_path / "out").rglob(f"*.{kind}"))
    assert run(source.parent, tmp_path / "out").done == 1


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file is a file\. Expected a folder or a new name"):
        create_folder(tmp_path / "file")
    with pytest.raises(OutputError, match=r"cannot be written \(Not a directory\)"):
        create_folder(tmp_path / "file" / "x")
