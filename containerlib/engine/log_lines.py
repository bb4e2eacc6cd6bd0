"""Lines of a log that are waited for.

lines = LogLines(re.compile(r"ready in \\d+ s"), 2)
counter = lines.counter()
counter.add(record)                  # for each record, those of a line without an end again and again
counter.is_done
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from containerlib.spec.status import LogRecord

__all__ = ["Counter", "LogLines"]


@frozen
class LogLines:
    """`count` lines that contain `text`, or in which the regular expression finds something."""

    text: str | re.Pattern[str]
    count: int = 1

    def __str__(self) -> str:
        said = repr(self.text) if isinstance(self.text, str) else f"a match of {self.text.pattern!r}"
        return f"a line with {said}" if self.count == 1 else f"{self.count} lines with {said}"

    def counter(self) -> Counter:
        return Counter(self)


class Counter:
    """How many lines have come, each counted once: one without an end is read again, and a long one in pieces."""

    def __init__(self, lines: LogLines) -> None:
        self._lines = lines
        self._whole = 0
        self._unfinished: set[str] = set()
        """The streams whose last line matches, and has no end yet."""

    @property
    def is_done(self) -> bool:
        """Whether so many lines have come."""
        return self._whole + len(self._unfinished) >= self._lines.count

    def add(self, record: LogRecord) -> None:
        """Takes in the stream's next record."""
        if self._matches(record.text):
            self._unfinished.add(record.stream)
        if not record.partial and record.stream in self._unfinished:
            self._unfinished.discard(record.stream)
            self._whole += 1

    def _matches(self, text: str) -> bool:
        wanted = self._lines.text
        return wanted in text if isinstance(wanted, str) else wanted.search(text) is not None
