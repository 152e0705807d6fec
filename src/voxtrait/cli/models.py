"""``voxtrait models``."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from voxtrait.cli.options import format_option, print_json, print_table, quiet_option

if TYPE_CHECKING:
    from voxtrait.bundle import Bundle


@click.command(
    short_help="The installed bundles: scores, data, licences.",
    epilog="Example: voxtrait models --format json",
)
@click.argument("bundles", nargs=-1, metavar="[BUNDLE]...")
@format_option("text", "json")
@quiet_option
def models(bundles: tuple[str, ...], format_: str, quiet: bool) -> None:
    """List the installed bundles, or those in folders: tasks, scores, data, licence, size."""
    from voxtrait.bundle import describe, load, shipped
    from voxtrait.errors import NothingToDoError

    found = [load(which) for which in bundles or shipped()]
    if not found:
        raise NothingToDoError("no bundle is installed: train one with 'voxtrait train', and name its folder here")
    if format_ == "json":
        print_json([describe(bundle) | {"folder": str(bundle.folder)} for bundle in found])
    else:
        print_table([_row(bundle) for bundle in found])


def _row(bundle: "Bundle") -> dict[str, Any]:
    from voxtrait.bundle import describe

    described = describe(bundle)
    wanted = {"gender.uar.value": "gender UAR", "age.mae.value": "age MAE"}
    scores = dict(_flat(bundle.scores))
    corpora = dict.fromkeys(str(entry.get("corpus")) for entry in bundle.data)
    return {
        "name": bundle.name,
        "version": bundle.version,
        "tasks": ", ".join(bundle.outputs),
        **{title: scores.get(name) for name, title in wanted.items()},
        "data": ", ".join(corpora) or "not said",
        "started from": ", ".join(f"{part['name']} ({part['licence']})" for part in bundle.pretrained) or "nothing",
        "licence": bundle.licence,
        "MB": described["size_mb"],
    }


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Give nested mappings as pairs of a dotted name and a value."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
