"""Whatever a plan asks for, the helper does not crash: it refuses, with a number that says which op, or it does it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rig.ordinary import as_user
from rig.user_namespaces import open_parents

pytestmark = pytest.mark.privileged("CAP_SETUID: is an ordinary user")

SCRIPT = Path(__file__).with_name("hostile_plans.py")
EXAMPLES = os.environ.get("FUZZ_PLANS", "300")
USER = 54321


def test_helper_survives_plans_of_random_ops(tmp_path: Path) -> None:
    """`FUZZ_PLANS=100000` makes it long. As a user without privileges: an op that succeeds does no harm."""
    open_parents(tmp_path)
    root = tmp_path / "root"
    root.joinpath("a").mkdir(parents=True)
    root.joinpath("loop").symlink_to("loop")
    for path in (tmp_path, root, root / "a"):
        os.chown(path, USER, USER)
    done = subprocess.run(
        as_user(USER, sys.executable, "-P", SCRIPT, tmp_path, EXAMPLES),
        cwd=tmp_path,
        env={"PATH": "/bin:/usr/bin", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-6000:]}"
    reached = dict(reversed(line.split(" ", 1)) for line in done.stdout.splitlines())
    assert len(reached) >= 10, f"only these ops were ever reached: {reached}"
    assert "the program's end" in reached
