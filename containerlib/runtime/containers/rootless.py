"""A caller without privileges, or with those of a user namespace alone: what it can give a container, and what not.

Spec: user_namespaces(7), newuidmap(1), subuid(5); kernel admin-guide/cgroup-v2.rst#delegation
"""

from __future__ import annotations

import os

from containerlib._sys.privilege import in_user_namespace
from containerlib.errors import InvalidArgument
from containerlib.runtime.cgroups.owner import find_delegation
from containerlib.runtime.cgroups.path import Place
from containerlib.runtime.plan.user import Mapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from containerlib.spec.runtime import Spec

__all__ = ["check_namespace", "delegated_place", "is_rootless", "mapper_of_caller"]


def is_rootless() -> bool:
    """Whether this process is an ordinary user, or root of a user namespace that is not the first."""
    return os.geteuid() != 0 or in_user_namespace()


def mapper_of_caller(path: str | None = None) -> Mapper | None:
    """Who maps ids for an ordinary user: the programs that may, where they are in `path` ($PATH). None for root."""
    if os.geteuid() == 0:
        return None
    directories = (os.environ.get("PATH", os.defpath) if path is None else path).split(":")

    def find(name: str) -> str | None:
        candidates = (os.path.join(directory, name) for directory in directories if directory)
        return next((found for found in candidates if os.access(found, os.X_OK)), None)

    return Mapper(find("newuidmap"), find("newgidmap"))


def check_namespace(spec: Spec) -> None:
    """Raises: InvalidArgument for a configuration that an ordinary user cannot have."""
    kinds = [namespace.get("type") for namespace in spec.get("linux", {}).get("namespaces") or ()]
    if os.geteuid() != 0 and "user" not in kinds:
        raise InvalidArgument(
            "rootless container requires user namespaces: add one, as `containerlib-oci spec --rootless` does",
            field="linux.namespaces",
        )


def delegated_place(spec: Spec, container_id: str, warn: Callable[[str], None]) -> Place | None:
    """Below the group that was delegated to the caller; None, and a warning, where there is none."""
    linux = spec.get("linux", {})
    delegation = find_delegation()
    limits = [name for name in linux.get("resources") or {} if name != "devices"]
    if delegation is None or (delegation.occupied and limits):
        if limits:
            warn(
                f"no cgroup is delegated to this user: resources.{', resources.'.join(limits)} and all that needs "
                "groups (pause, update, events) are not there for this container"
            )
        return None
    path = os.path.normpath(f"/{linux.get('cgroupsPath') or container_id}")
    return Place(path.replace("//", "/"), delegation.layout())
