"""Lets atheris search for inputs of one target that reach new lines of voxtrait: NAME CORPUS [options of libFuzzer]."""

import logging
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)  # not this folder, whose modules have the names of others

with atheris.instrument_imports(include=["voxtrait"]):
    import voxtrait.audio.files
    import voxtrait.audio.streams
    import voxtrait.features
    import voxtrait.integrity.examination  # noqa: F401
    from fuzzing import targets
    from fuzzing.running import judge

    TARGET = targets()[sys.argv[1]]
    for seed in TARGET.seeds():
        judge(TARGET, seed)  # imports all that the reader needs


def read(data: bytes) -> None:
    """Read one input; libFuzzer saves one that ends in an undeclared exception."""
    outcome = judge(TARGET, data)
    if outcome.is_find:
        raise RuntimeError(f"{outcome.kind}: {outcome.text}")


if __name__ == "__main__":
    logging.disable()
    atheris.Setup([sys.argv[0], *sys.argv[2:], "-rss_limit_mb=6000", "-max_len=65536"], read)
    atheris.Fuzz()
