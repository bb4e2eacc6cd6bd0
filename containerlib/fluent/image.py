"""Images: by reference as a recipe, and here as a handle."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import field, frozen

from containerlib.engine import words
from containerlib.engine.removal import remove_image
from containerlib.engine.sources import check_reference

if TYPE_CHECKING:
    from containerlib.fluent.engine import Engine
    from containerlib.images import ImageRecord, Progress
    from containerlib.spec.auth import Auth, Credentials

__all__ = ["HostImage", "Image", "ImageCollection", "ImageRecipe"]


@frozen
class ImageRecipe:
    """An image by its reference, which need not be here yet."""

    engine: Engine
    reference: str = field(validator=lambda _, __, reference: check_reference(reference))

    def pull(
        self,
        *,
        auth: Auth | Credentials | None = None,
        platform: str | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Image:
        """Fetches and unpacks the image; what is here already is not fetched again. Blocks until it is done.

        `platform` is e.g. `"linux/arm64"`; without it, this machine's. `progress` is called from this thread
        or another, some ten times a second.

        Raises: NotFound, Unauthorized, Unavailable, RegistryError, StageError; Unsupported without root.
        """
        if platform is not None:
            words.text(platform, field="platform")
        pulled = self.engine.core.images.pull(self.reference, auth=auth, platform=platform, progress=progress)
        return Image(self.engine, pulled)

    def __repr__(self) -> str:
        return f"<ImageRecipe {self.reference}>"


@frozen
class HostImage:
    """The running machine's own file system as an image.

    Read-only: what a container writes goes to an overlay in memory that dies with the container.
    """

    engine: Engine

    def __repr__(self) -> str:
        return "<HostImage>"


@frozen
class Image:
    """An image that is here and unpacked."""

    engine: Engine
    record: ImageRecord = field(repr=False)

    @property
    def id(self) -> str:
        """The digest of its configuration, `"sha256:..."`."""
        return self.record.id

    @property
    def references(self) -> tuple[str, ...]:
        """Its names, each with registry, repository and tag."""
        return self.record.references

    @property
    def size_bytes(self) -> int:
        """The bytes of its unpacked files."""
        return self.record.size_bytes

    @property
    def created_at(self) -> datetime:
        """When it came here."""
        return self.record.created_at

    def tag(self, reference: str) -> Image:
        """Gives the image one more name, which another image may lose by it.

        Raises: InvalidArgument; NotFound.
        """
        name = words.text(reference, field="reference")
        return Image(self.engine, self.engine.core.images.tag(self.id, name))

    def remove(self) -> None:
        """Removes the image, all its names, and what it shares with no other image.

        Raises: NotFound; Conflict where a container was made from it.
        """
        remove_image(self.engine.core, self.id)

    def __repr__(self) -> str:
        start = self.id[: len("sha256:") + 12]
        return f"<Image {' '.join((start, *self.references))}>"


@frozen
class ImageCollection:
    """The images of an engine: `engine.images`."""

    engine: Engine

    def get(self, name_or_id: str) -> Image:
        """The image of that reference or id.

        Raises: NotFound.
        """
        name = words.text(name_or_id, field="name_or_id")
        return Image(self.engine, self.engine.core.images.get(name))

    def load(self, path: str | os.PathLike[str]) -> list[Image]:
        """The images in a `docker save` archive, or in an OCI layout (a directory or an archive of one).

        Raises: NotFound, InvalidArgument, StageError; Unsupported without root.
        """
        place = words.any_path(path, field="path")
        return [Image(self.engine, record) for record in self.engine.core.images.load(place)]

    def list(self) -> list[Image]:
        """All images that are here."""
        return [Image(self.engine, record) for record in self.engine.core.images.list()]

    def __repr__(self) -> str:
        return f"<ImageCollection of {self.engine!r}>"
