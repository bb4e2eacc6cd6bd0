"""What a `wait_for` and a prune are given."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from containerlib.engine.eligible import Eligible, eligible
from containerlib.engine.execute import ExecOptions
from containerlib.engine.log_lines import LogLines
from containerlib.engine.reach import Target
from containerlib.engine.words_ready import conditions
from containerlib.errors import InvalidArgument


def test_conditions_are_each_what_was_given() -> None:
    assert conditions("ready", 1, None, None, None) == (LogLines("ready"), None, None)
    pattern = re.compile("ready$")
    assert conditions(pattern, 2, None, None, None) == (LogLines(pattern, 2), None, None)
    assert conditions(None, 1, 1, None, None) == (None, Target(1), None)
    assert conditions(None, 1, 65535, "/x", None) == (None, Target(65535, "/x"), None)
    assert conditions(None, 1, None, "/" + "a" * 2047, None) == (None, Target(80, "/" + "a" * 2047), None)
    assert conditions(None, 1, None, None, ["true"]) == (None, None, ExecOptions(("true",)))


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("log", (None, 1, None, None, None)),
        ("log", (b"x", 1, None, None, None)),
        ("log", (re.compile(b"x"), 1, None, None, None)),
        ("count", ("x", 0, None, None, None)),
        ("count", ("x", True, None, None, None)),
        ("count", (None, 2, 80, None, None)),
        ("port", (None, 1, 0, None, None)),
        ("port", (None, 1, 65536, None, None)),
        ("port", (None, 1, "80", None, None)),
        ("http", (None, 1, None, "ready", None)),
        ("http", (None, 1, None, "/a b", None)),
        ("http", (None, 1, None, "/" + "a" * 2048, None)),
        ("exec", (None, 1, None, None, "true")),
        ("exec", (None, 1, None, None, ())),
    ],
)
def test_condition_that_cannot_be_is_refused_by_name(field: str, given: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        conditions(*given)
    assert caught.value.field == field


def test_eligible_is_what_is_old_enough_and_has_all_labels() -> None:
    young, old = datetime.now(UTC), datetime.fromtimestamp(time.time() - 3600, UTC)
    assert eligible(None, None).has(young, {})
    assert not eligible(1800.0, None).has(young, {})
    assert eligible(1800.0, None).has(old, {})
    labels = eligible(None, {"team": "web", "temporary": None})
    assert labels.has(young, {"team": "web", "temporary": "yes", "more": ""})
    assert not labels.has(young, {"team": "web"})
    assert not labels.has(young, {"team": "db", "temporary": ""})
    assert not eligible(1800.0, {"team": "web"}).has(young, {"team": "web"})


def test_eligible_may_be_older_than_any_time_that_a_verb_waits() -> None:
    a_year_ago = datetime.fromtimestamp(time.time() - 366 * 86400, UTC)
    year = eligible(365 * 86400.0, None)
    assert year.has(a_year_ago, {})
    assert not year.has(datetime.now(UTC), {})


@pytest.mark.parametrize(
    ("field", "older_than", "labels"),
    [
        ("older_than", -1.0, None),
        ("older_than", "1h", None),
        ("labels", None, ["a"]),
        ("labels", None, {"a": 1}),
        ("labels", None, {1: "a"}),
    ],
)
def test_eligible_that_cannot_be_is_refused_by_name(field: str, older_than: Any, labels: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        eligible(older_than, labels)
    assert caught.value.field == field
    assert eligible(0.0, None) == Eligible(0.0)
