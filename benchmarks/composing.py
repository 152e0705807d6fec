"""Composes seeded conversations from clips of single speakers, with known turns and speakers."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import scipy.signal

from voxtrait import audio, bundle
from voxtrait.audio.signals import resample
from voxtrait.corpora import import_corpora
from voxtrait.corpora.detect import find
from voxtrait.errors import NothingToDoError
from voxtrait.labels import GENDERS, age_middle
from voxtrait.speech import detector, network
from voxtrait.synthetic import sounds
from voxtrait.synthetic.music import PIECES

RATE = 16_000
FRAME = network.FRAME
CONDITIONS = ("clean", "room", "telephone", "music", "crowd")
LEVEL_DB = -23.0  # level of speech
GAP_S = 0.3  # shorter gaps in the speech of one speaker count as speech
TURN_S, TURN_SIGMA = 3.0, 0.7  # median and shape of the lengths of turns, log-normal
OVERLAP_LIMIT = 0.05  # maximum share of overlapping speech in the condition clean
MARGIN = 800  # samples before and after the speech of a turn

Signal = np.ndarray
Turn = tuple[float, float, str]  # start and end in seconds, speaker


class Person(NamedTuple):
    speaker: str  # a hash of the id
    gender: str
    age: float | None  # years, or the middle of the decade
    clips: tuple[str, ...]


class Conversation(NamedTuple):
    signal: Signal  # float32, 16 kHz
    turns: list[Turn]
    people: dict[str, dict[str, Any]]  # speaker to gender, age and clips
    music: list[tuple[float, float]]  # parts with music only
    condition: str

    def truth(self) -> dict[str, Any]:
        return {
            "condition": self.condition,
            "duration_s": len(self.signal) / RATE,
            "speakers": self.people,
            "music": self.music,
        }


def people_of(speech: Path, which: str) -> list[Person]:
    """Return the speakers of ten years or more with known gender and at least two clips: ``dev`` or ``held-out``."""
    table = import_corpora([source.folder for source in find(speech)]).table
    table = table.filter(pl.col("speaker_id").is_not_null()).sort("speaker_id", "clip_id")
    known = bundle.load().speakers()
    found = []
    for (speaker,), rows in table.group_by("speaker_id", maintain_order=True):
        digest = bundle.hash_speaker(str(speaker))
        genders, groups = set(rows["gender"].drop_nulls()), rows["age_group"].drop_nulls().to_list()
        if (digest in known) != (which == "dev") or len(genders) != 1 or not genders <= set(GENDERS):
            continue
        years = rows["age_years"].drop_nulls().to_list()
        age = float(np.median(years)) if years else age_middle(groups[0]) if groups else None
        if rows.height >= 2 and (age is None or age >= 10):
            found.append(Person(digest, genders.pop(), age, tuple(rows["path"])))
    if len(found) < 10:
        raise NothingToDoError(f"Found {len(found)} {which} speakers in {speech}. Expected at least 10.")
    return found


@functools.lru_cache(maxsize=1500)
def decoded(path: str) -> tuple[Signal, np.ndarray]:
    """Return the samples of a clip, with its speech scaled to a fixed level, and the frames with speech."""
    signal, _ = audio.load(path, RATE)
    signal = signal[: len(signal) - len(signal) % FRAME]
    power = detector.powers(signal)
    level = detector.loud_dbfs(power)
    if level < detector.QUIETEST_DBFS:
        return signal, np.zeros(len(power), bool)
    gain = 10 ** ((detector.TARGET_DBFS - level) / 20)
    frames = network.probabilities(signal, network.start(), gain)[0] >= 0.5
    for start, stop in runs(~frames):
        if start > 0 and stop < len(frames) and (stop - start) * FRAME < GAP_S * RATE:
            frames[start:stop] = True
    for start, stop in runs(frames):
        if stop - start < 3:  # too short for a word
            frames[start:stop] = False
    if frames.any():
        signal = signal * np.float32(10 ** (LEVEL_DB / 20) / np.sqrt(power[frames].mean()))
    return signal, frames


def runs(values: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], values, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


class Voice:
    """Speech of one speaker for a conversation: parts of their clips, one after the other."""

    def __init__(self, person: Person, rng: np.random.Generator) -> None:
        self.person = person
        self.gain = 10 ** (rng.uniform(-3, 3) / 20)
        self.pace = float(np.exp(rng.normal(0, 0.35)))  # this speaker's turns are longer or shorter
        self.room = impulse_response(rng)
        self.rng = rng
        self.clips = [clip for clip in person.clips if decoded(clip)[1].sum() * FRAME > 0.8 * RATE]
        self.order: list[str] = []
        self.at = 0  # the next frame of the clip in use

    def turn(self, seconds: float) -> tuple[Signal, list[tuple[int, int]]]:
        """Return the next turn, and the sample ranges with speech; the first range begins at MARGIN."""
        parts: list[Signal] = []
        spans: list[tuple[int, int]] = []
        length, left = 0, seconds
        while left > 0.6 or not parts:
            if not self.order:
                self.order = list(self.rng.permutation(self.clips))
                self.at = 0
            signal, frames = decoded(self.order[0])
            rest = np.flatnonzero(frames[self.at :])
            if not len(rest):
                self.order, self.at = self.order[1:], 0
                continue
            start, end = self.at + int(rest[0]), self.at + int(rest[-1]) + 1
            stop = start + max(1, round(left * RATE / FRAME))
            if stop < end - 25:  # cut in the quietest 0.1 s nearby
                power = np.convolve(detector.powers(signal), np.ones(3), "same")
                nearby = np.arange(max(start + 12, stop - 15), min(end - 12, stop + 16))
                end = int(nearby[np.argmin(power[nearby])]) if len(nearby) else stop
                self.at = end
            else:
                self.order, self.at = self.order[1:], 0
            piece = faded(signal[max(0, start * FRAME - MARGIN) : end * FRAME + MARGIN])
            if parts:
                pause = int(self.rng.uniform(0.0, 0.4) * RATE)
                parts.append(np.zeros(pause, np.float32))
                length += pause
            elif start * FRAME < MARGIN:
                parts.append(np.zeros(MARGIN - start * FRAME, np.float32))
                length += MARGIN - start * FRAME
            shift = length - max(0, start * FRAME - MARGIN)
            spans += [(shift + (start + a) * FRAME, shift + (start + b) * FRAME) for a, b in runs(frames[start:end])]
            parts.append(piece)
            length += len(piece)
            left -= (end - start) * FRAME / RATE
        return np.concatenate(parts) * np.float32(self.gain), spans


def faded(signal: Signal, samples: int = 160) -> Signal:
    ramp = np.linspace(0, 1, samples, dtype=np.float32)
    signal = signal.copy()
    signal[:samples] *= ramp[: len(signal)]
    signal[-samples:] *= ramp[::-1][-len(signal) :]
    return signal


def impulse_response(rng: np.random.Generator) -> Signal:
    """Draw a room response: direct sound, then noise at -8 to 3 dB that decays by 60 dB in 0.2 to 0.7 s."""
    seconds = rng.uniform(0.2, 0.7)
    at = np.arange(int(seconds * RATE)) / RATE
    tail = rng.standard_normal(len(at)) * 10 ** (-3 * at / seconds) * (at > 0.002)
    tail *= 10 ** (rng.uniform(-8, 3) / 20) / np.sqrt(np.square(tail).sum())
    tail[0] = 1.0
    return (tail / np.sqrt(np.square(tail).sum())).astype(np.float32)


def chosen(people: Sequence[Person], count: int, rng: np.random.Generator) -> list[Voice]:
    """Draw speakers; women and men have the same probability."""
    by_gender = {gender: [one for one in people if one.gender == gender] for gender in GENDERS}
    order = {gender: list(rng.permutation(len(ours))) for gender, ours in by_gender.items()}
    voices: list[Voice] = []
    while len(voices) < count:
        gender = GENDERS[int(rng.random() < 0.5)]
        if not order[gender]:
            raise NothingToDoError(f"Too few {gender} speakers. Expected {count} with speech in their clips.")
        voice = Voice(by_gender[gender][order[gender].pop()], rng)
        if sum(decoded(clip)[1].sum() for clip in voice.clips) * FRAME >= 4 * RATE:
            voices.append(voice)
    return voices


def compose(
    seed: int | Sequence[int],
    clips: Sequence[Person],
    condition: str = "clean",
    *,
    minutes: float = 1.0,
    speakers: tuple[int, int] = (2, 6),
) -> Conversation:
    """Return a conversation of about ``minutes`` minutes; ``clips`` is the result of :func:`people_of`."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(speakers[0], speakers[1] + 1))
    voices = chosen(clips, count, rng)
    length = round(minutes * 60 * RATE)
    mix = np.zeros(length + 2 * RATE, np.float32)
    weights = rng.dirichlet(np.full(count, 3.0))
    spans: dict[int, list[tuple[int, int]]] = {number: [] for number in range(count)}
    music: list[tuple[float, float]] = []
    next_music = rng.uniform(0, 15) * RATE if condition == "music" else np.inf
    end, before, before_length, spoken, overlapped = int(rng.uniform(0.2, 1.2) * RATE), -1, 0, 0, 0
    while (left := length - end - 2 * RATE) > 0:
        unheard = [number for number in range(count) if not spans[number] and number != before]
        if unheard and (rng.random() < 0.4 or left < 6 * RATE * len(unheard)):
            number = int(rng.choice(unheard))
        else:
            share = np.where(np.arange(count) == before, 0, weights)
            number = int(rng.choice(count, p=share / share.sum()))
        voice = voices[number]
        seconds = float(np.clip(TURN_S * voice.pace * np.exp(rng.normal(0, TURN_SIGMA)), 0.7, 25.0))
        turn, speech = voice.turn(min(seconds, left / RATE + 0.5))
        turn_length = speech[-1][1] - speech[0][0]
        overlap = int(min(rng.uniform(0.2, 1.0) * RATE, before_length / 2, turn_length / 2))
        pause = int(rng.uniform(0.1, 1.5) * RATE)
        allowed = condition != "clean" or overlapped + overlap <= OVERLAP_LIMIT * (spoken + turn_length)
        overlaps = rng.random() < 1 / 3 and before >= 0 and allowed
        start = end - overlap if overlaps else end + (pause if before >= 0 else 0)
        if end > next_music and length - end > 14 * RATE:
            alone = int(rng.uniform(3, 10) * RATE)
            music.append(((end + 0.2 * RATE) / RATE, (end + 0.2 * RATE + alone) / RATE))
            start, next_music = end + alone + int(0.4 * RATE), end + alone + rng.uniform(15, 35) * RATE
        if spans[number]:
            start = max(start, spans[number][-1][1] + RATE // 10)
        overlapped += max(0, end - start)
        if condition == "room":
            turn = scipy.signal.oaconvolve(turn, voice.room).astype(np.float32)
        at = max(0, start - MARGIN)
        turn = turn[: len(mix) - at]
        mix[at : at + len(turn)] += turn
        spans[number] += [(start - speech[0][0] + a, min(len(mix), start - speech[0][0] + b)) for a, b in speech]
        spoken += turn_length
        before, before_length, end = number, turn_length, max(end, spans[number][-1][1])
    mix = mix[: end + int(rng.uniform(0.2, 0.8) * RATE)]
    background(mix, condition, music, [one for one in clips if one not in [voice.person for voice in voices]], rng)
    mix *= np.float32(10 ** (rng.uniform(-6, 3) / 20))
    mix *= np.float32(min(1.0, 0.95 / max(1e-9, float(np.abs(mix).max()))))
    turns = [
        (round(a / RATE, 3), round(min(b, len(mix)) / RATE, 3), voices[number].person.speaker)
        for number in spans
        if spans[number]
        for a, b in merged(spans[number])
    ]
    told = {
        voice.person.speaker: {"gender": voice.person.gender, "age": voice.person.age, "clips": list(voice.clips)}
        for number, voice in enumerate(voices)
        if spans[number]
    }
    return Conversation(mix.astype(np.float32), sorted(turns), told, music, condition)


def merged(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Merge ranges with gaps below 0.3 s."""
    start, stop = spans[0]
    for a, b in spans[1:]:
        if a - stop >= GAP_S * RATE:
            yield start, stop
            start = a
        stop = max(stop, b)
    yield start, stop


def background(
    mix: Signal, condition: str, music: list[tuple[float, float]], others: list[Person], rng: np.random.Generator
) -> None:
    """Add the sounds of a condition to a mix, in place; every condition has a noise floor 40 dB below the speech."""
    level = 10 ** (LEVEL_DB / 20)
    for at in range(0, len(mix), 600 * RATE):
        part = mix[at : at + 600 * RATE]
        part += (level / 100 * rng.standard_normal(len(part))).astype(np.float32)
    if condition == "room":
        kind, snr = str(rng.choice(list(sounds.NOISES))), rng.uniform(10, 25)
        add(mix, (sounds.noise(kind, 60.0, rng) for _ in iter(int, 1)), lambda n: level * 10 ** (-snr / 20))
    elif condition == "crowd":
        snr = rng.uniform(10, 20)
        add(mix, (babble(others, rng) for _ in iter(int, 1)), lambda n: level * 10 ** (-snr / 20))
    elif condition == "music":
        gain = np.full(len(mix), 10 ** (-rng.uniform(10, 20) / 20), np.float32)
        for start, stop in music:
            gain[int(start * RATE) : int(stop * RATE)] = 10 ** (rng.uniform(-4, 2) / 20)
        ramp = np.hanning(4800).astype(np.float32)
        gain = np.asarray(scipy.signal.oaconvolve(gain, ramp / ramp.sum(), "same"), np.float32)
        kinds = [kind for kind in PIECES if kind not in ("chord", "drums")]
        pieces = (sounds.sound(str(rng.choice([*kinds, "ensemble"])), rng.uniform(20, 40), rng) for _ in iter(int, 1))
        bed = np.zeros_like(mix)
        add(bed, pieces, lambda n: level)
        mix += bed * gain
    elif condition == "telephone":
        narrow = resample(mix, RATE, 8000)
        sos = scipy.signal.butter(4, [300, 3400], "bandpass", fs=8000, output="sos")
        narrow = scipy.signal.sosfilt(sos, narrow)
        narrow = np.clip(narrow / max(1e-9, np.abs(narrow).max()), -1, 1) * 0.9
        coded = np.round(np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log1p(255) * 127) / 127  # mu-law
        narrow = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(255)) / 255
        wide = resample(narrow.astype(np.float32), 8000, RATE)[: len(mix)]
        mix[:] = np.pad(wide, (0, len(mix) - len(wide))) * 0.5


def add(mix: Signal, parts: Iterable[Signal], level_of: Callable[[int], float]) -> None:
    at = 0
    for part in parts:
        part = faded(part[: len(mix) - at], min(1600, max(1, (len(mix) - at) // 2)))
        mix[at : at + len(part)] += part * np.float32(level_of(at) / (np.sqrt(np.mean(np.square(part))) + 1e-9))
        at += len(part)
        if at >= len(mix) - 1:
            return


def babble(people: list[Person], rng: np.random.Generator) -> Signal:
    """Draw 20 s of 6 to 10 voices at once."""
    out = np.zeros(20 * RATE, np.float32)
    for number in rng.choice(len(people), int(rng.integers(6, 11)), replace=False):
        voice = np.concatenate([decoded(clip)[0] for clip in people[number].clips[:3]])
        voice = np.resize(np.roll(voice, int(rng.integers(len(voice)))), len(out))
        out += voice * np.float32(10 ** (rng.uniform(-6, 0) / 20))
    return out
