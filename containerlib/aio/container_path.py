"""Files of a container, in an event loop."""

from __future__ import annotations

import io
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from anyio import AsyncFile, CancelScope
from attrs import frozen

from containerlib.aio.driving import in_thread
from containerlib.aio.verbs import handed, threaded
from containerlib.engine import words
from containerlib.fluent.container_path import ContainerPath as BlockingPath

if TYPE_CHECKING:
    from containerlib.aio.container import Container

__all__ = ["ContainerPath"]


class _OpenFile(AsyncFile[bytes]):
    """Closed in any case, which anyio 4.9 does not promise: a stopped container cannot be started before."""

    async def aclose(self) -> None:
        with CancelScope(shield=True):
            await super().aclose()


def _file(_: ContainerPath, made: io.BufferedIOBase) -> AsyncFile[bytes]:
    return _OpenFile(cast("IO[bytes]", made))


def _place(self: ContainerPath, made: BlockingPath) -> ContainerPath:
    return ContainerPath(self.container, made.pure)


@frozen
class ContainerPath:
    """A place in a container: `containerlib.ContainerPath`, whose verbs are awaited.

    What `open` gives is anyio's: `async with await path.open() as file: await file.read()`.
    """

    container: Container
    pure: PurePosixPath

    stat = threaded(BlockingPath.stat)
    lstat = threaded(BlockingPath.lstat)
    exists = threaded(BlockingPath.exists)
    is_dir = threaded(BlockingPath.is_dir)
    is_file = threaded(BlockingPath.is_file)
    is_symlink = threaded(BlockingPath.is_symlink)
    readlink = threaded(BlockingPath.readlink)
    read_bytes = threaded(BlockingPath.read_bytes)
    read_text = threaded(BlockingPath.read_text)
    write_bytes = threaded(BlockingPath.write_bytes)
    write_text = threaded(BlockingPath.write_text)
    mkdir = threaded(BlockingPath.mkdir)
    unlink = threaded(BlockingPath.unlink)
    rmdir = threaded(BlockingPath.rmdir)
    copy_in = threaded(BlockingPath.copy_in)
    copy_out = threaded(BlockingPath.copy_out)
    open = handed(BlockingPath.open, _file)
    rename = handed(BlockingPath.rename, _place)

    @property
    def blocking(self) -> BlockingPath:
        """The same for those who may block."""
        return BlockingPath(self.container.blocking, self.pure)

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

    async def iterdir(self) -> list[ContainerPath]:
        """What is in the directory at this moment, by name."""
        return await in_thread(lambda: [_place(self, path) for path in self.blocking.iterdir()])

    def __str__(self) -> str:
        return str(self.pure)

    def __repr__(self) -> str:
        return f"<aio.ContainerPath {str(self.pure)!r} in {self.container.name!r}>"
