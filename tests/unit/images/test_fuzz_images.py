"""A short run of the fuzzer of what strangers write about images; `nox -s fuzz -- --target images` is the long one."""

from __future__ import annotations

import os

import pytest

from fuzz.images import judge, mutated

RUNS = int(os.environ.get("FUZZ_RUNS", "4000"))
PART = 1000


@pytest.mark.parametrize("first", range(0, RUNS, PART))
def test_input_about_images_that_is_nearly_right_is_read_or_refused(first: int) -> None:
    outcomes = {judge(mutated(1, index)) for index in range(first, first + PART)}
    assert {"read", "InvalidArgument"} <= outcomes
