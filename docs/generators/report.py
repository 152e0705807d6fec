"""Makes reference/report.md: the fields of report.json, from the constants that the evaluation uses."""

from collections.abc import Iterator

from generators.fields import bullet, page, prose, table
from voxtrait.evaluate import figures, report, slices, wording
from voxtrait.evaluate.clips import PREDICTION_COLUMNS


def lines() -> Iterator[str]:
    """Yield the lines of the page."""
    yield from page(
        "Fields of report.json",
        "`voxtrait evaluate` and `voxtrait train` write `report.json`. `report.html` and `model-card.md` show the same "
        "figures.",
        "A figure is an object with `value`, `low` and `high`: the figure and its 95 % interval over speakers. It is "
        "null if it does not apply to the bundle or the clips. `low` and `high` are null if there are fewer than two "
        "speakers.",
    )
    yield ""
    yield from table(("key", "meaning"), ((f"`{key}`", text) for key, text in report.FIELDS.items()))
    of_adults = tuple(f"{name}_adults" for name in report.OF_ADULTS)
    for task, names in (("gender", (*figures.GENDER_FIGURES, *of_adults)), ("age", figures.AGE_FIGURES)):
        yield from ("", f"## Figures of {task}", "")
        texts = wording.NAMES[task]
        yield from table(("key", "unit", "meaning"), ((f"`{name}`", unit(name), texts[name]) for name in names))
    yield from ("", "## Slices", "")
    yield from prose(
        "`slices` has an object for each kind of group, with an object for each group: `n_clips`, `n_speakers`, "
        f"`gender` ({listed(slices.SLICE_FIGURES['gender'])}), `age` ({listed(slices.SLICE_FIGURES['age'])}) and "
        "`unanswered`, the share of clips of each status but `ok`."
    )
    yield ""
    kinds = wording.SLICES | wording.DECADES
    yield from table(("kind", "groups"), ((f"`{name}`", text) for name, text in kinds.items()))
    yield from ("", "## Notes", "")
    for name, text in report.NOTES.items():
        yield from bullet(f"`{name}`: {text}.")
    yield from ("", "## predictions.csv", "")
    yield from prose(f"One row per clip: {listed(PREDICTION_COLUMNS)}.")


def listed(names: tuple[str, ...]) -> str:
    """Join names as code."""
    return ", ".join(f"`{name}`" for name in names)


def unit(name: str) -> str:
    """Return the unit of a figure in report.json; the report prints shares as per cent."""
    shown = wording.number(0.5, name)
    return "years" if "years" in shown else "share, 0 to 1" if "%" in shown else "number"
