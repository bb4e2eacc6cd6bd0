"""Groups below a container's, for one process of it: runc's `exec --cgroup [CONTROLLER,...:]PATH`."""

from __future__ import annotations

import os

from containerlib.errors import InvalidArgument, NotFound
from containerlib.runtime.cgroups.cgroup import ContainerCgroup
from containerlib.runtime.cgroups.path import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SubGroups", "below"]


class SubGroups(ContainerCgroup):
    """The groups at `place` with what is `below` them, by controller; "" is for all that are not named.

    They are to be joined, and not to be made or removed.
    """

    def __init__(self, place: Place, below: Mapping[str, str]) -> None:
        """Raises: NotFound where a group is not there; InvalidArgument for a controller without a group."""
        alone = below.get("", "").strip("/")
        unified = place.layout.unified is not None
        super().__init__(f"{place.path}/{alone}" if unified and alone else place.path, place.layout)
        groups = super().hierarchies
        unknown = set(below) - {"", *(name for names in groups for name in names.split(","))}
        if unknown:
            raise InvalidArgument(f"--cgroup: the container has no group of {', '.join(sorted(unknown))}")
        if not unified:
            groups = {names: _joined(path, names, below) for names, path in groups.items()}
        missing = next((path for path in groups.values() if not os.path.isdir(path)), None)
        if missing or not groups:
            raise NotFound(
                f"--cgroup: {missing or self.path}: no such file or directory: make the group first"
            )
        self._hierarchies = dict(groups)


def _joined(directory: str, names: str, below: Mapping[str, str]) -> str:
    named = [below[name] for name in names.split(",") if name in below]
    path = (named[0] if named else below.get("", "")).strip("/")
    return f"{directory}/{path}" if path else directory


def below(words: Sequence[str]) -> dict[str, str]:
    """The path below for each controller, "" for the others. Raises: InvalidArgument."""
    places: dict[str, str] = {}
    for word in words:
        controllers, colon, path = word.rpartition(":")
        if any(part in ("", ".", "..") for part in path.strip("/").split("/")) and path.strip("/"):
            raise InvalidArgument(f"--cgroup {word}: {path!r} is no path below the container's group")
        for name in controllers.split(",") if colon else [""]:
            if name in places:
                raise InvalidArgument(f"--cgroup {word}: there is a place for {name or 'all'} already")
            places[name] = path
    return places
