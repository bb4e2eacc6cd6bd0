"""A bundle in the words that a runtime knows, where it has others for the same thing, or has not the thing itself.

gVisor's sandbox mounts what is below a bind's source with it, as one mount: read-only there means all of it, and the
options that say so of the mounts below (`rro`) are unknown to it.

No runtime but ours has an init for the container's first process, or variables that are not in its configuration: a
program of ours is the first one then, bound into the container, with the container's own behind it.

Spec: runtime-spec config.md#linux-mount-options
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import cast

from attrs import frozen

from containerlib.spec.runtime import Mount, Spec

__all__ = ["FIRST", "VARIABLES", "First", "adapted", "bundle_for"]

FIRST, VARIABLES = "/dev/containerlib-init", "/dev/containerlib-env"
"""On the container's own /dev, where they leave nothing in its files."""
_OF_ALL = {
    f"r{option}": option
    for option in ("ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime")
}


@frozen
class First:
    """Our own first program, by its host path. `stays`: as the init; `variables`: the host path of a file of them."""

    program: str
    stays: bool
    variables: str | None = None

    def mounts(self) -> Iterator[Mount]:
        """It, and what it reads."""
        options = ["bind", "rprivate", "ro", "nosuid", "nodev"]
        yield {"destination": FIRST, "type": "bind", "source": self.program, "options": options}
        if self.variables is not None:
            options = [*options, "noexec"]
            yield {"destination": VARIABLES, "type": "bind", "source": self.variables, "options": options}

    def words(self) -> list[str]:
        """What comes before the container's own program: see _native/init/first.c."""
        return [FIRST, "init" if self.stays else "exec", "" if self.variables is None else VARIABLES]


def adapted(spec: Spec, rootfs: str, *, sandbox: bool, first: First | None) -> Spec | None:
    """`spec` with its root at the absolute path `rootfs`; None where it is fine as it is. `sandbox`: for gVisor."""
    mounts = list(spec.get("mounts", ()))
    is_mapped = sandbox and any(_OF_ALL.keys() & mount.get("options", ()) for mount in mounts)
    if not is_mapped and first is None:
        return None
    if is_mapped:
        mounts = [_of_all(mount) for mount in mounts]
    process = spec["process"]
    if first is not None:
        mounts += first.mounts()
        process = {**process, "args": [*first.words(), *process["args"]]}
    root = {**spec.get("root", {}), "path": rootfs}
    return cast(Spec, {**spec, "root": root, "process": process, "mounts": mounts})


def bundle_for(bundle: str, directory: str, spec: Spec, *, sandbox: bool, first: First | None) -> str:
    """The bundle to run: `bundle` itself, or one in `directory` that is adapted."""
    rootfs = os.path.join(bundle, spec.get("root", {}).get("path", "rootfs"))
    other = adapted(spec, rootfs, sandbox=sandbox, first=first)
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
