"""What is in one layer, whatever it is on disk.

with opened(record.layers[0]) as top:
    (top / "etc/passwd").read_text()
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from containerlib._sys.opening import open_layer
from containerlib.images.snapshots.merged import MergedTree
from containerlib.spec.layer import Layer
from rig.images import Layer as Archive

__all__ = ["BASE", "MERGED", "TOP", "names", "opened", "shown", "text"]


@contextlib.contextmanager
def opened(layer: Layer) -> Iterator[Path]:
    """The layer's root as a path of this process."""
    descriptor = open_layer(layer)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def text(layer: Layer, path: str) -> str:
    with opened(layer) as root:
        return (root / path).read_text()


def names(layer: Layer) -> list[str]:
    """Of what is in its root."""
    with opened(layer) as root:
        return sorted(path.name for path in root.iterdir())


BASE = (
    Archive()
    .directory("etc")
    .file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:7:8::/data:/bin/sh\n")
    .file("etc/hidden", "1")
    .directory("dir")
    .file("dir/old", "2")
    .directory("dir/deep")
    .file("dir/deep/old", "3")
    .directory("gone")
    .file("gone/file", "4")
    .file("was-file", "5")
    .directory("was-directory")
    .file("was-directory/file", "6")
    .file("linked", "7", 0o640, uid=7, gid=8)
    .finish()
)
TOP = (
    Archive()
    .whiteout("etc/hidden")
    .directory("dir", 0o700, uid=7, gid=8)
    .whiteout("dir/.wh..wh..opq")
    .file("dir/new", "8")
    .whiteout("gone")
    .directory("was-file")
    .file("was-file/file", "9")
    .file("was-directory", "10")
    .hardlink("link", "linked")
    .symlink("symlink", "dir/new")
    .file("owned", "11", 0o4755, uid=7, gid=8)
    .finish()
)
MERGED = {
    "": ("d", 0o755, 0, 0),
    "dir": ("d", 0o700, 7, 8),
    "dir/new": ("f", 0o644, 0, 0, "8"),
    "etc": ("d", 0o755, 0, 0),
    "etc/passwd": ("f", 0o644, 0, 0, "root:x:0:0::/root:/bin/sh\napp:x:7:8::/data:/bin/sh\n"),
    "link": ("f", 0o640, 7, 8, "7"),
    "linked": ("f", 0o640, 7, 8, "7"),
    "owned": ("f", 0o4755, 7, 8, "11"),
    "symlink": ("l", 0o777, 0, 0, "dir/new"),
    "was-directory": ("f", 0o644, 0, 0, "10"),
    "was-file": ("d", 0o755, 0, 0),
    "was-file/file": ("f", 0o644, 0, 0, "9"),
}
"""What the two show together: type, mode, owner, and content or target."""


def shown(layers: Sequence[Layer]) -> dict[str, tuple[object, ...]]:
    """What the layers show together, without mounting them."""
    found: dict[str, tuple[object, ...]] = {}
    with MergedTree(layers) as tree:
        for entry in tree.walk():
            facts = (entry.status.st_mode & 0o7777, entry.status.st_uid, entry.status.st_gid)
            match entry.status.st_mode >> 12:
                case 0o4:
                    found[entry.path] = ("d", *facts)
                case 0o12:
                    found[entry.path] = ("l", *facts, entry.link())
                case _:
                    with open(entry.open(), encoding="utf-8", errors="replace") as file:
                        found[entry.path] = ("f", *facts, file.read())
    return found
