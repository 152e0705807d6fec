"""What tests of URLs share: what a store was asked for, and a folder put into one."""

import logging
import re
from collections import Counter
from pathlib import Path

from voxtrait import storage


class Requests(logging.Handler):
    """What the store was asked for, as its server logs it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(re.sub(r"\x1b\[\d+m", "", record.getMessage()))

    def counts(self) -> Counter[str]:
        """Requests by method; those for a listing as LIST."""
        found: Counter[str] = Counter()
        for line in self.lines:
            if match := re.search(r'"([A-Z]+) (\S+) HTTP', line):
                found["LIST" if "list-type" in match[2] else match[1]] += 1
        self.lines.clear()
        return found


def put(folder: Path, url: str) -> str:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            storage.write(storage.join(url, file.relative_to(folder).as_posix()), file.read_bytes())
    return url
