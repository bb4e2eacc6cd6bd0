"""The three files that give a container its names: /etc/hosts, /etc/hostname and /etc/resolv.conf.

    mounts = write_files(directory, NoNetwork(), "web")      # binds of files in the container's own directory

They belong to the container, which may change them. A network is a value that says what they hold and which
namespace goes with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence

from attrs import frozen

from containerlib.errors import InvalidArgument, StageError
from containerlib.spec.runtime import Mount, Namespace

__all__ = [
    "HostNetwork",
    "Names",
    "Network",
    "NoNetwork",
    "contents",
    "file_mounts",
    "network",
    "rewrite_hosts",
    "rewrite_resolver",
    "write_files",
]

_MAX_BYTES = 1 << 20
_FILES = ("hosts", "hostname", "resolv.conf")
_LOCALHOST = b"""\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


@frozen
class NoNetwork:
    """A network namespace of its own with nothing but loopback."""

    @property
    def namespace(self) -> Namespace | None:
        """The entry of `linux.namespaces`; None: the host's namespace is used."""
        return {"type": "network"}


@frozen
class HostNetwork:
    """The host's network, with the host's own names."""

    @property
    def namespace(self) -> Namespace | None:
        return None


Network = NoNetwork | HostNetwork


@frozen
class Names:
    """Names that a container knows beside those of its network; what is empty is the host's."""

    hosts: tuple[tuple[str, str], ...] = ()
    """(name, address)"""
    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    """Domains; `"."` alone: none."""
    options: tuple[str, ...] = ()


_NO_NAMES = Names()


def network(name: str) -> Network:
    """The value of an option's word. Raises: InvalidArgument(field="network")."""
    values: Mapping[str, Network] = {"none": NoNetwork(), "host": HostNetwork()}
    if name not in values:
        raise InvalidArgument(f"{name!r} is not a network: none or host", field="network")
    return values[name]


def read_host_file(name: str, directory: str = "/etc") -> bytes:
    """A file of the host's /etc, its first MiB; empty where it cannot be read."""
    try:
        descriptor = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _MAX_BYTES)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def contents(
    network: Network,
    hostname: str,
    read: Callable[[str], bytes] = read_host_file,
    names: Names = _NO_NAMES,
) -> Mapping[str, bytes]:
    """What each file holds, by its name in /etc. `read` gives the host's own."""
    hosts = _LOCALHOST if isinstance(network, NoNetwork) else read("hosts") or _LOCALHOST
    more = "".join(f"{address}\t{name}\n" for name, address in names.hosts).encode()
    if more and not hosts.endswith(b"\n"):
        more = b"\n" + more
    return {
        "hosts": hosts + more,
        "hostname": f"{hostname}\n".encode(),
        "resolv.conf": _resolver(read("resolv.conf"), names),
    }


def rewrite_resolver(directory: str, names: Names, read: Callable[[str], bytes] = read_host_file) -> None:
    """Another resolv.conf for a container that has one, and may be reading it. Raises: StageError(stage="network")."""
    path = f"{directory}/resolv.conf"
    try:
        _write(path, _resolver(read("resolv.conf"), names))
    except OSError as error:
        raise StageError("network", error.errno or 0, path) from error


def rewrite_hosts(directory: str, name: str, gone: Collection[str], come: Sequence[str]) -> None:
    """Other addresses of the container's own in its /etc/hosts, whose other lines stay.

    Raises: StageError(stage="network").
    """
    path = f"{directory}/hosts"
    old = {(address, name) for address in gone}
    lines = [
        line
        for line in read_host_file("hosts", directory).splitlines()
        if tuple(line.decode(errors="replace").split()) not in old
    ]
    try:
        _write(path, b"\n".join([*lines, *(f"{address}\t{name}".encode() for address in come), b""]))
    except OSError as error:
        raise StageError("network", error.errno or 0, path) from error


def _resolver(host: bytes, names: Names) -> bytes:
    """The host's resolv.conf, with the lines replaced that `names` has of its own. Spec: resolv.conf(5)"""
    given = {
        b"nameserver": [f"nameserver {server}" for server in names.servers],
        b"search": [f"search {' '.join(names.search)}"] if names.search else [],
        b"options": [f"options {' '.join(names.options)}"] if names.options else [],
    }
    replaced = {key for key, lines in given.items() if lines}
    if not replaced:
        return host
    if names.search == (".",):
        given[b"search"] = []
    kept = [line for line in host.splitlines() if _keyword(line) not in replaced]
    return b"\n".join([*kept, *(line.encode() for lines in given.values() for line in lines), b""])


def _keyword(line: bytes) -> bytes:
    """The first word; `domain` is the old name of `search`."""
    word = (line.split() or [b""])[0]
    return b"search" if word == b"domain" else word


def write_files(
    directory: str,
    network: Network,
    hostname: str,
    read: Callable[[str], bytes] = read_host_file,
    names: Names = _NO_NAMES,
) -> list[Mount]:
    """Writes the files into `directory`, and gives the binds that put them into the container.

    Raises: StageError(stage="network").
    """
    try:
        for name, data in contents(network, hostname, read, names).items():
            _write(f"{directory}/{name}", data)
    except OSError as error:
        raise StageError("network", error.errno or 0, str(error.filename or directory)) from error
    return file_mounts(directory)


def file_mounts(directory: str) -> list[Mount]:
    """The binds of the files that `write_files` has written into `directory`."""
    return [
        {
            "destination": f"/etc/{name}",
            "type": "bind",
            "source": f"{directory}/{name}",
            "options": ["rbind", "rprivate", "rw"],
        }
        for name in _FILES
    ]


def _write(path: str, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o644)
    try:
        if (
            os.fstat(descriptor).st_mode & 0o777 != 0o644
        ):  # the caller's umask; every user in the container reads it
            os.fchmod(descriptor, 0o644)
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
