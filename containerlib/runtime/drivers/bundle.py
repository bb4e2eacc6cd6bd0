"""A bundle in the words that a runtime knows, where it has others for the same thing, or has not the thing itself.

gVisor's sandbox mounts what is below a bind's source with it, as one mount: read-only there means all of it, and the
options that say so of the mounts below (`rro`) are unknown to it.

No runtime but ours has an init for the container's first process: its program is ours then, bound into the container,
with the container's own behind it.

Spec: runtime-spec config.md#linux-mount-options
"""

from __future__ import annotations

import json
import os
from typing import cast

from containerlib.spec.runtime import Mount, Spec

__all__ = ["INIT", "adapted", "bundle_for"]

INIT = "/dev/containerlib-init"
"""On the container's own /dev, where it leaves nothing in its files."""
_OF_ALL = {
    f"r{option}": option
    for option in ("ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime")
}


def adapted(spec: Spec, rootfs: str, *, sandbox: bool, init: str | None) -> Spec | None:
    """`spec` with its root at the absolute path `rootfs`; None where it is fine as it is.

    `sandbox`: for gVisor. `init`: the host's path of the program that is to be the first process.
    """
    mounts = list(spec.get("mounts", ()))
    is_mapped = sandbox and any(_OF_ALL.keys() & mount.get("options", ()) for mount in mounts)
    if not is_mapped and init is None:
        return None
    if is_mapped:
        mounts = [_of_all(mount) for mount in mounts]
    process = spec["process"]
    if init is not None:
        options = ["bind", "rprivate", "ro", "nosuid", "nodev"]
        mounts.append({"destination": INIT, "type": "bind", "source": init, "options": options})
        process = {**process, "args": [INIT, *process["args"]]}
    root = {**spec.get("root", {}), "path": rootfs}
    return cast(Spec, {**spec, "root": root, "process": process, "mounts": mounts})


def bundle_for(bundle: str, directory: str, spec: Spec, *, sandbox: bool, init: str | None) -> str:
    """The bundle to run: `bundle` itself, or one in `directory` that is adapted."""
    rootfs = os.path.join(bundle, spec.get("root", {}).get("path", "rootfs"))
    other = adapted(spec, rootfs, sandbox=sandbox, init=init)
    if other is None:
        return bundle
    place = f"{directory}/adapted"
    os.makedirs(place, mode=0o700, exist_ok=True)  # noqa: PTH103 - a str
    with open(f"{place}/config.json", "w", encoding="utf-8") as file:
        json.dump(other, file)
    return place


def _of_all(mount: Mount) -> Mount:
    return cast(
        Mount, {**mount, "options": [_OF_ALL.get(option, option) for option in mount.get("options", ())]}
    )
