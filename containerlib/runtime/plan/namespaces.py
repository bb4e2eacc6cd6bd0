"""Which namespaces a container makes, which it joins, and in what order the kernel lets it.

    clone3(NEW...)                                  all are new, or those that are joined are the host's to join
    setns(user), setns(...), unshare(NEW...)        a user namespace is joined: what is new belongs to it
    setns(...), unshare(NEWUSER | NEW...)           in a new one there is no right to join others any more

Spec: runtime-spec config-linux.md#namespaces; user_namespaces(7), setns(2)
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping

from containerlib.errors import InvalidArgument
from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from containerlib.spec.runtime import Linux

__all__ = ["CLONE_FLAGS", "Namespaces", "check_owner_of_mounts", "namespaces_of"]

CLONE_FLAGS = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "network": 0x40000000,
    "user": 0x10000000,
    "time": 0x00000080,
}
_UNSHARED = frozenset({"cgroup", "time"})
"""Kinds that clone3(2) does not make: something is to be done first, with the groups or the clocks."""


@frozen
class Namespaces:
    """Kinds that are made new, and kinds that are joined with their paths."""

    new: frozenset[str]
    joined: Mapping[str, str]

    @property
    def have_user(self) -> bool:
        """Whether there is a user namespace among them."""
        return "user" in self.new or "user" in self.joined

    @property
    def kinds(self) -> AbstractSet[str]:
        """Both."""
        return self.new | self.joined.keys()

    @property
    def all_flags(self) -> int:
        """CLONE_NEW* of both."""
        return _flags(self.kinds)

    @property
    def cloned(self) -> int:
        """Those that the first process is born in."""
        return 0 if self.come_late else _flags(self.new - _UNSHARED)

    @property
    def come_late(self) -> bool:
        """Whether the new ones are made by a process that has joined others first."""
        return "user" in self.joined or self.leave_their_owner

    @property
    def leave_their_owner(self) -> bool:
        """Whether those that are joined belong to the user namespace that a new one is made in."""
        return "user" in self.new and bool(self.joined)

    @property
    def late(self) -> int:
        """Those that are made then; the cgroup namespace among them where it would have another owner."""
        return _flags(self.new - (_UNSHARED - {"cgroup"} if self.leave_their_owner else _UNSHARED))


def namespaces_of(linux: Linux) -> Namespaces:
    """Raises: InvalidArgument."""
    new, joined = set(), {}
    for namespace in linux.get("namespaces", ()):
        kind, path = namespace["type"], namespace.get("path", "")
        if kind not in CLONE_FLAGS:
            raise InvalidArgument(f"{kind!r} is no type of namespace", field="linux.namespaces")
        if path:
            joined[kind] = path
        else:
            new.add(kind)
    check_owner_of_mounts({**joined, **dict.fromkeys(new, "")})
    return Namespaces(frozenset(new), joined)


def check_owner_of_mounts(kinds: Mapping[str, str]) -> None:
    """`kinds`: each with its path, "" for a new one. Raises: InvalidArgument where nothing could be mounted."""
    if kinds.get("user") == "" and kinds.get("mount"):
        raise InvalidArgument(
            "a new user namespace may mount nothing in a mount namespace that is joined: join its user namespace "
            "too, or make a new mount namespace",
            field="linux.namespaces",
        )


def _flags(kinds: Iterable[str]) -> int:
    return functools.reduce(operator.or_, (CLONE_FLAGS[kind] for kind in kinds), 0)
