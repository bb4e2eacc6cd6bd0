"""What a run of tests must leave as it was: processes, cgroups, mounts, links, nft rules, temporary files.

    before = Surroundings.look(tmp)
    ...
    leaks = Surroundings.look(tmp).beyond(before)

The leaks are lines for a person, and none when all is as before.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

OURS = "containerlib"
GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Surroundings:
    """Each field is a set of lines that a person can act on; its name says what they are."""

    processes: frozenset[str]
    cgroups: frozenset[str]
    mounts: frozenset[str]
    links: frozenset[str]
    nft_rules: frozenset[str]
    temporary_files: frozenset[str]

    @classmethod
    def look(cls, temporary: Path) -> Surroundings:
        return cls(
            processes=frozenset(our_processes()),
            cgroups=frozenset(our_cgroups()),
            mounts=frozenset(mounts()),
            links=frozenset(links()),
            nft_rules=frozenset(nft_rules()),
            temporary_files=frozenset(str(path) for path in temporary.rglob("*")),
        )

    def beyond(self, before: Surroundings) -> list[str]:
        """What is here and was not, and the mounts, links and rules that were and are not."""
        lines = []
        for name in (item.name for item in fields(self)):
            now, then = getattr(self, name), getattr(before, name)
            what = name.replace("_", " ")
            lines += [f"{what}: left behind: {line}" for line in sorted(now - then)]
            if name in ("mounts", "links", "nft_rules"):
                lines += [f"{what}: gone: {line}" for line in sorted(then - now)]
        return lines


class Processes:
    """When each of our processes was seen first, so that one left behind leads to who made it."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def look(self, after: str) -> None:
        for line in our_processes():
            self._seen.setdefault(line, after)

    def explained(self, leak: str) -> str:
        """The leak, and after what it was first seen."""
        return next((f"{leak}, seen after {when}" for line, when in self._seen.items() if line in leak), leak)


def leaks_since(before: Surroundings, temporary: Path) -> list[str]:
    """The leaks that are still there after a grace for what is on its way out."""
    deadline = time.monotonic() + GRACE_SECONDS
    while (leaks := Surroundings.look(temporary).beyond(before)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return leaks


def our_processes() -> Iterator[str]:
    """The children of this process, and every process that is a supervisor of ours or in a cgroup of ours."""
    me = os.getpid()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == me:
            continue
        try:
            name, state, parent, start_time = read_stat(entry)
            in_our_cgroup = f"/{OURS}" in entry.joinpath("cgroup").read_text()
        except OSError:  # it ended meanwhile
            continue
        ours = in_our_cgroup or name.startswith(OURS) or OURS in program_of(entry)
        if parent == me or (ours and state != "Z"):
            yield f"{name} pid {entry.name} start time {start_time} in {directory_of(entry)}"


def directory_of(process: Path) -> str:
    """Where it works: a supervisor in its container's directory, whose path has the test's name in it."""
    try:
        return str(process.joinpath("cwd").readlink())
    except OSError:
        return "?"


def program_of(process: Path) -> str:
    try:
        return process.joinpath("exe").readlink().name
    except OSError:  # a kernel thread, or not ours to look at
        return ""


def read_stat(process: Path) -> tuple[str, str, int, int]:
    """Name, state, parent and start time. Spec: proc_pid_stat(5)"""
    text = process.joinpath("stat").read_text()
    name = text[text.index("(") + 1 : text.rindex(")")]
    rest = text[text.rindex(")") + 2 :].split()
    return name, rest[0], int(rest[1]), int(rest[19])


def our_cgroups() -> Iterator[str]:
    """Every cgroup of ours in each hierarchy, and the parent of them all."""
    for root, directories, _ in os.walk("/sys/fs/cgroup"):
        for name in directories:
            path = os.path.join(root, name)
            if f"/{OURS}/" in path or name.startswith(OURS):
                yield path


def mounts() -> Iterator[str]:
    """Mountinfo without its ids, which change as others mount and unmount."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        yield f"{' '.join(left.split()[3:6])} {right}"


def links() -> Iterator[str]:
    yield from (path.name for path in Path("/sys/class/net").iterdir())


def nft_rules() -> Iterator[str]:
    if shutil.which("nft") is None or os.geteuid() != 0:
        return
    done = subprocess.run(
        ["nft", "--stateless", "list", "ruleset"], check=False, capture_output=True, text=True
    )
    table = ""
    for line in done.stdout.splitlines():
        table = line if line.startswith("table") else table
        yield f"{table} {line.strip()}" if line != table else line
