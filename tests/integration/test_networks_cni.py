"""Networks that plugins make: Debian's containernetworking-plugins, in a network namespace of the test's own."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

import containerlib as cl
from rig.bundles import until
from rig.cni import Plugins, two
from rig.networks import Machine, interfaces

PLUGINS = "/usr/lib/cni"

pytestmark = [
    pytest.mark.usefixtures("network"),
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
    pytest.mark.skipif(not Path(PLUGINS, "bridge").exists(), reason="needs containernetworking-plugins"),
]


@pytest.fixture
def leases(tmp_path: Path) -> Path:
    """Where host-local keeps what it gave out."""
    return tmp_path / "leases"


@pytest.fixture
def bridge(leases: Path) -> dict[str, Any]:
    return {
        "type": "bridge",
        "bridge": "cni-test0",
        "isGateway": True,
        "ipMasq": False,
        "capabilities": {"ips": True, "mac": True},
        "ipam": {
            "type": "host-local",
            "dataDir": str(leases),
            "ranges": [[{"subnet": "10.88.7.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }


@pytest.fixture
def chain(bridge: dict[str, Any]) -> dict[str, Any]:
    """The bridge, published ports and a sysctl of the container's."""
    return {
        "cniVersion": "1.0.0",
        "name": "lan",
        "plugins": [
            bridge,
            {"type": "portmap", "capabilities": {"portMappings": True}},
            {"type": "tuning", "sysctl": {"net.ipv4.conf.all.log_martians": "1"}},
        ],
    }


def lan(engine: cl.Engine, config: Any, **words: Any) -> cl.NetworkRecipe:
    return engine.network("lan").driver("cni", config=config, path=[PLUGINS], **words)


def given(leases: Path) -> list[str]:
    return sorted(one.name for one in leases.rglob("10.*"))


def test_container_has_what_the_plugins_made(
    engine: cl.Engine, box: cl.ContainerRecipe, chain: dict[str, Any], leases: Path, root: Path
) -> None:
    with lan(engine, chain).create() as network:
        assert network.driver == "cni"
        with box.join(network).start("sleep", "600") as container:
            (address,) = container.inspect().addresses["lan"]
            assert given(leases) == [address]
            assert f"inet {address}/24" in container.exec("ip", "address", "show", "eth0").text
            assert "default via 10.88.7.1" in container.exec("ip", "route").text
            assert container.exec("cat", "/proc/sys/net/ipv4/conf/all/log_martians").text.strip() == "1"
            assert container.exec("ping", "-c", "1", "-W", "5", "10.88.7.1").exit_code == 0
            assert container.exec("ping", "-c", "1", "127.0.0.1").exit_code == 0
            assert address in container.exec("cat", "/etc/hosts").text
            network.check(container)
            network.status()
        assert given(leases) == []
        assert list(Path(engine.root, "netns").glob("*[0-9a-f]")) == []


def test_nothing_of_a_container_is_left_on_the_host(
    engine: cl.Engine, box: cl.ContainerRecipe, chain: dict[str, Any]
) -> None:
    with lan(engine, chain).create() as network:
        box.join(network).run("true")
        assert interfaces() == {"lo", "cni-test0"}  # the plugin's own, which it keeps


def test_containers_know_each_other_by_name(
    engine: cl.Engine, box: cl.ContainerRecipe, chain: dict[str, Any]
) -> None:
    with (
        lan(engine, chain).create() as network,
        box.name("one").join(network, alias="db").start("sleep", "600") as one,
    ):
        (address,) = one.inspect().addresses["lan"]
        said = box.join(network).run("sh", "-c", "nslookup one; nslookup db.; ping -c 1 -W 5 one").text
        assert said.count(address) >= 3


def test_published_port_is_told_to_the_plugins(
    engine: cl.Engine, box: cl.ContainerRecipe, chain: dict[str, Any]
) -> None:
    serve = ("sh", "-c", "while true; do echo hello | nc -l -p 80; done")
    with (
        Machine("198.51.100.2/24", host="198.51.100.1/24") as outside,
        lan(engine, chain).create() as network,
    ):
        subprocess.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)
        with box.join(network).publish(80).start(*serve) as container:
            (port,) = container.ports
            container.wait_for(port=80, timeout=30.0)
            assert outside.run("busybox", "nc", "-w", "5", "198.51.100.1", str(port.host)).stdout == "hello\n"
            with pytest.raises(OSError, match="in use"), socket.socket() as taken:  # nobody else gets it
                taken.bind(("0.0.0.0", port.host))  # noqa: S104
        assert (
            "10.88.7."
            not in subprocess.run(
                ["nft", "list", "ruleset"], capture_output=True, text=True, check=True
            ).stdout
        )


def test_address_and_mac_are_asked_of_the_plugins(
    engine: cl.Engine, box: cl.ContainerRecipe, chain: dict[str, Any]
) -> None:
    with lan(engine, chain).create() as network:
        wanted = box.join(network, address="10.88.7.77", mac="02:42:ac:00:00:77")
        said = wanted.run("ip", "address", "show", "eth0").text
        assert "inet 10.88.7.77/24" in said
        assert "02:42:ac:00:00:77" in said


@pytest.mark.parametrize(
    ("capability", "words"),
    [("ips", {"address": "10.88.7.77"}), ("mac", {"mac": "02:42:ac:00:00:77"}), ("portMappings", {})],
)
def test_what_no_plugin_can_do_is_refused(
    engine: cl.Engine, box: cl.ContainerRecipe, chain: dict[str, Any], capability: str, words: dict[str, str]
) -> None:
    for plugin in chain["plugins"]:
        plugin.get("capabilities", {}).pop(capability, None)
    with lan(engine, chain).create() as network:
        recipe = box.join(network, **words)  # type: ignore[arg-type]
        with pytest.raises(cl.InvalidArgument, match=capability):
            (recipe if words else recipe.publish(80)).run("true")
    assert engine.containers.list() == []


def test_restart_keeps_address_and_namespace(
    engine: cl.Engine, box: cl.ContainerRecipe, chain: dict[str, Any], leases: Path
) -> None:
    ask = ("sh", "-c", "ip address show eth0; nslookup self; sleep 0.1")
    with (
        lan(engine, chain).create() as network,
        box.name("self").join(network).restart("always").start(*ask) as container,
    ):
        until(lambda: container.restart_count >= 2)
        container.stop(0)
        before = container.inspect().addresses["lan"]
        container.start()
        assert container.inspect().addresses["lan"] == before == tuple(given(leases))
        assert "can't find" not in "".join(line.text for line in container.logs())


def test_container_whose_namespace_is_gone_is_connected_anew(
    engine: cl.Engine, box: cl.ContainerRecipe, chain: dict[str, Any], leases: Path
) -> None:
    """As after the machine was started again."""
    with (
        lan(engine, chain).create() as network,
        box.join(network).create("ip", "address", "show", "eth0") as container,
    ):
        container.start()
        container.wait(10.0)
        subprocess.run(["umount", f"{engine.root}/netns/{container.id}"], check=True)
        container.start()
        container.wait(10.0)
        (address,) = container.inspect().addresses["lan"]
        assert given(leases) == [address]
        assert f"inet {address}/24" in "".join(line.text for line in container.logs())


def test_namespace_that_is_gone_is_known_without_check(
    engine: cl.Engine, box: cl.ContainerRecipe, plugins: Plugins
) -> None:
    with (
        two(engine, plugins, disableCheck=True).create() as network,
        box.join(network).create("true") as container,
    ):
        container.start()
        container.wait(10.0)
        container.start()
        container.wait(10.0)
        assert len(plugins.told("ADD")) == 2
        subprocess.run(["umount", f"{engine.root}/netns/{container.id}"], check=True)
        container.start()
        container.wait(10.0)
    assert [one["command"] for one in plugins.told("ADD", "CHECK", "DEL")] == [*["ADD"] * 2, *["DEL"] * 2] * 2


def test_check_tells_of_a_device_that_is_gone(
    engine: cl.Engine, box: cl.ContainerRecipe, chain: dict[str, Any]
) -> None:
    with (
        lan(engine, chain).create() as network,
        box.cap_add("NET_ADMIN").join(network).start("sleep", "600") as container,
    ):
        network.check(container)
        container.exec("ip", "link", "delete", "eth0")
        with pytest.raises(cl.PluginError) as caught:
            network.check(container)
        assert (caught.value.plugin, caught.value.command) == (f"{PLUGINS}/bridge", "CHECK")


def test_running_container_is_put_on_another_network_and_taken_off(
    engine: cl.Engine, box: cl.ContainerRecipe, chain: dict[str, Any], bridge: dict[str, Any], leases: Path
) -> None:
    ipam = {**bridge["ipam"], "ranges": [[{"subnet": "10.88.8.0/24"}]], "routes": []}
    other = {**chain, "name": "other", "plugins": [{**bridge, "bridge": "cni-test1", "ipam": ipam}]}
    with (
        lan(engine, chain).create() as first,
        engine.network("other").driver("cni", config=other, path=[PLUGINS]).create() as second,
        box.join(first).start("sleep", "600") as container,
    ):
        second.connect(container)
        assert "inet 10.88.8." in container.exec("ip", "address", "show", "eth1").text
        assert container.inspect().addresses["other"][0].startswith("10.88.8.")
        second.disconnect(container)
        assert "eth1" not in container.exec("ip", "link").text
        assert container.inspect().networks == ("lan",)
        first.disconnect(container)
        container.stop(0)
        container.start()
        assert container.exec("ls", "/sys/class/net").text.split() == ["lo"]
        first.connect(container)
        assert container.exec("ping", "-c", "1", "-W", "5", container.name).exit_code == 0
    assert given(leases) == []


def test_networks_of_plugins_and_of_ours_are_not_for_one_container(
    engine: cl.Engine, box: cl.ContainerRecipe, chain: dict[str, Any]
) -> None:
    with lan(engine, chain).create() as network, engine.network("own").create() as own:
        with pytest.raises(cl.Unsupported, match="are not for one container"):
            box.join(network).join(own).run("true")
        with box.start("sleep", "600") as container, pytest.raises(cl.Unsupported, match="join"):
            network.connect(container)
        with pytest.raises(cl.Unsupported, match="user namespace"):
            box.join(network).userns("auto").run("true")


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0"])
def test_configuration_is_read_from_a_file(
    engine: cl.Engine, box: cl.ContainerRecipe, chain: dict[str, Any], tmp_path: Path, version: str
) -> None:
    place = tmp_path / "10-lan.conflist"
    place.write_text(json.dumps({**chain, "cniVersion": version}))
    with lan(engine, place).create() as network:
        place.unlink()  # what it says is known
        assert "inet 10.88.7." in box.join(network).run("ip", "address").text


def test_newest_version_that_all_plugins_speak_is_taken(engine: cl.Engine, chain: dict[str, Any]) -> None:
    with lan(engine, {**chain, "cniVersions": ["0.4.0", "1.0.0", "1.1.0", "2.0.0"]}).create() as network:
        assert network.record.settings["version"] == "1.0.0"
    with pytest.raises(
        cl.Unsupported, match=r"of CNI 1\.1\.0, which not all of its plugins speak \(bridge: "
    ):
        lan(engine, {**chain, "cniVersion": "1.1.0"}).create()
    assert engine.networks.list() == []


def test_container_that_its_supervisor_removed_is_taken_back_by_the_next_engine(
    engine: cl.Engine, box: cl.ContainerRecipe, chain: dict[str, Any], leases: Path
) -> None:
    network = lan(engine, chain).create()
    container = box.join(network).start("sleep", "0.2", detach=True, remove=True)
    until(lambda: not Path(engine.root, "containers", container.id).exists())
    with cl.Engine(engine.root) as other:
        assert other.containers.list() == []
        assert given(leases) == []
        assert interfaces() == {"lo", "cni-test0"}
    network.remove()
