"""Rights that a checkpoint from elsewhere has without the caller's word: those of a container of the default recipe.

Whoever made such a checkpoint has written its configuration, too: that its processes have no more than it says proves
nothing (CVE-2026-95837, CVE-2026-92574).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from containerlib.bundles.config import make_config
from containerlib.bundles.host import HostFacts
from containerlib.bundles.seccomp import resolve
from containerlib.bundles.users import ResolvedUser
from containerlib.errors import InvalidArgument
from containerlib.spec.image_config import ImageConfig
from containerlib.spec.options import ContainerOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from containerlib.spec.runtime import Spec

__all__ = ["require_default_rights"]

_READ_ONLY = ("sysfs", "cgroup", "cgroup2")


def require_default_rights(spec: Spec) -> None:
    """Raises: InvalidArgument(field="trusted") for a configuration with more rights than the default recipe's."""
    found = [*_beyond_default(spec)]
    if found:
        raise InvalidArgument(
            f"the checkpoint is from elsewhere, and has more rights than a container has by default: "
            f"{', '.join(found)}. Where you know who made it: restore(trusted=True)",
            field="trusted",
        )


def _beyond_default(spec: Spec) -> Iterator[str]:
    default: Mapping[str, Any] = make_config(
        ImageConfig(),
        ContainerOptions(command=("true",)),
        user=ResolvedUser(),
        extra_mounts=(),
        cgroups_path="/",
        container_id="",
    )
    process, linux = dict[str, Any](spec["process"]), dict[str, Any](spec["linux"])
    yield from _beyond_capabilities(
        process.get("capabilities"), default["process"]["capabilities"]["bounding"]
    )
    yield from _beyond_paths(spec, default["linux"])
    host = HostFacts.current()
    bounding = frozenset((process.get("capabilities") or {}).get("bounding") or ())
    if linux.get("seccomp") != resolve(None, bounding, host.architecture, host.kernel):
        yield "another seccomp profile"
    kinds = {each["type"] for each in linux.get("namespaces") or ()}
    if missing := {each["type"] for each in default["linux"]["namespaces"]} - kinds:
        yield f"the host's namespaces {', '.join(sorted(missing))}"
    if linux.get("devices") or _devices(linux) != _devices(default["linux"]):
        yield "devices"
    if process.get("apparmorProfile") or process.get("selinuxLabel"):
        yield "a security label"


def _beyond_capabilities(sets: Mapping[str, Any] | None, allowed: Iterable[str]) -> Iterator[str]:
    names = {name for each in (sets or {}).values() for name in each or ()}
    if sets is None:
        yield "all capabilities"
    elif more := names - set(allowed):
        yield f"the capabilities {', '.join(sorted(more))}"


def _beyond_paths(spec: Spec, default: Mapping[str, Any]) -> Iterator[str]:
    linux: Mapping[str, Any] = dict(spec["linux"])
    for name in ("maskedPaths", "readonlyPaths"):
        if missing := set(default[name]) - set(linux.get(name) or ()):
            yield f"{', '.join(sorted(missing))} ({name})"
    for mount in spec["mounts"]:
        if mount.get("type") in _READ_ONLY and "ro" not in mount.get("options", ()):
            yield f"{mount['destination']} to write to"


def _devices(linux: Mapping[str, Any]) -> Any:
    return linux.get("resources", {}).get("devices")
