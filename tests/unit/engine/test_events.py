"""Which events are wanted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from containerlib.engine.events import Event, Query

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIED = Event(7, NOW, "container", "die", "a" * 64, "web", {"exit_code": "3"}, {"team": "web"})


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ({}, True),
        ({"kinds": ("container",), "actions": ("die", "oom")}, True),
        ({"kinds": ("image",)}, False),
        ({"labels": (("team", None),)}, True),
        ({"labels": (("team", "web"),)}, True),
        ({"labels": (("team", "db"),)}, False),
        ({"labels": (("team", "web"), ("tier", None))}, False),
        ({"actions": ("start",)}, False),
        ({"subject": "web"}, True),
        ({"subject": "aaaa"}, True),
        ({"subject": "we"}, False),
        ({"since": NOW, "until": NOW}, True),
        ({"since": NOW + timedelta(seconds=1)}, False),
        ({"until": NOW - timedelta(seconds=1)}, False),
    ],
)
def test_query_wants_what_it_names(words: dict[str, Any], wanted: bool) -> None:
    assert Query(**words).wants(DIED) is wanted
