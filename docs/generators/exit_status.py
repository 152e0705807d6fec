"""Makes reference/exit-status.md: what each exit status of each command means."""

from collections.abc import Iterator

from generators.fields import page, prose, table
from voxtrait.cli import exit_status


def lines() -> Iterator[str]:
    """Yield the lines of the page."""
    yield from page(
        "Exit status",
        "Every command ends with one of these statuses. Results go to standard output, everything else to standard "
        "error.",
    )
    yield ""
    rows = (
        ("0", exit_status.WELL),
        ("1", exit_status.FAILED),
        ("2", exit_status.WRONG),
        (str(exit_status.STOPPED_STATUS), exit_status.STOPPED),
        (exit_status.ENDED_STATUSES, exit_status.ENDED),
    )
    yield from table(("status", "meaning"), rows)
    yield from ("", "## By command", "")
    yield from prose("Wrong usage is status 2 for every command. The last column has the other usual reason.")
    yield ""
    yield from table(
        ("command", "1", "2"),
        ((f"`{name}`", one or "does not occur", two) for name, (one, two) in exit_status.OF_COMMANDS.items()),
    )
