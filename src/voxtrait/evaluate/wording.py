"""Names of figures and groups in reports and model cards, and the format of their numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from voxtrait.errors import counted
from voxtrait.labels import YEARS

NAMES: Final = {
    "gender": {
        "uar": "mean recall of women and men (UAR)",
        "uar_adults": "UAR of adults",
        "accuracy": "accuracy",
        "uar_sure": "UAR without the clips predicted as “unsure”",
        "unsure": "share predicted as “unsure”",
        "unsure_adults": "share of adults predicted as “unsure”",
        "wrong_sure": "share confidently wrong (wrong, and not “unsure”)",
        "ece": "expected calibration error of p_female (ECE)",
        "ece_adults": "ECE of adults",
        "uar_by_speaker": "UAR with equal weight for every speaker",
    },
    "age": {
        "mae": "mean absolute error (MAE)",
        "mae_constant": "MAE of the best constant guess",
        "mae_by_speaker": "MAE with equal weight for every speaker",
        "mae_female": "MAE of female voices",
        "mae_male": "MAE of male voices",
        "bias": "bias (mean of predicted minus true years)",
        "pearson": "Pearson correlation of predicted and true years",
        "coverage80": "share of true ages inside the 80 % interval",
        "interval_width": "mean width of the 80 % interval",
        "interval_width_constant": "width of a constant interval (10th to 90th percentile of the true ages)",
        "group_uar": "mean recall of the age groups",
        "joint_uar": "mean recall of the classes of gender and age group",
        "joint_accuracy": "accuracy over the classes of gender and age group",
        "joint_majority": "accuracy of always predicting the most frequent class",
    },
}
SLICES: Final = {
    "gender": "Gender",
    "age_group": "Age group",
    "gender_age_group": "Gender and age group",
    "children": "Children",
    "locale_group": "Language family",
    "locale": "Locale",
    "corpus": "Corpus",
    "release": "Release",
    "duration": "Duration of the clip",
    "snr": "Signal-to-noise ratio",
}
DECADES: Final = {"age_group": "Labelled decade", "estimated_age_group": "Estimated decade"}
"""Slices whose figures of age are the tables of age by decade."""
DECADE_COLUMNS: Final = {
    "mae": "MAE, years",
    "bias": "bias, years",
    "coverage80": "inside the 80 % interval",
    "interval_width": "interval width, years",
}
"""Figures of age in the tables of age by decade, and their headings."""
COLUMNS: Final = {
    "gender": {
        "accuracy": "gender accuracy",
        "uar": "gender UAR",
        "wrong_sure": "confidently wrong",
        "unsure": "unsure",
    },
    "age": {
        "mae": "age MAE, years",
        "mae_constant": "MAE of a constant guess, years",
        "bias": "age bias, years",
        "coverage80": "inside the 80 % interval",
        "interval_width": "interval width, years",
    },
    "unanswered": {"no_speech": "no speech", "too_short": "too short"},
}
"""Figures of a slice that tables show, in this order, and their headings."""
USES: Final = (
    "Describing and balancing speech corpora: how many voices of each kind they have, and which labels look wrong.",
    "Statistics over many clips, with the errors below in mind.",
    "Research and teaching about what a voice reveals and what it does not.",
)
MISUSES: Final = (
    "Identifying people, or deciding whether two clips are from one person.",
    "Decisions about a person: access, employment, credit, insurance, policing, medical questions.",
    "Verifying the age of one person. The interval is wide because a voice contains no more information about age.",
    "Addressing or labelling a person by gender. Predictions for trans and non-binary people and for children depend "
    "on how their voices sound to the model.",
)
LIMITS: Final = (
    "Figures of a group with few speakers are unreliable. Groups that are not in the tables were not tested.",
    "Labels are what speakers stated about themselves in the corpus. A small share of the labels is wrong. A correct "
    "prediction for such a clip counts as an error.",
    "Accuracy may be lower with microphones, rooms, codecs, languages and ages that the data do not cover. Test the "
    "model on your own recordings before use.",
)
"""Texts in the card of every model: its uses, the uses that are excluded, and the limits of its figures."""
_PLAIN: Final = frozenset(
    name for names in NAMES.values() for name in names if name == "pearson" or "uar" in name or name.startswith("ece")
)
_SIGNED: Final = frozenset({"bias", "difference"})
_YEARS: Final = frozenset(name for name in NAMES["age"] if name.startswith(("mae", "interval_width")) or name == "bias")


def number(value: float | None, name: str) -> str:
    """Format a number in the unit of its figure: years, a plain number with three digits, or per cent.

    Examples:
        >>> number(11.25, "mae"), number(0.9036, "uar"), number(0.044, "unsure"), number(-2.3, "bias")
        ('11.2 years', '0.904', '4.4 %', '−2.3 years')
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
    """Format the interval of a figure without the figure; an empty text if it has none.

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
    """Remove the unit from a formatted number, for a table whose heading states it.

    Examples:
        >>> bare("11.2 years"), bare("90.4 %"), bare("–")
        ('11.2', '90.4', '–')
    """
    return text.removesuffix(" %").removesuffix(" years").removesuffix(" points")


def interval(row: Mapping[str, float | None] | None, name: str) -> str:
    """Format a figure with its interval.

    Examples:
        >>> interval({"value": 0.9036, "low": 0.871, "high": 0.93}, "uar")
        '0.904 (0.871–0.930)'
    """
    if row is None or row["value"] is None:
        return "–"
    inside = bounds(row, name)
    return number(row["value"], name) + (f" ({inside})" if inside else "")


def tested(scores: Mapping[str, Any]) -> str:
    """Describe the test set of scores: its clips, speakers, split and leakage.

    Examples:
        >>> tested({"n_clips": 1557, "n_speakers": 203, "split": "test", "leakage": "none"})
        '1,557 clips of 203 speakers, split test; leakage: none'
        >>> tested({})
        'unknown clips; leakage: unknown'
    """
    clips, speakers, split = (scores.get(name) for name in ("n_clips", "n_speakers", "split"))
    text = "unknown clips" if clips is None else counted(clips, "clip")
    text += "" if speakers is None else f" of {counted(speakers, 'speaker')}"
    text += "" if split is None else f", split {split}"
    return f"{text}; leakage: {scores.get('leakage', 'unknown')}"


def columns(kind: str, rows: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """List the columns ``(task, figure, heading)`` that are not empty in a table of slices.

    Args:
        kind: kind of the slices. Those in :data:`DECADES` have separate tables of age.
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
    """Write the name of a group as words.

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
    """Join items with commas and a final “and”.

    Examples:
        >>> listing(["a", "b", "c"])
        'a, b and c'
    """
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)
