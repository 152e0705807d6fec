"""Sentences made from the figures: where the model is worst, what it was not tested on, and children."""

from collections.abc import Mapping
from typing import Any, Final

from voxtrait.evaluate.figures import FEW
from voxtrait.evaluate.slices import CHILDREN
from voxtrait.evaluate.wording import bare, interval, listing, number, plain
from voxtrait.labels import JOINT_CLASSES

COMPARED: Final = {
    "gender_age_group": "gender and age group",
    "locale_group": "language family",
    "corpus": "corpus",
    "duration": "duration of the clip",
    "snr": "speech over noise",
}
BIASED: Final = 5.0  # years of mean error in one direction from which a group is named
COVERED: Final = 0.8  # share that an 80 % interval promises
Slices = Mapping[str, Mapping[str, Any]]


def sentences(report: Mapping[str, Any]) -> list[str]:
    """Write what the figures show of the model's limits.

    Args:
        report: with ``gender``, ``age``, ``fairness``, ``slices`` and ``statuses``.

    Returns:
        Sentences, the most general first. Groups with fewer than :data:`voxtrait.evaluate.figures.FEW` speakers are
        only listed as such.
    """
    slices = report["slices"]
    found = [_against_constant(report["age"])]
    found += [_weakest(report, kind, words) for kind, words in COMPARED.items()]
    found += [_unfair(report["fairness"]), _biases(slices["age_group"]), _uncovered(slices["age_group"])]
    found += [_few(slices["gender_age_group"]), _untested(slices["gender_age_group"]), _unpredicted(report["statuses"])]
    return [sentence for sentence in found if sentence]


def of_children(report: Mapping[str, Any]) -> list[str]:
    """Write the figures of children and teens, a sentence for each band of age that occurs."""
    rows = {name: row for name, row in report["slices"]["children"].items() if name != CHILDREN[-1] and row["n_clips"]}
    found = []
    for name, row in rows.items():
        parts = []
        if row["gender"]["accuracy"]:
            shown = {key: interval(row["gender"][key], key) for key in ("accuracy", "wrong_sure", "unsure")}
            parts.append(
                f"gender is as labelled in {shown['accuracy']}, confidently wrong in {shown['wrong_sure']} and "
                f"unsure in {shown['unsure']}"
            )
        if row["age"]["mae"]:
            bias = _too(row["age"]["bias"]["value"])
            parts.append(f"age is off by {interval(row['age']['mae'], 'mae')} and answered {bias} on average")
        if parts:
            note = ", too few to say much" if _is_few(row) else ""
            found.append(f"{name[0].upper()}{name[1:]} ({_people(row)}{note}): {'; '.join(parts)}.")
    return found


def _against_constant(age: Mapping[str, Any]) -> str:
    if age["mae"] is None:
        return ""
    mae, constant = age["mae"], age["mae_constant"]
    guess = f"always answering {age['constant']:g} would be off by {number(constant['value'], 'mae')}"
    text = f"Age is off by {interval(mae, 'mae')} on average; {guess}"
    return text + (": in years it is no better than that." if mae["value"] >= constant["value"] else ".")


def _weakest(report: Mapping[str, Any], kind: str, words: str) -> str:
    """Name the group of a kind where gender is right least often, and the one where age is furthest off."""
    rows = {name: row for name, row in report["slices"][kind].items() if not _is_few(row)}
    parts = []
    for task, figure, words_before, sign in (
        ("gender", "accuracy", "gender is right least often for", 1),
        ("age", "mae", "age is furthest off for", -1),
    ):
        having = {name: row for name, row in rows.items() if row[task][figure]}
        if len(having) < 2:
            continue
        name = min(having, key=lambda one: sign * having[one][task][figure]["value"])
        row = having[name][task][figure]
        text = f"{words_before} {plain(name)}: {interval(row, figure)}, {_people(having[name])}"
        overall = report[task][figure]["value"]
        if row["low"] is not None and row["low"] <= overall <= row["high"]:
            text += f", which may be chance beside {number(overall, figure)} over all"
        parts.append(text)
    return f"By {words}, {'; '.join(parts)}." if parts else ""


def _unfair(fairness: Mapping[str, Any]) -> str:
    worst = fairness["largest_of_many"]
    if worst is None:
        return ""
    lower = "female" if worst["value"] < 0 else "male"
    size = bare(number(abs(worst["value"]), "recall"))
    text = (
        f"Among adults, the recalls of female and male voices differ most in the {plain(worst['group'])}, "
        f"by {size} points, {lower} voices being recognised less often (age groups with at least "
        f"{fairness['many']} speakers of each)"
    )
    if worst["low"] is not None and worst["low"] <= 0 <= worst["high"]:
        text += "; that may be chance"
    return text + "."


def _biases(groups: Slices) -> str:
    named = [
        f"{plain(name)} {_too(bias['value'])}"
        for name, row in groups.items()
        if not _is_few(row) and (bias := row["age"]["bias"]) and abs(bias["value"]) >= BIASED
    ]
    return f"Answered on average: {listing(named)}." if named else ""


def _uncovered(groups: Slices) -> str:
    named = [
        f"{plain(name)}, {interval(share, 'coverage80')}"
        for name, row in groups.items()
        if not _is_few(row) and (share := row["age"]["coverage80"]) and (share["high"] or share["value"]) < COVERED
    ]
    return (
        f"The 80 % interval of age holds fewer of the true ages than it promises: {'; '.join(named)}." if named else ""
    )


def _few(groups: Slices) -> str:
    named = [plain(name) for name, row in groups.items() if row["n_clips"] and _is_few(row)]
    return f"Fewer than {FEW} speakers, so that their figures say little: {listing(named)}." if named else ""


def _untested(groups: Slices) -> str:
    named = [plain(name) for name in JOINT_CLASSES if not groups.get(name, {"n_clips": 0})["n_clips"]]
    return f"Not tested at all: {listing(named)}." if named and len(named) < len(JOINT_CLASSES) else ""


def _unpredicted(statuses: Mapping[str, int]) -> str:
    if not statuses["no_speech"] + statuses["too_short"] + statuses["error"]:
        return ""
    return (
        f"Without an answer here: {statuses['no_speech']} clips with no speech, {statuses['too_short']} too short, "
        f"{statuses['error']} unreadable. They are in no figure of gender or age."
    )


def _too(bias: float) -> str:
    return f"{abs(bias):.1f} years too {'old' if bias > 0 else 'young'}"


def _is_few(row: Mapping[str, Any]) -> bool:
    return int(row["n_clips"] if row["n_speakers"] is None else row["n_speakers"]) < FEW


def _people(row: Mapping[str, Any]) -> str:
    n, what = (row["n_clips"], "clip") if row["n_speakers"] is None else (row["n_speakers"], "speaker")
    return f"{n:,} {what}{'s' if n != 1 else ''}"
