"""Containers with a user namespace: a root that is theirs, and the change to a config that gives them one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from containerlib.runtime import BindRoot

__all__ = ["HOST_ID", "SIZE", "in_user_namespace", "make_mapped_root", "open_parents"]

HOST_ID, SIZE = 200_000, 65_536


def make_mapped_root(directory: Path, *layers: Path) -> BindRoot:
    """A copy of `layers`, the lowest first, whose files belong to the container's root, and that it can reach."""
    root = directory / "mapped"
    root.mkdir()
    for layer in layers:
        subprocess.run(["cp", "-a", f"{layer}/.", root], check=True)  # it keeps hard links
    for path in (root, *root.rglob("*")):
        os.lchown(path, HOST_ID, HOST_ID)
    open_parents(directory)
    return BindRoot(str(root))


def open_parents(directory: Path) -> None:
    """Lets every user pass to a test's directory."""
    for parent in (directory, *directory.parents):
        if parent.name.startswith("pytest-") or parent == directory:
            parent.chmod(0o755)


def in_user_namespace(spec: dict[str, Any]) -> None:
    """A change to a config: a new user namespace whose root is HOST_ID."""
    linux = spec["linux"]
    linux.get("sysctl", {}).pop("net.ipv4.ping_group_range", None)  # it takes groups that are not mapped
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = [{"containerID": 0, "hostID": HOST_ID, "size": SIZE}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": HOST_ID, "size": SIZE}]
