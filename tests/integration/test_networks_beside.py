"""The host's own packet filter beside ours: neither is in the other's way, but for what the host drops."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from rig.bundles import until
from rig.networks import Machine, elements, own_network

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

BRIDGED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
SERVE = ("sh", "-c", "while true; do echo well | nc -l -p 80; done")

DROPPING = """
table ip filter {
    chain INPUT { type filter hook input priority filter; policy accept; }
    chain FORWARD { type filter hook forward priority filter; policy drop; counter; }
}
"""

# Like what dockerd makes by the iptables that speaks to nftables, and what netavark and firewalld make
ACCEPTING = """
table ip filter {
    chain DOCKER { iifname != "docker0" oifname "docker0" ip daddr 172.17.0.2 tcp dport 80 counter accept; }
    chain DOCKER-ISOLATION-STAGE-2 { oifname "docker0" counter drop; counter return; }
    chain DOCKER-ISOLATION-STAGE-1 {
        iifname "docker0" oifname != "docker0" counter jump DOCKER-ISOLATION-STAGE-2;
        counter return;
    }
    chain DOCKER-USER { counter return; }
    chain FORWARD {
        type filter hook forward priority filter; policy accept;
        counter jump DOCKER-USER;
        counter jump DOCKER-ISOLATION-STAGE-1;
        oifname "docker0" ct state related,established counter accept;
        oifname "docker0" counter jump DOCKER;
        iifname "docker0" oifname != "docker0" counter accept;
    }
}
table ip nat {
    chain DOCKER {
        iifname "docker0" counter return;
        iifname != "docker0" tcp dport 8081 counter dnat to 172.17.0.2:80;
    }
    chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local counter jump DOCKER; }
    chain OUTPUT {
        type nat hook output priority -100;
        ip daddr != 127.0.0.0/8 fib daddr type local counter jump DOCKER;
    }
    chain POSTROUTING {
        type nat hook postrouting priority srcnat;
        oifname != "docker0" ip saddr 172.17.0.0/16 counter masquerade;
    }
}
table inet netavark {
    chain FORWARD {
        type filter hook forward priority filter; policy accept;
        ip daddr 10.88.0.0/16 ct state related,established accept;
        ip saddr 10.88.0.0/16 accept;
    }
}
table inet firewalld {
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept;
        ct status dnat accept;
        iifname "lo" accept;
        oifname "docker0" reject with icmpx admin-prohibited;
    }
    chain nat_POSTROUTING { type nat hook postrouting priority srcnat + 10; policy accept; }
}
"""


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    if shutil.which("nft") is None:
        pytest.skip("no nft: install nftables")
    with own_network():
        yield


def nft(*words: str, text: str = "") -> str:
    return subprocess.run(["nft", *words], input=text, capture_output=True, text=True, check=True).stdout


def others() -> list[str]:
    """The host's tables without their counters' values."""
    names = [line.split()[1:] for line in nft("list", "tables").splitlines()]
    return [nft("--stateless", "list", "table", *name) for name in names if name[1] != "containerlib"]


def ours() -> list[str]:
    """Every word of our tables, elements in any order."""
    tables = [nft("list", "table", family, "containerlib") for family in ("inet", "bridge")]
    return sorted("".join(tables).replace(",", " ").split())


def published(outside: Machine, seconds: float = 10.0) -> None:
    until(lambda: said(outside) == "well\n", seconds)


def said(outside: Machine) -> str:
    return outside.run("busybox", "nc", "-w", "2", "198.51.100.1", "8080").stdout


def reaches(container: cl.Container, address: str) -> bool:
    return container.exec("ping", "-c", "1", "-W", "1", address, check=False).exit_code == 0


def address_of(container: cl.Container) -> str:
    return container.exec("ip", "-4", "-o", "address", "show", "eth0").text.split()[3].partition("/")[0]


def test_rules_that_accept_stay_as_they_are_and_ours_work_beside_them(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine
) -> None:
    if BRIDGED.exists():
        BRIDGED.write_text("1")
    nft("-f", "-", text=ACCEPTING)
    before = others()
    assert len(before) == 4
    with engine.network("other").create() as other, box.join(other).start("sleep", "600") as stranger:
        with box.publish(80, host=8080).start(*SERVE) as server:
            published(outside)
            assert reaches(server, "198.51.100.2")
            assert not reaches(stranger, address_of(server))
            assert others() == before
        assert others() == before
    assert others() == before


def test_what_the_host_drops_stays_dropped(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine
) -> None:
    """A packet that one table accepts goes on to the next: no rule of ours could let it through."""
    nft("-f", "-", text=DROPPING)
    before = others()
    with (
        box.publish(80, host=8080).start(*SERVE) as server,
        box.join("bridge").start("sleep", "600") as client,
    ):
        if BRIDGED.exists():  # else a packet from container to container is forwarded as well
            BRIDGED.write_text("0")
        assert reaches(client, address_of(server))
        assert not reaches(server, "198.51.100.2")
        assert not said(outside)
        assert others() == before
        nft("add", "rule", "ip", "filter", "FORWARD", "accept")  # as docs say: the host's to allow
        published(outside)
        assert reaches(server, "198.51.100.2")
    del engine


@pytest.mark.parametrize("by", ["start", "connect", "reconcile"])
@pytest.mark.parametrize("emptied", ["flush ruleset", "delete table bridge containerlib"])
def test_rules_that_the_host_flushed_are_there_again(
    engine: cl.Engine, box: cl.ContainerRecipe, outside: Machine, emptied: str, by: str
) -> None:
    """For all that runs: its ports, that nobody reaches it from outside or from another network, and who it is."""
    with (
        engine.network("inner").internal().create() as inner,
        engine.network("other").create() as other,
        box.join(inner).start("sleep", "600"),
        box.join(other).start("sleep", "600") as stranger,
        box.publish(80, host=8080).start(*SERVE) as server,
    ):
        before = ours()
        nft(*emptied.split())
        if by == "start":
            box.join(other).run("true")
        elif by == "connect":
            inner.connect(stranger)
            inner.disconnect(stranger)
        else:
            engine.reconcile()
        until(lambda: ours() == before)
        published(outside)
        assert reaches(server, "198.51.100.2")
        assert not outside.run("busybox", "nc", "-w", "1", address_of(server), "80").stdout
        assert not reaches(stranger, address_of(server))
    assert not elements("any4")
