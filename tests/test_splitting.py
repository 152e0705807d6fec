"""The split by speakers: disjoint, stratified, reproducible; and what a table tells of leakage."""

from collections import defaultdict

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrait import manifest
from voxtrait.errors import LeakageError, OptionError
from voxtrait.labels import AGE_GROUPS, SPLITS
from voxtrait.manifest.splitting import leakage, parse_sizes, split, summary


def table_of(speakers: list[tuple[str | None, str | None]], clips: int = 2) -> pl.DataFrame:
    """A manifest with some clips of each speaker, given as gender and age group."""
    rows = [
        {
            "clip_id": f"c{at:04}_{n}",
            "path": f"c{at:04}_{n}.mp3",
            "speaker_id": f"s{at}",
            "gender": gender,
            "age_group": age,
        }
        for at, (gender, age) in enumerate(speakers)
        for n in range(clips)
    ]
    kinds = {name: manifest.SCHEMA[name] for name in ("clip_id", "path", "speaker_id", "gender", "age_group")}
    return manifest.conform(pl.DataFrame(rows, schema=kinds))


def speakers_by_split(table: pl.DataFrame) -> dict[str, int]:
    counts = table.group_by("split").agg(pl.col("speaker_id").n_unique())
    return dict(zip(counts["split"], counts["speaker_id"], strict=True))


def test_sizes_count_speakers_and_classes_keep_their_share() -> None:
    table = table_of([("female", "twenties")] * 40 + [("male", "twenties")] * 100 + [("male", "sixties")] * 10)
    done = split(table, (80, 10, 10))
    assert speakers_by_split(done) == {"train": 120, "validation": 15, "test": 15}
    assert speakers_by_split(done.filter(pl.col("gender") == "female")) == {"train": 32, "validation": 4, "test": 4}
    assert speakers_by_split(done.filter(pl.col("age_group") == "sixties")) == {"train": 8, "validation": 1, "test": 1}
    assert done.columns == table.columns


def test_three_speakers_are_in_all_splits_one_and_two_start_with_train() -> None:
    table = table_of([("female", "eighties")] * 3 + [("male", "nineties")] + [("male", "twenties")] * 30)
    done = split(table)
    assert speakers_by_split(done.filter(pl.col("age_group") == "eighties")) == dict.fromkeys(SPLITS, 1)
    assert speakers_by_split(done.filter(pl.col("age_group") == "nineties")) == {"train": 1}
    pair = split(table_of([("male", "nineties")] * 2))
    assert speakers_by_split(pair) == {"train": 1, "test": 1}


def test_an_age_group_of_two_men_and_a_woman_is_in_all_splits() -> None:
    table = table_of([("male", "eighties")] * 2 + [("female", "eighties")] + [("male", "twenties")] * 30)
    done = split(table).filter(pl.col("age_group") == "eighties")
    assert speakers_by_split(done) == dict.fromkeys(SPLITS, 1)


def test_the_same_seed_gives_the_same_bytes_whatever_the_order(tmp_path) -> None:
    table = table_of([("female", "teens"), ("male", None), (None, "fifties"), ("other", "teens")] * 9)
    written = []
    for at, rows in enumerate((table, table.sample(fraction=1.0, shuffle=True, seed=3).sort("clip_id"))):
        manifest.write(split(rows, seed=5), tmp_path / f"{at}.parquet")
        written.append((tmp_path / f"{at}.parquet").read_bytes())
    assert written[0] == written[1]
    shuffled = split(table.sample(fraction=1.0, shuffle=True, seed=3), seed=5)
    assert shuffled.sort("clip_id").equals(split(table, seed=5))
    assert not split(table, seed=6).equals(split(table, seed=5))


def test_the_split_of_one_seed_never_changes() -> None:
    done = split(table_of([("female", "teens")] * 10, clips=1), seed=1)
    chosen = {row["speaker_id"]: row["split"] for row in done.to_dicts() if row["split"] != "train"}
    assert chosen == {"s3": "test", "s6": "validation"}


def test_contradicting_labels_of_a_speaker_count_by_majority() -> None:
    table = table_of([("male", "twenties")] * 3, clips=5)
    odd = (pl.col("clip_id").str.ends_with("_0")) & (pl.col("speaker_id") == "s0")
    table = table.with_columns(gender=pl.when(odd).then(pl.lit("female")).otherwise(pl.col("gender")))
    done = split(table)
    assert speakers_by_split(done) == dict.fromkeys(SPLITS, 1)
    assert leakage(done)["verdict"] == "none"


def test_without_speaker_ids_a_split_is_refused_or_marked() -> None:
    table = table_of([("male", "teens")] * 20, clips=1)
    half = table.with_columns(speaker_id=pl.when(pl.col("clip_id") < "c0010").then(pl.col("speaker_id")))
    with pytest.raises(LeakageError, match=r"10 of 20 clips have no speaker id.*--allow-leak"):
        split(half)
    with pytest.raises(LeakageError, match=r"table of a corpus, run 'voxtrait corpus import' first\.$"):
        split(table.with_columns(speaker_id=pl.lit(None, pl.String)))
    done = split(half, allow_leak=True)
    assert done[manifest.SPLIT_UNIT].to_list() == ["speaker"] * 10 + ["clip"] * 10
    assert done["split"].value_counts().sort("split")["count"].to_list() == [2, 16, 2]
    assert leakage(done)["verdict"] == "unknown: no speaker ids"
    again = split(done.filter(pl.col("speaker_id").is_not_null()))
    assert manifest.SPLIT_UNIT not in again.columns


@pytest.mark.parametrize("sizes", ["80/20", "a/b/c", "0/50/50", "80/-10/30", "nan/1/1", "inf/1/1", "", "1/1/1/1"])
def test_sizes_that_are_none_are_refused(sizes: str) -> None:
    with pytest.raises(OptionError, match=r"Expected three numbers such as 80/10/10"):
        parse_sizes(sizes)


def test_a_split_may_be_left_out() -> None:
    done = split(table_of([("male", "teens")] * 10 + [("female", "teens")] * 3), (90, 0, 10))
    assert set(done["split"]) == {"train", "test"}


def test_leakage_counts_shared_speakers_and_sentences() -> None:
    rows = {
        "speaker_id": ["a", "a", "b", "b", "c", None],
        "sentence": ["x", "y", "x", "x", None, None],
        "split": ["train", "test", "test", "test", "train", None],
    }
    assert leakage(pl.DataFrame(rows)) == {
        "verdict": "1 speaker in more than one split",
        "n_shared_speakers": 1,
        "n_shared_sentences": 1,
        "n_without_speaker": 0,
    }
    none = pl.DataFrame(rows).with_columns(split=pl.lit(None, pl.String))
    assert leakage(none)["verdict"] == "no split"
    assert leakage(pl.DataFrame(rows).with_columns(split=pl.lit("test")))["verdict"] == "unknown: no speaker ids"


def test_summary_counts_clips_and_speakers() -> None:
    rows = summary(split(table_of([("female", "teens")] * 3 + [("non-binary", None)] * 3)))
    assert [row["class"] for row in rows] == ["all", "female", "non-binary", "female_teens"]
    assert rows[0] == {
        "class": "all",
        **{f"{name}_{what}": n for name in SPLITS for what, n in (("clips", 4), ("speakers", 2))},
    }


people = st.tuples(
    st.sampled_from(["female", "male", "non-binary", "other", None]), st.sampled_from([*AGE_GROUPS, None])
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(people, min_size=1, max_size=60),
    st.integers(0, 9),
    st.sampled_from([(80, 10, 10), (1, 1, 1), (98, 1, 1), (50, 0, 50), (1, 0, 0), (1 / 3, 1 / 3, 1 / 3)]),
)
def test_any_table_is_split_disjoint_and_stratified(
    speakers: list[tuple[str | None, str | None]], seed: int, sizes: tuple[float, float, float]
) -> None:
    done = split(table_of(speakers), sizes, seed=seed)
    active = {name for name, size in zip(SPLITS, sizes, strict=True) if size}
    assert leakage(done)["verdict"] == "none"
    assert set(done["split"]) <= active
    classes = defaultdict(set)
    for who, gender, age, where in done.select("speaker_id", "gender", "age_group", "split").iter_rows():
        stratum = gender if gender in ("female", "male", None) else "self-described"
        for key in {(stratum, age), ("gender", stratum), ("age", age)}:
            if None not in key:
                classes[key].add((who, where))
    for key, members in classes.items():
        if len(members) >= 3:
            assert {where for _, where in members} == active, key


@pytest.mark.parametrize(
    "names",
    [
        ["c/10", "c/9", "c/1"],
        ["c/a", "c/", "c/ab"],
        ["c/common_voice_en_20", "c/common_voice_en_3", "c/common_voice_en_17283949"],
        ["a/en/17283949.1", "a/de/17283949", "a/de/172839491"],
        ["c/é", "c/z", "c/ü", "c/~"],
        ["c/éééééééé", "c/zzzzzzzz", "c/a"],
        ["b", "a", "语"],
        ["a"],
        [],
    ],
)
def test_a_manifest_is_sorted_as_text(names: list[str]) -> None:
    table = pl.DataFrame({"clip_id": names, "at": range(len(names))}, schema={"clip_id": pl.String, "at": pl.Int64})
    expected = sorted(names, key=str.encode)
    found = manifest.sorted_by_id(table)
    assert found["clip_id"].to_list() == expected
    assert [names[at] for at in found["at"]] == expected
