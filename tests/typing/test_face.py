"""Runs mypy --strict over the checks beside this file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_face_types_are_as_promised(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs mypy: nox installs it")
    command = [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", "--config-file="]
    checks = [str(path) for path in sorted(HERE.glob("check_*.py"))]
    done = subprocess.run(
        [*command, f"--cache-dir={tmp_path}", *checks], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
