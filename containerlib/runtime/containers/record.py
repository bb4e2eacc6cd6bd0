"""What is written of a container in `state.json`: facts that do not change but for the process's.

A file that is written anew is written aside and renamed, so that a reader sees one whole or the other. It is not
synced: it describes processes, which no power failure outlives. It is hardly ever written anew: ext4 begins at once to
put on the disk what replaces a file, which is a tenth of a start.
"""

from __future__ import annotations

import json
import os
import time

from containerlib._sys.writing import write_whole
from containerlib.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

__all__ = ["CONFIG", "Record", "now", "read_process", "read_record", "write_aside", "write_new"]

STATE = "state.json"
CONFIG = "config.json"
"""The bundle's, as it was when the container was made, with what updates have changed since."""


class Record:
    """`pid` 0: no process is known (yet), or `read_process` knows it. `start_time`: in clock ticks since boot, so that
    the two name one process.

    `cgroup`: the place of its groups (cgroups/path.py), None for a container without; `adopted`: those of them that are
    others'. `freezer`: the file that says whether it is paused. `own_pids`: it has a pid namespace, whose processes end
    with the first one. `notify`: its program tells systemd of its readiness through a socket that `start` serves.
    `rootless`: who made it was not privileged. `keyring`: it has a session keyring of its own. `restored`: its first
    process was made by CRIU, and executed nothing.
    """

    __slots__ = (
        "adopted",
        "annotations",
        "bundle",
        "cgroup",
        "created",
        "freezer",
        "id",
        "keyring",
        "notify",
        "own_pids",
        "pid",
        "restored",
        "rootfs",
        "rootless",
        "start_time",
    )

    def __init__(
        self,
        container_id: str,
        bundle: str,
        rootfs: str,
        *,
        created: str,
        annotations: Mapping[str, str],
        cgroup: dict[str, Any] | None,
        adopted: Sequence[str] = (),
        freezer: str | None = None,
        own_pids: bool = True,
        rootless: bool = False,
        keyring: bool = True,
        notify: bool = False,
        restored: bool = False,
        pid: int = 0,
        start_time: int = 0,
    ) -> None:
        self.id = container_id
        self.bundle = bundle
        self.rootfs = rootfs
        self.created = created
        self.annotations = dict(annotations)
        self.cgroup = cgroup
        self.adopted = list(adopted)
        self.freezer = freezer
        self.own_pids = own_pids
        self.rootless = rootless
        self.keyring = keyring
        self.notify = notify
        self.restored = restored
        self.pid = pid
        self.start_time = start_time

    def pack(self) -> bytes:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def unpack(cls, data: bytes, place: str) -> Record:
        """Raises: Conflict for a file that is not ours."""
        try:
            fields: dict[str, Any] = json.loads(data)
            container_id, bundle, rootfs = fields.pop("id"), fields.pop("bundle"), fields.pop("rootfs")
            return cls(container_id, bundle, rootfs, **fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Conflict(
                f"{place} is not a state file of this version: delete the container by force, and make it anew"
            ) from error

    def write(self, directory: str) -> None:
        write_aside(f"{directory}/{STATE}", self.pack())

    def note_process(self, directory: str, pid: int, start_time: int) -> None:
        """Writes down which process it is, unless the helper has."""
        self.pid, self.start_time = pid, start_time
        if read_process(directory) != (pid, start_time):
            self.write(directory)


def read_record(directory: str) -> Record | None:
    """None where there is none (yet). Raises: Conflict."""
    try:
        with open(f"{directory}/{STATE}", "rb", buffering=0) as file:
            return Record.unpack(file.readall(), f"{directory}/{STATE}")
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_process(directory: str) -> tuple[int, int]:
    """Pid and start time of the first process, which the helper that made it has written down; 0 where none has."""
    from containerlib.runtime.records import read_record as read_helpers

    made = read_helpers(directory, "init")
    return (made.value[0], made.number[0]) if made is not None else (0, 0)


def write_aside(path: str, data: bytes) -> None:
    """Puts `data` at `path`, whole at once."""
    write_new(f"{path}.new", data)
    os.rename(f"{path}.new", path)


def write_new(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        write_whole(fd, data)
    finally:
        os.close(fd)


def now() -> str:
    """This moment as RFC 3339 in nanoseconds, without the zeros at its end, as Go writes it."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    fraction = f".{nanoseconds:09}".rstrip("0").rstrip(".")
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}{fraction}Z"
