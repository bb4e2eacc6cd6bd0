"""What CRIU is told of mounts from outside: how they are called in the images, and where they come from anew.

A mount is called by its mountpoint, and those of the host's null device all by that, as runc and crun call them.
"""

from __future__ import annotations

import os

from containerlib._sys.forks import opened
from containerlib._sys.paths import open_in_root
from containerlib.errors import NotFound, Unsupported
from containerlib.runtime.checkpoint.mounts import BIND, NULL
from containerlib.runtime.plan.mount_entry import read_mounts
from containerlib.runtime.plan.mount_options import RDONLY, parse
from containerlib.runtime.plan.restored import Outside, image_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from containerlib.runtime.checkpoint.description import Description, FromOutside
    from containerlib.spec.runtime import Spec

__all__ = ["names_of", "sources_of"]

_NULL = "/dev/null"


def names_of(description: Description) -> dict[str, str]:
    """Of each mountpoint."""
    return {path: _name(path, each) for path, each in description.outside.items()}


def sources_of(
    description: Description,
    spec: Spec,
    *,
    bundle: str,
    groups: Mapping[str, str],
    place: str,
    nothing: str,
    images: Sequence[str] = (),
) -> dict[str, Outside]:
    """Where each comes from, by its name.

    `bundle`: where a relative source is. `groups`: the container's, by their controllers ("" on v2). `place`: the
    directory that CRIU finds them below, and `images`: the mountpoints of those that are mounted there. `nothing`: an
    empty directory, for a group that the container has not any more.

    Raises: NotFound for a mount that nothing is given for; Unsupported.
    """
    binds = {mount.mount["destination"]: mount.source for mount in read_mounts(spec, bundle) if mount.binds}
    binds |= {at: image_place(place, index) for index, at in enumerate(images)}
    found: dict[str, Outside] = {}
    for path, each in description.outside.items():
        name = _name(path, each)
        if name not in found:
            source = _source(path, each, binds, groups) or nothing
            attributes = _attributes(each, spec)
            found[name] = Outside(source, f"{place}/outside-{len(found)}", attributes, path)
    return found


def _name(path: str, each: FromOutside) -> str:
    return _NULL if each.kind == NULL else path


def _source(path: str, each: FromOutside, binds: Mapping[str, str], groups: Mapping[str, str]) -> str | None:
    if each.kind == NULL:
        return _NULL
    if each.kind != BIND:
        wanted = set(each.kind.removeprefix("cgroup:").split(","))
        return next((group for names, group in groups.items() if wanted & set(names.split(","))), None)
    at = each.destination
    while at.strip("/"):  # its own source, or below that of a mount above it
        if at in binds:
            return _below(binds[at], each.destination[len(at) :])
        at = os.path.dirname(at)  # noqa: PTH120
    raise NotFound(
        f"the checkpoint has a mount from outside on {path}, and the container has none there: give it a source"
    )


def _below(top: str, path: str) -> str:
    """No link leads out of `top`, and no "..". Raises: NotFound."""
    if not path:
        return top
    try:
        with opened(top, os.O_PATH | os.O_DIRECTORY) as directory:
            found = open_in_root(directory, path, os.O_PATH)
        try:
            return os.readlink(f"/proc/self/fd/{found}")  # noqa: PTH115
        finally:
            os.close(found)
    except OSError as error:
        raise NotFound(f"the checkpoint has a mount on {path} in {top}, and it is not there") from error


def _attributes(each: FromOutside, spec: Spec) -> int:
    """MOUNT_ATTR_* as at the dump, which CRIU gives it. Raises: Unsupported where it is to be read-only from now on."""
    attributes = parse(each.options.split(",")).attributes.on
    wanted = next((m for m in spec.get("mounts", ()) if m["destination"] == each.destination), None)
    if wanted is None or attributes & RDONLY or "ro" not in wanted.get("options", ()):
        return attributes
    raise Unsupported(
        f"the mount on {each.destination} was writable, and a restored container cannot have it read-only: "
        "mount it as it was"
    )
