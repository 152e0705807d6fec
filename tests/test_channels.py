"""Channels: recordings whose channels hold different people, in ``predict`` and in timelines."""

import json
import os
import pickle
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
from click.testing import CliRunner, Result

import voxtrait
from voxtrait import audio
from voxtrait.audio.channels import Comparison, OneChannel
from voxtrait.cli import root
from voxtrait.errors import OptionError
from voxtrait.recognize import Recognizer
from voxtrait.recognize.notes import averaged_note
from voxtrait.synthetic import draw_voice, speak
from voxtrait.timelines import Timeline
from voxtrait.timelines.channels import own_speech

RATE = 16_000
TURNS = [(0.5 + 4 * place, 3.5 + 4 * place, place % 2) for place in range(8)]


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return voxtrait.load()


@pytest.fixture(scope="module")
def call() -> np.ndarray:
    """A made-up woman in the first channel and a made-up man in the second, in turns of three seconds: 33 s."""
    people = [draw_voice(gender, 30.0, seed=5) for gender in ("female", "male")]
    signal = np.zeros((2, 33 * RATE), np.float32)
    for start, end, channel in TURNS:
        spoken = speak(people[channel], end - start, seed=round(start))
        signal[channel, round(start * RATE) :][: len(spoken)] += spoken[: round((end - start) * RATE)]
    return signal


def heard(call: np.ndarray, leak_db: float, gains_db: tuple[float, float] = (0.0, 0.0), delay: int = 160) -> np.ndarray:
    """Add cross-talk, noise and gains to a call."""
    mixed = call + 10 ** (leak_db / 20) * np.roll(call[::-1], delay, axis=1)
    mixed += np.random.default_rng(0).normal(0, 3e-4, call.shape)
    return (mixed * 10 ** (np.array(gains_db)[:, None] / 20)).astype(np.float32)


def missed_and_false(found: Timeline) -> tuple[float, float]:
    """Shares of the speech that are missing, and that a channel has too much."""
    grid = np.zeros((2, 2, 3300), bool)  # reference and result, channels, hundredths of a second
    for start, end, channel in TURNS:
        grid[0, channel, round(100 * start) : round(100 * end)] = True
    channels = {one.speaker: one.channel or 0 for one in found.speakers}
    for turn in found.turns:
        grid[1, channels[str(turn.speaker)] - 1, round(100 * turn.start_s) : round(100 * turn.end_s)] = True
    total = grid[0].sum()
    return float((grid[0] & ~grid[1]).sum() / total), float((grid[1] & ~grid[0]).sum() / total)


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(root, [str(argument) for argument in arguments], input=stdin)


@pytest.mark.parametrize(
    ("leak_db", "gains_db", "delay"),
    [(-200.0, (0.0, 0.0), 0), (-20.0, (0.0, 0.0), 160), (-25.0, (0.0, 12.0), 2400), (-12.0, (-12.0, 0.0), 160)],
)
def test_each_channel_is_one_speaker_whatever_leaks_into_it(
    model: Recognizer, call: np.ndarray, leak_db: float, gains_db: tuple[float, float], delay: int
) -> None:
    found = voxtrait.timeline(heard(call, leak_db, gains_db, delay), RATE, model=model, channels=True)
    assert [(one.speaker, one.channel, one.gender) for one in found.speakers] == [
        ("S1", 1, "female"),
        ("S2", 2, "male"),
    ]
    missed, false = missed_and_false(found)
    assert missed < 0.18 and false < 0.12
    assert [turn.start_s for turn in found.turns] == sorted(turn.start_s for turn in found.turns)
    assert found.message is None


@pytest.mark.parametrize("leak_db", [-6.0, -20.0, -40.0])
def test_a_channel_with_cross_talk_only_has_no_speaker(model: Recognizer, call: np.ndarray, leak_db: float) -> None:
    alone = call.copy()
    alone[0] = 0
    (speaker,) = voxtrait.timeline(heard(alone, leak_db), RATE, model=model, channels=True).speakers
    assert (speaker.speaker, speaker.channel, speaker.gender) == ("S1", 2, "male")


def test_both_speak_at_once_and_both_are_kept(model: Recognizer, call: np.ndarray) -> None:
    both = np.stack([call[0], np.roll(call[1], -round(2.5 * RATE))])  # half of each turn is simultaneous
    found = voxtrait.timeline(heard(both, -25.0), RATE, model=model, channels=True)
    seconds = {one.channel: one.speech_s for one in found.speakers}
    assert min(seconds[1], seconds[2]) > 0.8 * 12
    assert found.speech_s is not None and found.speech_s < 0.9 * sum(seconds.values())


def test_one_channel_or_the_same_sound_twice_is_one_clear_line(
    model: Recognizer, call: np.ndarray, tmp_path: Path
) -> None:
    mono = tmp_path / "mono.wav"
    audio.write_wav(mono, call[0], RATE)
    found = voxtrait.timeline(mono, model=model, channels=True)
    assert (found.status, found.message) == (
        "error",
        f"{mono} has one channel. Expected at least two channels, one for each speaker. Run without --channels.",
    )
    twice = tmp_path / "twice.wav"
    audio.write_wav(twice, call[:1].repeat(2, axis=0), RATE)
    found = voxtrait.timeline(twice, model=model, channels=True)
    assert found.status == "error" and "are identical. Expected one speaker per channel." in str(found.message)
    silent = voxtrait.timeline(np.zeros((2, RATE)), RATE, model=model, channels=True)
    assert silent.status == "no_speech"


def test_options_that_contradict_channels_are_refused(model: Recognizer, call: np.ndarray) -> None:
    for given in ({"channel": 1}, {"speakers": 2}, {"turns": []}):
        with pytest.raises(OptionError, match="Remove the other options"):
            voxtrait.timeline(call, RATE, model=model, channels=True, **given)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="Expected a number from 1"):
        voxtrait.timeline(call, RATE, model=model, channel=0)


def test_different_people_are_never_averaged_without_a_note(
    model: Recognizer, call: np.ndarray, tmp_path: Path
) -> None:
    file = tmp_path / "call.wav"
    audio.write_wav(file, heard(call, -25.0), RATE)
    note = averaged_note(2)
    assert model.predict(file).message == note
    assert model.predict(call, RATE).message == note
    assert voxtrait.timeline(file, model=model).message == note
    assert voxtrait.timeline(file, model=model, channel=1).message is None
    assert model.predict(file, channel=1).message != note
    with audio_blocks(file) as blocks:
        (*_, last) = model.listen(blocks, path=str(file))
    assert last.so_far == model.predict(file)
    for command in ([], ["timeline"]):
        result = run(*command, file)
        assert (result.exit_code, note in result.stdout) == (0, True)


class audio_blocks:  # noqa: N801 - a context for one test
    def __init__(self, file: Path) -> None:
        self.blocks = audio.blocks(file, None, mono=False)

    def __enter__(self):  # type: ignore[no-untyped-def]
        return self.blocks

    def __exit__(self, *_: object) -> None:
        self.blocks.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("difference_db", [0.0, 6.0])
def test_a_stereo_recording_of_one_scene_has_no_note(model: Recognizer, call: np.ndarray, difference_db: float) -> None:
    scene = np.stack([call[0] + call[1], 10 ** (-difference_db / 20) * np.roll(call[0] + call[1], 12)])
    assert model.predict(scene, RATE).message != averaged_note(2)
    panned = np.stack([call[0] + 0.45 * call[1], 0.45 * call[0] + call[1]])  # 7 dB
    assert model.predict(panned, RATE).message != averaged_note(2)
    one_is_silent = np.stack([call[0], np.zeros_like(call[0])])
    assert model.predict(one_is_silent, RATE).message != averaged_note(2)


def test_how_a_recording_is_cut_changes_no_comparison(call: np.ndarray) -> None:
    found = []
    for size in (call.shape[1], 7_777, 50):
        compared = Comparison()
        for at in range(0, 12 * RATE, size):
            compared.feed(call[:, at : min(at + size, 12 * RATE)], RATE)
        found.append((compared.channels, compared.differ, compared.same))
    assert found == 3 * [(2, True, False)]


def test_one_channel_or_each_of_a_clip(model: Recognizer, call: np.ndarray, tmp_path: Path) -> None:
    file, mono = tmp_path / "call.wav", tmp_path / "mono.wav"
    audio.write_wav(file, call, RATE)
    audio.write_wav(mono, call[0], RATE)
    genders = [model.predict(file, channel=channel).gender for channel in (1, 2)]
    assert genders == ["female", "male"]
    alone = model.predict(mono).to_dict() | {"path": None}
    assert model.predict(file, channel=1).to_dict() | {"path": None} == alone
    assert "No channel 3 in" in str(model.predict(file, channel=3).message)
    many = list(model.predict_many([file, mono], channel="each"))
    assert [one.path for one in many] == [f"{file}#1", f"{file}#2", str(mono)]
    assert [one.gender for one in many] == ["female", "male", "female"]
    out = tmp_path / "each.parquet"
    assert run(file, mono, "--channel", "each", "--out", out, "--quiet").exit_code == 0
    assert pl.read_parquet(out)["gender"].to_list() == ["female", "male", "female"]
    piped = run("-", "--channel", "each", "--format", "json", stdin=file.read_bytes())
    assert [(one["path"], one["gender"]) for one in json.loads(piped.stdout)] == [("-#1", "female"), ("-#2", "male")]
    assert json.loads(run(file, "--channel", "2", "--format", "json").stdout)["gender"] == "male"
    wrong = run(file, "--channel", "left")
    assert wrong.exit_code == 2 and "Expected a number from 1, or each" in wrong.stderr
    assert run(tmp_path / "absent.wav", "--channel", "each").exit_code == 1


def test_one_channel_of_any_source(call: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "call.wav"
    audio.write_wav(file, call, RATE)
    for source in (file, str(file), BytesIO(file.read_bytes())):
        (block, _), *_ = audio.blocks(OneChannel(source, 2))
        assert np.abs(block - call[1]).max() < 1e-4
        assert audio.channel_count(source) == 2


def test_formats_name_the_channel(model: Recognizer, call: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "call.wav"
    audio.write_wav(file, call, RATE)
    rttm = run("timeline", file, "--channels", "--format", "rttm").stdout.splitlines()
    assert {(line.split()[2], line.split()[7]) for line in rttm} == {("1", "S1"), ("2", "S2")}
    lhotse = [
        json.loads(line) for line in run("timeline", file, "--channels", "--format", "lhotse").stdout.splitlines()
    ]
    assert {(one["channel"], one["speaker"]) for one in lhotse} == {(0, "S1"), (1, "S2")}
    value = json.loads(run("timeline", file, "--channels", "--format", "json").stdout)
    assert [one["channel"] for one in value["speakers"]] == [1, 2]
    assert "S2 (channel 2)" in run("timeline", file, "--channels").stdout
    averaged = json.loads(run("timeline", file, "--format", "json").stdout)
    assert "channel" not in averaged["speakers"][0]
    assert run("timeline", file, "--channels", "--speakers", "2").exit_code == 2


def test_loud_speech_beside_silence_is_kept_whole() -> None:
    frames = np.zeros((3, 200), bool)
    frames[0, :60] = frames[1, 70:120] = frames[2, 130:] = True
    powers = np.where(frames, 1.0, 1e-8).astype(np.float32)
    assert (own_speech(frames, powers) == frames).all()


def test_a_loud_passage_later_changes_no_comparison(call: np.ndarray) -> None:
    loud = np.random.default_rng(0).normal(0, 0.3, (1, 20 * RATE)).astype(np.float32).repeat(2, axis=0)
    signal = np.concatenate([0.002 * call[:, : 20 * RATE] / np.abs(call).max(), loud], axis=1)
    found = set()
    for size in (signal.shape[1], RATE, RATE // 10):
        compared = Comparison()
        for at in range(0, signal.shape[1], size):
            compared.feed(signal[:, at : at + size], RATE)
        found.add((compared.differ, compared.same))
    assert found == {(True, False)}


def test_files_that_cannot_be_used_cost_only_themselves(model: Recognizer, call: np.ndarray, tmp_path: Path) -> None:
    empty, good, absent = tmp_path / "empty.wav", tmp_path / "good.wav", tmp_path / "absent.wav"
    soundfile.write(empty, np.zeros((0, 2)), RATE)
    audio.write_wav(good, call, RATE)
    result = run("timeline", "--channels", "--format", "jsonl", empty, good)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert (result.exit_code, [one["status"] for one in rows]) == (1, ["error", "ok"])
    assert "has no samples" in rows[0]["message"]
    many = list(model.predict_many([absent, good], channel="each"))
    assert [(one.path, one.status) for one in many] == [
        (str(absent), "error"), (f"{good}#1", "ok"), (f"{good}#2", "ok"),
    ]  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_read_once(call: np.ndarray, tmp_path: Path) -> None:
    file, pipe = tmp_path / "call.wav", tmp_path / "pipe.wav"
    audio.write_wav(file, call, RATE)
    os.mkfifo(pipe)
    for command in (["timeline", "--jobs", "1"], ["timeline", "--channels"], ["--channel", "each"]):
        writer = threading.Thread(target=pipe.write_bytes, args=(file.read_bytes(),))
        writer.start()
        result = run(*command, pipe, "--format", "jsonl")
        writer.join(10)
        assert (result.exit_code, json.loads(result.stdout.splitlines()[0])["status"]) == (0, "ok")


def test_a_channel_keeps_its_number_behind_a_signed_address() -> None:
    signed = OneChannel("https://host/a.wav?part=1&X-Amz-Signature=abc", 2)
    assert signed == "https://host/a.wav?part=1#2"
    assert (signed.source, signed.channel) == ("https://host/a.wav?part=1&X-Amz-Signature=abc", 2)
    assert pickle.loads(pickle.dumps(signed)).channel == 2
