"""Defines ``voxtrait models``: the installed bundles with their scores, data and licences."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from voxtrait.cli.options import format_option, note, print_json, print_table, quiet_option

if TYPE_CHECKING:
    from voxtrait.bundle import Bundle

WIDTH: Final = 100  # columns of the text
FIGURES: Final = {
    ("gender", "uar"): "gender UAR",
    ("gender", "uar_adults"): "… adults",
    ("age", "mae"): "age MAE",
}
"""Scores in the table, with their 95 % intervals: task and figure, and the heading."""


@click.command(
    short_help="List the installed bundles: scores, training data, licences.",
    epilog="Example: voxtrait models --format json",
)
@click.argument("bundles", nargs=-1, metavar="[BUNDLE]...")
@click.option("--by-decade", is_flag=True, help="Show the age error by decade instead. JSON always includes it.")
@format_option("text", "json")
@quiet_option
def models(bundles: tuple[str, ...], by_decade: bool, format_: str, quiet: bool) -> None:
    """List the installed bundles, or the given ones: tasks, scores, training data, licence, size."""
    from voxtrait.bundle import describe, load, shipped
    from voxtrait.errors import NothingToDoError

    found = [load(which) for which in bundles or shipped()]
    if not found:
        raise NothingToDoError("No bundle is installed. Train one with 'voxtrait train', and pass its folder.")
    if format_ == "json":
        print_json([describe(bundle) | {"folder": str(bundle.folder)} for bundle in found])
    elif by_decade:
        _print_decades(found, quiet)
    else:
        print_table([_row(bundle) for bundle in found], digits=1)
        for bundle in found:
            click.echo(f"\n{bundle.title}\n{textwrap.indent(_origin(bundle), '  ')}")


def _origin(bundle: "Bundle") -> str:
    """Return the tasks, test set, licence, training data and origin of a bundle as lines of at most 100 columns."""
    from voxtrait.evaluate import wording

    corpora = dict.fromkeys(str(entry.get("corpus")) for entry in bundle.data)
    parts = {
        "tasks": ", ".join(bundle.outputs),
        "tested on": wording.tested(bundle.scores),
        "licence": bundle.licence,
        "training data": ", ".join(corpora) or "not stated",
        "pretrained weights": ", ".join(f"{part['name']} ({part['licence']})" for part in bundle.pretrained) or "none",
    }
    return "\n".join(
        textwrap.fill(f"{name}: {text}", WIDTH - 2, subsequent_indent="  ", break_on_hyphens=False)
        for name, text in parts.items()
    )


def _row(bundle: "Bundle") -> dict[str, Any]:
    from voxtrait.bundle import describe
    from voxtrait.evaluate import wording

    row: dict[str, Any] = {"name": bundle.name, "version": bundle.version}
    for (task, figure), title in FIGURES.items():
        row[title] = wording.interval((bundle.scores.get(task) or {}).get(figure), figure)
    return row | {"MB": describe(bundle)["size_mb"]}


def _print_decades(bundles: Iterable["Bundle"], quiet: bool) -> None:
    """Print the age error by estimated and by labelled decade; print a note for each bundle without these scores."""
    from voxtrait.evaluate.groups import BY_ESTIMATE, BY_GROUP, by_decade

    between = False
    for bundle in bundles:
        tables = {"estimated": by_decade(bundle.scores, BY_ESTIMATE), "labelled": by_decade(bundle.scores, BY_GROUP)}
        if not any(tables.values()):
            note(f"{bundle.title} has no age error by decade. Measure it with 'voxtrait evaluate'.", quiet)
        for kind, rows in tables.items():
            if not rows:
                continue
            if between:
                click.echo()
            between = True
            click.echo(f"{bundle.title}, age by {kind} decade, in years (negative bias: underestimated)")
            print_table([_decade(kind, group, row) for group, row in rows.items()], digits=1)


def _decade(kind: str, group: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        kind: group.replace("_", " "),
        "clips": row["n_clips"],
        "speakers": row["n_speakers"],
        "MAE": row["mae"],
        "bias": row["bias"],
        "% inside the 80 % interval": 100 * row["coverage80"],
    }
