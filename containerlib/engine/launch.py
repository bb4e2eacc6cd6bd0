"""From an order to a running container.

    record in the database -> directory -> config.json -> cgroup -> runtime

The record comes first and goes last. It names the process that is at work, so that a kill -9 at any step
leaves something that reconcile finds: a record whose owner is dead, and under its id all the rest.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, cast

from attrs import evolve, frozen

from containerlib._sys.copies import copy_tree
from containerlib._sys.opening import root_status
from containerlib._sys.privilege import Capability, require_capability
from containerlib.bundles.config import default_hostname, make_config
from containerlib.bundles.users import resolve_user
from containerlib.bundles.write import write
from containerlib.engine import history, words
from containerlib.engine.ids import give, in_namespace, kind_of, maps_again, maps_of
from containerlib.engine.instance import Instance, Memo
from containerlib.engine.joining import with_ids
from containerlib.engine.kept import words_of
from containerlib.engine.kept_networks import in_kept_network
from containerlib.engine.late import late_of, named, require_lenders
from containerlib.engine.lifetime import health_of, is_removed, prepare
from containerlib.engine.lock import locked
from containerlib.engine.mounting import bound, image_roots, images_of, shared, whole
from containerlib.engine.names import new_id, new_name
from containerlib.engine.network_names import names_inside
from containerlib.engine.option_files import timezone, with_files
from containerlib.engine.places import links_of, place
from containerlib.engine.removal import remove_anonymous
from containerlib.engine.sources import HostSource, ImageSource, Resolved, resolve
from containerlib.engine.stop import end_survivor, forget, forget_removed, remove_directory
from containerlib.engine.undo import Undo, clean_up
from containerlib.engine.volume_use import attach, release_of
from containerlib.errors import AlreadyExists, NotFound, StageError, Unsupported
from containerlib.networking import Names, file_mounts, network, write_files
from containerlib.runtime import Root, Stdio, Supervisor
from containerlib.spec.layer import Layer
from containerlib.spec.options import ContainerOptions, PortOption
from containerlib.store import ContainerRecord

if TYPE_CHECKING:
    from containerlib.bundles.ids import IdMaps
    from containerlib.engine.core import Core
    from containerlib.runtime.plan.late import Late
    from containerlib.spec.runtime import Mount, Spec

__all__ = ["Order", "claimed", "fill_directory", "launch", "register", "start_bundle"]


@frozen
class Order:
    """A container to be made.

    `argv`: replaces the image's command, and that of the options. `detached`: it outlives this process.
    `auto_remove`: it is removed when it has ended, by the caller, or with `remove` by its shim. `hold`: it stops at
    OCI's "created". `deadline`: of what has to be pulled, on time.monotonic()'s clock.
    """

    source: ImageSource
    options: ContainerOptions
    argv: tuple[str, ...] = ()
    detached: bool = False
    auto_remove: bool = False
    remove: bool = False
    hold: bool = False
    deadline: float | None = None


def launch(
    core: Core,
    order: Order,
    stdio: Stdio | None = None,
    *,
    wait: bool = True,
    made: list[Instance] | None = None,
) -> tuple[Instance, Supervisor]:
    """Makes the container and starts its program, or leaves nothing behind.

    Without `wait` the supervisor has not reported yet: whether the program was started is the caller's to see, and
    what is left of one that was not, the caller's to discard. The descriptors of `stdio` are borrowed. The caller
    closes the supervisor, which does not end the container. `made` gets the instance before anything of it exists: an
    interrupt may come when it has started, and before the caller has it.

    Raises: NotFound (image, user, mount source; the container, where somebody removes it already), AlreadyExists
    (name), StageError, Unsupported, what a pull raises.
    """
    require_capability(Capability.SYS_ADMIN)
    image = resolve(core, order.source, order.deadline)
    options, anonymous = whole(core, with_ids(core, with_files(order.options)), image)
    instance = _draft(core, order, options, image, anonymous)
    if made is not None:
        made.append(instance)
    with contextlib.ExitStack() as held, Undo() as undo:
        # Each undoing is noted before its step: an interrupt may come right after the step.
        undo.add(partial(release_of, instance))
        undo.add(partial(forget, instance))
        register(instance, order.options.name)
        place(instance, options)
        undo.add(partial(remove_anonymous, instance))
        maps = maps_of(instance, options)
        options = bound(instance, options, image)
        undo.add(partial(remove_directory, instance.directory))
        held.enter_context(claimed(instance))
        fill_directory(instance.directory, image, core.mountpoints, maps)
        instance._spec = _write_bundle(instance, image, options, order.argv, maps)
        supervisor = start_bundle(
            instance,
            image,
            stdio,
            hold=order.hold,
            wait=wait,
            undo=undo,
            late=late_of(instance, options.secrets, maps),
            ports=options.ports,
            is_first=True,
        )
        if order.remove:  # from here on the shim's: whoever sees its record without a directory may forget it
            core.store.containers.adopt(instance.id, None, None)
    return instance, supervisor


@contextlib.contextmanager
def claimed(instance: Instance) -> Iterator[None]:
    """Makes the container's directory and holds it, so that whoever removes the container waits.

    Raises: NotFound where somebody has removed it before there was a directory to wait at; StageError.
    """
    try:
        os.mkdir(instance.directory, 0o700)  # noqa: PTH102 - hot path
    except OSError as error:
        raise StageError("state", error.errno or 0, instance.directory) from error
    with locked(instance):
        try:
            instance.core.store.containers.get(instance.id)
        except NotFound as error:
            raise instance.gone() from error
        yield


def start_bundle(
    instance: Instance,
    image: Resolved,
    stdio: Stdio | None,
    *,
    hold: bool,
    wait: bool = True,
    undo: Undo,
    late: Late | None = None,
    ports: Sequence[PortOption] = (),
    is_first: bool = False,
    create: Callable[..., Supervisor] | None = None,
) -> Supervisor:
    """Starts what the container's directory describes, in a new cgroup. `is_first`: that is new.

    `late` with its secrets, `ports` with the caller's sockets: nobody else knows them. `create`: how it is made, where
    that is not what the driver's `create` does.
    """
    attach(instance)
    require_lenders(instance)
    spec = instance.spec
    cgroup = instance.cgroup
    undo.add(cgroup.remove)
    cgroup.create(spec.get("linux", {}).get("resources", {}))
    _require_end(instance)
    prepare(instance)
    layers = instance.core.layer_mounts
    with layers.of(_root(instance, image)) as root, links_of(instance, ports) as (links, kept):
        try:
            return (create or instance.driver.create)(
                instance.directory,
                directory=instance.directory,
                root=root,
                cgroup=cgroup,
                owned=not instance.memo.detached,
                stdio=stdio,
                hold=hold,
                spec=spec,
                seccomp_cache=instance.core.seccomp_cache,
                wait=wait,
                log=instance.memo.log,
                reaper=instance.memo.init,
                late=late_of(instance) if late is None else late,
                images=image_roots(instance),
                links=links,
                kept=kept,
                is_first=is_first,
            )
        except Exception:
            raise
        except BaseException as interrupt:
            clean_up(interrupt, partial(end_survivor, instance))
            raise


def _require_end(instance: Instance) -> None:
    """Raises: Unsupported for a container of whose processes nobody could tell which they are, and end them."""
    own = any(each == {"type": "pid"} for each in instance.spec["linux"]["namespaces"])
    if not own and not instance.cgroup.directories:
        raise Unsupported(
            "a container that shares its pid namespace needs a control group to be ended as a whole, and none is "
            "delegated to this user: leave pid() out, or run it in a systemd session with Delegate=yes"
        )


def _root(instance: Instance, image: Resolved) -> Root:
    return image.root(
        instance.directory,
        instance.core.mountpoints,
        volatile=instance.record.auto_remove and not instance.memo.remove,  # which may be started again
        ids=maps_again(instance),
    )


def _draft(
    core: Core, order: Order, options: ContainerOptions, image: Resolved, anonymous: tuple[str, ...]
) -> Instance:
    """The container as it will be; nothing is done yet."""
    stop_signal = options.stop_signal or image.config.stop_signal
    memo = Memo(
        detached=order.detached,
        host=isinstance(order.source, HostSource),
        tty=options.tty,
        stdin=options.stdin,
        stop_signal=words.stop_signal(stop_signal) if stop_signal else None,
        stop_timeout=options.stop_timeout,
        labels=options.labels,
        volumes=tuple(mount.source for mount in options.mounts if mount.kind == "volume"),
        anonymous=anonymous,
        mounts=shared(options),
        images=images_of(core, options, order.deadline),
        init=options.init,
        secrets=tuple(secret.name for secret in options.secrets),
        ipc=options.ipc,
        ids=kind_of(core, options),
        joined=options.joined,
        connected=bool(options.networks or options.ports),
        driver=core.driver.name,
        restart=options.restart,
        checkpoints=options.checkpoints,
        health=health_of(options, image.config),
        remove=order.remove,
        layers=image.kind,
        log=options.log,
        words=words_of(options),
    )
    record = ContainerRecord(
        id=new_id(),
        name=options.name or new_name(),
        image_id=image.id,
        image_reference=image.reference,
        options_json=memo.to_json(),
        created_at=datetime.now(UTC),
        owner_pid=core.owner.pid,
        owner_start_time=core.owner.start_time,
        auto_remove=order.auto_remove or order.remove,
    )
    return Instance(core, record, memo)


def register(instance: Instance, asked_name: str | None) -> None:
    """Takes the name, or another where one that was made up is taken."""
    if not instance.memo.detached:
        instance.core.owned[instance.id] = instance
    try:
        _add(instance)
    except AlreadyExists as error:
        if asked_name and _has_left(instance.core, asked_name):
            _add(instance)
            return
        if asked_name:
            raise AlreadyExists(
                f"the name {asked_name!r} is taken by another container: choose another, or remove that one "
                f"with engine.containers.get({asked_name!r}).remove(force=True)"
            ) from error
        instance.record = evolve(instance.record, name=new_name(unique=True))
        _add(instance)


def _has_left(core: Core, name: str) -> bool:
    """Whether who had that name has been removed by its shim, and is forgotten now."""
    try:
        holder = Instance.of(core, core.store.containers.get(name))
    except NotFound:
        return True
    return is_removed(holder) and (forget_removed(holder) or True)


def _add(instance: Instance) -> None:
    """The record that keeps the image: they are there together, or the container is not made.

    Raises: AlreadyExists; NotFound where the image was removed since it was looked up.
    """
    store, record = instance.core.store, instance.record
    with store.database.transaction():
        wanted = [image for _, image, _ in instance.memo.images]
        for image in wanted if instance.memo.host else (record.image_id, *wanted):
            if not store.images.has(image):
                name = record.image_reference if image == record.image_id else image
                raise NotFound(f"the image {name} was removed at this moment: pull it again")
        store.containers.add(record)
        volumes = {"volumes": ",".join(instance.memo.volumes)} if instance.memo.volumes else {}
        store.events.add(history.row(instance, "create", **volumes))


def fill_directory(directory: str, image: Resolved, mountpoints: str, maps: IdMaps | None) -> None:
    """What it writes has the host's ids of its own; fuse-overlayfs maps them back."""
    try:
        if image.kind == "copy":
            owners = None if maps is None else maps.owners
            copy_tree(cast(Layer, image.layers[0]).path, f"{directory}/rootfs", owners=owners)
            return
        os.mkdir(f"{directory}/rootfs", 0o755)  # noqa: PTH102 - hot path
        if not image.private:
            _make_upper(directory, image.layers[0] if image.layers else mountpoints)
            give(maps if image.kind != "fuse-overlayfs" else None, f"{directory}/upper")
    except OSError as error:
        raise StageError("state", error.errno or 0, str(error.filename or directory)) from error


def _make_upper(directory: str, top: str | Layer) -> None:
    """The writable layer. Its own mode and owner are what the container sees on "/": those of the layer below it."""
    upper = f"{directory}/upper"
    os.mkdir(upper, 0o755)  # noqa: PTH102 - hot path
    os.mkdir(f"{directory}/work", 0o700)  # noqa: PTH102
    root = root_status(top)
    os.chmod(upper, root.st_mode & 0o7777)  # noqa: PTH101
    if root.st_uid or root.st_gid:
        os.chown(upper, root.st_uid, root.st_gid)


def _write_bundle(
    instance: Instance,
    image: Resolved,
    options: ContainerOptions,
    argv: tuple[str, ...],
    maps: IdMaps | None,
) -> Spec:
    files = _files(instance, options)
    spec = make_config(
        image.config,
        options,
        user=resolve_user(options.user or image.config.user, image.layers, options.group_add),
        extra_mounts=files,
        cgroups_path=instance.core.cgroup_path(instance.id),
        container_id=instance.id,
        argv=argv,
    )
    if options.cdi or options.gpus is not None:
        spec = _with_cdi(spec, options)
    spec = in_namespace(
        spec, options, maps, [mount for mount in files if mount["source"].startswith(instance.directory)]
    )
    spec = in_kept_network(instance, named(instance, options, spec))
    write(instance.directory, spec)
    return spec


def _with_cdi(spec: Spec, options: ContainerOptions) -> Spec:
    from containerlib.bundles import cdi, cdi_edits  # noqa: PLC0415 - few need it

    gpus = () if options.gpus is None else cdi.find_gpus(options.gpus, options.cdi_directories)
    names = tuple(dict.fromkeys((*options.cdi, *gpus)))
    return cdi_edits.edited(spec, cdi.find(names, options.cdi_directories))


def _files(instance: Instance, options: ContainerOptions) -> list[Mount]:
    """The files that the engine gives every container, as mounts; those of another one whose network it shares."""
    other = dict(options.joined).get("network")
    if other is not None:
        mounts = file_mounts(instance.core.directory(other))
    else:
        names = Names(options.hosts, options.dns, options.dns_search, options.dns_options)
        hostname = default_hostname(options, instance.id)
        inside = names_inside(instance, names, hostname)
        mounts = write_files(instance.directory, network(options.network), hostname, names=inside)
    return mounts if options.timezone is None else [*mounts, timezone(options.timezone)]
