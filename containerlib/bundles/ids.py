"""The ids of a container's user namespace: where they come from, and how they are written.

Spec: runtime-spec config-linux.md#user-namespace-mappings; user_namespaces(7), subuid(5)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from attrs import frozen

from containerlib._sys.inside import IdMap, Owners
from containerlib._sys.subids import SUBGID, SUBUID, Range, granted
from containerlib._sys.subids import read as read_file
from containerlib.errors import Unsupported
from containerlib.spec.runtime import IDMapping, Linux, Namespace, Spec

__all__ = ["IdMaps", "Range", "identity", "joined_spec", "mapped_spec", "ranges", "root_place"]

DEFAULT: Range = (0x7000_0000, 0x0FFF_0000)
"""What neither distributions nor systemd give to anybody, below 2**31."""
_OWNERS = ("containers", "root")
_PLACES = ("/mnt", "/srv", "/media", "/opt", "/home")
_PING = "net.ipv4.ping_group_range"


@frozen
class IdMaps:
    """(first id in the container, on the host, how many) each."""

    uids: tuple[tuple[int, int, int], ...]
    gids: tuple[tuple[int, int, int], ...]

    @property
    def owners(self) -> Owners:
        """The same for files."""
        return Owners(IdMap(self.uids), IdMap(self.gids))

    @property
    def are_same(self) -> bool:
        """Whether each is itself on the host."""
        return all(inside == outside for inside, outside, _ in (*self.uids, *self.gids))

    @property
    def entries(self) -> tuple[list[IDMapping], list[IDMapping]]:
        """As the runtime-spec writes them."""
        return [_entry(each) for each in self.uids], [_entry(each) for each in self.gids]

    def has(self, uid: int, gid: int) -> bool:
        """Whether both are mapped."""
        return None not in (_outside(self.uids, uid), _outside(self.gids, gid))

    def on_host(self, uid: int, gid: int) -> tuple[int, int]:
        """The host's numbers of the container's; root's where one is not mapped."""
        return _outer(self.uids, uid), _outer(self.gids, gid)


def ranges(read: Callable[[str], str] | None = None) -> Sequence[Range]:
    """Ids that may be given to containers as users and as groups: what subuid and subgid agree on."""
    for owner in _OWNERS:
        users, groups = (granted(path, (owner,), read) for path in (SUBUID, SUBGID))
        common = [_common(a, b) for a in users for b in groups]
        found = [each for each in common if each[1] > 0]
        if found:
            return found
    return [DEFAULT]


def identity(read: Callable[[str], str] | None = None) -> IdMaps:
    """Every id that this process knows, as itself."""
    read = read or read_file

    def same(path: str) -> tuple[tuple[int, int, int], ...]:
        rows = [tuple(map(int, line.split())) for line in read(path).splitlines()]
        return tuple((inside, inside, size) for inside, _, size in rows)

    return IdMaps(same("/proc/self/uid_map"), same("/proc/self/gid_map"))


def mapped_spec(spec: Spec, maps: IdMaps, place: str) -> Spec:
    """`spec` with a new user namespace of these ids; `place`: where its root can mount its root."""
    uids, gids = maps.entries
    linux: Linux = {
        **spec["linux"],
        "namespaces": [*spec["linux"]["namespaces"], {"type": "user"}],
        "uidMappings": uids,
        "gidMappings": gids,
    }
    return _without_ping({**spec, "root": {**spec["root"], "path": place}, "linux": linux})


def joined_spec(spec: Spec, word: str, place: str) -> Spec:
    """`spec` in another container's user namespace, which is found at the start."""
    user: Namespace = {"type": "user", "path": word}
    namespaces = [*spec["linux"]["namespaces"], user]
    linux: Linux = {**spec["linux"], "namespaces": namespaces}
    return _without_ping({**spec, "root": {**spec["root"], "path": place}, "linux": linux})


def root_place(places: Sequence[str] = _PLACES) -> str:
    """A directory of the host that everybody may pass to: the root is mounted on it, in the container's own mounts.

    The container's own directory is root's alone: were it open, every user of the host could run a set-uid program of
    an image (CVE-2021-41091). Raises: Unsupported.
    """
    for place in places:
        if os.path.isdir(place) and os.stat(place).st_mode & 0o001:  # noqa: PTH112, PTH116
            return place
    raise Unsupported(
        f"a container with a user namespace is put together on a directory that all may enter, and none of "
        f"{', '.join(places)} is one: make one of them"
    )


def _without_ping(spec: Spec) -> Spec:
    """The groups that may ping are all there are: in a user namespace they have no numbers."""
    sysctl = {key: value for key, value in spec["linux"].get("sysctl", {}).items() if key != _PING}
    return {**spec, "linux": {**spec["linux"], "sysctl": sysctl}}


def _entry(each: tuple[int, int, int]) -> IDMapping:
    return {"containerID": each[0], "hostID": each[1], "size": each[2]}


def _outer(entries: Sequence[tuple[int, int, int]], number: int) -> int:
    for wanted in (number, 0):
        if (found := _outside(entries, wanted)) is not None:
            return found
    return number


def _outside(entries: Sequence[tuple[int, int, int]], number: int) -> int | None:
    for inside, outside, size in entries:
        if inside <= number < inside + size:
            return outside + number - inside
    return None


def _common(one: Range, other: Range) -> Range:
    first, last = max(one[0], other[0]), min(sum(one), sum(other))
    return first, last - first
