"""Capabilities that are granted, and the warnings about those that are not."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from containerlib.runtime.plan.capabilities import NAMES, CapabilitySets, granted, held, mask, ungranted
from containerlib.spec.runtime import Capabilities, Process

ALL = mask(NAMES)
CHOWN, KILL = mask(["CAP_CHOWN"]), mask(["CAP_KILL"])


def test_mask_has_a_bit_for_each_name_that_there_is() -> None:
    assert mask(["CAP_CHOWN", "CAP_CHECKPOINT_RESTORE", "CAP_OF_ANOTHER_KERNEL"]) == 1 | 1 << 40


def test_granted_sets_are_what_the_kernel_takes_together() -> None:
    both = ["CAP_CHOWN", "CAP_KILL"]
    asked: Capabilities = {
        "bounding": ["CAP_CHOWN"],
        "effective": both,
        "permitted": ["CAP_KILL"],
        "inheritable": both,
        "ambient": both,
    }
    assert granted(asked) == CapabilitySets(CHOWN, KILL, KILL, CHOWN, 0)


@pytest.mark.parametrize(
    ("capabilities", "own", "warnings"),
    [
        ({}, ALL, []),
        ({"bounding": list(NAMES), "permitted": list(NAMES), "effective": list(NAMES)}, ALL, []),
        (
            {"bounding": ["CAP_CHOWN"]},
            ALL & ~CHOWN,
            [
                "process.capabilities.bounding: CAP_CHOWN cannot be granted: the runtime does not have it itself"
            ],
        ),
        (
            {"permitted": [], "effective": ["CAP_KILL"]},
            ALL,
            ["process.capabilities.effective: CAP_KILL cannot be granted: another set must have it"],
        ),
        ({"bounding": ["CAP_UNKNOWN"]}, ALL, []),
    ],
)
def test_ungranted_capability_is_a_warning(capabilities: Capabilities, own: int, warnings: list[str]) -> None:
    assert list(ungranted(cast(Process, {"capabilities": capabilities}), own)) == warnings


def test_held_capabilities_are_the_bounding_set(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tx\nCapEff:\t0000000000000001\nCapBnd:\t000001fffeffffff\n")
    assert held(str(status)) == ALL & ~mask(["CAP_SYS_RESOURCE"])
