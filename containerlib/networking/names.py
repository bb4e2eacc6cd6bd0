"""Names of containers, as the resolver of each container on a network reads them: small files, replaced as a whole.

    networks/                       the resolvers' root directory
      NETWORK                       a line for each address on it: ADDRESS DEVICE NAME...
      CONTAINER.view                what its resolver may see: "network NETWORK" and "server ADDRESS PORT SCOPE" lines

A name is known as long as the host has the device, so that nothing need be written when a container ends, however
that comes about. Callers change a network's file in a transaction of the database: one at a time.

    names = NameFiles(directory)
    names.add(network_id, [Line("cl0123", addresses, ("web.backend", "web"))])
    names.show(container_id, [network_id], servers_of(resolv_conf))
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address

from containerlib._sys.native import lib
from containerlib._sys.writing import put_in_place
from containerlib.errors import StageError
from containerlib.networking.netlink import Request
from containerlib.networking.netlink import nftables as nft
from containerlib.networking.netlink.nftables import REGISTER
from containerlib.spec.values import frozen

__all__ = ["RESOLVER", "Line", "NameFiles", "Server", "redirect", "servers_of"]

RESOLVER = "127.0.0.11"
"""Of every container on a network; Docker's has the same address."""
_DNS = 53
_VIEW = ".view"
_IPV4 = 2
_MOST_SERVERS = 4
Address = IPv4Address | IPv6Address


@frozen
class Line:
    """A container's place on a network. `names`: the first is what an address stands for.

    Where the host does not see the device it is one of the names, and they are known as long as the line is there.
    """

    device: str
    addresses: tuple[Address, ...]
    names: tuple[str, ...]
    is_seen: bool = True

    def text(self) -> bytes:
        device, names = (self.device, self.names) if self.is_seen else ("-", self._with_device())
        known = " ".join(dict.fromkeys(name.lower() for name in names))
        return "".join(f"{one.packed.hex()} {device} {known}\n" for one in self.addresses).encode()

    def _with_device(self) -> tuple[str, ...]:
        return (self.names[0], self.device, *self.names[1:])


@frozen
class Server:
    """A resolver that is asked for all other names. `scope`: index of the device of a link-local address."""

    address: Address
    port: int = _DNS
    scope: int = 0


class NameFiles:
    """The files below `directory`. Every method raises StageError(stage="network") where the disk refuses it."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def add(self, network_id: str, line: Line) -> None:
        """The container's line, in place of what it had."""
        self._change(network_id, line.device, line.text())

    def remove(self, network_id: str, device: str) -> None:
        self._change(network_id, device, b"")

    def replace(self, network_id: str, lines: Iterable[Line]) -> None:
        """All that is known of the network."""
        text = b"".join(line.text() for line in lines)
        if text != self._read(network_id):
            self._write(network_id, text)

    def show(self, container_id: str, networks: Sequence[str], servers: Sequence[Server]) -> str:
        """What the container's resolver may see from now on; gives the name of the file that says it."""
        name = f"{container_id}{_VIEW}"
        lines = [f"network {network}\n" for network in networks]
        lines += [
            f"server {one.address.packed.hex()} {one.port} {one.scope}\n" for one in servers[:_MOST_SERVERS]
        ]
        self._write(name, "".join(lines).encode())
        return name

    def forget(self, name: str) -> None:
        """A network's file, or with `.view` a container's; it need not be there."""
        with contextlib.suppress(FileNotFoundError), _staged(self.directory):
            os.unlink(f"{self.directory}/{name}")  # noqa: PTH108 - a str

    def forget_container(self, container_id: str) -> None:
        self.forget(f"{container_id}{_VIEW}")

    def any(self) -> bool:
        """Whether there ever was a network."""
        return os.path.isdir(self.directory)  # noqa: PTH112 - a str

    def forget_others(self, networks: Collection[str], containers: Collection[str]) -> None:
        """The files of all but these, and what killed processes have left half written."""
        kept = {*networks, *(f"{one}{_VIEW}" for one in containers)}
        with contextlib.suppress(FileNotFoundError), _staged(self.directory):
            self._open_up()
            for name in os.listdir(self.directory):  # noqa: PTH208 - a str
                if name not in kept:
                    self.forget(name)

    def _change(self, network_id: str, device: str, text: bytes) -> None:
        mark = f" {device} ".encode()
        kept = [line for line in self._read(network_id).splitlines(keepends=True) if mark not in line]
        self._write(network_id, b"".join([*kept, text]))

    def _read(self, name: str) -> bytes:
        path = f"{self.directory}/{name}"
        try:
            with _staged(path), open(path, "rb", buffering=0) as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def _write(self, name: str, data: bytes) -> None:
        """A resolver has the old one, or the new one."""
        path = f"{self.directory}/{name}"
        temporary = f"{path}.{os.getpid()}"
        while True:
            with _staged(path):
                self._write_aside(temporary, data)
            with contextlib.suppress(FileNotFoundError), _staged(path):  # `forget_others`, by another process
                put_in_place(temporary, path)
                return

    def _write_aside(self, path: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o644)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.directory)  # noqa: PTH102 - a str
            self._open_up()
            descriptor = os.open(path, flags, 0o644)
        try:
            os.fchmod(descriptor, 0o644)
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def _open_up(self) -> None:
        """Resolvers are nobody, and the caller's umask may be 077."""
        os.chmod(self.directory, 0o755)  # noqa: PTH101, S103


@contextlib.contextmanager
def _staged(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StageError("network", error.errno or 0, path) from error


def servers_of(resolv_conf: bytes) -> list[Server]:
    """The resolvers that a resolv.conf names; what is no address is passed over. Spec: resolv.conf(5)"""
    found = []
    for line in resolv_conf.decode(errors="replace").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            with contextlib.suppress(ValueError, OSError):
                found.append(server(words[1]))
    return found


def server(text: str) -> Server:
    """Raises: ValueError; OSError where the host lacks the device of a link-local address."""
    address = ipaddress.ip_address(text)
    scope = getattr(address, "scope_id", None)
    return Server(address, scope=socket.if_nametoindex(scope) if scope else 0)


def redirect() -> Sequence[Request]:
    """In a container's network namespace: what is for its resolver's port 53 comes to where that listens.

    So a server of the container's own may have every address's port 53.
    """
    table, chain = "containerlib", "output"
    to = nft.constant(ipaddress.ip_address(RESOLVER).packed, REGISTER)
    port = nft.constant(lib.CLIB_RESOLVER_PORT.to_bytes(2, "big"), REGISTER + 1)
    rules = [
        [
            nft.meta(nft.L4PROTO),
            nft.compare(bytes([protocol])),
            nft.payload(1, 16, 4),
            nft.compare(ipaddress.ip_address(RESOLVER).packed),
            nft.payload(2, 2, 2),
            nft.compare(_DNS.to_bytes(2, "big")),
            to,
            port,
            nft.dnat(socket.AF_INET, REGISTER, REGISTER + 1),
        ]
        for protocol in (socket.IPPROTO_UDP, socket.IPPROTO_TCP)
    ]
    return nft.batch(
        nft.new_table(_IPV4, table),
        nft.base_chain(_IPV4, table, chain, hook=nft.OUTPUT, priority=nft.DSTNAT, kind="nat"),
        *(nft.add_rule(_IPV4, table, chain, rule) for rule in rules),
    )
