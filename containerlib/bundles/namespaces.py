"""Which namespaces a container has for itself, and which are the host's or another container's.

Spec: runtime-spec config-linux.md#namespaces
"""

from __future__ import annotations

from containerlib.errors import InvalidArgument
from containerlib.spec.options import JOIN, ContainerOptions
from containerlib.spec.runtime import Namespace

__all__ = ["check_sharing", "namespaces_of"]

_NAMESPACES: list[Namespace] = [
    {"type": kind} for kind in ("pid", "mount", "uts", "ipc", "cgroup", "network")
]


def namespaces_of(options: ContainerOptions) -> list[Namespace]:
    """Those that are new, and those that are joined: with the word in place of a path, which is known at the start."""
    words = {
        "pid": options.pid,
        "uts": options.uts,
        "ipc": options.ipc,
        "cgroup": options.cgroupns,
        "network": options.network,
    }
    found: list[Namespace] = []
    for namespace in _NAMESPACES:
        word = words.get(namespace["type"], "")
        if word.startswith(JOIN):
            found.append({**namespace, "path": word})
        elif word != "host":
            found.append(namespace)
    return found


def check_sharing(options: ContainerOptions) -> None:
    """Raises: InvalidArgument for what a container cannot choose, since it shares that."""
    if options.uts != "private" and (options.hostname or options.domainname):
        name = "hostname" if options.hostname else "domainname"
        raise InvalidArgument(
            f"the container shares its uts namespace, and with it the {name}: leave it out", field=name
        )
    if options.network.startswith(JOIN):
        for name in ("hostname", "hosts", "dns", "dns_search", "dns_options"):
            if getattr(options, name):
                raise InvalidArgument(
                    "the container shares another one's network, and with it its names: say this of the other",
                    field=name,
                )
    if options.shm_bytes is not None and options.ipc not in ("private", "shareable"):
        raise InvalidArgument(
            f'with ipc("{options.ipc}") the container has no /dev/shm of its own', field="shm_size"
        )
