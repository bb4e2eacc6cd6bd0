"""The images of an engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib.boundary import public
from containerlib.engine import archive, words
from containerlib.engine.removal import prune_images, verify_images
from containerlib.errors import InvalidArgument
from containerlib.fluent.image import Image, image_changes
from containerlib.fluent.named import named
from containerlib.images.content.pruning import PrunePolicy
from containerlib.units import Size, parse_size

if TYPE_CHECKING:
    from containerlib.fluent.engine import Engine
    from containerlib.images import ImagesPruned, Progress
    from containerlib.images.archives.streams import Source, Target
    from containerlib.images.content.verify import VerifyReport
    from containerlib.spec.auth import Auth, Credentials
    from containerlib.spec.options import Compression, ManifestFormat

__all__ = ["ImageCollection"]


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

    def list(
        self,
        *,
        labels: Mapping[str, str | None] | None = None,
        reference: str | None = None,
        dangling: bool | None = None,
        before: str | Image | None = None,
        since: str | Image | None = None,
        older_than: float | None = None,
    ) -> list[Image]:
        """The images that are here and for which all that is given holds.

        `labels`: they have all of these (None: any value). `reference`: a name matches, with its registry or as people
        write it, with its tag or without: `"redis:7*"`, `"ghcr.io/acme/*"`; a `*` ends at a `/`. `dangling`: whether
        they have no name. `before`, `since`: they came here before or after this image, and `older_than` seconds ago.
        Needs no privilege.

        Raises: NotFound for an image that is not there; InvalidArgument.
        """
        from containerlib.engine import filters  # noqa: PLC0415 - few ask

        given: dict[str, object] = {"labels": labels, "reference": reference, "dangling": dangling}
        given |= {"before": named(before), "since": named(since), "older_than": older_than}
        return [Image(self.engine, record) for record in filters.images(self.engine.core, given)]

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
