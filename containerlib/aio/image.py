"""Images, with verbs to await."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from attrs import field, frozen

from containerlib.aio.driving import in_thread, interruptible
from containerlib.aio.verbs import handed, threaded
from containerlib.fluent.checkpoint import KeptCheckpoint as BlockingKept
from containerlib.fluent.image import HostImage as BlockingHostImage
from containerlib.fluent.image import Image as BlockingImage
from containerlib.fluent.image import ImageRecipe as BlockingRecipe
from containerlib.fluent.images import ImageCollection as BlockingCollection

if TYPE_CHECKING:
    from containerlib.aio.container import Container
    from containerlib.aio.engine import Engine
    from containerlib.fluent.container import Container as BlockingContainer
    from containerlib.images import ImageRecord, Progress
    from containerlib.images.archives.streams import Source, Target
    from containerlib.spec.auth import Auth, Credentials
    from containerlib.spec.image_config import ImageConfig
    from containerlib.spec.options import Compression, ManifestFormat

__all__ = ["HostImage", "Image", "ImageCollection", "ImageRecipe", "KeptCheckpoint"]

_OnProgress = Callable[["Progress"], None]


def _image(self: Image | ImageCollection | KeptCheckpoint, made: BlockingImage) -> Image:
    return Image(self.engine, made)


def _container(self: Image, made: BlockingContainer) -> Container:
    from containerlib.aio.container import Container  # noqa: PLC0415 - which knows images

    return Container(self.engine, made)


def _discard(made: BlockingContainer) -> None:
    from containerlib.aio.container import discard  # noqa: PLC0415 - as above

    discard(made)


@frozen
class ImageRecipe:
    """An image by its reference, which need not be here yet."""

    engine: Engine
    blocking: BlockingRecipe

    @property
    def reference(self) -> str:
        """Its name."""
        return self.blocking.reference

    async def pull(
        self,
        *,
        auth: Auth | Credentials | None = None,
        platform: str | None = None,
        all_platforms: bool = False,
        foreign_layers: bool = False,
        progress: _OnProgress | None = None,
    ) -> Image:
        """Fetches and unpacks the image, as `containerlib.ImageRecipe.pull`. `progress` is called from a thread.

        Where it is cancelled the download ends, and nothing of it stays.
        """
        pull = partial(
            self.blocking.pull,
            auth=auth,
            platform=platform,
            all_platforms=all_platforms,
            foreign_layers=foreign_layers,
        )
        return Image(self.engine, await interruptible(pull, progress))


@frozen
class HostImage:
    """The running machine's own file system as an image."""

    engine: Engine
    blocking: BlockingHostImage


@frozen
class Image:
    """An image that is here and unpacked: `containerlib.Image`, whose verbs are awaited."""

    engine: Engine
    blocking: BlockingImage = field(repr=False)

    save = threaded(BlockingImage.save)
    remove = threaded(BlockingImage.remove)
    tag = handed(BlockingImage.tag, _image)
    squash = handed(BlockingImage.squash, _image)
    restore = handed(BlockingImage.restore, _container, _discard)

    @property
    def record(self) -> ImageRecord:
        """All that is known of it."""
        return self.blocking.record

    @property
    def id(self) -> str:
        """The digest of its configuration, `"sha256:..."`."""
        return self.blocking.id

    @property
    def references(self) -> tuple[str, ...]:
        """Its names, each with registry, repository and tag."""
        return self.blocking.references

    @property
    def size_bytes(self) -> int:
        """The bytes of its unpacked files."""
        return self.blocking.size_bytes

    @property
    def created_at(self) -> datetime:
        """When it came here."""
        return self.blocking.created_at

    @property
    def digest(self) -> str:
        """The digest of its manifest."""
        return self.blocking.digest

    @property
    def config(self) -> ImageConfig:
        """What it runs by default, and what it says of itself."""
        return self.blocking.config

    async def push(
        self,
        reference: str,
        *,
        auth: Auth | Credentials | None = None,
        manifest_format: ManifestFormat | None = None,
        progress: _OnProgress | None = None,
    ) -> str:
        """Pushes it, as `containerlib.Image.push`; the digest of the manifest."""
        push = partial(self.blocking.push, reference, auth=auth, manifest_format=manifest_format)
        return await interruptible(push, progress)

    def __repr__(self) -> str:
        return f"<aio.{repr(self.blocking)[1:]}"

    def _repr_html_(self) -> str:
        return self.blocking._repr_html_()


@frozen
class KeptCheckpoint:
    """One of those that `checkpoint_every` takes: `containerlib.KeptCheckpoint`, whose verb is awaited."""

    engine: Engine
    blocking: BlockingKept

    save = handed(BlockingKept.save, _image)

    @property
    def number(self) -> int:
        """The how-many-th of its container it is, from 1."""
        return self.blocking.number

    @property
    def created_at(self) -> datetime:
        """When it was taken."""
        return self.blocking.created_at

    @property
    def size_bytes(self) -> int:
        """What it takes on disk."""
        return self.blocking.size_bytes


def _handles(self: ImageCollection, found: list[BlockingImage]) -> list[Image]:
    return [Image(self.engine, each) for each in found]


@frozen
class ImageCollection:
    """The images of an engine: `engine.images`."""

    engine: Engine

    @property
    def blocking(self) -> BlockingCollection:
        """The same for those who may block."""
        return self.engine.blocking.images

    prune = threaded(BlockingCollection.prune)
    verify = threaded(BlockingCollection.verify)
    get = handed(BlockingCollection.get, _image)

    async def load(
        self,
        source: Source,
        *,
        platform: str | None = None,
        progress: _OnProgress | None = None,
    ) -> list[Image]:
        """The images in an archive or a layout, as `containerlib`'s `engine.images.load`.

        A stream is read in a thread: a cancellation takes effect when it gives its next bytes.
        """
        load = partial(self.blocking.load, source, platform=platform)
        return [Image(self.engine, image) for image in await interruptible(load, progress)]

    async def save(self, *images: str | Image, to: Target, layout: bool = False) -> None:
        """Writes several images as one archive or OCI layout."""
        await in_thread(partial(self.blocking.save, *map(_given, images), to=to, layout=layout))

    async def push(
        self,
        *images: str | Image,
        to: str,
        auth: Auth | Credentials | None = None,
        manifest_format: ManifestFormat | None = None,
        progress: _OnProgress | None = None,
    ) -> str:
        """Pushes several images as one: as `containerlib`'s `engine.images.push`."""
        given = map(_given, images)
        push = partial(self.blocking.push, *given, to=to, auth=auth, manifest_format=manifest_format)
        return await interruptible(push, progress)

    async def import_(
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
        progress: _OnProgress | None = None,
    ) -> Image:
        """An image of a root file system: as `containerlib`'s `engine.images.import_`."""
        import_ = partial(
            self.blocking.import_,
            source,
            reference,
            entrypoint=entrypoint,
            cmd=cmd,
            env=env,
            labels=labels,
            user=user,
            workdir=workdir,
            message=message,
            compression=compression,
        )
        return Image(self.engine, await interruptible(import_, progress))

    list = handed(BlockingCollection.list, _handles)

    def __repr__(self) -> str:
        return f"<aio.ImageCollection of {self.engine!r}>"

    def _repr_html_(self) -> str:
        return self.blocking._repr_html_()


def _given(image: str | Image) -> str | BlockingImage:
    return image.blocking if isinstance(image, Image) else image
