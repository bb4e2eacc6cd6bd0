"""config.json's mounts to ops. Spec: runtime-spec config.md#mounts"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from containerlib.errors import Unsupported
from containerlib.runtime import mount_options, ops
from containerlib.runtime.groups import Groups
from containerlib.runtime.ops import Op
from containerlib.spec.runtime import Mount, Spec

__all__ = ["mount_ops"]

_NO_SYMLINKS = frozenset({"proc", "sysfs"})
"""An image must not choose where these go (CVE-2019-19921, CVE-2023-27561)."""


def mount_ops(spec: Spec, groups: Groups, *, private_cgroups: bool) -> Iterator[Op]:
    """The mounts of `spec`, in its order. `private_cgroups`: the container has a cgroup namespace of its own."""
    for index, mount in enumerate(spec.get("mounts", ())):
        destination = posixpath.join("/", mount["destination"])
        if mount.get("uidMappings") or mount.get("gidMappings"):
            raise Unsupported(f"mounts[{index}] {destination}: id-mapped mounts are not supported yet")
        options = mount_options.parse(mount.get("options", ()))
        fstype = mount.get("type", "")
        if fstype == "cgroup":
            yield from _cgroup_mounts(
                f"mounts[{index}]", destination, options, groups, private=private_cgroups
            )
        elif options.bind or fstype in ("bind", "none"):
            yield _bind(
                f"mounts[{index}] {mount.get('source', '')} on {destination}", mount, destination, options
            )
        else:
            yield _new_mount(f"mounts[{index}] {destination}", mount, fstype, destination, options)


def _bind(origin: str, mount: Mount, target: str, options: mount_options.MountOptions) -> Op:
    flags = ops.MOUNT_RECURSIVE if options.recursive else 0
    if options.recursive_attributes:
        flags |= ops.MOUNT_ATTR_RECURSIVE
    return ops.bind(
        mount["source"],
        target,
        origin,
        attributes=options.attributes,
        flags=flags,
        propagation=options.propagation,
    )


def _new_mount(
    origin: str, mount: Mount, fstype: str, target: str, options: mount_options.MountOptions
) -> Op:
    source = mount.get("source", fstype)
    return ops.mount(
        fstype,
        target,
        origin,
        options=[("source", source or fstype), *options.data],
        attributes=options.attributes,
        flags=ops.MOUNT_NO_SYMLINKS if fstype in _NO_SYMLINKS else 0,
        propagation=options.propagation,
    )


def _cgroup_mounts(
    origin: str, target: str, options: mount_options.MountOptions, groups: Groups, *, private: bool
) -> Iterator[Op]:
    """v2: one mount. v1: a tmpfs with a directory for each hierarchy in which the container has a group.

    With a cgroup namespace a new mount shows the container's own group as its root; without one, the group's directory
    is bound.
    """
    attributes, origin = options.attributes, f"{origin} {target}"
    if groups.hierarchies is None:
        if private:
            yield ops.mount("cgroup2", target, origin, options=[("source", "cgroup")], attributes=attributes)
        else:
            yield from (ops.bind(path, target, origin, attributes=attributes) for path in groups.directories)
        return
    small = [("source", "tmpfs"), ("mode", "755"), ("size", "64k")]
    yield ops.mount("tmpfs", target, origin, options=small, attributes=attributes & ~0x1)
    for controllers, directory in groups.hierarchies.items():
        place = f"{target}/{controllers}"
        if private:
            names = [(name, "") for name in controllers.split(",")]
            yield ops.mount(
                "cgroup", place, origin, options=[("source", "cgroup"), *names], attributes=attributes
            )
        else:
            yield ops.bind(directory, place, origin, attributes=attributes)
    if attributes & 0x1:
        yield ops.readonly(target, origin)
