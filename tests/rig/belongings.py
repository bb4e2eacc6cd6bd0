"""What one engine's root has on this machine, container by container: rows, directories, groups, processes, mounts.

Belongings.look(engine).check()      # each is of a container that is there, and in the state that it says
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rig.leaks import our_cgroups, read_stat

if TYPE_CHECKING:
    import containerlib as cl

PATIENCE_SECONDS = 10.0
"""For what is dying: a killed supervisor's container, or the last bytes of a group."""


@dataclass(frozen=True)
class Belongings:
    """The ids of containers that have one of each. `states` has those with a row, and what they say of themselves."""

    states: dict[str, str]
    directories: set[str]
    groups: set[str]
    supervised: set[str]
    """With a supervisor that lives."""
    inhabited: set[str]
    """With a process in one of their groups. An empty group may be there after a killed supervisor's end: it goes with
    the container."""
    mounts: set[str]
    """Lines of this mount namespace's mountinfo, not ids."""

    @classmethod
    def look(cls, engine: cl.Engine) -> Belongings:
        prefix = Path(engine.core.cgroup_path("")).name
        groups = [path for path in our_cgroups() if Path(path).name.startswith(prefix)]
        return cls(
            states={container.id: container.state.value for container in engine.containers.list()},
            directories={path.name for path in Path(engine.core.containers).iterdir()},
            groups={id_of(path, prefix) for path in groups},
            supervised={key for key, _ in supervisors(engine)},
            inhabited={id_of(path, prefix) for path in groups if lives_in(path)},
            mounts={
                line for line in Path("/proc/self/mountinfo").read_text().splitlines() if engine.root in line
            },
        )

    def wrong(self) -> list[str]:
        """What does not go together; empty where everything does."""
        known = set(self.states)
        alive = {key for key, state in self.states.items() if state in ("created", "running", "paused")}
        sentences = {
            "directories of no container": self.directories - known,
            "containers without a directory": known - self.directories,
            "groups of no container": self.groups - known,
            "supervisors of no container": self.supervised - known,
            "supervisors of containers that have ended": (self.supervised & known) - alive,
            "containers that live without a supervisor": alive - self.supervised,
            "containers that live without a process": alive - self.inhabited,
            "processes of containers that have ended": self.inhabited - alive,
            "mounts": self.mounts,
            "containers on their way": {key for key in known - alive if self.states[key] != "stopped"},
        }
        return [f"{what}: {sorted(which)}" for what, which in sentences.items() if which]


def check_belongings(engine: cl.Engine) -> None:
    """Fails where something does not go together, also after a while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while wrong := Belongings.look(engine).wrong():
        assert time.monotonic() < deadline, wrong
        time.sleep(0.05)


def id_of(path: str, prefix: str) -> str:
    return Path(path).name.removeprefix(prefix)


def lives_in(group: str) -> bool:
    """Whether a process that is no zombie is in the group."""
    try:
        pids = Path(group, "cgroup.procs").read_text().split()
    except OSError:
        return False
    return any(is_alive(Path("/proc", pid)) for pid in pids)


def is_alive(process: Path) -> bool:
    try:
        return read_stat(process)[1] not in "ZX"
    except OSError:
        return False


def supervisors(engine: cl.Engine) -> Iterator[tuple[str, int]]:
    """A container's id and its supervisor's pid: each works in its container's directory."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            place = entry.joinpath("cwd").readlink()
            name, state, *_ = read_stat(entry)
        except OSError:
            continue
        if (
            name == "containerlib"
            and state not in "ZX"
            and str(place).startswith(f"{engine.core.containers}/")
        ):
            yield place.name.removesuffix(" (deleted)"), int(entry.name)
