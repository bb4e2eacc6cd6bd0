"""Whether a kernel can keep containers from using each other's addresses."""

from __future__ import annotations

import errno
import socket
import struct
from typing import cast

import pytest

from containerlib.errors import StageError
from containerlib.networking import spoofing
from containerlib.networking.netlink import Netlink


class Refusing:
    """A netlink socket whose kernel answers every request with an errno."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._answers = b""

    def settimeout(self, _: float) -> None: ...

    def setsockopt(self, *_: int) -> None: ...

    def close(self) -> None: ...

    def sendto(self, datagram: bytes, _: tuple[int, int]) -> None:
        at = 0
        while at < len(datagram):
            length, _kind, flags, sequence, port = header = struct.unpack_from("=IHHII", datagram, at)
            if flags & 4:
                self._answers += struct.pack("=IHHIIi", 36, 2, 0x100, sequence, port, -self._number)
                self._answers += struct.pack("=IHHII", *header)
            at += length

    def recv(self, _: int) -> bytes:
        return self._answers


def kernel(number: int) -> Netlink:
    return Netlink(Netlink.NETFILTER, lambda _: cast(socket.socket, Refusing(number)))


@pytest.mark.parametrize(
    ("number", "supported"),
    [
        (0, True),
        (errno.EPERM, True),
        (errno.ENOENT, False),
        (errno.EOPNOTSUPP, False),
        (errno.EAFNOSUPPORT, False),
    ],
)
def test_kernel_is_asked_for_bridges(number: int, supported: bool) -> None:
    assert spoofing.is_supported(kernel(number)) == supported


def test_other_refusals_are_errors() -> None:
    with pytest.raises(StageError, match="ENOMEM"):
        spoofing.is_supported(kernel(errno.ENOMEM))
