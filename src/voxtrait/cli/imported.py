"""Imports a corpus, one of its tables or an archive into a temporary manifest, for commands that expect a manifest."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from voxtrait.cli.options import label, note
from voxtrait.errors import counted


class Given(NamedTuple):
    """A manifest to process."""

    manifest: Path | str  # text if it is a URL
    packed: bool  # its clips are inside an archive: only the tables can be read
    failed: bool  # parts of the corpus could not be read


@contextlib.contextmanager
def manifest_of(path: Path | str, quiet: bool) -> Iterator[Given]:
    """Yield the given manifest, or, for a corpus, a temporary manifest, which is removed afterwards."""
    from voxtrait import corpora, manifest, storage
    from voxtrait.errors import NothingToDoError

    if storage.is_url(path):
        yield Given(path, False, False)
        return
    path = Path(path)
    packed = corpora.is_archive(path)
    if not packed and not path.is_dir() and not corpora.is_foreign(path):
        yield Given(path, False, False)
        return
    result = corpora.import_corpora([path], tables_only=packed, label=label("reading", quiet))
    for line in [*result.layouts(), *result.notes]:
        note(line, quiet)
    for reason, count in sorted(result.total.dropped.items()):
        note(f"dropped {counted(count, 'row')}: {reason}", quiet)
    for failure in result.failures:
        note(f"voxtrait: {failure}")
    if not result.table.height:
        raise NothingToDoError(f"No rows to import from {path}: {result.why_empty()}")
    note(f"{path} is not a manifest: imported for this run only", quiet)
    with tempfile.TemporaryDirectory(prefix="voxtrait-") as folder:
        file = Path(folder, "all.parquet")
        manifest.write(result.table, file, result.steps())
        yield Given(file, packed, bool(result.failures))
