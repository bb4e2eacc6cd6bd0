"""Records that outlive a process: images, containers and volumes of one root, in one SQLite file.

store = Store(Path("/var/lib/containerlib"))
store.containers.add(ContainerRecord(...))
store.containers.get("web")
store.close()
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from containerlib.errors import StageError
from containerlib.store.attachments import AttachmentRecord, AttachmentTable
from containerlib.store.containers import ContainerRecord, ContainerTable
from containerlib.store.database import Database
from containerlib.store.events import EventRow, EventTable
from containerlib.store.ids import IdTable
from containerlib.store.images import Content, ImageRow, ImageTable, IndexRow, Kind, Origin
from containerlib.store.networks import EndpointRecord, NetworkRecord, NetworkTable
from containerlib.store.volumes import VolumeRecord, VolumeTable

__all__ = [
    "AttachmentRecord",
    "AttachmentTable",
    "ContainerRecord",
    "ContainerTable",
    "Content",
    "Database",
    "EndpointRecord",
    "EventRow",
    "EventTable",
    "ImageRow",
    "ImageTable",
    "IndexRow",
    "Kind",
    "NetworkRecord",
    "NetworkTable",
    "Origin",
    "Store",
    "VolumeRecord",
    "VolumeTable",
]


class Store:
    """`<root>/containerlib.db` and its tables. Made with its directory if it is not there.

    Raises: StageError(stage="state") where the directory cannot be made or written, or is another user's too.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_others(root)
            path = str(root / "containerlib.db")
            _make_file(path)
        except StageError:
            raise
        except OSError as error:
            raise StageError(
                "state",
                error.errno or 0,
                error.filename or str(root),
                advice="choose another directory with Engine(root=...)",
            ) from error
        self.database = Database(path)
        self.containers = ContainerTable(self.database)
        self.events = EventTable(self.database)
        self.images = ImageTable(self.database)
        self.volumes = VolumeTable(self.database)
        self.ids = IdTable(self.database)
        self.networks = NetworkTable(self.database)
        self.attachments = AttachmentTable(self.database)

    def close(self) -> None:
        """Closes the database."""
        self.database.close()


def _refuse_others(root: Path) -> None:
    """Whoever may rename what is in the directory would have this process write, and execute, in a place of theirs."""
    status = root.stat()
    ours = {0, os.geteuid()}
    shared = status.st_mode & stat.S_IWOTH or (
        status.st_mode & stat.S_IWGRP and status.st_gid not in (0, os.getegid())
    )
    if status.st_uid in ours and not shared:
        return
    who = "others may write to it" if status.st_uid in ours else f"it is user {status.st_uid}'s"
    raise StageError(
        "state",
        errno.EPERM,
        str(root),
        advice=f"{who}: chown and chmod it, or choose another directory with Engine(root=...)",
    )


def _make_file(path: str) -> None:
    """An empty file for nobody but its owner, without opening one: to close it would end every lock that this process
    has on it, through whichever engine, and another process would take the log of changes away from under that.

    Spec: fcntl(2), "Advisory record locking"; https://sqlite.org/howtocorrupt.html section 2.2
    """
    with contextlib.suppress(FileExistsError):
        os.mknod(path, 0o600 | stat.S_IFREG)
