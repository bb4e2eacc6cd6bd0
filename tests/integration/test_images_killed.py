"""kill -9 at 500 seeded steps of pull, push, load, squash, removal and prune, by two of three processes at once.

A step is a call from Python into C: the processes count them, and kill themselves before the one that they were told.
The same seed therefore hits the same steps; what the three do to each other is left to chance. The third lives to its
end, which the deaths and the collections of the others do not keep it from.
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from rig.images import Image, Layer, busybox_layer
from rig.registry import Registry

KILLS = 500
AT_ONCE = 2
SEED = 20_260_404
OPERATIONS = ("pull", "push", "load", "squash", "remove", "prune")

pytestmark = [
    pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are"),
    pytest.mark.slow,
]

# For each line of input, a batch of orders: forks a child for each, and prints how they ended and their steps.
VICTIMS = """
import itertools, json, os, signal, sys, tempfile, threading
import containerlib as cl
import containerlib.fluent.engine, httpx, zlib
import containerlib.images.registry.client, containerlib.images.transfer.pulling, containerlib.images.transfer.pushing
import containerlib.images.archives.building, containerlib.images.archives.loading

root, layout = sys.argv[1:]

def work(operation, reference):
    with cl.Engine(root=root) as engine:
        try:
            if operation == "pull":
                engine.image(reference).pull()
            elif operation == "push":
                engine.images.get(reference).push(reference.rpartition(":")[0] + "-again:latest")
            elif operation == "load":
                engine.images.load(layout)
            elif operation == "squash":
                engine.images.get(reference).squash("squashed:1")
            elif operation == "remove":
                engine.images.get(reference).remove()
            else:
                engine.images.prune(named=False)
                engine.prune()
        except (cl.NotFound, cl.Conflict):  # another of the three was faster
            return

def victim(operation, reference, limit):
    steps = itertools.count()
    def step(frame, event, argument):
        if event == "c_call" and next(steps) == limit:
            os.kill(os.getpid(), signal.SIGKILL)
    threading.setprofile(step)
    sys.setprofile(step)
    work(operation, reference)
    sys.setprofile(None)
    with open(f"{root}/../steps-{operation}", "w") as file:
        file.write(str(next(steps)))
    os._exit(0)

for line in sys.stdin:
    children = []
    for order in json.loads(line):
        child = os.fork()
        if child == 0:
            victim(*order)
        children.append(child)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
"""


class Victims:
    """Processes that kill themselves at a step."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self._process = process
        self._directory = directory

    def run(self, *orders: tuple[str, str, int]) -> list[int]:
        """Each an operation, a reference, and the step before which it dies; their exit codes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(orders) + "\n")
        self._process.stdin.flush()
        return list(json.loads(self._process.stdout.readline()))

    def steps(self, operation: str, reference: str) -> int:
        """How many a whole one takes."""
        assert self.run((operation, reference, -1)) == [0]
        return int(self._directory.joinpath(f"steps-{operation}").read_text())


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    image = Image((busybox_layer(), Layer().file("loaded", "x").finish()), {"Cmd": ["sh"]})
    return image.write_layout(tmp_path / "layout", tag="loaded:1")


@pytest.fixture
def victims(tmp_path: Path, layout: Path) -> Iterator[Victims]:
    command = [sys.executable, "-c", VICTIMS, str(tmp_path / "root"), str(layout)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Victims(process, tmp_path)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


@pytest.fixture
def references(registry: Registry, tmp_path: Path) -> list[str]:
    """Three images that share a layer, of which the last is left alone."""
    found = []
    for name in ("one", "two", "kept"):
        image = Image((busybox_layer(), Layer().file("name", name).finish()), {"Cmd": ["cat", "/name"]})
        found.append(registry.push(image.write_layout(tmp_path / name), f"killed/{name}"))
    return found


def test_kill_at_any_step_loses_nothing_and_names_nothing_half(
    victims: Victims, registry: Registry, references: list[str], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    with cl.Engine(root=root) as engine:
        kept = engine.image(references.pop()).pull().tag("kept:1")
    longest = {operation: victims.steps(operation, references[1]) for operation in OPERATIONS}
    source, killed, done = random.Random(SEED), 0, 0
    while killed < KILLS:
        orders = [order(source, longest, references) for _ in range(AT_ONCE)]
        *codes, last = victims.run(*orders, (source.choice(OPERATIONS), source.choice(references), -1))
        assert last == 0
        assert set(codes) <= {0, -signal.SIGKILL}, (orders, codes)
        killed += codes.count(-signal.SIGKILL)
        done += codes.count(0)
        json.loads(root.joinpath("content/index.json").read_bytes())
        if not killed % 50:
            check(root, registry, kept.id)
    check(root, registry, kept.id)
    assert done < 4 * KILLS, "the kills came while something was under way"


def order(source: random.Random, longest: dict[str, int], references: list[str]) -> tuple[str, str, int]:
    operation = source.choice(OPERATIONS)
    return operation, source.choice(references), source.randrange(longest[operation])


def check(root: Path, registry: Registry, kept: str) -> None:
    with cl.Engine(root=root) as engine:
        assert engine.prune().failures == ()
        assert engine.images.get("kept:1").id == kept
        assert engine.images.verify().is_whole
        for image in engine.images.list():
            assert engine.container(image).run("true").exit_code == 0
        second = engine.prune().images
        assert (second.temporary, second.blobs, second.snapshots) == ((), (), ())
    assert list(root.joinpath("content/ingest").iterdir()) == []
    assert list(root.joinpath("leases").iterdir()) == []
    with sqlite3.connect(root / "containerlib.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    for name in ("killed/one-again", "killed/two-again"):
        if name in registry.repositories() and registry.tags(
            name
        ):  # what has a name there can be pulled whole
            with cl.Engine(root=root.parent / "elsewhere") as engine:
                image = engine.image(registry.reference(name)).pull()
                assert engine.container(image).run().text == f"{name[7:10]}"
                image.remove()
