"""What a volume's directory gets that is more than a directory: a mount, or a bound on its size.

The store of volumes says when, and has the lock.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from containerlib._sys.volume_mounts import MS_BIND, MS_REC, is_mounted, mount_on, unmount
from containerlib.errors import NotFound, Unavailable, Unsupported
from containerlib.volumes.drivers import LOCAL, asked
from containerlib.volumes.options import local_options, resolved

__all__ = ["bound", "free_project", "is_mounted", "join", "mount", "unbound", "unmount"]


def mount(name: str, path: str, driver: str, options: Mapping[str, str]) -> None:
    """Mounts what the volume is on its directory `path`, above what a killed process may have left there.

    Raises: NotFound; Unsupported; Unavailable; OSError.
    """
    unmount(path)
    if driver != LOCAL:
        source = asked(driver, "mount", name)
        if not isinstance(source, str) or not os.path.isabs(source) or not os.path.isdir(source):  # noqa: PTH117, PTH112
            raise Unavailable(
                f"the volume driver {driver!r} says that {name!r} is {source!r}, which is no directory's absolute path"
            )
        mount_on(path, source=source, fstype="", flags=MS_BIND | MS_REC, data="")
        return
    local = resolved(local_options(options))
    if local.binds and not os.path.isdir(local.source):  # noqa: PTH112
        raise NotFound(
            f"the volume {name!r} is {local.source}, which is no directory: make it first, on the host"
        )
    try:
        mount_on(path, source=local.source, fstype=local.fstype, flags=local.flags, data=local.data)
    except OSError as error:
        if error.errno == errno.ENODEV and not local.binds:
            raise Unsupported(
                f"the volume {name!r} is of the type {local.fstype!r}, a file system that this kernel has not"
            ) from error
        raise


def free_project(directory: str) -> int:
    """As `quota.free_project`."""
    from containerlib._sys import quota  # noqa: PLC0415 - few volumes have a size

    return quota.free_project(directory)


def bound(directory: str, project: int, size_bytes: int) -> None:
    """Bounds what the empty directory may come to have. Raises: StageError(stage="quota")."""
    from containerlib._sys import quota  # noqa: PLC0415

    quota.set_project(directory, project)
    quota.set_limit(directory, project, size_bytes)


def join(directory: str, project: int) -> None:
    """Has the empty directory count with others of its project. Raises: StageError(stage="quota")."""
    from containerlib._sys import quota  # noqa: PLC0415

    quota.set_project(directory, project)


def unbound(directory: str, project: int) -> None:
    """Frees the project, on the file system of `directory`. Raises: StageError(stage="quota")."""
    from containerlib._sys import quota  # noqa: PLC0415

    quota.set_limit(directory, project, 0)
