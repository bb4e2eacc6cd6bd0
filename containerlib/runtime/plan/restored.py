"""The plan of a run that goes on from a checkpoint. Pure, as plan/container.py is.

    its files               as they were then, where they are not by now
    the host's side         cgroups, namespaces that CRIU does not make, networks: as of any start
    what comes from outside below a directory of its own
    the root                mounted on the host directory
    CRIU                    makes the rest: the other namespaces, mounts, processes

All of it is in a mount namespace that ends with CRIU. What the shim does at the program's start and after its end is
the same as of any run.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence

from containerlib.errors import Unsupported
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.container import Manner, after_ops, host_ops, log_ops
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.hooks import Program, hook_ops
from containerlib.runtime.plan.labels import labelled_mounts
from containerlib.runtime.plan.late import PRIVATE, OtherNamespace, source_ops
from containerlib.runtime.plan.mount_entry import read_mounts
from containerlib.runtime.plan.namespaces import Namespaces, namespaces_of
from containerlib.runtime.plan.op import Op, Plan
from containerlib.runtime.plan.root_mounts import root_mount_ops
from containerlib.runtime.plan.roots import Root
from containerlib.spec.values import evolve, frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.spec.runtime import Spec

__all__ = ["Outside", "Restored", "image_place", "restored_plan"]

_OWN = frozenset(("mount", "network", "cgroup"))
"""Kinds that are made, or joined, before CRIU; it makes the others."""


@frozen
class Outside:
    """What CRIU mounts from outside: a host path, where it finds that with these MOUNT_ATTR_*, and a mountpoint of it.

    It takes them from there: of two mounts of the same file it would leave those of the second out.
    """

    source: str
    place: str
    attributes: int
    path: str


@frozen
class Restored:
    """Where a run goes on from: CRIU's `program`, its `images`, the directory that it works in, and what it is asked.

    `place`: an empty directory, below which is mounted what comes from outside and has no path on the host. `env`:
    CRIU's. `pages`: the supervisor has another CRIU bring memory when it is touched. `facts`: a file of what CRIU has
    found out of the kernel, and where it looks for that.
    """

    program: str
    images: str
    work: str
    place: str
    request: bytes
    outside: tuple[Outside, ...] = ()
    env: tuple[str, ...] = ()
    first: Program | None = None
    """Run before its root is mounted."""
    pages: bool = False
    facts: tuple[str, str] | None = None


def image_place(place: str, index: int) -> str:
    """Where the `index`th of a container's images is mounted for CRIU."""
    return f"{place}/image-{index}"


def restored_plan(
    spec: Spec,
    rootfs: str,
    root: Root,
    groups: Groups,
    restored: Restored,
    *,
    container_id: str,
    manner: Manner,
) -> Plan:
    """As `container_plan`, with the same arguments. Raises: InvalidArgument; Unsupported."""
    linux = spec.get("linux", {})
    namespaces = namespaces_of(linux)
    _refuse(namespaces)
    own = evolve(
        namespaces,
        new=namespaces.new & _OWN | {"mount"},
        joined={kind: path for kind, path in namespaces.joined.items() if kind in _OWN},
    )

    def hooks(kind: str) -> Iterator[Op]:
        return hook_ops(spec, kind, container_id=container_id, bundle=manner.bundle, inherited=manner.environ)

    before = [
        *host_ops(spec, read_mounts(spec, manner.bundle), groups, own, manner),
        *(ops.handover(restored.first.op("its files as they were")) if restored.first else ()),
        *labelled_mounts(_outside(restored, rootfs, manner), linux),
        *root_mount_ops(rootfs, root, linux, new=False, joined=False, privileged=True),
        *_targets(spec, restored.outside),
        *ops.handover(*hooks("prestart"), *hooks("createRuntime")),
        ops.parent_death(signal.SIGKILL),
        *_pages(restored),
        ops.request(restored.work, restored.request),
        ops.restore(restored.program, restored.images, restored.env),
    ]
    supervised = manner.supervised
    after = (*after_ops(groups), *log_ops(manner.log), *(hooks("poststop") if supervised else ()))
    started = tuple(hooks("poststart") if supervised else ())
    return Plan(tuple(before), after, own.cloned, started)


def _refuse(namespaces: Namespaces) -> None:
    """Raises: Unsupported for what CRIU's namespaces cannot be."""
    others = namespaces.joined.keys() - _OWN
    if others:
        raise Unsupported(
            f"a container that joins another one's {', '.join(sorted(others))} namespace cannot be restored: "
            "give it one of its own"
        )
    if "user" in namespaces.kinds:
        raise Unsupported("a container with a user namespace cannot be restored yet: leave it out")
    if "mount" not in namespaces.new:
        raise Unsupported("a container without a mount namespace of its own cannot be restored: give it one")


def _outside(restored: Restored, rootfs: str, manner: Manner) -> Iterator[Op]:
    """All of it is below `place`, and for CRIU alone; what is late has its paths there already."""
    place = restored.place
    yield ops.root_directory("/")  # where the paths of the mounts begin, until there is a root
    yield ops.mount("tmpfs", place, place, options=(("source", "late"), ("mode", "0700"), ("size", "1m")))
    if restored.facts is not None:
        yield ops.bind(*restored.facts, "CRIU's facts")
    for index, (_, image) in enumerate(manner.images):
        at = image_place(place, index)
        yield from ops.handover(ops.root_overlay(rootfs, image))
        yield ops.bind("image", at, at, flags=ops.MOUNT_TREE)
    for path, what in manner.late.found.items():
        if not isinstance(what, OtherNamespace):
            yield from ops.handover(*source_ops(what, path))
            yield ops.bind(path, path, path, flags=ops.MOUNT_TREE, propagation=PRIVATE)
    for each in restored.outside:
        yield ops.bind(each.source, each.place, f"mount {each.path}", attributes=each.attributes)


def _pages(restored: Restored) -> Iterator[Op]:
    if restored.pages:
        yield ops.pages(restored.program, restored.images, restored.work, restored.env)


def _targets(spec: Spec, outside: Sequence[Outside]) -> Iterator[Op]:
    """The mountpoints on the root itself; others are on what CRIU mounts before."""
    sources: dict[str, str | None] = {mount["destination"]: None for mount in spec.get("mounts", ())}
    sources |= {each.path: each.place for each in outside}
    tops: list[str] = []
    for path in sorted(sources):
        if path != "/" and not any(path.startswith(f"{top}/") for top in tops):
            tops.append(path)
            yield ops.target(path, sources[path], f"mount {path}")
