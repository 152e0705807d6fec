"""Defines the timeline of a recording: segments, speakers, and speaking time by attribute."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import numpy as np

from voxtrait import storage
from voxtrait.errors import require
from voxtrait.labels import AGE_GROUPS, GENDERS
from voxtrait.recognize.prediction import rounded

UNSURE: Final = "unsure"
RESAMPLES: Final = 1000
SEED: Final = 0

Attribute = Literal["gender", "age_group", "speaker"]


@dataclasses.dataclass(frozen=True)
class Segment:
    """A part of a recording: a turn of one speaker, or a part without one, such as music.

    Examples:
        >>> Segment(0.352, 4.6, "S1").to_dict()
        {'start_s': 0.35, 'end_s': 4.6, 'speaker': 'S1'}
    """

    #: Start, in seconds.
    start_s: float
    #: End, in seconds.
    end_s: float
    #: Name of the speaker. None for a part without speech.
    speaker: str | None
    #: ``music``. None for speech, and then absent from JSON.
    kind: str | None = None

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s

    def to_dict(self) -> dict[str, Any]:
        """Return the fields; seconds have 2 decimals, and ``kind`` is absent for speech."""
        values: dict[str, Any] = {
            "start_s": round(self.start_s, 2),
            "end_s": round(self.end_s, 2),
            "speaker": self.speaker,
        }
        return values if self.kind is None else values | {"kind": self.kind}


@dataclasses.dataclass(frozen=True)
class Speaker:
    """How one speaker's voice presents, from all of their speech in a recording.

    The fields after ``speech_s`` are those of :class:`voxtrait.Prediction`. They are ``None`` if the speaker speaks
    alone for less than 0.7 s.

    Examples:
        >>> Speaker("S1", 91.3, "female", 0.99).to_dict()["speech_s"]
        91.3
    """

    #: ``S1``, ``S2``, … in the order in which the speakers first speak, or the name in ``--turns``.
    speaker: str
    #: Duration of their speech in seconds, overlapping speech included.
    speech_s: float
    #: ``female``, ``male``, or ``unsure`` if the probability is inside the abstention band. None without a prediction.
    gender: str | None = None
    #: Calibrated probability of ``female``, from 0 to 1. None without a prediction.
    p_female: float | None = None
    #: Age in years, halfway between median and mean of the age distribution. None without a prediction.
    age_years: float | None = None
    #: Lower end of the calibrated 80 % interval, in years. None without a prediction.
    age_low: float | None = None
    #: Upper end of the 80 % interval, in years. None without a prediction.
    age_high: float | None = None
    #: Decade of ``age_years``, from ``under_ten`` to ``nineties``. None without a prediction.
    age_group: str | None = None
    #: Probability of each age group. The sum is 1. None without a prediction.
    age_groups: Mapping[str, float] | None = None
    #: Channel of the speaker, counted from 1. None if all channels were averaged, and then absent from JSON.
    channel: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields; probabilities have 4 decimals, seconds and years 2. ``channel`` is absent if ``None``."""
        values = rounded({field.name: getattr(self, field.name) for field in dataclasses.fields(self)})
        if self.channel is None:
            del values["channel"]
        return values


@dataclasses.dataclass(frozen=True)
class Timeline:
    """Who speaks when in one recording, and how each voice presents.

    Iterating yields the segments. A slice in seconds, ``timeline[10:20]``, returns that part of the timeline.

    Examples:
        >>> talk = Timeline("talk.mp3", "ok", None, 9.0, 8.5, (Speaker("S1", 4.0, "female", 0.99),
        ...     Speaker("S2", 4.5, "male", 0.02)), (Segment(0.5, 4.5, "S1"), Segment(4.5, 9.0, "S2")), "")
        >>> talk.speaking_s
        {'female': 4.0, 'male': 4.5, 'unsure': 0.0}
        >>> [segment.speaker for segment in talk[5:9]]
        ['S2']
    """

    #: File name or URL. None for bytes and signals, which have no name.
    path: str | None
    #: ``ok``, ``no_speech``, ``too_short`` or ``error``.
    status: str
    #: Reason for any status but ``ok``; with ``ok``, a note on averaged channels. None if there is no note.
    message: str | None
    #: Duration of the recording, in seconds. None if it could not be read.
    duration_s: float | None
    #: Time in which anybody speaks, in seconds; overlapping turns count once. None if it could not be read.
    speech_s: float | None
    #: The speakers, in the order in which they first speak.
    speakers: tuple[Speaker, ...]
    #: The turns, and the parts with music, sorted by start. Overlapping speech is several segments.
    segments: tuple[Segment, ...]
    #: Name and version of the bundle.
    model: str

    @property
    def turns(self) -> tuple[Segment, ...]:
        """The segments with a speaker."""
        return tuple(segment for segment in self.segments if segment.speaker is not None)

    @property
    def speaking_s(self) -> dict[str, float]:
        """Seconds of speech by gender, ``female``, ``male`` and ``unsure``; overlapping speech counts for each."""
        return self.totals("gender")

    def totals(self, attribute: Attribute) -> dict[str, float]:
        """Return seconds of speech by an attribute of the speakers.

        Args:
            attribute: ``gender``, ``age_group`` or ``speaker``. Speakers without a prediction count as ``unsure``.

        Returns:
            Value → seconds. Gender has all three values; other attributes have only values that occur.
        """
        values = self._values(attribute)
        found = dict.fromkeys((*GENDERS, UNSURE), 0.0) if attribute == "gender" else {}
        order = {group: place for place, group in enumerate((*AGE_GROUPS, UNSURE))} if attribute == "age_group" else {}
        for turn in self.turns:
            value = values[str(turn.speaker)]
            found[value] = found.get(value, 0.0) + turn.duration_s
        return {value: found[value] for value in sorted(found, key=lambda one: order.get(one, 0))}

    def shares(
        self, attribute: Attribute, *, resamples: int = RESAMPLES, seed: int = SEED
    ) -> dict[str, dict[str, float]]:
        """Return shares of speaking time by an attribute, with a 95 % bootstrap interval over the turns.

        Args:
            attribute: as for :meth:`totals`.
            resamples: number of resamples of the turns, drawn with replacement (Efron, "Bootstrap methods", Annals of
                Statistics 1979).
            seed: random seed of the resampling.

        Returns:
            Value → ``seconds``, ``share``, ``low`` and ``high``. The last three are 0 without speech.
        """
        totals = self.totals(attribute)
        values = self._values(attribute)
        turns = self.turns
        seconds = np.array([turn.duration_s for turn in turns])
        drawn = np.zeros((0, 0), int)
        if len(turns):
            drawn = np.random.default_rng(seed).integers(len(turns), size=(resamples, len(turns)))
        found = {}
        for value, total in totals.items():
            ours = np.array([values[str(turn.speaker)] == value for turn in turns])
            low = high = share = 0.0
            if len(turns):
                share = total / float(seconds.sum())
                parts = (seconds * ours)[drawn].sum(axis=1) / seconds[drawn].sum(axis=1)
                low, high = (float(end) for end in np.quantile(parts, [0.025, 0.975]))
            found[value] = {"seconds": total, "share": share, "low": low, "high": high}
        return found

    def female_share(self, *, resamples: int = RESAMPLES, seed: int = SEED) -> dict[str, float] | None:
        """Return the share of female voices in speaking time, with a 95 % interval; ``unsure`` voices count too.

        Each speaker is drawn as female with the probability ``p_female``, ``resamples`` times. The share is the median
        over the draws: if the probabilities are right, no other value has a lower expected absolute error. A single
        unsure voice with 0.7 counts as female; of eight equally long voices with 0.6, five do. For the interval, each
        draw also resamples the turns, as in :meth:`shares`. Speakers without a prediction are left out, and a gender
        without ``p_female`` is not drawn.

        Args:
            resamples: number of draws.
            seed: random seed of the draws.

        Returns:
            ``share``, ``low`` and ``high``, or ``None`` if no speaker has a prediction.

        Examples:
            >>> talk = Timeline("talk.mp3", "ok", None, 9.0, 8.0, (Speaker("S1", 6.0, "unsure", 0.7),
            ...     Speaker("S2", 2.0, "male", 0.0)), (Segment(0.5, 6.5, "S1"), Segment(7.0, 9.0, "S2")), "")
            >>> talk.female_share()
            {'share': 0.75, 'low': 0.0, 'high': 1.0}
        """
        known = [one for one in self.speakers if one.gender is not None]
        p_female = [float(one.gender == "female") if one.p_female is None else one.p_female for one in known]
        places = {one.speaker: place for place, one in enumerate(known)}
        turns = [turn for turn in self.turns if turn.speaker in places]
        if not turns:
            return None
        rng = np.random.default_rng(seed)
        seconds = np.array([turn.duration_s for turn in turns])
        female = rng.random((resamples, len(known))) < p_female
        spoken = female[:, [places[str(turn.speaker)] for turn in turns]]  # (resamples, turns)
        drawn = rng.integers(len(turns), size=(resamples, len(turns)))
        parts = (seconds[drawn] * np.take_along_axis(spoken, drawn, axis=1)).sum(axis=1) / seconds[drawn].sum(axis=1)
        low, high = (float(end) for end in np.quantile(parts, [0.025, 0.975]))
        return {"share": float(np.median(spoken @ seconds / seconds.sum())), "low": low, "high": high}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields in their fixed order, then ``speaking`` and ``female_share``.

        ``speaking`` has :meth:`shares` by gender and age group.
        """
        speaking = {
            attribute: {
                value: {name: round(number, 2 if name == "seconds" else 4) for name, number in part.items()}
                for value, part in self.shares(attribute).items()
            }
            for attribute in ("gender", "age_group")
        }
        share = self.female_share()
        return {
            "path": None if self.path is None else storage.text_of(self.path),
            "status": self.status,
            "message": None if self.message is None else storage.text_of(self.message),
            "duration_s": None if self.duration_s is None else round(self.duration_s, 2),
            "speech_s": None if self.speech_s is None else round(self.speech_s, 2),
            "speakers": [speaker.to_dict() for speaker in self.speakers],
            "segments": [segment.to_dict() for segment in self.segments],
            "speaking_s": {gender: round(seconds, 2) for gender, seconds in self.speaking_s.items()},
            "model": self.model,
            "speaking": speaking,
            "female_share": share if share is None else {name: round(number, 4) for name, number in share.items()},
        }

    def __iter__(self) -> Iterator[Segment]:
        """Yield the segments, by start."""
        return iter(self.segments)

    def __len__(self) -> int:
        """Return the number of segments."""
        return len(self.segments)

    def __getitem__(self, part: slice) -> "Timeline":
        """Return the part between two times in seconds. Gender and age stay those from all speech of a speaker.

        Raises:
            TypeError: if ``part`` is not a slice.
        """
        if not isinstance(part, slice):
            raise TypeError(f"Got {part!r}. Expected a slice in seconds, such as timeline[10:20].")
        start = 0.0 if part.start is None else float(part.start)
        stop = (self.duration_s or 0.0) if part.stop is None else float(part.stop)
        segments = tuple(
            dataclasses.replace(one, start_s=max(one.start_s, start), end_s=min(one.end_s, stop))
            for one in self.segments
            if one.start_s < stop and one.end_s > start
        )
        spoken: dict[str, float] = {}
        for one in segments:
            if one.speaker is not None:
                spoken[one.speaker] = spoken.get(one.speaker, 0.0) + one.duration_s
        speakers = tuple(
            dataclasses.replace(one, speech_s=spoken[one.speaker]) for one in self.speakers if one.speaker in spoken
        )
        return dataclasses.replace(
            self, duration_s=stop - start, speech_s=union_s(segments), speakers=speakers, segments=segments
        )

    def to_polars(self) -> Any:
        """Return a ``polars.DataFrame`` with one row per segment, including the speaker's gender and age."""
        require("a table", "corpus", "polars")
        import polars as pl

        rows = self._rows()
        texts = ("speaker", "kind", "gender", "age_group")
        kinds = dict.fromkeys(texts, pl.String()) | {"channel": pl.Int64()}
        return pl.DataFrame(rows, schema={name: kinds.get(name, pl.Float64()) for name in COLUMNS})

    def to_pandas(self) -> Any:
        """Return the same table as a ``pandas.DataFrame``."""
        import pandas as pd

        return pd.DataFrame(self._rows(), columns=list(COLUMNS))

    def _rows(self) -> list[dict[str, Any]]:
        by_name = {one.speaker: one for one in self.speakers}
        rows = []
        for one in self.segments:
            known = by_name.get(one.speaker or "")
            found = {name: getattr(known, name, None) for name in COLUMNS[4:]}
            rows.append({"start_s": one.start_s, "end_s": one.end_s, "speaker": one.speaker, "kind": one.kind} | found)
        return rows

    def _values(self, attribute: Attribute) -> dict[str, str]:
        return {one.speaker: getattr(one, attribute) or UNSURE for one in self.speakers}

    def __repr__(self) -> str:
        """Return a short summary of a few lines."""
        head = f"<Timeline {storage.text_of(self.path or '-')}: {self.status}"
        if self.status != "ok":
            return f"{head}, {storage.text_of(self.message or '')}>"
        speakers, turns = len(self.speakers), len(self.turns)
        counts = f"{speakers} speaker{'' if speakers == 1 else 's'}, {turns} turn{'' if turns == 1 else 's'}"
        lines = [f"{head}, {self.duration_s:.1f} s, {counts}"]
        for one in self.speakers:
            years = "" if one.age_years is None else f", {one.age_years:.0f} years"
            lines.append(f"  {one.speaker}: {one.speech_s:.1f} s, {one.gender or 'no prediction'}{years}")
        return "\n".join(lines) + ">"


COLUMNS: Final = (
    "start_s",
    "end_s",
    "speaker",
    "kind",
    "gender",
    "p_female",
    "age_years",
    "age_low",
    "age_high",
    "age_group",
    "channel",
)


def union_s(segments: tuple[Segment, ...]) -> float:
    """Return the seconds in which anybody speaks; overlapping turns count once.

    Examples:
        >>> union_s((Segment(0.0, 2.0, "S1"), Segment(1.0, 3.0, "S2"), Segment(5.0, 6.0, None, "music")))
        3.0
    """
    total, reached = 0.0, 0.0
    for one in sorted(segments, key=lambda one: one.start_s):
        if one.speaker is not None and one.end_s > reached:
            total += one.end_s - max(one.start_s, reached)
            reached = one.end_s
    return total
