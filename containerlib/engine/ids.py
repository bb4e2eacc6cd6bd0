"""A container's user namespace: whose ids it gets, and what has to belong to its root.

with_ids        the record is there                    maps = maps_of(instance, options)
give            the directory is there                 its writable layer and the engine's files are its root's
in_namespace    the configuration is there             it says so
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from containerlib._sys.privilege import in_user_namespace
from containerlib.bundles.devices import bound_elsewhere
from containerlib.bundles.ids import IdMaps, Range, identity, joined_spec, mapped_spec, ranges, root_place
from containerlib.engine.listing import find
from containerlib.errors import StageError, Unsupported
from containerlib.spec.options import JOIN, ContainerOptions

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.instance import Instance
    from containerlib.spec.runtime import IDMapping, Mount, Spec

__all__ = ["IdKind", "give", "in_namespace", "kind_of", "maps_again", "maps_of"]

IdKind = Literal["", "same", "mapped"]
"""Without a user namespace; with one of the same ids as the host; with other ids."""
_SLOT = 65_536


def kind_of(core: Core, options: ContainerOptions) -> IdKind:
    """What a container's ids are.

    Raises: NotFound for another one; Unsupported for ids that this process has no right to give, as root of a user
    namespace alone.
    """
    word = options.userns.kind
    if word in ("auto", "maps") and in_user_namespace():
        raise Unsupported(
            f'userns("{word}") maps an image to other ids, as the host\'s root can: without root there is "keep-id"'
        )
    if word == "host":
        return ""
    if word == "keep-id":
        return "same"
    return find(core, word.removeprefix(JOIN)).memo.ids if word.startswith(JOIN) else "mapped"


def maps_of(instance: Instance, options: ContainerOptions) -> IdMaps | None:
    """The ids, leased where they are to be nobody else's; None without a user namespace. Raises: Conflict, NotFound."""
    namespace, core = options.userns, instance.core
    if namespace.kind == "auto":
        with core.store.database.transaction():
            first = core.store.ids.lease(instance.id, namespace.size, _spread(ranges(), core.cgroup_tag))
        return IdMaps(((0, first, namespace.size),), ((0, first, namespace.size),))
    if namespace.kind == "maps":
        return IdMaps(namespace.uids, namespace.gids)
    if namespace.kind == "keep-id":
        return identity()
    if namespace.kind.startswith(JOIN):
        return _configured(find(core, namespace.kind.removeprefix(JOIN)))
    return None


def maps_again(instance: Instance) -> IdMaps | None:
    """The ids of one that is there. Raises: NotFound where they are another container's, which is gone."""
    if not instance.memo.ids:
        return None
    other = dict(instance.memo.joined).get("user")
    return _configured(instance if other is None else find(instance.core, other))


def _configured(instance: Instance) -> IdMaps:
    linux = instance.spec["linux"]
    return IdMaps(_entries(linux.get("uidMappings", ())), _entries(linux.get("gidMappings", ())))


def _entries(mappings: Sequence[IDMapping]) -> tuple[tuple[int, int, int], ...]:
    return tuple((each["containerID"], each["hostID"], each["size"]) for each in mappings)


def _spread(free: Sequence[Range], tag: str) -> Sequence[Range]:
    """`free` from a place on that depends on the engine's root: another root's containers seldom get the same."""
    (first, many), *rest = free
    offset = int(tag, 16) % max(many // _SLOT, 1) * _SLOT
    return [(first + offset, many - offset), (first, offset), *rest]


def give(maps: IdMaps | None, *paths: str) -> None:
    """Makes files that are root's, or the image's root's, those of the container. Raises: StageError."""
    if maps is None:
        return
    for path in paths:
        try:
            status = os.lstat(path)
            os.chown(path, *maps.on_host(status.st_uid, status.st_gid), follow_symlinks=False)
        except OSError as error:
            raise StageError("state", error.errno or 0, path) from error


def in_namespace(spec: Spec, options: ContainerOptions, maps: IdMaps | None, files: Sequence[Mount]) -> Spec:
    """`spec` with the user namespace that goes with `maps`; `files` are the engine's own, which become its root's."""
    if maps is None:
        return bound_elsewhere(spec, options) if in_user_namespace() else spec
    word = options.userns.kind
    spec = bound_elsewhere(spec, options)
    if word.startswith(JOIN):
        return joined_spec(spec, word, root_place())
    give(maps, *(mount["source"] for mount in files))
    return mapped_spec(spec, maps, root_place())
