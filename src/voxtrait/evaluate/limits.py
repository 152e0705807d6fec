"""Writes the limits of a model as sentences, from its figures: weakest groups, untested groups, and children."""

from collections.abc import Mapping
from typing import Any, Final

from voxtrait.errors import counted
from voxtrait.evaluate.figures import FEW
from voxtrait.evaluate.groups import CHILDREN
from voxtrait.evaluate.wording import bare, interval, listing, number, plain
from voxtrait.labels import JOINT_CLASSES

COMPARED: Final = {
    "gender_age_group": "gender and age group",
    "locale_group": "language family",
    "corpus": "corpus",
    "duration": "duration of the clip",
    "snr": "signal-to-noise ratio",
}
BIASED: Final = 5.0  # years of bias, in either direction, from which a group is listed
COVERED: Final = 0.8  # nominal coverage of an 80 % interval
Slices = Mapping[str, Mapping[str, Any]]


def sentences(report: Mapping[str, Any]) -> list[str]:
    """Describe the limits that the figures show.

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


def in_short(report: Mapping[str, Any]) -> list[str]:
    """Describe the limits for the summary of a report: bias and coverage of the age, gender, and small groups."""
    slices = report["slices"]
    found = [_biases(slices["age_group"]), _uncovered(slices["age_group"]), _unfair(report["fairness"])]
    found += [*of_children(report)[:1], _few(slices["gender_age_group"]), _untested(slices["gender_age_group"])]
    return [sentence for sentence in found if sentence]


def of_children(report: Mapping[str, Any]) -> list[str]:
    """Describe the results for children and teens, one sentence for each age band that occurs."""
    rows = {name: row for name, row in report["slices"]["children"].items() if name != CHILDREN[-1] and row["n_clips"]}
    found = []
    for name, row in rows.items():
        parts = []
        if row["gender"]["accuracy"]:
            shown = {key: interval(row["gender"][key], key) for key in ("accuracy", "wrong_sure", "unsure")}
            names = {"accuracy": "gender accuracy", "wrong_sure": "confidently wrong", "unsure": "unsure"}
            parts.append(", ".join(f"{names[key]} {text}" for key, text in shown.items()))
        if row["age"]["mae"]:
            bias = _too(row["age"]["bias"]["value"])
            parts.append(f"age MAE {interval(row['age']['mae'], 'mae')}, estimated {bias} on average")
        if parts:
            note = ", too few for reliable figures" if _is_few(row) else ""
            found.append(f"{name[0].upper()}{name[1:]} ({_people(row)}{note}): {'; '.join(parts)}.")
    return found


def _against_constant(age: Mapping[str, Any]) -> str:
    if age["mae"] is None:
        return ""
    mae, constant = age["mae"], age["mae_constant"]
    text = (
        f"The mean absolute error (MAE) of the age is {interval(mae, 'mae')}. Always predicting {age['constant']:g} "
        f"years has an MAE of {number(constant['value'], 'mae')}."
    )
    return text + (" In years, the model is not better than that guess." if mae["value"] >= constant["value"] else "")


def _weakest(report: Mapping[str, Any], kind: str, words: str) -> str:
    """Name the group with the lowest gender accuracy and the group with the largest age error."""
    rows = {name: row for name, row in report["slices"][kind].items() if not _is_few(row)}
    parts = []
    for task, figure, words_before, sign in (
        ("gender", "accuracy", "gender accuracy is lowest for", 1),
        ("age", "mae", "the age error is largest for", -1),
    ):
        having = {name: row for name, row in rows.items() if row[task][figure]}
        if len(having) < 2:
            continue
        name = min(having, key=lambda one: sign * having[one][task][figure]["value"])
        row = having[name][task][figure]
        text = f"{words_before} {plain(name)}: {interval(row, figure)}, {_people(having[name])}"
        overall = report[task][figure]["value"]
        if row["low"] is not None and row["low"] <= overall <= row["high"]:
            text += f" (may be chance; overall {number(overall, figure)})"
        parts.append(text)
    return f"By {words}, {'; '.join(parts)}." if parts else ""


def _unfair(fairness: Mapping[str, Any]) -> str:
    worst = fairness["largest_of_many"]
    if worst is None:
        return ""
    lower = "female" if worst["value"] < 0 else "male"
    size = bare(number(abs(worst["value"]), "recall"))
    text = (
        f"Among adults, the recalls of female and male voices differ most in the {plain(worst['group'])}: the recall "
        f"of {lower} voices is lower by {size} points (among age groups with at least {fairness['many']} speakers of "
        "each gender)."
    )
    if worst["low"] is not None and worst["low"] <= 0 <= worst["high"]:
        text += " This may be chance."
    return text


def _biases(groups: Slices) -> str:
    named = [
        f"{plain(name)} {_too(bias['value'])}"
        for name, row in groups.items()
        if not _is_few(row) and (bias := row["age"]["bias"]) and abs(bias["value"]) >= BIASED
    ]
    return f"Age groups estimated too young or too old on average: {listing(named)}." if named else ""


def _uncovered(groups: Slices) -> str:
    named = [
        f"{plain(name)}, {interval(share, 'coverage80')}"
        for name, row in groups.items()
        if not _is_few(row) and (share := row["age"]["coverage80"]) and (share["high"] or share["value"]) < COVERED
    ]
    return f"The 80 % interval contains fewer than 80 % of the true ages for: {'; '.join(named)}." if named else ""


def _few(groups: Slices) -> str:
    named = [plain(name) for name, row in groups.items() if row["n_clips"] and _is_few(row)]
    return f"Unreliable figures, from fewer than {FEW} speakers: {listing(named)}." if named else ""


def _untested(groups: Slices) -> str:
    named = [plain(name) for name in JOINT_CLASSES if not groups.get(name, {"n_clips": 0})["n_clips"]]
    return f"Not tested: {listing(named)}." if named and len(named) < len(JOINT_CLASSES) else ""


def _unpredicted(statuses: Mapping[str, int]) -> str:
    if not statuses["no_speech"] + statuses["too_short"] + statuses["error"]:
        return ""
    return (
        f"Clips without a prediction: {statuses['no_speech']} without speech, {statuses['too_short']} too short, "
        f"{statuses['error']} unreadable. The figures of gender and age exclude them."
    )


def _too(bias: float) -> str:
    return f"{abs(bias):.1f} years too {'old' if bias > 0 else 'young'}"


def _is_few(row: Mapping[str, Any]) -> bool:
    return int(row["n_clips"] if row["n_speakers"] is None else row["n_speakers"]) < FEW


def _people(row: Mapping[str, Any]) -> str:
    return counted(row["n_clips"], "clip") if row["n_speakers"] is None else counted(row["n_speakers"], "speaker")
