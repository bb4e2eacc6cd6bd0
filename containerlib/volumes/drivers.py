"""Volumes that others provide: a Python package's entry point in the group `containerlib.volume_drivers`.

    # pyproject.toml of a package                    # docker volume create -d ours -o tier=fast www
    [project.entry-points."containerlib.volume_drivers"]
    ours = "ours:Driver"                             # Driver() -> VolumeDriver

    driver = find_driver("ours")
    driver.create("www", {"tier": "fast"})           # once
    path = driver.mount("www")                       # before each use: a directory of the host
    driver.unmount("www")                            # when no container uses it any more
    driver.remove("www")                             # in the end

One process at a time calls these for a root, and may be killed at any moment: what was begun is called again, so that
each verb must be content where there is nothing left to do. The name is the volume's, and two roots may have the same.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Protocol

from containerlib.errors import Error, InvalidArgument, NotFound, StageError, Unavailable, Unsupported

__all__ = ["GROUP", "LOCAL", "VolumeDriver", "asked", "find_driver"]

GROUP = "containerlib.volume_drivers"
LOCAL = "local"
"""The one that is built in: directories, and what mount(2) can mount."""
_VERBS = ("create", "mount", "unmount", "remove")


class VolumeDriver(Protocol):
    """What an entry point's object makes, when it is called without arguments."""

    def create(self, name: str, options: Mapping[str, str], /) -> None:
        """Makes what there is to be made; fine where that is there."""

    def mount(self, name: str, /) -> str:
        """The absolute path of the host's directory that the volume is, ready for use; it is mounted where it is."""

    def unmount(self, name: str, /) -> None:
        """No container uses it any more; fine where none ever did."""

    def remove(self, name: str, /) -> None:
        """The volume and what is in it are to go; fine where it is not there."""


@functools.cache
def find_driver(name: str) -> VolumeDriver:
    """The driver of that name.

    Raises: NotFound where no installed package has it; Unsupported where what it has is none.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - few need it

    found = entry_points(group=GROUP, name=name)
    if not found:
        known = ", ".join(sorted({LOCAL, *(each.name for each in entry_points(group=GROUP))}))
        raise NotFound(
            f"there is no volume driver {name!r}: install the package that has it; here are {known}"
        )
    try:
        driver: Any = next(iter(found)).load()()
    except Exception as error:
        raise Unsupported(f"the volume driver {name!r} cannot be loaded: {error!r}") from error
    lacks = [verb for verb in _VERBS if not callable(getattr(driver, verb, None))]
    if lacks:
        raise Unsupported(f"what the entry point {name!r} makes is no volume driver: it has no {lacks[0]}()")
    return driver  # type: ignore[no-any-return]


def asked(driver: str, verb: str, *arguments: Any) -> Any:
    """What the driver answers. Raises: what it raises where that is one of ours; Unavailable; as `find_driver`."""
    try:
        return getattr(find_driver(driver), verb)(*arguments)
    except Error as error:
        if isinstance(error, InvalidArgument | NotFound | StageError):
            error.add_note(f"in {verb}() of the volume driver {driver!r}")
        raise
    except Exception as error:
        raise Unavailable(
            f"the volume driver {driver!r} failed in {verb}({arguments[0]!r}): {error!r}"
        ) from error
