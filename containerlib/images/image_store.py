"""The face of the layer: every image of one root."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from containerlib._sys.privilege import Capability, require_capability
from containerlib.errors import Conflict, NotFound, StageError
from containerlib.images.content.garbage import Cleanup, collect
from containerlib.images.content.pruning import PrunePolicy, doomed
from containerlib.images.content.trees import index_of
from containerlib.images.content.usage import usage
from containerlib.images.content.verify import VerifyReport
from containerlib.images.events import image_event, removed
from containerlib.images.naming import find_row, reference_in, tag_of, tags_of
from containerlib.images.records import (
    ImageRecord,
    ImagesPruned,
    ImageUsage,
    Progress,
    PruneReport,
    one_at_a_time,
)
from containerlib.images.root import ImageRoot
from containerlib.spec.auth import Auth, Credentials
from containerlib.spec.digest import Digest
from containerlib.spec.image_config import ImageConfig
from containerlib.spec.platform import Wanted
from containerlib.spec.reference import Reference
from containerlib.store import ImageRow, Origin, Store

if TYPE_CHECKING:
    import httpx

    from containerlib.images.archives.building import NewLayer
    from containerlib.images.archives.configs import ConfigChanges, History
    from containerlib.images.archives.streams import Source, Writable
    from containerlib.images.registry.client import Registry
    from containerlib.images.registry.retry import Retry
    from containerlib.spec.descriptor import Annotations
    from containerlib.spec.layer import Layer, LayerKind
    from containerlib.spec.options import Compression, ManifestFormat, SnapshotterName

__all__ = ["ImageStore"]

Report = Callable[[Progress], None]


class ImageStore:
    """Images by reference or id.

    Threads and processes may use one root at once. `transport` and `retry` are what registries are reached through,
    and how patiently, where the usual will not do. `snapshotter` makes the layers of what is pulled or loaded from now
    on, and is found out by the first of these; images that are here stay in their form.

    Raises: StageError(stage="state") where `root` cannot be written.
    """

    def __init__(
        self,
        root: Path,
        store: Store,
        *,
        transport: httpx.BaseTransport | None = None,
        retry: Retry | None = None,
        snapshotter: SnapshotterName = "auto",
    ) -> None:
        self._root = ImageRoot.open(os.path.abspath(root), store.images, snapshotter)
        self._table = store.images
        self._events = store.events
        self._transport = transport
        self._retry = retry
        self._config = lru_cache(maxsize=256)(self._read_config)

    def pull(
        self,
        reference: str,
        *,
        auth: Auth | Credentials | None = None,
        platform: str | None = None,
        all_platforms: bool = False,
        foreign_layers: bool = False,
        progress: Report | None = None,
        deadline: float | None = None,
    ) -> ImageRecord:
        """Makes the image of `reference` be here, unpacked; what is here is not fetched again. Blocks.

        As registries.conf and certs.d say; without them HTTPS, or plain HTTP for a registry on loopback. It is the
        image for `platform`; without that, of an index the best for this machine, and of no index what there is. With
        `all_platforms` the others are kept with it, as they came, for `push` and `save`. Layers that the registry may
        not keep are fetched from elsewhere with `foreign_layers`. `progress` is called from several threads, one at a
        time; what it raises ends it all, as does `deadline`, on time.monotonic()'s clock.

        Raises: NotFound, Unauthorized, Unavailable, RegistryError, Timeout; InvalidArgument(field="layer") for a
        hostile layer; StageError for a full disk and the like; Unsupported without root. Nothing is left behind.
        """
        from containerlib.images.transfer.pulling import Request, pull  # noqa: PLC0415 - httpx takes 100 ms to import

        parsed = Reference.parse(reference)
        request = Request(Wanted.of(platform), all_platforms, foreign_layers, deadline)
        self._require_privilege()
        connected = self._connect(parsed.registry, auth, foreign_layers=foreign_layers)
        with connected as registry, Cleanup(self._root):
            image_id = pull(self._root, registry, parsed, request, report=one_at_a_time(progress))
        self._table.set_origin(image_id, "pulled")
        return self._noted("pull", image_id, str(parsed))

    def load(
        self, source: Source, *, platform: str | None = None, progress: Report | None = None
    ) -> list[ImageRecord]:
        """Every image of a `docker save` archive, or of an OCI layout as a directory or archive. Blocks.

        `source` is a path, or a file open for bytes that has the archive from where it is to its end: a pipe, an HTTP
        body. What comes of it goes to the state directory first, and takes room there twice until the end.

        Raises: as `pull`, without the network's; what reading `source` raises.
        """
        from containerlib.images.archives.files import open_files  # noqa: PLC0415 - what only loads and pulls need
        from containerlib.images.archives.loading import load  # noqa: PLC0415
        from containerlib.images.archives.streams import check_source, name_of  # noqa: PLC0415

        check_source(source)
        self._require_privilege()
        report = one_at_a_time(progress)
        with Cleanup(self._root), self._root.lease() as lease:
            scratch = lease.temporary(self._root.content.ingest)
            files = open_files(source, scratch, lambda done: report(Progress("read", "", done, 0)))
            try:
                ids = load(self._root, files, name=name_of(source), wanted=Wanted.of(platform), report=report)
            finally:
                files.close()
        return [self._noted("load", image_id) for image_id in ids]

    def push(
        self,
        names: Sequence[str],
        reference: str,
        *,
        auth: Auth | Credentials | None = None,
        manifest_format: ManifestFormat | None = None,
        progress: Report | None = None,
    ) -> str:
        """Pushes the image to `reference`, or several as one index; the digest of what is there then. Blocks.

        One that is here with all the platforms of its index goes with these, byte for byte as it came.

        Raises: NotFound, InvalidArgument, Unauthorized, Unavailable, Unsupported, RegistryError.
        """
        from containerlib.images.transfer.pushing import push  # noqa: PLC0415 - httpx takes 100 ms to import

        target = tag_of(reference)
        with self._connect(target.registry, auth) as registry, self._root.holding(*names) as rows:
            report, content = one_at_a_time(progress), self._root.content
            named = [(row, reference_in(row, name)) for row, name in zip(rows, names, strict=True)]
            pushed = push(content, registry, named, target, form=manifest_format, report=report)
        for row in rows:
            self._note("push", row, str(target))
        return str(pushed.digest)

    def save(self, names: Sequence[str], target: Writable | str) -> None:
        """Writes images as an archive to the open file `target`, or as an OCI layout into the directory `target`.

        Raises: NotFound; AlreadyExists for a directory that is not empty; StageError.
        """
        from containerlib.images.archives.saving import save, save_layout  # noqa: PLC0415 - what only saving needs

        with self._root.holding(*names) as rows:
            if isinstance(target, str):
                save_layout(self._root.content, rows, target)
            else:
                save(self._root.content, rows, target)
        for row in rows:
            self._note("save", row)

    def add_layers(
        self,
        base: str | None,
        layers: Sequence[NewLayer],
        *,
        changes: ConfigChanges,
        annotations: Annotations = (),
        reference: str | None = None,
        progress: Report | None = None,
    ) -> ImageRecord:
        """The image that has the tar archives `layers`, the lowest first, on top of the image `base`; None: of nothing.

        Raises: NotFound; InvalidArgument(field="layer"); StageError; what a layer's `chunks` raise; Unsupported without
        root.
        """
        from containerlib.images.archives.building import Base, add_layers  # noqa: PLC0415 - what only this needs

        names = tags_of(reference)
        self._require_privilege()
        with Cleanup(self._root), self._root.holding(*([] if base is None else [base])) as rows:
            image_id = add_layers(
                self._root,
                Base.of(self._root.manifest(rows[0]), self._config(rows[0].id)) if rows else Base(),
                layers,
                changes=changes,
                annotations=annotations,
                references=names,
                report=one_at_a_time(progress),
            )
        return self._noted("build" if base else "import", image_id)

    def origin(self, image_id: str) -> Origin:
        """Where it came from."""
        return self._table.origin(image_id)

    def squash(
        self,
        name_or_id: str,
        *,
        history: History,
        compression: Compression = "gzip",
        reference: str | None = None,
    ) -> ImageRecord:
        """The same files and the same config in one layer. Raises: NotFound; StageError; Unsupported without root."""
        from containerlib.images.archives.building import squash  # noqa: PLC0415 - what only this needs

        names = tags_of(reference)
        self._require_privilege()
        with Cleanup(self._root), self._root.holding(name_or_id) as (row,):
            image_id = squash(
                self._root,
                self._record(row).layers,
                self._config(row.id),
                history=history,
                compression=compression,
                references=names,
            )
        return self._noted("build", image_id)

    def get(self, name_or_id: str) -> ImageRecord:
        """The image of that reference, id, or start of an id. No I/O but the database's.

        Raises: NotFound; InvalidArgument where it can be no reference, or several ids start so.
        """
        return self._record(self._row(name_or_id))

    def list(self) -> list[ImageRecord]:
        """Every image, the newest first."""
        records = []
        for row in self._table.list():
            with suppress(NotFound):  # it was removed meanwhile
                records.append(self._record(row))
        return records

    def layers(self, image_id: str, kind: LayerKind) -> tuple[Layer, ...]:
        """The image's layers in the form in which a container of it has them, whatever the image is used in by now.

        Raises: NotFound.
        """
        row = self._row(image_id)
        layers = self._root.snapshots.layers(row.chain, kind)
        return layers[1:] if self._config(row.id).is_checkpoint else layers

    def tag(self, image: str, reference: str) -> ImageRecord:
        """Gives the image another name; an image that had it keeps its other names.

        Raises: NotFound; InvalidArgument for a reference with a digest.
        """
        (name,) = tags_of(reference)
        with self._table.transaction():
            row = self._row(image)
            self._table.refer(name, row.id, index=index_of(row, reference_in(row, image)))
            self._events.add(image_event("tag", row.id, name, self._config))
            self._root.write_index()
        return self._record(self._row(row.id))

    def remove(self, name_or_id: str, *, in_use: Callable[[str], Sequence[str]] = lambda _: ()) -> None:
        """Takes the name away; with the last name, or by id, the image and what it shares with no other.

        Raises: NotFound; Conflict where the image would go and `in_use` names users of its id.
        """
        with self._table.transaction():
            row = self._row(name_or_id)
            name = reference_in(row, name_or_id)
            if name is not None and len(row.references) > 1:
                self._table.unrefer(name)
                self._events.add(image_event("untag", row.id, name, self._config))
            elif users := in_use(row.id):
                raise Conflict(
                    f"the image {name_or_id} is in use by {', '.join(users)}: remove them first",
                    state="in use",
                )
            else:
                self._table.delete(row.id)
                self._events.add(*removed(row.id, row.references, self._config))
            self._root.write_index()
        collect(self._root)

    def discard(self, policy: PrunePolicy, *, in_use: Callable[[str], bool]) -> ImagesPruned:
        """Removes the images that `policy` names and `in_use` does not hold, and what only they needed.

        One that is taken into use or named anew meanwhile stays.
        """
        gone = []
        with self._table.transaction():
            for record in doomed(self.list(), policy, now=time.time(), in_use=in_use):
                self._table.delete(record.id)
                self._events.add(*removed(record.id, record.references, self._config))
                gone.append(record)
            self._root.write_index()
        report = collect(self._root)
        self._events.note_prune("image", report.reclaimed_bytes)
        return ImagesPruned(tuple(record.id for record in gone), report.reclaimed_bytes)

    def verify(
        self,
        *,
        repair: bool = False,
        auth: Auth | Credentials | None = None,
        foreign_layers: bool = False,
        in_use: Callable[[str], bool] = lambda _: False,
    ) -> VerifyReport:
        """Holds every blob against its digest, and every snapshot against what its blob unpacks to.

        `repair`: fetches damaged blobs from their registries, foreign layers only with `foreign_layers`, and unpacks
        damaged snapshots again, but directories of an image that `in_use` says is in use. Blocks for as long as reading
        and unpacking everything takes. What cannot be repaired is in the report, and raises nothing.
        """
        from containerlib.images.transfer.checking import verify  # noqa: PLC0415 - what only this needs

        if self._table.list():
            self._require_privilege()
        connect = partial(self._connect, auth=auth, foreign_layers=foreign_layers)
        return verify(self._root, connect if repair else None, in_use)

    def prune(self) -> PruneReport:
        """Clears away what killed processes left: temporary files, and contents that no image keeps."""
        return collect(self._root)

    def usage(self) -> tuple[tuple[ImageUsage, ...], int]:
        """What each image takes on disk, and all of them together."""
        return usage(self._root)

    def _connect(
        self, name: str, auth: Auth | Credentials | None, *, foreign_layers: bool = False
    ) -> Registry:
        from containerlib.images.registry.client import Registry  # noqa: PLC0415 - httpx takes 100 ms to import

        return Registry(
            name, auth=auth, foreign_layers=foreign_layers, transport=self._transport, retry=self._retry
        )

    def _require_privilege(self) -> None:
        require_capability(Capability.CHOWN)

    def _row(self, name_or_id: str) -> ImageRow:
        return find_row(self._table, name_or_id)

    def _noted(self, action: str, image_id: str, name: str = "") -> ImageRecord:
        """The image that something was done with."""
        row = self._row(image_id)
        self._note(action, row, name)
        return self._record(row)

    def _note(self, action: str, row: ImageRow, name: str = "") -> None:
        """Tells of it whoever listens. That nobody can be told is no failure, nor that the image is gone by now."""
        name = name or "".join(row.references[:1])
        self._events.note(image_event(action, row.id, name, self._config))

    def _record(self, row: ImageRow) -> ImageRecord:
        try:
            config = self._config(row.id)
        except StageError as error:
            if self._table.has(row.id):
                raise
            raise NotFound(f"the image {row.id} was removed at this moment: pull it again") from error
        layers = self._root.snapshots.layers(row.chain, row.snapshot_kind)
        return ImageRecord(
            id=row.id,
            references=row.references,
            config=config,
            size_bytes=row.size_bytes,
            created_at=datetime.fromtimestamp(row.created_at, UTC),
            layers=layers[1:] if config.is_checkpoint else layers,
            digest=row.manifest_digest,
            processes=layers[0] if config.is_checkpoint else None,
        )

    def _read_config(self, image_id: str) -> ImageConfig:
        return ImageConfig.from_bytes(self._root.content.read(Digest.parse(image_id)))
