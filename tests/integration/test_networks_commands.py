"""What a start asks of the network goes by netlink: no command is run, whatever its path."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import containerlib as cl

pytestmark = [
    pytest.mark.usefixtures("network"),
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
]

EXECUTED = re.compile(r'exec(?:ve|veat)\((?:\d+<([^>]*)>(?:\(deleted\))?, )?"([^"]*)"')

STARTS = """
import sys, containerlib as cl
with cl.Engine(sys.argv[1]) as engine:
    recipe = engine.container(engine.images.list()[0]).publish(80, host=8080)
    with engine.network("backend").create() as backend, recipe.start("sleep", "600") as container:
        backend.connect(container)
        backend.disconnect(container)
        container.exec("true")
        container.stop(0)
        container.start()
"""


def test_no_program_is_executed_but_the_helper_and_the_containers(
    engine: cl.Engine, box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace: install strace")
    trace = tmp_path / "trace"
    watch = ["strace", "-f", "-qq", "-y", "-e", "trace=execve,execveat", "-o", str(trace)]
    subprocess.run([*watch, sys.executable, "-P", "-c", STARTS, engine.root], check=True)
    lines = [line for line in trace.read_text().splitlines() if " = -1 " not in line]
    found = [match.groups() for match in map(EXECUTED.search, lines) if match]
    assert found[0] == (None, sys.executable)
    helpers = {file for file, _ in found if file}
    assert helpers
    assert all(file.startswith("/memfd:") for file in helpers)
    assert {name for _, name in found[1:]} == {"", "/sbin/sleep", "/sbin/true"}
    del box
