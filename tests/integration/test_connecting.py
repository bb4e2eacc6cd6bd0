"""Containers that exist are connected to networks and disconnected, at once where they run."""

from __future__ import annotations

import ipaddress
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import containerlib as cl
from rig.bundles import until
from rig.lifetime import shim_of
from rig.networks import Machine, elements, interfaces

pytestmark = [
    pytest.mark.usefixtures("network"),
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
]


def devices(container: cl.Container) -> dict[str, list[str]]:
    """Addresses that are not of a link alone, by the device."""
    found: dict[str, list[str]] = {}
    for line in container.exec("ip", "-o", "address").text.splitlines():
        _, device, _, address, *_ = line.split()
        found.setdefault(device, [])
        if "scope global" in line:
            found[device].append(address.partition("/")[0])
    return found


def address(network: cl.Network, number: int) -> str:
    return str(ipaddress.ip_network(network.subnets[0])[number])


def gateway(container: cl.Container) -> list[str]:
    lines = container.exec("ip", "route").text.splitlines()
    return [line.split()[2] for line in lines if line.startswith("default")]


def answers(client: cl.Container, address: str) -> bool:
    return client.exec("ping", "-c", "1", "-W", "2", address, check=False).exit_code == 0


def test_running_container_is_connected_and_disconnected(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("front").create() as front, engine.network("back").ipv6().create() as back:
        with (
            box.join(front).name("web").start("sleep", "600") as web,
            box.join(back).name("db").start("sleep", "600") as db,
        ):
            (there,) = [one for one in devices(db)["eth0"] if "." in one]
            assert not answers(web, there)
            back.connect(web, alias="site")
            assert sorted(devices(web)) == ["eth0", "eth1", "lo"]
            assert len(devices(web)["eth1"]) == 2
            assert answers(web, there)
            assert answers(web, "db")
            assert answers(db, "site")
            assert web.inspect().networks == ("front", "back")
            assert gateway(web) == [address(front, 1)]
            with pytest.raises(cl.AlreadyExists, match="already"):
                back.connect(web)
            back.disconnect(web)
            until(lambda: sorted(devices(web)) == ["eth0", "lo"])
            assert not answers(web, there)
            assert db.exec("nslookup", "site", check=False).exit_code
            assert web.inspect().networks == ("front",)
            with pytest.raises(cl.NotFound, match=r"web.* is not on the network 'back'"):
                back.disconnect("web")
            actions = [
                (event.action, event.attributes["container"])
                for event in engine.events(kinds=["network"], follow=False)
                if event.action in ("connect", "disconnect")
            ]
            assert actions == [("connect", web.id), ("disconnect", web.id)]


def test_what_is_connected_stays_so_in_the_next_runs(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    """Also where its supervisor starts it again, and nobody else is alive."""
    with engine.network("one").create() as one, engine.network("two").create() as two:
        with box.join(one).restart("always").start("sleep", "600") as container:
            two.connect(container, address=address(two, 9))
            for step in ("supervisor", "engine"):
                if step == "supervisor":
                    before = container.inspect().pid
                    os.kill(before or 0, signal.SIGKILL)
                    until(lambda before=before: container.inspect().pid not in (before, None))
                else:
                    container.stop(0)
                    container.start()
                assert devices(container)["eth1"] == [address(two, 9)]
            one.disconnect(container)
            before = container.inspect().pid
            os.kill(before or 0, signal.SIGKILL)
            until(lambda: container.inspect().pid not in (before, None))
            until(lambda: sorted(devices(container)) == ["eth1", "lo"])
            assert gateway(container) == [address(two, 1)]


def test_route_to_everywhere_leads_through_the_first_network_that_leads_out(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with (
        engine.network("inner").internal().create() as inner,
        engine.network("one").create() as one,
        engine.network("two").create() as two,
        Machine("198.51.100.2/24", host="198.51.100.1/24"),
        box.join(inner).start("sleep", "600") as container,
    ):
        assert gateway(container) == []
        assert not answers(container, "198.51.100.2")
        one.connect(container)
        two.connect(container)
        assert gateway(container) == [address(one, 1)]
        assert answers(container, "198.51.100.2")
        one.disconnect(container)
        assert gateway(container) == [address(two, 1)]
        assert answers(container, "198.51.100.2")
        two.disconnect(container)
        assert gateway(container) == []


def test_container_without_a_network_gets_one_and_its_resolver(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with engine.network("back").create() as back, box.join(back).name("db").start("sleep", "600") as db:
        with box.start("sleep", "600") as container, box.create("sleep", "600") as later:
            for one in (container, later):
                back.connect(one)
            later.start()
            for one in (container, later):
                assert answers(one, "db")
                assert answers(db, one.name)
                assert one.exec("cat", "/etc/resolv.conf").text.splitlines()[0] == "nameserver 127.0.0.11"
                back.disconnect(one)
                until(lambda one=one: sorted(devices(one)) == ["lo"])
                back.connect(one)
                assert answers(one, "db")


def test_stopped_container_is_connected_at_its_next_start(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("one").create() as one, engine.network("two").create() as two:
        with box.join(one).start("sleep", "600") as container:
            container.stop(0)
            two.connect(container)
            one.disconnect(container)
            container.start()
            until(lambda: sorted(devices(container)) == ["eth1", "lo"])


def test_published_ports_go_with_their_network(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with (
        engine.network("one").create() as one,
        box.join(one).publish(80, host=8080).start("sleep", "600") as container,
    ):
        assert "8080" in elements("any4")
        one.disconnect(container)
        assert not elements("any4")
        assert container.ports == ()
        until(lambda: interfaces() == {"lo", f"cl-{one.id[:12]}"})


def test_connection_that_fails_leaves_nothing(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("one").create() as one, engine.network("two").create() as two:
        with box.cap_add("NET_ADMIN").join(one).name("web").start("sleep", "600") as container:
            container.exec("ip", "link", "add", "eth1", "type", "bridge")
            before = interfaces()
            with pytest.raises(cl.StageError, match="eth1"):
                two.connect(container)
            assert container.inspect().networks == ("one",)
            assert interfaces() == before | {f"cl-{two.id[:12]}"}
            assert "web" not in Path(engine.core.names.directory, two.id).read_text()
            taken = address(two, 1)
            with pytest.raises(cl.InvalidArgument, match="no address for a container"):
                two.connect(container, address=taken)
            with pytest.raises(cl.NotFound, match="no network"):
                engine.networks.get("three").connect(container)
            container.exec("ip", "link", "del", "eth1")
            two.connect(container)
            assert sorted(devices(container)) == ["eth0", "eth1", "lo"]


def test_network_of_another_is_not_connected(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("one").create() as one, box.start("sleep", "600") as other:
        for recipe in (box.network("host"), box.network(other)):
            with (
                recipe.start("sleep", "600") as container,
                pytest.raises(cl.Conflict, match="connect that one"),
            ):
                one.connect(container)


def test_container_whose_supervisor_was_killed_is_disconnected(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with engine.network("one").create() as one, box.join(one).start("sleep", "600") as container:
        os.kill(shim_of(container), signal.SIGKILL)
        until(lambda: container.inspect().pid is None)
        one.disconnect(container)
        assert container.inspect().networks == ()


KILLED = """
import os, signal, sys
import containerlib as cl
from containerlib.engine import connecting
engine = cl.Engine(sys.argv[1])
step, verb = sys.argv[2:4]
before = getattr(connecting, step)
def killed(*args, **kwargs):
    if sys.argv[4] == "after":
        before(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(connecting, step, killed)
getattr(engine.networks.get("back"), verb)("web")
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["occupy", "relink", "_vacate"])
def test_who_is_killed_on_the_way_leaves_a_container_as_the_database_says(
    engine: cl.Engine, box: cl.ContainerRecipe, step: str, when: str
) -> None:
    verb = "disconnect" if step == "_vacate" else "connect"
    with engine.network("front").create() as front, engine.network("back").create() as back:
        with box.join(front).name("web").start("sleep", "600") as web:
            if verb == "disconnect":
                back.connect(web)
            arguments = [str(engine.root), step, verb, when]
            done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False, timeout=60)
            assert done.returncode == -signal.SIGKILL
            engine.reconcile()
            connected = web.inspect().networks
            assert ("eth1" in devices(web)) is ("back" in connected)
            assert (connected == ("front",)) is ((step, when) in {("occupy", "before"), ("_vacate", "after")})
            if "back" in connected:
                assert answers(web, "web.back")
                back.disconnect(web)
            until(lambda: sorted(devices(web)) == ["eth0", "lo"])
