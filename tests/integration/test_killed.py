"""kill -9 of the owner, of a supervisor or of a container's first process, at 500 seeded steps of what a caller does.

A step is a call from Python into C: callers count them, and at the one that they were told they kill themselves, the
youngest supervisor, or its container's first process. The same seed therefore hits the same steps; how
far the other processes have come by then is left to chance.
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
from rig.belongings import check_belongings

KILLS = 500
AT_ONCE = 2
SEED = 20_261_126
TARGETS = ("owner", "supervisor", "first process")
OPERATIONS = ("run", "life", "exec", "detach", "again", "pause", "remove", "prune")
NAMES = ("one", "two", "three")
REFUSED = 3

pytestmark = [pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"), pytest.mark.slow]

# For each line of input, a batch of orders: forks a child for each, and prints how they ended.
CALLERS = """
import contextlib, itertools, json, os, signal, sys, threading
import containerlib as cl
import containerlib.fluent.engine, containerlib.engine.run, containerlib.engine.execute, containerlib.engine.prune

root, image, refused = sys.argv[1], sys.argv[2], int(sys.argv[3])

def work(engine, operation, name):
    box = engine.container(image)
    if operation == "run":
        assert box.run("echo", "x").text == "x\\n"
    elif operation == "life":
        with box.create("sh", "-c", "echo x; exit 3") as container:
            container.start()
            assert container.wait(60.0).exit_code in (3, 137)
    elif operation == "detach":
        box.name(name).start("sleep", "1000", detach=True)
    elif operation == "exec":
        engine.containers.get(name).exec("true")
    elif operation == "again":
        container = engine.containers.get(name)
        container.stop(timeout=0)
        container.start()
    elif operation == "pause":
        container = engine.containers.get(name)
        container.pause()
        container.resume()
    elif operation == "remove":
        engine.containers.get(name).remove(force=True)
    else:
        engine.prune()

def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []

def supervisors():
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.readlink(f"/proc/{entry}/cwd").startswith(f"{root}/containers/"):
                with open(f"/proc/{entry}/comm") as file:
                    if file.read().strip() == "containerlib":
                        yield int(entry)
        except OSError:
            continue

def target(which):
    if which == "owner":
        return os.getpid()
    found = max(supervisors(), default=None)
    if which == "supervisor" or found is None:
        return found
    return next(iter(children(found)), None)

def descriptors():
    \"\"\"Without those by which a supervisor that lives, or is a zombie, will be reaped.\"\"\"
    found, ours = {}, children(os.getpid())
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the list itself
            place = os.readlink(f"/proc/self/fd/{number}")
            with open(f"/proc/self/fdinfo/{number}") as file:
                pids = [int(line.split()[1]) for line in file if line.startswith("Pid:")]
            if not pids or pids[0] not in ours:
                found[int(number)] = place
    return found

def caller(operation, name, which, limit):
    steps = itertools.count()
    def step(frame, event, argument):
        if event == "c_call" and next(steps) == limit:
            sys.setprofile(None)
            victim = target(which)
            with contextlib.suppress(ProcessLookupError, TypeError):  # None, or just ended
                os.kill(victim, signal.SIGKILL)
                with open(f"{root}/../killed", "a") as file:
                    file.write(f"{which}\\n")
    before, code = descriptors(), 0
    sys.setprofile(step)
    try:
        with cl.Engine(root=root) as engine:
            work(engine, operation, name)
    except cl.Error as error:
        sys.setprofile(None)
        with open(f"{root}/../refused", "a") as file:
            file.write(f"{operation} {which} {limit}: {type(error).__name__}: {error}\\n")
        code = refused
    sys.setprofile(None)
    left = descriptors().items() - before.items()
    polls = [each for each in left if each[1] == "anon_inode:[eventpoll]"]
    left -= set(polls[:1])  # that by which this process hears of the ends of all its supervisors
    if left:
        with open(f"{root}/../leaked", "a") as file:
            file.write(f"{operation} {which} {limit}: {sorted(left)}\\n")
    if code == 0:
        with open(f"{root}/../steps-{operation}", "w") as file:
            file.write(str(next(steps)))
    os._exit(code)

with cl.Engine(root=f"{root}-warm") as engine:  # what it imports is none of the steps
    box = engine.container(engine.host_image())
    box.run("true")
    with box.create("sleep", "100") as container:
        container.start()
        container.exec("true")
        container.pause()
    engine.prune()

for line in sys.stdin:
    forked = []
    for order in json.loads(line):
        child = os.fork()
        if child == 0:
            try:
                caller(*order)
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
        forked.append(child)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in forked]), flush=True)
"""


class Callers:
    """Processes that kill themselves, or what they started, at a step."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self._process = process
        self._directory = directory

    def run(self, *orders: tuple[str, str, str, int]) -> list[int]:
        """Each an operation, a container's name, who is killed, and at which step; the callers' exit codes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(orders) + "\n")
        self._process.stdin.flush()
        return list(json.loads(self._process.stdout.readline()))

    def steps(self, operation: str) -> int:
        """How many a whole one takes."""
        assert self.run((operation, "one", "owner", -1)) == [0], operation
        return int(self._directory.joinpath(f"steps-{operation}").read_text())

    def leaked(self) -> list[str]:
        """What those who lived on had open in the end, and not at their beginning."""
        file = self._directory / "leaked"
        return file.read_text().splitlines() if file.exists() else []

    def killed(self) -> list[str]:
        """Who was killed and lived to tell of by their caller, or by nobody: the owners' own kills are not here."""
        file = self._directory / "killed"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def callers(tmp_path: Path, engine: cl.Engine, busybox_image: Path) -> Iterator[Callers]:
    (image,) = engine.images.load(busybox_image)
    image.tag("box:1")
    command = [sys.executable, "-c", CALLERS, engine.root, "box:1", str(REFUSED)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Callers(process, tmp_path)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


def test_kill_of_owner_supervisor_or_first_process_at_any_step_loses_no_container(
    callers: Callers, engine: cl.Engine, tmp_path: Path
) -> None:
    longest = {"detach": callers.steps("detach")}
    longest |= {operation: callers.steps(operation) for operation in OPERATIONS if operation != "detach"}
    source, owners, done = random.Random(SEED), 0, 0
    while owners + len(callers.killed()) < KILLS:
        orders = [order(source, longest) for _ in range(AT_ONCE)]
        codes = callers.run(*orders)
        assert set(codes) <= {0, REFUSED, -signal.SIGKILL}, (orders, codes)
        owners += codes.count(-signal.SIGKILL)
        done += 1
        with cl.Engine(root=engine.root) as opened:  # to open is to reconcile
            assert {container.name for container in opened.containers.list()} <= set(NAMES), orders
            check_belongings(opened)
    told = callers.killed()
    assert min(owners, told.count("supervisor"), told.count("first process")) > KILLS / 20
    assert done < 4 * KILLS, "the kills came while something was under way"
    assert callers.leaked() == []
    clear(engine)
    with sqlite3.connect(tmp_path / "root/containerlib.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def order(source: random.Random, longest: dict[str, int]) -> tuple[str, str, str, int]:
    operation = source.choice(OPERATIONS)
    return operation, source.choice(NAMES), source.choice(TARGETS), source.randrange(longest[operation])


def clear(engine: cl.Engine) -> None:
    """Every container works or can be started, and then goes without a trace."""
    for container in engine.containers.list():
        if container.state is cl.State.PAUSED:
            container.resume()
        elif container.state is not cl.State.RUNNING:
            container.start()
        assert container.exec("echo", "works").text == "works\n"
        container.remove(force=True)
    check_belongings(engine)
    assert engine.containers.list() == []
    report = engine.prune()
    assert (report.containers, report.directories, report.cgroups, report.failures) == ((), (), (), ())
