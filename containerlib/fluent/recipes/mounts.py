"""What a container sees beside its image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from containerlib.engine import words
from containerlib.fluent.container_handle import ContainerHandle
from containerlib.fluent.mounts import mount_option
from containerlib.fluent.recipes.base import Words

if TYPE_CHECKING:
    from containerlib.fluent.mounts import MountSource
    from containerlib.spec.options import Recursion

__all__ = ["MountWords"]


class MountWords(Words):
    """Mounts, and whether the root can be written."""

    __slots__ = ()

    def mount(
        self,
        source: MountSource,
        *,
        at: str,
        read_only: bool = False,
        propagation: str = "rprivate",
        recursive: Recursion = True,
        id_map: bool | Sequence[tuple[int, int, int]] = False,
        subpath: str | None = None,
        copy: bool = True,
    ) -> Self:
        """Shows `source` at the container's absolute path `at`.

        `source` is an absolute path on the host, a volume (`engine.volume("www")`), `tmpfs(size="64MiB")`, or an image
        (`engine.image("data:1")`), whose files can only be read.

        Of a host path: `propagation` says whether later mounts spread from and to it (`"rslave"`, `"rshared"`, ...);
        with `recursive=False` the mounts below it are not seen, with `"writable"` a read-only one leaves them writable,
        with `"readonly"` it must cover them. `id_map`, also of a volume, shows files under other ids:
        `[(id of the files, id on the host, how many)]`, or True for those of the container's user namespace.

        Of a volume: `subpath` is what of it is shown. An empty one first gets what the image has at `at`, unless `copy`
        is False or another container has it.
        """
        mount = mount_option(
            source,
            at=at,
            read_only=read_only,
            propagation=propagation,
            recursive=recursive,
            id_map=id_map,
            subpath=subpath,
            copy=copy,
        )
        others = tuple(other for other in self.options.mounts if other.target != mount.target)
        return self._with(mounts=(*others, mount))

    def volumes_from(self, container: ContainerHandle[Any] | str, /, *, read_only: bool = False) -> Self:
        """The volumes and host paths that another container mounts, on the same paths; `mount` counts more.

        `container` is a handle, a name or an id, looked up when this one is made.
        """
        name = (
            container.id
            if isinstance(container, ContainerHandle)
            else words.text(container, field="volumes_from")
        )
        others = tuple(other for other in self.options.volumes_from if other[0] != name)
        return self._with(volumes_from=(*others, (name, words.flag(read_only, field="read_only"))))

    def read_only(self, enabled: bool = True, /) -> Self:
        """The root file system cannot be written; mounts can."""
        return self._with(read_only=words.flag(enabled, field="read_only"))
