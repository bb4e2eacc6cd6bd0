"""The address of a port that is published."""

from __future__ import annotations

import pytest

from containerlib.engine.host_address import HostAddress, _reachable


@pytest.mark.parametrize(
    ("published", "reached"),
    [
        (None, "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104 - text
        ("::", "::1"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_address_of_a_published_port_can_be_connected_to(published: str | None, reached: str) -> None:
    assert _reachable(published) == reached


def test_host_address_is_a_pair_and_prints_as_one_word() -> None:
    address, port = HostAddress("::1", 80)
    assert (address, port) == ("::1", 80)
    assert str(HostAddress("::1", 80)) == "[::1]:80"
    assert str(HostAddress("127.0.0.1", 80)) == "127.0.0.1:80"
