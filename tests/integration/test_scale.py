"""Many containers: what they cost does not add up, and what they were leaves nothing."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest

import containerlib as cl
from rig.belongings import check_belongings, supervisors

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

SUPERVISOR_BYTES = 150 * 1024
RSS_SLACK = 5 << 20

THOUSAND = """
import json, os, sys, threading
from concurrent.futures import ThreadPoolExecutor
import containerlib as cl

root, layout = sys.argv[1:]

def used():
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    with open("/proc/self/mountinfo") as file:
        mounts = len(file.readlines())
    return {
        "rss": resident,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "mounts": mounts,
    }

def life(number):
    with box.create("echo", str(number)) as container:
        container.start()
        assert container.wait(60.0).exit_code == 0
        assert [record.text for record in container.logs()] == [str(number)]

with cl.Engine(root=root) as engine:
    (image,) = engine.images.load(layout)
    box = engine.container(image)
    with ThreadPoolExecutor(8) as pool:
        seen = []
        for until in range(200, 1001, 200):
            list(pool.map(life, range(until - 200, until)))
            seen.append(used())
        print(json.dumps(seen), flush=True)
"""


def test_thousand_containers_by_eight_threads_leak_nothing(busybox_image: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", THOUSAND, str(tmp_path / "root"), str(busybox_image)]
    with Popen(command, stdout=PIPE, text=True) as process:
        output = process.communicate()[0]
    assert process.returncode == 0
    after_200, *_, last = json.loads(output)
    assert last["rss"] - after_200["rss"] < RSS_SLACK
    for name in ("descriptors", "threads", "mounts"):
        assert last[name] == after_200[name], name
    with cl.Engine(root=tmp_path / "root") as engine:
        assert engine.containers.list() == []
        check_belongings(engine)


@pytest.fixture
def fleet(engine: cl.Engine, box: cl.ContainerRecipe) -> Iterator[Callable[[int], list[cl.Container]]]:
    """Starts so many detached containers, and removes them at the end."""

    def start(count: int) -> list[cl.Container]:
        def one(number: int) -> cl.Container:
            argv = ("sh", "-c", f"echo {number}; echo ready; exec sleep 1000")
            return box.name(f"n{number}").start(*argv, detach=True)

        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(one, range(count)))

    yield start
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda container: container.remove(force=True), engine.containers.list()))


@pytest.mark.slow
def test_five_hundred_containers_alive_are_listed_logged_and_small(
    engine: cl.Engine, fleet: Callable[[int], list[cl.Container]], left_nothing: Callable[[], None]
) -> None:
    started = fleet(500)
    for container in started:
        container.wait_for(log="ready", timeout=60.0)
    listed = engine.containers.list()
    assert {container.id for container in listed} == {container.id for container in started}
    assert {container.state for container in listed} == {cl.State.RUNNING}
    for number, container in enumerate(started):
        assert [record.text for record in container.logs()] == [str(number), "ready"]
        assert engine.containers.get(f"n{number}") == container
    sizes = [proportional_set_size(pid) for _, pid in supervisors(engine)]
    assert len(sizes) == 500
    assert max(sizes) <= SUPERVISOR_BYTES
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda container: container.remove(force=True), started))
    check_events(engine, started)
    left_nothing()


def check_events(engine: cl.Engine, containers: Sequence[cl.Container]) -> None:
    """Each has its whole life among them, in order, and nothing else."""
    lives: dict[str, list[str]] = {container.id: [] for container in containers}
    events = list(engine.events(kinds=["container"]))
    assert sorted({event.id for event in events}) == [event.id for event in events]
    for event in events:
        lives[event.subject].append(event.action)
        if event.action == "die":
            assert event.attributes["exit_code"] == "137"
    assert {tuple(actions) for actions in lives.values()} == {("create", "start", "die", "remove")}
    assert {event.subject: event.name for event in events} == {each.id: each.name for each in containers}


def test_state_of_a_container_is_asked_in_few_calls(
    engine: cl.Engine, fleet: Callable[[int], list[cl.Container]]
) -> None:
    fleet(10)
    containers = engine.containers.list()
    assert calls_of("posix", lambda: [container.state for container in containers]) <= 10 * 12


def calls_of(module: str, function: Callable[[], object]) -> int:
    """How often Python calls what C has in `module`: about its system calls."""
    seen: Counter[str] = Counter()

    def count(_frame: object, event: str, argument: Any) -> None:
        if event == "c_call":
            seen[getattr(argument, "__module__", "") or ""] += 1

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return seen[module]


def proportional_set_size(pid: int) -> int:
    """Bytes. Spec: proc_pid_smaps(5)"""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition("\nPss:")[2].split()[0]) * 1024
