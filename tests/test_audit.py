"""``voxtrait corpus audit``: what is doubted, which voices are told apart, and what it writes."""

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

import factories
import models
from voxtrait import audit, corpora, manifest, recognize
from voxtrait.audit import doubt, heads, voices
from voxtrait.audit.auditing import MODEL
from voxtrait.audit.embeddings import ClipEmbeddings
from voxtrait.bundle import Bundle, hash_speaker
from voxtrait.cli import root
from voxtrait.corpora import decisions
from voxtrait.errors import MissingExtraError, NothingToDoError, OptionError

SIZE = 192  # values of a made-up embedding


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that judges where there are too few speakers; its answers are made up."""
    return models.make_encoder_bundle(tmp_path_factory.mktemp("bundle"))


def made_up(speakers: int, clips: int, *, spread: float = 0.5, seed: int = 0) -> tuple[pl.DataFrame, ClipEmbeddings]:
    """A manifest and embeddings: the first value says the gender, the second the years, the others who it is."""
    rng = np.random.default_rng(seed)
    voice = rng.standard_normal((speakers, SIZE))
    female, years = np.arange(speakers) % 2, 5.0 + 10 * (np.arange(speakers) % 7 + 1)
    voice[:, 0], voice[:, 1] = 12 * (female - 0.5), (years - 40) / 5
    x = np.repeat(voice, clips, axis=0) + spread * rng.standard_normal((speakers * clips, SIZE))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    who = np.repeat(np.arange(speakers), clips)
    table = pl.DataFrame(
        {
            "path": [f"{at}.mp3" for at in range(len(who))],
            "speaker_id": [f"s{one}" for one in who],
            "gender": [("male", "female")[female[one]] for one in who],
            "age_years": years[who],
        }
    )
    told = pl.DataFrame({"p_female": 1 / (1 + np.exp(-60 * x[:, 0])), "age_years": 40 + 50 * x[:, 1]})
    return manifest.conform(table), ClipEmbeddings(told, x.astype(np.float16), np.ones(len(x), dtype=bool))


def relabelled(table: pl.DataFrame, speaker: str, column: str, value: object) -> pl.DataFrame:
    changed = pl.when(pl.col("speaker_id") == speaker).then(pl.lit(value)).otherwise(column)
    return table.with_columns(changed.alias(column))


# --- doubt


@pytest.mark.parametrize(
    ("task", "column", "value", "label"),
    [
        ("gender", "gender", "female", "female"),
        ("age", "age_years", 75.0, "seventies"),
    ],
)
def test_a_wrong_label_is_the_most_doubted(bundle: Bundle, task: str, column: str, value: object, label: str) -> None:
    table, heard = made_up(80, 3)
    judged = doubt.judge(task, doubt.people(relabelled(table, "s14", column, value)), heard, bundle)
    first = judged.speakers.row(0, named=True)
    assert (judged.how["folds"], judged.how["not_judged"]) == (5, 0)
    assert table["speaker_id"][first["rows"][0]] == "s14"
    assert (first["label"], first["n_clips"]) == (label, 3)
    assert first["answer"] == ("male" if task == "gender" else "teens")
    assert first["doubt"] > 0.9
    assert set(table["speaker_id"].gather(judged.clips["row"].head(3))) == {"s14"}
    assert judged.clips["doubt"].is_sorted(descending=True)


def test_the_head_that_judges_a_speaker_never_heard_them() -> None:
    # a speaker whose voice is nothing like the others': a head that heard them would believe their label
    table, heard = made_up(60, 4)
    vectors = np.array(heard.embeddings, dtype=np.float32)
    vectors[:4] = np.eye(SIZE, dtype=np.float32)[150]
    lone = ClipEmbeddings(heard.table, vectors.astype(np.float16), heard.has)
    one, other = (doubt.people(relabelled(table, "s0", "gender", name)) for name in ("female", "male"))
    fold = heads.folds_of(one.name)
    logits = [heads.female_logits(lone, who.female, who.number, fold) for who in (one, other)]
    ratio = logits[0] / logits[1]  # one number in the speaker's own fold: how sure all heads are, together
    assert np.ptp(ratio[fold == fold[0]]) < 1e-6
    assert np.ptp(ratio) > 0.01  # the others' heads did hear them


def test_folds_are_of_speakers_and_do_not_depend_on_who_else_is_there() -> None:
    names = pl.Series([f"s{at % 50}" for at in range(200)])
    fold = heads.folds_of(names)
    assert len(np.unique(fold)) == heads.FOLDS
    assert pl.DataFrame({"n": names, "f": fold}).unique().height == 50
    assert heads.folds_of(names[:7]).tolist() == fold[:7].tolist()
    assert heads.folds_of(names, seed=1).tolist() != fold.tolist()


def test_doubt_parts_wrong_labels_from_right_ones(bundle: Bundle) -> None:
    table, heard = made_up(2000, 1)
    swapped = np.random.default_rng(1).random(table.height) < 0.1
    flipped = pl.col("gender").replace({"male": "female", "female": "male"})
    noisy = table.with_columns(gender=pl.when(pl.Series(swapped)).then(flipped).otherwise("gender"))
    clips = doubt.judge("gender", doubt.people(noisy), heard, bundle).clips
    wrong, doubted = swapped[clips["row"].to_numpy()], clips["doubt"].to_numpy() > 0.5
    assert wrong[doubted].mean() > 0.95
    assert wrong[~doubted].mean() < 0.02
    assert clips["answer"].eq(clips["label"]).to_list() == (~doubted).tolist()


def test_a_childs_gender_comes_last(bundle: Bundle) -> None:
    table, heard = made_up(80, 2)
    wrong = relabelled(relabelled(table, "s14", "gender", "female"), "s16", "gender", "female")
    young = relabelled(wrong, "s14", "age_years", 8.0)
    speakers = doubt.judge("gender", doubt.people(young), heard, bundle).speakers
    assert table["speaker_id"][speakers["rows"][0][0]] == "s16"
    child = speakers.filter("child").row(0, named=True)
    assert child["doubt"] > 0.9
    assert speakers["child"].to_list()[-1]


def test_both_labels_of_one_speaker_are_judged_apart(bundle: Bundle) -> None:
    table, heard = made_up(80, 4)
    half = pl.when(pl.col("path") == "0.mp3").then(pl.lit("female")).otherwise("gender")
    judged = doubt.judge("gender", doubt.people(table.with_columns(gender=half)), heard, bundle)
    first = judged.speakers.row(0, named=True)
    assert (first["rows"], first["label"], first["answer"], first["n_clips"]) == ([0], "female", "male", 1)


def test_with_too_few_speakers_the_bundle_judges_whom_it_was_not_made_with(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, heard = made_up(30, 2)
    monkeypatch.setattr(Bundle, "speakers", lambda self: frozenset({hash_speaker("s3")}))
    who = doubt.people(relabelled(table, "s4", "gender", "female"))
    judged = doubt.judge("gender", who, heard, bundle)
    assert (judged.how["judge"], judged.how["folds"], judged.how["not_judged"]) == (bundle.title, 0, 1)
    assert "14 male" in judged.how["why"]
    assert table["speaker_id"][judged.speakers["rows"][0][0]] == "s4"
    assert judged.speakers.height == 29


def test_what_is_fitted_to_is_drawn_from_everybody() -> None:
    speaker = np.concatenate([np.zeros(1000, np.int64), np.arange(1, 50)])
    rows = heads.chosen(np.arange(len(speaker)), speaker, seed=0)
    assert np.bincount(speaker[rows]).tolist() == [heads.CLIPS] + [1] * 49


# --- voices


def numbers(table: pl.DataFrame) -> np.ndarray:
    return table["speaker_id"].str.slice(1).cast(pl.Int64).to_numpy().copy()


def test_two_people_under_one_id_and_one_person_with_two_are_found() -> None:
    table, heard = made_up(150, 4)
    person = numbers(table)
    person[person == 20] = 22  # two men: s20 is s22 now
    person[24 * 4] = 26  # one clip of s24 is under s26
    person[30 * 4 : 30 * 4 + 2] = 150  # half of s30 has an id of its own
    pooled = voices.pool(heard, person, 151)
    assert pooled.counts[[20, 22, 24, 26, 150]].tolist() == [0, 8, 3, 5, 2]
    mixed = voices.mixed(heard, person, pooled)
    assert sorted(mixed["speaker"].to_list()) == [22, 26]
    others = dict(zip(mixed["speaker"], mixed["others"].to_list(), strict=True))
    assert others[26] == [96]
    assert others[22] in ([80, 81, 82, 83], [88, 89, 90, 91])
    same = voices.same(pooled, np.full(151, np.nan), 10)
    assert (same["speaker"][0], same["other"][0]) == (30, 150)


def test_pairs_do_not_depend_on_the_size_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    table, heard = made_up(150, 4)
    person = numbers(table)
    person[2::4] += 150  # every speaker has a second id for half of their clips
    person[3::4] += 150
    pooled = voices.pool(heard, person, 300)
    plain = voices.same(pooled, np.full(300, np.nan), 100)
    assert plain.height == 100
    assert (plain["other"] - plain["speaker"] == 150).all()
    monkeypatch.setattr(voices, "_BLOCK", 7)
    small = voices.same(pooled, np.full(300, np.nan), 100)
    assert small.select("speaker", "other").rows() == plain.select("speaker", "other").rows()
    assert small["likeness"].to_list() == pytest.approx(plain["likeness"].to_list(), abs=1e-4)


def test_more_is_asked_for_where_the_genders_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    table, heard = made_up(150, 4)
    person = numbers(table)
    person[:2] = 150
    pooled = voices.pool(heard, person, 151)
    female = np.zeros(151)
    pair = voices.same(pooled, female, 5).row(0)
    monkeypatch.setattr(voices, "SAME_DESPITE", pair[2] + 1)
    female[150] = 1
    assert (0, 150) not in voices.same(pooled, female, 5).select("speaker", "other").rows()


def test_one_strange_clip_among_very_many_is_found() -> None:
    table, heard = made_up(150, 4)
    person = numbers(table)
    many = np.concatenate([np.tile(np.arange(4), 50), [9], np.arange(8, 600)])
    vectors = np.asarray(heard.embeddings)[many]
    noise = 0.01 * np.random.default_rng(0).standard_normal(vectors.shape)
    crowd = ClipEmbeddings(pl.DataFrame(), (vectors + noise).astype(np.float16), np.ones(len(many), dtype=bool))
    whose = person[many].copy()
    whose[200] = 0
    mixed = voices.mixed(crowd, whose, voices.pool(crowd, whose, 150))
    assert mixed.row(0, named=True)["speaker"] == 0
    assert mixed["others"][0].to_list() == [200]


# --- the command


def run(*args: object) -> Result:
    return CliRunner().invoke(root, ["corpus", "audit", *map(str, args)])


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return factories.tiny_manifest(tmp_path_factory.mktemp("audit"), 6, 2, split=False)


def test_a_small_corpus_end_to_end(release: Path, tmp_path: Path) -> None:
    done = run(release, "--out", tmp_path / "a", "--jobs", 1, "--quiet")
    assert done.exit_code == 0, done.output
    assert "gender" in done.stdout
    model = recognize.load(MODEL)
    summary = json.loads((tmp_path / "a" / "audit.json").read_text())
    assert (summary["n_clips"], summary["n_speakers"]) == (12, 6)
    assert summary["tasks"]["gender"]["judge"] == model.bundle.title
    assert "too few labelled speakers" in summary["tasks"]["gender"]["why"]
    assert any("voices were not compared: fewer than 100 speaker ids" in text for text in summary["notes"])
    names = {"index.html", "audit.json", "clips.parquet", "embeddings.npy", "pictures", "heard"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == names | {
        f"{name}.csv" for name in ("doubts", "speakers", "mixed", "same")
    }
    clips = pl.read_parquet(tmp_path / "a" / "clips.parquet")
    assert clips.height == 12
    assert not clips["path"].str.starts_with("/").any()
    assert len(list((tmp_path / "a" / "pictures").iterdir())) == 12
    assert np.load(tmp_path / "a" / "embeddings.npy").shape == (12, model.embedding_size)
    asked = run(release, "--out", tmp_path / "a", "--jobs", 1, "--format", "json")
    answer = json.loads(asked.stdout)
    assert {key: answer[key] for key in summary} == summary
    assert f"review page: {tmp_path / 'a' / 'index.html'}" in asked.stderr
    rows = pl.read_csv(run(release, "--out", tmp_path / "a", "-q", "--jobs", 1, "--format", "csv").stdout.encode())
    assert [one["clip_id"] for one in answer["doubts"]] == rows["clip_id"].to_list()
    assert {one["task"] for one in answer["speakers"]} == {"age", "gender"}
    without = run(release, "--jobs", 1, "--format", "csv")
    assert pl.read_csv(without.stdout.encode()).equals(rows)
    assert "For a review page, add --out FOLDER." in without.stderr
    assert rows.height == 24
    assert rows["task"].unique().sort().to_list() == ["age", "gender"]


def test_a_file_that_cannot_be_heard_is_named_and_the_rest_is_audited(release: Path, tmp_path: Path) -> None:
    table = manifest.with_absolute_paths(manifest.read(release), release.parent)
    broken = tmp_path / "broken.mp3"
    broken.write_text("no audio")
    one = pl.when(pl.col("clip_id") == table["clip_id"][0]).then(pl.lit(str(broken))).otherwise("path")
    manifest.write(table.with_columns(path=one), tmp_path / "all.parquet")
    done = run(tmp_path / "all.parquet", "--out", tmp_path / "a", "--jobs", 1, "-q")
    assert done.exit_code == 1
    assert f"failed: {broken}" in done.stderr
    assert json.loads((tmp_path / "a" / "audit.json").read_text())["statuses"] == {"error": 1, "ok": 11}


def test_a_killed_run_goes_on_and_decisions_need_no_second_hearing(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = audit.audit(release, tmp_path / "a")
    speaker = first.speakers.filter(pl.col("task") == "gender")["speaker_id"][0]
    clip = first.doubts.filter((pl.col("task") == "age") & (pl.col("speaker_id") != speaker))["clip_id"][0]
    made = [("speaker", speaker, "keep", "gender", ""), ("clip", clip, "remove", "", "")]
    decisions.write(pl.DataFrame(made, schema=list(decisions.COLUMNS), orient="row"), tmp_path / "d.csv")

    def deaf(self: object, source: object) -> None:
        raise AssertionError("heard again")

    monkeypatch.setattr(recognize.Recognizer, "hear", deaf)
    again = audit.audit(release, tmp_path / "a", decisions=tmp_path / "d.csv")
    gender = again.doubts.filter(pl.col("task") == "gender")
    assert speaker not in gender["speaker_id"]
    assert speaker in again.doubts.filter(pl.col("task") == "age")["speaker_id"]
    assert clip not in again.doubts["clip_id"]
    assert again.summary["decisions"]["removed"] == 1
    assert again.summary["decisions"]["kept"] == 2
    assert pl.read_parquet(tmp_path / "a" / "clips.parquet").height == 12


def test_embeddings_are_those_of_the_bundle_and_of_its_size(release: Path, tmp_path: Path, bundle: Bundle) -> None:
    found = audit.audit(release, tmp_path / "a", bundle=bundle.folder)
    assert found.summary["model"] == bundle.title
    embeddings = np.load(tmp_path / "a" / "embeddings.npy")
    assert embeddings.shape == (12, models.EMBEDDING) and embeddings.dtype == np.float16
    recognizer = recognize.Recognizer(bundle)
    for path, row in zip(manifest.read(release)["path"], embeddings, strict=True):
        np.testing.assert_allclose(row, recognizer.embed(release.parent / path), atol=1e-3)


def test_a_bundle_of_pictures_doubts_by_itself(release: Path, tmp_path: Path) -> None:
    found = audit.audit(release, tmp_path / "a", bundle="voxtrait-diary")
    assert found.summary["tasks"]["gender"]["judge"] == "voxtrait-diary 1.0"
    assert found.summary["mixed"]["compared"] == 0
    assert np.load(tmp_path / "a" / "embeddings.npy").shape == (12, 0)


def test_without_labels_and_without_ids_there_is_a_page_all_the_same(release: Path, tmp_path: Path) -> None:
    table = manifest.with_absolute_paths(manifest.read(release), release.parent)
    bare = table.drop("gender", "age_group", "speaker_id")
    manifest.write(bare, tmp_path / "bare.parquet")
    found = audit.audit(tmp_path / "bare.parquet", tmp_path / "a")
    assert (found.doubts.height, found.speakers.height, found.summary["n_speakers"]) == (0, 0, 0)
    manifest.write(table.drop("speaker_id"), tmp_path / "nobody.parquet")
    found = audit.audit(tmp_path / "nobody.parquet", tmp_path / "b")
    assert found.speakers.filter(pl.col("task") == "gender")["clip_id"].n_unique() == 12
    assert found.speakers["speaker_id"].null_count() == found.speakers.height
    assert '"scope":"clip"' in (tmp_path / "b" / "index.html").read_text()


def test_wrong_use(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tmp_path / "none.parquet", "--out", tmp_path).exit_code == 2
    assert run(tmp_path / "none.parquet").exit_code == 2
    assert run().exit_code == 2
    done = run(release, "--out", tmp_path, "--decisions", release)
    assert (done.exit_code, "cannot be read as a CSV" in done.stderr) == (2, True)
    with pytest.raises(OptionError, match="got top 0"):
        audit.audit(release, tmp_path, top=0)
    manifest.write(manifest.read(release).clear(), tmp_path / "empty.parquet")
    with pytest.raises(NothingToDoError, match=r"no clips to audit: .*empty\.parquet is an empty table"):
        audit.audit(tmp_path / "empty.parquet", tmp_path)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[audit\]"):
        audit.audit(release, tmp_path / "b")
    assert not (tmp_path / "b").exists()


# --- real speech, with faults planted in the table


def planted(table: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, list[str]]]:
    """Change labels, ids and paths of a manifest, five times each way; the sound stays as it is."""
    rich = (
        table.group_by("speaker_id")
        .agg(pl.len(), pl.col("gender").first(), pl.col("age_group").first())
        .filter((pl.col("len") == 4) & pl.col("gender").is_in(["female", "male"]) & (pl.col("age_group") != "teens"))
        .sort("speaker_id")
    )
    men, women = (rich.filter(pl.col("gender") == name)["speaker_id"].to_list() for name in ("male", "female"))
    take = {name: [men.pop(0) for _ in range(5)] for name in ("relabelled", "merged", "into", "split", "a", "b", "c")}
    take["d"] = [women.pop(0) for _ in range(5)]
    path = dict(table.select("clip_id", "path").iter_rows())
    clips = {one: table.filter(pl.col("speaker_id") == one)["clip_id"].to_list() for one in rich["speaker_id"]}
    who = dict(table.select("clip_id", "speaker_id").iter_rows())
    for one, other in [*zip(take["a"], take["b"], strict=True), *zip(take["c"], take["d"], strict=True)]:
        x, y = clips[one][1], clips[other][2]
        path[x], path[y] = path[y], path[x]
    for one, other in zip(take["merged"], take["into"], strict=True):
        who |= dict.fromkeys(clips[one], other)
    for one in take["split"]:
        who |= dict.fromkeys(clips[one][:2], f"{one}/2")
    flip = pl.when(pl.col("speaker_id").is_in(take["relabelled"])).then(pl.lit("female")).otherwise("gender")
    return table.with_columns(gender=flip, path=pl.Series(path.values()), speaker_id=pl.Series(who.values())), take


@pytest.mark.slow
def test_planted_faults_are_found_in_real_speech(speech: Path, tmp_path: Path) -> None:
    table = corpora.import_corpora([speech / "cv-corpus-17.0-delta-2024-03-15"], tables_only=True).table
    table = table.filter(pl.int_range(pl.len()).over("speaker_id") < 4)
    wrong, take = planted(table)
    manifest.write(wrong, tmp_path / "all.parquet")
    found = audit.audit(tmp_path / "all.parquet", tmp_path / "a", jobs=2, top=40)
    speakers = found.speakers.filter(pl.col("task") == "gender")["speaker_id"].to_list()
    ranks = {"relabelled": [speakers.index(one) for one in take["relabelled"]]}
    clips = found.doubts.filter(pl.col("task") == "gender")
    of = dict(table.select("clip_id", "speaker_id").iter_rows())
    order = [of[clip] for clip in clips["clip_id"]]
    ranks["swapped with another gender"] = [order.index(one) if one in order else 999 for one in take["c"] + take["d"]]
    mixed = found.mixed["speaker_id"].to_list()
    for name in ("into", "a", "b", "c", "d"):
        ranks[f"mixed {name}"] = [mixed.index(one) if one in mixed else 999 for one in take[name]]
    pairs = [frozenset(pair) for pair in found.same.select("speaker_id", "other_id").iter_rows()]
    wanted = [frozenset((one, f"{one}/2")) for one in take["split"]]
    ranks["split"] = [pairs.index(pair) if pair in pairs else 999 for pair in wanted]
    limits = {"relabelled": 12, "swapped with another gender": 60, "mixed into": 40, "split": 10}
    near = {name: sum(rank < limits.get(name, 40) for rank in some) / len(some) for name, some in ranks.items()}
    assert all(share >= 0.8 for share in near.values()), (near, ranks)
