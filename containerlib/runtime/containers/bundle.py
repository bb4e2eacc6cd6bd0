"""A bundle's config.json as a runtime's command reads it: whole enough to make a container of, with absolute paths.

Spec: runtime-spec bundle.md, config.md
"""

from __future__ import annotations

import os

from containerlib.errors import InvalidArgument, NotFound
from containerlib.runtime.config.read import read_config
from containerlib.runtime.config.validate import validate
from containerlib.runtime.containers.warning import silent
from containerlib.runtime.plan.capabilities import NAMES, held, mask, ungranted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from containerlib.spec.runtime import Process, Spec

__all__ = ["check_config", "load_bundle", "rootfs_of", "warn_of_capabilities"]


def load_bundle(bundle: str, warn: Callable[[str], None] = silent, *, config: str | None = None) -> Spec:
    """The configuration in the directory `bundle`, checked as far as it can be without doing anything.

    `config`: the file that it is in, in place of the bundle's config.json.

    `warn` hears of what is passed over, and of what this process cannot give.

    Raises: NotFound, InvalidArgument, Unsupported, StageError.
    """
    if not os.path.isdir(bundle):
        raise NotFound(
            f"chdir {bundle}: no such file or directory: the bundle is a directory with a config.json"
        )
    spec = read_config(config or f"{bundle}/config.json")
    rootfs = check_config(spec, bundle, warn)
    warn_of_capabilities(spec["process"], spec, warn)
    if not os.path.isdir(rootfs):
        if os.path.lexists(rootfs):
            raise InvalidArgument(f"invalid rootfs: {rootfs}: not a directory", field="root.path")
        raise NotFound(f"invalid rootfs: stat {rootfs}: no such file or directory")
    return spec


def check_config(spec: Spec, bundle: str, warn: Callable[[str], None] = silent) -> str:
    """As much of `load_bundle` as needs no file: checks `spec`, and makes its paths absolute. Returns the root's.

    Raises: InvalidArgument, Unsupported.
    """
    for warning in validate(spec):
        warn(warning)
    for mount in spec.get("mounts") or ():
        _make_absolute(mount, bundle)
    return rootfs_of(spec, bundle)


def warn_of_capabilities(process: Process, spec: Spec, warn: Callable[[str], None]) -> None:
    """Tells `warn` which of its capabilities `process`, in a container with `spec`, will not have.

    In a user namespace whoever makes it has them all. Spec: config.md#linux-process
    """
    if process.get("capabilities"):
        namespaces = spec.get("linux", {}).get("namespaces") or ()
        own = mask(NAMES) if any(each["type"] == "user" for each in namespaces) else held()
        for warning in ungranted(process, own):
            warn(warning)


def rootfs_of(spec: Spec, bundle: str) -> str:
    """The absolute path of the container's root. Raises: InvalidArgument."""
    root = spec.get("root") or {}
    path = root.get("path")
    if not path:
        raise InvalidArgument("it is missing, and says where the container's files are", field="root.path")
    return os.path.normpath(os.path.join(bundle, path))


def _make_absolute(mount: Any, bundle: str) -> None:
    """Spec: config.md#mounts: a bind mount's source may be relative to the bundle."""
    source, options = mount.get("source"), mount.get("options") or ()
    if source and ("bind" in options or "rbind" in options or mount.get("type") == "bind"):
        mount["source"] = os.path.normpath(os.path.join(bundle, source))
