"""Where the members of a tar archive are, found by its headers alone: an index of a file that a stranger wrote.

    for member in members(fd): print(member.name, member.offset, member.size)

tarfile reads a name or an extended header whole, however long it says to be, goes down a level for each of them, and
keeps a copy of the global header for each member. Here every one of these is bounded, and what cannot be a part of an
image's archive, sparse members, is refused.

Spec: POSIX pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format"
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator

from attrs import frozen

__all__ = ["Member", "members"]

_BLOCK = tarfile.BLOCKSIZE
_MAX_EXTENDED = 1 << 20
_MAX_NAME = 4095
_MAX_DIGITS = 18
_EMPTY = bytes(_BLOCK)
_FILES = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE})
_HEADER_ONLY = frozenset(
    {tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE}
)
_LONG = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}


@frozen
class Member:
    """One member: `kind` is tar's type, `link` where a link leads, and `offset` where the `size` bytes are."""

    name: str
    kind: bytes
    link: str
    offset: int
    size: int

    @property
    def is_file(self) -> bool:
        return self.kind in _FILES


def members(fd: int) -> Iterator[Member]:
    """Every member, in the archive's order. Raises: ValueError, tarfile.TarError where it is not whole; OSError."""
    end, offset = os.fstat(fd).st_size, 0
    said: dict[str, str] = {}
    while (block := os.pread(fd, _BLOCK, offset)) not in (b"", _EMPTY):
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        offset += _BLOCK
        size = int(said.get("size", info.size))
        if info.type in _HEADER_ONLY:
            size = 0
        if size < 0 or offset + size > end:
            raise ValueError(f"it ends inside of {info.name[:200]!r}")
        if info.type in _LONG:
            said[_LONG[info.type]] = _text(_extended(fd, offset, info.size).partition(b"\0")[0])
        elif info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            said |= _records(_extended(fd, offset, info.size))
        elif info.type != tarfile.XGLTYPE:
            yield _member(info, said, offset, size)
            said = {}
        offset += size + -size % _BLOCK


def _member(info: tarfile.TarInfo, said: dict[str, str], offset: int, size: int) -> Member:
    name, link = said.get("path", info.name), said.get("linkpath", info.linkname)
    if len(name) > _MAX_NAME or len(link) > _MAX_NAME:
        raise ValueError(f"a name in it has more than {_MAX_NAME} characters")
    if info.type == tarfile.GNUTYPE_SPARSE or "GNU.sparse" in said:
        raise ValueError(f"{name[:200]!r} in it is sparse: write the archive without that")
    return Member(name, info.type, link, offset, size)


def _extended(fd: int, offset: int, size: int) -> bytes:
    if size > _MAX_EXTENDED:
        raise ValueError(f"an extended header in it has more than {_MAX_EXTENDED} bytes")
    return os.pread(fd, size, offset)


def _records(data: bytes) -> dict[str, str]:
    """Those that say where a member is, and what it is called."""
    found: dict[str, str] = {}
    position = 0
    while position < len(data) and data[position]:
        space = data.find(b" ", position, position + _MAX_DIGITS)
        digits = data[position:space] if space > 0 else b""
        end = position + (int(digits) if digits.isdigit() else 0)
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or end > len(data) or data[end - 1 : end] != b"\n":
            raise ValueError("an extended header in it is malformed")
        if key in (b"path", b"linkpath"):
            found[key.decode()] = _text(value)
        elif key == b"size":
            if not value.isdigit() or len(value) > _MAX_DIGITS:
                raise ValueError("an extended header in it has a size that is no number")
            found["size"] = value.decode()
        elif key.startswith(b"GNU.sparse."):
            found["GNU.sparse"] = ""
        position = end
    return found


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
