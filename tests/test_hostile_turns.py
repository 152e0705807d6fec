"""Turns, recipes, settings and messages that mean no good: absurd numbers, deep nesting, endless patterns."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

import models
from voxtrait.bundle import scores
from voxtrait.cli import root
from voxtrait.corpora.placing import MARK, claim
from voxtrait.derived.settings import read_settings
from voxtrait.errors import LONGEST, AudioError, CorpusError, DecodeError, OptionError, RecipeError, StorageError
from voxtrait.manifest import funnel
from voxtrait.timelines.turns import read_turns
from voxtrait.training import recipe

SHORT = '"ooTextFile"\n"TextGrid"\n0\n9\n<exists>\n{}\n"IntervalTier"\n"who"\n0\n9\n{}\n'
TURNS = {
    "a count of many digits": ("a.TextGrid", SHORT.format("9" * 5000, 1), "expected the number of tiers"),
    "intervals without end": ("a.TextGrid", SHORT.format(1, "9" * 5000), "expected the number of intervals"),
    "a number of many digits": ("a.json", f'[{{"start": {"9" * 5000}, "end": 1, "speaker": "x"}}]', "damaged JSON"),
    "an infinite end": ("a.json", '[{"start": 0, "end": 1e400, "speaker": "x"}]', "got end inf, expected"),
    "an end in 300 years": ("a.json", '[{"start": 0, "end": 1e10, "speaker": "x"}]', "a time of at most 10,000,000 s"),
    "a turn that would be cut into 10^299 pieces": ("a.csv", "start,end,speaker\n0,1e300,x\n", "got end '1e300'"),
    "no number": ("a.json", '[{"start": NaN, "end": 1, "speaker": "x"}]', "got start nan, expected"),
    "a tree": ("a.json", '[{"start": 0, "end": 1, "speaker": ' + "[" * 900 + "]" * 900 + "}]", "a.json"),
    "deep lists": ("a.json", "[" * 100_000, "nested too deeply"),
    "deep objects": ("a.json", '{"segments": [' * 50_000, "nested too deeply"),
    "an entity bomb": ("a.eaf", '<!DOCTYPE x [<!ENTITY a "aaaa">]><ANNOTATION_DOCUMENT/>', "document type declaration"),
    "a root of 10,000 signs": ("a.eaf", f"<{'x' * 10_000}/>", "root element 'xxx"),
    "names that move the cursor": (
        "a.rttm", "SPEAKER a\x1b[2J 1 0 1 <NA> <NA> S <NA>\nSPEAKER b 1 0 1 <NA> <NA> S <NA>\n", r"'a\x1b[2J'"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", TURNS)
def test_turns_that_are_not_real_are_one_clear_error(kind: str, tmp_path: Path) -> None:
    name, content, message = TURNS[kind]
    (tmp_path / name).write_text(content)
    with pytest.raises(OptionError) as caught:
        read_turns(tmp_path / name)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "1.0\t2.0\tA\n"),
        ("a.rttm", "SPEAKER a 1 1 1 <NA> <NA> A <NA>\n"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nA: x\n"),
        ("a.vtt", "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n<v A>x\n"),
        ("a.csv", "start,end,speaker\n1,2,A\n"),
        ("a.json", '[{"start": 1, "end": 2, "speaker": "A"}]\n'),
    ],
)
@pytest.mark.parametrize("before", ["", "\n" * 300, " \r\n" * 300])
def test_turns_after_many_blank_lines(name: str, content: str, before: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(before + content)
    (turn,) = read_turns(tmp_path / name)
    assert (turn.start_s, turn.end_s, turn.speaker) == (1.0, 2.0, "A")


CUE = "00:00:01.000 --> 00:00:02.000\n"
SLOW = {
    "a voice of many points": ("a.vtt", f"WEBVTT\n\n{CUE}<v{'.' * 40}\n"),
    "a voice of many classes": ("a.vtt", f"WEBVTT\n\n{CUE}<v{'.a' * 40}!\nA: x\n"),
    "tags that do not end": ("a.srt", f"1\n{CUE}{'<' * 200_000}\n"),
    "voices that do not end": ("a.vtt", f"WEBVTT\n\n{CUE}{'<v x ' * 50_000}\n"),
    "very many cues": ("a.srt", f"{CUE}A: x\n\n" * 30_000),
    "very many intervals": ("a.TextGrid", SHORT.format(1, 60_000) + '1\n2\n"A"\n' * 60_000),
}  # 2^40 steps, or as many as the square of the size, before; now fractions of a second


@pytest.mark.parametrize("kind", SLOW)
def test_turns_are_read_in_a_time_that_grows_with_their_size_only(kind: str, tmp_path: Path) -> None:
    name, content = SLOW[kind]
    (tmp_path / name).write_text(content)
    begun = time.process_time()
    try:
        found = read_turns(tmp_path / name)
    except OptionError as error:
        assert "no cue names a speaker" in str(error)
    else:
        assert {turn.speaker for turn in found} in ({"A"}, {"x"})
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 10_000, "is nested too deeply"),
        ("a" + ".a" * 100_000 + " = 1", "Expected a recipe of at most 32,768."),
        ("a" + ".a" * 5000 + " = 1", "Unknown key a"),
        (f"seed = {'9' * 5000}", "is not valid TOML"),
        ("#" * (recipe.LARGEST + 1), "Expected a recipe of at most 32,768."),
        ('name = "x"\ntask = "gender"\nkind = ["pictures"]', "kind: got"),
        (f'name = "x"\ntask = "gender"\ndropout = {"9" * 400}', "dropout: got 999"),
        ('name = "x"\ntask = "gender"\nlearning_rate = nan', "learning_rate: got nan"),
        ('name = "x"\ntask = "gender"\nchannels = [1000000000]', "expected 1 to 12 numbers from 1 to 4096"),
        ('name = "x"\ntask = "gender"\nchannels = [true]', "expected a list of whole numbers"),
        (f'name = "x"\ntask = "gender"\nchannels = [{"1, " * 5000}]', "expected 1 to 12 numbers"),
        ('name = "x"\ntask = "gender"\nwidth = 1000000', "4096"),
    ],
)
def test_recipes_that_are_not_real(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        recipe.load(tmp_path / "a.toml")
    assert message in str(caught.value)
    with pytest.raises(RecipeError):
        recipe.load("fast", [f"views={'9' * 5000}"])
    with pytest.raises(RecipeError):
        recipe.load("fast", [f"views={'[' * 5000}"])


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a": ' * 50_000, "9" * 5000, "\ud800", '[{"name": "a", "rows": 1e400}]']
)
def test_settings_and_funnels_that_are_none(text: str, tmp_path: Path) -> None:
    assert funnel.decode(text) == []
    (tmp_path / MARK).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(OptionError, match=r"cannot be read|is not a settings file"):
        read_settings(tmp_path, MARK)
    with pytest.raises(OptionError, match="contains another export"):
        claim(tmp_path, {"to": "csv"}, pl.DataFrame({"a": [1]}))


@pytest.mark.parametrize("kind", [OptionError, CorpusError, DecodeError, StorageError, AudioError])
def test_a_message_cannot_control_a_terminal_and_has_an_end(kind: Callable[[str], Exception]) -> None:
    assert str(kind("a\x1b[2J\x07b\n\u202ec")) == "a\\x1b[2J\\x07b\n\\u202ec"
    long = str(kind("x" * 100_000 + "end"))
    assert len(long) <= LONGEST
    assert long.endswith("end")


def test_names_of_files_cannot_control_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a\x1b[2J.mp3").write_text("no sound\n")
    text = CliRunner().invoke(root, ["a\x1b[2J.mp3", "--model", str(models.make_bundle(tmp_path / "b").folder)])
    assert "\x1b" not in text.output
    assert "a\\x1b[2J.mp3" in text.output
    lines = CliRunner().invoke(root, ["a\x1b[2J.mp3", "--format", "jsonl"])
    assert json.loads(lines.stdout)["path"] == "a\x1b[2J.mp3"  # programs get the name itself


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_clips": "many"}, "the score n_clips is not a number"),
        ({"split": 7}, "the score split is not a text"),
        ({"age": []}, "the scores of age are not an object"),
        ({"age": {"mae": {"value": 7.5}}}, "the score age mae is not a number with its interval"),
        (
            {"age": {"mae": {"value": 7.5, "low": None, "high": float("inf")}}},
            "age mae is not a number with its interval",
        ),
        ({"age": {"mae": {"value": 1e300, "low": None, "high": None}}}, "age mae is not a number with its interval"),
        ({"age": {"by_group": {"teens": 9.0}}}, "age by_group is not a table of numbers by group"),
        ({"age": {"by_group": {"teens": {"n_clips": 1.5}}}}, "age by_group is not a table of numbers by group"),
        ({"age": {"by_group": {"teens": {"n_clips": 1, "n_speakers": 1, "mae": "x"}}}}, "is not a table of numbers"),
        ({"age": {"constant": float("nan")}}, "the score age constant is not a number"),
    ],
)
def test_scores_that_cannot_be_shown_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        scores.check(values, ("gender", "age"))


def test_scores_of_older_versions_may_lack_tables_and_counts() -> None:
    scores.check({"age": {"by_group": None, "by_estimate": {"teens": {"mae": 1.0}}}}, ("gender", "age"))
