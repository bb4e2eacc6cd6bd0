"""What a configuration calls by a path at which nothing is: it is found, or made, anew at each start.

    {"path": "/containers/ID/late/net"}        a namespace:      Late({...: OtherNamespace("/containers/OTHER", "net")})
    {"source": "/containers/ID/late/part-0"}   what is bound:    Late({...: Part("/volumes/www/_data", "a/b")})

The shim does so, whoever is alive then: a container that it starts again joins the process that another one has by now.
Our own runtime has these in the plan itself, another one finds a mount of each at its path, in the shim's own mount
namespace; so the configuration is the same at every start, and on disk is never what was found.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from containerlib.errors import InvalidArgument
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.op import HiddenText, Op
from containerlib.spec.secret import Secret
from containerlib.spec.values import field, frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from containerlib.spec.runtime import Process

__all__ = [
    "NOTHING",
    "PRIVATE",
    "Borrowed",
    "Found",
    "Late",
    "Memory",
    "OtherNamespace",
    "Part",
    "late_mounts",
    "source_ops",
]

PRIVATE = 1 << 18
"""MSPRIVATE."""


@frozen
class OtherNamespace:
    """A namespace of the container that runs in that directory; `name` as in /proc/PID/ns."""

    directory: str
    name: str


@frozen
class Part:
    """What `path` is in a directory of the host: no link, which a container may have written, leads out of that."""

    directory: str
    path: str


@frozen
class Borrowed:
    """What the container of that directory lends: see `Late.lends`."""

    directory: str


@frozen
class Memory:
    """New files on a tmpfs of their own, of which `part` is shown: "/" for all.

    Their paths are below it, their owners the host's ids, as are those of its directories. `swap`: they may be swapped.
    """

    files: tuple[Secret, ...]
    part: str = "/"
    owner: tuple[int, int] = (0, 0)
    swap: bool = False


Found = OtherNamespace | Part | Borrowed | Memory


@frozen
class Late:
    """All of a container. `lends`: a path in it, of which containers with `Borrowed` have what is mounted there."""

    found: Mapping[str, Found] = field(factory=dict)
    lends: str | None = None
    variables: tuple[Secret, ...] = ()
    """Of its first process; they are in no configuration."""

    def namespace(self, path: str) -> OtherNamespace | None:
        """What a namespace's path stands for, if it does. Raises: InvalidArgument where that is none."""
        found = self.found.get(path)
        if found is None or isinstance(found, OtherNamespace):
            return found
        raise InvalidArgument(f"{path} is no namespace", field="linux.namespaces")

    def process(self, process: Process) -> Process:
        """With its variables."""
        if not self.variables:
            return process
        own = [HiddenText(f"{s.variable}={os.fsdecode(s.value)}") for s in self.variables]
        names = {entry.partition("=")[0] for entry in own}
        kept = [each for each in process.get("env", ()) if each.partition("=")[0] not in names]
        return {**process, "env": [*kept, *own]}


NOTHING = Late()
_HELPER = 4 << 20
"""Bytes that it may have, with the sanitizers too."""


def source_ops(found: Found, origin: str) -> Sequence[Op]:
    """The shim's, by which a mount is made for the BIND that follows; of a `Part` the bind's own words say more."""
    if isinstance(found, OtherNamespace):
        return (ops.namespace(found.name, found.directory, origin),)
    if isinstance(found, Part):
        return (ops.tree(found.directory, ops.MOUNT_RECURSIVE, origin, mapped=False, part=found.path),)
    if isinstance(found, Borrowed):
        return (ops.borrow(found.directory, origin),)
    files = [
        ops.secret(f.path, f.value, mode=f.mode, uid=f.uid, gid=f.gid, is_helper=f.is_helper)
        for f in found.files
    ]
    size = sum(len(f.value) + (_HELPER if f.is_helper else 8192) for f in found.files) + 65_536
    return (
        ops.memory(found.part, len(files), origin, size=size, owner=found.owner, swap=found.swap),
        *files,
    )


def late_mounts(found: Mapping[str, Found], place: str) -> Iterator[Op]:
    """A mount of each at its path, below the directory `place`: for the shim's own mount namespace."""
    if not found:
        return
    options = (("source", "late"), ("mode", "0700"), ("size", "1m"))
    yield ops.mount("tmpfs", place, place, options=options)
    for path, what in found.items():
        yield from source_ops(what, path)
        yield ops.bind(path, path, path, flags=ops.MOUNT_TREE, propagation=PRIVATE)
