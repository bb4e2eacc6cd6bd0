"""A running container to the files of a checkpoint, and from these to an image.

    layer/checkpoint/                   CRIU's images
    layer/checkpoint-N/                 of the Nth pass that copied memory before, which those build on
    layer/spec.dump, container.json
    changed.tar                         written while the processes stand still, as are CRIU's images

Where that is: room.py.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

from containerlib._sys.forks import opened
from containerlib._sys.trees import remove_tree
from containerlib._sys.writing import write_whole
from containerlib.bundles.write import encode
from containerlib.engine.archive import history, upper_layer
from containerlib.engine.checkpoints.checking import unfit
from containerlib.engine.checkpoints.document import VERSION, Document, Machine
from containerlib.engine.checkpoints.room import clear, room
from containerlib.engine.checkpoints.sealing import write_sealed
from containerlib.engine.history import catch_up, note
from containerlib.engine.lock import locked
from containerlib.errors import StageError, Unsupported
from containerlib.images.archives.building import NewLayer
from containerlib.images.archives.configs import ConfigChanges
from containerlib.images.archives.layer import layer_tar
from containerlib.images.naming import tags_of
from containerlib.images.snapshots.merged import MergedTree
from containerlib.runtime.checkpoint import Criu, Options, await_memory, dump, find_criu
from containerlib.spec.image_config import CHECKPOINT
from containerlib.spec.lifecycle import check
from containerlib.spec.options import NetworkOption, PortOption
from containerlib.spec.values import evolve

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.images import ImageRecord
    from containerlib.spec.options import Compression

__all__ = [
    "DOCUMENT",
    "IMAGES",
    "SEALED",
    "SPEC",
    "Captured",
    "captured",
    "checkpoint",
    "image_of",
    "read_captured",
    "require",
]

IMAGES, DOCUMENT, SPEC, SEALED = "checkpoint", "container.json", "spec.dump", "checkpoint.sealed"
_PIECE = 1 << 20


@frozen
class Captured:
    """A container's state on disk. `layer`: the directory that is to be the top layer; `changed`: a tar archive."""

    layer: str
    changed: str
    document: Document

    @property
    def images(self) -> str:
        return f"{self.layer}/{IMAGES}"


def checkpoint(
    instance: Instance,
    options: Options,
    *,
    reference: str | None,
    compression: Compression,
    key: bytes | None = None,
    pre_dumps: int = 0,
) -> ImageRecord:
    """The image of the container with its processes as they are now, which with `key` are encrypted.

    So many `pre_dumps` copy memory while it runs: what it stands still for is what it has written to since.

    Raises: Unsupported where CRIU or the kernel cannot, with the process and the resource; Conflict where it does not
    run, or has what `options` refuse; StageError.
    """
    made: list[ImageRecord] = []

    def make(found: Captured) -> None:
        made.append(image_of(instance, found, reference, compression, key))

    tags_of(reference)
    words: dict[str, Any] = {"pre_dumps": pre_dumps, "lasting": key is None}
    if options.leave_running:
        with captured(instance, options, **words) as found:
            make(found)
    else:
        with captured(instance, options, before_the_end=make, **words):
            pass
    note(instance, "checkpoint", image_id=made[0].id)
    return made[0]


def image_of(
    instance: Instance, found: Captured, reference: str | None, compression: Compression, key: bytes | None
) -> ImageRecord:
    """The image of these files. Raises: StageError; as the image store's `add_layers`."""
    done = history("checkpoint", comment=f"processes of {instance.record.name}")
    with (
        _top(found, key) as layer,
        MergedTree([layer]) as tree,
        open(found.changed, "rb", buffering=0) as changed,
    ):
        pieces = iter(lambda: changed.read(_PIECE), b"")
        return instance.core.images.add_layers(
            instance.record.image_id,
            [
                NewLayer(pieces, done, compression),
                NewLayer(layer_tar(tree.walk()), done, compression, fast=True),
            ],
            changes=ConfigChanges(labels=((CHECKPOINT, VERSION),)),
            annotations=_annotations(found.document),
            reference=reference,
        )


@contextlib.contextmanager
def _top(found: Captured, key: bytes | None) -> Iterator[str]:
    """The directory of the top layer, with `key` that of its encrypted form."""
    if key is None:
        yield found.layer
        return
    directory = f"{found.layer}-sealed-{secrets.token_hex(8)}"
    os.mkdir(directory, 0o700)  # noqa: PTH102 - a str
    try:
        with _made(f"{directory}/{SEALED}") as file, MergedTree([found.layer]) as tree:
            write_sealed(layer_tar(tree.walk()), key, file)
        yield directory
    finally:
        remove_tree(directory)


@contextlib.contextmanager
def captured(
    instance: Instance,
    options: Options,
    *,
    pre_dumps: int = 0,
    before_the_end: Callable[[Captured], object] = lambda _: None,
    lasting: bool = False,
    at: str | None = None,
) -> Iterator[Captured]:
    """The files, for the time of the `with`: as `room` says where, or for longer in the directory `at`.

    `before_the_end` is called when they are whole, and the processes stand still: what it raises lets them go on.
    Nobody starts it anew meanwhile, to be frozen as it was; and of two CRIUs one would find the processes traced.
    Raises: as `checkpoint`.
    """
    await_memory(instance.directory)  # whoever wants the container meanwhile does not wait for that
    with contextlib.ExitStack() as held:
        with locked(instance):
            check("checkpoint", instance.state, instance.subject)
            require(instance)
            criu = find_criu()
            if pre_dumps:
                criu.require("mem_track", "a copy of memory before the container stands still")
            clear(instance)
            directory = at or held.enter_context(room(instance, lasting=lasting))
            found = _at(directory, _document(instance, criu, options))
            _dump(criu, instance, found, options, before_the_end, pre_dumps=pre_dumps)
        if not options.leave_running:
            catch_up([instance])
        yield found


def read_captured(directory: str) -> Captured:
    """What `captured` has left in the directory. Raises: InvalidArgument where it is damaged; OSError."""
    with open(f"{directory}/layer/{DOCUMENT}", "rb") as file:
        return _at(directory, Document.unpack(file.read()))


def _at(directory: str, document: Document) -> Captured:
    return Captured(f"{directory}/layer", f"{directory}/changed.tar", document)


def _dump(
    criu: Criu,
    instance: Instance,
    found: Captured,
    options: Options,
    still: Callable[[Captured], object],
    *,
    pre_dumps: int,
) -> None:
    os.mkdir(found.layer, 0o700)  # noqa: PTH102 - a str
    _write(f"{found.layer}/{SPEC}", encode(instance.spec))
    _write(f"{found.layer}/{DOCUMENT}", found.document.pack())

    def stand_still() -> None:
        _write_changed(instance, found.changed)
        still(found)

    write = partial(
        dump,
        criu,
        instance.directory,
        spec=instance.spec,
        cgroup=instance.cgroup,
        work=os.path.dirname(found.layer),  # noqa: PTH120 - a str
    )
    before = options
    for number in range(1, pre_dumps + 1):
        write(f"{found.images}-{number}", options=before, pre=True)
        # what is written to again is punched out of what was copied before: all of it together is memory's size
        before = evolve(options, parent=f"../{IMAGES}-{number}", auto_dedup=True)
    write(found.images, options=before, still=stand_still)


def require(instance: Instance) -> None:
    """Raises: Unsupported for what the files of a checkpoint would not have."""
    reason = unfit(instance.memo)
    if instance.memo.layers == "copy":
        reason = "its files are a copy of the image's: the other snapshotters keep apart what it changed"
    if reason is not None:
        raise Unsupported(f"{instance.subject} cannot be checkpointed: {reason}")


def _document(instance: Instance, criu: Criu, options: Options) -> Document:
    networks, ports = _places(instance)
    return Document(
        instance.id,
        instance.record.name,
        datetime.now(UTC).isoformat(),
        instance.record.image_id,
        instance.core.root,
        instance.directory,
        instance.memo.to_json(),
        networks,
        ports,
        _log_bytes(instance),
        Machine.here(criu.version),
        options,
    )


def _places(instance: Instance) -> tuple[tuple[NetworkOption, ...], tuple[PortOption, ...]]:
    if not instance.memo.connected:
        return (), ()
    table, networks, ports = instance.core.store.networks, [], list[PortOption]()
    for each in table.endpoints_of(instance.id):
        four = next((one for one in each.addresses if ":" not in one), None)
        six = next((one for one in each.addresses if ":" in one), None)
        networks.append(NetworkOption(table.get(each.network_id).name, each.names, four, six, each.mac))
        ports += map(_port, each.ports)
    return tuple(networks), tuple(ports)


def _port(port: Mapping[str, Any]) -> PortOption:
    return PortOption(
        port["port"],
        port["protocol"],
        port["host_port"],
        port["host_address"],
        host_last=port.get("host_last"),
    )


def _log_bytes(instance: Instance) -> int:
    try:
        return os.stat(f"{instance.directory}/log").st_size  # noqa: PTH116 - a str
    except FileNotFoundError:
        return 0


def _write_changed(instance: Instance, path: str) -> None:
    with _made(path) as file, upper_layer(instance) as chunks:
        for chunk in chunks:
            write_whole(file, chunk)


def _write(path: str, data: bytes) -> None:
    with _made(path) as file:
        write_whole(file, data)


@contextlib.contextmanager
def _made(path: str) -> Iterator[int]:
    """Memory holds secrets: for its owner alone."""
    try:
        with opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as file:
            yield file
    except StageError:
        raise
    except OSError as error:
        raise StageError("checkpoint", error.errno or 0, path) from error


def _annotations(document: Document) -> tuple[tuple[str, str], ...]:
    """What tools show of a checkpoint without fetching it, by the names that CRI-O and containerd use."""
    return (
        ("org.criu.checkpoint.container.name", document.name),
        ("org.criu.checkpoint.container.id", document.container),
        ("org.criu.checkpoint.engine.name", "containerlib"),
        ("org.criu.checkpoint.rootfsImageID", document.image),
        ("org.criu.checkpoint.host.kernel", document.machine.kernel),
        ("org.criu.checkpoint.host.architecture", document.machine.architecture),
        ("org.criu.checkpoint.criu.version", document.machine.criu),
        ("org.opencontainers.image.created", document.created),
    )
