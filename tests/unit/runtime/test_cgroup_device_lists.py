"""From some device rules of v1 to others, on a model of the kernel's controller; tests/integration has the real one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerlib.runtime.cgroups.device_lists import listed, transition
from containerlib.runtime.cgroups.devices import device_lines

DENY_ALL = {"allow": False, "access": "rwm"}
ALLOW_ALL = {"allow": True, "access": "rwm"}
RULES = st.lists(
    st.one_of(
        st.sampled_from([DENY_ALL, ALLOW_ALL]),
        st.fixed_dictionaries(
            {
                "allow": st.booleans(),
                "type": st.sampled_from(["a", "b", "c"]),
                "major": st.sampled_from([None, 1, 5]),
                "minor": st.sampled_from([None, 3]),
                "access": st.sampled_from(["rwm", "r", "m", "rw"]),
            }
        ),
    ),
    max_size=6,
)


class Kernel:
    """devices.allow, devices.deny and devices.list of one group. Spec: security/device_cgroup.c"""

    def __init__(self) -> None:
        self.everything = True
        self.exceptions: dict[str, set[str]] = {}

    def write(self, lines: list[tuple[str, str]]) -> Kernel:
        for file, text in lines:
            allow = file == "devices.allow"
            if text == "a":
                self.everything, self.exceptions = allow, {}
                continue
            kind, numbers, access = text.split()
            there = self.exceptions.setdefault(f"{kind} {numbers}", set())
            if allow != self.everything:
                there |= set(access)
            else:
                there -= set(access)
        self.exceptions = {node: access for node, access in self.exceptions.items() if access}
        return self

    @property
    def state(self) -> tuple[bool, dict[str, set[str]]]:
        return self.everything, self.exceptions

    @property
    def list(self) -> str:
        if self.everything:
            return "a *:* rwm\n"
        return "".join(f"{node} {''.join(sorted(access))}\n" for node, access in self.exceptions.items())


def made(rules: list[dict[str, Any]]) -> Kernel:
    return Kernel().write(device_lines(rules))


@given(RULES, RULES)
def test_rules_are_after_an_update_as_if_made_with_them(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    before, after = [DENY_ALL, *before], [DENY_ALL, *after]
    kernel = made(before)
    lines, _ = transition(listed(kernel.list), after)
    assert kernel.write(lines).state == made(after).state


@given(RULES, RULES)
def test_device_that_stays_allowed_is_so_all_the_time_or_the_container_stands_still(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    kernel, last = made([DENY_ALL, *before]), made([DENY_ALL, *after])
    lines, gap = transition(listed(kernel.list), [DENY_ALL, *after])
    if gap or kernel.everything or last.everything:
        assert gap or len(lines) <= 1
        return
    kept = {
        (node, letter)
        for node, access in kernel.exceptions.items()
        for letter in access & last.exceptions.get(node, set())
    }
    for line in lines:
        kernel.write([line])
        assert all(letter in kernel.exceptions.get(node, ()) for node, letter in kept)


def test_same_list_again_writes_nothing() -> None:
    rules = [DENY_ALL, {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"}]
    assert transition(listed(made(rules).list), rules) == ([], False)


@pytest.mark.parametrize(
    ("before", "after", "lines", "gap"),
    [
        ([ALLOW_ALL], [ALLOW_ALL], [("devices.allow", "a")], False),
        ([DENY_ALL], [ALLOW_ALL], [("devices.allow", "a")], True),
        ([ALLOW_ALL], [DENY_ALL], [("devices.deny", "a")], True),
        (
            [DENY_ALL],
            [ALLOW_ALL, {"allow": False, "type": "b"}],
            [("devices.allow", "a"), ("devices.deny", "b *:* rwm")],
            True,
        ),
    ],
)
def test_way_between_everything_and_a_list(
    before: list[dict[str, Any]], after: list[dict[str, Any]], lines: list[tuple[str, str]], *, gap: bool
) -> None:
    assert transition(listed(made(before).list), after) == (lines, gap)
