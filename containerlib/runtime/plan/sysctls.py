"""Which sysctls are a container's own to set: those of a namespace that it has for itself. All others are the host's.

Spec: runtime-spec config-linux.md#sysctl; sysctl(2), namespaces(7)
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from containerlib.errors import InvalidArgument

__all__ = ["check_sysctl"]

_IPC = frozenset(
    {
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    }
)


def check_sysctl(key: str, own_namespaces: AbstractSet[str]) -> None:
    """`own_namespaces`: new ones, and those of other containers.

    Raises: InvalidArgument where setting `key` would change the host, or escapes /proc/sys."""
    parts = key.split(".")
    if "" in parts or "/" in key or "\0" in key:
        raise InvalidArgument(f"{key!r} is not the name of a sysctl", field="linux.sysctl")
    if parts[0] == "net":
        needed = "network"
    elif key in _IPC or key.startswith("fs.mqueue."):
        needed = "ipc"
    else:
        raise InvalidArgument(
            f"{key} belongs to no namespace: to set it changes the host", field="linux.sysctl"
        )
    if needed not in own_namespaces:
        raise InvalidArgument(
            f"{key} needs a {needed} namespace of its own: in the host's it changes the host",
            field="linux.sysctl",
        )
