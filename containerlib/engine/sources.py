"""Where a container's root file system comes from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from attrs import frozen

from containerlib._sys.privilege import in_user_namespace
from containerlib.errors import InvalidArgument, NotFound
from containerlib.runtime import BindRoot, FuseRoot, OverlayRoot, Root
from containerlib.spec.image_config import ImageConfig
from containerlib.spec.layer import MAX_LAYERS, Layer
from containerlib.spec.reference import Reference

if TYPE_CHECKING:
    from containerlib.bundles.ids import IdMaps
    from containerlib.engine.core import Core
    from containerlib.images import ImageRecord
    from containerlib.spec.layer import LayerKind

__all__ = [
    "HostSource",
    "ImageSource",
    "PullPolicy",
    "Resolved",
    "StoredSource",
    "check_reference",
    "resolve",
]

PullPolicy = Literal["missing", "never", "always"]
_ID = re.compile(r"(?:sha256|sha512):[0-9a-f]{12,128}|[0-9a-f]{64}")
_HOST_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@frozen
class HostSource:
    """The running machine's own file system, under an overlay that dies with the container."""


@frozen
class StoredSource:
    """An image by reference or id, pulled first where `pull` says so."""

    reference: str
    pull: PullPolicy = "missing"


ImageSource = HostSource | StoredSource


@frozen
class Resolved:
    """An image that is here: its configuration, and its layers, top first; a path is a directory."""

    id: str
    reference: str
    config: ImageConfig
    layers: tuple[str | Layer, ...]
    private: bool = False
    """Whether the writable layer is a tmpfs of the container's own."""

    @property
    def kind(self) -> LayerKind:
        """The form that its layers are in."""
        top = self.layers[0] if self.layers else ""
        return "overlay" if isinstance(top, str) else top.kind

    def root(
        self, directory: str, mountpoints: str, *, volatile: bool = False, ids: IdMaps | None = None
    ) -> Root:
        """The root of the container whose directory is `directory`, with the layer `mountpoints` below the image's.

        `volatile`: nobody sees it again when the container has ended. `ids`: those of the container's user namespace,
        which its layers get.

        Raises: NotFound where the program that stacks the layers is no longer installed.
        """
        mapped = ids is not None and not ids.are_same
        if self.private:
            return OverlayRoot(lowers=self.layers, upper=None, work=None, mapped=mapped)
        if self.kind == "copy":
            return BindRoot(f"{directory}/rootfs", closed=ids is not None)
        upper, work = f"{directory}/upper", f"{directory}/work"
        below = (mountpoints,) if len(self.layers) < MAX_LAYERS else ()
        if self.kind == "fuse-overlayfs":
            from containerlib.images.snapshots.choice import fuse_overlayfs  # noqa: PLC0415 - few need it

            paths = (layer if isinstance(layer, str) else layer.path for layer in (*self.layers, *below))
            maps = (ids.uids, ids.gids) if mapped and ids is not None else ((), ())
            return FuseRoot(tuple(paths), upper, work, fuse_overlayfs(), *maps)
        return OverlayRoot((*self.layers, *below), upper, work, mapped=mapped, volatile=volatile)


def check_reference(reference: str) -> str:
    """`reference` where it is one, or an image's id.

    Raises: InvalidArgument.
    """
    if not isinstance(reference, str):
        raise InvalidArgument(f"{reference!r} is not an image's reference", field="image")
    if not _ID.fullmatch(reference):
        Reference.parse(reference)
    return reference


def resolve(core: Core, source: ImageSource, deadline: float | None = None) -> Resolved:
    """The image that `source` names; where it has to be pulled, until `deadline` on time.monotonic()'s clock.

    Raises: NotFound, and what a pull raises.
    """
    if isinstance(source, HostSource):
        return host()
    record = _stored(core, source, deadline)
    return Resolved(record.id, source.reference, record.config, record.layers)


def resolve_again(core: Core, image_id: str, reference: str, kind: LayerKind) -> Resolved:
    """The image that a container was made from, with layers of `kind`; its tags and its form may have moved on."""
    if not image_id:
        return host()
    config = core.images.get(image_id).config
    return Resolved(image_id, reference, config, core.images.layers(image_id, kind))


def host() -> Resolved:
    """The machine's own file system as an image.

    The kernel stacks nothing on mounts that are more privileged than the caller; a program does.
    """
    config = ImageConfig(env=(_HOST_PATH,), cmd=("/bin/sh",))
    if in_user_namespace():
        return Resolved("", "host", config, (Layer("/", "fuse-overlayfs"),))
    return Resolved("", "host", config, ("/",), private=True)


def _stored(core: Core, source: StoredSource, deadline: float | None) -> ImageRecord:
    if source.pull == "always":
        return core.images.pull(source.reference, deadline=deadline)
    try:
        return core.images.get(source.reference)
    except NotFound:
        if source.pull == "never" or _ID.fullmatch(source.reference):
            raise
    return core.images.pull(source.reference, deadline=deadline)
