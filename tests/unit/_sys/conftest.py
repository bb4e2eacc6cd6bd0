"""Archives made by hand, applied, and looked at."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from rig.mounts import check_erofs, mounted_erofs, mounts_erofs

if TYPE_CHECKING:
    from containerlib._sys.layers import LayerLimits, LayerStats

_KINDS = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "character": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
}


class Archive:
    """`Archive().file("a", b"x").symlink("b", "a").data()`: a tar archive, entry by entry."""

    def __init__(self, version: int = tarfile.PAX_FORMAT) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=version)  # noqa: SIM115 - closed by data()

    def add(self, kind: str, name: str, content: bytes = b"", **facts: Any) -> Archive:
        info = tarfile.TarInfo(name)
        info.type = _KINDS[kind]
        info.size = len(content)
        info.uid, info.gid = os.geteuid(), os.getegid()
        info.mtime = 1_600_000_000
        info.mode = 0o755 if kind == "directory" else 0o644
        for fact, value in facts.items():
            setattr(info, fact, value)
        self._tar.addfile(info, io.BytesIO(content))
        return self

    def file(self, name: str, content: bytes = b"", **facts: Any) -> Archive:
        return self.add("file", name, content, **facts)

    def directory(self, name: str, **facts: Any) -> Archive:
        return self.add("directory", name, **facts)

    def symlink(self, name: str, target: str, **facts: Any) -> Archive:
        return self.add("symlink", name, linkname=target, **facts)

    def hardlink(self, name: str, target: str) -> Archive:
        return self.add("hardlink", name, linkname=target)

    def data(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()


class Fact(NamedTuple):
    """What can be seen of one file."""

    kind: str
    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    device: int
    content: bytes | str | None
    xattrs: dict[str, bytes]


def look(root: Path, *, times: bool = True) -> dict[str, Fact]:
    """Every file below `root`, and the root itself as "."."""
    facts = {}
    for path in [root, *root.rglob("*")]:
        try:
            status = path.lstat()
        except FileNotFoundError:  # overlay lists the whiteouts of a directory that is in one layer alone
            continue
        content: bytes | str | None = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        facts[str(path.relative_to(root))] = Fact(
            stat.filemode(status.st_mode)[0],
            stat.S_IMODE(status.st_mode),
            (status.st_uid, status.st_gid),
            status.st_mtime_ns if times else 0,
            status.st_rdev,
            content,
            {
                name: os.getxattr(path, name, follow_symlinks=False)
                for name in os.listxattr(path, follow_symlinks=False)
            },
        )
    return facts


class Applied(NamedTuple):
    root: Path
    stats: LayerStats
    image: Path | None  # what is mounted on the root, if anything is

    def stored_bytes(self, name: str) -> int:
        """What the content of a file takes: EROFS tells the sum of all alone."""
        return self.image.stat().st_size if self.image else (self.root / name).stat().st_blocks * 512


Apply = Callable[..., Applied]


@pytest.fixture(params=["directory", "directory, layers below at need", "erofs"])
def apply(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Apply]:
    """`apply(archive)` gives `.root` and `.stats`, by each of the writers: what they make of an archive is one.

    The directory has a neighbour that must not change.
    """
    layers = pytest.importorskip("containerlib._sys.layers", exc_type=ImportError)
    erofs = pytest.importorskip("containerlib._sys.erofs", exc_type=ImportError)
    if request.param == "erofs" and not mounts_erofs():
        pytest.skip("mounts no EROFS file here")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "witness").write_bytes(b"untouched")
    os.utime(outside, ns=(5, 5))
    before = look(outside)
    made = 0
    mounts = ExitStack()
    ready = os.eventfd(1) if "at need" in request.param else None
    if ready is not None:
        mounts.callback(os.close, ready)

    def run(
        data: bytes | Archive,
        *,
        lowers: Sequence[Path] = (),
        limits: LayerLimits | None = None,
        chunk: int = 1 << 16,
    ) -> Applied:
        nonlocal made
        made += 1
        root = tmp_path / f"layer{made}"
        root.mkdir()
        image = root.with_suffix(".erofs")
        archive = data.data() if isinstance(data, Archive) else data
        below = [str(lower) for lower in lowers]
        writer = (
            erofs.ErofsWriter(str(image), lowers=below, limits=limits)
            if request.param == "erofs"
            else layers.LayerWriter(str(root), lowers=below, ready=ready, limits=limits)
        )
        with writer:
            for start in range(0, len(archive), chunk):
                writer.feed(archive[start : start + chunk])
            stats = writer.finish()
        if request.param != "erofs":
            return Applied(root, stats, None)
        check_erofs(image)
        mounts.enter_context(mounted_erofs(image, root))
        return Applied(root, stats, image)

    with mounts:
        yield run
    assert look(outside) == before


@pytest.fixture
def archive() -> type[Archive]:
    return Archive


@pytest.fixture
def facts() -> Callable[..., dict[str, Fact]]:
    return look
