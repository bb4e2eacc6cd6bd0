"""Many containers on one network, by many processes: nobody has another's address, and everybody another's name."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

import containerlib as cl
from rig.bundles import until
from rig.networks import elements, interfaces

pytestmark = [
    pytest.mark.usefixtures("network"),
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
]

PROCESSES, THREADS = 4, 4
ROUNDS = int(os.environ.get("CONTAINERLIB_ADDRESS_ROUNDS", "5"))
"""Of 16 starts at once: 50 find what is rarer."""
MANY = 60

# For each line of input, starts so many containers at once and prints their addresses; the next line removes them.
STARTERS = f"""
import sys
from concurrent.futures import ThreadPoolExecutor

def start(_):
    container = recipe.start("sleep", "600")
    return container, container.exec("ip", "-4", "-o", "address", "show", "dev", "eth0").text.split()[3]

recipe = engine.container(engine.images.list()[0]).join("small")
with ThreadPoolExecutor({THREADS}) as pool:
    for line in sys.stdin:
        started = list(pool.map(start, range({THREADS})))
        print(*(address for _, address in started), flush=True)
        sys.stdin.readline()
        list(pool.map(lambda pair: pair[0].remove(force=True), started))
        print(flush=True)
engine.close()
"""

Script = Callable[[str], "subprocess.Popen[str]"]


def say(processes: list[subprocess.Popen[str]]) -> list[str]:
    """A line to each, and then their answers."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("next\n")
        process.stdin.flush()
    return [process.stdout.readline() for process in processes if process.stdout is not None]


@pytest.mark.timeout(60 + 20 * ROUNDS)
def test_parallel_starts_of_several_processes_share_no_address(
    engine: cl.Engine, box: cl.ContainerRecipe, script: Script
) -> None:
    """Of 29 addresses, so that most of those that begin at the same one find it taken."""
    del box
    with engine.network("small").subnet("172.31.99.0/27").create(), ExitStack() as stack:
        processes = [stack.enter_context(script(STARTERS)) for _ in range(PROCESSES)]
        for _ in range(ROUNDS):
            addresses = Counter(address for line in say(processes) for address in line.split())
            assert (addresses.total(), len(addresses)) == (PROCESSES * THREADS, PROCESSES * THREADS), (
                addresses
            )
            say(processes)
        for process in processes:
            process.communicate(timeout=60)
            assert process.returncode == 0


def test_addresses_of_a_process_that_is_killed_before_its_start_are_free_again(
    engine: cl.Engine, box: cl.ContainerRecipe, script: Script
) -> None:
    with engine.network("small").subnet("172.31.99.0/29").create() as small:
        victim = script("""
            recipe = engine.container(engine.images.list()[0]).join("small")
            made = [recipe.create("true") for _ in range(5)]
            print(flush=True)
            input()
        """)
        with victim:
            assert victim.stdout is not None
            victim.stdout.readline()
            with pytest.raises(cl.Conflict, match="every address"):
                box.join(small).create("true")
            victim.send_signal(signal.SIGKILL)
        with cl.Engine(engine.root) as other, ExitStack() as stack:
            recipe = other.container(other.images.list()[0]).join("small")
            started = [stack.enter_context(recipe.start("sleep", "600")) for _ in range(5)]
            assert len(started) == 5


def test_start_that_finds_no_address_leaves_nothing(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("wide").create() as wide, engine.network("small").subnet("172.31.99.0/29").create():
        recipe = box.join(wide).join("small").publish(80)
        with ExitStack() as stack:
            for _ in range(5):
                stack.enter_context(recipe.start("sleep", "600"))
            before = (
                interfaces(),
                elements("any4"),
                {one.id for one in engine.containers.list()},
                set(Path(engine.root, "containers").iterdir()),
                set(Path(engine.core.names.directory).iterdir()),
            )
            with pytest.raises(cl.Conflict, match=r"every address of 172\.31\.99\.0/29"):
                recipe.start("sleep", "600")
            assert before == (
                interfaces(),
                elements("any4"),
                {one.id for one in engine.containers.list()},
                set(Path(engine.root, "containers").iterdir()),
                set(Path(engine.core.names.directory).iterdir()),
            )
            stack.close()
            recipe.run("true")


def test_many_containers_find_each_other_by_name(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    """Each the next one, and the first and the last all of them."""
    with engine.network("wide").create() as wide, ExitStack() as stack:
        names = [f"box{number}" for number in range(MANY)]

        def start(name: str) -> tuple[cl.Container, str]:
            container = box.join(wide).name(name).stop_timeout(0).start("sleep", "600")
            shown = container.exec("ip", "-4", "-o", "address", "show", "dev", "eth0").text
            return container, shown.split()[3].partition("/")[0]

        with ThreadPoolExecutor(THREADS) as pool:
            started = list(pool.map(start, names))
            stack.callback(lambda: [one.remove(force=True) for one, _ in started])
            addresses = dict(zip(names, (address for _, address in started), strict=True))
            assert len(set(addresses.values())) == MANY

            def ask(number: int) -> dict[str, str]:
                container, _ = started[number]
                asked = names if number in (0, MANY - 1) else [names[(number + 1) % MANY]]
                loop = "for name; do nslookup -type=a $name | sed -n 's/^Address: //p'; done"
                said = container.exec("sh", "-c", loop, "sh", *asked, timeout=60).text.split()
                return dict(zip(asked, said, strict=True))

            for found in pool.map(ask, range(MANY)):
                assert found.items() <= addresses.items()
    until(lambda: interfaces() == {"lo"})
