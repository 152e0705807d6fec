"""Readers of tables: every corpus layout, archives, manifests, decisions, lists, and files of settings.

An input begins with a byte that chooses the file of a corpus that gets the rest of the input as its content.
"""

import contextlib
import gzip
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import polars as pl

from fuzzing import Target
from fuzzing.sound import place
from voxtrait.errors import CorpusError, ManifestError, OptionError, VoxtraitError

WORDS: Final = (
    b"\t", b",", b";", b"|", b"\n", b"\r", b'"', b'""', b"path", b"gender", b"age", b"client_id", b"file_name", b"\0",
    b"\xef\xbb\xbf", b"\xff\xfe", b"../../../etc/passwd", b"/etc/passwd", b"C:\\x.mp3", b"\\\\host\\x", b"..\\..\\x",
    b"http://127.0.0.1:9/x.mp3", b"file:///etc/passwd", b"1e400", b"NaN", b"-1", b"9" * 5000, b"female",
    b"\xc3(", b"\xed\xa0\x80", b"{", b"}", b"[", b"[" * 300, b'{"a":' * 300, b"null", b"true", b'"\\ud800"', b" | ",
)  # fmt: skip
Tree = dict[str, bytes]


def _columns(kind: str = "csv") -> str:
    mark = "," if kind == "csv" else "\t"
    rows = (
        ("path", "speaker_id", "gender", "age", "split", "locale", "sentence"),
        ("a.wav", "s1", "female", "34", "train", "en", "Hello"),
        ("b.wav", "s2", "male", "fourties", "test", "", ""),
    )
    return "\n".join(mark.join(row) for row in rows) + "\n"


def _frame() -> pl.DataFrame:
    return pl.read_csv(_columns().encode(), infer_schema=False)


def _parquet(table: pl.DataFrame, **options: Any) -> bytes:
    out = BytesIO()
    table.write_parquet(out, **options)
    return out.getvalue()


def manifest_bytes(kind: str) -> bytes:
    """A manifest in one format."""
    from voxtrait.manifest import conform
    from voxtrait.manifest.funnel import Step
    from voxtrait.manifest.table import write

    table = conform(_frame().select("path", "speaker_id", "gender", "split", "locale", "sentence"))
    target = place(f"seed.{kind}")
    write(table, target, [Step("import", 2, {"repeated clip": 1})])
    return target.read_bytes()


def _common_voice() -> Tree:
    head = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent\tlocale\tsegment\n"
    rows = f'{"a" * 128}\tcommon_voice_en_1.mp3\tHello "you\t2\t0\ttwenties\tfemale\t\ten\t\n'
    rows += f"{'b' * 128}\tcommon_voice_en_2.mp3\tYes\t2\t0\tfourties\tmale\tUS\ten\t\n"
    durations = "clip\tduration[ms]\ncommon_voice_en_1.mp3\t1234\n"
    root = "cv-corpus-0.1/en/"
    return {f"{root}validated.tsv": (head + rows).encode(), f"{root}train.tsv": (head + rows).encode(),
            f"{root}clip_durations.tsv": durations.encode(), f"{root}clips/common_voice_en_1.mp3": b""}  # fmt: skip


def _kaldi() -> Tree:
    texts = {
        "wav.scp": "s1-a wav/a.wav\ns1-b flac -c -d -s /x/b.flac |\ns2-c sph2pipe -c 1 '/x/c d.sph' |\nd /x/a.ark:12\n",
        "utt2spk": "s1-a s1\ns1-b s1\ns2-c s2\n", "spk2gender": "s1 f\ns2 m\n", "text": "s1-a HELLO  WORLD\ns1-b\n",
        "utt2dur": "s1-a 0.5\ns2-c 2.25\n", "utt2age": 's1-a "34"\n', "segments": "s1-a s1-a 0.0 1.0\n",
        "reco2dur": "s1-a 9.5\n", "spk2utt": "s1 s1-a s1-b\n", "utt2noise": "s2-c car\n",
    }  # fmt: skip
    return {f"mini/data/train/{name}": text.encode() for name, text in texts.items()}


def _lhotse() -> Tree:
    recording = {"id": "r1", "sources": [{"type": "file", "channels": [0], "source": "a.wav"}], "sampling_rate": 16000,
                 "num_samples": 16000, "duration": 1.0}  # fmt: skip
    supervision = {"id": "u1", "recording_id": "r1", "start": 0.0, "duration": 1.0, "channel": 0, "text": "Hi",
                   "speaker": "s1", "gender": "female", "custom": {"age": 34, "accent": "x", "list": [1]}}  # fmt: skip
    return {
        "m/x_recordings_train.jsonl": json.dumps(recording).encode() + b"\n",
        "m/x_supervisions_train.jsonl": json.dumps(supervision).encode() + b"\n",
    }


def _cuts() -> Tree:
    cut = {"id": "c", "start": 0, "duration": 1.0, "channel": 0, "type": "MonoCut", "recording": {"id": "r",
        "sources": [
        {"type": "command", "channels": [0], "source": "sph2pipe a.sph"}], "duration": 1.0},
        "supervisions": [{"id": "u", "recording_id": "r", "speaker": "s", "custom": {"age": "30"}}]}  # fmt: skip
    return {"m/x_cuts.jsonl": json.dumps(cut).encode() + b"\n"}


def _hugging_face() -> Tree:
    audio = pl.Struct({"bytes": pl.Binary, "path": pl.String})
    sound = pl.Series([{"bytes": b"RIFF", "path": "a.wav"}, {"bytes": None, "path": "/x/b.wav"}], dtype=audio)
    table = pl.DataFrame({"audio": sound, "speaker_id": ["s1", None], "gender": [0, 1], "age": [34, -1]})
    stream = BytesIO()
    table.write_ipc_stream(stream)
    features = {"gender": {"names": ["female", "male"], "_type": "ClassLabel"}}
    info = {"huggingface": json.dumps({"info": {"features": features}})}
    return {
        "a/dataset_dict.json": b'{"splits": ["train"]}',
        "a/train/state.json": json.dumps({"_data_files": [{"filename": "d.arrow"}], "_split": "train"}).encode(),
        "a/train/dataset_info.json": json.dumps({"features": features}).encode(),
        "a/train/d.arrow": stream.getvalue(),
        "b/data/train-00000-of-00001.parquet": _parquet(table, metadata=info),
    }


def _plain() -> Tree:
    line = b'{"file_name": "a.wav", "gender": "female", "age": 34, "more": {"x": [1, null]}}\n{"file_name": "b.wav"}\n'
    return {
        "csv/metadata.csv": _columns().replace("path", "file_name").encode(),
        "jsonl/metadata.jsonl": line,
        "parquet/metadata.parquet": _parquet(_frame().rename({"path": "file_name"})),
        "tsv/manifest.tsv": _columns("tsv").encode(),
        "own/manifest.csv": manifest_bytes("csv"),
    }


def _public() -> Tree:
    from public_corpora import MAKERS

    found: Tree = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in MAKERS.items():
            root = Path(folder, name.replace(" ", "-"))
            make(root)
            for file in sorted(root.rglob("*")):
                if file.is_file():
                    found[file.relative_to(folder).as_posix()] = file.read_bytes()
    return found


TREES: Final[dict[str, Callable[[], Tree]]] = {
    "common-voice": _common_voice,
    "kaldi": _kaldi,
    "lhotse": _lhotse,
    "cuts": _cuts,
    "hugging-face": _hugging_face,
    "plain": _plain,
    "public": _public,
}


@cache
def tree(name: str) -> Tree:
    """The files of a corpus, once per process."""
    return TREES[name]()


def mutable(name: str) -> list[str]:
    """The files with content, of which an input replaces one."""
    return [one for one, content in tree(name).items() if content]


def corpus_seeds(name: str) -> tuple[bytes, ...]:
    return tuple(bytes([at]) + tree(name)[file] for at, file in enumerate(mutable(name)))


@contextlib.contextmanager
def written(files: Tree) -> Any:
    root = place("corpus").parent / "corpus"
    shutil.rmtree(root, ignore_errors=True)
    for name, content in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    yield root


def corpus(name: str, data: bytes) -> str:
    """Import, with its funnel and notes; no path leaves the folder by ``..``."""
    names = mutable(name)
    chosen = names[data[0] % len(names)] if data else names[0]
    top = chosen.partition("/")[0]
    files = {file: content for file, content in tree(name).items() if file.startswith(f"{top}/")}
    with written(files | {chosen: data[1:]}) as root:
        return imported(root, tables_only=len(data) % 4 != 0)


def imported(root: Path, *, tables_only: bool = True) -> str:
    from voxtrait import manifest
    from voxtrait.corpora import import_corpora

    result = import_corpora([root], tables_only=tables_only, measure=lambda paths: (None for _ in paths))
    table = result.table
    assert table.columns[: len(manifest.SCHEMA)] == list(manifest.SCHEMA)
    assert table["clip_id"].is_unique().all()
    total = result.total
    assert total.rows == total.kept + sum(total.dropped.values()), "the funnel does not add up"
    for path in table["path"]:
        assert "\0" not in path
    json.dumps(result.to_dict())
    for text in (*result.notes, *result.failures):
        assert len(text) < 5000
    return f"{table.height} rows"


def archive_seeds() -> tuple[bytes, ...]:
    """A release in each kind of archive, with a link, a device and a name that leads out."""
    made = []
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        out = BytesIO()
        with tarfile.open(fileobj=out, mode=mode) as tar:
            for name, content in _common_voice().items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, BytesIO(content))
            for name, kind in (
                ("cv/link.tsv", tarfile.SYMTYPE),
                ("cv/hard.tsv", tarfile.LNKTYPE),
                ("cv/d", tarfile.CHRTYPE),
            ):
                member = tarfile.TarInfo(name)
                member.type, member.linkname = kind, "../../etc/passwd"
                tar.addfile(member)
            tar.addfile(tarfile.TarInfo("cv-corpus-0.1/" + "x" * 150 + "/y.tsv"))
        made.append(b"t" + out.getvalue())
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _common_voice().items():
            archive.writestr(name, content)
        archive.writestr("../../evil.tsv", "x")
    return (*made, b"z" + out.getvalue())


def archive(data: bytes) -> str:
    """As a packed release: the first byte tells its kind."""
    path = place("cv-corpus-0.1.zip" if data[:1] == b"z" else "cv-corpus-0.1.tar.gz")
    path.write_bytes(data[1:])
    return imported(path)


def manifest_seeds() -> tuple[bytes, ...]:
    return tuple(mark + manifest_bytes(kind) for mark, kind in ((b"p", "parquet"), (b"c", "csv"), (b"t", "tsv")))


def manifest(data: bytes) -> str:
    """As every command reads a manifest: whole, some columns, its history, its check, its statistics."""
    from voxtrait import manifest as manifests
    from voxtrait.corpora import table as tables
    from voxtrait.corpora.stats import stats
    from voxtrait.integrity.report import Report
    from voxtrait.integrity.tables import check_table

    kind = {b"c": "csv", b"t": "tsv"}.get(data[:1], "parquet")
    path = place(f"all.{kind}")
    path.write_bytes(data[1:])
    tables.is_foreign(path)
    manifests.history(path)
    manifests.read(path, ("clip_id", "path"))
    found = manifests.with_absolute_paths(manifests.read(path), path.parent)
    check_table(found, Report("all", found.height))
    stats(found)
    return f"{found.height} rows"


def table_seeds() -> tuple[bytes, ...]:
    lines = b'{"file": "a.wav", "sex": "F"}\n{"file": "b.wav", "age": 1.5}\n'
    return (b"p" + _parquet(_frame()), b"c" + _columns().encode(), b"t" + _columns("tsv").encode(), b"j" + lines,
            b"c" + _columns().encode("utf-16"), b"t" + _columns("tsv").replace("\n", "\r").encode(),
            b"c" + _columns().replace("a.wav", '"a ""1"".wav"').encode(), b"g" + gzip.compress(lines))  # fmt: skip


def table(data: bytes) -> str:
    """As a table of clips that a user names."""
    ending = {b"c": "csv", b"t": "tsv", b"j": "jsonl", b"g": "jsonl.gz"}.get(data[:1], "parquet")
    path = place(f"x_cuts.{ending}" if ending == "jsonl.gz" else f"clips.{ending}")
    path.write_bytes(data[1:])
    if ending != "jsonl.gz":
        return imported(path)
    from voxtrait.corpora.table import read_any

    return f"{read_any(path)[0].height} rows"


def decision_seeds() -> tuple[bytes, ...]:
    return (
        b'scope,id,decision,value,note\nspeaker,s1,gender,male,"a ""b"""\nclip,a,remove,,\nclip,b,keep,gender,\n'
        b"speaker,s1,apart,s2,\nspeaker,s2,unsure,,x\n",
        "\ufeffscope,id,decision,value\nclip,a,age_group,forties\n".encode(),
    )


def decisions(data: bytes) -> str:
    """As an audit reads the decisions of a listener, and an import applies them."""
    from voxtrait.audit.decided import decide
    from voxtrait.corpora import decisions as files
    from voxtrait.manifest import conform

    path = place("decisions.csv")
    path.write_bytes(data)
    made = files.read(path)
    clips = {
        "path": ["a.wav", "b.wav"],
        "speaker_id": ["s1", "s2"],
        "gender": ["female", None],
        "age_years": [34.0, None],
    }
    found = decide(conform(pl.DataFrame(clips)), made)
    return f"{made.height} decisions, {found.kept.sum()} clips"


def settings(data: bytes) -> str:
    """As a folder of images, an export and a manifest are recognised by their settings."""
    from voxtrait.corpora.placing import MARK, claim
    from voxtrait.derived.settings import read_settings
    from voxtrait.manifest import funnel

    path = place("set/x.json").parent
    path.mkdir(exist_ok=True)
    (path / MARK).write_bytes(data)
    steps = funnel.decode(data.decode(errors="replace"))
    funnel.rows(steps)
    with contextlib.suppress(OptionError):
        claim(path, {"to": "csv"}, pl.DataFrame({"a": [1]}))
    return f"{len(read_settings(path, MARK) or {})} keys"


def setting_seeds() -> tuple[bytes, ...]:
    return (json.dumps({"to": "csv", "front_end": {"n_mels": 80}}).encode(), b"{}")


def _corpus(name: str) -> Target:
    return Target(
        f"corpus-{name}", partial(corpus_seeds, name), partial(corpus, name), (CorpusError, ManifestError), WORDS
    )


TARGETS: Final = (
    *(_corpus(name) for name in TREES),
    Target("archive", archive_seeds, archive, (CorpusError, ManifestError), (*WORDS, b"ustar",
           b"PK\x01\x02", b"PK\x03\x04",
           b"PK\x05\x06", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"77777777777\0", b"path="), seconds=20.0),
    Target("manifest", manifest_seeds, manifest, (ManifestError,), (*WORDS, b"PAR1")),
    Target("table", table_seeds, table, (CorpusError, ManifestError), (*WORDS, b"PAR1")),
    Target("decisions", decision_seeds, decisions, (CorpusError,), WORDS),
    Target("settings", setting_seeds, settings, (VoxtraitError,), WORDS),
)  # fmt: skip
