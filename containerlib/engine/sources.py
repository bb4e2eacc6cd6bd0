"""Where a container's root file system comes from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from attrs import frozen

from containerlib.errors import InvalidArgument, NotFound
from containerlib.runtime import OverlayRoot
from containerlib.spec.image_config import ImageConfig
from containerlib.spec.reference import Reference

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.images import ImageRecord

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
_ID = re.compile(r"sha256:[0-9a-f]{12,64}|[0-9a-f]{64}")
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
    """An image that is here: its configuration, and its layers' directories, top first."""

    id: str
    reference: str
    config: ImageConfig
    layers: tuple[str, ...]
    private: bool = False
    """Whether the writable layer is a tmpfs of the container's own."""

    def overlay(self, directory: str, mountpoints: str) -> OverlayRoot:
        """The root of the container whose directory is `directory`, with the layer `mountpoints` below the image's."""
        if self.private:
            return OverlayRoot(lowers=self.layers, upper=None, work=None)
        lowers = (*self.layers, mountpoints)
        return OverlayRoot(lowers=lowers, upper=f"{directory}/upper", work=f"{directory}/work")


def check_reference(reference: str) -> str:
    """`reference` where it is one, or an image's id.

    Raises: InvalidArgument.
    """
    if not isinstance(reference, str):
        raise InvalidArgument(f"{reference!r} is not an image's reference", field="image")
    if not _ID.fullmatch(reference):
        Reference.parse(reference)
    return reference


def resolve(core: Core, source: ImageSource) -> Resolved:
    """The image that `source` names.

    Raises: NotFound, and what a pull raises.
    """
    if isinstance(source, HostSource):
        return host()
    record = _stored(core, source)
    return Resolved(record.id, source.reference, record.config, tuple(record.layer_dirs))


def resolve_again(core: Core, image_id: str, reference: str) -> Resolved:
    """The image that a container was made from; its tags may have moved on."""
    if not image_id:
        return host()
    record = core.images.get(image_id)
    return Resolved(record.id, reference, record.config, tuple(record.layer_dirs))


def host() -> Resolved:
    """The machine's own file system as an image."""
    config = ImageConfig(env=(_HOST_PATH,), cmd=("/bin/sh",))
    return Resolved("", "host", config, ("/",), private=True)


def _stored(core: Core, source: StoredSource) -> ImageRecord:
    if source.pull == "always":
        return core.images.pull(source.reference)
    try:
        return core.images.get(source.reference)
    except NotFound:
        if source.pull == "never" or _ID.fullmatch(source.reference):
            raise
    return core.images.pull(source.reference)
