"""Images: by reference as a recipe, and here as a handle."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import field, frozen

from containerlib.boundary import public
from containerlib.engine import archive, words
from containerlib.engine.removal import prune_images, remove_image, verify_images
from containerlib.engine.sources import check_reference
from containerlib.errors import InvalidArgument
from containerlib.fluent.restoring import Restorable
from containerlib.images.archives.configs import ConfigChanges
from containerlib.images.content.pruning import PrunePolicy
from containerlib.units import Size, parse_size

if TYPE_CHECKING:
    from containerlib.fluent.engine import Engine
    from containerlib.images import ImageRecord, ImagesPruned, Progress
    from containerlib.images.archives.streams import Source, Target
    from containerlib.images.content.verify import VerifyReport
    from containerlib.spec.auth import Auth, Credentials
    from containerlib.spec.image_config import ImageConfig
    from containerlib.spec.options import Compression, ManifestFormat

__all__ = ["HostImage", "Image", "ImageCollection", "ImageRecipe", "image_changes"]


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


@public
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

    def load(
        self,
        source: Source,
        *,
        platform: str | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> list[Image]:
        """The images in a `docker save` archive, or in an OCI layout (a directory or an archive of one).

        `source` is a path, or a file that is open for bytes: `sys.stdin.buffer`, a pipe, an HTTP answer's body. That is
        read from where it is to its end, on to the disk and not into memory, and is the caller's to close.
        `platform` and `progress`: as of `ImageRecipe.pull`.

        Raises: NotFound, InvalidArgument, StageError; Unsupported without root.
        """
        if platform is not None:
            words.text(platform, field="platform")
        given = words.any_path(source, field="source") if isinstance(source, str | os.PathLike) else source
        loaded = self.engine.core.images.load(given, platform=platform, progress=progress)
        return [Image(self.engine, record) for record in loaded]

    def save(self, *images: str | Image, to: Target, layout: bool = False) -> None:
        """Writes several images, by handle, reference or id, as one archive or OCI layout: as `Image.save`.

        Raises: NotFound; InvalidArgument; AlreadyExists; StageError.
        """
        archive.save(self.engine.core, _names(images), to, layout=words.flag(layout, field="layout"))

    def push(
        self,
        *images: str | Image,
        to: str,
        auth: Auth | Credentials | None = None,
        manifest_format: ManifestFormat | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> str:
        """Pushes an image, by handle, reference or id; or several as one, with a platform for each: as `Image.push`.

        Where names of one image stand for several indexes, a reference means its own, the others that of the last pull.

        Raises: NotFound; InvalidArgument for two images of one platform; as `Image.push`.
        """
        target = words.text(to, field="reference")
        return self.engine.core.images.push(
            _names(images),
            target,
            auth=auth,
            manifest_format=words.manifest_format(manifest_format),
            progress=progress,
        )

    def import_(
        self,
        source: Source,
        reference: str | None = None,
        *,
        entrypoint: Sequence[str] | None = None,
        cmd: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        user: str | int | None = None,
        workdir: str | None = None,
        message: str = "",
        compression: Compression = "gzip",
        progress: Callable[[Progress], None] | None = None,
    ) -> Image:
        """An image of a root file system: a tar archive, compressed or not, as a path or open file; or a directory.

        A file or stream, as of `load`, is packed and unpacked as it comes.

        Raises: NotFound; InvalidArgument for what is no archive of a layer; StageError; Unsupported without root.
        """
        changed = image_changes(
            entrypoint=entrypoint, cmd=cmd, env=env, labels=labels, user=user, workdir=workdir
        )
        made = archive.history("import", comment=words.text(message, field="message"))
        imported = archive.import_tree(
            self.engine.core,
            source,
            reference=reference,
            made=made,
            changed=changed,
            compression=words.compression(compression),
            progress=progress,
        )
        return Image(self.engine, imported)

    def prune(
        self,
        *,
        named: bool = False,
        older_than: float | None = None,
        labels: Mapping[str, str | None] | None = None,
        keep: Size | None = None,
    ) -> ImagesPruned:
        """Removes images that no container was made from: those without a name, and with `named` the others too.

        Further conditions: `older_than` seconds ago they came here; they have all of `labels` (None: whatever value).
        `keep`, e.g. `"10GiB"`: the oldest of these go, until all images together have no more than this.

        Raises: InvalidArgument.
        """
        policy = PrunePolicy(
            named=words.flag(named, field="named"),
            older_than=words.age(older_than, field="older_than"),
            labels=tuple((labels or {}).items()),
            keep_bytes=None if keep is None else parse_size(keep, field="keep"),
        )
        return prune_images(self.engine.core, policy)

    def verify(
        self,
        *,
        repair: bool = False,
        auth: Auth | Credentials | None = None,
        foreign_layers: bool = False,
    ) -> VerifyReport:
        """Holds every blob against its digest, and every layer on disk against what its blob unpacks to.

        With `repair` damaged blobs are fetched again, foreign layers only with `foreign_layers`, and damaged layers are
        unpacked again; those that are directories only where no container was made from their images. Blocks for as
        long as reading and unpacking all images takes, in the space of their largest layer. What cannot be repaired is
        in the report, and raises nothing.

        Raises: Unsupported without root.
        """
        return verify_images(
            self.engine.core,
            repair=words.flag(repair, field="repair"),
            auth=auth,
            foreign_layers=words.flag(foreign_layers, field="foreign_layers"),
        )

    def list(self) -> list[Image]:
        """All images that are here."""
        return [Image(self.engine, record) for record in self.engine.core.images.list()]

    def __repr__(self) -> str:
        return f"<ImageCollection of {self.engine!r}>"

    def _repr_html_(self) -> str:
        from containerlib.fluent.tables import images_table  # noqa: PLC0415 - for notebooks alone

        return images_table(self.engine.core.images.list())


def _names(images: Sequence[str | Image]) -> list[str]:
    """Ids, references, or starts of ids: one at least. Raises: InvalidArgument."""
    if not images:
        raise InvalidArgument("name an image", field="images")
    return [image.id if isinstance(image, Image) else words.text(image, field="images") for image in images]


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
