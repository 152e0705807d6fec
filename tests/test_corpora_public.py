"""What holds for the layout of every public corpus, each on a small tree made from its documentation."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from public_corpora import (
    MAKERS,
    audiomnist,
    put,
    read,
)
from voxtrait.audio.writing import write_wav
from voxtrait.corpora import detect, import_corpora, licence_of, source_of
from voxtrait.corpora.source import Listing
from voxtrait.corpora.trees import files_below
from voxtrait.errors import CorpusError

FUZZES = 3  # damaged copies of each table; 120 of each were tried once


@pytest.mark.parametrize("layout", MAKERS)
def test_each_tree_is_found_as_its_layout_and_no_other(layout: str, tmp_path: Path) -> None:
    root = MAKERS[layout](tmp_path)
    found = detect.find(tmp_path)
    assert [source.layout for source in found] == [layout]
    claims = [one.LAYOUT for one in detect.LAYOUTS if one.find(Listing.of(found[0].folder)) is not None]
    assert claims == [layout]
    assert found == detect.find(root)


@pytest.mark.parametrize("layout", MAKERS)
def test_names_and_labels_do_not_depend_on_the_place(layout: str, tmp_path: Path) -> None:
    tables = []
    for place in ("here", "some/where else"):
        root = MAKERS[layout](tmp_path / place)
        tables.append(read(root).table.with_columns(pl.col("path").str.strip_prefix(str(tmp_path / place))))
    assert tables[0].equals(tables[1])
    assert tables[0]["clip_id"].is_unique().all()
    assert tables[0].height >= 4


@pytest.mark.parametrize("layout", MAKERS)
def test_every_row_of_the_funnel_is_accounted_for_and_the_licence_known(layout: str, tmp_path: Path) -> None:
    result = read(MAKERS[layout](tmp_path))
    total = result.total
    assert total.rows == total.kept + sum(total.dropped.values())
    assert total.kept == result.table.height
    corpus = result.table["corpus"][0]
    assert licence_of(corpus) != "unknown"
    assert source_of(corpus) != "unknown"
    known = result.table["speaker_id"].drop_nulls()
    assert known.str.starts_with(f"{corpus}-").all()
    assert known.len()


def test_all_of_them_import_in_one_call(tmp_path: Path) -> None:
    for make in MAKERS.values():
        make(tmp_path)
    result = import_corpora([tmp_path])
    assert {one.layout for one in result.sources} == set(MAKERS)
    assert result.table.height == sum(one.kept for one in result.sources) == 6 + 5 + 10 + 5 + 5 + 5 + 5 + 4
    shared = result.table.drop_nulls("split").group_by("speaker_id").agg(pl.col("split").n_unique())
    assert shared["split"].max() == 1


def test_lengths_come_from_the_files(tmp_path: Path) -> None:
    root = audiomnist(tmp_path)
    write_wav(root / "data" / "58" / "7_58_0.wav", np.zeros(12_000, np.float32), 8000)
    table = import_corpora([root]).table
    assert dict(table.select("clip_id", "duration_s").drop_nulls().iter_rows()) == {"audiomnist/-/en/7_58_0": 1.5}


def test_files_below_follows_links_once_and_spells_odd_names(tmp_path: Path) -> None:
    put(tmp_path / "real" / "a.WAV")
    put(tmp_path / "real" / ".hidden" / "b.wav")
    put(tmp_path / "real" / "c.txt")
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "circle").symlink_to(root)
    (tmp_path / "real" / b"\xff.wav".decode(errors="surrogateescape")).touch()
    assert files_below(root) == (["linked/\\xff.wav", "linked/a.WAV"], [])
    assert files_below(root, (".txt",)) == (["linked/c.txt"], [])


@pytest.mark.parametrize("layout", MAKERS)
def test_any_bytes_in_a_table_import_or_give_one_clear_error(layout: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    root = MAKERS[layout](tmp_path)
    for path in [path for path in sorted(root.rglob("*")) if path.suffix.lower() in (".txt", ".csv", ".test")]:
        good = path.read_bytes()
        for _ in range(FUZZES):
            data = bytearray(good)
            for at in rng.integers(0, len(data), size=rng.integers(1, 6)):
                data[at] = int(rng.choice([0, 9, 10, 13, 34, 44, 124, 255, int(rng.integers(256))]))
            path.write_bytes(bytes(data[: rng.integers(1, len(data) + 1)]))
            try:
                result = read(root)
            except CorpusError as error:
                assert path.name in str(error)
            else:
                assert result.total.rows == result.table.height + sum(result.total.dropped.values())
        path.write_bytes(good)
