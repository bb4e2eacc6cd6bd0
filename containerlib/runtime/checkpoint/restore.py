"""Images to a container that runs, under a supervisor as any other. See the package for how it is used."""

from __future__ import annotations

import os

from containerlib.errors import NotFound, StageError, Unsupported
from containerlib.runtime import launch
from containerlib.runtime.checkpoint import description as described
from containerlib.runtime.checkpoint.criu import Criu
from containerlib.runtime.checkpoint.description import Description, read_description
from containerlib.runtime.checkpoint.failures import explained, log_lines
from containerlib.runtime.checkpoint.mounts import BIND, NULL
from containerlib.runtime.checkpoint.options import Options
from containerlib.runtime.checkpoint.requests import RESTORE_LOG, restore_request
from containerlib.runtime.plan.late import NOTHING, Late
from containerlib.runtime.plan.mount_options import RDONLY, parse
from containerlib.runtime.plan.namespaces import namespaces_of
from containerlib.runtime.plan.restored import Outside, Restored, image_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from containerlib.runtime.cgroups.cgroup import ContainerCgroup
    from containerlib.runtime.order import Stdio
    from containerlib.runtime.plan.roots import OverlayRoot, Root
    from containerlib.runtime.supervisor import Supervisor
    from containerlib.spec.runtime import Spec

__all__ = ["restore", "sources_of"]

_NULL = "/dev/null"
_PLACE, _NOTHING = "late", "nothing"
_PASSED_ON = ("PATH",)


def restore(
    criu: Criu,
    images: str,
    bundle: str,
    *,
    directory: str,
    root: Root,
    cgroup: ContainerCgroup | None,
    owned: bool,
    spec: Spec,
    options: Options = Options(),  # noqa: B008 - it is frozen
    stdio: Stdio | None = None,
    work: str | None = None,
    late: Late = NOTHING,
    mounted: Sequence[tuple[str, OverlayRoot]] = (),
    **words: Any,
) -> Supervisor:
    """Makes the container of `bundle` as `launch.create` does, whose first run goes on from `images`.

    `spec` may have other limits, networks and sources of mounts than the one that was dumped; `root` is to have the
    files that it had. `work` takes CRIU's log, restore.log; else `directory`. `mounted`: create's `images`.

    Raises: as `launch.create`; NotFound for a mount that nothing is given for; StageError(stage="restore").
    """
    options.check()
    if options.lazy_pages:
        criu.require("lazy_pages", "memory that comes when it is touched")
    description = read_description(images, spec)
    place, work = f"{directory}/{_PLACE}", work or directory
    sources = sources_of(description, spec, cgroup, place, mounted, nothing=f"{directory}/{_NOTHING}")
    outside = {
        path: Outside(
            source, f"{place}/outside-{index}", _attributes(description.outside[path], spec), f"mount {path}"
        )
        for index, (path, source) in enumerate(sources.items())
    }
    for path in (place, f"{directory}/{_NOTHING}"):
        os.makedirs(path, 0o700, exist_ok=True)  # noqa: PTH103 - a str
    request = restore_request(
        options,
        root=os.path.join(bundle, spec.get("root", {}).get("path", "rootfs")),
        sources={path: each.place for path, each in outside.items()},
        streams=_streams(description, spec, stdio, supervised=words.get("log", True) is not None),
        network="network" in namespaces_of(spec.get("linux", {})).kinds and not options.empty_network,
    )
    restored = Restored(
        criu.path,
        os.path.abspath(images),  # noqa: PTH100
        os.path.abspath(work),  # noqa: PTH100
        place,
        request,
        tuple(outside.values()),
        tuple(f"{name}={os.environ[name]}" for name in _PASSED_ON if name in os.environ),
    )
    try:
        return launch.create(
            bundle,
            directory=directory,
            root=root,
            cgroup=cgroup,
            owned=owned,
            spec=spec,
            stdio=stdio,
            late=late,
            images=mounted,
            restored=restored,
            **words,
        )
    except StageError as error:
        if error.stage != "restore":
            raise
        log = log_lines(work, RESTORE_LOG)
        where = f"{work}/{RESTORE_LOG}"
        raise explained("restore", error.errno or 0, log, subject=images, where=where) from error


def sources_of(
    description: Description,
    spec: Spec,
    cgroup: ContainerCgroup | None,
    place: str,
    mounted: Sequence[tuple[str, OverlayRoot]],
    *,
    nothing: str,
) -> dict[str, str]:
    """The host path for each mount that came from outside, by its mountpoint.

    `nothing`: an empty directory, for a group that the container has not any more. Raises: NotFound.
    """
    binds = {mount["destination"]: mount.get("source", "") for mount in spec.get("mounts", ())}
    binds |= {at: image_place(place, index) for index, (at, _) in enumerate(mounted)}
    groups = {} if cgroup is None else launch.groups_of(cgroup).hierarchies
    if cgroup is not None and groups is None:
        groups = {"": cgroup.directories[0]}
    sources = {}
    for path, each in description.outside.items():
        if each.kind == NULL:
            source: str | None = _NULL
        elif each.kind == BIND:
            source = _bound(each.destination, binds)
        else:
            source = _group(each.kind.removeprefix("cgroup:"), groups or {}) or nothing
        if source is None:
            raise NotFound(
                f"the checkpoint has a mount from outside on {path}, and the container has none there: "
                "give it a source"
            )
        sources[path] = source
    return sources


def _attributes(outside: described.Outside, spec: Spec) -> int:
    """MOUNT_ATTR_* as at the dump, which CRIU gives it. Raises: Unsupported where it is to be read-only from now on."""
    attributes = parse(outside.options.split(",")).attributes.on
    wanted = next((m for m in spec.get("mounts", ()) if m["destination"] == outside.destination), None)
    if wanted is None or attributes & RDONLY or "ro" not in wanted.get("options", ()):
        return attributes
    raise Unsupported(
        f"the mount on {outside.destination} was writable, and a restored container cannot have it read-only: "
        "mount it as it was"
    )


def _bound(destination: str, binds: Mapping[str, str]) -> str | None:
    """Its own source, or below that of a mount above it."""
    at = destination
    while at != "/":
        if at in binds:
            return binds[at] + destination[len(at) :]
        at = os.path.dirname(at)  # noqa: PTH120
    return None


def _group(controllers: str, groups: Mapping[str, str]) -> str | None:
    wanted = set(controllers.split(","))
    return next((path for names, path in groups.items() if wanted & set(names.split(","))), None)


def _streams(
    description: Description, spec: Spec, stdio: Stdio | None, *, supervised: bool
) -> list[str | None]:
    """What of its streams were pipes, and are given again."""
    if spec["process"].get("terminal"):
        return []
    given = [
        stdio is not None and stdio.stdin is not None,
        supervised or (stdio is not None and stdio.stdout is not None),
        supervised or (stdio is not None and stdio.stderr is not None),
    ]
    pairs = zip(description.streams, given, strict=False)
    return [name if is_given and name.startswith("pipe:") else None for name, is_given in pairs]
