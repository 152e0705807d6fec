"""The model card as a web page: uses, limitations, accuracy by group and training data, from ``bundle.json``."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from voxtrait.bundle import Bundle
from voxtrait.evaluate import groups, wording

DATA: Final = ("corpus", "release", "clips", "speakers", "licence", "source")
"""Fields of the training data, in the order of the columns of their table."""


def card(bundle: Bundle) -> str:
    """Write the model card as HTML.

    Args:
        bundle: the active bundle.

    Examples:
        >>> from voxtrait.bundle import load
        >>> "<h2>Uses and limitations</h2>" in card(load("voxtrait-diary"))
        True
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("voxtrait.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("card.html").render(
        b=bundle,
        outputs=_outputs(bundle),
        tested=wording.tested(bundle.scores),
        figures=list(_figures(bundle.scores)),
        genders=list(_genders(bundle.scores)),
        decades=list(_decades(bundle.scores)),
        data=[[_cell(one.get(key)) for key in DATA] for one in bundle.data],
        LEAST_SPEAKERS=groups.LEAST_SPEAKERS,
        USES=wording.USES,
        MISUSES=wording.MISUSES,
        LIMITS=wording.LIMITS,
    )


def _outputs(bundle: Bundle) -> str:
    texts = {
        "gender": "the gender the voice presents as (female, male, or unsure)",
        "age": "an age in years with an 80 % interval",
    }
    return " and ".join(text for task, text in texts.items() if task in bundle.outputs)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _genders(scores: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the cells of each row of the table of gender by group."""
    gender = scores.get("gender")
    rows = gender.get(groups.BY_GROUP) if isinstance(gender, Mapping) else None
    for group, row in rows.items() if isinstance(rows, Mapping) else ():
        counts = [_cell(row.get(name)) for name in groups.COUNTS]
        yield [
            wording.plain(group),
            *counts,
            *(wording.number(row.get(name), name) for name in ("recall", "wrong_sure")),
        ]


def _decades(scores: Mapping[str, Any]) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield the tables of age by decade: the heading of the groups, and the cells of each row."""
    for key, kind in groups.AGE_KINDS.items():
        rows = groups.by_decade(scores, key)
        if rows:
            yield wording.DECADES[kind], [_cells(group, row) for group, row in rows.items()]


def _cells(group: str, row: Mapping[str, Any]) -> list[str]:
    errors = [wording.bare(wording.number(row[name], name)) for name in ("mae", "bias")]
    counts = [f"{row[name]:,}" for name in groups.COUNTS]
    return [wording.plain(group), *counts, *errors, wording.number(row["coverage80"], "coverage80")]


def _figures(scores: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for task, names in wording.NAMES.items():
        found = scores.get(task)
        for name, title in names.items():
            row = found.get(name) if isinstance(found, Mapping) else None
            if isinstance(row, Mapping) and row.get("value") is not None:
                yield f"{task}: {title}", wording.interval(row, name)
