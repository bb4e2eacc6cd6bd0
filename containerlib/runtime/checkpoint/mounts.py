"""Which mounts of a container CRIU cannot make again by itself: they come from outside, and are named for a restore.

    external(text)      # of /proc/PID/mountinfo: {"/etc/hosts": ("bind", "rw"), "/proc/keys": ("null", "ro")}

A mount that shows a part of what CRIU makes anew, or of the container's root, is not among them: it is bound from
there.

Spec: proc_pid_mountinfo(5); criu.org/External_bind_mounts
"""

from __future__ import annotations

from collections.abc import Iterator

from containerlib._sys.filesystem import unescaped
from containerlib.spec.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BIND", "NULL", "MountLine", "external", "mount_lines"]

BIND, NULL = "bind", "null"


class MountLine(NamedTuple):
    """A line of mountinfo: what is mounted (`root` of the file system `device`) and where."""

    device: str
    root: str
    path: str
    attributes: str
    """The mount's own options."""
    fstype: str
    options: tuple[str, ...]
    """Of the file system."""


def mount_lines(text: str) -> Iterator[MountLine]:
    """Of a /proc/PID/mountinfo, those below first."""
    for line in text.splitlines():
        own, _, rest = line.partition(" - ")
        _, _, device, root, path, attributes = own.split(" ")[:6]
        fstype, _, options = rest.split(" ")[:3]
        yield MountLine(
            device, unescaped(root), unescaped(path), attributes, fstype, tuple(options.split(","))
        )


def external(text: str) -> Mapping[str, tuple[str, str]]:
    """Mountpoint to what it shows, and the mount's options.

    That is BIND, NULL for the host's null device, or "cgroup:" with the hierarchy's controllers.
    """
    lines = list(mount_lines(text))
    wholes = {(line.device, line.root) for line in lines if _is_made(line)}
    return {
        line.path: (_kind(line), line.attributes)
        for line in lines
        if not (_is_made(line) or _is_part(line, wholes))
    }


def _is_made(line: MountLine) -> bool:
    """By CRIU; the container's root is made by others, and given to it as that."""
    return line.path == "/" or (line.root == "/" and line.fstype in _MADE_ANEW)


def _is_part(line: MountLine, wholes: set[tuple[str, str]]) -> bool:
    tops = (root for device, root in wholes if device == line.device)
    return any(line.root.startswith(f"{root.rstrip('/')}/") for root in tops)


_MADE_ANEW = frozenset(("proc", "sysfs", "tmpfs", "devpts", "mqueue", "binfmt_misc", "debugfs", "securityfs"))
"""File systems that CRIU mounts anew, with what was in those that are memory."""


def _kind(line: MountLine) -> str:
    if line.fstype == "devtmpfs" and line.root == "/null":
        return NULL
    if line.fstype == "cgroup":
        known = [word for word in line.options if word not in ("rw", "ro", "xattr", "clone_children")]
        return f"cgroup:{','.join(known)}"
    return "cgroup:" if line.fstype == "cgroup2" else BIND
