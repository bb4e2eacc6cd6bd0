"""A container without a mount namespace of its own: it inherits the runtime's, and its root is a directory there.

It is entered by chroot(2) alone. What would be mounted for such a container would be mounted on the host, and stay
there: that is refused.

Spec: runtime-spec config-linux.md#namespaces (a type that is not listed is inherited)
"""

from __future__ import annotations

from containerlib.errors import Unsupported
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.roots import BindRoot, Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from containerlib.runtime.plan.op import Op
    from containerlib.spec.runtime import Spec

__all__ = ["check_unmounted", "directory_op", "is_unmounted"]


def is_unmounted(kinds: Collection[str]) -> bool:
    """Of a container whose namespaces are of these `kinds`."""
    return "mount" not in kinds


def check_unmounted(spec: Spec, kinds: Collection[str]) -> None:
    """Raises: Unsupported."""
    linux = spec.get("linux", {})
    mounting = {
        "mounts": spec.get("mounts"),
        "root.readonly": spec.get("root", {}).get("readonly"),
        "linux.maskedPaths": linux.get("maskedPaths"),
        "linux.readonlyPaths": linux.get("readonlyPaths"),
        "linux.rootfsPropagation": linux.get("rootfsPropagation"),
        # of which a user namespace can only bind the host's
        "linux.devices": "user" in kinds and linux.get("devices"),
    }
    for path, value in mounting.items():
        if value:
            raise Unsupported(
                f"{path}: without a mount namespace it would change the host's mounts: add one to linux.namespaces, or "
                "leave it out"
            )


def directory_op(root: Root | None) -> Op:
    """Raises: Unsupported for a root that has to be mounted."""
    if not isinstance(root, BindRoot):
        raise Unsupported("layers need a mount namespace of the container's own: add one to linux.namespaces")
    return ops.root_directory(root.path)
