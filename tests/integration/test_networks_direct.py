"""Containers on the wire of a device of the host's: macvlan, and ipvlan where the kernel has it."""

from __future__ import annotations

import subprocess

import pytest

import containerlib as cl
from rig.bundles import until
from rig.networks import Machine, interfaces

pytestmark = [
    pytest.mark.usefixtures("network"),
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
]


@pytest.fixture
def wire(outside: Machine) -> str:
    """The host's device that leads to the other machine."""
    (name,) = interfaces() - {"lo"}
    return name


def has(driver: str) -> bool:
    """Without a parent, which is the second thing that the kernel asks for."""
    done = subprocess.run(
        ["ip", "link", "add", "x", "type", driver], capture_output=True, text=True, check=False
    )
    return "Unknown device type" not in done.stderr


def lan(engine: cl.Engine, driver: str, parent: str, mode: str | None = None) -> cl.NetworkRecipe:
    if not has(driver):
        pytest.skip(f"this kernel has no {driver}")
    recipe = engine.network("lan").subnet("198.51.100.0/24", gateway="198.51.100.2")
    return recipe.driver(driver, parent=parent, mode=mode)  # type: ignore[arg-type]


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_container_is_on_the_wire_of_the_host(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine, wire: str, driver: str
) -> None:
    before = interfaces()
    with lan(engine, driver, wire).create() as network:
        assert network.driver == driver
        one, other = box.join(network, address="198.51.100.10"), box.join(network, address="198.51.100.11")
        with one.start("sleep", "600"), other.start("sleep", "600") as container:
            for there in ("198.51.100.2", "198.51.100.10"):
                assert container.exec("ping", "-c", "1", "-W", "5", there).exit_code == 0
            assert outside.run("busybox", "ping", "-c", "1", "-W", "5", "198.51.100.11").returncode == 0
            assert "default via 198.51.100.2" in container.exec("ip", "route").text
            assert interfaces() == before  # nothing of it is in the host's namespace
    until(lambda: interfaces() == before)


def test_mac_and_mode_are_those_that_were_asked_for(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine, wire: str
) -> None:
    """In private mode containers hear the wire, but not each other."""
    with lan(engine, "macvlan", wire, "private").create() as network:
        first = box.join(network, address="198.51.100.10", mac="02:42:ac:00:00:10")
        with first.start("sleep", "600") as one, box.join(network).start("sleep", "600") as other:
            assert "02:42:ac:00:00:10" in one.exec("ip", "link", "show", "eth0").text
            assert one.exec("ping", "-c", "1", "-W", "5", "198.51.100.2").exit_code == 0
            assert other.exec("ping", "-c", "1", "-W", "1", "198.51.100.10", check=False).exit_code == 1


def test_container_that_is_started_again_is_on_the_wire(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine, wire: str
) -> None:
    with lan(engine, "macvlan", wire).create() as network:
        with (
            box.join(network)
            .restart("always")
            .start("ping", "-c", "1", "-W", "5", "198.51.100.2") as container
        ):
            until(lambda: container.restart_count >= 2)
            assert "1 packets received" in "".join(line.text for line in container.logs())


def test_running_container_is_put_on_the_wire_and_taken_off(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine, wire: str
) -> None:
    with lan(engine, "macvlan", wire).create() as network, box.start("sleep", "600") as container:
        network.connect(container)
        with cl.Engine(engine.root):  # which looks for what lacks a connection
            assert container.exec("ping", "-c", "1", "-W", "5", "198.51.100.2").exit_code == 0
        network.disconnect(container)
        assert container.exec("ls", "/sys/class/net").text.split() == ["lo"]


def test_parent_of_another_mtu_is_followed(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine, wire: str
) -> None:
    subprocess.run(["ip", "link", "set", wire, "mtu", "1300"], check=True)
    with lan(engine, "macvlan", wire).create() as network:
        assert "mtu 1300" in box.join(network).run("ip", "link", "show", "eth0").text


def test_kernel_without_the_driver_refuses_the_network(engine: cl.Engine) -> None:
    if has("ipvlan"):
        pytest.skip("this kernel has ipvlan")
    with pytest.raises(cl.Unsupported, match="this kernel has no ipvlan"):
        engine.network("lan").driver("ipvlan", parent="lo").create()
    assert engine.networks.list() == []


def test_parent_that_is_not_there_is_refused(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine, wire: str
) -> None:
    with pytest.raises(cl.InvalidArgument, match="no network device 'nothing0'"):
        lan(engine, "macvlan", "nothing0").create()
    with lan(engine, "macvlan", wire).create() as network:
        subprocess.run(["ip", "link", "delete", wire], check=True)
        with pytest.raises(cl.StageError, match=f"network device {wire}: ENODEV"):
            box.join(network).run("true")
        assert engine.containers.list() == []


def test_ports_of_a_container_on_the_wire_are_not_published(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine, wire: str
) -> None:
    with lan(engine, "macvlan", wire).create() as network:
        with pytest.raises(cl.InvalidArgument, match="its ports are not published"):
            box.join(network).publish(80).run("true")


def test_anti_spoofing_is_for_bridges(engine: cl.Engine, outside: Machine, wire: str) -> None:
    with pytest.raises(cl.Unsupported, match="macvlan has no anti_spoofing"):
        lan(engine, "macvlan", wire).anti_spoofing().create()
