"""What cannot be had of a network, and what others do to it meanwhile: errors that say so, and nothing left behind."""

from __future__ import annotations

import concurrent.futures
import random
import signal
import subprocess
import time
from collections.abc import Callable
from subprocess import Popen

import pytest

import containerlib as cl
from rig.bundles import until
from rig.networks import elements, interfaces

pytestmark = [
    pytest.mark.usefixtures("network"),
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
]

ROUNDS = 40
SEED = 6
SETS = {
    "inet": ("bridges", "internal", "own", "ports4", "ports6", "any4", "any6", "self4", "self6"),
    "bridge": ("macs", "sources4", "sources6"),
}
WORK = """
print("go", flush=True)
while True:
    lan = engine.network("lan").ipv6().create()
    with box.join(lan).publish(80).publish(53, protocol="udp").start("sleep", "600"):
        box.join(lan).run("true")
    box.name("kept").join(lan).publish(81, host=8081).start("sleep", "600", detach=True)
    engine.containers.get("kept").remove(force=True)
    lan.remove()
"""


def left_in_the_filter() -> dict[str, str]:
    found = {}
    for family, names in SETS.items():
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
        if f"table {family} containerlib\n" in tables:
            found |= {name: held for name in names if (held := elements(name, family))}
    return found


@pytest.mark.slow
def test_kill_of_a_starting_process_leaves_nothing_of_its_networks(
    engine: cl.Engine, script: Callable[[str], Popen[str]]
) -> None:
    seeded = random.Random(SEED)
    for round_ in range(ROUNDS):
        with script(WORK) as worker:
            assert worker.stdout is not None
            worker.stdout.readline()
            time.sleep(seeded.uniform(0, 0.5))
            worker.send_signal(signal.SIGKILL)
        with cl.Engine(engine.root) as next_one:
            assert next_one.prune().failures == (), round_
            for container in next_one.containers.list():
                assert container.name == "kept", round_
                container.remove(force=True)
            assert engine.core.store.database.query("SELECT * FROM addresses") == [], round_
            for lan in next_one.networks.list():
                lan.remove()
        until(lambda: interfaces() == {"lo"})
        until(lambda: left_in_the_filter() == {})
    with engine.network("lan").create() as lan:
        assert engine.container(engine.host_image()).join(lan).run("echo", "works").text == "works\n"


def test_bridge_whose_maker_was_killed_half_way_is_made_whole(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with engine.network("lan").subnet("10.9.0.0/24").create() as lan:
        device = f"cl-{lan.id[:12]}"
        subprocess.run(["ip", "link", "add", device, "up", "type", "bridge"], check=True)
        assert box.join(lan).run("ping", "-c", "1", "-W", "5", "10.9.0.1").exit_code == 0


def test_bridge_that_somebody_has_deleted_is_made_again(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("lan").subnet("10.9.0.0/24").create() as lan:
        box.join(lan).run("true")
        subprocess.run(["ip", "link", "delete", f"cl-{lan.id[:12]}"], check=True)
        assert box.join(lan).run("ping", "-c", "1", "-W", "5", "10.9.0.1").exit_code == 0


def test_network_that_is_removed_while_containers_come_is_missed_by_name(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    def come() -> str:
        try:
            box.join("lan").run("true")
        except cl.NotFound as error:
            return str(error)
        return ""

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            lan = engine.network("lan").create()
            coming = [pool.submit(come) for _ in range(2)]
            while True:
                try:
                    lan.remove()
                    break
                except cl.Conflict:
                    time.sleep(0.001)
            missed = {f"there is no network '{name}'" for name in ("lan", lan.id)}
            assert {one.result().partition(":")[0] for one in coming} <= {"", *missed}
    assert engine.containers.list() == []
    until(lambda: interfaces() == {"lo"})
    assert left_in_the_filter() == {}


def test_pools_that_are_exhausted_are_named(engine: cl.Engine) -> None:
    with (
        engine.network("one").subnet("172.16.0.0/12").create(),
        engine.network("two").subnet("192.168.0.0/16").create(),
        pytest.raises(cl.Conflict, match=r"every subnet of 172\.16\.0\.0/12, 192\.168\.0\.0/16"),
    ):
        engine.network("three").create()
    assert engine.networks.list() == []


@pytest.mark.parametrize("address", ["10.9.0.0", "10.9.0.255", "10.9.0.1", "10.9.1.1"])
def test_address_that_is_no_machines_is_refused(
    engine: cl.Engine, box: cl.ContainerRecipe, address: str
) -> None:
    with engine.network("lan").subnet("10.9.0.0/24").create() as lan:
        with pytest.raises(cl.InvalidArgument, match=f"{address} is no address for a container"):
            box.join(lan, address=address).run("true")
        assert engine.containers.list() == []


def test_address_and_mac_of_another_are_refused(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("lan").subnet("10.9.0.0/24").create() as lan:
        with box.join(lan, address="10.9.0.7", mac="02:42:ac:00:00:07").start("sleep", "600"):
            with pytest.raises(cl.Conflict, match=r"10\.9\.0\.7 is another container's"):
                box.join(lan, address="10.9.0.7").run("true")
            with pytest.raises(cl.Conflict, match="02:42:ac:00:00:07 is another container's"):
                box.join(lan, mac="02:42:ac:00:00:07").run("true")
            with pytest.raises(cl.AlreadyExists):
                box.join(lan).join(lan).run("true")
            assert len(engine.containers.list()) == 1


def test_foreign_device_of_a_bridges_name_is_an_error(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("lan").create() as lan:
        device = f"cl-{lan.id[:12]}"
        subprocess.run(["ip", "link", "add", device, "type", "veth", "peer", "name", "x"], check=True)
        with pytest.raises(cl.StageError, match="network"):
            box.join(lan).run("true")
        assert engine.containers.list() == []
        subprocess.run(["ip", "link", "delete", device], check=True)
        box.join(lan).run("true")


def test_container_on_many_networks(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    """Names of devices have 15 bytes."""
    recipe = box
    networks = [engine.network(f"lan{number}").create() for number in range(18)]
    for one in networks:
        recipe = recipe.join(one)
    assert len(recipe.run("ls", "/sys/class/net").text.split()) == 19
    for one in networks:
        one.remove()
    until(lambda: interfaces() == {"lo"})
    assert left_in_the_filter() == {}
