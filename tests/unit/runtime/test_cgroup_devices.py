from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerlib.errors import InvalidArgument
from containerlib.runtime.cgroups.devices import AllowList, allow_list, device_lines

DENY_ALL = {"allow": False, "access": "rwm"}
ALLOW_ALL = {"allow": True, "access": "rwm"}


def char(major: int | None, minor: int | None, access: str = "rwm", *, allow: bool = True) -> dict[str, Any]:
    return {"allow": allow, "type": "c", "major": major, "minor": minor, "access": access}


def test_device_rules_become_one_line_each_in_order() -> None:
    rules = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "access": "m"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"},
        {"allow": False, "type": "b", "major": 8, "minor": -1},
        {"allow": True, "type": "u", "major": 1, "minor": 5, "access": "r"},
    ]
    assert device_lines(rules) == [
        ("devices.deny", "a"),
        ("devices.allow", "c *:* m"),
        ("devices.allow", "c 1:3 rw"),
        ("devices.deny", "b 8:* rwm"),
        ("devices.allow", "c 1:5 r"),
    ]


def test_device_that_is_allowed_twice_takes_one_line() -> None:
    lines = device_lines([DENY_ALL, char(1, 3), char(1, 5), char(1, 3)])
    assert [line for _, line in lines] == ["a", "c 1:3 rwm", "c 1:5 rwm"]


def test_device_that_is_denied_between_two_times_of_being_allowed_takes_three_lines() -> None:
    lines = device_lines([DENY_ALL, char(1, 3), char(1, 3, allow=False), char(1, 3)])
    assert [line for _, line in lines] == ["a", *["c 1:3 rwm"] * 3]


def test_device_lines_are_the_caller_s_own() -> None:
    device_lines([DENY_ALL]).clear()
    assert device_lines([DENY_ALL]) == [("devices.deny", "a")]


def test_rule_for_all_types_with_less_than_every_access_is_one_for_each_type() -> None:
    """The kernel reads `a` as everything, whatever stands behind it."""
    assert device_lines([{"allow": True, "access": "m"}]) == [
        ("devices.allow", "b *:* m"),
        ("devices.allow", "c *:* m"),
    ]


def test_allowed_devices_are_listed_with_their_accesses() -> None:
    rules = [DENY_ALL, char(1, 3, "r"), char(1, 3, "w"), char(136, None), char(None, None, "m")]
    assert allow_list(rules) == AllowList(
        {("c", 1, 3): "rw", ("c", 136, None): "rwm", ("c", None, None): "m"}, everything=False, exact=True
    )


def test_denied_device_is_taken_off_the_list() -> None:
    allowed = allow_list(
        [DENY_ALL, char(1, 3), char(1, 3, "w", allow=False), char(1, 5), char(1, 5, allow=False)]
    )
    assert (dict(allowed.nodes), allowed.exact) == ({("c", 1, 3): "rm"}, True)


@pytest.mark.parametrize(
    "rules",
    [
        [DENY_ALL, char(1, None), char(1, 3, allow=False)],
        [DENY_ALL, char(None, None, "r"), char(1, 3, "rw", allow=False)],
        [ALLOW_ALL, char(1, 3, allow=False)],
    ],
)
def test_part_denied_of_what_is_allowed_is_not_a_list(rules: list[dict[str, Any]]) -> None:
    assert not allow_list(rules).exact


def test_everything_allowed_is_said_so() -> None:
    assert allow_list([char(1, 3), ALLOW_ALL]) == AllowList({}, everything=True)
    assert allow_list([ALLOW_ALL, DENY_ALL]) == AllowList({})


@pytest.mark.parametrize(
    "rule",
    [
        {"allow": True, "type": "p"},
        {"allow": True, "access": "x"},
        {"allow": True, "type": "c", "major": "1"},
    ],
)
def test_impossible_rules_are_refused(rule: dict[str, Any]) -> None:
    for read in (device_lines, allow_list):
        with pytest.raises(InvalidArgument) as caught:
            read([rule])
        assert caught.value.field == "resources.devices"


numbers = st.none() | st.integers(0, 2)
rules = st.fixed_dictionaries(
    {
        "allow": st.booleans(),
        "type": st.sampled_from("bc"),
        "major": numbers,
        "minor": numbers,
        "access": st.sampled_from(["r", "w", "rw", "rwm"]),
    }
)


@given(
    st.lists(rules, max_size=6),
    st.sampled_from("bc"),
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from("rwm"),
)
def test_exact_list_allows_what_the_rules_allow(
    made: list[dict[str, Any]], kind: str, major: int, minor: int, access: str
) -> None:
    allowed = allow_list([DENY_ALL, *made])
    if not allowed.exact:
        return
    verdict = False
    for rule in made:
        fits = all(rule[name] in (None, number) for name, number in (("major", major), ("minor", minor)))
        if rule["type"] == kind and fits and access in rule["access"]:
            verdict = rule["allow"]
    listed = any(
        node[0] == kind and node[1] in (None, major) and node[2] in (None, minor) and access in accesses
        for node, accesses in allowed.nodes.items()
    )
    assert listed == verdict
