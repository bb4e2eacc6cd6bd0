"""A short run of the fuzzer of what strangers write about images; `nox -s fuzz -- --target images` is the long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.images import judge, mutated

RUNS = int(os.environ.get("FUZZ_RUNS", "4000"))
PART = 1000


@pytest.mark.parametrize("first", range(0, RUNS, PART))
def test_input_about_images_that_is_nearly_right_is_read_or_refused(first: int) -> None:
    outcomes = {judge(mutated(1, index)) for index in range(first, first + PART)}
    assert {"read", "InvalidArgument"} <= outcomes


def test_fuzzer_of_images_is_guided_by_what_code_it_reaches(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="no atheris: pip install containerlib[fuzz]")
    words = ["--target", "images", "--engine", "atheris", "--count", "500", "--findings", str(tmp_path)]
    command = [sys.executable, "-m", "fuzz", *words]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    tests = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=tests, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Done 500 runs" in done.stderr
