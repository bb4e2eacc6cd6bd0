"""Writes the tar archive of an OCI layer as one EROFS file, as bytes arrive, and mounts such files.

    with ErofsWriter("layer.erofs") as writer:
        for chunk in decompressed:
            writer.feed(chunk)
        stats = writer.finish(lowers=[parent, grandparent])
    mount = mount_erofs("layer.erofs")  # a descriptor; os.close unmounts

One file takes a fraction of the time that thousands take, and is checked, copied and deleted as one. It says
of itself what a directory of LayerWriter says: whiteouts, opaque directories, owners, times, attributes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from containerlib._sys.layers import LayerLimits, LayerStats, TarWriter, ffi, lib, paths
from containerlib.errors import StageError, Unsupported

__all__ = ["ErofsWriter", "mount_erofs"]


class ErofsWriter(TarWriter):
    """One layer on its way into one EROFS file. Not for two threads at once, and takes no privileges.

    The file at `path` is made, must not exist, and is the caller's to sync and, after a failure, to remove.
    The same archive on the same layers gives the same bytes. `lowers` is for `finish`, and not looked at
    before: layers that stand on each other can be fed at the same time, and finished bottom first.

    Raises: StageError where the file cannot be made.
    Spec: image-spec layer.md; Linux Documentation/filesystems/erofs.rst
    """

    _prefix = "clib_erofs"

    def __init__(self, path: str, *, lowers: Sequence[str] = (), limits: LayerLimits | None = None) -> None:
        super().__init__(limits)
        self._lowers = lowers
        self._layer = lib.clib_erofs_open(os.fsencode(path), self._bounds(), self._error)
        if self._layer == ffi.NULL:
            raise StageError("layer", self._error.err, path)

    def finish(self, *, lowers: Sequence[str] | None = None) -> LayerStats:
        """Checks that the archive is complete and writes directories and superblock.

        `lowers` are the directories of the layers below, top first (those given before, where left out): what
        the archive leaves unsaid is as there. Of a layer that is an EROFS file it is `/proc/self/fd/N`, N
        being a descriptor from `mount_erofs`.

        Raises: as `feed`; StageError where a directory cannot be opened.
        """
        names = paths(self._lowers if lowers is None else lowers)
        return self._finish(names, len(names))


def mount_erofs(path: str, *, loop: bool = True) -> int:
    """Mounts the EROFS file `path` nowhere: read-only, nosuid, nodev. Returns its root, as opened with O_PATH.

    The mount ends with the last descriptor, unless move_mount(2) gave it a place. Before Linux 6.12, and for a
    file on tmpfs, it goes through a loop device, if it may, which ends with it. Takes CAP_SYS_ADMIN in the initial user
    namespace.

    Each call makes a file system with a page cache of its own: to have containers share what they read of a
    layer, mount it once, and give each a clone (open_tree(2) with OPEN_TREE_CLONE).

    Raises: Unsupported where the kernel does not mount EROFS files; StageError where it refuses this one.
    """
    mounted = lib.clib_mount_detached(b"erofs", os.fsencode(path))
    if mounted == -errno.ENOTBLK and loop:
        mounted = _mount_by_loop(path)
    if mounted >= 0:
        return int(mounted)
    if mounted in _REASONS:
        raise Unsupported(_REASONS[mounted])
    raise StageError("mount", -mounted, path)


def _mount_by_loop(path: str) -> int:
    device = ffi.new("char[32]")
    loop = lib.clib_loop_attach(os.fsencode(path), device)
    if loop < 0:
        raise Unsupported(
            f"this kernel mounts EROFS from block devices, and makes none of a file: {os.strerror(-loop)}"
        )
    try:
        return int(lib.clib_mount_detached(b"erofs", device))
    finally:
        os.close(loop)


_REASONS = {
    -errno.ENOTBLK: "this kernel mounts no EROFS file there but by a loop device: Linux 6.12, and no tmpfs",
    -errno.ENODEV: "this kernel has no EROFS (CONFIG_EROFS_FS)",
    -errno.ENOSYS: "this kernel has no fsopen(2): Linux 5.2",
    -errno.EPERM: "mounting takes CAP_SYS_ADMIN in the initial user namespace",
}
