"""Faults for ``benchmarks/faults.py``: each module has the rows of one kind of fault."""

from collections.abc import Callable, Iterator
from typing import Final

from faulting import disks, power, serving, stops, surroundings
from faulting.stage import Outcome, Stage

ROWS: Final[dict[str, Callable[[Stage, set[str]], Iterator[Outcome]]]] = {
    "disk-full": disks.disk_full,
    "read-only-output": disks.read_only_output,
    "read-only-input": disks.read_only_input,
    "changing-input": disks.changing_input,
    "stalling-input": disks.stalling_input,
    "interrupt": stops.interrupt,
    "interrupt-twice": stops.interrupt_twice,
    "terminate": stops.terminate,
    "terminate-group": stops.terminate_group,
    "hang-up": stops.hang_up,
    "kill": stops.kill,
    "kill-worker": stops.kill_worker,
    "closed-pipe": stops.closed_pipe,
    "closed-streams": stops.closed_streams,
    "terminal-closed": stops.terminal_closed,
    "sync-order": power.sync_order,
    "power-loss": power.power_loss,
    "clocks": surroundings.clocks,
    "memory": surroundings.memory,
    "memory-gone": surroundings.memory_gone,
    "machine": surroundings.machine,
    "people": surroundings.people,
    "locales": surroundings.locales,
    "serve": serving.serving,
}
