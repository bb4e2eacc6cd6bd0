"""A path in a container."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib.boundary import public
from containerlib.engine import files, transfer, words
from containerlib.engine.transfer import CopyOptions
from containerlib.errors import NotFound
from containerlib.units import check_kind

if TYPE_CHECKING:
    import io
    import os
    from contextlib import AbstractContextManager

    from containerlib._sys.inside import Inside
    from containerlib.engine.files import FileMode
    from containerlib.engine.instance import Instance
    from containerlib.fluent.container import Container

__all__ = ["ContainerPath"]


@public
@frozen
class ContainerPath:
    """A file or directory of a container, whether that runs or not: `container.path("/etc") / "hosts"`.

    The words are pathlib's. Links are resolved as in the container, and lead to nothing outside of it, whatever its
    processes do meanwhile. One that has stopped is seen with its volumes; it cannot be started until a file of it that
    was opened is closed. Making the object does nothing, and it pickles.

    Verbs raise NotFound, AlreadyExists, Conflict (a directory that is not empty, a FIFO that would be read) and
    StageError.
    """

    container: Container
    pure: PurePosixPath

    def __truediv__(self, other: str | PurePosixPath) -> ContainerPath:
        return ContainerPath(self.container, self.pure / words.any_path(other, field="path"))

    @property
    def name(self) -> str:
        """The last part."""
        return self.pure.name

    @property
    def suffix(self) -> str:
        """The end of the last part, from its last dot."""
        return self.pure.suffix

    @property
    def parent(self) -> ContainerPath:
        """The path without its last part."""
        return ContainerPath(self.container, self.pure.parent)

    @property
    def parts(self) -> tuple[str, ...]:
        """All parts, "/" first."""
        return self.pure.parts

    def __str__(self) -> str:
        return str(self.pure)

    # ---- what is there ----

    def stat(self) -> os.stat_result:
        """What is there, with the owner that the container sees; links are followed."""
        return self._status(follow=True)

    def lstat(self) -> os.stat_result:
        """As `stat`, of a link itself."""
        return self._status(follow=False)

    def exists(self) -> bool:
        """Whether anything is there."""
        return self._kind(follow=True) != 0

    def is_dir(self) -> bool:
        """Whether it is a directory, or a link to one."""
        return self._kind(follow=True) == stat.S_IFDIR

    def is_file(self) -> bool:
        """Whether it is a regular file, or a link to one."""
        return self._kind(follow=True) == stat.S_IFREG

    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return self._kind(follow=False) == stat.S_IFLNK

    def iterdir(self) -> Iterator[ContainerPath]:
        """What is in the directory at this moment, by name."""
        with self._files() as inside:
            names = inside.names(str(self))
        return (self / name for name in names)

    def readlink(self) -> PurePosixPath:
        """What the symbolic link says."""
        with self._files() as inside:
            return PurePosixPath(inside.target(str(self)))

    # ---- content ----

    def read_bytes(self) -> bytes:
        """All that the file holds."""
        return files.read(self._instance, str(self))

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The same as text."""
        return self.read_bytes().decode(encoding, errors)

    def write_bytes(self, data: bytes) -> int:
        """The file holds `data` and nothing else; it is made, root's and with mode 0644, if it is not there."""
        check_kind(data, bytes, bytearray, want="bytes: write_text takes a str", field="data")
        files.write(self._instance, str(self), data)
        return len(data)

    def write_text(self, text: str, encoding: str = "utf-8") -> int:
        """The same with text."""
        check_kind(text, str, want="a str: write_bytes takes bytes", field="text")
        self.write_bytes(text.encode(encoding))
        return len(text)

    def open(self, mode: FileMode = "rb") -> io.BufferedIOBase:
        """The file, open for bytes: "rb", "wb", "ab" (at its end) or "xb" (it must not be there yet)."""
        return files.open_file(self._instance, str(self), mode)

    # ---- change ----

    def mkdir(self, mode: int = 0o755, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Makes the directory, root's; with `parents` also those above that are missing."""
        with self._files() as inside:
            files.make_directory(inside, str(self), mode, parents=parents, exist_ok=exist_ok)

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Removes the file or link."""
        try:
            with self._files() as inside:
                inside.remove(str(self), directory=False)
        except NotFound:
            if not missing_ok:
                raise

    def rmdir(self) -> None:
        """Removes the directory, which must be empty."""
        with self._files() as inside:
            inside.remove(str(self), directory=True)

    def rename(self, target: str | PurePosixPath) -> ContainerPath:
        """Gives it the absolute path `target`, in the place of a file that is there."""
        place = ContainerPath(self.container, PurePosixPath(words.container_path(target, field="target")))
        with self._files() as inside:
            inside.rename(str(self), str(place))
        return place

    def copy_in(
        self,
        source: str | os.PathLike[str],
        *,
        owners: bool = False,
        contents: bool = False,
        follow_links: bool = False,
    ) -> None:
        """Copies the host's file or directory `source` here: into a directory that is there, else under this name.

        With `contents`, what is in the directory, into this one, which is made if it is not there. Modes, times, holes,
        hard links, attributes and rights (set-user-ID, capabilities) come along; files are root's, or with `owners` of
        the same numbers. A link is copied as one, unless it is `source` and `follow_links`. As with docker, a file that
        is there is replaced.

        Raises: Conflict where a directory would take the place of a file, or a file that of a directory; Unsupported
        for devices.
        """
        options = _options(owners=owners, contents=contents, follow_links=follow_links)
        transfer.copy_in(self._instance, words.any_path(source, field="source"), str(self), options)

    def copy_out(
        self,
        target: str | os.PathLike[str],
        *,
        owners: bool = False,
        contents: bool = False,
        follow_links: bool = False,
    ) -> None:
        """Copies it to the host: into `target` where that is a directory, else under that name.

        As `copy_in`, but that set-user-ID, set-group-ID, capabilities and access lists stay behind: no container gives
        rights on the host. Files are the caller's, or with `owners` of the numbers that they have in the container. A
        single file replaces the target once it is whole, or is written into the device or FIFO that is there. A tree
        replaces no device, FIFO or socket of the host: Conflict.
        """
        options = _options(owners=owners, contents=contents, follow_links=follow_links)
        transfer.copy_out(self._instance, str(self), words.any_path(target, field="target"), options)

    def __repr__(self) -> str:
        return f"<ContainerPath {str(self.pure)!r} in {self.container.name!r}>"

    @property
    def _instance(self) -> Instance:
        return self.container._instance

    def _files(self) -> AbstractContextManager[Inside]:
        return files.files(self._instance, str(self))

    def _status(self, *, follow: bool) -> os.stat_result:
        with self._files() as inside:
            return inside.status(str(self), follow=follow)

    def _kind(self, *, follow: bool) -> int:
        """The bits of its type; 0 where nothing is."""
        return files.kind(self._instance, str(self), follow=follow)


def _options(*, owners: bool, contents: bool, follow_links: bool) -> CopyOptions:
    return CopyOptions(
        owners=words.flag(owners, field="owners"),
        contents=words.flag(contents, field="contents"),
        follow_links=words.flag(follow_links, field="follow_links"),
    )
