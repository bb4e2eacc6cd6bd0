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

from containerlib.errors import InvalidArgument, StageError, printable
from containerlib.images.archives.tar import END, header, member
from containerlib.images.snapshots.merged import Entry, is_whiteout

__all__ = ["layer_entries", "layer_tar", "source_date_epoch"]

_PIECE = 1024 * 1024
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_XATTR = "SCHILY.xattr."
_OWN = ("trusted.overlay.", "user.overlay.")
"""What overlayfs keeps for itself is no part of a layer."""
_LAST_SECOND = 253_402_300_799
"""Of the year 9999: a config's dates have four digits for it."""
_KINDS = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


def layer_entries(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The same entries, of which a layer is to be made.

    Raises: InvalidArgument(field="layer") for a file whose name would delete another where the layer is unpacked.
    """
    for entry in entries:
        if entry.name.startswith(_WHITEOUT):
            raise InvalidArgument(
                f"/{printable(entry.path)} cannot be in a layer, where such a name stands for a deletion: "
                "remove it, or rename it",
                field="layer",
            )
        yield entry


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
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= _LAST_SECOND):
        raise InvalidArgument(
            f"{text[:100]!r} is no number of seconds up to the year 9999", field="SOURCE_DATE_EPOCH"
        )
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
        first = links.get((status.st_dev, status.st_ino))
        if first is not None:
            info.type, info.linkname = tarfile.LNKTYPE, first
            yield header(info)
            return
        yield from _file(entry, info)
        if status.st_nlink > 1:
            links[status.st_dev, status.st_ino] = entry.path
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
    if nanoseconds and seconds >= 0:  # before 1970 the fraction would count the other way
        info.pax_headers = {"mtime": f"{seconds}.{nanoseconds:09}".rstrip("0")}


def _file(entry: Entry, info: tarfile.TarInfo) -> Iterator[bytes]:
    descriptor = entry.open_file()
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
    values: dict[str, str] = {
        _Keyword(_XATTR + name): _xattr(entry, place, name).decode("utf-8", "surrogateescape")
        for name in sorted(names)
        if not name.startswith(_OWN) and "=" not in name  # it would be read as another's name and value
    }
    info.pax_headers = {**info.pax_headers, **values}


def _xattr(entry: Entry, place: int | str, name: str) -> bytes:
    value = os.getxattr(place, name, follow_symlinks=isinstance(place, int))
    return value if entry.owners is None else entry.owners.attribute(name, value)


class _Keyword(str):
    """A name as the kernel has it: bytes, which need not be text. tarfile asks for its bytes in UTF-8."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:  # noqa: ARG002 - of str
        return super().encode(encoding, "surrogateescape")


def _marker(entry: Entry, name: str, latest: int | None) -> bytes:
    """An empty file that means something: its owner and mode do not."""
    parent = entry.path.rpartition("/")[0]
    info = tarfile.TarInfo(f"{parent}/{name}" if parent else name)
    info.mode = 0o600
    _set_time(info, entry.status, latest)
    return header(info)
