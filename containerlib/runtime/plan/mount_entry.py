"""config.json's mounts, each read once: its options sorted, its place as one would write it.

Spec: runtime-spec config.md#mounts
"""

from __future__ import annotations

import posixpath

from containerlib.errors import InvalidArgument
from containerlib.runtime.plan import mount_options
from containerlib.runtime.plan.mount_options import RDONLY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.spec.runtime import Mount, Spec

__all__ = ["MountEntry", "read_mounts"]


def read_mounts(spec: Spec, bundle: str = "/") -> list[MountEntry]:
    """Those of `spec`, in its order. `bundle`: the directory that a relative source is in."""
    return [MountEntry(index, mount, bundle) for index, mount in enumerate(spec.get("mounts") or ())]


class MountEntry:
    """One of the mounts, read."""

    def __init__(self, index: int, mount: Mount, bundle: str) -> None:
        self.where = f"mounts[{index}]"
        self.mount = mount
        self.options = mount_options.parse(mount.get("options") or ())
        self.fstype = mount.get("type") or ""
        self.source = mount.get("source") or ""
        self.binds = self.options.bind or self.fstype in ("bind", "none")
        if self.binds and self.source:
            self.source = posixpath.join(bundle, self.source)
        target = _target(mount)
        self.normal = _normal(target)
        self.target = target if self.normal != "/" else "/"

    @property
    def origin(self) -> str:
        named = self.binds or self.source.startswith("/")
        return f"{self.where} {self.source} on {self.target}" if named else f"{self.where} {self.target}"

    @property
    def attributes(self) -> int:
        """Those that are set at once."""
        on = self.options.attributes.on
        return on & ~RDONLY if self.is_filled else on

    @property
    def is_filled(self) -> bool:
        """Whether something is made in it after it is mounted: mount points in a tmpfs, devices in /dev."""
        return not self.options.remount and (
            self.normal == "/dev" or (self.fstype == "tmpfs" and not self.options.bind)
        )

    def wrong(self, name: str, message: str) -> InvalidArgument:
        return InvalidArgument(message, field=f"{self.where}.{name}")


def _target(mount: Mount) -> str:
    """Spec: config.md#mounts: a relative destination is taken from "/"."""
    return posixpath.join("/", mount["destination"])


def _normal(target: str) -> str:
    """As one would write it: two slashes at the beginning have no meaning here, as they may have for POSIX."""
    return posixpath.normpath(f"/{target.lstrip('/')}")
