"""kill -9 at any moment of a pull and a run, a hundred times each: the store stays usable, prune() makes it clean."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerlib import Engine
from containerlib.spec.options import SnapshotterName
from rig import images
from rig.leaks import our_cgroups, our_processes
from rig.registry import Registry
from rig.snapshotters import EACH

ROUNDS = 100
SEED = 20260101
LONGEST_SECONDS = 0.12
"""A whole pull and run takes about half of it, so a part of the rounds are not interrupted at all."""

pytestmark = [*EACH, pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"), pytest.mark.slow]

# Forks a child for each line of input, which opens the engine, forgets the image, pulls it and runs a container;
# forking before any engine is open saves the interpreter's start a hundred times over.
VICTIMS = """
import os, sys
import containerlib as cl
import containerlib.fluent.engine, containerlib.images.registry.client, httpx

root, reference, snapshotter = sys.argv[1:]
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        with cl.Engine(root=root, snapshotter=snapshotter) as engine:
            try:
                engine.images.get(reference).remove()
            except cl.NotFound:
                pass
            engine.image(reference).pull()
            engine.container(reference).run("true")
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def reference(registry: Registry, tmp_path: Path) -> str:
    layout = images.busybox_image().write_layout(tmp_path / "layout")
    return registry.push(layout, "crash/busybox")


@pytest.fixture
def victims(tmp_path: Path, reference: str, snapshotter: SnapshotterName) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", VICTIMS, str(tmp_path / "root"), reference, snapshotter]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


def interrupt_one(victims: subprocess.Popen[str], delay: float) -> int:
    """Starts a child, kills it after `delay` seconds, and returns its exit code."""
    assert victims.stdin is not None
    assert victims.stdout is not None
    victims.stdin.write("next\n")
    victims.stdin.flush()
    child = int(victims.stdout.readline())
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)  # a zombie until the next line: never somebody else's pid
    victims.stdin.write("reap\n")
    victims.stdin.flush()
    return int(victims.stdout.readline())


def test_kill_at_any_moment_of_pull_and_run_leaves_a_store_that_prune_cleans(
    victims: subprocess.Popen[str], tmp_path: Path, reference: str, snapshotter: SnapshotterName
) -> None:
    random_delays = random.Random(SEED)
    cgroups, processes = set(our_cgroups()), set(our_processes())
    codes = [interrupt_one(victims, random_delays.uniform(0, LONGEST_SECONDS)) for _ in range(ROUNDS)]
    assert set(codes) <= {0, -signal.SIGKILL}, "no round failed by itself"
    assert codes.count(-signal.SIGKILL) > ROUNDS / 4, "the kills came while something was under way"

    with Engine(root=tmp_path / "root", snapshotter=snapshotter) as engine:
        report = engine.prune()
        assert report.failures == ()
        assert engine.containers.list() == []
        engine.image(reference).pull()
        assert engine.container(reference).run("echo", "well").text == "well\n"
        second = engine.prune()
    assert (second.containers, second.directories, second.cgroups) == ((), (), ())
    assert second.images.reclaimed_bytes == 0

    assert set(our_cgroups()) <= cgroups
    deadline = time.monotonic() + 5
    while set(our_processes()) - processes and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(our_processes()) <= processes
    assert list((tmp_path / "root/containers").iterdir()) == []
    with sqlite3.connect(tmp_path / "root/containerlib.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
