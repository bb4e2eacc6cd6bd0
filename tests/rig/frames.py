"""Ethernet frames as bytes, and who hears them: what a hostile container may send, and what comes of it.

frame = frames.ethernet(mac, frames.IPV6, frames.ipv6(source, ICMP6, frames.icmp6(134)))
with Ear("cl0123456789a0") as ear:
    ear.until(b"the last")                      # every frame that left by the device until then
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from types import TracebackType
from typing import Self

__all__ = [
    "ARP",
    "ICMP6",
    "IPV4",
    "IPV6",
    "SENDER",
    "TCP",
    "UDP",
    "Ear",
    "arp",
    "ethernet",
    "icmp6",
    "ipv4",
    "ipv6",
    "options",
    "udp",
]

IPV4, ARP, IPV6, _VLAN = 0x0800, 0x0806, 0x86DD, 0x8100
TCP, UDP, ICMP6, OPTIONS, FRAGMENT = 6, 17, 58, 60, 44
_EVERYBODY = b"\xff" * 6
_ALL = 3

SENDER = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind(("eth0", 0))
    for line in sys.stdin:
        wire.send(bytes.fromhex(line))
"""
"""A Python program that sends the frames of its standard input, one a line in hexadecimal."""


def ethernet(mac: bytes, kind: int, body: bytes, *, tags: int = 0) -> bytes:
    return _EVERYBODY + mac + struct.pack(">HH", _VLAN, 7) * tags + struct.pack(">H", kind) + body


def arp(mac: bytes, address: str) -> bytes:
    """An answer."""
    head = struct.pack(">HHBBH", 1, IPV4, 6, 4, 2)
    return head + mac + socket.inet_aton(address) + _EVERYBODY + b"\xff" * 4


def ipv4(source: str, protocol: int, body: bytes) -> bytes:
    head = bytearray(struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0))
    head += socket.inet_aton(source) + b"\xff" * 4
    total = sum(struct.unpack(">10H", head))
    head[10:12] = struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF)
    return bytes(head) + body


def ipv6(source: str, protocol: int, body: bytes) -> bytes:
    addresses = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address("ff02::1").packed
    return struct.pack(">IHBB", 6 << 28, len(body), protocol, 255) + addresses + body


def options(following: int) -> bytes:
    """An extension header that says nothing."""
    return struct.pack(">BBBB4x", following, 0, 1, 4)


def fragment(following: int, *, offset: int = 0) -> bytes:
    return struct.pack(">BBHI", following, 0, offset | 1, 99)


def udp(source: int) -> bytes:
    return struct.pack(">HHHH", source, 9999, 8, 0)


def icmp6(kind: int, target: str = "::") -> bytes:
    return struct.pack(">BBHI", kind, 0, 0, 0) + ipaddress.IPv6Address(target).packed


class Ear:
    """Hears every frame that comes or goes by a device."""

    def __init__(self, device: str) -> None:
        self._socket = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(_ALL)
        )
        self._socket.bind((device, _ALL))
        self._socket.settimeout(10)

    def until(self, mark: bytes) -> bytes:
        """All that was heard, one after the other, up to a frame with that mark."""
        heard = b""
        while mark not in heard:
            heard += self._socket.recv(1 << 16)
        return heard

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
