"""Composes conversations from clips of known speakers, and prints the errors of timelines as a Markdown table.

python benchmarks/conversations.py [SPEECH] [--count 60] [--minutes 1] [--speakers held-out] [--seed 0] [--peer]
python benchmarks/conversations.py --write DIR --count 20 --minutes 1 --speakers dev --conditions clean room

SPEECH is a folder of corpora (default: VOXTRAIT_SPEECH, or ../shared/corpora). ``--speakers dev`` takes the speakers of
the default bundle's training and model selection, ``held-out`` all others. Children under ten are left out: the gender
of their voices cannot be predicted. The reference is the voice activity of each clip before mixing, by Silero VAD.

Limits of such conversations: each speaker has their own microphone, most have few clips, which are used repeatedly, and
turns do not refer to each other. The same seed gives the same conversation.

``--write`` writes a WAV and an RTTM for each conversation, and ``truth.json``; a second call adds to the folder.
Without it, ``voxtrait.timeline`` (with ``--live`` ``voxtrait listen --timeline``) processes the conversations, and the
errors are printed. ``--folder DIR`` reads conversations that ``--write`` wrote. Scoring needs pyannote.metrics.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from clips import SPEECH
from composing import (
    CONDITIONS,
    RATE,
    Conversation,
    Turn,
    compose,
    people_of,
)
from peers import ONE_THREAD, PEERS, peer_environment
from peers import PYTHON as PEER_PYTHON

import voxtrait
from voxtrait import audio
from voxtrait.audio.writing import write_wav
from voxtrait.errors import NothingToDoError, VoxtraitError
from voxtrait.labels import GENDERS
from voxtrait.recognize import Recognizer
from voxtrait.timelines import LiveDiarizer
from voxtrait.timelines.records import Segment, Speaker, Timeline, union_s

COLUMNS = (
    *("condition", "conversations", "DER", "detection error", "gender error", "women's share, error in points"),
    "… without unsure voices",
    *("speakers right", "age MAE by speaker", "age MAE by clip", "× real time"),
)


def conversations(given: argparse.Namespace) -> Iterator[tuple[str, Conversation]]:
    people = people_of(given.speech, given.speakers)
    for number in range(given.count):
        condition = given.conditions[number % len(given.conditions)]
        seed = (given.seed, number, CONDITIONS.index(condition), round(given.minutes * 60))
        name = f"{condition}-{given.minutes:g}min-{given.seed}-{number:03d}"
        yield name, compose(seed, people, condition, minutes=given.minutes, speakers=tuple(given.people))


def write(folder: Path, made: Iterable[tuple[str, Conversation]]) -> None:
    """Write WAVs, RTTMs and ``truth.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "truth.json"
    truth = json.loads(file.read_text()) if file.is_file() else {}
    for name, one in made:
        write_wav(folder / f"{name}.wav", one.signal, RATE)
        lines = (
            f"SPEAKER {name} 1 {start:.3f} {stop - start:.3f} <NA> <NA> {who} <NA> <NA>\n"
            for start, stop, who in one.turns
        )
        (folder / f"{name}.rttm").write_text("".join(lines))
        truth[name] = one.truth()
    file.write_text(json.dumps(truth, indent=1))


def read_rttm(file: Path) -> list[Turn]:
    rows = (line.split() for line in file.read_text().splitlines())
    return [(float(row[3]), float(row[3]) + float(row[4]), row[7]) for row in rows]


def metrics() -> tuple[Any, Any, Any, Any]:
    try:
        from pyannote.core import Annotation
        from pyannote.metrics.detection import DetectionErrorRate
        from pyannote.metrics.diarization import DiarizationErrorRate
        from pyannote.metrics.identification import IdentificationErrorRate
    except ImportError:
        raise NothingToDoError("Scoring needs pyannote.metrics: pip install pyannote.metrics") from None
    return Annotation, DiarizationErrorRate(), DetectionErrorRate(), IdentificationErrorRate()


def score(reference: Sequence[Turn], hypothesis: Timeline, truth: Mapping[str, Any]) -> dict[str, Any]:
    """Compare a timeline with a reference; errors in seconds, no collar, overlapping speech counted.

    ``ages`` has, for each reference speaker with a known age, the age of the hypothesis speaker mapped to them, or
    ``None``. An unsure gender counts as wrong. ``women`` is the share of ``Timeline.female_share``, ``women_sure`` that
    without unsure voices.
    """
    from pyannote.core import Segment as Span
    from pyannote.core import Timeline as Spans

    annotation, diarisation, detection, identification = metrics()
    people = truth["speakers"]
    theirs = {one.speaker: one for one in hypothesis.speakers}
    turns = [(one.start_s, one.end_s, str(one.speaker)) for one in hypothesis.turns]

    def labelled(rows: Iterable[Turn], name: Callable[[str], str]) -> Any:
        out = annotation()
        for number, (start, stop, who) in enumerate(rows):
            out[Span(start, stop), number] = name(who)
        return out

    def gender(who: str) -> str:
        return theirs[who].gender or "unsure"

    known, found = labelled(reference, str), labelled(turns, str)
    genders = labelled(reference, lambda who: people[who]["gender"]), labelled(turns, gender)
    whole = Spans([Span(0, truth["duration_s"])])
    speakers = diarisation.compute_components(known, found, uem=whole)
    speech = detection.compute_components(known, found, uem=whole)
    wrong = identification.compute_components(*genders, uem=whole)
    mapped = {who: theirs[one] for one, who in diarisation.optimal_mapping(known, found, uem=whole).items()}
    labels, true_share = (women(one.label_duration("female"), one.label_duration("male")) for one in genders[::-1])
    share = hypothesis.female_share()
    spoke = {who for _, _, who in reference}
    return {
        "condition": truth["condition"],
        "duration_s": truth["duration_s"],
        "speech_s": speakers["total"],
        "missed_s": speakers["missed detection"],
        "false_alarm_s": speakers["false alarm"],
        "confusion_s": speakers["confusion"],
        "detection_s": speech["miss"] + speech["false alarm"],
        "detection_of_s": speech["total"],
        "gender_s": wrong["missed detection"] + wrong["false alarm"] + wrong["confusion"],
        "women": share and share["share"],
        "women_sure": labels,
        "women_true": true_share,
        "speakers": len({who for _, _, who in turns}),
        "speakers_true": len(spoke),
        "ages": [
            (who, people[who]["age"], mapped[who].age_years if who in mapped else None)
            for who in sorted(spoke)
            if people[who]["age"] is not None
        ],
    }


def women(female_s: float, male_s: float) -> float | None:
    return female_s / (female_s + male_s) if female_s + male_s else None


def summary(scores: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Pool the scores of conversations: errors in seconds are summed, the others are averaged."""

    def total(*names: str) -> float:
        return sum(one[name] for one in scores for name in names)

    def mean(values: Iterable[float]) -> float:
        listed = list(values)
        return float(np.mean(listed)) if listed else float("nan")

    def points(name: str) -> float:
        # without detected speech there is no share: count the maximum error
        known = [(one[name], one["women_true"]) for one in scores if one["women_true"] is not None]
        return 100 * mean(1.0 if share is None else abs(share - true) for share, true in known)

    return {
        "der": total("missed_s", "false_alarm_s", "confusion_s") / total("speech_s"),
        "missed": total("missed_s") / total("speech_s"),
        "false_alarm": total("false_alarm_s") / total("speech_s"),
        "confusion": total("confusion_s") / total("speech_s"),
        "detection": total("detection_s") / total("detection_of_s"),
        "gender": total("gender_s") / total("speech_s"),
        "women_points": points("women"),
        "women_sure_points": points("women_sure"),
        "speakers_right": mean(one["speakers"] == one["speakers_true"] for one in scores),
        "age": mean(abs(found - age) for one in scores for _, age, found in one["ages"] if found is not None),
        "age_found": mean(found is not None for one in scores for *_, found in one["ages"]),
    }


def score_folder(folder: str | os.PathLike[str], timelines: Mapping[str, Timeline]) -> list[dict[str, Any]]:
    """Score timelines of a folder that ``--write`` wrote, by the names of its WAVs without the suffix."""
    truth = json.loads((Path(folder) / "truth.json").read_text())
    missing = sorted(set(timelines) - set(truth))
    if missing:
        raise NothingToDoError(f"No conversation {missing[0]} in {folder}. Expected names such as {min(truth)}.")
    return [
        score(read_rttm(Path(folder) / f"{name}.rttm"), timelines[name], truth[name]) | {"name": name}
        for name in truth
        if name in timelines
    ]


def row(label: str, scores: Sequence[Mapping[str, Any]], clip_ages: Mapping[str, float], wall_s: float) -> list[str]:
    found = summary(scores)
    single = [clip_ages[who] for one in scores for who, *_ in one["ages"] if who in clip_ages]
    return [
        *(label, str(len(scores)), f"{found['der']:.1%}", f"{found['detection']:.1%}", f"{found['gender']:.1%}"),
        *(f"{found['women_points']:.1f}", f"{found['women_sure_points']:.1f}"),
        *(f"{found['speakers_right']:.0%}", f"{found['age']:.1f}"),
        f"{np.mean(single):.1f}" if single else "–",
        f"{sum(one['duration_s'] for one in scores) / wall_s:.3g}" if wall_s else "–",
    ]


def markdown(rows: list[list[str]]) -> str:
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def clip_age_errors(people: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Predict each clip of these speakers alone; return the mean absolute age error of each speaker."""
    from voxtrait import recognize

    model = recognize.load()
    errors = {}
    for who, one in people.items():
        ages = [model.predict(clip).age_years for clip in one["clips"]] if one["age"] is not None else []
        if found := [abs(age - one["age"]) for age in ages if age is not None]:
            errors[who] = float(np.mean(found))
    return errors


PEER_CODE = """
import json, os, sys, time
out = os.fdopen(os.dup(1), "w"); os.dup2(2, 1)  # keep the output of libraries off standard output
import tensorflow
tensorflow.config.threading.set_intra_op_parallelism_threads(int(os.environ["OMP_NUM_THREADS"]))
tensorflow.config.threading.set_inter_op_parallelism_threads(1)
from inaSpeechSegmenter import Segmenter
segmenter = Segmenter(batch_size=1024)
files = json.loads(sys.stdin.read())
segmenter(files[0])
for file in files:
    start = time.perf_counter()
    rows = [[str(label), float(a), float(b)] for label, a, b in segmenter(file)]
    print(json.dumps([rows, time.perf_counter() - start]), file=out, flush=True)
"""


def peer_timelines(files: Sequence[Path], threads: int) -> tuple[list[Timeline], float]:
    """Run inaSpeechSegmenter, one speaker for each gender; return its timelines and its seconds."""
    if not PEER_PYTHON.is_file():
        raise NothingToDoError(f"No inaSpeechSegmenter in {PEERS}. Run `make bench-peers` first.")
    environment = os.environ | dict.fromkeys(ONE_THREAD, str(threads)) | peer_environment()
    answer = subprocess.run(
        [str(PEER_PYTHON), "-c", PEER_CODE],
        input=json.dumps([str(file) for file in files]),
        capture_output=True,
        text=True,
        env=environment,
    )
    if answer.returncode:
        raise NothingToDoError(f"inaSpeechSegmenter failed: {answer.stderr[-500:]}")
    timelines, wall_s = [], 0.0
    for file, line in zip(files, answer.stdout.splitlines(), strict=True):
        rows, seconds = json.loads(line)
        wall_s += seconds
        timelines.append(labelled_timeline(str(file), rows))
    return timelines, wall_s


def labelled_timeline(path: str, rows: Sequence[tuple[str, float, float]]) -> Timeline:
    segments = [Segment(a, b, label if label in GENDERS else None, None) for label, a, b in rows if label in GENDERS]
    segments += [Segment(a, b, None, "music") for label, a, b in rows if label == "music"]
    segments.sort(key=lambda one: one.start_s)
    spoken = {gender: sum(one.duration_s for one in segments if one.speaker == gender) for gender in GENDERS}
    speakers = tuple(Speaker(gender, seconds, gender) for gender, seconds in spoken.items() if seconds)
    duration, found = max((b for _, _, b in rows), default=0.0), tuple(segments)
    return Timeline(path, "ok", None, duration, union_s(found), speakers, found, "inaSpeechSegmenter")


def read(folder: Path) -> Iterator[tuple[str, Conversation]]:
    for name, one in json.loads((folder / "truth.json").read_text()).items():
        signal, _ = audio.load(folder / f"{name}.wav", RATE)
        yield (
            name,
            Conversation(signal, read_rttm(folder / f"{name}.rttm"), one["speakers"], one["music"], one["condition"]),
        )


class Following:
    """Makes timelines as ``voxtrait listen --timeline`` does.

    ``delay_s`` is the longest time from the start of a turn to its output, in seconds of audio. Turns at the end of the
    input are not counted.
    """

    def __init__(self, model: Recognizer) -> None:
        self.model, self.delay_s = model, 0.0

    def __call__(self, signal: np.ndarray, sampling_rate: int) -> Timeline:
        live = LiveDiarizer(self.model)
        for at in range(0, len(signal), sampling_rate // 2):
            for turn in live.feed(signal[at : at + sampling_rate // 2]):
                self.delay_s = max(self.delay_s, live.duration_s - turn.start_s)
        live.close()
        return live.timeline()


def report(
    made: Iterable[tuple[str, Conversation]], peer: bool, clip_ages: bool, live: bool, threads: int
) -> Iterator[str]:
    """Process conversations, and yield the tables."""
    metrics()
    model = voxtrait.load()
    following = Following(model)
    process: Callable[..., Timeline] = functools.partial(voxtrait.timeline, model=model, threads=threads)
    if live:
        process = following
    process(np.zeros(RATE, np.float32), sampling_rate=RATE)  # loads the models
    scores: list[dict[str, Any]] = []
    walls: list[float] = []
    people: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="voxtrait-conversations-") as temporary:
        kept = []
        for name, one in made:
            if not walls:
                process(one.signal, sampling_rate=RATE)  # opens the graphs before time is measured, as for the peer
            start = time.perf_counter()
            timeline = process(one.signal, sampling_rate=RATE)
            walls.append(time.perf_counter() - start)
            scores.append(score(one.turns, timeline, one.truth()) | {"name": name})
            people |= one.people
            if peer:
                write_wav(Path(temporary) / f"{name}.wav", one.signal, RATE)
                kept.append((Path(temporary) / f"{name}.wav", one.turns, one.truth()))
            print(f"{name}: DER {summary(scores[-1:])['der']:.1%}", file=sys.stderr, flush=True)
        if not scores:
            raise NothingToDoError("No conversations. Expected a --count of at least 1.")
        yield table(scores, walls, clip_age_errors(people) if clip_ages else {})
        if live:
            yield f"Longest delay from the start of a turn to its output: {following.delay_s:.1f} s"
        if peer:
            timelines, wall_s = peer_timelines([file for file, *_ in kept], threads)
            theirs = [score(turns, one, truth) for one, (_, turns, truth) in zip(timelines, kept, strict=True)]
            yield "inaSpeechSegmenter (genders, not speakers: its DER and number of speakers are those of genders)"
            yield table(theirs, [wall_s * one["duration_s"] / sum(s["duration_s"] for s in theirs) for one in theirs])


def table(
    scores: Sequence[dict[str, Any]], walls: Sequence[float] = (), clip_ages: Mapping[str, float] | None = None
) -> str:
    """Return the Markdown table: one row for each condition, and one for all."""
    walls = walls or [0.0] * len(scores)
    rows = []
    for condition in (*CONDITIONS, "all"):
        ours = [number for number, one in enumerate(scores) if condition in (one["condition"], "all")]
        if ours:
            wall_s = sum(walls[number] for number in ours)
            rows.append(row(condition, [scores[number] for number in ours], clip_ages or {}, wall_s))
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, nargs="?", default=SPEECH, help="folder of corpora")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write the conversations to this folder")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="score conversations that --write wrote")
    parser.add_argument("--count", type=int, default=60, help="number of conversations")
    parser.add_argument("--minutes", type=float, default=1.0, help="approximate length of a conversation")
    parser.add_argument("--speakers", choices=("dev", "held-out"), default="held-out", help="set of speakers")
    parser.add_argument("--people", type=int, nargs=2, default=(2, 6), metavar="N", help="range of speakers in each")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS), help="used in turn")
    parser.add_argument("--threads", type=int, default=1, help="threads of each program; default: 1")
    parser.add_argument("--peer", action="store_true", help="also run inaSpeechSegmenter, from build/peers")
    parser.add_argument("--live", action="store_true", help="measure `voxtrait listen --timeline` instead")
    parser.add_argument("--no-clips", action="store_true", help="skip the age errors of single clips")
    given = parser.parse_args()
    if not 1 <= given.people[0] <= given.people[1] or given.minutes < 0.2:
        parser.error("Expected --people of at least 1, the lower number first, and --minutes of at least 0.2.")
    made = read(given.folder) if given.folder else conversations(given)
    if given.write:
        write(given.write, made)
        return
    for part in report(made, given.peer, not given.no_clips, given.live, given.threads):
        print(part)


if __name__ == "__main__":
    try:
        main()
    except VoxtraitError as error:
        sys.exit(f"conversations.py: {error}")
