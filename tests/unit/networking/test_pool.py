"""Sockets to nf_tables go from one container to the next."""

from __future__ import annotations

import os

import pytest

from containerlib.networking.netlink import FilterSockets
from rig.networks import own_network

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes a network namespace")


def inode(descriptor: int) -> int:
    return os.fstat(descriptor).st_ino


def test_socket_is_one_containers_until_it_is_given_back() -> None:
    sockets = FilterSockets()
    first, second = (inode(sockets.take(name)) for name in ("a", "b"))
    assert first != second
    assert inode(sockets.take("a")) == first  # started again
    sockets.give_back("a")
    sockets.give_back("a")
    assert inode(sockets.take("c")) == first
    sockets.close()


def test_socket_stays_in_its_network_namespace() -> None:
    sockets = FilterSockets()
    outside = inode(sockets.take("a"))
    sockets.give_back("a")
    with own_network():
        inside = inode(sockets.take("b"))
        assert inside != outside
        sockets.give_back("b")
        assert inode(sockets.take("c")) == inside
    assert inode(sockets.take("d")) == outside
    sockets.close()


def test_sockets_are_so_many_and_no_more() -> None:
    sockets = FilterSockets()
    taken = [sockets.take(str(number)) for number in range(130)]
    assert [descriptor for descriptor in taken if descriptor < 0] == [-1, -1]
    for number in range(130):
        sockets.give_back(str(number))
    assert sockets.take("x") in taken
    sockets.close()


def test_answers_that_nobody_has_read_are_nobodys() -> None:
    sockets = FilterSockets()
    descriptor = sockets.take("a")
    # a request for a generation: NFT_MSG_GETGEN, answered at once
    os.write(descriptor, b"\x14\0\0\0\x10\x0a\x01\0\x01\0\0\0\0\0\0\0\0\0\0\0")
    sockets.give_back("a")
    again = sockets.take("b")
    os.set_blocking(again, False)
    with pytest.raises(BlockingIOError):
        os.read(again, 100)
    sockets.close()
