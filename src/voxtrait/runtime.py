"""Opens ONNX graphs. No other module opens sessions of ONNX Runtime."""

import functools
import importlib.util
import os
from pathlib import Path
from typing import Any, Final

SHRINK: Final = ("memory.enable_memory_arena_shrinkage", "cpu:0")  # of onnxruntime_run_options_config_keys.h
_options: Any = None  # onnxruntime.RunOptions for each run, or None for the defaults


def return_memory() -> None:
    """Let graphs return their working memory after each run, in this process, from now on.

    By default, each session of ONNX Runtime keeps the memory of its runs for later ones. Runs of different lengths
    leave gaps in it, so the memory of a server rises in steps. Memory that is returned must be requested again, so
    live sessions are slower.
    """
    global _options
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry(*SHRINK)
    _options = options


def run_options() -> Any:
    """Return the options for a run of a graph whose input has any length: ``onnxruntime.RunOptions``, or ``None``."""
    return _options


def session(graph: Path | bytes, *, threads: int = 1, optimised: bool = True, reuse_memory: bool = True) -> Any:
    """Open a graph on the CPU.

    Args:
        graph: file of the serialised model, or its content.
        threads: number of threads of ONNX Runtime; 0 for one per core.
        optimised: whether ONNX Runtime may rewrite the graph. For a graph that is already optimised, this only makes
            opening slower.
        reuse_memory: whether to plan which nodes reuse the memory of other nodes. In ONNX Runtime before 1.32, the plan
            takes 0.1 s for a graph of a thousand nodes, and it saved neither memory nor time in our encoders.

    Returns:
        An ``onnxruntime.InferenceSession``.

    Raises:
        Exception: if ONNX Runtime cannot open the graph. Its exception classes are not public.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_reuse = reuse_memory
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # without a fallback, because ONNX Runtime reports one on standard output, which is for results
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"], enable_fallback=0)


def packaged(package: str, graph: str) -> Any:
    """Open a graph file of a package, once per process, because a fork must not run the session of its parent.

    Args:
        package: name of the package, such as ``voxtrait.speech``.
        graph: name of the file in it.

    Returns:
        An ``onnxruntime.InferenceSession``.
    """
    return _packaged(package, graph, os.getpid())


@functools.lru_cache(maxsize=8)
def _packaged(package: str, graph: str, process: int) -> Any:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return session(Path(spec.submodule_search_locations[0], graph))
