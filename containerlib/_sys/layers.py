"""Applies the tar archive of an OCI layer to a directory, as bytes arrive.

    with LayerWriter(directory, lowers=[parent, grandparent]) as writer:
        for chunk in decompressed:
            writer.feed(chunk)
        stats = writer.finish()

The work is done in C, with the GIL released. No entry can reach outside `directory`, whatever it is called,
and every kind of growth has a bound. Whiteouts are written as overlay reads them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import attrs
from attrs import frozen

from containerlib import _native
from containerlib.errors import InvalidArgument, StageError, printable

__all__ = ["LayerLimits", "LayerStats", "LayerWriter"]

ffi: Any = _native.ffi
lib: Any = _native.lib

_PATH_BYTES = 4096


@frozen
class LayerLimits:
    """What one layer may ask for. Reaching a bound raises; it never truncates."""

    max_entries: int = 500_000  # directories that the archive only implies are counted too
    max_bytes: int = 64 << 30  # of content written; holes are not counted
    max_path_bytes: int = 4095
    max_pax_bytes: int = 1 << 20
    max_xattr_bytes: int = 64 << 10  # names and values of one entry


@frozen
class LayerStats:
    """What was applied: entries of the archive, and the bytes of the files among them."""

    entries: int
    bytes: int
    skipped_xattrs: int = 0  # attributes that the file system of the directory does not take


class TarWriter:
    """What the writers of a layer share: a C object that is fed an archive, by the functions of one prefix."""

    _prefix: str

    def __init__(self, limits: LayerLimits | None) -> None:
        self._limits = limits or LayerLimits()
        self._error = ffi.new("struct clib_layer_error *")
        self._layer = ffi.NULL

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Applies the next bytes of the archive, of any length; `data` is not kept.

        Raises: InvalidArgument for an archive that is malformed, hostile or beyond its limits; StageError
            where the system refuses.
        """
        buffer = ffi.from_buffer(data)
        if self._call("feed")(self._open(), buffer, len(buffer), self._error):
            raise self._failure()

    def close(self) -> None:
        """Frees what the writer holds; what it wrote stays."""
        layer, self._layer = self._layer, ffi.NULL
        self._call("close")(layer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_layer", None):
            self.close()

    def _call(self, name: str) -> Any:
        return getattr(lib, f"{self._prefix}_{name}")

    def _bounds(self) -> Any:
        return ffi.new("struct clib_layer_limits *", attrs.astuple(self._limits))

    def _finish(self, *arguments: Any) -> LayerStats:
        stats = ffi.new("struct clib_layer_stats *")
        if self._call("finish")(self._open(), *arguments, stats, self._error):
            raise self._failure()
        return LayerStats(stats.entries, stats.bytes, stats.skipped_xattrs)

    def _open(self) -> Any:
        if self._layer == ffi.NULL:
            raise ValueError("the layer writer is closed")
        return self._layer

    def _failure(self) -> InvalidArgument | StageError:
        buffer = ffi.new("char[]", _PATH_BYTES)
        self._call("error_path")(self._layer, buffer, _PATH_BYTES)
        path = printable(os.fsdecode(ffi.string(buffer)).encode("utf-8", "replace").decode())
        kind, number = self._error.kind, self._error.err
        if kind == lib.CLIB_LAYER_SYSTEM:
            return StageError("layer", number, path, advice=_ADVICE.get(number, ""))
        where = f"entry {path!r}: " if path else ""
        return InvalidArgument(where + _reason(kind, self._limits), field="layer")


class LayerWriter(TarWriter):
    """One layer on its way into one directory. Not for two threads at once.

    `directory` exists and is empty, and is the caller's to remove after a failure. `lowers` are the
    directories of the layers below, top first: what the archive leaves unsaid (a missing parent, the target
    of a hard link, the root) is as there. With `ready`, a descriptor that becomes readable once these are complete,
    they need not even be there before: `feed` and `finish` wait for it where they look at them. It stays the
    caller's. Device nodes, owners other than the caller and whiteouts need CAP_MKNOD, CAP_CHOWN and CAP_SYS_ADMIN.

    Raises: StageError where a directory cannot be opened.
    Spec: image-spec layer.md
    """

    _prefix = "clib_layer"

    def __init__(
        self,
        directory: str,
        *,
        lowers: Sequence[str] = (),
        ready: int | None = None,
        limits: LayerLimits | None = None,
    ) -> None:
        super().__init__(limits)
        self._names = paths(lowers)
        self._lowers = ffi.new("char *[]", self._names)  # the layer looks at them as long as it is open
        gate = -1 if ready is None else ready
        self._layer = lib.clib_layer_open(
            os.fsencode(directory), self._lowers, len(lowers), gate, self._bounds(), self._error
        )
        if self._layer == ffi.NULL:
            raise StageError("layer", self._error.err, _first_missing(directory, *lowers))

    def finish(self) -> LayerStats:
        """Checks that the archive is complete and gives the directories their times.

        Raises: as `feed`.
        """
        return self._finish()


def paths(names: Sequence[str]) -> list[Any]:
    """The names as C strings, which live as long as the list."""
    return [ffi.new("char[]", os.fsencode(name)) for name in names]


def _first_missing(*directories: str) -> str:
    return next((each for each in directories if not os.path.isdir(each)), directories[0])  # noqa: PTH112 - no pathlib here


def _reason(kind: int, limits: LayerLimits) -> str:
    bounds = {
        lib.CLIB_LAYER_MAX_ENTRIES: f"the layer has more than {limits.max_entries} entries",
        lib.CLIB_LAYER_MAX_BYTES: f"the layer has more than {limits.max_bytes} bytes of content",
        lib.CLIB_LAYER_MAX_PAX: f"its extended header has more than {limits.max_pax_bytes} bytes",
        lib.CLIB_LAYER_MAX_XATTR: f"its extended attributes have more than {limits.max_xattr_bytes} bytes",
        lib.CLIB_LAYER_MAX_SEGMENTS: "it is a sparse file of too many parts",
        lib.CLIB_LAYER_NAME_LENGTH: f"a name has more than {limits.max_path_bytes} bytes, or a part 255",
    }
    return bounds.get(kind) or _REASONS[kind]


_ADVICE = {
    errno.EPERM: "owners, devices and whiteouts take root (CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN)",
    errno.EACCES: "the directory of the layer must be the caller's own",
    errno.ENOSPC: "free some space or some inodes",
    errno.EDQUOT: "the quota of this user is used up",
    errno.ENOSYS: "this takes openat2(2): Linux 5.6 or newer",
}

_REASONS = {
    lib.CLIB_LAYER_TRUNCATED: "the archive ends inside an entry",
    lib.CLIB_LAYER_CHECKSUM: "the block after it is no tar header: its checksum is wrong",
    lib.CLIB_LAYER_NUMBER: "a number in its header is malformed or out of range",
    lib.CLIB_LAYER_TYPE: "its type is none that a layer has",
    lib.CLIB_LAYER_PAX: "its extended header is malformed",
    lib.CLIB_LAYER_SPARSE: "its map of a sparse file contradicts itself",
    lib.CLIB_LAYER_NAME: 'a name in it is empty, or has a NUL or ".." in it',
    lib.CLIB_LAYER_WHITEOUT_NAME: 'after ".wh." comes the name of one file',
    lib.CLIB_LAYER_WHITEOUT_DEVICE: "a character device 0/0 says that a file is deleted: archives use .wh.",
    lib.CLIB_LAYER_LINK: "its hard link's target is missing, a directory, or outside the layer",
    lib.CLIB_LAYER_PARENT: "a part of its path is not a directory",
    lib.CLIB_LAYER_LOOP: "its path leads through too many symbolic links",
    lib.CLIB_LAYER_XATTR: "the kernel refuses one of its extended attributes as malformed",
}
