"""Images: by reference as a recipe, and here as a handle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import field, frozen

from containerlib.boundary import public
from containerlib.engine import archive, words
from containerlib.engine.removal import remove_image
from containerlib.engine.sources import check_reference
from containerlib.fluent.restoring import Restorable
from containerlib.images.archives.configs import ConfigChanges

if TYPE_CHECKING:
    from containerlib.fluent.engine import Engine
    from containerlib.images import ImageRecord, Progress
    from containerlib.images.archives.streams import Target
    from containerlib.spec.auth import Auth, Credentials
    from containerlib.spec.image_config import ImageConfig
    from containerlib.spec.options import Compression, ManifestFormat

__all__ = ["HostImage", "Image", "ImageRecipe", "image_changes"]


@public
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
        all_platforms: bool = False,
        foreign_layers: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> Image:
        """Fetches and unpacks the image; what is here already is not fetched again. Blocks until it is done.

        `platform` is e.g. `"linux/arm64"`, and an image for another alone is not found then; without it, this
        machine's, or that of the only image that there is. With `all_platforms` the images for the others are kept as
        well, not unpacked: `push` and `save` then take the whole index, with the digest that it has.
        `foreign_layers`, which registries may not have, are fetched from the addresses in the manifest.
        `progress` is called for each piece that has come or been unpacked, by several threads one at a time.

        Raises: NotFound, Unauthorized, Unavailable, RegistryError, StageError; Unsupported without root.
        """
        if platform is not None:
            words.text(platform, field="platform")
        pulled = self.engine.core.images.pull(
            self.reference,
            auth=auth,
            platform=platform,
            all_platforms=words.flag(all_platforms, field="all_platforms"),
            foreign_layers=words.flag(foreign_layers, field="foreign_layers"),
            progress=progress,
        )
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


@public
@frozen
class Image(Restorable):
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

    @property
    def digest(self) -> str:
        """The digest of its manifest: in a registry that has the image, `"app@sha256:..."` is this one and no other."""
        return self.record.digest

    @property
    def config(self) -> ImageConfig:
        """What it runs by default, and what it says of itself: command, environment, labels, platform."""
        return self.record.config

    def tag(self, reference: str) -> Image:
        """Gives the image one more name, which another image may lose by it.

        Raises: InvalidArgument; NotFound.
        """
        name = words.text(reference, field="reference")
        return Image(self.engine, self.engine.core.images.tag(self.id, name))

    def push(
        self,
        reference: str,
        *,
        auth: Auth | Credentials | None = None,
        manifest_format: ManifestFormat | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> str:
        """Pushes the image, which need not have that name here; the digest that it has there. Blocks until it is done.

        What the registry has is not sent again. The tag is written last: a push that ends early leaves it as it was.
        An image that was pulled with all platforms is pushed with them: the index, byte for byte.
        `manifest_format` is for a registry that knows only `"docker"` or `"oci"`; the manifest gets another digest.

        Raises: InvalidArgument; Unauthorized, Unavailable, Unsupported, RegistryError.
        """
        return self.engine.images.push(
            self, to=reference, auth=auth, manifest_format=manifest_format, progress=progress
        )

    def save(self, target: Target, *, layout: bool = False) -> None:
        """Writes it as an archive, for `load` here, docker, podman and skopeo; with `layout`, as an OCI layout.

        `target` is a path, or a file that is open for bytes; a layout's is a directory that is not there yet. What
        is at the path is replaced once the archive is whole; a symlink is followed, a device or a FIFO written into.

        Raises: AlreadyExists; StageError.
        """
        archive.save(self.engine.core, [self.id], target, layout=words.flag(layout, field="layout"))

    def squash(self, reference: str | None = None, *, compression: Compression = "gzip") -> Image:
        """An image with the same files and configuration in one layer, named `reference`.

        What a layer deleted is in no layer of it, and its layer is shared with no other image.

        Raises: InvalidArgument; StageError; Unsupported without root.
        """
        made = archive.history("squash", comment=f"of {self.id}")
        squashed = self.engine.core.images.squash(
            self.id, history=made, compression=words.compression(compression), reference=reference
        )
        return Image(self.engine, squashed)

    def remove(self) -> None:
        """Removes the image, all its names, and what it shares with no other image.

        Raises: NotFound; Conflict where a container was made from it.
        """
        remove_image(self.engine.core, self.id)

    def __repr__(self) -> str:
        start = self.id[: len("sha256:") + 12]
        return f"<Image {' '.join((start, *self.references))}>"

    def _repr_html_(self) -> str:
        from containerlib.fluent.tables import images_table  # noqa: PLC0415 - for notebooks alone

        return images_table([self.record])


def image_changes(
    *,
    entrypoint: Sequence[str] | None,
    cmd: Sequence[str] | None,
    env: Mapping[str, str] | None,
    labels: Mapping[str, str] | None,
    user: str | int | None,
    workdir: str | None,
) -> ConfigChanges:
    """What a new image runs by default, checked. Raises: InvalidArgument."""
    return ConfigChanges(
        entrypoint=None if entrypoint is None else words.vector(entrypoint, field="entrypoint"),
        cmd=None if cmd is None else words.vector(cmd, field="cmd"),
        env=words.merge_pairs((), env, {}, field="env"),
        labels=words.merge_pairs((), labels, {}, field="labels"),
        user=None if user is None else words.user(user),
        workdir=None if workdir is None else words.container_path(workdir, field="workdir"),
    )
