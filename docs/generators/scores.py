"""Tables of the figures in ``bundle.json`` of the shipped bundles, for the pages of explanation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from voxtrait import bundle as bundles
from voxtrait.bundle import Bundle
from voxtrait.evaluate import wording
from voxtrait.evaluate.groups import BY_ESTIMATE, BY_GROUP, by_decade
from voxtrait.labels import GENDERS

NAMES: Final = ("voxtrait-base", "voxtrait-fast", "voxtrait-diary")  # in the order of the tables
ENCODERS: Final = NAMES[:2]  # with figures by decade in the tables by decade
FIGURES: Final = (
    *(("gender", name) for name in ("uar_adults", "uar", "uar_by_speaker", "accuracy", "unsure_adults", "unsure")),
    *(("gender", name) for name in ("wrong_sure", "ece", "ece_adults")),
    *(("age", name) for name in ("mae", "mae_by_speaker", "mae_female", "mae_male", "mae_constant", "bias")),
    *(("age", name) for name in ("pearson", "group_uar", "coverage80", "interval_width")),
)
"""Task and figure of each row of the table of all figures."""
CALIBRATION: Final = (
    *(("gender", name) for name in ("ece", "ece_adults", "unsure", "unsure_adults")),
    *(("age", name) for name in ("coverage80", "interval_width")),
)
"""The same for the table of calibration."""


def figures() -> Iterator[str]:
    """Yield the figures of every shipped bundle, with their 95 % intervals."""
    yield from _by_bundle(FIGURES)


def calibration() -> Iterator[str]:
    """Yield the calibration figures of every shipped bundle, and its abstention band."""
    found = [bundles.load(name) for name in NAMES]
    lines = list(_by_bundle(CALIBRATION))
    bands = [bundle.calibration["gender"]["unsure"] for bundle in found]
    yield from lines[:2]
    yield "| abstention band of `p_female` | " + " | ".join(f"{low:.2f} to {high:.2f}" for low, high in bands) + " |"
    yield from lines[2:]


def genders() -> Iterator[str]:
    """Yield the recall of women and men, and the confident errors on children."""
    yield "| bundle | group | clips | speakers | figure | value |"
    yield "|---|---|---|---|---|---|"
    for name in NAMES:
        rows = bundles.load(name).scores["gender"].get(BY_GROUP, {})
        for gender in GENDERS:
            yield _group(name, f"{gender} adults", rows[f"{gender}_adults"], "recall", "recall")
        yield _group(name, "under 13", rows["under_13"], "wrong_sure", "wrong and not `unsure`")


def labelled_decades() -> Iterator[str]:
    """Yield the age error by labelled decade."""
    yield from _decades(BY_GROUP, "labelled decade")


def estimated_decades() -> Iterator[str]:
    """Yield the age error by estimated decade."""
    yield from _decades(BY_ESTIMATE, "estimated decade")


def training_data() -> Iterator[str]:
    """Yield the corpora that the default bundle was trained on."""
    yield "| corpus | release | clips | speakers | licence |"
    yield "|---|---|---|---|---|"
    for entry in bundles.load(NAMES[0]).data:
        clips, speakers = (f"{entry[key]:,}" if entry.get(key) else "–" for key in ("clips", "speakers"))
        yield f"| {entry['corpus']} | {entry.get('release') or '–'} | {clips} | {speakers} | {entry['licence']} |"


def _by_bundle(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    found = [bundles.load(name) for name in NAMES]
    yield "| figure | " + " | ".join(f"`{name}`" for name in NAMES) + " |"
    yield "|---|" + "---|" * len(found)
    for task, figure in rows:
        cells = [wording.interval(bundle.scores[task].get(figure), figure) for bundle in found]
        yield f"| {task}: {wording.NAMES[task][figure]} | " + " | ".join(cells) + " |"
    yield "| test set: clips | " + " | ".join(_count(bundle, "n_clips") for bundle in found) + " |"
    yield "| test set: speakers | " + " | ".join(_count(bundle, "n_speakers") for bundle in found) + " |"


def _count(bundle: Bundle, key: str) -> str:
    return f"{bundle.scores[key]:,}"


def _group(name: str, group: str, row: Mapping[str, Any], figure: str, title: str) -> str:
    counts = f"{row['n_clips']:,} | {row['n_speakers']:,}"
    return f"| `{name}` | {group} | {counts} | {title} | {wording.number(row[figure], figure)} |"


def _decades(key: str, heading: str) -> Iterator[str]:
    columns = " | ".join(
        f"`{name.removeprefix('voxtrait-')}`: {text}" for name in ENCODERS for text in ("MAE", "bias", "inside")
    )
    found = [by_decade(bundles.load(name).scores, key) for name in ENCODERS]
    counted = key == BY_GROUP  # the estimates of two bundles are different clips
    yield f"| {heading} | " + ("clips | speakers | " if counted else "") + columns + " |"
    yield "|---|" + "---|" * (columns.count("|") + 1 + 2 * counted)
    for group in found[0] | found[1]:
        cells = [wording.plain(group)]
        if counted:
            cells += [f"{found[0][group][name]:,}" for name in ("n_clips", "n_speakers")]
        for rows in found:
            row = rows.get(group)
            cells += [
                wording.bare(wording.number(row[name] if row else None, name))
                if name != "coverage80"
                else wording.number(row[name] if row else None, name)
                for name in ("mae", "bias", "coverage80")
            ]
        yield "| " + " | ".join(cells) + " |"
