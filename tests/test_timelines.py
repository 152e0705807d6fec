"""Timelines: windows joined, runs cut, parts settled, somebody else's turns."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

import voxtrait
from test_timeline_clusters import item
from voxtrait import audio
from voxtrait.cli import root
from voxtrait.cli.timeline import FORMATS
from voxtrait.errors import BundleError, OptionError, SignalError
from voxtrait.recognize import Recognizer
from voxtrait.speech import segmentation
from voxtrait.synthetic import draw_voice, speak
from voxtrait.timelines import Segment, formats, given, timeline
from voxtrait.timelines.diarizer import Diarizer, EncodedRun, joined
from voxtrait.timelines.runs import GAP_FRAMES, LEAST_FRAMES, Run, Runs
from voxtrait.timelines.tracks import STEP_FRAMES, Stretch, Tracks
from voxtrait.timelines.turns import turns_of

RATE = 16_000
TURNS = [(1 + 5 * place, 5 + 5 * place, "female" if place % 2 == 0 else "male") for place in range(8)]


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return voxtrait.load()


@pytest.fixture(scope="module")
def talk() -> np.ndarray:
    """A made-up woman and a made-up man in turns of four seconds, with a second of silence between: 41 s."""
    people = {gender: draw_voice(gender, 30.0, seed=5) for gender in ("female", "male")}
    signal = np.random.default_rng(0).normal(0, 1e-4, 41 * RATE).astype(np.float32)
    for start, end, gender in TURNS:
        spoken = speak(people[gender], float(end - start), seed=start)[: (end - start) * RATE]
        signal[start * RATE : start * RATE + len(spoken)] += spoken
    return signal


def stretch(active: np.ndarray, start: int = 0) -> Stretch:
    samples = np.repeat(np.arange(start, start + len(active), dtype=np.float32), segmentation.HOP)
    return Stretch(start, active.astype(np.float32), np.ones(len(active), np.float32), samples)


def cut(active: np.ndarray, size: int) -> list[Run]:
    runs = Runs()
    parts = [stretch(active[at : at + size], at) for at in range(0, len(active), size)]
    return [*(run for part in parts for run in runs.feed(part)), *runs.close()]


def test_windows_cover_every_sample_once_however_the_signal_is_cut() -> None:
    signal = np.random.default_rng(0).normal(0, 0.01, 400_123).astype(np.float32)
    tracks = Tracks()
    parts = [part for at in range(0, len(signal), 77_777) for part in tracks.feed(signal[at : at + 77_777])]
    parts += tracks.close()
    assert [part.start for part in parts] == [STEP_FRAMES * place for place in range(len(parts))]
    assert np.array_equal(np.concatenate([part.samples for part in parts]), signal)


def test_runs_are_cut_alike_from_stretches_of_any_length() -> None:
    active = np.zeros((1000, 3), bool)
    active[10:300, 0] = active[200:420, 1] = active[500:503, 2] = active[600:610, 0] = True
    active[612:650, 0] = True  # after a gap that belongs to the run
    whole, parts = cut(active, 1000), cut(active, 96)
    assert [run[:3] for run in whole] == [(10, 300, 0), (200, 420, 1), (600, 650, 0)]
    assert sorted(run[:3] for run in parts) == sorted(run[:3] for run in whole)
    alone = {run[:3]: len(run.alone) // segmentation.HOP for run in whole}
    assert alone == {(10, 300, 0): 190, (200, 420, 1): 120, (600, 650, 0): 48}
    assert GAP_FRAMES >= 2 and LEAST_FRAMES > 3


def test_a_long_run_is_cut_and_nothing_of_it_lost() -> None:
    active = np.zeros((3000, 3), bool)
    active[50:2900, 1] = True
    for size in (3000, 296):
        found = cut(active, size)
        assert len(found) > 4
        assert [run.end for run in found][:-1] == [run.start for run in found][1:]
        assert (found[0].start, found[-1].end) == (50, 2900)
        assert sum(len(run.alone) for run in found) == 2850 * segmentation.HOP


def test_two_made_up_people_are_told_apart(model: Recognizer, talk: np.ndarray) -> None:
    found = timeline(talk, sampling_rate=RATE, model=model, speakers=2)
    assert found.status == "ok"
    assert found.duration_s == 41.0
    assert [one.speaker for one in found.speakers] == ["S1", "S2"]
    for start, end, gender in TURNS:
        inside = [turn for turn in found.turns if turn.start_s < end - 0.5 and turn.end_s > start + 0.5]
        assert {turn.speaker for turn in inside} == {"S1" if gender == "female" else "S2"}
        assert sum(turn.duration_s for turn in inside) == pytest.approx(end - start, abs=1.0)
    assert found.speakers[1].p_female < found.speakers[0].p_female
    assert sum(found.speaking_s.values()) == pytest.approx(sum(turn.duration_s for turn in found.turns))
    assert timeline(talk, sampling_rate=RATE, model=model, speakers=2, threads=2) == found


def test_settled_turns_do_not_depend_on_what_follows(model: Recognizer, talk: np.ndarray) -> None:
    def turns(signal: np.ndarray) -> list[Segment]:
        diarizer = Diarizer(model, part_s=5.0)
        settled = [turn for at in range(0, len(signal), RATE) for turn in diarizer.feed(signal[at : at + RATE])]
        assert diarizer.turns == settled
        diarizer.close()
        return settled

    short, long = turns(np.tile(talk, 2)[: 50 * RATE]), turns(np.tile(talk, 2))
    assert len(short) >= 2
    assert long[: len(short)] == short


def test_the_samples_of_a_run_leave_memory_when_it_is_encoded(model: Recognizer, talk: np.ndarray) -> None:
    diarizer = Diarizer(model)
    diarizer.feed(talk)
    tracemalloc.start()
    for _ in range(4):
        diarizer.feed(talk)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(diarizer._waiting) > 25
    assert kept < 0.1 * 4 * talk.nbytes


def test_given_turns_keep_their_names_and_are_not_diarised_again(
    model: Recognizer, talk: np.ndarray, tmp_path: Path
) -> None:
    whole = timeline(talk, sampling_rate=RATE, model=model, speakers=2)
    for format_, name in (("rttm", "a.rttm"), ("textgrid", "a.TextGrid"), ("json", "a.json")):
        (tmp_path / name).write_text(formats.render([whole], format_), "utf-8")
    found = [
        timeline(talk, sampling_rate=RATE, model=model, turns=tmp_path / name)
        for name in ("a.rttm", "a.TextGrid", "a.json")
    ]
    for one in found:
        assert [turn.speaker for turn in one.turns] == [turn.speaker for turn in whole.turns]
        assert [speaker.speaker for speaker in one.speakers] == ["S1", "S2"]
        for mine, first in zip(one.speakers, found[0].speakers, strict=True):
            assert mine.p_female == pytest.approx(first.p_female, abs=0.01)
            assert mine.age_years == pytest.approx(first.age_years, abs=0.5)


def test_turns_that_overlap_or_lie_outside_the_sound(model: Recognizer, talk: np.ndarray) -> None:
    turns = [Segment(1, 5, "Ann"), Segment(4, 10, "Bob"), Segment(40, 99, "Ann"), Segment(200, 210, "Cy")]
    found = given.describe(model, [talk], turns)
    assert [(turn.start_s, turn.end_s, turn.speaker) for turn in found] == [
        (1, 5, "Ann"),
        (4, 10, "Bob"),
        (40, 41, "Ann"),
    ]
    assert [one.speaker for one in found.speakers] == ["Ann", "Bob"]
    with pytest.raises(
        OptionError, match=r"The first turn begins at 200\.00 s, after the end of .* at 41\.00 s\. The turns may belong"
    ):
        given.describe(model, [talk], turns[-1:])
    assert given.describe(model, [talk], []).status == "no_speech"
    assert given.alone([Segment(0, 3, "A"), Segment(1, 2, "B")]) == [Segment(0, 1, "A"), Segment(2, 3, "A")]
    assert [part.duration_s for part in given.alone([Segment(0, 15, "A")])] == [5.0, 5.0, 5.0]


def test_turns_of_one_speaker_are_joined_and_those_of_two_never() -> None:
    turns = [Segment(0, 1, "S1"), Segment(1.2, 2, "S1"), Segment(1.1, 1.5, "S2"), Segment(2.5, 3, "S1")]
    assert joined(turns) == [Segment(0, 2, "S1"), Segment(1.1, 1.5, "S2"), Segment(2.5, 3, "S1")]


@pytest.mark.parametrize(
    ("seconds", "status"), [(0.3, "too_short"), (0.69, "too_short"), (0.8, "no_speech"), (25.0, "no_speech")]
)
def test_silence_is_no_failure(model: Recognizer, seconds: float, status: str) -> None:
    found = timeline(np.zeros(int(seconds * RATE), np.float32), sampling_rate=RATE, model=model)
    assert (found.status, found.speakers, found.segments, found.speech_s) == (status, (), (), 0.0)
    assert found.to_dict()["speaking_s"] == {"female": 0.0, "male": 0.0, "unsure": 0.0}


def test_speakers_are_numbered_by_their_first_word(model: Recognizer) -> None:
    diarizer = Diarizer(model)
    nothing = np.zeros(0, np.float32)
    for start, end, slot, angle in ((100, 200, 1, 1.5), (20, 400, 0, 0.0), (500, 600, 1, 1.5)):  # as they end
        item_ = item(start / 60, end / 60, slot, angle)
        diarizer._waiting.append(EncodedRun(Run(start, end, slot, nothing), None, item_))
    assert [turn.speaker for turn in diarizer._settle(None)] == ["S1", "S2", "S2"]


def test_arguments_that_contradict_each_other() -> None:
    silent = np.zeros(RATE, np.float32)
    with pytest.raises(OptionError, match="one or the other"):
        timeline(silent, RATE, speakers=2, max_speakers=3)
    with pytest.raises(OptionError, match=r"Got 0 speakers\. Expected at least 1\."):
        timeline(silent, RATE, speakers=0)
    with pytest.raises(
        OptionError, match=r"Got a minimum of 3 and a maximum of 2 speakers\. Expected minimum <= maximum\."
    ):
        timeline(silent, RATE, min_speakers=3, max_speakers=2)
    with pytest.raises(ValueError, match="without its sampling rate"):
        timeline(silent)
    with pytest.raises(SignalError):
        timeline(np.array([np.nan]), RATE)
    with pytest.raises(BundleError, match="no speaker embedding"):
        timeline(silent, RATE, model="voxtrait-diary")


def test_a_timeline_can_be_sliced_added_up_and_made_a_table(model: Recognizer, talk: np.ndarray) -> None:
    found = timeline(talk, sampling_rate=RATE, model=model, speakers=2)
    part = found[0:10.5]
    assert part.duration_s == 10.5
    assert {turn.speaker for turn in part} == {"S1", "S2"}
    assert max(turn.end_s for turn in part) <= 10.5
    table = found.to_polars()
    assert table.height == len(found) == len(found.to_pandas())
    assert table["gender"].to_list() == found.to_pandas()["gender"].to_list()
    assert set(found.totals("speaker")) == {"S1", "S2"}
    shares = found.shares("speaker")
    assert sum(one["share"] for one in shares.values()) == pytest.approx(1)
    assert all(one["low"] <= one["share"] <= one["high"] for one in shares.values())
    assert "2 speakers" in repr(found)
    with pytest.raises(TypeError, match="Expected a slice in seconds"):
        found[0]  # type: ignore[index]


def test_the_command_prints_writes_resumes_and_reports_failures(talk: np.ndarray, tmp_path: Path) -> None:
    files = tmp_path / "in"
    files.mkdir()
    audio.write_wav(files / "one.wav", talk, RATE)
    (files / "two.mp3").write_bytes(b"no sound at all")
    run = CliRunner().invoke
    done = run(root, ["timeline", str(files / "one.wav"), "--speakers", "2", "--format", "json", "-q"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert list(found)[:9] == [
        *("path", "status", "message", "duration_s", "speech_s"),
        *("speakers", "segments", "speaking_s", "model"),
    ]
    assert [one["speaker"] for one in found["speakers"]] == ["S1", "S2"]
    both = run(root, ["timeline", str(files), "--format", "jsonl", "-q", "--jobs", "1"])
    assert both.exit_code == 1
    assert [json.loads(line)["status"] for line in both.stdout.splitlines()] == ["ok", "error"]
    out = tmp_path / "out"
    first = run(root, ["timeline", str(files), "--format", "rttm", "--out", str(out), "--jobs", "1"])
    assert first.exit_code == 1
    assert [file.name for file in out.iterdir()] == ["one.wav.rttm"]
    (out / "one.wav.rttm").write_text("kept")
    assert run(root, ["timeline", str(files), "--format", "rttm", "--out", str(out), "--jobs", "1"]).exit_code == 1
    assert (out / "one.wav.rttm").read_text() == "kept"
    wrong = run(root, ["timeline", str(files), "--format", "srt"])
    assert isinstance(wrong.exception, OptionError) or wrong.exit_code == 2
    again = run(root, ["timeline", str(files / "one.wav"), "--out", str(tmp_path / "a.TextGrid"), "-q"])
    assert again.exit_code == 0
    assert (tmp_path / "a.TextGrid").read_text().startswith("File type")


def test_recordings_of_one_name_do_not_share_their_output(tmp_path: Path) -> None:
    silence = np.zeros(RATE, np.float32)
    for folder in ("a", "b"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        audio.write_wav(tmp_path / "in" / folder / "talk.wav", silence, RATE)
    command = [
        "timeline",
        str(tmp_path / "in"),
        "--format",
        "json",
        "--out",
        str(tmp_path / "out"),
        "--jobs",
        "1",
        "-q",
    ]
    assert CliRunner().invoke(root, command).exit_code == 0
    written = sorted(file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.json"))
    assert written == ["a/talk.wav.json", "b/talk.wav.json"]


def test_turns_are_those_of_one_recording(talk: np.ndarray, tmp_path: Path) -> None:
    for name in ("one.wav", "two.wav"):
        audio.write_wav(tmp_path / name, talk[: 6 * RATE], RATE)
    line = "SPEAKER {} 1 1.00 {} <NA> <NA> {} <NA> <NA>\n"
    (tmp_path / "all.rttm").write_text(line.format("one", "2.00", "Ann") + line.format("two", "3.00", "Bob"))
    one = CliRunner().invoke(
        root, ["timeline", str(tmp_path / "two.wav"), "--turns", str(tmp_path / "all.rttm"), "--format", "json", "-q"]
    )
    assert [(part["end_s"], part["speaker"]) for part in json.loads(one.stdout)["segments"]] == [(4.0, "Bob")]
    audio.write_wav(tmp_path / "three.wav", talk[: 6 * RATE], RATE)
    command = ["timeline", str(tmp_path), "--format", "jsonl", "-q", "--turns"]
    all_ = CliRunner().invoke(root, [*command, str(tmp_path / "all.rttm")])
    found = [json.loads(text) for text in all_.stdout.splitlines()]
    assert [[part["speaker"] for part in value["segments"]] for value in found] == [["Ann"], [], ["Bob"]]
    assert (all_.exit_code, found[1]["status"], "three.wav is not among them" in found[1]["message"]) == (
        1,
        "error",
        True,
    )
    table = tmp_path / "all.parquet"
    CliRunner().invoke(root, ["timeline", str(tmp_path), "-q", "--turns", f"{tmp_path}/all.rttm", "--out", str(table)])
    rows = pl.read_parquet(table)
    assert rows["speaker"].to_list() == ["Ann", "Bob"]
    assert rows.columns[:4] == ["path", "start_s", "end_s", "speaker"] and rows["path"][1].endswith("two.wav")
    (tmp_path / "one.rttm").write_text(line.format("one", "2.00", "Ann"))
    alone = CliRunner().invoke(root, [*command, str(tmp_path / "one.rttm")])
    assert (alone.exit_code, "has the turns of one recording" in alone.stderr) == (2, True)
    (tmp_path / "turns").mkdir()
    for name, speaker in (("one", "Ann"), ("two", "Bob"), ("three", "Eve")):
        (tmp_path / "turns" / f"{name}.txt").write_text(f"1.0\t3.0\t{speaker}\n")
    apart = CliRunner().invoke(root, [*command, str(tmp_path / "turns")])
    assert apart.exit_code == 0
    assert [json.loads(text)["speakers"][0]["speaker"] for text in apart.stdout.splitlines()] == ["Ann", "Eve", "Bob"]
    (tmp_path / "turns" / "one.rttm").write_text(line.format("one", "2.00", "Ann"))
    double = CliRunner().invoke(root, ["timeline", str(tmp_path / "one.wav"), "--turns", str(tmp_path / "turns")])
    assert (double.exit_code, "has 2 files with the turns of" in double.stderr) == (2, True)


def test_the_command_offers_the_formats_there_are() -> None:
    assert FORMATS == formats.FORMATS


def test_real_speakers_are_found(speech_clips: list[tuple[Path, np.ndarray]], model: Recognizer) -> None:
    """Single-speaker clips of real people have one speaker, nearly always."""
    clips = [signal for _, signal in speech_clips if len(signal) > 4 * RATE][:20]
    counts = [len(timeline(signal, sampling_rate=RATE, model=model).speakers) for signal in clips]
    assert np.mean([count == 1 for count in counts]) >= 0.9


def test_a_file_in_a_folder_belongs_to_one_recording(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / "turns" / folder).mkdir(parents=True)
        (tmp_path / "turns" / folder / "x.txt").write_text(f"1.0\t3.0\t{folder}\n")
    found = turns_of(tmp_path / "turns", ["talks/a/x.wav", "talks/b/x.wav", "talks/b/y.wav"])
    assert [part[0].speaker for part in found.values() if isinstance(part, list)] == ["a", "b"]
    assert "no file with the turns of talks/b/y.wav" in str(found["talks/b/y.wav"])
    (tmp_path / "turns" / "x.txt").write_text("1.0\t3.0\tboth\n")
    shared = turns_of(tmp_path / "turns", ["c/x.wav", "d/x.wav"])
    assert all("the name of two recordings" in str(part) for part in shared.values())


def test_failures_are_named_where_a_format_has_no_row(talk: np.ndarray, tmp_path: Path) -> None:
    audio.write_wav(tmp_path / "ok.wav", talk[: 6 * RATE], RATE)
    for out in ("all.parquet", "all.csv", "new/all.rttm"):
        command = ["timeline", str(tmp_path / "ok.wav"), str(tmp_path / "no.wav"), "--out", str(tmp_path / out)]
        done = CliRunner().invoke(root, command)
        assert (done.exit_code, "failed: no such file" in done.stderr) == (1, True)
        assert (tmp_path / out).is_file()
    wrong = CliRunner().invoke(root, [*command[:2], "--out", str(tmp_path / "b.parquet"), "--format", "csv"])
    assert (wrong.exit_code, "Expected --out .parquet alone" in wrong.stderr) == (2, True)


def test_what_a_format_cannot_say_is_said_on_standard_error(talk: np.ndarray, tmp_path: Path) -> None:
    quiet, call = tmp_path / "quiet.wav", tmp_path / "call.wav"
    audio.write_wav(quiet, np.zeros(RATE, np.float32), RATE)
    audio.write_wav(call, np.stack([talk, np.roll(talk, 5 * RATE)])[:, : 16 * RATE] * [[1], [0.5]], RATE)
    done = CliRunner().invoke(root, ["timeline", str(quiet), "--out", str(tmp_path / "a.csv")])
    assert (done.exit_code, f"{quiet}: no speech was found" in done.stderr) == (0, True)
    folder = ["timeline", str(quiet), "--out", str(tmp_path / "out")]
    assert "1 written, 0 failed" in CliRunner().invoke(root, folder).stderr
    assert "1 skipped (already in the folder)" in CliRunner().invoke(root, folder).stderr
    one = json.loads(CliRunner().invoke(root, ["timeline", str(call), "--channel", "2", "--format", "json"]).stdout)
    assert {speaker["channel"] for speaker in one["speakers"]} == {2}
    nowhere = CliRunner().invoke(root, ["timeline", str(quiet), "--out", f"{quiet}/x.csv"])
    assert (nowhere.exit_code, f"Cannot write to {quiet}/x.csv" in nowhere.stderr) == (2, True)


def test_recordings_of_one_name_keep_apart_in_what_is_printed(talk: np.ndarray, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        audio.write_wav(tmp_path / folder / "a.wav", talk[: 11 * RATE], RATE)
    lines = CliRunner().invoke(root, ["timeline", str(tmp_path), "--format", "rttm"]).stdout.splitlines()
    assert len({line.split()[1] for line in lines}) == 2
