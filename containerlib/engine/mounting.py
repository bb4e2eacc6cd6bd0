"""Which volumes and host paths a container mounts, and what is in them when it begins.

whole(core, options, image, ...)      before the record: what is mounted, other containers' and unnamed volumes too
bound(instance, options, image)       after it, when nobody can remove the volumes: each as a bind of its directory
image_roots(instance)                 at each start
"""

from __future__ import annotations

import os
import secrets
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve

from containerlib.bundles.mounts import check_target
from containerlib.engine.instance import Shared
from containerlib.engine.late import part_path
from containerlib.engine.listing import find
from containerlib.engine.sources import StoredSource, resolve
from containerlib.errors import InvalidArgument, NotFound
from containerlib.images.snapshots.copying import copy_directory
from containerlib.runtime import OverlayRoot
from containerlib.spec.options import ContainerOptions, MountOption

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.instance import Instance
    from containerlib.engine.sources import Resolved
    from containerlib.spec.layer import LayerKind

__all__ = ["ANONYMOUS", "bound", "image_roots", "images_of", "shared", "whole"]

ANONYMOUS = "containerlib.anonymous"
"""The label of a volume that has no name but was made for a container: that container's id."""


def whole(core: Core, options: ContainerOptions, image: Resolved) -> tuple[ContainerOptions, tuple[str, ...]]:
    """`options` with the mounts of other containers and of the image, and the names of the volumes that are new.

    What the recipe says itself counts more than what another container has, and that more than the image.

    Raises: NotFound for another container; InvalidArgument for an image's volume that cannot be one.
    """
    unnamed = any(mount.kind == "volume" and not mount.source for mount in options.mounts)
    if not (unnamed or options.volumes_from or image.config.volumes):
        return options, ()
    anonymous: list[str] = []

    def new() -> str:
        anonymous.append(secrets.token_hex(32))
        return anonymous[-1]

    mounts = [
        evolve(mount, source=new()) if mount.kind == "volume" and not mount.source else mount
        for mount in options.mounts
    ]
    taken = {mount.target for mount in mounts}
    for name, read_only in options.volumes_from:
        for mount in find(core, name).memo.mounts:
            if mount.target not in taken:
                taken.add(mount.target)
                mounts.append(_taken_over(mount, read_only))
    for path in image.config.volumes:
        target = check_target(path, field="image")
        if target not in taken:
            taken.add(target)
            mounts.append(MountOption("volume", target, new()))
    return evolve(options, mounts=tuple(mounts)), tuple(anonymous)


def shared(options: ContainerOptions) -> tuple[Shared, ...]:
    """What a container keeps in mind of its mounts."""
    return tuple(
        Shared(
            mount.kind,
            mount.target,
            mount.source,
            mount.read_only,
            mount.subpath,
        )
        for mount in options.mounts
        if mount.kind in ("bind", "volume")
    )


def bound(instance: Instance, options: ContainerOptions, image: Resolved) -> ContainerOptions:
    """`options` with every volume as a bind of its directory, made and filled where that is still to be done.

    Raises: NotFound for a host path; StageError(stage="volume").
    """
    if not options.mounts:
        return options
    own = (mount for mount in options.mounts if mount.kind != "image")
    return evolve(options, mounts=tuple(_bound(instance, mount, image) for mount in own))


def images_of(
    core: Core, options: ContainerOptions, deadline: float | None
) -> tuple[tuple[str, str, LayerKind], ...]:
    """The images that are mounted, pulled where they are missing, each with its place and the form of its layers.

    Raises: NotFound; what a pull raises; InvalidArgument where another mount would be hidden by one.
    """
    found = []
    for mount in options.mounts:
        if mount.kind != "image":
            continue
        places = (*(other.target for other in options.mounts), *(secret.path for secret in options.secrets))
        below = [place for place in places if place.startswith(f"{mount.target}/")]
        if below:
            raise InvalidArgument(
                f"an image is mounted on {mount.target} after all else, and would hide {below[0]}",
                field="mounts",
            )
        image = resolve(core, StoredSource(mount.source), deadline)
        found.append((mount.target, image.id, image.kind))
    return tuple(found)


def image_roots(instance: Instance) -> tuple[tuple[str, OverlayRoot], ...]:
    """What is mounted of images. Raises: NotFound."""
    mapped = instance.memo.ids == "mapped"
    return tuple(
        (target, OverlayRoot(instance.core.images.layers(image, kind), None, None, mapped=mapped))
        for target, image, kind in instance.memo.images
    )


def _bound(instance: Instance, mount: MountOption, image: Resolved) -> MountOption:
    if mount.kind == "volume":
        volumes, made = instance.core.volumes, mount.volume
        own = {ANONYMOUS: instance.id} if mount.source in instance.memo.anonymous else {}
        path = volumes.ensure(
            mount.source, {**dict(made.labels), **own}, driver=made.driver, options=dict(made.options)
        ).path
        if mount.copy and not image.private:
            volumes.fill(mount.source, partial(copy_directory, image.layers, mount.target))
        ids = () if mount.id_map is None and instance.memo.ids == "mapped" else mount.id_map
        source = part_path(instance, mount.target) if mount.subpath else path
        return evolve(mount, kind="bind", source=source, id_map=ids)
    if mount.kind == "bind" and not os.path.lexists(mount.source):
        raise NotFound(
            f"the mount source {mount.source} (for {mount.target}) is not there: make it first, on the host"
        )
    return mount


def _taken_over(mount: Shared, read_only: bool) -> MountOption:
    return MountOption(
        mount.kind,
        mount.target,
        mount.source,
        mount.read_only or read_only,
        subpath=mount.subpath,
        copy=False,
    )
