"""ONNX graphs: opened at their first use, and only if inputs and outputs are those that the bundle names."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from voxtrait import runtime
from voxtrait.errors import BundleError
from voxtrait.features import Array


class Graph:
    """A graph with one input.

    Args:
        file: of the serialised model.
        takes: shape of one row of the input, without the batch.
        gives: names of the outputs, and how many values a row of each has; ``None`` where any number is accepted.
        name: of the input; ``None`` where any is accepted.
        threads: of the runtime.
        optimised: as for :func:`voxtrait.runtime.session`.
        reuse_memory: as for :func:`voxtrait.runtime.session`.
    """

    def __init__(
        self,
        file: Path,
        takes: Sequence[int | None],
        gives: Mapping[str, int | None],
        *,
        name: str | None = None,
        threads: int = 1,
        optimised: bool = True,
        reuse_memory: bool = True,
    ) -> None:
        self.file = file
        self.takes = tuple(takes)
        self.gives = dict(gives)
        self.name = name
        self.threads = threads
        self.optimised = optimised
        self.reuse_memory = reuse_memory
        self._session: Any = None
        self._input = ""  # its name, once the session is open
        self._lock = threading.Lock()  # several threads may ask for the first prediction

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the session: another process opens its own."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_session", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_session": None, "_lock": threading.Lock()}

    def size(self, name: str) -> int | None:
        """Number of values per row of an output; ``None`` if the graph does not fix it.

        Raises:
            BundleError: if the file is not a graph, or not the one described.
        """
        found = {one.name: one.shape[-1] for one in self._opened().get_outputs()}[name]
        return found if isinstance(found, int) else None

    def __call__(self, rows: Array) -> dict[str, Array]:
        """Run: ``(n, *takes)`` → each output, ``(n, values)``.

        Raises:
            BundleError: if the file is no graph, or not the one described, or does not take these rows.
        """
        session = self._opened()
        names = list(self.gives)
        try:
            found = session.run(names, {self._input: rows})
        except Exception as error:  # the runtime has a dozen kinds, none of them public
            raise BundleError(f"{self.file} cannot work on an input of {rows.shape}: {error}") from None
        return dict(zip(names, found, strict=True))

    def _opened(self) -> Any:
        if self._session is None:
            with self._lock:
                if self._session is None:
                    session = self._open()
                    self._input = session.get_inputs()[0].name
                    self._session = session  # at the very end: other threads do not wait once it is there
        return self._session

    def _open(self) -> Any:
        try:
            session = runtime.session(
                self.file, threads=self.threads, optimised=self.optimised, reuse_memory=self.reuse_memory
            )
        except Exception as error:  # the runtime has a dozen kinds, none of them public
            raise BundleError(f"{self.file} is no graph that ONNX Runtime can open: {error}") from None
        outputs = {one.name: one.shape for one in session.get_outputs()}
        if set(outputs) != set(self.gives):
            raise BundleError(f"the graph {self.file} puts out {sorted(outputs)}, expected {sorted(self.gives)}")
        for name, size in self.gives.items():
            if not _fits(outputs[name], [size]):
                raise BundleError(f"the graph {self.file} puts out {name} of {outputs[name]}, expected (n, {size})")
        inputs = {one.name: one.shape for one in session.get_inputs()}
        if len(inputs) != 1 or self.name not in (None, *inputs):
            raise BundleError(f"the graph {self.file} takes {sorted(inputs)}, expected {self.name or 'one input'}")
        for name, shape in inputs.items():
            if not _fits(shape, self.takes):
                wanted = ", ".join("any" if size is None else str(size) for size in self.takes)
                raise BundleError(f"the graph {self.file} takes {name} of {shape}, expected (n, {wanted})")
        return session


def _fits(shape: Sequence[int | str | None], row: Sequence[int | None]) -> bool:
    """Whether a graph's shape is that of a batch of such rows; a size that either does not name fits any."""
    return len(shape) == 1 + len(row) and all(
        have == want or want is None or not isinstance(have, int) for have, want in zip(shape[1:], row, strict=True)
    )
