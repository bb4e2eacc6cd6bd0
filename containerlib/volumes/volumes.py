"""Named volumes: directories that outlive containers.

    volumes = VolumeStore(root, store)
    volume = volumes.create("www", labels={"team": "web"})
    volume.path                                   # <root>/volumes/www, to be bound into containers
    volumes.mount("www")                          # before each use, for those that are file systems of their own
    volumes.release(in_use=lambda name: [])       # unmounts what nobody uses
    volumes.remove("www", in_use=lambda name: ["web"])   # Conflict: the container "web" has it

The record in the database is what makes a volume: a directory without one is a left-over of a process that
was killed, and never becomes part of a volume. What needs more than a directory has its record first, which says that
it is on its way, and is removed by whoever finds it so. Changes hold a lock of the volume, which dies with its holder:
a server that does not answer holds up nobody but those who want its volume.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from attrs import frozen

from containerlib._sys.forks import opened
from containerlib._sys.locks import lock_part
from containerlib._sys.trees import remove_tree
from containerlib.errors import AlreadyExists, Conflict, Error, InvalidArgument, NotFound, StageError
from containerlib.store import EventRow, Store, VolumeRecord
from containerlib.volumes import mounting
from containerlib.volumes.content import TRASH, Place, Write
from containerlib.volumes.drivers import LOCAL, asked, find_driver
from containerlib.volumes.options import Local, local_options

__all__ = ["Volume", "VolumeStore"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
_LOCK = ".lock"
_T = TypeVar("_T")

InUse = Callable[[str], Sequence[str]]
"""Names of the containers that have a volume."""


@frozen
class Volume:
    """A volume that is there: its record, and its directory."""

    name: str
    path: str
    """The absolute host directory."""
    labels: tuple[tuple[str, str], ...]
    created_at: datetime
    driver: str = LOCAL
    options: tuple[tuple[str, str], ...] = ()

    @property
    def is_mount(self) -> bool:
        """Whether what is in it is elsewhere, and on its directory only while a container uses it."""
        return self.driver != LOCAL or local_options(dict(self.options)).mounts


class VolumeStore:
    """The volumes of one root; several processes may use it at once."""

    def __init__(self, root: Path, store: Store) -> None:
        self._directory = root / "volumes"
        self._records = store.volumes
        self._store = store

    def create(
        self,
        name: str,
        labels: Mapping[str, str] | None = None,
        *,
        driver: str = LOCAL,
        options: Mapping[str, str] | None = None,
    ) -> Volume:
        """A volume with nothing in it that its driver does not put there.

        Raises: InvalidArgument(field="volume" or "option"), AlreadyExists, StageError(stage="volume" or "quota");
        Unsupported for a size where the file system has no project quotas; NotFound for a driver; what that raises.
        """
        _check_name(name)
        with self._locked(name):
            return self._create(name, labels or {}, driver, options or {})

    def ensure(
        self,
        name: str,
        labels: Mapping[str, str] | None = None,
        *,
        driver: str = LOCAL,
        options: Mapping[str, str] | None = None,
    ) -> Volume:
        """The volume, made as `create` does if it is not there. Raises: as that."""
        with contextlib.suppress(NotFound):
            return self.get(name)
        with self._locked(name):
            with contextlib.suppress(NotFound):
                return self.get(name)
            return self._create(name, labels or {}, driver, options or {})

    def mount(self, name: str) -> None:
        """Has what is in the volume at its directory, as this process sees it. Costs little where it is there.

        Raises: NotFound; StageError(stage="volume"); Unsupported for a file system that the kernel has not.
        """
        volume = self.get(name)
        if volume.is_mount or self._place(volume).is_pending:
            with self._locked(name):
                self._mounted(name)

    def release(self, in_use: InUse = lambda name: (), names: Collection[str] = ()) -> None:  # noqa: ARG005
        """Unmounts the volumes that no container uses, and ends what killed processes began.

        Where somebody is at work on one, that is waited for only if it is of `names`.

        Raises: the first of the errors, when all is done.
        """
        failures: list[Exception] = []
        for found in self._records.restless():
            try:
                with self._locked(found.name, wait=found.name in names) as is_ours:
                    if is_ours:
                        self._release(found.name, in_use)
            except (Error, OSError) as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def fill(self, name: str, write: Write) -> bool:
        """Gives an empty volume what `write` puts into the directory that it is handed: all of it, or nothing.

        False where the volume is not empty, and where `write` says so. Those who have it mounted see what comes.

        Raises: NotFound; StageError(stage="volume"); what `write` raises.
        """
        volume = self.get(name)
        with _stage(Path(volume.path)):
            if not volume.is_mount and os.listdir(volume.path) and not self._place(volume).is_pending:  # noqa: PTH208
                return False
            with self._locked(name):
                place = self._mounted(name)
                return place.is_empty() and place.put(
                    write, replace=False, prepare=partial(self._bound, name)
                )

    def replace(self, name: str, write: Write, in_use: InUse = lambda name: ()) -> None:  # noqa: ARG005
        """Puts what `write` makes in the place of all that is in the volume: all of it, or nothing changes.

        Raises: NotFound; Conflict where `in_use` names containers; StageError(stage="volume"); what `write` raises.
        """
        with self._locked(name):
            _refuse_use(name, in_use)
            place = self._mounted(name)
            with _stage(Path(place.top)):
                place.put(write, replace=True, prepare=partial(self._bound, name))

    def reading(self, name: str, read: Callable[[str], _T]) -> _T:
        """What `read` makes of the volume's directory, to which nothing is mounted or put meanwhile."""
        with self._locked(name):
            return read(self._mounted(name).top)

    def get(self, name: str) -> Volume:
        """Raises: NotFound, InvalidArgument(field="volume")."""
        _check_name(name)
        return self._volume(self._records.get(name))

    def list(self) -> Sequence[Volume]:
        """Every volume, by name."""
        return [self._volume(record) for record in self._records.list()]

    def path(self, name: str) -> str:
        """The volume's directory. Raises: NotFound."""
        return self.get(name).path

    def remove(self, name: str, in_use: InUse = lambda name: ()) -> None:  # noqa: ARG005
        """Removes the volume and what is in it; what a file system of its own has stays there.

        Raises: NotFound; Conflict where `in_use` names containers; StageError(stage="volume"); what its driver raises.
        """
        _check_name(name)
        with self._locked(name):
            record = self._records.get(name)
            _refuse_use(name, in_use)
            if record.project or self._volume(record).is_mount:
                self._records.set_state(name, "removing")
                try:
                    self._end(record)
                except BaseException:
                    with contextlib.suppress(NotFound):
                        self._records.set_state(name, "mounted")  # or it is not: that is looked at
                    raise
                return
            self._forget(record)
            self._discard(name)

    def prune(self) -> Sequence[str]:
        """Removes directories that no record knows, which killed processes left, and gives their names.

        What has a record and is on its way is `release`'s.
        """
        with self._locked():
            volumes = self.list()
            for volume in volumes:
                if not volume.is_mount:
                    self._settle(self._place(volume))
            known = {volume.name for volume in volumes} | {record.name for record in self._records.restless()}
            removed = []
            for entry in sorted(path.name for path in self._directory.iterdir()):
                if entry != _LOCK and entry not in known:
                    self._discard(entry)
                    removed.append(entry)
            return removed

    def _create(
        self, name: str, labels: Mapping[str, str], driver: str, options: Mapping[str, str]
    ) -> Volume:
        local = local_options(options) if driver == LOCAL else Local()
        if driver != LOCAL:
            find_driver(driver)
        self._require_free(name)
        if driver == LOCAL and not local.size_bytes:
            self._make_directory(name)
            with self._store.database.transaction():
                record = self._records.add(name, labels, options=options)
                self._store.events.add(EventRow("volume", "create", name, name, labels=labels))
            return self._volume(record)
        project = mounting.free_project(str(self._directory)) if local.size_bytes else 0
        record = self._records.add(
            name, labels, driver=driver, options=options, project=project, state="making"
        )
        try:
            self._make_directory(name)
            if project:
                mounting.bound(str(self._directory / name), project, local.size_bytes)
            if driver != LOCAL:
                asked(driver, "create", name, dict(options))
            with self._store.database.transaction():
                self._records.set_state(name, "")
                self._store.events.add(EventRow("volume", "create", name, name, labels=labels))
        except BaseException as error:
            try:
                self._end(record)
            except Exception as failure:
                error.add_note(f"clean-up failed too, and is tried again later: {failure}")
            raise
        return self.get(name)

    def _require_free(self, name: str) -> None:
        """Ends what a killed process began with that name. Raises: AlreadyExists."""
        try:
            record = self._records.get(name, partial=True)
        except NotFound:
            return
        if record.state not in ("making", "removing"):
            raise AlreadyExists(f"there is a volume {name!r} already: engine.volumes.get({name!r}) has it")
        self._end(record)

    def _make_directory(self, name: str) -> None:
        path = self._directory / name
        self._discard(name)
        with _stage(path):
            path.mkdir(mode=0o755)
            path.chmod(0o755)  # whatever the caller's umask: it is the containers' users'

    def _bound(self, name: str, directory: str) -> None:
        """The new directory counts as the volume does."""
        record = self._records.get(name)
        if record.project:
            mounting.join(directory, record.project)

    def _end(self, record: VolumeRecord) -> None:
        """Removes what there is of a volume that is on its way, its record last."""
        path = str(self._directory / record.name)
        with _stage(Path(path)):
            mounting.unmount(path)
        if record.driver != LOCAL:
            asked(record.driver, "unmount", record.name)
            asked(record.driver, "remove", record.name)
        self._discard(record.name)
        if record.project:
            mounting.unbound(str(self._directory), record.project)
        self._forget(record)

    def _release(self, name: str, in_use: InUse) -> None:
        try:
            record = self._records.get(name, partial=True)
        except NotFound:
            return
        if record.state in ("making", "removing"):
            self._end(record)
        elif record.state and not in_use(name):
            self._unmount(record)

    def _forget(self, record: VolumeRecord) -> None:
        with self._store.database.transaction():
            self._records.remove(record.name)
            if record.state != "making":
                labels = dict(record.labels)
                self._store.events.add(EventRow("volume", "remove", record.name, record.name, labels=labels))

    def _mounted(self, name: str) -> Place:
        """The volume's place, with what is in it. For who has the lock."""
        record = self._records.get(name)
        volume = self._volume(record)
        if volume.is_mount and not (record.state == "mounted" and mounting.is_mounted(volume.path)):
            self._records.set_state(name, "mounted")
            try:
                with _stage(Path(volume.path)):
                    mounting.mount(volume.name, volume.path, volume.driver, dict(volume.options))
            except BaseException as error:
                try:
                    self._unmount(record)
                except Exception as failure:
                    error.add_note(f"clean-up failed too, and is tried again later: {failure}")
                raise
        place = self._place(volume)
        self._settle(place)
        return place

    def _unmount(self, record: VolumeRecord) -> None:
        path = self._directory / record.name
        with _stage(path):
            mounting.unmount(str(path))
        if record.driver != LOCAL:
            asked(record.driver, "unmount", record.name)
        self._records.set_state(record.name, "")

    def _settle(self, place: Place) -> None:
        if place.is_pending or place.aside == place.top:
            with _stage(Path(place.top)):
                place.settle()

    def _place(self, volume: Volume) -> Place:
        if not volume.is_mount:
            return Place(volume.name, volume.path, str(self._directory))
        unique = sha256(f"{volume.name} {volume.created_at.isoformat()}".encode()).hexdigest()[:16]
        return Place(unique, volume.path, volume.path)

    def _volume(self, record: VolumeRecord) -> Volume:
        path = str(self._directory / record.name)
        return Volume(record.name, path, record.labels, record.created_at, record.driver, record.options)

    def _discard(self, name: str) -> None:
        """Out of the way by one rename, then removed: a half-removed directory has no volume's name.

        What is mounted on it cannot be renamed, and so is never emptied.
        """
        path = self._directory / name
        with _stage(path):
            if not os.path.lexists(path):
                return
            trash = path if name.startswith(TRASH) else self._directory / f"{TRASH}{os.urandom(8).hex()}"
            if trash != path:
                path.rename(trash)
            remove_tree(str(trash))

    @contextlib.contextmanager
    def _locked(self, name: str | None = None, *, wait: bool = True) -> Iterator[bool]:
        """Holds what is of the volume, or of all; False, and holds nothing, where somebody has it and nobody waits."""
        with contextlib.ExitStack() as stack:
            with _stage(self._directory):
                self._directory.mkdir(mode=0o700, exist_ok=True)
                descriptor = stack.enter_context(opened(self._directory / _LOCK, os.O_RDWR | os.O_CREAT))
            yield lock_part(descriptor, name, wait=wait)


def _refuse_use(name: str, in_use: InUse) -> None:
    users = in_use(name)
    if users:
        names = ", ".join(sorted(users))
        raise Conflict(f"the volume {name!r} is in use by {names}: remove them first", state="in use")


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} is not a name for a volume: letters, digits, '_', '.', '-', a letter or digit first",
            field="volume",
        )


@contextlib.contextmanager
def _stage(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, StageError):
            raise
        raise StageError("volume", error.errno or 0, str(error.filename or path)) from error
