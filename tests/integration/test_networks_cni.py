"""Networks that plugins make: Debian's containernetworking-plugins, in a network namespace of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import containerlib as cl
from rig.networks import own_network

PLUGINS = "/usr/lib/cni"

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
    pytest.mark.skipif(not Path(PLUGINS, "bridge").exists(), reason="needs containernetworking-plugins"),
]


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    with own_network():
        yield


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
