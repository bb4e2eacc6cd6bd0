"""What is in a volume, put there in steps of which each may be a killed process's last.

    .removed-7f3a/      what comes, as far as it has come: whoever finds it removes it
    .replacing-www/     all of it, synced; what the volume has is on its way to another .removed-
    .added-www/         the same, when that is gone; its entries move into the volume, one rename each

Whoever has the volumes' lock and finds the last two goes on where the killed one was: `settle`. The volume's own
directory stays the same one, which containers have mounted. Beside it is where these lie; in a volume that is a file
system of its own, they lie in that, where containers may see and exchange them: so nothing here goes by a path through
it, and no link is followed. Other machines may have the same file system, and are at work there with other names.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator

from attrs import frozen

from containerlib._sys.copies import replace_status
from containerlib._sys.filesystem import sync_filesystem
from containerlib._sys.trees import remove_tree

__all__ = ["TRASH", "Place", "Write"]

TRASH = ".removed-"
_OWN = ".containerlib"
"""What our names in a volume begin with."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Write = Callable[[str], bool]
"""Fills the directory that it is handed; False where there is nothing to be had."""


@frozen
class Place:
    """A volume's directory `top`, and the directory `aside` on the same file system. Every verb raises OSError.

    Where they are the same, others have the same: `name` is one that no other volume of anybody's has.
    """

    name: str
    top: str
    aside: str

    @property
    def is_pending(self) -> bool:
        """Whether there is something to `settle`."""
        return any(os.path.lexists(f"{self.aside}/{self._own(kind)}") for kind in (".replacing-", ".added-"))

    def is_empty(self) -> bool:
        """Whether there is nothing of the volume's user's."""
        with _opened(self.top) as top:
            return not self._entries(top)

    def put(self, write: Write, *, replace: bool, prepare: Callable[[str], None]) -> bool:
        """What `write` makes, into the volume; with `replace` in the place of all that is there.

        `prepare` is told of the empty directory. What fails leaves the volume as it was.
        """
        half = self._trash()
        path = f"{self.aside}/{half}"
        try:
            os.mkdir(path, 0o755)  # noqa: PTH102 - a str
            with _opened(path) as directory:
                prepare(path)
                if not write(f"/proc/self/fd/{directory}"):
                    return False
            if replace:
                sync_filesystem(path)
            os.rename(path, f"{self.aside}/{self._own('.replacing-' if replace else '.added-')}")  # noqa: PTH104
        finally:
            remove_tree(path)
        self.settle()
        return True

    def settle(self) -> None:
        """Goes on with what a killed process had begun to put here."""
        with _opened(self.top) as top, _opened(self.aside) as aside:
            if self._has(aside, replacing := self._own(".replacing-")):
                trash = self._trash()
                os.mkdir(trash, 0o700, dir_fd=aside)
                with _opened(trash, aside) as old:
                    for name in self._entries(top):
                        os.rename(name, name, src_dir_fd=top, dst_dir_fd=old)
                os.rename(replacing, self._own(".added-"), src_dir_fd=aside, dst_dir_fd=aside)
                remove_tree(f"{self.aside}/{trash}")
            if self._has(aside, added := self._own(".added-")):
                with _opened(added, aside) as new:
                    for name in os.listdir(new):  # noqa: PTH208 - a descriptor
                        if not _is_there(top, name):
                            os.rename(name, name, src_dir_fd=new, dst_dir_fd=top)
                    replace_status(new, top, os.fstat(new))
                remove_tree(f"{self.aside}/{added}")
            if self.aside == self.top:
                for name in os.listdir(top):  # noqa: PTH208 - a descriptor
                    if name.startswith(self._trashes):
                        remove_tree(f"{self.aside}/{name}")

    def _entries(self, top: int) -> list[str]:
        own = f"{_OWN}." if self.aside == self.top else "\0"
        return [name for name in os.listdir(top) if not name.startswith(own)]

    def _own(self, kind: str) -> str:
        return f"{_OWN if self.aside == self.top else ''}{kind}{self.name}"

    def _trash(self) -> str:
        return f"{self._trashes}{os.urandom(8).hex()}"

    @property
    def _trashes(self) -> str:
        return f"{_OWN}{TRASH}{self.name}-" if self.aside == self.top else TRASH

    def _has(self, aside: int, name: str) -> bool:
        """Whether that is a directory; what else a container has put there goes."""
        try:
            status = os.stat(name, dir_fd=aside, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=aside)
            return False
        return True


def _is_there(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def _opened(path: str, directory: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, _DIRECTORY, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
