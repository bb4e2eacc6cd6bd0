"""Each example runs as a program of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rig import checkpoints

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(ROOT.joinpath("examples").glob("*.py"))
EXPECTED = {
    "checkpoints.py": [
        "count 1",
        "the same: True",
        "goes on: count ",
        "a live copy: True running",
        "left: []",
        "after a crash it began anew: False",
    ],
    "demo.py": ["a command in a container of its own:", "exit code:", "ready / asked to stop"],
    "detached.py": ["[('counter', 'running')]", "stdout line 3", "ended by signal 9"],
    "event_loop.py": ["sum of squares: 2470", "there and back", "left: []", "log: ready"],
    "images.py": [
        "hello from hello:1",
        "C /app",
        "hello from hello:2",
        "back: ('docker.io/library/hello:2',)",
    ],
    "handles.py": [
        "hello from outside",
        "made inside",
        "process 1 sleep 1000",
        "limit now: 536870912",
        "'die'",
    ],
    "isolation.py": ["links: ['lo']", "capabilities: 0000000000000000", "answer: 42"],
    "lifetime.py": ["healthy after 2 restarts", "the job ", "left: []"],
    "streams.py": [
        "over the pipe",
        "step 2\n",
        "stdout: b'step 3",
        "4 no such luck",
        "127 exec: /no/such/program: ENOENT",
    ],
}


@pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_example_run_as_a_program_prints_what_it_promises(example: Path, tmp_path: Path) -> None:
    environment = dict(os.environ)
    if example.name == "checkpoints.py":
        checkpoints.on_path(environment, tmp_path)
        if shutil.which("docker-registry") is None:
            pytest.skip("needs docker-registry")
    done = subprocess.run(
        [sys.executable, example],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in EXPECTED[example.name] if line not in done.stdout] == []
