"""The containers below one state directory, and what can be known of each without doing anything to it."""

from __future__ import annotations

import errno
import json
import os

from containerlib.errors import Error, NotFound
from containerlib.runtime.containers.ids import RESERVED, check_id
from containerlib.runtime.containers.lock import is_locked
from containerlib.runtime.containers.process import facts
from containerlib.runtime.containers.record import (
    CONFIG,
    Record,
    read_process,
    read_record,
    write_aside,
    write_new,
)
from containerlib.spec.lifecycle import State, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.runtime.cgroups.cgroup import ContainerCgroup
    from containerlib.spec.runtime import Spec

__all__ = ["SPEC_VERSION", "Container", "Containers"]

SPEC_VERSION = "1.3.0"


class Containers:
    """Containers by id, each with a directory below `root`, which is made when the first container is."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    def __repr__(self) -> str:
        return f"Containers({self.root!r})"

    def directory(self, container_id: str) -> str:
        """Where the container's state is. Raises: InvalidArgument."""
        return f"{self.root}/{check_id(container_id)}"

    def get(self, container_id: str) -> Container:
        """Raises: NotFound; InvalidArgument; Conflict for a state that cannot be read."""
        directory = self.directory(container_id)
        record = _whole_record(directory)
        if record is None:
            if os.path.isdir(directory):
                raise NotFound(
                    f"container does not exist: {container_id!r} was never made whole; "
                    "what is left of it goes with delete --force"
                )
            raise NotFound(f"container does not exist: {container_id!r}, below {self.root}")
        return Container(directory, record)

    def names(self) -> list[str]:
        """The ids of all containers in order, also of those that were never made whole."""
        try:
            with os.scandir(self.root) as entries:
                found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        return sorted(name for name in found if name != RESERVED)

    def list(self) -> tuple[list[Container], list[Error]]:
        """Containers by id, and an error for each directory that is none."""
        found, errors = [], []
        for name in self.names():
            try:
                found.append(self.get(name))
            except Error as error:
                errors.append(error)
        return found, errors


class Container:
    """A container by its directory and what was written of it; its state is asked of the kernel each time.

    `made_here`: nobody else knows more of it than `record` says.
    """

    def __init__(self, directory: str, record: Record, *, made_here: bool = False) -> None:
        self.directory = directory
        self.record = record
        self._made_here = made_here
        self._config: tuple[tuple[int, ...] | None, Spec] | None = None

    def __repr__(self) -> str:
        return f"<Container {self.id!r} in {self.directory!r}>"

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def subject(self) -> str:
        """How messages name it."""
        return f"container {self.id}"

    @property
    def pid(self) -> int:
        """Its first process; 0 where that has ended."""
        return self.record.pid if self.is_alive else 0

    @property
    def is_alive(self) -> bool:
        known = facts(self.record.pid)
        return known is not None and known.start_time == self.record.start_time

    def status(self, *, locked: bool = False) -> State:
        """From the kernel: whether its process lives, whether it is the user's program yet, and the freezer.

        `locked`: the caller has its lock, so that nobody else is making it.
        """
        if self.record.pid == 0:
            if locked or not is_locked(self.directory):
                return State.STOPPED  # who made it was killed over it
            self._read_again()
            if self.record.pid == 0:
                return State.CREATING
        known = facts(self.record.pid)
        if known is None or known.start_time != self.record.start_time:
            return State.STOPPED
        if self._is_frozen():
            return State.PAUSED
        return State.RUNNING if known.has_execed or self.record.restored else State.CREATED

    def check(self, verb: str, *, locked: bool = False, also: tuple[State, ...] = ()) -> State:
        """The state, in which `verb` is allowed. `locked`: as in `status`. `also`: more states. Raises: Conflict."""
        if locked and not self._made_here:
            self._read_again()
        state = self.status(locked=locked)
        check(verb, state, self.subject, also=also)
        return state

    def cgroup(self) -> ContainerCgroup | None:
        """Its groups; None where it was made without."""
        from containerlib.runtime.containers.groups import cgroup_of

        return cgroup_of(self.record)

    def spec(self) -> Spec:
        """The configuration that it was made with, as updates have changed it: to be read, not changed.

        Raises: NotFound, InvalidArgument, StageError.
        """
        version = self._config_version()
        if self._config is None or self._config[0] != version:
            from containerlib.runtime.config.read import read_config

            self._config = version, read_config(f"{self.directory}/{CONFIG}")
        return self._config[1]

    def write_spec(self, spec: Spec, *, first: bool = False) -> None:
        """Puts it in the place of the one that is there. `first`: while there is no record, nobody reads it."""
        write = write_new if first else write_aside
        write(f"{self.directory}/{CONFIG}", json.dumps(spec).encode())
        self._config = self._config_version(), spec

    def describe(self) -> dict[str, object]:
        """OCI's state, and what runc adds to it. Spec: runtime.md#state"""
        state = self.status()
        text: dict[str, object] = {
            "ociVersion": SPEC_VERSION,
            "id": self.id,
            "pid": 0 if state is State.STOPPED else self.record.pid,
            "status": state.value,
            "bundle": self.record.bundle,
            "rootfs": self.record.rootfs,
            "created": self.record.created,
        }
        if self.record.annotations:
            text["annotations"] = self.record.annotations
        return text

    def _config_version(self) -> tuple[int, ...] | None:
        """Tells the configuration from one that has replaced it; None where it is gone."""
        try:
            status = os.stat(f"{self.directory}/{CONFIG}")
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_size, status.st_ctime_ns

    def _read_again(self) -> None:
        """What was written since this record was read."""
        self.record = _whole_record(self.directory) or self.record

    def _is_frozen(self) -> bool:
        """Also on its way there, as v1 says it (FREEZING); a group that is gone has nothing frozen in it."""
        if self.record.freezer is None:
            return False
        try:
            with open(self.record.freezer, "rb", buffering=0) as file:
                return file.read(64).strip() not in (b"THAWED", b"0")
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):
                return False
            raise


def _whole_record(directory: str) -> Record | None:
    """The record, with the process that the helper has written down."""
    record = read_record(directory)
    if record is not None and record.pid == 0:
        record.pid, record.start_time = read_process(directory)
    return record
