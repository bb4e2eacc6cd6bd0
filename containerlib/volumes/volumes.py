"""Named volumes: directories that outlive containers.

    volumes = VolumeStore(root, store)
    volume = volumes.create("www", labels={"team": "web"})
    volume.path                                   # <root>/volumes/www, to be bound into containers
    volumes.remove("www", in_use=lambda name: ["web"])   # Conflict: the container "web" has it

The record in the database is what makes a volume: a directory without one is a left-over of a process that
was killed, and never becomes part of a volume. Changes hold a flock, which dies with its holder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from attrs import frozen

from containerlib._sys.forks import opened
from containerlib.errors import Conflict, InvalidArgument, NotFound, StageError
from containerlib.store import EventRow, Store, VolumeRecord

__all__ = ["Volume", "VolumeStore"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
_TRASH = ".removed-"
_LOCK = ".lock"

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


class VolumeStore:
    """The volumes of one root; several processes may use it at once."""

    def __init__(self, root: Path, store: Store) -> None:
        self._directory = root / "volumes"
        self._records = store.volumes
        self._store = store

    def create(self, name: str, labels: Mapping[str, str] | None = None) -> Volume:
        """An empty volume.

        Raises: InvalidArgument(field="volume"), AlreadyExists, StageError(stage="volume").
        """
        _check_name(name)
        with self._locked():
            return self._create(name, labels or {})

    def ensure(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """The directory of the volume, made (with `labels`) if it is not there. Raises: as `create`."""
        with contextlib.suppress(NotFound):
            return self.get(name).path
        with self._locked():
            with contextlib.suppress(NotFound):
                return self.get(name).path
            return self._create(name, labels or {}).path

    def fill(self, name: str, write: Callable[[str], bool], in_use: InUse = lambda name: ()) -> bool:  # noqa: ARG005
        """Gives the volume what `write` puts into the empty directory that it is handed: all of it, or nothing.

        False where the volume is not empty, where `in_use` names containers, and where `write` says so.

        Raises: NotFound; StageError(stage="volume"); what `write` raises.
        """
        with self._locked():
            path = self.get(name).path
            with _stage(Path(path)):
                if os.listdir(path) or in_use(name):  # noqa: PTH208
                    return False
            made = f"{_TRASH}{os.urandom(8).hex()}"
            with _stage(self._directory / made):
                (self._directory / made).mkdir(mode=0o755)
                try:
                    if not write(str(self._directory / made)):
                        return False
                    (self._directory / made).rename(path)
                finally:
                    self._discard(made)
            return True

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
        """Removes the volume and what is in it.

        Raises: NotFound; Conflict where `in_use` names containers; StageError(stage="volume").
        """
        _check_name(name)
        with self._locked():
            labels = dict(self._records.get(name).labels)
            users = in_use(name)
            if users:
                names = ", ".join(sorted(users))
                raise Conflict(f"the volume {name!r} is in use by {names}: remove them first", state="in use")
            with self._store.database.transaction():
                self._records.remove(name)
                self._store.events.add(EventRow("volume", "remove", name, name, labels=labels))
            self._discard(name)

    def prune(self) -> Sequence[str]:
        """Removes directories that no record knows, which killed processes left, and gives their names."""
        with self._locked():
            known = {record.name for record in self._records.list()}
            removed = []
            for entry in sorted(path.name for path in self._directory.iterdir()):
                if entry != _LOCK and entry not in known:
                    self._discard(entry)
                    removed.append(entry)
            return removed

    def _create(self, name: str, labels: Mapping[str, str]) -> Volume:
        path = self._directory / name
        if not self._exists(name):
            self._discard(name)
            with _stage(path):
                path.mkdir(mode=0o755)
                path.chmod(0o755)  # whatever the caller's umask: it is the containers' users'
        with self._store.database.transaction():
            record = self._records.add(name, dict(labels))
            self._store.events.add(EventRow("volume", "create", name, name, labels=labels))
        return self._volume(record)

    def _exists(self, name: str) -> bool:
        try:
            self._records.get(name)
        except NotFound:
            return False
        return True

    def _volume(self, record: VolumeRecord) -> Volume:
        return Volume(record.name, str(self._directory / record.name), record.labels, record.created_at)

    def _discard(self, name: str) -> None:
        """Out of the way by one rename, then removed: a half-removed directory has no volume's name."""
        path = self._directory / name
        with _stage(path):
            if not os.path.lexists(path):
                return
            trash = path if name.startswith(_TRASH) else self._directory / f"{_TRASH}{os.urandom(8).hex()}"
            if trash != path:
                path.rename(trash)
            if trash.is_dir() and not trash.is_symlink():
                from shutil import rmtree  # noqa: PLC0415 - it imports every compressor

                rmtree(trash)
            else:
                trash.unlink()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            with _stage(self._directory):
                self._directory.mkdir(mode=0o700, exist_ok=True)
                descriptor = stack.enter_context(opened(self._directory / _LOCK, os.O_RDWR | os.O_CREAT))
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield


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
