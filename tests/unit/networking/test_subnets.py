"""Which addresses a network may have."""

from __future__ import annotations

import ipaddress

import pytest

from containerlib.errors import InvalidArgument, StageError
from containerlib.networking.netlink import Netlink
from containerlib.networking.subnets import Addresses, candidates


@pytest.mark.parametrize(
    "subnet",
    ["127.0.0.0/24", "224.0.0.0/24", "169.254.0.0/16", "ff02::/64", "fe80::/64", "10.0.0.0/31", "fd00::/128"],
)
def test_subnet_that_is_no_networks_is_refused(subnet: str) -> None:
    with pytest.raises(InvalidArgument):
        Addresses.of(ipaddress.ip_network(subnet))


@pytest.mark.parametrize("gateway", ["10.9.0.0", "10.9.0.255", "10.9.1.1", "fd00::1"])
def test_gateway_that_is_no_machine_of_the_subnet_is_refused(gateway: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Addresses.of(ipaddress.ip_network("10.9.0.0/24"), ipaddress.ip_address(gateway))
    assert caught.value.field == "gateway"


def test_candidates_are_every_machine_but_the_gateway() -> None:
    addresses = Addresses.of(ipaddress.ip_network("10.9.0.0/29"))
    assert {str(one) for one in candidates(addresses, seed="x")} == {
        f"10.9.0.{number}" for number in range(2, 7)
    }


def test_kernel_without_the_protocol_is_an_error_of_ours() -> None:
    with pytest.raises(StageError, match="netlink protocol 31: EPROTONOSUPPORT"):
        Netlink(31)
