"""Images to a container that runs, under a supervisor as any other. See the package for how it is used."""

from __future__ import annotations

import os

from containerlib.errors import StageError, Unsupported
from containerlib.runtime import launch
from containerlib.runtime.checkpoint.credentials import verify_restore
from containerlib.runtime.checkpoint.criu import Criu
from containerlib.runtime.checkpoint.description import read_description
from containerlib.runtime.checkpoint.failures import explained, log_lines
from containerlib.runtime.checkpoint.kernel_facts import PLACE
from containerlib.runtime.checkpoint.options import Options
from containerlib.runtime.checkpoint.outside import sources_of
from containerlib.runtime.checkpoint.requests import PAGES_LOG, RESTORE_LOG, restore_request
from containerlib.runtime.order import Stdio
from containerlib.runtime.plan.container import Manner
from containerlib.runtime.plan.late import NOTHING, Late
from containerlib.runtime.plan.namespaces import namespaces_of
from containerlib.runtime.plan.restored import Restored, restored_plan
from containerlib.spec.values import evolve, frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from containerlib.runtime.cgroups.cgroup import ContainerCgroup
    from containerlib.runtime.plan.hooks import Program
    from containerlib.runtime.plan.roots import OverlayRoot, Root
    from containerlib.runtime.supervisor import Supervisor
    from containerlib.spec.log import LogOptions
    from containerlib.spec.runtime import Spec

__all__ = ["packed_restore", "restore"]

_PLACE, _NOTHING = "late", "nothing"
_PASSED_ON = ("PATH",)
_LOGS = {"restore": RESTORE_LOG, "pages": PAGES_LOG}
"""Where it says why, by the stage that failed."""


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
    pages: bool = False,
    is_own: bool = True,
    late: Late = NOTHING,
    mounted: Sequence[tuple[str, OverlayRoot]] = (),
    **words: Any,
) -> Supervisor:
    """Makes the container of `bundle` as `launch.create` does, whose first run goes on from `images`.

    `spec` may have other limits, networks and sources of mounts than the one that was dumped; `root` is to have the
    files that it had. `work` takes CRIU's log, restore.log; else `directory`. `mounted`: create's `images`. `pages`: it
    goes on at once, and its supervisor has its memory brought when it is touched, or when there is time: `images` are
    needed no more, as everything has been opened; pages.log in `directory` is CRIU's log of that. `is_own`: as of
    `verify_restore`.

    Raises: as `launch.create`; InvalidArgument for images that give their processes more than `spec`; NotFound for a
    mount that nothing is given for; StageError(stage="restore").
    """
    if pages:
        options, work = evolve(options, lazy_pages=True), None
    options.check()
    if options.lazy_pages:
        criu.require("lazy_pages", "memory that comes when it is touched")
    work = work or directory
    own, is_logged = stdio or Stdio(), words.get("log", True) is not None
    streams = _streams(
        spec, own.stdin is not None, *(is_logged or fd is not None for fd in (own.stdout, own.stderr))
    )
    asked = _Asked(options, spec, cgroup, streams, is_own)
    places = [at for at, _ in mounted]
    restored = _restored(criu, images, bundle, asked, directory=directory, work=work, mounted=places)
    facts = criu.facts()  # of this boot, as a plan that is kept may not be
    shown = None if facts is None else (facts, PLACE)
    restored = evolve(restored, pages=pages, facts=shown)
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
        if error.stage not in _LOGS:
            raise
        log = log_lines(work, _LOGS[error.stage])
        where = f"{work}/{_LOGS[error.stage]}"
        raise explained(error.stage, error.errno or 0, log, subject=images, where=where) from error


def packed_restore(
    criu: Criu,
    images: str,
    bundle: str,
    *,
    directory: str,
    root: Root,
    cgroup: ContainerCgroup,
    spec: Spec,
    options: Options,
    stdin: bool,
    log: LogOptions,
    late: Late = NOTHING,
    mounted: Sequence[tuple[str, OverlayRoot]] = (),
    first: Program | None = None,
) -> bytes:
    """The plan of a run of the same container that goes on from `images`, for its supervisor to start by itself.

    `first` is run before its root is mounted. The rest: as `restore`. Raises: as that does before anything is started.
    """
    asked = _Asked(options, spec, cgroup, _streams(spec, stdin, True, True))
    places = [at for at, _ in mounted]
    restored = _restored(criu, images, bundle, asked, directory=directory, work=directory, mounted=places)
    manner = Manner(
        late=late,
        links=("links",) if os.path.exists(f"{directory}/links") else (),  # noqa: PTH110 - a str
        images=tuple((at, launch.mountable(image)) for at, image in mounted),
        bundle=bundle,
        log=log,
    )
    return restored_plan(
        spec,
        os.path.join(bundle, spec.get("root", {}).get("path", "rootfs")),
        launch.mountable(root),
        launch.groups_of(cgroup),
        evolve(restored, first=first),
        container_id=os.path.basename(directory),  # noqa: PTH119 - a str
        manner=manner,
    ).pack()


@frozen
class _Asked:
    """What a restored container is to be. `streams`: which of the three it is given."""

    options: Options
    spec: Spec
    cgroup: ContainerCgroup | None
    streams: Sequence[bool]
    is_own: bool = True


def _restored(
    criu: Criu,
    images: str,
    bundle: str,
    asked: _Asked,
    *,
    directory: str,
    work: str,
    mounted: Sequence[str],
) -> Restored:
    """With the directories that it needs. Raises: NotFound, InvalidArgument and Unsupported for the checkpoint."""
    spec, options = asked.spec, asked.options
    description = read_description(images, spec)
    verify_restore(images, spec, is_own=asked.is_own)
    place = f"{directory}/{_PLACE}"
    outside = sources_of(
        description,
        spec,
        bundle=bundle,
        groups=_groups(asked.cgroup),
        place=place,
        nothing=f"{directory}/{_NOTHING}",
        images=mounted,
    )
    for path in (place, f"{directory}/{_NOTHING}"):
        os.makedirs(path, 0o700, exist_ok=True)  # noqa: PTH103 - a str
    namespaces = namespaces_of(spec.get("linux", {})).kinds
    pairs = zip(description.streams, asked.streams, strict=False)
    request = restore_request(
        options,
        root=os.path.join(bundle, spec.get("root", {}).get("path", "rootfs")),
        sources={name: each.place for name, each in outside.items()},
        streams=[name if given and name.startswith("pipe:") else None for name, given in pairs],
        network="network" in namespaces and options.network != "empty",
        cgroup_roots=_roots(options, asked.cgroup, is_private="cgroup" in namespaces),
    )
    env = tuple(f"{name}={os.environ[name]}" for name in _PASSED_ON if name in os.environ)
    images, work = os.path.abspath(images), os.path.abspath(work)  # noqa: PTH100
    return Restored(criu.path, images, work, place, request, tuple(outside.values()), env)


def _groups(cgroup: ContainerCgroup | None) -> Mapping[str, str]:
    """By their controllers; on v2 there is one, of all."""
    if cgroup is None:
        return {}
    groups = launch.groups_of(cgroup)
    return {"": groups.directories[0]} if groups.hierarchies is None else groups.hierarchies


def _roots(
    options: Options, cgroup: ContainerCgroup | None, *, is_private: bool
) -> list[tuple[str | None, str]]:
    """By controller, where CRIU puts the groups that it makes: below the container's, or where this process is.

    Raises: Unsupported.
    """
    if options.cgroups == "ignore":
        return []
    if is_private:
        raise Unsupported(
            "a container with a cgroup namespace has its own groups alone: leave CRIU's mode of cgroups at ignore"
        )
    groups = {} if cgroup is None else launch.groups_of(cgroup).hierarchies
    if cgroup is not None and groups is None:
        return [(None, cgroup.path)]
    own = {name for names in groups or () for name in names.split(",")}
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        lines = [line.rstrip("\n").split(":", 2) for line in file]
    return [
        (names, cgroup.path if cgroup is not None and own & set(names.split(",")) else path)
        for _, names, path in lines
        if names
    ]


def _streams(spec: Spec, *given: bool) -> Sequence[bool]:
    """Which of the program's three it is given: a terminal is CRIU's to make."""
    return () if spec["process"].get("terminal") else given
