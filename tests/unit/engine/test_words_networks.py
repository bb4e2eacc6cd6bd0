"""What the words about networks and ports take."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from containerlib import Engine
from containerlib.engine import words_networks
from containerlib.errors import InvalidArgument


def _closed() -> socket.socket:
    made = socket.create_server(("127.0.0.1", 0))
    made.close()
    return made


def test_socket_names_its_port_and_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        option = words_networks.port(80, "tcp", 0, None, server)
        assert (option.host_address, option.host_port) == server.getsockname()
    with socket.create_server(("", 0)) as server:
        assert words_networks.port(80, "tcp", 0, None, server).host_address is None


def test_socket_has_its_place_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(InvalidArgument) as caught:
        words_networks.port(80, "tcp", 8080, None, server)
    assert caught.value.field == "socket"


@pytest.mark.parametrize(
    ("make", "protocol"),
    [
        (lambda: socket.create_server(("127.0.0.1", 0)), "udp"),
        (lambda: socket.socket(type=socket.SOCK_DGRAM), "tcp"),
        (socket.socket, "tcp"),
        (lambda: socket.socket(socket.AF_UNIX), "tcp"),
        (_closed, "tcp"),
    ],
    ids=["protocol", "type", "not bound", "family", "closed"],
)
def test_socket_that_is_no_published_port(make: Callable[[], socket.socket], protocol: str) -> None:
    with make() as made, pytest.raises(InvalidArgument) as caught:
        words_networks.port(80, protocol, 0, None, made)
    assert caught.value.field == "socket"


def test_driver_has_a_mode() -> None:
    assert words_networks.driver("macvlan", "eth0", None) == ("macvlan", "eth0", "bridge")
    assert words_networks.driver("ipvlan", "eth0.50", "l3") == ("ipvlan", "eth0.50", "l3")
    assert words_networks.driver("bridge", None, None) == ("bridge", "", "")


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("overlay", None, None), "driver"),
        (("bridge", "eth0", None), "driver"),
        (("macvlan", None, None), "parent"),
        (("macvlan", "a-name-of-16-byte", None), "parent"),
        (("macvlan", "../eth0", None), "parent"),
        (("macvlan", "", None), "parent"),
        (("macvlan", "eth0", "l2"), "mode"),
    ],
)
def test_driver_that_is_none(words: tuple[str, str | None, str | None], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        words_networks.driver(*words)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("number", "host", "field"),
    [
        (range(80, 80), 0, "publish"),
        (range(80, 90, 2), 0, "publish"),
        (80, range(9, 5), "host"),
        (80, range(5), "host"),
        (80, range(65000, 65537), "host"),
        (range(80, 82), 8080, "host"),
        (range(80, 82), range(8080, 8083), "host"),
    ],
)
def test_range_of_ports_that_cannot_be_is_refused(number: int | range, host: int | range, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        words_networks.ports(number, "tcp", host, None)
    assert caught.value.field == field


def test_range_of_ports_and_one_socket_is_refused() -> None:
    with socket.socket() as server, pytest.raises(InvalidArgument, match="one port's"):
        words_networks.ports(range(80, 82), "tcp", 0, None, server)


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ((None, None, None), "config"),
        (("lan.conflist", None, None), "config"),
        (({"a": {1}}, None, None), "config"),
        (({"a": float("nan")}, None, None), "config"),
        (({}, "/usr/lib/cni", None), "path"),
        (({}, [], None), "path"),
        (({}, ["lib"], None), "path"),
        (({}, ["/a:/b"], None), "path"),
        (({}, None, -1.0), "timeout"),
    ],
)
def test_plugins_that_cannot_be_are_refused(words: tuple[Any, Any, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        words_networks.plugins(*words)
    assert caught.value.field == field


def test_plugins_words_are_for_plugins_alone() -> None:
    engine = Engine("/nowhere")
    with pytest.raises(InvalidArgument) as caught:
        engine.network("lan").driver("bridge", path=["/usr/lib/cni"])
    assert caught.value.field == "path"
    with pytest.raises(InvalidArgument) as caught:
        engine.network("lan").driver("cni", parent="eth0", config={})
    assert caught.value.field == "driver"


@pytest.mark.parametrize(
    ("supernet", "length", "field"),
    [
        ("10.0.0.1/8", 24, "pool"),
        ("fd00::/8", 64, "pool"),
        ("10.0.0.0/16", 8, "length"),
        ("10.0.0.0/16", 31, "length"),
    ],
)
def test_pool_that_cannot_be_is_refused(supernet: str, length: int, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        words_networks.pool(supernet, length)
    assert caught.value.field == field
