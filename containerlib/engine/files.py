"""The files of one container, as it sees them, whether it runs or not.

    with files(instance, "/etc/hostname") as inside:
        inside.status("/etc/hostname")

Of one that is alive they are what its first process has for a root: with all that is mounted there, by whomever. One
that is stopped has its layers, volumes and bind mounts mounted for the time of the block in a mount namespace that
nobody is in but a process that waits to be killed; meanwhile it can neither be started nor removed.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from containerlib import runtime
from containerlib._sys.inside import IdMap, Inside
from containerlib._sys.processes import is_alive
from containerlib.engine.assembled import assembled
from containerlib.engine.lock import in_use
from containerlib.errors import (
    AlreadyExists,
    Conflict,
    InvalidArgument,
    NotFound,
    StageError,
    printable,
)
from containerlib.spec.lifecycle import State

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.runtime import Supervisor

__all__ = ["FileMode", "files", "kind", "make_directory", "open_file", "read", "told", "write"]

FileMode = Literal["rb", "wb", "ab", "xb"]
_FLAGS: dict[str, int] = {
    "rb": os.O_RDONLY,
    "wb": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "ab": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "xb": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
}
_ROOT = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@contextlib.contextmanager
def files(instance: Instance, path: str = "/") -> Iterator[Inside]:
    """What is below its root. An OSError in the block is told as one about `path`.

    Raises: NotFound; Conflict while it is being made; Unsupported for a stopped one of the host's image.
    """
    with _mounted(instance) as inside, told(instance, path):
        yield inside


@contextlib.contextmanager
def told(instance: Instance, path: str) -> Iterator[None]:
    """An OSError in the block becomes an error that names the container and `path`, or the directory that it lacks."""
    name = printable(path)
    try:
        yield
    except StageError:
        raise
    except FileNotFoundError as error:
        above = error.filename if isinstance(error.filename, str) else ""
        missing = printable(above) if above and path.startswith(f"{above}/") else name
        raise NotFound(f"{instance.subject} has no {missing}") from error
    except FileExistsError as error:
        raise AlreadyExists(f"{instance.subject} has {name} already") from error
    except OSError as error:
        if (reason := _CONFLICTS.get(error.errno or 0)) is not None:
            raise Conflict(f"{name} in {instance.subject} {reason}", state="files") from error
        raise StageError("files", error.errno or 0, f"{name} in {instance.subject}") from error


_CONFLICTS = {
    errno.ENOTEMPTY: "is a directory with files in it",
    errno.EISDIR: "is a directory",
    errno.ENOTDIR: "is no directory, or a part of it is not",
    errno.EINVAL: "is not of the kind that this takes: a FIFO, a socket or a device is neither read nor written",
    errno.ELOOP: "leads through too many links, or through one that was put there at this moment",
    errno.EROFS: "is read-only in that container",
}


def read(instance: Instance, path: str) -> bytes:
    """All of a regular file. Raises: as `files`."""
    with (
        files(instance, path) as inside,
        inside.regular(path) as content,
        open(content, "rb", closefd=False) as file,
    ):
        return file.read()


def write(instance: Instance, path: str, data: bytes) -> None:
    """A regular file that is there gets other content, or a new one is made. Raises: as `files`."""
    with open_file(instance, path, "wb") as file:
        file.write(data)


def kind(instance: Instance, path: str, *, follow: bool) -> int:
    """The bits of its type; 0 where nothing is, or a part of the path is no directory. Raises: as `files`."""
    with files(instance, path) as inside:
        try:
            return stat.S_IFMT(inside.status(path, follow=follow).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return 0


def make_directory(inside: Inside, path: str, mode: int, *, parents: bool, exist_ok: bool) -> None:
    """A directory, and with `parents` those above it. Raises: OSError."""
    missing = [path]
    if parents:
        while (above := missing[-1].rpartition("/")[0]) and not _is_there(inside, above):
            missing.append(above)
    for place in reversed(missing):
        try:
            inside.make_directory(place, mode if place == path else 0o755)
        except FileExistsError:
            is_directory = stat.S_ISDIR(inside.status(place).st_mode)
            if not is_directory or (place == path and not exist_ok):
                raise


def _is_there(inside: Inside, path: str) -> bool:
    try:
        inside.status(path)
    except FileNotFoundError:
        return False
    return True


def open_file(instance: Instance, path: str, mode: FileMode) -> io.BufferedIOBase:
    """The open file. That of a stopped container keeps it from being started until it is closed.

    Raises: as `files`; InvalidArgument for another mode.
    """
    if mode not in _FLAGS:
        modes = ", ".join(map(repr, _FLAGS))
        raise InvalidArgument(
            f"{mode!r} is not a mode: bytes are read and written, with {modes}", field="mode"
        )
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(_mounted(instance, for_long=True))
        with told(instance, path):
            descriptor = inside.open(path, _FLAGS[mode])
        raw = _HeldFile(descriptor, "r" if mode == "rb" else "w", stack.pop_all())
    return io.BufferedReader(raw) if mode == "rb" else io.BufferedWriter(raw)


class _HeldFile(io.FileIO):
    """An open file, and what must stay as it is while it is open."""

    def __init__(self, descriptor: int, mode: str, held: contextlib.ExitStack) -> None:
        super().__init__(descriptor, mode)
        self._held = held

    def close(self) -> None:
        super().close()
        self._held.close()


@contextlib.contextmanager
def _mounted(instance: Instance, *, for_long: bool = False) -> Iterator[Inside]:
    """The root as it is at this moment. One that is alive may end meanwhile: what was opened of it stays."""
    with contextlib.ExitStack() as stack:
        if instance.state is State.STOPPED and (mounter := stack.enter_context(assembled(instance))):
            if for_long:
                stack.enter_context(in_use(instance))
            yield _opened(stack, mounter, f"/proc/{mounter.pid}/root/.")
            return
        supervisor = runtime.connect(instance.directory)
        if supervisor is None:
            state = instance.state
            raise Conflict(
                f"{instance.subject} is {state.value} at this moment: try again", state=state.value
            )
        with contextlib.closing(supervisor):
            place = instance.driver.files_of(supervisor.pid, instance.directory)
            inside = _opened(stack, supervisor, place)
        yield inside


def _opened(stack: contextlib.ExitStack, supervisor: Supervisor, place: str) -> Inside:
    """What `place`, of that first process, is. Looked at once it is open: so it is no other process's."""
    pid = supervisor.pid
    try:
        root = os.open(place, _ROOT)
        stack.callback(os.close, root)
        users, groups = _map(pid, "uid"), _map(pid, "gid")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise _ended() from error
    if not is_alive(pid, supervisor.start_time):
        raise _ended()
    return Inside(root, users, groups)


def _ended() -> Conflict:
    return Conflict("the container ended at this moment: try again", state=State.STOPPED.value)


def _map(pid: int, kind: str) -> IdMap:
    with open(f"/proc/{pid}/{kind}_map", encoding="ascii") as file:
        return IdMap.parse(file.read())
