"""Pictures packed into shards, and training from them: the very same curve, in memory that does not grow."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from factories import tiny_release
from test_training import QUICK
from voxtrait import audio, batch, corpora, features, manifest
from voxtrait.cli import root
from voxtrait.derived import pictures, shards
from voxtrait.errors import DecodeError, ManifestError, OptionError
from voxtrait.manifest import splitting
from voxtrait.training import recipe
from voxtrait.training.pictures import folders, loading, streaming
from voxtrait.training.pictures.dataset import EpochBatches
from voxtrait.training.pictures.fit import train
from voxtrait.training.ranks import Share
from voxtrait.training.schedule import EpochSampler

SIZE = (96, 64)
SMALL = 7  # pictures a shard, so that a few clips make several


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    """A manifest with splits of 24 made-up speakers, two clips each."""
    folder = tmp_path_factory.mktemp("release")
    tiny_release(folder, speakers=24, clips=2)
    table = splitting.split(corpora.import_corpora([folder]).table, (50, 25, 25), seed=1)
    manifest.write(table, folder / "manifest.parquet")
    return folder / "manifest.parquet"


@pytest.fixture(scope="module")
def drawn(release, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    pictures.draw(release, folder, size=SIZE)
    return folder


@pytest.fixture(scope="module")
def packed(release, tmp_path_factory) -> Path:
    """The same in shards of seven."""
    folder = tmp_path_factory.mktemp("packed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "SHARD", SMALL)
        patch.setattr("voxtrait.batch.shards.SHARD", SMALL)
        summary = shards.pack(release, folder, size=SIZE)
    assert (summary.done, summary.failed, summary.shards) == (48, 0, 7)
    return folder


@pytest.fixture(scope="module")
def loose_run(drawn, tmp_path_factory):
    return train(recipe.load("diary-gender", QUICK), drawn, tmp_path_factory.mktemp("loose"))


def test_shards_hold_the_very_pictures_with_their_labels(packed, drawn):
    table = shards.read(packed)
    labels = manifest.read(drawn / "manifest.csv").rename({"path": "loose"})
    both = table.join(labels, on="clip_id", suffix="_loose")
    assert both.height == table.height == 48
    for column in ("gender", "age_group", "speaker_id", "split", "corpus"):
        assert both[column].to_list() == both[f"{column}_loose"].to_list()
    for file, row, loose in both.select("file", "row", "loose").iter_rows():
        assert shards.pictures_of(file)[row] == (drawn / loose).read_bytes()


def test_splits_lie_apart_and_training_clips_are_shuffled(packed):
    table = shards.read(packed)
    assert table["split"].rle().struct.field("value").to_list() == ["train", "validation", "test"]
    training = table.filter(split="train")
    assert training["name"].to_list() != training.sort("name")["name"].to_list()
    assert training.height == training["name"].n_unique()


def test_a_folder_of_pictures_packs_to_the_same(drawn, release, tmp_path):
    for number, source in enumerate((release, drawn)):
        shards.pack(source, tmp_path / str(number), size=SIZE)
    one, other = (shards.read(tmp_path / number).drop("file") for number in "01")
    assert one.equals(other)
    files = [next((tmp_path / number / "pictures").iterdir()) for number in "01"]
    assert shards.pictures_of(files[0]).equals(shards.pictures_of(files[1]))


def test_a_buffer_of_everything_gives_the_very_curve_of_loose_pictures(packed, loose_run, tmp_path):
    settings = recipe.load("diary-gender", (*QUICK, "workers=0", "buffer=1000"))
    found = train(settings, packed, tmp_path / "run")
    loose = loose_run.bundle.parent
    assert (tmp_path / "run" / "curves.csv").read_bytes() == (loose / "curves.csv").read_bytes()
    assert (found.bundle / "model.onnx").read_bytes() == (loose_run.bundle / "model.onnx").read_bytes()
    assert found.evaluation["gender"] == loose_run.evaluation["gender"]
    assert found.evaluation["leakage"] == "none"
    # only what the evaluation opens was ever written loose
    assert {path.parts[-4] for path in (tmp_path / "run" / "pictures").rglob("*.png")} == {"test"}


def test_a_small_buffer_trains_on_every_clip_and_stays_small(packed):
    settings = recipe.load("diary-gender", (*QUICK, "workers=0", f"buffer={2 * SMALL}"))
    table = streaming.read_table(packed, "gender").filter(split="train")
    loader = loading.batches(settings, ("female", "male"), table, shuffle=True)
    orders = []
    for epoch in (0, 1, 0):
        loader.batch_sampler.epoch = epoch
        seen, most = [], 0
        for number, rows in enumerate(loader.batch_sampler):
            seen += rows
            for row in rows:
                loader.dataset[row]
                most = max(most, len(loader.dataset.held))
            assert number < len(loader)
        assert most == 2
        orders.append(seen)
    assert orders[0] == orders[2] != orders[1]
    assert len(set(orders[0])) == len(orders[0]) == table.height // 8 * 8


def test_windows_shuffle_whole_shards_among_each_other():
    numbers = np.repeat(np.arange(10), 30)
    order = EpochBatches(300, 32, 1, Share(), numbers, 2).order()
    assert sorted(order) == list(range(300))
    pairs = [set(numbers[order[at : at + 60]]) for at in range(0, 300, 60)]
    assert all(len(pair) == 2 for pair in pairs)
    assert len(np.unique(np.diff(numbers[order[:60]]))) == 3, "two shards are mixed, not one after the other"
    whole = EpochBatches(300, 32, 1, Share(), numbers, 10)
    assert whole.order().tolist() == EpochBatches(300, 32, 1, Share()).order().tolist()
    assert whole.order().tolist() == list(EpochSampler(300, 1))


def test_reading_processes_give_what_this_process_would(packed):
    table = streaming.read_table(packed, "gender").filter(split="train")
    batches = []
    for workers in (0, 1):
        settings = recipe.load("diary-gender", (*QUICK, f"workers={workers}"))
        batches.append(list(loading.batches(settings, ("female", "male"), table, shuffle=True)))
    assert len(batches[0]) == table.height // 8
    for one, other in zip(*batches, strict=True):
        assert all(bool((a == b).all()) for a, b in zip(one, other, strict=True))


def test_age_is_read_from_the_same_shards(packed, drawn):
    streamed, loose = streaming.read_table(packed, "age"), folders.read_folder(drawn, "age")
    columns = ["label", "split", "clip_id", "speaker_id"]
    assert streamed.sort("clip_id").select(columns).equals(loose.sort("clip_id").select(columns))
    training = [one.filter(split="train")["clip_id"].to_list() for one in (streamed, loose)]
    assert training[0] == training[1]


def test_a_second_run_keeps_shards_and_a_clip_that_fails_is_told(release, tmp_path):
    table = manifest.with_absolute_paths(manifest.read(release), release.parent)
    (tmp_path / "bad.mp3").write_text("no sound")
    first = pl.col("clip_id") == table.filter(split="train")["clip_id"][0]
    bad = pl.when(first).then(pl.lit(str(tmp_path / "bad.mp3"))).otherwise("path")
    manifest.write(table.with_columns(path=bad), tmp_path / "all.parquet")
    command = ["images", str(tmp_path / "all.parquet"), str(tmp_path / "out"), "--shards", "--size", "96x64", "-q"]
    for done, kept in ((47, 0), (0, 47)):
        result = CliRunner().invoke(root, [*command, "-j", "1", "--format", "json"])
        found = json.loads(result.stdout)
        assert (result.exit_code, found["done"], found["kept"], found["failed"]) == (1, done, kept, 1)
        assert "is a text file" in found["failures"][0]["reason"]
    assert shards.read(tmp_path / "out").height == 47


def test_what_is_wrong_with_shards_is_said(packed, release, tmp_path):
    with pytest.raises(OptionError, match="Pack them again with --size 96x48"):
        train(recipe.load("diary-gender", (*QUICK, "height=48")), packed, tmp_path / "run")
    with pytest.raises(OptionError, match="has other settings"):
        shards.pack(release, packed, size=(96, 48))
    with pytest.raises(OptionError, match="Expected a manifest with splits, or a folder that 'voxtrait images'"):
        shards.pack(release.parent, tmp_path / "out", size=SIZE)
    unsplit = manifest.read(release).with_columns(split=pl.lit(None, pl.String))
    manifest.write(manifest.with_absolute_paths(unsplit, release.parent), tmp_path / "unsplit.parquet")
    with pytest.raises(ManifestError, match="'voxtrait corpus split' first"):
        shards.pack(tmp_path / "unsplit.parquet", tmp_path / "out", size=SIZE)
    half = tmp_path / "half"
    (half / "pictures").mkdir(parents=True)
    (half / "shards.json").write_bytes((packed / "shards.json").read_bytes())
    with pytest.raises(ManifestError, match="to resume packing"):
        train(recipe.load("diary-gender", QUICK), half, tmp_path / "run2")
    (half / "clips.parquet").write_bytes((packed / "clips.parquet").read_bytes())
    with pytest.raises(ManifestError, match=r"has 0 shards\. Expected 7"):
        shards.read(half)
    (half / "pictures" / "part-000000-x.parquet").write_bytes(b"PAR1")
    with pytest.raises(ManifestError, match="cannot be read"):
        shards.pictures_of(half / "pictures" / "part-000000-x.parquet")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda table: table.drop("speaker_id"), "cannot be read"),
        (lambda table: table.drop("age_years"), "cannot be read"),
        (lambda table: table.drop("row"), "cannot be read"),
        (lambda table: table.with_columns(row=pl.lit(None, pl.Int64)), "48 rows have no number"),
        (lambda table: table.with_columns(shard=pl.when(pl.col("row") > 0).then("shard")), "7 rows have no number"),
        (lambda table: table.with_columns(row=-pl.col("row") - 1), "row number -"),
    ],
)
def test_a_damaged_table_of_shards_is_refused(packed, damage, message, tmp_path):
    shutil.copytree(packed, tmp_path / "packed")
    damage(pl.read_parquet(packed / "clips.parquet")).write_parquet(tmp_path / "packed" / "clips.parquet")
    with pytest.raises(ManifestError, match=message):
        shards.read(tmp_path / "packed")


def test_the_front_end_of_shards_is_that_of_the_pictures(packed):
    assert shards.shards_front_end(packed) == features.picture_front_end(SIZE)


def test_a_file_of_audio_is_no_manifest(tmp_path: Path) -> None:
    audio.write_wav(tmp_path / "a.wav", np.zeros(8000, np.float32), 8000)
    with pytest.raises(OptionError, match=r"Got .*a\.wav\. Expected a manifest with splits"):
        shards.pack(tmp_path / "a.wav", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def copied(packed: Path, to: Path) -> Path:
    return Path(shutil.copytree(packed, to / "copy"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.drop("shard"), "cannot be read"),
        (lambda table: table.drop("gender"), "cannot be read"),
        (lambda table: table.with_columns(row=pl.lit("first")), "cannot be read"),
        (lambda table: table.with_columns(shard=pl.lit(-1)), "the row number -1"),
        (lambda table: table.with_columns(row=pl.lit(-2)), "the row number -2"),
        (lambda table: table.with_columns(shard=pl.lit(2**40)), "Expected 1099511627777"),
    ],
)
def test_a_table_that_does_not_fit_its_shards_is_refused(packed: Path, tmp_path: Path, change, words: str) -> None:
    folder = copied(packed, tmp_path)
    change(pl.read_parquet(folder / shards.TABLE)).write_parquet(folder / shards.TABLE)
    with pytest.raises(ManifestError, match=words):
        shards.read(folder)


def test_a_shard_in_the_place_of_the_table_is_refused(packed: Path, tmp_path: Path) -> None:
    folder = copied(packed, tmp_path)
    shutil.copy(next((folder / shards.PICTURES).glob("*.parquet")), folder / shards.TABLE)
    with pytest.raises(ManifestError, match="cannot be read"):
        shards.read(folder)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [(None, ManifestError, "has no image in row"), (b"no image", DecodeError, r"row \d: not a readable image")],
)
def test_a_shard_without_a_picture_of_the_table_is_named(
    packed: Path, tmp_path: Path, content: bytes | None, error: type[Exception], words: str
) -> None:
    folder = copied(packed, tmp_path)
    for file in (folder / shards.PICTURES).glob("*.parquet"):
        rows = pl.read_parquet(file).with_columns(picture=pl.lit(content, pl.Binary))
        (rows.head(0) if content is None else rows).write_parquet(file)
    table = streaming.read_table(folder, "gender")
    front_end = shards.shards_front_end(folder)
    dataset = streaming.ShardPictures(table, ("female", "male"), np.ones(table.height), front_end, holds=1)
    with pytest.raises(error, match=words):
        dataset[0]
