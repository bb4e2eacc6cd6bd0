"""What a configuration names by descriptor: things that must not change between a look and their use.

    with ExitStack() as stack:
        spec = late_bound(instance, instance.spec, stack)      # the same spec where there is nothing of the kind
        ...                                                    # the container is made meanwhile

Found anew at each start, so that the configuration on disk is never older than what it names. While the stack is open,
/proc/PID/fd/N of this process is what was found, whatever becomes of the path that it was found by.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from containerlib._sys.paths import open_in_root
from containerlib.engine.joining import namespace_of
from containerlib.errors import NotFound, StageError

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance, Shared
    from containerlib.spec.runtime import Mount, Namespace, Spec

__all__ = ["late_bound"]


def late_bound(instance: Instance, spec: Spec, stack: ExitStack) -> Spec:
    """`spec` with descriptors that `stack` closes. Raises: NotFound; StageError."""
    parts = {mount.target: mount for mount in instance.memo.mounts if mount.subpath}
    joined = dict(instance.memo.joined)
    if not parts and not joined:
        return spec
    mounts = [
        _part(instance, mount, parts[mount["destination"]], stack) if mount["destination"] in parts else mount
        for mount in spec["mounts"]
    ]
    namespaces = [
        _joined(instance, namespace, joined[namespace["type"]], stack)
        if namespace["type"] in joined
        else namespace
        for namespace in spec["linux"]["namespaces"]
    ]
    return {**spec, "mounts": mounts, "linux": {**spec["linux"], "namespaces": namespaces}}


def _joined(instance: Instance, namespace: Namespace, other: str, stack: ExitStack) -> Namespace:
    descriptor = namespace_of(instance.core, other, namespace["type"], stack)
    return {**namespace, "path": held(descriptor, stack)}


def _part(instance: Instance, mount: Mount, part: Shared, stack: ExitStack) -> Mount:
    """The mount of a part of a volume, whose links, which a container may have written, cannot lead out of it."""
    directory = instance.core.volumes.path(part.source)
    try:
        top = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            descriptor = open_in_root(top, part.subpath, os.O_PATH)
        finally:
            os.close(top)
    except FileNotFoundError as error:
        raise NotFound(
            f"the volume {part.source!r} has no {part.subpath!r}: make it first, in a container"
        ) from error
    except OSError as error:
        raise StageError("volume", error.errno or 0, f"{part.source}/{part.subpath}") from error
    return {**mount, "source": held(descriptor, stack)}


def held(descriptor: int, stack: ExitStack) -> str:
    """The path of an open descriptor for others on this machine, good until `stack` closes it."""
    stack.callback(os.close, descriptor)
    return f"/proc/{os.getpid()}/fd/{descriptor}"
