"""How a checkpoint is made, and used again."""

from __future__ import annotations

from containerlib.errors import InvalidArgument
from containerlib.runtime.checkpoint.messages import CGROUP_MODES
from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

__all__ = ["Options"]


@frozen
class Options:
    """What both sides are to agree on, and then what is for one of them."""

    tcp: Literal["refuse", "established", "close"] = "refuse"
    """Connections: a dump fails on them, they go on where their addresses are there again, or are closed."""
    tcp_skip_in_flight: bool = False
    """Connections that are only being made are left out."""
    external_unix_sockets: bool = False
    """Connections to unix sockets of others are closed, and do not fail a dump."""
    file_locks: bool = False
    """Locks on files are taken again."""
    shell_job: bool = False
    """Its session and terminal may be somebody else's."""
    cgroups: str = "ignore"
    """What CRIU does about control groups: "ignore" (all goes to the container's own), or "none", "props", "soft",
    "full", "strict" for groups below that."""
    network: Literal["given", "dumped", "empty"] = "given"
    """Its network namespace: that of the restored container is another one, which is there before the processes; or
    CRIU makes it anew, with what was in it, or empty."""
    auto_dedup: bool = False
    """Pages that a later dump has again are punched out of its parent's images."""
    lazy_pages: bool = False
    """Memory comes when it is touched, from `criu lazy-pages` at work in the same directory."""
    page_server: tuple[str, int] | None = None
    """Address and port of `criu page-server`, to which a dump sends the memory."""
    leave_running: bool = False
    """A dump lets the processes go on."""
    parent: str | None = None
    """An earlier dump's images, by a path from these: only what has changed is written."""
    lsm_profile: str | None = None
    """"apparmor:NAME" or "selinux:LABEL" that processes are restored with, in place of what they had."""
    lsm_mount_context: str | None = None
    """The same of mounts, for SELinux."""

    def check(self) -> None:
        """Raises: InvalidArgument."""
        if self.cgroups not in CGROUP_MODES:
            raise InvalidArgument(
                f"{self.cgroups!r} is none of {', '.join(CGROUP_MODES)}", field="checkpoint.cgroups"
            )
        if self.tcp not in ("refuse", "established", "close"):
            raise InvalidArgument(
                f"{self.tcp!r} is none of refuse, established, close", field="checkpoint.tcp"
            )
        if self.network not in ("given", "dumped", "empty"):
            raise InvalidArgument(
                f"{self.network!r} is none of given, dumped, empty", field="checkpoint.network"
            )
        if self.parent is not None and self.parent.startswith("/"):
            raise InvalidArgument("is a path from the images' directory", field="checkpoint.parent")
