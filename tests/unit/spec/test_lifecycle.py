"""The table of states, each verb with each state."""

from __future__ import annotations

import pytest

from containerlib.errors import Conflict
from containerlib.spec.lifecycle import VERBS, State, allowed, check

TABLE = {
    "start": "created",
    "kill": "created running paused",
    "delete": "stopped",
    "exec": "running",
    "attach": "created running paused restarting",
    "pause": "running",
    "resume": "paused",
    "update": "created running paused",
    "watch": "created running paused",
    "checkpoint": "running paused",
}
PAIRS = [(verb, state) for verb in TABLE for state in State]


def test_table_every_verb_is_tried() -> None:
    assert set(VERBS) == set(TABLE)


@pytest.mark.parametrize(("verb", "state"), PAIRS)
def test_check_each_verb_in_each_state(verb: str, state: State) -> None:
    if state.value in TABLE[verb].split():
        check(verb, state, "container c1")
        return
    with pytest.raises(Conflict) as caught:
        check(verb, state, "container c1")
    words = str(caught.value).split("must be ")
    assert caught.value.state == state.value
    assert words[0] == f"cannot {verb} container c1: it is {state.value}, and "
    assert words[1].split(" or ") == TABLE[verb].split()


@pytest.mark.parametrize("verb", TABLE)
def test_allowed_names_the_states_in_the_order_of_a_life(verb: str) -> None:
    assert [state.value for state in allowed(verb)] == TABLE[verb].split()


def test_check_creating_allows_nothing() -> None:
    """Who works on a container that is being made must wait for it."""
    assert not any(State.CREATING in allowed(verb) for verb in VERBS)
