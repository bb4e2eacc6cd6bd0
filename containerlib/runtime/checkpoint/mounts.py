"""Which mounts of a container CRIU cannot make again by itself: they come from outside, and are named for a restore.

    external(text)      # of /proc/PID/mountinfo: {"/etc/hosts": ("bind", "rw"), "/proc/keys": ("null", "ro")}

A mount that shows a part of a file system whose whole is mounted in the container too is not among them: CRIU binds it
from there.

Spec: proc_pid_mountinfo(5); criu.org/External_bind_mounts
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from containerlib.spec.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BIND", "NULL", "MountLine", "external", "mount_lines"]

BIND, NULL = "bind", "null"
_ESCAPED = re.compile(r"\\([0-7]{3})")


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
    """The mounts that can be seen: not those that another one lies on."""
    for line in text.splitlines():
        own, _, rest = line.partition(" - ")
        _, _, device, root, path, attributes = own.split(" ")[:6]
        fstype, _, options = rest.split(" ")[:3]
        yield MountLine(device, _plain(root), _plain(path), attributes, fstype, tuple(options.split(",")))


def external(text: str) -> Mapping[str, tuple[str, str]]:
    """Mountpoint to what it shows, and the mount's options.

    That is BIND, NULL for the host's null device, or "cgroup:" with the hierarchy's controllers.
    """
    lines = list(mount_lines(text))
    wholes = {(line.device, line.root) for line in lines}
    return {
        line.path: (_kind(line), line.attributes)
        for line in lines
        if line.path != "/" and not _is_made(line, wholes)
    }


def _is_made(line: MountLine, wholes: set[tuple[str, str]]) -> bool:
    if line.root == "/" and line.fstype in _MADE_ANEW:
        return True
    covers = (root for device, root in wholes if device == line.device and root != line.root)
    return any(root == "/" or line.root.startswith(f"{root}/") for root in covers)


_MADE_ANEW = frozenset(("proc", "sysfs", "tmpfs", "devpts", "mqueue", "binfmt_misc", "debugfs", "securityfs"))
"""File systems that CRIU mounts anew, with what was in those that are memory."""


def _kind(line: MountLine) -> str:
    if line.fstype == "devtmpfs" and line.root == "/null":
        return NULL
    if line.fstype == "cgroup":
        known = [word for word in line.options if word not in ("rw", "ro", "xattr", "clone_children")]
        return f"cgroup:{','.join(known)}"
    return "cgroup:" if line.fstype == "cgroup2" else BIND


def _plain(path: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), path)
