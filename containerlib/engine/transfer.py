"""Files and trees between the host and a container: `docker cp`, with its rules on what is there already.

    into a directory          under its own name, or with `contents` only what is in it
    to a name that is free    under that name, which is made also for what is only in it
    to a file                 in its place; a directory takes no file's place, nor a file that of a directory
    to a device or a FIFO     on the host, into it

Spec: docker container cp
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib._sys.transfer import Device, Mismatch, Occupied, Transfer
from containerlib.engine.files import files
from containerlib.engine.history import note
from containerlib.errors import Conflict, Error, NotFound, StageError, Unsupported, printable
from containerlib.images.registry.output_file import OutputFile, is_special

if TYPE_CHECKING:
    from containerlib._sys.inside import Inside
    from containerlib.engine.instance import Instance

__all__ = ["CopyOptions", "copy_in", "copy_out"]

Owner = Callable[[int, int], tuple[int, int]]
_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@frozen
class CopyOptions:
    """`owners`: they are kept, by number. `contents`: of a directory, only what is in it. `follow_links`: where the
    source is a link, what it leads to."""

    owners: bool = False
    contents: bool = False
    follow_links: bool = False


def copy_in(instance: Instance, source: str, path: str, options: CopyOptions) -> None:
    """The host's `source` to `path`. Files become the container's root's, or keep their numbers with `owners`.

    Raises: NotFound; Conflict; Unsupported for a device; StageError.
    """
    _copy_in(instance, source, path, options)
    note(instance, "copy", direction="in", path=path)


def _copy_in(instance: Instance, source: str, path: str, options: CopyOptions) -> None:
    with files(instance, path) as inside, _copying(source, f"{path} in {instance.subject}"):
        transfer = Transfer(owner=_owner_inside(inside, options), rights=True)
        real = os.path.realpath(source) if options.follow_links else os.path.abspath(source)  # noqa: PTH100
        if options.contents or real == "/":
            with _opened(source, _ROOT) as below, _directory_inside(inside, path) as (above, is_new):
                transfer.tree(below, above, is_new=is_new)
            return
        directory, name = os.path.split(real)
        with _opened(directory, _ROOT) as below, _place_inside(inside, path, name) as (above, target):
            transfer.copy(below, name, above, target)


def copy_out(instance: Instance, path: str, target: str, options: CopyOptions) -> None:
    """`path` to the host's `target`. Files become this process's user's, or keep the container's numbers with `owners`.

    Set-user-ID, set-group-ID, capabilities and access lists stay behind: no container gives such rights on the host.
    Raises: as `copy_in`.
    """
    _copy_out(instance, path, target, options)
    note(instance, "copy", direction="out", path=path)


def _copy_out(instance: Instance, path: str, target: str, options: CopyOptions) -> None:
    with files(instance, path) as inside, _copying(f"{path} in {instance.subject}", target):
        transfer = Transfer(owner=_owner_outside(inside) if options.owners else None, spare_nodes=True)
        if options.contents or not _base(path):
            with inside.opened(path, _ROOT) as below, _directory_outside(target) as (above, is_new):
                transfer.tree(below, above, is_new=is_new)
            return
        real = inside.settled(path) if options.follow_links else path
        with inside.parent(real) as (below, name), _opened(name, _LOOK, below) as seen:
            if stat.S_ISREG(os.fstat(seen).st_mode):
                _file_outside(transfer, seen, target, _base(path))
                return
            with _place_outside(target, _base(path)) as (above, new):
                transfer.copy(below, name, above, new)


def _file_outside(transfer: Transfer, seen: int, target: str, name: str) -> None:
    """Whoever reads the target has the old file, or the whole new one."""
    path = _path_outside(target, name)
    for node, follow_links in ((target, True), (path, False)):
        if is_special(node, follow_links=follow_links):
            with _opened(node, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC) as output:
                transfer.file(seen, output, only_content=True)
            return
    with _place_outside(target, name), OutputFile(path) as file:
        transfer.file(seen, file.fd)
        file.commit()


def _owner_inside(inside: Inside, options: CopyOptions) -> Owner:
    root = inside.users.outward(0), inside.groups.outward(0)
    if not options.owners:
        return lambda _, __: root
    return lambda uid, gid: (inside.users.outward(uid), inside.groups.outward(gid))


def _owner_outside(inside: Inside) -> Owner:
    return lambda uid, gid: (inside.users.inward(uid), inside.groups.inward(gid))


def _base(path: str) -> str:
    return posixpath.basename(path.rstrip("/"))


@contextlib.contextmanager
def _directory_inside(inside: Inside, path: str) -> Iterator[tuple[int, bool]]:
    """The open directory, and whether it was made for this."""
    try:
        inside.make_directory(path, 0o755)
        is_new = True
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.EBUSY):  # "/" has no name to be made by
            raise
        is_new = False
    with inside.opened(path, _ROOT) as above:
        yield above, is_new


@contextlib.contextmanager
def _directory_outside(target: str) -> Iterator[tuple[int, bool]]:
    """The same on the host."""
    try:
        os.mkdir(target)  # noqa: PTH102 - paths are text here
        is_new = True
    except FileExistsError:
        is_new = False
    with _opened(target, _ROOT) as above:
        yield above, is_new


@contextlib.contextmanager
def _place_inside(inside: Inside, path: str, name: str) -> Iterator[tuple[int, str]]:
    """An open directory, and the name in it that `name` will have."""
    try:
        is_directory = stat.S_ISDIR(inside.status(path).st_mode)
    except FileNotFoundError:
        is_directory = False
    if is_directory:
        with inside.opened(path, _ROOT) as above:
            yield above, name
        return
    with inside.parent(inside.settled(path)) as place:
        yield place


@contextlib.contextmanager
def _place_outside(target: str, name: str) -> Iterator[tuple[int, str]]:
    """The same on the host."""
    directory, new = os.path.split(_path_outside(target, name))
    with _opened(directory, _ROOT) as above:
        yield above, new


def _path_outside(target: str, name: str) -> str:
    """The host's own links are followed, as its user made them. One below a directory may have come out of a container:
    it is replaced.
    """
    if os.path.isdir(target):  # noqa: PTH112 - paths are text here
        return os.path.join(target, name)
    if target.endswith("/"):
        raise NotFound(f"there is no directory {target} to copy into: make it first")
    return os.path.realpath(target)


@contextlib.contextmanager
def _opened(path: str, flags: int, directory: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, flags, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _copying(source: str, target: str) -> Iterator[None]:
    """What failed, in the words of the caller."""
    source, target = printable(source), printable(target)
    try:
        yield
    except Error:
        raise
    except Device as error:
        raise Unsupported(
            f"cannot copy {source} to {target}: {printable(error.path)} is a device, and devices are not copied"
        ) from error
    except Mismatch as error:
        raise Conflict(
            f"cannot copy {source} to {target}: of {printable(error.path)} only one is a directory; remove that first",
            state="files",
        ) from error
    except Occupied as error:
        raise Conflict(
            f"cannot copy {source} to {target}: {printable(error.path)} is a device, a FIFO or a socket there,"
            " and no copy replaces one; name it as the target to write a file into it",
            state="files",
        ) from error
    except FileNotFoundError as error:
        # what is looked up in an open directory is the source's name alone
        name = os.fsdecode(error.filename or "")
        missing = printable(name) if "/" in name else source
        raise NotFound(f"cannot copy {source} to {target}: {missing} is not there") from error
    except NotADirectoryError as error:
        raise Conflict(
            f"cannot copy {source} to {target}: a file stands where a directory is needed", state="files"
        ) from error
    except OSError as error:
        raise StageError("copy", error.errno or 0, f"{source} to {target}") from error
