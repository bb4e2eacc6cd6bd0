"""Which events there are, and which are wanted."""

from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

import containerlib
from containerlib.engine.events import EVENT_ACTIONS, Event, Query

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


@pytest.mark.parametrize(
    ("name", "image", "wanted"),
    [
        ("nginx:1.27", "nginx", True),
        ("nginx:1.27", "nginx:1.27", True),
        ("docker.io/library/nginx:1.27", "nginx", True),
        ("nginx", "nginx:latest", True),
        ("nginx:1.27", "nginx:latest", False),
        ("localhost:5000/nginx:1.27", "localhost:5000/nginx", True),
        ("localhost:5000/nginx:1.27", "nginx", False),
        ("host", "host", True),
        ("sha256:" + "b" * 64, "sha256:" + "b" * 64, True),
        ("sha256:" + "b" * 64, "b" * 12, True),
        ("sha256:" + "b" * 64, "b" * 11, False),
        ("", "nginx", False),
    ],
)
def test_query_by_image_is_by_reference_or_id(name: str, image: str, wanted: bool) -> None:
    made = evolve(DIED, attributes={"image": name})
    assert Query(image=image).wants(made) is wanted
    tagged = Event(8, NOW, "image", "tag", "sha256:" + "a" * 64, name)
    assert Query(image=image).wants(tagged) is wanted
    assert Query(image="a" * 12).wants(tagged)


def test_query_by_image_is_of_no_volume() -> None:
    assert not Query(image="www").wants(Event(9, NOW, "volume", "create", "www", "www"))
    assert not Query(image="www").wants(Event(9, NOW, "container", "prune", "", ""))


WRITES = {
    "note": 1,
    "row": 1,
    "_at": 1,
    "image_event": 0,
    "_noted": 0,
    "_note": 0,
    "_event": 0,
    "EventRow": 1,
}
"""Functions that make events, and which of their arguments the action is."""


def test_actions_are_all_that_anything_is_told_by() -> None:
    found = set()
    for path in Path(containerlib.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            place = WRITES.get(getattr(node.func, "id", getattr(node.func, "attr", "")))
            for each in [] if place is None else node.args[place : place + 1]:
                found |= {word.value for word in ast.walk(each) if isinstance(word, ast.Constant)}
    assert found == {action for actions in EVENT_ACTIONS.values() for action in actions}
