"""A container's root to the ops that mount it. Pure.

the first process             ROOT_OVERLAY or ROOT_BIND: it has the right to
the shim, while it waits      HANDOVER ROOT_OVERLAY or ROOT_FUSE, then ROOT_BIND of what came of it
"""

from __future__ import annotations

from collections.abc import Iterator

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.mounts import root_propagation
from containerlib.runtime.plan.op import Op
from containerlib.runtime.plan.roots import FuseRoot, OverlayRoot, Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from containerlib.spec.runtime import IDMapping, Linux

__all__ = ["foreign_root_mount_ops", "root_mount_ops"]

_NODEV = 4
"""MOUNT_ATTR_NODEV: in a user namespace an image's device is none, whoever mounts the image."""
_SEPARATORS = frozenset(":,\\")


def root_mount_ops(
    rootfs: str, root: Root, linux: Linux, *, new: bool, joined: bool, privileged: bool
) -> Iterator[Op]:
    """Mounts `root` on the host directory `rootfs`.

    `new`, `joined`: the container's user namespace is made for it, or is there. `privileged`: the shim has more rights
    than the first process then. Raises: InvalidArgument, Unsupported.
    """
    if isinstance(root, OverlayRoot):
        if root.mapped and not (new or joined):
            raise InvalidArgument(
                "an id-mapped root is for a container with a user namespace", field="linux.namespaces"
            )
        aside = new or root.by_loop or (joined and (root.mapped or root.has_files))
        if privileged and aside:
            owner = _first_id(linux.get("uidMappings")), _first_id(linux.get("gidMappings"))
            attributes = _NODEV if new or joined else 0
            yield from ops.handover(ops.root_overlay(rootfs, root, owner=owner, attributes=attributes))
            yield ops.root_bind(rootfs, tree=True)
        else:
            yield ops.root_overlay(rootfs, root)
    elif isinstance(root, FuseRoot):
        yield from ops.handover(_fuse(rootfs, root))
        yield ops.root_bind(rootfs, tree=True, attributes=_NODEV if new or joined else 0)
    elif root.closed:
        origin, propagation = f"root {root.path}", root_propagation(linux)[0]
        tree = ops.tree(root.path, ops.MOUNT_RECURSIVE, origin, mapped=False, propagation=propagation)
        yield from ops.handover(tree)
        yield ops.root_bind(rootfs, tree=True, attributes=_NODEV if new or joined else 0)
    else:
        yield ops.root_bind(root.path)


def foreign_root_mount_ops(rootfs: str, root: Root) -> Iterator[Op]:
    """The same in the shim's own mount namespace, where another runtime finds the root.

    Raises: Unsupported.
    """
    if isinstance(root, OverlayRoot):
        if root.mapped:
            raise Unsupported(
                "an id-mapped root takes the native driver: the namespace is the runtime's to make"
            )
        yield ops.root_overlay(rootfs, root)
    elif isinstance(root, FuseRoot):
        yield _fuse(rootfs, root)
        yield ops.root_bind(rootfs, tree=True)
    elif root.closed:
        yield ops.tree(root.path, ops.MOUNT_RECURSIVE, f"root {root.path}", mapped=False)
        yield ops.root_bind(rootfs, tree=True)
    else:
        yield ops.root_bind(root.path)


def _fuse(rootfs: str, root: FuseRoot) -> Op:
    """Raises: Unsupported for a path that the program's options have no place for."""
    for path in (*root.lowers, root.upper, root.work):
        if _SEPARATORS.intersection(path):
            raise Unsupported(
                f"fuse-overlayfs takes no colon, comma or backslash, as in {path}: choose another root"
            )
    options = f"lowerdir={':'.join(root.lowers)},upperdir={root.upper},workdir={root.work}"
    for name, ids in (("uidmapping", root.uids), ("gidmapping", root.gids)):
        if ids:
            options += f",{name}={':'.join(str(number) for entry in ids for number in entry)}"
    return ops.root_fuse(root.program, rootfs, f"{options},default_permissions,allow_other")


def _first_id(mappings: Sequence[IDMapping] | None) -> int:
    """The host's number for the container's 0."""
    return next((each["hostID"] for each in mappings or () if each["containerID"] == 0), 0)
