"""A short run of the fuzzer of config.json, always the same one; `nox -s fuzz` is the long one."""

from __future__ import annotations

import os

import pytest

from fuzz.mutate import mutated
from fuzz.target import judge

RUNS = int(os.environ.get("FUZZ_RUNS", "2000"))
PART = 500


@pytest.mark.parametrize("first", range(0, RUNS, PART))
def test_configuration_that_is_nearly_right_is_planned_or_refused(first: int) -> None:
    for index in range(first, first + PART):
        judge(mutated(1, index))


def test_execution_can_be_had_again() -> None:
    assert [mutated(1, index) for index in range(100)] == [mutated(1, index) for index in range(100)]
    assert mutated(1, 0) != mutated(2, 0)
