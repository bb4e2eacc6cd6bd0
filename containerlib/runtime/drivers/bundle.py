"""A bundle in the words that a runtime knows, where it has others for the same thing.

gVisor's sandbox mounts what is below a bind's source with it, as one mount: read-only there means all of it, and the
options that say so of the mounts below (`rro`) are unknown to it.

Spec: runtime-spec config.md#linux-mount-options
"""

from __future__ import annotations

import json
import os
from typing import cast

from containerlib.spec.runtime import Mount, Spec

__all__ = ["adapted", "sandbox_bundle"]

_OF_ALL = {
    f"r{option}": option
    for option in ("ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime")
}


def adapted(spec: Spec, rootfs: str) -> Spec | None:
    """`spec` for a sandbox, with its root at the absolute path `rootfs`; None where it is fine as it is."""
    mounts = spec.get("mounts", ())
    if not any(_OF_ALL.keys() & mount.get("options", ()) for mount in mounts):
        return None
    return cast(
        Spec,
        {
            **spec,
            "root": {**spec.get("root", {}), "path": rootfs},
            "mounts": [_mount(mount) for mount in mounts],
        },
    )


def sandbox_bundle(bundle: str, directory: str, spec: Spec) -> str:
    """The bundle to run: `bundle` itself, or one in `directory` that is adapted."""
    rootfs = os.path.join(bundle, spec.get("root", {}).get("path", "rootfs"))
    other = adapted(spec, rootfs)
    if other is None:
        return bundle
    place = f"{directory}/sandbox"
    os.makedirs(place, mode=0o700, exist_ok=True)  # noqa: PTH103 - a str
    with open(f"{place}/config.json", "w", encoding="utf-8") as file:
        json.dump(other, file)
    return place


def _mount(mount: Mount) -> Mount:
    return cast(
        Mount, {**mount, "options": [_OF_ALL.get(option, option) for option in mount.get("options", ())]}
    )
