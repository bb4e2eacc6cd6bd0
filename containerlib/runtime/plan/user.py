"""A container's user namespace to ops: its maps, and the first process as its root.

    clone3(NEWUSER, ...)                         it is nobody yet, with every capability inside
    HANDOVER [uid_map, gid_map, cgroups]         the shim writes them: whoever is mapped has no right to
    setresuid(0)                                 from here on its files are the mapped root's

An ordinary user has a map of one id, its own, or what /etc/subuid gives through newuidmap(1) and newgidmap(1), which
are the only programs that a start may run.

Spec: runtime-spec config-linux.md#user-namespace-mappings; user_namespaces(7)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from containerlib.errors import InvalidArgument
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.op import Op
from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.spec.runtime import IDMapping, Linux

__all__ = ["Mapper", "map_text", "root_ops", "user_ops"]


@frozen
class Mapper:
    """How ids are mapped by a caller without privilege: by these programs, or, where there are none, by itself."""

    newuidmap: str | None = None
    newgidmap: str | None = None


def user_ops(linux: Linux, mapper: Mapper | None, handed: Sequence[Op]) -> Iterator[Op]:
    """The beginning of a plan with a new user namespace; `handed`: what else the shim is to do there.

    `mapper`: None for a privileged caller. Raises: InvalidArgument where there is no mapping.
    """
    maps = (linux.get("uidMappings") or (), linux.get("gidMappings") or ())
    for name, mappings in zip(("uidMappings", "gidMappings"), maps, strict=True):
        if not mappings:
            raise InvalidArgument("a user namespace needs a mapping of ids", field=f"linux.{name}")
    yield from ops.handover(*_map_ops(*maps, mapper), *handed)
    yield from root_ops(keep_groups=denies_groups(linux, mapper))


def root_ops(*, keep_groups: bool) -> Iterator[Op]:
    """The process becomes root of the user namespace that it is in."""
    yield ops.user(0, 0, (), keep_groups=keep_groups)


def denies_groups(linux: Linux, mapper: Mapper | None) -> bool:
    """Whether setgroups(2) has to be given up: the price of a map without privilege."""
    return mapper is not None and (
        mapper.newgidmap is None or not _needs_program(linux.get("gidMappings") or ())
    )


def map_text(mappings: Sequence[IDMapping]) -> str:
    """Spec: user_namespaces(7), uid_map."""
    return "".join(f"{m['containerID']} {m['hostID']} {m['size']}\n" for m in mappings)


def _map_ops(uids: Sequence[IDMapping], gids: Sequence[IDMapping], mapper: Mapper | None) -> Iterator[Op]:
    if mapper is None:
        yield ops.id_map("uid_map", map_text(uids))
        yield ops.id_map("gid_map", map_text(gids))
        return
    yield _mapped_by("uid_map", uids, mapper.newuidmap, "newuidmap")
    if not (mapper.newgidmap and _needs_program(gids)):
        yield ops.id_map("setgroups", "deny")
    yield _mapped_by("gid_map", gids, mapper.newgidmap, "newgidmap")


def _needs_program(mappings: Sequence[IDMapping]) -> bool:
    return len(mappings) > 1 or any(m["size"] > 1 for m in mappings)


def _mapped_by(file: str, mappings: Sequence[IDMapping], program: str | None, name: str) -> Op:
    if not _needs_program(mappings):
        return ops.id_map(file, map_text(mappings))
    if program is None:
        raise InvalidArgument(
            f"only {name} maps more than one id for an ordinary user, and it is not installed: "
            "apt-get install uidmap, and give the user a range in /etc/subuid and /etc/subgid",
            field=f"linux.{file.removesuffix('_map')}Mappings",
        )
    numbers = [str(m[key]) for m in mappings for key in ("containerID", "hostID", "size")]
    return ops.command([program, *numbers], f"linux.{file.removesuffix('_map')}Mappings by {name}")
