"""Manifests full of odd labels and texts come back from every format as they were."""

import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from test_export import known, wav
from voxtrait import manifest
from voxtrait.corpora import Export, export, import_corpora
from voxtrait.labels import AGE_GROUPS, age_group_of

EXTRA = ("split_unit", "file_note", "Up votes", "spk", "dur", "text", "language", "clip", "transcription")
LETTERS = st.characters(codec="utf-8", exclude_characters="\0")
WORDS = st.one_of(
    st.sampled_from(['"stop', "a\tb", "a\nb", "a\r\nb", " led", "trail ", "né, 日本 ♥", "0001", "null", '"x"', "|"]),
    st.text(LETTERS, min_size=1, max_size=8),
)  # fmt: skip
STEMS = st.one_of(
    st.sampled_from(["a", "A", "a/b", "a__b", "a b", "a|", "common_voice_xx", "train/a", "a-b", "é"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1),
)  # fmt: skip
GENDERS = st.sampled_from([None, "female", "male", "non-binary", 'self "described", ♥', "do_not_wish_to_say"])


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """One row of a manifest as an import would have written it, its clip still without a corpus."""
    years = draw(st.one_of(st.none(), st.integers(0, 129).map(float), st.floats(0, 129.9)))
    group = draw(st.sampled_from([None, *AGE_GROUPS])) if years is None else age_group_of(years)
    unread = draw(st.one_of(st.none(), st.sampled_from(["old", "adult", "400", "-1"]))) if group is None else None
    return {
        "stem": draw(STEMS),
        "corpus": draw(st.sampled_from(["one", "two words"])),
        "release": draw(st.sampled_from([None, "r1", "r 2"])),
        "locale": draw(st.sampled_from([None, "en", "ab"])),
        "speaker_id": draw(st.one_of(st.none(), st.sampled_from(["s", "s-1", "s!", "S", "common", "x" * 128]), WORDS)),
        "gender": draw(GENDERS),
        "age_group": group,
        "age_years": years,
        "age": unread,
        "split": draw(st.sampled_from([None, "train", "validation", "test"])),
        "accent": draw(st.one_of(st.none(), WORDS)),
        "duration_s": draw(st.one_of(st.none(), st.floats(0.01, 1e4))),
        "sentence": draw(st.one_of(st.none(), WORDS)),
        **{name: draw(st.one_of(st.none(), WORDS)) for name in EXTRA},
    }


def as_manifest(found: list[dict[str, Any]], names: list[str]) -> pl.DataFrame:
    table = pl.DataFrame(
        found, schema_overrides=dict.fromkeys(found[0], pl.String) | {"age_years": pl.Float64, "duration_s": pl.Float64}
    )
    parts = [pl.col(name).fill_null("-") for name in ("corpus", "release", "locale")]
    table = table.with_columns(
        clip_id=pl.concat_str(*parts, "stem", separator="/"),
        path=pl.concat_str(pl.lit("/no/such folder/"), pl.int_range(pl.len()).cast(pl.String), pl.lit("/same.wav")),
    ).unique("clip_id", keep="first", maintain_order=True)
    return manifest.conform(table.drop("stem", *names)).sort("clip_id")


manifests = st.builds(
    as_manifest, st.lists(rows(), min_size=1, max_size=5), st.lists(st.sampled_from(EXTRA), unique=True)
)


again = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def there_and_back(table: pl.DataFrame, to: str, name: str = "out") -> tuple[pl.DataFrame, Export]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, name)
        if to == "audiofolder":
            clip = wav(Path(folder, "clip.wav"))
            done = export(table.with_columns(path=pl.lit(str(clip))), out, to=to)
        else:
            done = export(table, out, to=to, tables_only=True, audio="reference")
        return import_corpora([out], tables_only=True).table, done


@pytest.mark.parametrize("to", ["csv", "audiofolder", "kaldi", "audformat"])
def test_every_column_comes_back(to: str) -> None:
    @again
    @given(manifests)
    def run(table: pl.DataFrame) -> None:
        back, done = there_and_back(table, to)
        assert done.written == table.height
        lost = ("path",) if to == "audiofolder" else ()
        assert_frame_equal(known(back, *lost), known(table, *lost))

    run()


@pytest.mark.parametrize("name", ["out.csv", "out.tsv"])
def test_a_table_is_a_manifest_and_comes_back(name: str) -> None:
    @again
    @given(manifests)
    def run(table: pl.DataFrame) -> None:
        assert_frame_equal(known(there_and_back(table, "csv", name)[0]), known(table))

    run()


def test_lhotse_gives_back_every_clip_of_known_length() -> None:
    @again
    @given(manifests)
    def run(table: pl.DataFrame) -> None:
        table = table.with_columns(pl.col("duration_s").fill_null(1.5))
        assert_frame_equal(known(there_and_back(table, "lhotse")[0]), known(table))

    run()
