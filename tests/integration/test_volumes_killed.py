"""kill -9 at 200 seeded steps of what is done with volumes: no mount, directory or row is left of what was under way.

A step is a call from Python into C, of which a process counts its own, and kills itself at the one that it was told.
The next one to open an engine unmounts what nobody uses and ends what was half made; `prune` removes directories.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from rig.belongings import check_belongings
from rig.images import Image, Layer, busybox_layer
from rig.volume_drivers import install_driver

KILLS = 200
SEED = 20_261_126
OPERATIONS = ("create", "remove", "plain", "memory", "bind", "shelf", "backup", "restore", "prune")

pytestmark = [pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"), pytest.mark.slow]

# For each line of input [operation, step]: forks a child that does it, and prints how that ended and its steps.
CALLERS = """
import io, itertools, json, os, signal, sys
import containerlib as cl
import containerlib.fluent.engine, containerlib.engine.run, containerlib.engine.prune, containerlib.engine.disk
import containerlib.engine.volume_archive
from containerlib.volumes.drivers import find_driver

root, image, there, archive = sys.argv[1:]
find_driver("shelf")

def volume(engine, name):
    found = engine.volume(name)
    if name == "memory":
        return found.option(type="tmpfs", device="tmpfs")
    if name == "bind":
        return found.option(type="none", device=there, o="bind")
    return found.driver("shelf").option(tier="fast") if name == "shelf" else found

def work(engine, operation):
    if operation == "create":
        for name in ("memory", "shelf"):
            volume(engine, name).create()
    elif operation == "remove":
        for each in engine.volumes.list():
            each.remove()
    elif operation == "backup":
        engine.volumes.get("bind").backup(io.BytesIO())
    elif operation == "restore":
        for name in ("plain", "bind"):
            engine.volumes.get(name).restore(archive)
    elif operation == "prune":
        engine.volumes.prune(named=True)
        engine.prune()
    else:
        recipe = engine.container(image).mount(volume(engine, operation), at="/data")
        recipe.mount(engine.volume(), at="/own").run("true")

def caller(operation, limit):
    steps = itertools.count()
    def step(frame, event, argument):
        if event == "c_call" and next(steps) == limit:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.setprofile(step)
    try:
        with cl.Engine(root=root) as engine:
            work(engine, operation)
    except (cl.NotFound, cl.AlreadyExists):
        pass
    sys.setprofile(None)
    with open(f"{root}/../steps", "w") as file:
        file.write(str(next(steps)))
    os._exit(0)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            caller(*json.loads(line))
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """What a volume is that a directory of the host is: five files, or none."""
    place = tmp_path / "there"
    place.mkdir()
    return place


@pytest.fixture
def callers(
    tmp_path: Path, engine: cl.Engine, place: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[subprocess.Popen[str]]:
    site = install_driver(tmp_path / "site", name="shelf", state=tmp_path / "shelf")
    monkeypatch.syspath_prepend(site)
    layer = Layer().directory("data", 0o750, uid=7)
    for number in range(5):
        layer.file(f"data/{number}", "x")
    made = Image((busybox_layer(), layer.finish()), {"Env": ["PATH=/bin"]})
    (image,) = engine.images.load(made.write_layout(tmp_path / "image"))
    image.tag("data:1")
    (tmp_path / "new").mkdir()
    for name in "abc":
        (tmp_path / "new" / name).touch()
    subprocess.run(["tar", "-cf", tmp_path / "new.tar", "-C", tmp_path / "new", "."], check=True)
    command = [sys.executable, "-c", CALLERS, engine.root, "data:1", str(place), str(tmp_path / "new.tar")]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


def run(callers: subprocess.Popen[str], operation: str, step: int) -> int:
    assert callers.stdin is not None
    assert callers.stdout is not None
    callers.stdin.write(json.dumps([operation, step]) + "\n")
    callers.stdin.flush()
    return int(callers.stdout.readline())


def test_kill_at_any_step_leaves_no_mount_directory_or_row(
    callers: subprocess.Popen[str], engine: cl.Engine, tmp_path: Path, place: Path
) -> None:
    longest = {}
    for operation in ("create", "plain", "memory", "bind", "shelf", "backup", "restore", "remove", "prune"):
        assert run(callers, operation, -1) == 0, operation
        longest[operation] = int((tmp_path / "steps").read_text())
    source, killed = random.Random(SEED), 0
    while killed < KILLS:
        operation = source.choice(OPERATIONS)
        for needed in ("plain", "bind") if operation in ("backup", "restore", "remove", "prune") else ():
            assert run(callers, needed, -1) == 0
        step = source.randrange(longest[operation])
        code = run(callers, operation, step)
        assert code in (0, -signal.SIGKILL), (operation, step)
        killed += code != 0
        with cl.Engine(root=engine.root) as opened:
            check(opened, tmp_path, (operation, step))


def check(engine: cl.Engine, tmp_path: Path, what: tuple[str, int]) -> None:
    """Everything goes together, and every volume is whole."""
    assert engine.core.store.volumes.restless() == [], what
    assert engine.containers.list() == [], what
    check_belongings(engine)
    assert engine.prune().failures == ()
    volumes = {volume.name: volume for volume in engine.volumes.list()}
    assert set(volumes) <= {"memory", "plain", "bind", "shelf"}, what
    directories = {path.name for path in Path(engine.root, "volumes").iterdir()}
    assert directories == {".lock", *volumes}, what
    shelf = {path.name for path in (tmp_path / "shelf").iterdir()} - {"calls"}
    assert shelf == {"shelf"} & set(volumes), what
    whole = [[], list("01234"), list("abc")]
    if "plain" in volumes:
        assert sorted(path.name for path in volumes["plain"].path.iterdir()) in whole, what
    if "bind" in volumes:
        volumes["bind"].backup(tmp_path / "whole.tar")
        assert sorted(path.name for path in (tmp_path / "there").iterdir()) in whole, what
    with sqlite3.connect(tmp_path / "root/containerlib.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
