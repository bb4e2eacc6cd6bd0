"""A checkpoint to a container that goes on: on the same machine or another one, once or several times."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from attrs import evolve, field, frozen

from containerlib._sys.layers import LayerWriter
from containerlib._sys.privilege import Capability, require_capability
from containerlib.bundles.write import write
from containerlib.engine.checkpoints.capture import IMAGES, SEALED
from containerlib.engine.checkpoints.document import Machine, difference
from containerlib.engine.checkpoints.outside import Begun, networks_of, sources_of, spec_of
from containerlib.engine.checkpoints.rights import require_default_rights
from containerlib.engine.checkpoints.room import memory
from containerlib.engine.checkpoints.sealing import read_sealed
from containerlib.engine.history import catch_up, note
from containerlib.engine.instance import Instance, Shared
from containerlib.engine.late import late_of
from containerlib.engine.launch import claimed, fill_directory, register, start_bundle
from containerlib.engine.names import new_id, new_name
from containerlib.engine.places import place
from containerlib.engine.sources import Resolved
from containerlib.engine.start import waiting_input
from containerlib.engine.stop import forget, remove_directory
from containerlib.engine.undo import Undo
from containerlib.engine.volume_use import release_of
from containerlib.errors import InvalidArgument, StageError, Unsupported
from containerlib.runtime.checkpoint import Options, find_criu
from containerlib.runtime.checkpoint import restore as restore_images
from containerlib.spec.options import ContainerOptions, Limits, NetworkOption, PortOption
from containerlib.spec.values import evolve as evolve_value
from containerlib.store import ContainerRecord

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.runtime import OverlayRoot, Supervisor
    from containerlib.runtime.checkpoint import Criu
    from containerlib.spec.layer import Layer

__all__ = ["Restoration", "begin", "create", "restore"]


@frozen
class Restoration:
    """What is to be made of a checkpoint. None: as it was.

    `mounts`: by the place in the container, a volume's name or the host's path that is mounted there now.
    """

    image: str
    name: str | None = None
    detached: bool = True
    networks: tuple[NetworkOption, ...] | None = None
    ports: tuple[PortOption, ...] | None = None
    limits: Limits | None = None
    mounts: Mapping[str, str] = field(factory=dict)
    tcp: Literal["refuse", "established", "close"] | None = None
    """What becomes of connections."""
    lazy: bool = False
    """It goes on at once, and its memory comes when it is touched."""
    trusted: bool = False
    """Also one that came as an archive, or has more rights than the default recipe: whoever made it wrote what runs."""
    key: bytes | None = None
    """Of one that is encrypted."""


def restore(core: Core, wanted: Restoration) -> Instance:
    """The container of the image, with its processes as they were.

    Raises: NotFound for the image, a network, a volume or a path; InvalidArgument for an image without processes, and
    for one that came as an archive, unless it is trusted;
    Unsupported where they cannot go on here, with the difference; AlreadyExists for the name; Conflict for an address
    or port; StageError(stage="restore").
    """
    record = core.images.get(wanted.image)
    if record.processes is None:
        raise InvalidArgument(
            f"the image {wanted.image} has no processes: it is no checkpoint", field="image"
        )
    origin = core.images.origin(record.id)
    if origin == "loaded" and not wanted.trusted:
        raise InvalidArgument(
            f"the checkpoint {wanted.image} came as an archive, and nobody says whose it is: what it holds runs as it "
            "is, with all rights that it has saved. Where you know who made it: restore(trusted=True)",
            field="trusted",
        )
    image = Resolved(record.id, wanted.image, record.config, record.layers)
    with _opened(core, record.processes) as layer, _readable(layer, wanted.key) as directory:
        return begin(core, Begun.of(directory, image, is_own=origin == "made"), wanted)


def begin(
    core: Core, begun: Begun, wanted: Restoration, *, fill: Callable[[str], object] = lambda _: None
) -> Instance:
    """The container; `fill` gets its directory when that is made. Raises: as `restore`."""
    require_capability(Capability.SYS_ADMIN)
    if not (begun.is_own or wanted.trusted):
        require_default_rights(begun.spec)
    criu = find_criu()
    if reason := difference(begun.document.machine, Machine.here(criu.version)):
        raise Unsupported(f"the checkpoint of {begun.document.name!r} cannot go on here: {reason}")
    sources = sources_of(core, begun, wanted.mounts)
    networks = networks_of(core, begun.document, wanted.networks)
    options = begun.document.options
    if wanted.tcp is not None:
        options = evolve_value(options, tcp=wanted.tcp)
    instance = _draft(core, begun, wanted, networks, sources)
    with contextlib.ExitStack() as held, Undo() as undo, waiting_input(instance.memo.stdin) as stdio:
        undo.add(partial(release_of, instance))
        undo.add(partial(forget, instance))
        register(instance, wanted.name)
        ports = begun.document.ports if wanted.ports is None else wanted.ports
        place(instance, ContainerOptions(networks=networks, ports=ports))
        undo.add(partial(remove_directory, instance.directory))
        held.enter_context(claimed(instance))
        fill_directory(instance.directory, begun.image, core.mountpoints, None)
        fill(instance.directory)
        spec = spec_of(instance, begun, wanted.limits, sources)
        write(instance.directory, spec)
        instance.refresh(spec)
        start_bundle(
            instance,
            begun.image,
            stdio,
            hold=False,
            undo=undo,
            late=late_of(instance),
            is_first=True,
            create=partial(
                create,
                criu,
                f"{begun.directory}/{IMAGES}",
                options,
                pages=wanted.lazy,
                is_own=begun.is_own or wanted.trusted,
            ),
        ).close()
        if instance.memo.remove:  # from here on the shim's, as at any start
            core.store.containers.adopt(instance.id, None, None)
    note(instance, "restore", image_id=begun.image.id)
    catch_up([instance])
    return instance


def create(
    criu: Criu,
    source: str,
    options: Options,
    bundle: str,
    *,
    images: Sequence[tuple[str, OverlayRoot]],
    **words: Any,
) -> Supervisor:
    """In place of the driver's `create`, whose words it takes; it goes on from the directory `source`."""
    for meaningless in ("hold", "wait"):
        del words[meaningless]
    return restore_images(criu, source, bundle, options=options, mounted=images, **words)


@contextlib.contextmanager
def _opened(core: Core, layer: Layer) -> Iterator[str]:
    """A path of the layer's root, for the container's supervisor too, while the block runs.

    What several containers go on from is read from the disk once.
    """
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(core.layer_mounts.opened(layer))
        except OSError as error:
            raise StageError("image", error.errno or 0, layer.path, advice="pull the image again") from error
        yield f"/proc/{os.getpid()}/fd/{descriptor}"


@contextlib.contextmanager
def _readable(layer: str, key: bytes | None) -> Iterator[str]:
    """The same, decrypted where it is not. Raises: InvalidArgument(field="key")."""
    path = f"{layer}/{SEALED}"
    if not os.path.lexists(path):
        if key is not None:  # who has the key wants one that was made with it
            raise InvalidArgument("the checkpoint is not encrypted: leave the key out", field="key")
        yield layer
        return
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise InvalidArgument(f"{SEALED} is no file", field="checkpoint")
    if key is None:
        raise InvalidArgument("the checkpoint is encrypted: restore(key=...)", field="key")
    with memory() as directory:
        with LayerWriter(directory) as writer:
            for piece in read_sealed(path, key):
                writer.feed(piece)
            writer.finish()
        yield directory


def _draft(
    core: Core,
    begun: Begun,
    wanted: Restoration,
    networks: tuple[NetworkOption, ...],
    sources: Mapping[str, str],
) -> Instance:
    document = begun.document

    def found(mount: Shared) -> Shared:
        here = sources[mount.target] if mount.kind == "bind" else mount.source
        return evolve(mount, source=wanted.mounts.get(mount.target, here))

    mounts = tuple(found(mount) for mount in begun.memo.mounts if mount.target in sources)
    memo = evolve(
        begun.memo,
        detached=wanted.detached,
        connected=bool(networks or wanted.ports or (wanted.ports is None and document.ports)),
        layers=begun.image.kind,
        mounts=mounts,
        volumes=tuple(mount.source for mount in mounts if mount.kind == "volume"),
        anonymous=(),
    )
    record = ContainerRecord(
        id=new_id(),
        name=wanted.name or new_name(),
        image_id=begun.image.id,
        image_reference=begun.image.reference,
        options_json=memo.to_json(),
        created_at=datetime.now(UTC),
        owner_pid=core.owner.pid,
        owner_start_time=core.owner.start_time,
        auto_remove=memo.remove,
    )
    return Instance(core, record, memo)
