"""Host ports that are published: bound for as long as they are, so that nobody else on the host gets them.

    with reserve("tcp", None, 8080) as held: held.port, held.descriptors       # kept open by the container's shim

The sockets never listen: the packet filter turns what comes for them before it gets there. A port that is chosen here
(0) is the container's from the moment that it is known.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from containerlib.errors import Conflict, StageError
from containerlib.spec.values import frozen

__all__ = ["Reservation", "adopt", "reserve", "reserve_one"]

_KINDS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, 132),
}
_TRIES = 16
"""At a port that is free for both families."""


@frozen
class Reservation:
    """A port of this machine, held by sockets."""

    protocol: str
    host: IPv4Address | IPv6Address | None
    port: int
    sockets: tuple[socket.socket, ...]

    @property
    def descriptors(self) -> Sequence[int]:
        return [one.fileno() for one in self.sockets]

    def close(self) -> None:
        for one in self.sockets:
            one.close()


def reserve(
    protocol: str, host: IPv4Address | IPv6Address | None, port: int, families: Sequence[int] = (4,)
) -> Reservation:
    """Binds it, for `host` None at every address of the `families` (4, 6).

    Raises: Conflict, which names who has it; StageError(stage="network").
    """
    wanted = [host.version] if host is not None else list(families)
    for _ in range(_TRIES):
        sockets: list[socket.socket] = []
        try:
            chosen = port
            for version in wanted:
                sockets.append(_bound(protocol, version, host, chosen))
                chosen = chosen or sockets[0].getsockname()[1]
            return Reservation(protocol, host, chosen, tuple(sockets))
        except OSError as error:
            for one in sockets:
                one.close()
            if error.errno == errno.EADDRINUSE and not port and sockets:
                continue
            raise _refusal(error, protocol, host, port) from error
    raise Conflict(f"no {protocol} port is free at every address", state="in use")


def adopt(
    held: socket.socket, protocol: str, host: IPv4Address | IPv6Address | None, families: Sequence[int] = (4,)
) -> Reservation:
    """Of a socket that is bound already, for `host` None with what else it takes at every address of the `families`.

    Raises: Conflict; StageError(stage="network").
    """
    try:
        own = held.dup()
    except OSError as error:
        detail = "the socket of a published port"
        raise StageError("network", error.errno or 0, detail, advice="it has been closed") from error
    port = own.getsockname()[1]
    sockets = [own]
    try:
        for version in _uncovered(own, families) if host is None else ():
            sockets.append(_bound(protocol, version, None, port))
    except OSError as error:
        for one in sockets:
            one.close()
        raise _refusal(error, protocol, host, port) from error
    return Reservation(protocol, host, port, tuple(sockets))


def _uncovered(held: socket.socket, families: Sequence[int]) -> Sequence[int]:
    if held.family == socket.AF_INET:
        return [version for version in families if version == 6]
    only = held.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return [version for version in families if version == 4 and only]


def reserve_one(
    protocol: str,
    host: IPv4Address | IPv6Address | None,
    ports: Sequence[int],
    families: Sequence[int] = (4,),
) -> Reservation:
    """The first of `ports` that is free. Raises: as `reserve`, of the last one."""
    for port in ports[:-1]:
        with contextlib.suppress(Conflict):
            return reserve(protocol, host, port, families)
    try:
        return reserve(protocol, host, ports[-1], families)
    except Conflict as error:
        if len(ports) == 1:
            raise
        raise Conflict(
            f"no {protocol} port from {ports[0]} to {ports[-1]} is free: publish to others with host=",
            state="in use",
        ) from error


def _bound(protocol: str, version: int, host: IPv4Address | IPv6Address | None, port: int) -> socket.socket:
    kind, number = _KINDS[protocol]
    family, everywhere = (socket.AF_INET, "0.0.0.0") if version == 4 else (socket.AF_INET6, "::")  # noqa: S104
    made = socket.socket(family, kind | socket.SOCK_CLOEXEC, number)
    try:
        if version == 6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((everywhere if host is None else str(host), port))
    except BaseException:
        made.close()
        raise
    return made


def _refusal(
    error: OSError, protocol: str, host: IPv4Address | IPv6Address | None, port: int
) -> Conflict | StageError:
    where = f"{protocol} port {port}" + ("" if host is None else f" of {host}")
    if error.errno == errno.EADDRINUSE:
        holder = _holder(protocol, port)
        by = f" by {holder}" if holder else ""
        return Conflict(f"{where} is in use{by}: publish to another with host=, or end that", state="in use")
    if error.errno == errno.EADDRNOTAVAIL:
        return StageError("network", error.errno, where, advice=f"{host} is no address of this host")
    if error.errno == errno.EPROTONOSUPPORT:
        return StageError("network", error.errno, where, advice=f"this kernel has no {protocol}")
    return StageError("network", error.errno or 0, where)


def _holder(protocol: str, port: int) -> str:
    """The process that has it, as far as this one may see: `nginx (process 812)`; "" where it is not found."""
    inodes = {inode for version in ("", "6") for inode in _inodes(f"/proc/net/{protocol}{version}", port)}
    links = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*") if links else ():
        with contextlib.suppress(OSError):
            if any(str(file.readlink()) in links for file in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().rstrip()} (process {process.name})"
    return ""


def _inodes(path: str, port: int) -> Iterator[str]:
    with contextlib.suppress(OSError), open(path) as file:
        for line in list(file)[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]
