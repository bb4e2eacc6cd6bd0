"""Each example runs as a program of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(ROOT.joinpath("examples").glob("*.py"))
EXPECTED = {
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
    "streams.py": ["over the pipe", "4 no such luck", "127 exec: /no/such/program: ENOENT"],
}


@pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_example_run_as_a_program_prints_what_it_promises(example: Path) -> None:
    done = subprocess.run([sys.executable, example], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [line for line in EXPECTED[example.name] if line not in done.stdout] == []
