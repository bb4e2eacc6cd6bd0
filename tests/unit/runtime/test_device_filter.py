from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerlib.bundles.config import make_config
from containerlib.bundles.users import ResolvedUser
from containerlib.errors import InvalidArgument
from containerlib.runtime.cgroups.device_filter import device_filter
from containerlib.spec.image import ImageConfig
from containerlib.spec.options import ContainerOptions
from rig.bpf import run_device

DENY_ALL = {"allow": False, "access": "rwm"}

numbers = st.integers(0, 3)
rules = st.fixed_dictionaries(
    {"allow": st.booleans()},
    optional={
        "type": st.sampled_from(["a", "b", "c"]),
        "major": numbers | st.just(-1),
        "minor": numbers | st.just(-1),
        "access": st.sampled_from(["r", "w", "m", "rw", "rm", "wm", "rwm"]),
    },
)


def allowed_by_the_specification(
    rules: list[dict[str, Any]], kind: str, access: str, major: int, minor: int
) -> bool:
    """The last rule that matches counts. One to allow matches what it covers whole, one to deny what it touches."""
    for rule in reversed(rules):
        if rule.get("type", "a") != "a":
            if rule["type"] != kind:
                continue
            if any(rule.get(k, -1) not in (-1, v) for k, v in (("major", major), ("minor", minor))):
                continue
        listed = set(rule.get("access", "rwm"))
        if set(access) <= listed if rule["allow"] else set(access) & listed:
            return bool(rule["allow"])
    return False


@given(
    st.lists(rules, max_size=6),
    st.sampled_from("bc"),
    st.sampled_from(["r", "w", "m", "rw"]),
    numbers,
    numbers,
)
def test_program_decides_as_the_specification_says(
    rules: list[dict[str, Any]], kind: str, access: str, major: int, minor: int
) -> None:
    program = device_filter(rules)
    expected = allowed_by_the_specification(rules, kind, access, major, minor)
    assert run_device(program, kind=kind, access=access, major=major, minor=minor) == expected


@pytest.mark.parametrize(
    ("kind", "access", "major", "minor", "allowed"),
    [
        ("c", "rw", 1, 3, True),
        ("c", "m", 200, 7, True),
        ("b", "m", 8, 0, True),
        ("b", "r", 8, 0, False),
        ("c", "r", 1, 1, False),
        ("c", "rw", 136, 12, True),
        ("c", "rw", 10, 229, False),
    ],
)
def test_default_rules_allow_what_docker_allows(
    kind: str, access: str, major: int, minor: int, allowed: bool
) -> None:
    spec = make_config(
        ImageConfig(cmd=("sh",)),
        ContainerOptions(),
        user=ResolvedUser(),
        extra_mounts=[],
        cgroups_path="/x",
        container_id="0" * 64,
    )
    program = device_filter(spec["linux"]["resources"]["devices"])
    assert run_device(program, kind=kind, access=access, major=major, minor=minor) is allowed


def test_no_rules_deny_everything() -> None:
    assert not run_device(device_filter([]), kind="c", access="r", major=1, minor=3)


def test_rules_before_one_for_everything_are_left_out() -> None:
    many = [{"allow": True, "type": "c", "major": n, "minor": 0} for n in range(50)]
    assert device_filter([*many, DENY_ALL]) == device_filter([DENY_ALL])


@pytest.mark.parametrize("rule", [{"allow": True, "type": "x"}, {"allow": True, "access": "rx"}])
def test_impossible_rules_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        device_filter([rule])
    assert caught.value.field == "resources.devices"
