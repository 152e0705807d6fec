"""Selects the errors by group of a report that ``bundle.json`` stores.

The age error is stored twice. ``by_group`` groups clips by the labelled decade: it shows which ages are estimated too
young or too old. ``by_estimate`` groups them by the estimated decade: it shows how far off an estimate in that decade
is. A user needs the second one, because the true decade is unknown.
"""

from collections.abc import Mapping
from typing import Any, Final

from voxtrait.labels import AGE_GROUPS, GENDERS

LEAST_SPEAKERS: Final = 5
"""Minimum number of speakers of a group in a bundle. Clips without speaker ids do not count as speakers."""
BY_GROUP: Final = "by_group"
BY_ESTIMATE: Final = "by_estimate"
AGE_KINDS: Final = {BY_GROUP: "age_group", BY_ESTIMATE: "estimated_age_group"}
"""Key in ``scores["age"]`` → kind of slice in a report."""
CHILDREN: Final = ("under 13", "13 to 17", "teens, years unknown", "adults")
"""Age bands around the change of voice. A corpus with decades does not record whether a teen is 13 or 19."""
COUNTS: Final = ("n_clips", "n_speakers")
AGE_ERRORS: Final = ("mae", "bias", "coverage80")
DIGITS: Final = 3  # of every number


def by_group(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the errors by group of a report.

    Args:
        report: the result of :func:`voxtrait.evaluate.report.build`.

    Returns:
        ``age``: ``by_group`` and ``by_estimate``, each age group → ``n_clips n_speakers mae bias coverage80`` (years,
        years, share; a negative bias: estimated too young). ``gender``: ``by_group``, ``female_adults`` and
        ``male_adults`` → ``n_clips n_speakers recall``, ``under_13`` → ``n_clips n_speakers wrong_sure`` (shares). Only
        groups with at least :data:`LEAST_SPEAKERS` speakers; without any, an empty mapping.
    """
    slices = report["slices"]
    age = {
        key: {group: _plain(row["age"], *AGE_ERRORS) for group, row in slices[kind].items() if _enough(row["age"])}
        for key, kind in AGE_KINDS.items()
    }
    gender = {}
    if adults := report["fairness"]["adults"]:
        recalls = {f"{one}_adults": adults[one] | {"recall": adults[one]} for one in GENDERS}
        gender = {name: _plain(row, "recall") for name, row in recalls.items() if _enough(row)}
    children = slices["children"].get(CHILDREN[0])
    if children and _enough(children["gender"]):
        gender["under_13"] = _plain(children["gender"], "wrong_sure")
    return {"gender": {BY_GROUP: gender}, "age": age}


def by_decade(scores: Mapping[str, Any], key: str) -> dict[str, Mapping[str, Any]]:
    """Return the age errors by decade from the scores of a bundle.

    Args:
        scores: the scores of a bundle.
        key: :data:`BY_GROUP` or :data:`BY_ESTIMATE`.

    Returns:
        Age group → ``n_clips n_speakers mae bias coverage80``, the youngest first. Empty for a bundle without these
        figures, such as one from an older version.

    Examples:
        >>> row = {"n_clips": 40, "n_speakers": 12, "mae": 9.1, "bias": -6.2, "coverage80": 0.71}
        >>> list(by_decade({"age": {"by_estimate": {"sixties": row, "teens": row}}}, BY_ESTIMATE))
        ['teens', 'sixties']
        >>> by_decade({"age": {"mae": None}}, BY_ESTIMATE)
        {}
    """
    age = scores.get("age")
    rows = age.get(key) if isinstance(age, Mapping) else None
    if not isinstance(rows, Mapping):
        return {}
    return {group: rows[group] for group in AGE_GROUPS if _complete(rows.get(group))}


def _complete(row: Any) -> bool:
    return isinstance(row, Mapping) and all(isinstance(row.get(name), int | float) for name in (*COUNTS, *AGE_ERRORS))


def _enough(row: Mapping[str, Any]) -> bool:
    return (row["n_speakers"] or 0) >= LEAST_SPEAKERS


def _plain(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in COUNTS} | {name: round(row[name]["value"], DIGITS) for name in names}
