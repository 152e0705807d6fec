"""Figures in words: the names of figures and groups, and the format of their numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from voxtrait.labels import YEARS

NAMES: Final = {
    "gender": {
        "uar": "UAR (mean recall of female and male)",
        "uar_adults": "UAR of adults",
        "accuracy": "accuracy",
        "uar_sure": "UAR of the voices that get an answer",
        "unsure": "share answered “unsure”",
        "unsure_adults": "… of adults",
        "wrong_sure": "share confidently wrong (not “unsure”, and wrong)",
        "ece": "calibration error of p_female",
        "ece_adults": "… of adults",
        "uar_by_speaker": "UAR, every speaker counting the same",
    },
    "age": {
        "mae": "mean absolute error",
        "mae_constant": "… of the best constant guess",
        "mae_by_speaker": "… every speaker counting the same",
        "mae_female": "… of female voices",
        "mae_male": "… of male voices",
        "bias": "mean of answered minus true years",
        "pearson": "correlation of answered and true years",
        "coverage80": "share of true ages inside the 80 % interval",
        "interval_width": "mean width of the interval",
        "interval_width_constant": "… of the constant guess’s (10th to 90th percentile of the ages)",
        "group_uar": "mean recall of the age groups",
        "joint_uar": "mean recall of the classes of gender and age group",
        "joint_accuracy": "accuracy over these classes",
        "joint_majority": "… of always answering the most frequent one",
    },
}
SLICES: Final = {
    "gender": "Gender",
    "age_group": "Age group",
    "gender_age_group": "Gender and age group",
    "children": "Children",
    "locale_group": "Language family (the largest)",
    "locale": "Locale (the largest)",
    "corpus": "Corpus (the largest)",
    "release": "Release (the largest)",
    "duration": "Duration of the clip",
    "snr": "Speech over noise",
}
DECADES: Final = {"age_group": "Labelled decade", "estimated_age_group": "Estimated decade"}
"""Slices whose figures of age are the tables of age by decade."""
DECADE_COLUMNS: Final = {
    "mae": "MAE, years",
    "bias": "bias, years",
    "coverage80": "inside the 80 % interval",
    "interval_width": "width of the interval, years",
}
"""Figures of age in the tables of age by decade, and their headings."""
COLUMNS: Final = {
    "gender": {
        "accuracy": "gender right",
        "uar": "gender UAR",
        "wrong_sure": "confidently wrong",
        "unsure": "unsure",
    },
    "age": {
        "mae": "age error, years",
        "mae_constant": "… of a constant guess",
        "bias": "age bias, years",
        "coverage80": "inside interval",
        "interval_width": "its width, years",
    },
    "unanswered": {"no_speech": "no speech", "too_short": "too short"},
}
"""Figures of a slice that tables show, in this order, and their headings."""
USES: Final = (
    "Describing and balancing corpora of speech: how many voices of which kind there are, and where labels look "
    "doubtful.",
    "Statistics over many clips, with the errors below in mind.",
    "Research and teaching on what a voice tells and what it does not.",
)
MISUSES: Final = (
    "Identifying people, or telling whether two clips are of one person.",
    "Deciding anything about a person: access, employment, credit, insurance, policing, medical questions.",
    "Verifying the age of a single person. The interval is wide because the voice does not tell more.",
    "Addressing or labelling a person by gender. Voices of trans and non-binary people, and of children, are answered "
    "by how they sound to the model.",
)
LIMITS: Final = (
    "A group with few speakers has figures that say little; a group that is not in the tables was not tested at all.",
    "Labels are what speakers said of themselves in the corpus; a small share of them is wrong, and no model can be "
    "right on those.",
    "Other microphones, rooms, codecs, languages and ages than those of the data may do worse. Test on your own "
    "recordings before use.",
)
"""Texts in the card of every model: its uses, the uses that are excluded, and the limits of its figures."""
_PLAIN: Final = frozenset(
    name for names in NAMES.values() for name in names if name == "pearson" or "uar" in name or name.startswith("ece")
)
_SIGNED: Final = frozenset({"bias", "difference"})
_YEARS: Final = frozenset(name for name in NAMES["age"] if name.startswith(("mae", "interval_width")) or name == "bias")


def number(value: float | None, name: str) -> str:
    """Print one number in the unit of its figure: years, a plain number, points of per cent, or per cent.

    Examples:
        >>> number(11.25, "mae"), number(0.9036, "uar"), number(0.9036, "accuracy"), number(-2.3, "bias")
        ('11.2 years', '0.904', '90.4 %', '−2.3 years')
    """
    if value is None:
        return "–"
    if name in _SIGNED:
        text = f"{value:+.1f} years" if name in _YEARS else f"{100 * value:+.1f} points"
        return text.replace("-", "−")
    if name in _YEARS:
        return f"{value:.1f} years"
    return f"{value:.3f}" if name in _PLAIN else f"{100 * value:.1f} %"


def bounds(row: Mapping[str, float | None] | None, name: str) -> str:
    """Print the interval of a figure alone, an empty text where there is none.

    Examples:
        >>> bounds({"value": 0.9036, "low": 0.871, "high": 0.93}, "uar")
        '0.871–0.930'
        >>> bounds({"value": -2.3, "low": -4.6, "high": -0.2}, "bias")
        '−4.6 to −0.2'
    """
    if row is None or row["low"] is None:
        return ""
    return (" to " if name in _SIGNED else "–").join(bare(number(row[key], name)) for key in ("low", "high"))


def bare(text: str) -> str:
    """Take the unit from a printed number, where a heading or the value beside it has it.

    Examples:
        >>> bare("11.2 years"), bare("90.4 %"), bare("–")
        ('11.2', '90.4', '–')
    """
    return text.removesuffix(" %").removesuffix(" years").removesuffix(" points")


def interval(row: Mapping[str, float | None] | None, name: str) -> str:
    """Print a figure with its interval.

    Examples:
        >>> interval({"value": 0.9036, "low": 0.871, "high": 0.93}, "uar")
        '0.904 (0.871–0.930)'
    """
    if row is None or row["value"] is None:
        return "–"
    inside = bounds(row, name)
    return number(row["value"], name) + (f" ({inside})" if inside else "")


def tested(scores: Mapping[str, Any]) -> str:
    """Name the test set of scores: its clips and speakers, its split, and what is known of leakage.

    Examples:
        >>> tested({"n_clips": 1557, "n_speakers": 203, "split": "test", "leakage": "none"})
        '1,557 clips of 203 speakers, split test; leakage: none'
        >>> tested({})
        'unknown clips; leakage: unknown'
    """
    clips, speakers, split = (scores.get(name) for name in ("n_clips", "n_speakers", "split"))
    text = "unknown clips" if clips is None else f"{clips:,} clip{'s' if clips != 1 else ''}"
    text += "" if speakers is None else f" of {speakers:,} speaker{'s' if speakers != 1 else ''}"
    text += "" if split is None else f", split {split}"
    return f"{text}; leakage: {scores.get('leakage', 'unknown')}"


def columns(kind: str, rows: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """List the columns ``(task, figure, heading)`` that a table of slices has something to show in.

    Args:
        kind: of slices; the age of those in :data:`DECADES` is in tables of its own.
        rows: slices of this kind.
    """
    return [
        (task, name, heading)
        for task, names in COLUMNS.items()
        if task != "age" or kind not in DECADES
        for name, heading in names.items()
        if any(
            row[task][name] is not None and (task != "unanswered" or row[task][name]["value"]) for row in rows.values()
        )
    ]


def plain(name: str) -> str:
    """Print the name of a group as words.

    Examples:
        >>> plain("female_under_ten")
        'female under ten'
    """
    return name.replace("_", " ")


def classes(labels: Sequence[str]) -> str:
    """List the classes of an output.

    Examples:
        >>> classes(["female", "male"]), classes(YEARS)
        ('female, male', 'single years from 0 to 99')
    """
    if tuple(labels) == YEARS:
        return f"single years from {YEARS[0]} to {YEARS[-1]}"
    return ", ".join(plain(label) for label in labels)


def listing(items: Sequence[str]) -> str:
    """Join items as a sentence does.

    Examples:
        >>> listing(["a", "b", "c"])
        'a, b and c'
    """
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)
