"""Files of a container, in an event loop."""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath

from attrs import frozen

from containerlib.aio.driving import in_thread
from containerlib.aio.verbs import threaded
from containerlib.fluent.container_path import ContainerPath as BlockingPath

__all__ = ["ContainerPath"]


@frozen
class ContainerPath:
    """A place in a container: `containerlib.ContainerPath`, whose verbs are awaited. `open` is `blocking`'s alone."""

    blocking: BlockingPath

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

    def __truediv__(self, other: str | PurePosixPath) -> ContainerPath:
        return ContainerPath(self.blocking / other)

    @property
    def name(self) -> str:
        """The last part."""
        return self.blocking.name

    @property
    def parent(self) -> ContainerPath:
        """The directory that it is in."""
        return ContainerPath(self.blocking.parent)

    async def iterdir(self) -> list[ContainerPath]:
        """What is in the directory."""
        return await in_thread(lambda: [ContainerPath(path) for path in self.blocking.iterdir()])

    async def rename(self, target: str | PurePosixPath) -> ContainerPath:
        """Gives it another place in the container."""
        return ContainerPath(await in_thread(partial(self.blocking.rename, target)))

    def __str__(self) -> str:
        return str(self.blocking)
