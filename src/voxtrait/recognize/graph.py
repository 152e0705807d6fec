"""Opens the ONNX graphs of a bundle at first use, and checks their inputs and outputs."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from voxtrait import runtime
from voxtrait.errors import BundleError
from voxtrait.features import Array


class Graph:
    """A graph with one input.

    Args:
        file: file of the serialised model.
        takes: shape of one row of the input, without the batch.
        gives: name of each output → number of values in a row; ``None`` accepts any number.
        name: name of the input; ``None`` accepts any name.
        threads: number of threads of ONNX Runtime.
        optimised: as for :func:`voxtrait.runtime.session`.
        reuse_memory: as for :func:`voxtrait.runtime.session`.
        verify: called right before the file is opened; raises an error if the file is not what it should be.
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
        verify: Callable[[], None] | None = None,
    ) -> None:
        self.verify = verify
        self.file = file
        self.takes = tuple(takes)
        self.gives = dict(gives)
        self.name = name
        self.threads = threads
        self.optimised = optimised
        self.reuse_memory = reuse_memory
        self._session: Any = None
        self._input = ""  # its name, once the session is open
        self._lock = threading.Lock()  # several threads may make the first prediction

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the session: another process opens its own."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_session", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_session": None, "_lock": threading.Lock()}

    def size(self, name: str) -> int | None:
        """Number of values per row of an output; ``None`` if the graph does not fix it.

        Raises:
            BundleError: if the file is not a graph, or does not match its description.
        """
        found = {one.name: one.shape[-1] for one in self._opened().get_outputs()}[name]
        return found if isinstance(found, int) else None

    def __call__(self, rows: Array) -> dict[str, Array]:
        """Run the graph on rows, ``(n, *takes)``, and return each output, ``(n, values)``.

        Raises:
            BundleError: if the file is not a graph, does not match its description, or does not accept these rows.
        """
        session = self._opened()
        names = list(self.gives)
        try:
            found = session.run(names, {self._input: rows}, runtime.run_options())
        except Exception as error:  # the runtime has a dozen kinds, none of them public
            raise BundleError(f"{self.file} cannot process an input of shape {rows.shape}: {error}") from None
        return dict(zip(names, found, strict=True))

    def _opened(self) -> Any:
        if self._session is None:
            with self._lock:
                if self._session is None:
                    session = self._open()
                    self._input = session.get_inputs()[0].name
                    self._session = session  # last, because other threads use the session as soon as it is set
        return self._session

    def _open(self) -> Any:
        if self.verify is not None:
            self.verify()
        try:
            session = runtime.session(
                self.file, threads=self.threads, optimised=self.optimised, reuse_memory=self.reuse_memory
            )
        except Exception as error:  # the runtime has a dozen kinds, none of them public
            raise BundleError(f"{self.file} is not a graph that ONNX Runtime can open: {error}") from None
        outputs = {one.name: one.shape for one in session.get_outputs()}
        if set(outputs) != set(self.gives):
            raise BundleError(f"{self.file} has the outputs {sorted(outputs)}. Expected {sorted(self.gives)}.")
        for name, size in self.gives.items():
            if not _fits(outputs[name], [size]):
                raise BundleError(f"{self.file} has the output {name} of shape {outputs[name]}. Expected (n, {size}).")
        inputs = {one.name: one.shape for one in session.get_inputs()}
        if len(inputs) != 1 or self.name not in (None, *inputs):
            raise BundleError(f"{self.file} has the inputs {sorted(inputs)}. Expected {self.name or 'one input'}.")
        for name, shape in inputs.items():
            if not _fits(shape, self.takes):
                wanted = ", ".join("any" if size is None else str(size) for size in self.takes)
                raise BundleError(f"{self.file} has the input {name} of shape {shape}. Expected (n, {wanted}).")
        return session


def _fits(shape: Sequence[int | str | None], row: Sequence[int | None]) -> bool:
    """Return whether a graph's shape matches a batch of such rows; a size that one of them leaves open matches any."""
    return len(shape) == 1 + len(row) and all(
        have == want or want is None or not isinstance(have, int) for have, want in zip(shape[1:], row, strict=True)
    )
