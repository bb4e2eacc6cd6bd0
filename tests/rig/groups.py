"""Control groups for tests: made with limits, looked into, and taken away."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import Unsupported
from containerlib.runtime.cgroups.cgroup import ContainerCgroup, remove_if_empty
from containerlib.runtime.cgroups.layout import Layout

__all__ = ["groups_of", "maker", "running_in", "value"]


@contextmanager
def maker(parent: str, layout: Layout) -> Iterator[Callable[..., ContainerCgroup]]:
    """Makes groups below `parent`; skips where this machine has no such controller or scheduler."""
    made: list[ContainerCgroup] = []

    def create(resources: dict[str, Any], **words: Any) -> ContainerCgroup:
        cgroup = ContainerCgroup(f"{parent}/{os.urandom(4).hex()}", **words)
        made.append(cgroup)
        try:
            cgroup.create(resources)
        except Unsupported as error:
            pytest.skip(f"this machine's cgroups lack it: {error}")
        return cgroup

    yield create
    for cgroup in made:
        cgroup.kill()
        cgroup.remove()
    remove_if_empty(parent, layout)


def value(cgroup: ContainerCgroup, file: str) -> str:
    """What the one of its directories that has the file says in it."""
    (directory,) = (d for d in cgroup.directories if Path(d, file).exists())
    return Path(directory, file).read_text().strip()


def groups_of(container_id: str) -> list[str]:
    """Directories of this container's groups; with "" those of all."""
    found = (
        os.path.join(root, name)
        for root, names, _ in os.walk("/sys/fs/cgroup")  # which goes on where a group ends meanwhile
        for name in names
        if root.endswith("/containerlib") and f"-{container_id}" in name
    )
    return sorted(found)


def running_in(container_id: str) -> list[int]:
    """Processes in the container's groups."""
    pids: set[int] = set()
    for directory in groups_of(container_id):
        try:
            pids.update(map(int, Path(directory, "cgroup.procs").read_text().split()))
        except (FileNotFoundError, OSError):
            continue
    return sorted(pids)
