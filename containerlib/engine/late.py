"""What a container's configuration calls by paths at which nothing is: found, or made, by its shim at each start.

    spec = named(instance, options, spec)       # once: other containers' words become paths below <container>/late
    late = late_of(instance, secrets)           # at each start of ours: what these paths stand for
    require_lenders(instance)                   # before it, for words that a person reads

The shim starts a container again by itself, when nobody of ours is there: so it looks up another container's process, a
part of a volume and what another one lends itself, each time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from containerlib._sys.paths import open_in_root
from containerlib.bundles.mounts import with_secrets
from containerlib.engine.joining import name_of, require_running
from containerlib.errors import InvalidArgument, NotFound, StageError
from containerlib.runtime.kernel import keeps_memory
from containerlib.runtime.plan.late import Borrowed, Late, Memory, OtherNamespace, Part
from containerlib.spec.options import JOIN, ContainerOptions
from containerlib.spec.secret import DIRECTORY, Secret
from containerlib.spec.values import evolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from containerlib.bundles.ids import IdMaps
    from containerlib.engine.instance import Instance, Shared
    from containerlib.runtime.plan.late import Found
    from containerlib.spec.runtime import Mount, Namespace, Spec

__all__ = ["late_of", "named", "part_path", "require_lenders"]

_SHM = "/dev/shm"  # noqa: S108 - a path in a container


def named(instance: Instance, options: ContainerOptions, spec: Spec) -> Spec:
    """`spec` with paths in place of other containers' words, and with mounts of the secrets.

    Raises: InvalidArgument for a secret where something else is mounted.
    """

    def namespace(each: Namespace) -> Namespace:
        is_joined = each.get("path", "").startswith(JOIN)
        return {**each, "path": _place(instance, name_of(each["type"]))} if is_joined else each

    def mount(each: Mount) -> Mount:
        is_lent = each.get("source", "").startswith(JOIN)
        return {**each, "source": _place(instance, "shm")} if is_lent else each

    if options.joined:
        namespaces = [namespace(each) for each in spec["linux"]["namespaces"]]
        mounts = [mount(each) for each in spec["mounts"]]
        spec = {**spec, "mounts": mounts, "linux": {**spec["linux"], "namespaces": namespaces}}
    places = {place: _place(instance, name) for name, place, _ in _memories(options.secrets)}
    return with_secrets(spec, places) if places else spec


def part_path(instance: Instance, target: str) -> str:
    """The path of the part of a volume that is mounted there."""
    index = next(i for i, mount in enumerate(instance.memo.mounts) if mount.target == target)
    return _place(instance, f"part-{index}")


def late_of(instance: Instance, secrets: Sequence[Secret] = (), maps: IdMaps | None = None) -> Late:
    """What is found or made at its start. `secrets` are kept nowhere; `maps`: the ids of its user namespace."""
    memo, core = instance.memo, instance.core
    found: dict[str, Found] = {}
    for kind, other in memo.joined:
        name, directory = name_of(kind), core.directory(other)
        found[_place(instance, name)] = OtherNamespace(directory, name)
        if kind == "ipc":
            found[_place(instance, "shm")] = Borrowed(directory)
    for mount in _parts(instance):
        directory = core.volumes.path(mount.source)
        found[part_path(instance, mount.target)] = Part(directory, mount.subpath)
    for name, _, files in _memories(secrets):
        found[_place(instance, name)] = _memory(name, files, maps)
    return Late(
        found,
        lends=_SHM if memo.ipc == "shareable" or memo.ipc.startswith(JOIN) else None,
        variables=tuple(_variables(instance, secrets, maps)),
    )


def require_lenders(instance: Instance) -> None:
    """Raises: NotFound or Conflict for another container that is gone or does not run; NotFound for a volume's part."""
    for kind, other in instance.memo.joined:
        require_running(instance.core, other, kind)
    for mount in _parts(instance):
        _require_part(instance, mount)


def _place(instance: Instance, name: str) -> str:
    return f"{instance.directory}/late/{name}"


def _parts(instance: Instance) -> Iterator[Shared]:
    return (mount for mount in instance.memo.mounts if mount.subpath)


def _memories(secrets: Sequence[Secret]) -> Iterator[tuple[str, str, tuple[Secret, ...]]]:
    """(name below late/, where it is mounted, the files in it): those of the usual directory together."""
    files = [secret for secret in secrets if secret.variable is None]
    usual = tuple(secret for secret in files if secret.path.startswith(f"{DIRECTORY}/"))
    if usual:
        yield "secrets", DIRECTORY, usual
    others = (secret for secret in files if secret not in usual)
    yield from ((f"secret-{index}", secret.path, (secret,)) for index, secret in enumerate(others))


def _memory(name: str, files: tuple[Secret, ...], maps: IdMaps | None) -> Memory:
    swap = not keeps_memory()
    owner = (0, 0) if maps is None else maps.on_host(0, 0)
    if name == "secrets":
        own = (evolve(each, path=each.path.removeprefix(f"{DIRECTORY}/")) for each in files)
        return Memory(tuple(_on_host(each, maps) for each in own), "/", owner, swap)
    return Memory((_on_host(evolve(files[0], path="secret"), maps),), "/secret", owner, swap)


def _variables(instance: Instance, secrets: Sequence[Secret], maps: IdMaps | None) -> Iterator[Secret]:
    """Their owner is who runs the first process: another runtime's has them from a file."""
    for secret in secrets:
        if secret.variable is not None:
            user = instance.spec["process"].get("user", {})
            yield _on_host(evolve(secret, uid=user.get("uid", 0), gid=user.get("gid", 0)), maps)


def _on_host(secret: Secret, maps: IdMaps | None) -> Secret:
    """With the host's ids in place of the container's."""
    if maps is None:
        return secret
    if not maps.has(secret.uid, secret.gid):
        raise InvalidArgument(
            f"the container's user namespace has no user {secret.uid} or no group {secret.gid}",
            field="secret",
        )
    uid, gid = maps.on_host(secret.uid, secret.gid)
    return evolve(secret, uid=uid, gid=gid)


def _require_part(instance: Instance, mount: Shared) -> None:
    try:
        top = os.open(instance.core.volumes.path(mount.source), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.close(open_in_root(top, mount.subpath, os.O_PATH))
        finally:
            os.close(top)
    except FileNotFoundError as error:
        raise NotFound(
            f"the volume {mount.source!r} has no {mount.subpath!r}: make it first, in a container"
        ) from error
    except OSError as error:
        raise StageError("volume", error.errno or 0, f"{mount.source}/{mount.subpath}") from error
