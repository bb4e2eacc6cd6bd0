"""A tree of files as the tar archive of a layer: the same files give the same bytes, whenever and wherever.

    for chunk in layer_tar(tree.walk()): ...

Entries come in the order in which they are given; no time is later than `latest`; names of users and groups are left
out. What a layer deletes is written as `.wh.NAME`, a directory that hides what is below it gets `.wh..wh..opq`. Sockets
are left out, as they are in every layer.

Spec: image-spec layer.md; reproducible-builds.org's SOURCE_DATE_EPOCH
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator

from containerlib.errors import InvalidArgument, StageError
from containerlib.images.archives.tar import END, header, member
from containerlib.images.snapshots.merged import Entry, is_whiteout

__all__ = ["layer_tar", "source_date_epoch"]

_PIECE = 1024 * 1024
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_XATTR = "SCHILY.xattr."
_OWN = ("trusted.overlay.", "user.overlay.")
"""What overlayfs keeps for itself is no part of a layer."""
_KINDS = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


def layer_tar(
    entries: Iterable[Entry], *, latest: int | None = None, only_file_times: bool = False
) -> Iterator[bytes]:
    """The archive in pieces of at most 1 MiB. `latest`: seconds since the epoch; later times become this one.

    With `only_file_times` directories and deletions have none: theirs may be from when they were made here.

    Raises: StageError(stage="archive") where a file cannot be read.
    """
    links: dict[tuple[int, int], str] = {}
    for entry in entries:
        timeless = only_file_times and (stat.S_ISDIR(entry.status.st_mode) or is_whiteout(entry.status))
        try:
            yield from _entry(entry, links, 0 if timeless else latest)
        except FileNotFoundError:  # a running container removed it
            continue
        except OSError as error:
            raise StageError("archive", error.errno or 0, f"/{entry.path}") from error
    yield END


def source_date_epoch() -> int | None:
    """The environment's SOURCE_DATE_EPOCH in seconds. Raises: InvalidArgument where it is no number."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise InvalidArgument(f"{text!r} is no number of seconds", field="SOURCE_DATE_EPOCH")
    return int(text)


def _entry(entry: Entry, links: dict[tuple[int, int], str], latest: int | None) -> Iterator[bytes]:
    status = entry.status
    if stat.S_ISSOCK(status.st_mode):
        return
    if is_whiteout(status):
        yield _marker(entry, f"{_WHITEOUT}{entry.name}", latest)
        return
    info = _info(entry, latest)
    if stat.S_ISREG(status.st_mode):
        first = (
            links.setdefault((status.st_dev, status.st_ino), entry.path)
            if status.st_nlink > 1
            else entry.path
        )
        if first != entry.path:
            info.type, info.linkname = tarfile.LNKTYPE, first
            yield header(info)
            return
        yield from _file(entry, info)
        return
    _add_xattrs(entry, info)
    yield header(info)
    if entry.opaque:
        yield _marker(entry, f"{entry.name}/{_OPAQUE}", latest)


def _info(entry: Entry, latest: int | None) -> tarfile.TarInfo:
    status = entry.status
    info = tarfile.TarInfo(entry.path or ".")
    info.type = _KINDS[stat.S_IFMT(status.st_mode)]
    info.mode = stat.S_IMODE(status.st_mode)
    info.uid, info.gid = status.st_uid, status.st_gid
    _set_time(info, status, latest)
    if stat.S_ISLNK(status.st_mode):
        info.linkname = entry.link()
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return info


def _set_time(info: tarfile.TarInfo, status: os.stat_result, latest: int | None) -> None:
    """To the nanosecond, which a float is too short for."""
    seconds, nanoseconds = divmod(status.st_mtime_ns, 1_000_000_000)
    if latest is not None and seconds >= latest:
        seconds, nanoseconds = latest, 0
    info.mtime = seconds
    if nanoseconds:
        info.pax_headers = {"mtime": f"{seconds}.{nanoseconds:09}".rstrip("0")}


def _file(entry: Entry, info: tarfile.TarInfo) -> Iterator[bytes]:
    descriptor = entry.open()
    try:
        info.size = os.fstat(descriptor).st_size
        _add_xattrs(entry, info, descriptor)
        yield from member(info, _content(descriptor, info.size))
    finally:
        os.close(descriptor)


def _content(descriptor: int, size: int) -> Iterator[bytes]:
    """So many bytes, whatever becomes of the file meanwhile: the archive has promised them."""
    while size:
        piece = os.read(descriptor, min(_PIECE, size)) or bytes(min(_PIECE, size))
        size -= len(piece)
        yield piece


def _add_xattrs(entry: Entry, info: tarfile.TarInfo, descriptor: int = -1) -> None:
    """`descriptor` is of a regular file; of what else there is the names are followed to, links excepted."""
    place: int | str = descriptor if descriptor >= 0 else f"/proc/self/fd/{entry.parent}/{entry.name}"
    try:
        names = os.listxattr(place, follow_symlinks=descriptor >= 0)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return
    values = {
        _XATTR + name: os.getxattr(place, name, follow_symlinks=descriptor >= 0).decode(
            "utf-8", "surrogateescape"
        )
        for name in sorted(names)
        if not name.startswith(_OWN)
    }
    info.pax_headers = {**info.pax_headers, **values}


def _marker(entry: Entry, name: str, latest: int | None) -> bytes:
    """An empty file that means something: its owner and mode do not."""
    parent = entry.path.rpartition("/")[0]
    info = tarfile.TarInfo(f"{parent}/{name}" if parent else name)
    info.mode = 0o600
    _set_time(info, entry.status, latest)
    return header(info)
