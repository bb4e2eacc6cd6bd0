"""What the options of a volume of the driver "local" mean: `docker volume create -o type=nfs -o device=:/data -o o=rw`.

    local_options({"size": "1GiB"})                    # Local(size_bytes=1 << 30): at most so much, by project quota
    local_options({"type": "tmpfs", "device": "tmpfs", "o": "size=64m,uid=1000"})     # Local(source="tmpfs", ...)

Without I/O, but for `resolved`: the kernel takes addresses of servers, and people write names.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from attrs import evolve, frozen

from containerlib._sys.volume_mounts import MS_BIND, MS_REC
from containerlib.errors import InvalidArgument, NotFound
from containerlib.units import parse_size

__all__ = ["Local", "local_options", "resolved"]

_KNOWN = ("type", "device", "o", "size")
_BY_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3"})
_FLAGS: dict[str, tuple[int, int]] = {  # MS_* that are set and cleared. Spec: mount(8), mount(2)
    "defaults": (0, 0),
    "ro": (1, 0),
    "rw": (0, 1),
    "nosuid": (2, 0),
    "suid": (0, 2),
    "nodev": (4, 0),
    "dev": (0, 4),
    "noexec": (8, 0),
    "exec": (0, 8),
    "sync": (16, 0),
    "async": (0, 16),
    "mand": (64, 0),
    "nomand": (0, 64),
    "dirsync": (128, 0),
    "nosymfollow": (256, 0),
    "symfollow": (0, 256),
    "noatime": (1 << 10, 0),
    "atime": (0, 1 << 10),
    "nodiratime": (1 << 11, 0),
    "diratime": (0, 1 << 11),
    "bind": (MS_BIND, 0),
    "rbind": (MS_BIND | MS_REC, 0),
    "relatime": (1 << 21, 0),
    "norelatime": (0, 1 << 21),
    "strictatime": (1 << 24, 0),
    "nostrictatime": (0, 1 << 24),
    "lazytime": (1 << 25, 0),
    "nolazytime": (0, 1 << 25),
}
_REFUSED = frozenset({"remount", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable", "move"})


@frozen
class Local:
    """What is mounted on the volume's directory (`fstype` "": nothing), or how much may be in it (0: no bound)."""

    fstype: str = ""
    source: str = ""
    flags: int = 0
    data: str = ""
    size_bytes: int = 0

    @property
    def mounts(self) -> bool:
        """Whether it is a mount."""
        return bool(self.fstype)

    @property
    def binds(self) -> bool:
        """Whether that is of a host's directory."""
        return bool(self.flags & MS_BIND)


def local_options(options: Mapping[str, str]) -> Local:
    """Raises: InvalidArgument(field="option")."""
    unknown = sorted(options.keys() - set(_KNOWN))
    if unknown:
        raise InvalidArgument(
            f'{unknown[0]!r} is no option of a volume of the driver "local": it has {", ".join(_KNOWN)}',
            field="option",
        )
    size = parse_size(options["size"], field="option") if "size" in options else 0
    given = {name for name in ("type", "device", "o") if options.get(name)}
    if not given:
        return Local(size_bytes=size)
    missing = sorted({"type", "device"} - given)
    if missing:
        raise InvalidArgument(f"{missing[0]!r} is missing beside {min(given)!r}", field="option")
    if size:
        raise InvalidArgument("size bounds a directory; of a file system it is in 'o'", field="option")
    return _mount(options["type"], options["device"], options.get("o", ""))


def resolved(local: Local) -> Local:
    """With the address of the server that its options name. Raises: NotFound where nobody knows the name."""
    if local.fstype not in _BY_NETWORK:
        return local
    words = [word.partition("=") for word in local.data.split(",")]
    data = ",".join(
        f"{name}={_address(value)}" if name == "addr" else f"{name}{equals}{value}"
        for name, equals, value in words
    )
    return evolve(local, data=data)


def _mount(fstype: str, source: str, words: str) -> Local:
    flags, data = 0, []
    for word in filter(None, words.split(",")):
        if word in _REFUSED:
            raise InvalidArgument(f"{word!r} is nothing that a volume's mount can be told", field="option")
        if word not in _FLAGS:
            data.append(word)
            continue
        on, off = _FLAGS[word]
        flags = flags & ~off | on
    if "\0" in fstype + source + words:
        raise InvalidArgument("a NUL byte is in no option", field="option")
    if flags & MS_BIND:
        if data:
            raise InvalidArgument(f"{data[0]!r} is nothing that a bind can be told", field="option")
        if not posixpath.isabs(source):
            raise InvalidArgument(
                f"{source!r}: the device of a bind is an absolute host path", field="option"
            )
    return Local(fstype, source, flags, ",".join(data))


def _address(name: str) -> str:
    import ipaddress  # noqa: PLC0415 - few volumes have a server
    import socket  # noqa: PLC0415

    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotFound(
            f"nobody knows the address of {name!r}, which a volume's 'addr' names: {error}"
        ) from error
    return str(found[0][4][0])
