"""How patient a request is: what is tried again, how often, and after how long. No I/O."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from attrs import frozen

__all__ = ["PASSING", "Retry", "retry_after"]

PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of trouble that may be over when asked again. Spec: RFC 9110 section 15."""


@frozen
class Retry:
    """`attempts` in all, with pauses that double from `first_delay` up to `max_delay` seconds.

    A server that asks for a pause gets it, up to `max_wait` seconds; one that asks for more is not asked again.
    """

    attempts: int = 5
    first_delay: float = 0.2
    max_delay: float = 10.0
    max_wait: float = 60.0

    def delay(self, attempt: int, asked: float = 0.0) -> float | None:
        """The pause after `attempt` (from 0), None to give up; `asked` is what the server wants."""
        if attempt + 1 >= self.attempts or asked > self.max_wait:
            return None
        delay = min(self.first_delay * (1 << attempt), self.max_delay)
        spread = delay * random.uniform(0.5, 1.0)  # noqa: S311 - so that clients do not come back all at once
        return max(spread, asked)


def retry_after(value: str, *, date: str = "") -> float:
    """The seconds of a Retry-After header, which may be a date; 0 where it says nothing that can be read.

    A date is held against the server's own `date`, so that this machine's clock does not matter.

    Spec: RFC 9110 section 10.2.3.
    """
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        until = parsedate_to_datetime(value)
        now = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError, OverflowError):  # unreadable, or one with a time zone and one without
        return 0.0
